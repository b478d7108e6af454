"""The operator's accounts: finding them, seeing all about one, and each thing that can be done about it."""

import re
from typing import Any

import pytest
from sqlalchemy import event, select

from chatbot.accounts.models import Account, OneTimeLink, Passkey, SignIn
from chatbot.accounts.people import create_account
from chatbot.db import across_tenants, db
from chatbot.jobs import Job
from tests.admin.operator import HTML, Operator, account_id, deeds
from tests.world import ALICE, BAKERY, BOB, CHARLIE, ROOT, ULLA, World

NEW = "nora@new.example"


def account(world: World, email: str) -> Any:
    with world.app.app_context(), across_tenants(writes=False) as session:
        return session.scalar(select(Account).where(Account.email == email))


def shown(page: str) -> list[str]:
    """The e-mails of the table's rows, in order."""
    return re.findall(r"<small><bdi>([^<]+)</bdi></small>", page)


# --- the list --------------------------------------------------------------------------------------------------------


def test_the_list_is_searched_and_narrowed(world: World) -> None:
    root = Operator.of(world)
    assert set(shown(root.see("accounts"))) == {ALICE, BOB, ULLA, CHARLIE, ROOT}
    assert shown(root.see("accounts", q="BAKERY.example", sort="-name")) == [ULLA, BOB, ALICE]
    assert shown(root.see("accounts", state="admins")) == [ROOT]
    assert shown(root.see("accounts", state="off")) == []
    with world.app.app_context(), across_tenants() as session:
        found = {row.email: row for row in session.scalars(select(Account))}
        found[BOB].is_enabled = False
        found[ALICE].totp_secret = "SECRET"
        session.add(Passkey(account_id=found[ULLA].id, credential_id=b"1", public_key=b"1"))
    assert shown(root.see("accounts", state="off")) == [BOB]
    assert set(shown(root.see("accounts", state="no-factor"))) == {BOB, CHARLIE, ROOT}


def test_odd_arguments_are_as_none(world: World) -> None:
    root = Operator.of(world)
    for odd in ({"page": "x"}, {"page": "99"}, {"page": "-1"}, {"sort": "password_hash"}, {"state": "'"}, {"q": "%_'"}):
        root.see("accounts", **odd)


def test_a_page_costs_the_same_however_many_there_are(world: World) -> None:
    root = Operator.of(world)

    def statements() -> int:
        asked: list[str] = []
        with world.app.app_context():
            engine = db.engine
        event.listen(engine, "before_cursor_execute", hear := lambda *given: asked.append(given[2]))
        root.see("accounts")
        event.remove(engine, "before_cursor_execute", hear)
        return len(asked)

    root.see("accounts")
    few = statements()
    with world.app.app_context():
        for number in range(60):
            create_account(f"p{number}@many.example", "", None, is_platform_admin=False, slug=BAKERY, role="user")
    assert statements() == few
    assert "Page 1 of 2" in root.see("accounts") and len(shown(root.see("accounts", page="2"))) == 15


# --- one account -----------------------------------------------------------------------------------------------------


def test_everything_about_one_account_and_none_of_its_secrets(world: World) -> None:
    with world.app.app_context(), across_tenants() as session:
        alice = session.scalar(select(Account).where(Account.email == ALICE))
        alice.totp_secret, alice.password_hash = "TOTPSECRET", "$argon2id$x"
        session.add(Passkey(account_id=alice.id, credential_id=b"1", public_key=b"1", name="Her phone"))
    world.signed_in(ALICE)
    page = Operator.of(world).see(f"accounts/{account_id(world, ALICE)}")
    assert all(words in page for words in ("Harbour Bakery", "Admin", "Her phone", "An app.", "a test", "127.0.0.1"))
    assert "TOTPSECRET" not in page and "argon2" not in page
    with world.app.app_context(), across_tenants(writes=False) as session:
        assert all(row.secret_hash not in page for row in session.scalars(select(SignIn)))


def test_what_is_no_account_is_not_there(world: World) -> None:
    root = Operator.of(world)
    for odd in (world.ids[BAKERY], "x", "0" * 26):
        assert root.http.get(f"/admin/accounts/{odd}", headers=HTML).status_code == 404


def test_sign_ins_end_one_or_all(world: World) -> None:
    alice, again, root = world.signed_in(ALICE), world.signed_in(ALICE), Operator.of(world)
    here = f"accounts/{account_id(world, ALICE)}"
    ids = re.findall(r'name="sign_in" value="(\w+)"', root.see(here))
    assert len(ids) == 2
    assert root.do(f"{here}/sign-ins/end", here, sign_in=ids[0]).status_code == 303
    assert len(re.findall('name="sign_in"', root.see(here))) == 1
    root.do(f"{here}/sign-ins/end", here)
    assert all(http.get("/admin/accounts", headers=HTML).status_code == 303 for http in (alice, again)), "signed out"
    theirs = f"accounts/{account_id(world, BOB)}"
    assert root.do(f"{theirs}/sign-ins/end", theirs, sign_in=ids[0]).status_code == 404, "nobody else's id"
    assert [entry.action for entry in deeds(world)] == ["account.signed-out"] * 2


def test_ones_own_sign_in_stays_when_all_others_end(world: World) -> None:
    root, other = Operator.of(world), Operator.of(world)
    here = f"accounts/{account_id(world, ROOT)}"
    root.do(f"{here}/sign-ins/end", here)
    assert root.see("accounts") and other.http.get("/admin/accounts", headers=HTML).status_code == 303


def test_switched_off_it_is_signed_out_and_on_again_it_may_come(world: World) -> None:
    bob, root = world.signed_in(BOB), Operator.of(world)
    here = f"accounts/{account_id(world, BOB)}"
    assert root.do(f"{here}/enabled", here).status_code == 303
    assert not account(world, BOB).is_enabled
    assert bob.get(f"/console/{BAKERY}/overview", headers=HTML).status_code == 303
    root.do(f"{here}/enabled", here, on="1")
    assert account(world, BOB).is_enabled
    assert [entry.action for entry in deeds(world)] == ["account.disabled", "account.enabled"]


def test_platform_admin_is_given_and_taken_but_never_from_the_last(world: World) -> None:
    root = Operator.of(world)
    own, bobs = (f"accounts/{account_id(world, email)}" for email in (ROOT, BOB))
    for path in (f"{own}/platform-admin", f"{own}/enabled"):
        refused = root.do(path, own)
        assert refused.status_code == 409 and "make somebody else one first" in refused.get_data(as_text=True)
    assert account(world, ROOT).is_platform_admin and account(world, ROOT).is_enabled
    root.do(f"{bobs}/platform-admin", bobs, on="1")
    assert Operator.of(world, BOB).see("accounts")
    assert root.do(f"{own}/platform-admin", own).status_code == 303
    assert root.http.get("/admin/accounts", headers=HTML).status_code == 403


def with_app(world: World, email: str) -> bool:
    with world.app.app_context(), across_tenants(writes=False) as session:
        return bool(session.scalar(select(Account.totp_secret.is_not(None)).where(Account.email == email)))


def test_a_lost_second_factor_is_reset(world: World) -> None:
    with world.app.app_context(), across_tenants() as session:
        bob = session.scalar(select(Account).where(Account.email == BOB))
        bob.totp_secret = "SECRET"
    here, root = f"accounts/{account_id(world, BOB)}", Operator.of(world)
    assert root.do(f"{here}/factors/reset", here).status_code == 303
    assert with_app(world, BOB) is False
    assert "Reset the second factor" not in root.see(here)


# --- links, and new accounts -----------------------------------------------------------------------------------------


def test_a_link_for_a_new_password_is_shown_once(world: World) -> None:
    here, root = f"accounts/{account_id(world, BOB)}", Operator.of(world)
    answer = root.do(f"{here}/link", here, show="1")
    found = re.search(r'value="(http[^"]+/link/([^"]+))"', answer.get_data(as_text=True))
    assert answer.status_code == 200 and found
    assert "no-store" in answer.headers["Cache-Control"]
    assert found[2] not in root.see(here)
    with world.app.app_context(), across_tenants(writes=False) as session:
        link = session.scalar(select(OneTimeLink))
        assert link.account_id == account_id(world, BOB) and link.secret_hash != found[2]
    assert found[2] not in repr([entry.detail for entry in deeds(world)])


def test_for_whom_a_client_vouches_there_is_no_link_and_no_platform(world: World) -> None:
    with world.app.app_context(), across_tenants() as session:
        bob = session.scalar(select(Account).where(Account.email == BOB))
        bob.home_id = world.ids[BAKERY]
    here, root = f"accounts/{account_id(world, BOB)}", Operator.of(world)
    page = root.see(here)
    assert "Harbour Bakery alone" in page and "Make platform admin" not in page
    assert root.do(f"{here}/link", here).status_code == 404
    assert root.do(f"{here}/platform-admin", here, on="1").status_code == 422
    assert not account(world, BOB).is_platform_admin


def test_a_new_account_gets_a_link_for_a_week(world: World) -> None:
    answer = Operator.of(world).do("new-account", email="Nora@new.example", name="Nora", is_platform_admin="y")
    assert answer.status_code == 200 and "/link/" in answer.get_data(as_text=True)
    made = account(world, NEW)
    assert (made.name, made.is_platform_admin, made.password_hash) == ("Nora", True, None)
    with world.app.app_context(), across_tenants(writes=False) as session:
        link = session.scalar(select(OneTimeLink))
        assert (link.expires_at - link.created_at).days in (6, 7)
    assert [(entry.action, entry.target) for entry in deeds(world)] == [("account.created", NEW)]


@pytest.mark.parametrize("email", ["", "nora", ALICE])
def test_what_can_not_be_used_keeps_what_was_typed(world: World, email: str) -> None:
    answer = Operator.of(world).do("new-account", email=email, name="Nora")
    page = answer.get_data(as_text=True)
    assert answer.status_code == 422 and 'value="Nora"' in page and 'aria-invalid="true"' in page
    assert "Something is not right yet" in page


class TestWithMail:
    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"SMTP_URL": "smtp://127.0.0.1:9", "MAIL_FROM": "shaman@platform.example"}

    def test_links_are_mailed_and_not_shown(self, world: World) -> None:
        root, here = Operator.of(world), f"accounts/{account_id(world, BOB)}"
        assert root.do("new-account", email=NEW).status_code == 303
        assert root.do(f"{here}/link", here).status_code == 303
        assert "/link/" not in root.see(here)
        with world.app.app_context(), across_tenants(writes=False) as session:
            assert [job.kind for job in session.scalars(select(Job))] == ["mail", "mail"]


@pytest.mark.parametrize("email", [ALICE, ULLA])
def test_nobody_else_comes_here(world: World, email: str) -> None:
    http, bob = world.signed_in(email), account_id(world, BOB)
    assert http.get("/admin/accounts", headers=HTML).status_code == 403
    assert http.get(f"/admin/accounts/{bob}", headers=HTML).status_code == 403
