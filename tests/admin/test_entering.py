"""Enter as client: with a reason, marked on every page, written down at begin and end; it ends by itself, by leaving, by signing out."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from chatbot.accounts import entering, sign_ins
from chatbot.accounts.models import Account, Membership, SignIn
from chatbot.accounts.people import set_platform_admin
from chatbot.audit import COMMAND_LINE
from chatbot.db import across_tenants
from chatbot.tenancy import now
from chatbot.tenants.clients import find_client
from tests.admin.sending import audited, post
from tests.world import ALICE, BAKERY, OTHER, ROOT

HOME, CONSOLE = f"/admin/clients/{BAKERY}", f"/console/{BAKERY}/overview"
WORD = "You are in Harbour Bakery as its admin since"


@pytest.fixture
def root(world):
    return world.signed_in(ROOT)


def enter(http, slug=BAKERY, reason="the owner rang: no answers"):
    home = f"/admin/clients/{slug}"
    return post(http, f"{home}/enter", page=home, reason=reason)


def ends(world):
    """How each entry ended, and why it was begun, as the log has it."""
    return [
        (entry.detail["how"], entry.detail["reason"], entry.who, entry.tenant_slug)
        for entry in audited(world, "client.left")
    ]


def later(monkeypatch, **time):
    for module in (entering, sign_ins):
        monkeypatch.setattr(module, "now", lambda: now() + timedelta(**time))


def test_an_operator_sees_a_console_only_after_entering(world, root):
    assert root.get(CONSOLE).status_code == 404
    assert enter(root).location == CONSOLE
    assert root.get(CONSOLE).status_code == 200
    assert root.get(f"/console/{OTHER}/overview").status_code == 404, "in that client alone"
    [entry] = audited(world, "client.entered")
    assert (entry.who, entry.tenant_slug, entry.address) == (ROOT, BAKERY, "127.0.0.1")
    assert entry.detail == {"reason": "the owner rang: no answers"}


@pytest.mark.parametrize("reason", ["", "  ", "x" * 301])
def test_without_a_reason_nobody_enters(world, root, reason):
    assert enter(root, reason=reason).status_code == 422
    assert root.get(CONSOLE).status_code == 404 and audited(world, "client.entered") == []


def test_every_page_says_so(root):
    enter(root)
    for path in (CONSOLE, "/admin/clients", HOME, "/admin/limits", f"/chat/{BAKERY}", f"/chat/{BAKERY}/new"):
        assert WORD in root.get(path).get_data(as_text=True), path
    refused = root.get(f"/console/{OTHER}/overview", headers={"Accept": "text/html"})
    assert refused.status_code == 404 and WORD in refused.get_data(as_text=True)


def test_leaving_ends_it(world, root):
    enter(root)
    assert post(root, "/admin/leave").location == "/admin/clients"
    assert root.get(CONSOLE).status_code == 404 and WORD not in root.get("/admin/clients").get_data(as_text=True)
    assert ends(world) == [("they left", "the owner rang: no answers", ROOT, BAKERY)]
    post(root, "/admin/leave")
    assert len(ends(world)) == 1


def test_it_ends_by_itself_and_that_is_written_down(world, root, monkeypatch):
    enter(root)
    later(monkeypatch, minutes=29)
    assert root.get(CONSOLE).status_code == 200
    later(monkeypatch, minutes=31)
    assert root.get(CONSOLE).status_code == 404
    assert WORD not in root.get("/admin/clients").get_data(as_text=True)
    with world.app.app_context():
        assert entering.end_entries() == 1 and entering.end_entries() == 0
    assert ends(world) == [("its time was over", "the owner rang: no answers", ROOT, BAKERY)]


def test_the_end_of_the_sign_in_is_its_end(world, root):
    enter(root)
    with world.app.app_context(), across_tenants() as session:
        sign_ins.end_sign_ins(session.scalar(select(SignIn.account_id).where(SignIn.entered_id.is_not(None))))
    assert root.get(CONSOLE).status_code == 303
    assert [how for how, *_ in ends(world)] == ["the sign-in ended"]


def test_another_client_takes_its_place(world, root):
    enter(root)
    enter(root, OTHER, "another thing")
    assert root.get(CONSOLE).status_code == 404 and root.get(f"/console/{OTHER}/overview").status_code == 200
    assert [(how, reason) for how, reason, *_ in ends(world)] == [
        ("another client was entered", "the owner rang: no answers")
    ]


def test_one_who_is_no_operator_any_more_is_out(world, root):
    enter(root)
    with world.app.app_context():
        from tests.world import create_account

        create_account("second@platform.example", "Second", None, is_platform_admin=True, slug=None, role="user")
        with across_tenants() as session:
            set_platform_admin(session.scalar(select(SignIn.account_id)), False, COMMAND_LINE)
    assert root.get(CONSOLE).status_code == 404 and len(ends(world)) == 1


def test_it_belongs_to_one_browser(world, root):
    enter(root)
    assert world.signed_in(ROOT).get(CONSOLE).status_code == 404


def test_nobody_else_can(world, root):
    alice = world.signed_in(ALICE)
    assert post(alice, f"{HOME}/enter", page=CONSOLE, reason="mine").status_code == 403
    assert audited(world, "client.entered") == []


def test_it_ends_with_the_client(world, root):
    enter(root)
    post(root, f"{HOME}/delete", page=HOME, typed="Harbour Bakery")
    assert root.get(CONSOLE).status_code == 404 and WORD not in root.get("/admin/clients").get_data(as_text=True)
    assert [how for how, *_ in ends(world)] == ["the client was deleted"]


@pytest.mark.parametrize("way", ["one", "others"])
def test_ending_it_from_another_browser_is_written_down(world, root, way):
    enter(root)
    with root.session_transaction() as kept:
        sign_in_id = kept["_user_id"].partition(".")[0]
    path = f"/account/sign-ins/{sign_in_id}/end" if way == "one" else "/account/sign-ins/end-others"
    assert post(world.signed_in(ROOT), path, page="/account").status_code == 303
    assert root.get(CONSOLE).status_code == 303
    assert [how for how, *_ in ends(world)] == ["the sign-in ended"]


def test_being_in_one_client_opens_no_other(world, root):
    with world.app.app_context(), across_tenants() as session:
        other = find_client(OTHER)
        other.requires_second_factor = True
        root_id = session.scalar(select(Account.id).where(Account.email == ROOT))
        session.add(Membership(tenant_id=other.id, account_id=root_id, role="admin"))
    enter(root)
    assert root.get(CONSOLE).status_code == 200
    assert root.get(f"/console/{OTHER}/overview").location.startswith("/account/second-factor")
