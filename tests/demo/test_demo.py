"""The demo client of the first run."""

import pytest
from sqlalchemy import select

from chatbot.db import across_tenants, as_tenant
from chatbot.demo import ensure_demo
from chatbot.jobs import Job, run_next
from chatbot.knowledge.models import Source
from chatbot.tenants.clients import count_clients, find_client
from tests.embedders import Hashed, use


class Cut(BaseException):
    """The process ends here."""


class CutShort(Hashed):
    """One that is cut off at its third source."""

    asked = 0

    def embed(self, texts):
        self.asked += 1
        if self.asked == 3:
            raise Cut
        return super().embed(texts)


def ask(app, query):
    """The rows of a query within the demo client."""
    with app.app_context():
        with across_tenants(writes=False):
            tenant_id = find_client("demo").id
        with as_tenant(tenant_id) as session:
            return session.execute(query).all()


def states(app):
    return {state for (state,) in ask(app, select(Source.status))}


def jobs(app):
    return len(ask(app, select(Job.id)))


def test_first_run_makes_a_client_that_knows_its_business(app):
    use(app, Hashed())
    pages = ensure_demo(app)
    assert pages is not None
    assert pages >= 30
    assert states(app) == {"ready"}
    assert jobs(app) == 0


def test_where_a_client_is_there_is_no_demo(app, world):
    assert ensure_demo(app) is None


def test_run_that_was_cut_off_is_finished_by_the_jobs(app):
    use(app, CutShort())
    with pytest.raises(Cut):
        ensure_demo(app)
    assert jobs(app) > 0
    use(app, Hashed())
    assert ensure_demo(app) is None
    with app.app_context():
        while run_next("test"):
            pass
        assert count_clients() == 1
    assert states(app) == {"ready"}
