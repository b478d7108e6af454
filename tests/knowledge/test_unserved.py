"""What a suspended or deleted client has in the queue waits, and asks nobody, until the client is back."""

import pytest
from sqlalchemy import update

from chatbot.audit import COMMAND_LINE
from chatbot.db import across_tenants
from chatbot.jobs import Job
from chatbot.tenancy import now
from chatbot.tenants import standing
from tests.embedders import Hashed, use
from tests.world import BAKERY


class Counting(Hashed):
    """Counts what it is asked."""

    asked = 0

    def embed(self, texts):
        self.asked += 1
        return super().embed(texts)


def make_due(app):
    with app.app_context(), across_tenants() as session:
        session.execute(update(Job).values(run_at=now()))


@pytest.mark.parametrize(
    "away, back",
    [
        (lambda: standing.suspend([BAKERY], "unpaid", COMMAND_LINE), lambda: standing.resume([BAKERY], COMMAND_LINE)),
        (
            lambda: standing.delete_client(BAKERY, COMMAND_LINE),
            lambda: standing.undelete_client(BAKERY, COMMAND_LINE),
        ),
    ],
    ids=["suspended", "deleted"],
)
def test_sources_wait_until_their_client_is_back(app, shelf, away, back):
    embedder = Counting()
    use(app, embedder)
    source = shelf.add("hours.md", "# Hours\n\nWe open at eight.")
    with app.app_context():
        away()
    assert shelf.read() == 1 and shelf.read() == 0, "it looks again later, not at once"
    assert (shelf.source(source).status, embedder.asked, shelf.jobs("read_source")) == ("waiting", 0, 1)
    with app.app_context():
        back()
    make_due(app)
    shelf.read()
    assert shelf.source(source).status == "ready" and embedder.asked > 0 and shelf.jobs("read_source") == 0
