"""A week after its deletion a client goes with all that it owns, little by little; nothing of anybody else goes with it."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from chatbot.audit import COMMAND_LINE
from chatbot.db import across_tenants
from chatbot.errors import NotFound
from chatbot.jobs import sweep
from chatbot.tenancy import Base, now
from chatbot.tenants import purging
from chatbot.tenants.models import Tenant
from chatbot.tenants.purging import purge_client, purge_deleted
from chatbot.tenants.standing import delete_client, undelete_client
from tests.rows import insert_one_of_each
from tests.world import BAKERY


@pytest.fixture
def doomed(world, database):
    """A client with a row in every table, deleted; its id."""
    with world.app.app_context():
        with across_tenants() as session:
            ids = insert_one_of_each(session.connection(), "doomed")
            session.execute(update(Tenant).where(Tenant.id == ids["tenant"]).values(slug="doomed", deleted_at=None))
        return delete_client("doomed", COMMAND_LINE)


def counts():
    with across_tenants(writes=False) as session:
        return {
            table.name: session.connection().execute(select(func.count()).select_from(table)).scalar_one()
            for table in Base.metadata.sorted_tables
        }


def owned(tenant_id):
    """How many rows are left that name the client, by table."""
    left = {}
    with across_tenants(writes=False) as session:
        for model, column in purging._owned():
            rows = session.scalar(select(func.count()).select_from(model).where(column == tenant_id))
            left[f"{model.__tablename__}.{column.name}"] = rows
    return left


def wait_days(days, tenant_id):
    with across_tenants() as session:
        session.execute(update(Tenant).where(Tenant.id == tenant_id).values(deleted_at=now() - timedelta(days=days)))


def test_every_row_goes_and_no_other(world, doomed, monkeypatch):
    monkeypatch.setattr(purging, "PORTION", 1)
    world.vera.post(message="Hello?")
    with world.app.app_context():
        before = counts()
        assert {name for name, rows in owned(doomed).items() if not rows} <= {
            "sign_in.confined_to",
            "sign_in.entered_id",
        }
        wait_days(8, doomed)
        assert purge_deleted() == 1
        assert not any(owned(doomed).values())
        after = counts()
        bakery = owned(world.ids[BAKERY])
    assert after["audit_entry"] == before["audit_entry"] + 1, "the log outlives the client"
    assert all(before[name] - after[name] <= 1 for name in after if name != "audit_entry")
    assert all(bakery[f"{name}.tenant_id"] for name in ("message", "turn", "membership", "api_key", "usage_day"))
    assert world.app.test_client().get(f"/chat/{BAKERY}").status_code == 200


def test_nothing_goes_before_its_week_is_over(world, doomed):
    with world.app.app_context():
        wait_days(6.9, doomed)
        assert purge_deleted() == 0 and not purge_client(doomed, COMMAND_LINE)
        undelete_client("doomed", COMMAND_LINE)
        assert not purge_client(doomed, COMMAND_LINE) and owned(doomed)["message.tenant_id"] == 1
        wait_days(7.1, doomed)
        with pytest.raises(NotFound):
            undelete_client("doomed", COMMAND_LINE)


def test_a_purge_that_is_broken_off_goes_on(world, doomed, monkeypatch):
    with world.app.app_context():
        wait_days(8, doomed)
        monkeypatch.setattr(purging, "AT_ONCE", 0)
        assert purge_deleted() == 0 and owned(doomed)["message.tenant_id"] == 1
        monkeypatch.undo()
        sweep()
        assert not any(owned(doomed).values())


def test_portions_follow_the_time_they_take():
    assert purging._following(200, 0.5) == 100 and purging._following(1, 9) == 1
    assert purging._following(200, 0.01) == 400 and purging._following(200, 0.05) == 200
