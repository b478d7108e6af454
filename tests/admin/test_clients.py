"""The operator's list of clients: found, sorted, paged and counted; several suspended or resumed at once."""

import re
from contextlib import contextmanager

import pytest
from sqlalchemy import event

from chatbot.db import across_tenants, db
from chatbot.tenants.clients import create_client, find_client
from tests.admin.sending import audited, post
from tests.world import ALICE, BAKERY, OTHER, ROOT


@pytest.fixture
def root(world):
    return world.signed_in(ROOT)


def names(http, query=""):
    """The short names on the page, in order."""
    page = http.get(f"/admin/clients?{query}").get_data(as_text=True)
    return re.findall(r"<small>([a-z0-9-]+)</small>", page)


@contextmanager
def queries(app):
    """The statements sent to the database, as they are sent."""
    sent = []
    with app.app_context():
        engine = db.engine

    def note(connection, cursor, statement, *rest):
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


def make_many(world, count):
    with world.app.app_context():
        for number in range(count):
            create_client(f"client-{number:03}", f"Client {number:03}", limits={"tokens_per_month": 1000})


def test_a_client_is_found_by_either_name_in_any_letters(world, root):
    assert names(root) == [BAKERY, OTHER]
    assert names(root, "q=HARBOUR") == names(root, "q=our-bak") == [BAKERY]
    assert names(root, "q=%25") == names(root, "q=_") == []
    assert "No client matches this." in root.get("/admin/clients?q=nothing").get_data(as_text=True)


def test_the_list_is_sorted_by_what_was_used(world, root):
    for _ in range(2):
        world.vera.post(message="Hello?")
    assert (
        names(root, "sort=-messages") == names(root, "sort=-words") == names(root, "sort=-activity") == [BAKERY, OTHER]
    )
    assert names(root, "sort=messages") == names(root, "sort=-name") == [OTHER, BAKERY]
    assert names(root, "sort=activity") == [BAKERY, OTHER], "who was never active comes last either way"
    page = root.get("/admin/clients?sort=-messages").get_data(as_text=True)
    assert 'aria-sort="descending"' in page


@pytest.mark.parametrize(
    "query",
    [
        "sort=;drop",
        "page=-5",
        "page=99999999999999999999",
        "page=x",
        "state=x",
        "q=%00",
        "sort=%27",
        "_scheme=x&_external=1",
        "endpoint=x",
        "_anchor=x",
        "slug=x",
    ],
)
def test_what_the_address_says_wrong_is_passed_over(root, query):
    answer = root.get(f"/admin/clients?{query}")
    assert answer.status_code == 200


def test_pages_hold_fifty(world, root):
    make_many(world, 60)
    assert len(names(root)) == 50 and len(names(root, "page=2")) == 12
    assert names(root, "page=7") == names(root, "page=2"), "the nearest there is"


def test_the_number_of_queries_stays(world, root):
    root.get("/admin/clients")
    with queries(world.app) as few:
        assert len(names(root)) == 2
    make_many(world, 49)
    world.vera.post(message="Hello?")
    root.get("/admin/clients")  # the platform's limits are read anew every two seconds, so just now
    for query in ("", "q=client", "sort=-words", "state=active&sort=-activity"):
        with queries(world.app) as many:
            assert len(names(root, query)) >= 49
        assert len(many) == len(few), query


def test_the_share_of_the_nearest_limit_is_shown(world, root):
    with world.app.app_context(), across_tenants():
        find_client(BAKERY).limits = {"messages_per_day": 2, "tokens_per_month": 1_000_000}
    world.vera.post(message="Hello?")
    assert "50% of today's messages" in root.get("/admin/clients").get_data(as_text=True)
    world.vera.post(message="Hello?")
    page = root.get("/admin/clients").get_data(as_text=True)
    assert re.search(r"badge-bad[^>]*>100% of today", page)


def test_several_are_suspended_and_resumed_at_once(world, root):
    without_reason = post(root, "/admin/clients", slug=[BAKERY, OTHER], do="suspend")
    page = without_reason.get_data(as_text=True)
    assert without_reason.status_code == 422 and len(re.findall("checked", page)) == 2, "what was chosen stays chosen"
    assert (
        post(
            root, "/admin/clients?state=all", slug=[BAKERY, OTHER, "nobody"], do="suspend", reason="unpaid"
        ).status_code
        == 303
    )
    assert names(root, "state=suspended") == [BAKERY, OTHER] and names(root, "state=active") == []
    assert [entry.tenant_slug for entry in audited(world, "client.suspended")] == [BAKERY, OTHER]
    post(root, "/admin/clients", slug=[OTHER, OTHER], do="resume")
    assert names(root, "state=active") == [OTHER]
    [entry] = audited(world, "client.resumed")
    assert (entry.who, entry.tenant_slug, entry.address) == (ROOT, OTHER, "127.0.0.1")


def test_a_form_that_says_nothing_to_do_does_nothing(world, root):
    for do in ("", "delete", "x"):
        assert post(root, "/admin/clients", slug=[BAKERY, "\0"], do=do, reason="x").status_code == 400
    assert names(root, "state=suspended") == []
    assert post(root, "/admin/clients", slug="a\0b", do="suspend", reason="x").status_code == 303


def test_a_deletion_is_undone_from_the_list(world, root):
    home = f"/admin/clients/{BAKERY}"
    post(root, f"{home}/delete", page=home, typed="Harbour Bakery")
    page = root.get("/admin/clients?state=deleted").get_data(as_text=True)
    [undo] = re.findall(r'formaction="([^"]+)"', page)
    assert post(root, undo, page="/admin/clients?state=deleted").status_code == 303
    assert names(root) == [BAKERY, OTHER] and names(root, "state=deleted") == []


def test_nobody_else_sees_it(world):
    assert world.signed_in(ALICE).get("/admin/clients").status_code == 403
    assert world.app.test_client().get("/admin/clients").status_code == 303
