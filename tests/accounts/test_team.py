"""A client's team: who is in it, who is invited, and that somebody stays who may do everything."""

import html
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from chatbot.accounts import members, people
from chatbot.accounts.links import INVITATION, make_link
from chatbot.accounts.members import change_role, remove_member
from chatbot.accounts.models import Account, Membership, OneTimeLink, SignIn
from chatbot.accounts.people import set_enabled, set_platform_admin
from chatbot.accounts.sign_ins import begin_sign_in
from chatbot.audit import Actor, AuditEntry
from chatbot.db import across_tenants, as_tenant, db
from chatbot.errors import Conflict, Invalid, NotFound
from chatbot.jobs import run_next
from chatbot.tenancy import new_id
from chatbot.tenants.clients import find_client
from tests.accounts.people import PAGE, PASSWORD, browser, deeds, is_in, link_in
from tests.accounts.signing_in import account_of, post
from tests.smtp_server import MailCatcher, settings_for
from tests.world import ALICE, BAKERY, BOB, CHARLIE, OTHER, ROOT, ULLA, World

TEAM = f"/console/{BAKERY}/team"
NEW = "nora@bakery.example"
OPERATOR = Actor("the operator")


def text(answer: TestResponse) -> str:
    return html.unescape(answer.get_data(as_text=True))


def page(http: FlaskClient, path: str = TEAM) -> str:
    answer = http.get(path, headers=PAGE)
    assert answer.status_code == 200
    return text(answer)


def member_id(world: World, email: str, slug: str = BAKERY) -> str:
    with world.app.app_context(), as_tenant(world.ids[slug], writes=False) as session:
        own = select(Membership.id).join(Account, Account.id == Membership.account_id).where(Account.email == email)
        return session.scalar(own) or ""


def role(world: World, email: str, slug: str = BAKERY) -> str | None:
    with world.app.app_context(), as_tenant(world.ids[slug], writes=False) as session:
        own = select(Membership.role).join(Account, Account.id == Membership.account_id)
        return session.scalar(own.where(Account.email == email))


def to_role(http: FlaskClient, id_: str, role: str) -> TestResponse:
    return post(http, f"{TEAM}/members/{id_}/role", role=role)


def remove(http: FlaskClient, id_: str) -> TestResponse:
    return post(http, f"{TEAM}/members/{id_}/remove")


# --- who is in it ----------------------------------------------------------------------------------------------------


def test_admins_see_their_people_and_nobody_elses(world: World) -> None:
    shown = page(world.signed_in(ALICE))
    assert all(email in shown for email in (ALICE, BOB, ULLA)) and CHARLIE not in shown and ROOT not in shown
    assert "never" in shown, "Bob has not signed in yet"


def test_a_large_team_has_pages_and_a_search(world: World) -> None:
    with world.app.app_context(), across_tenants() as session:
        for n in range(60):
            session.add(account := Account(email=f"p{n:02}@x.example", name=f"Person {n:02} Ä"))
            session.flush()
            session.add(Membership(tenant_id=world.ids[BAKERY], account_id=account.id, role="user"))
    alice = world.signed_in(ALICE)
    first, second = page(alice), page(alice, f"{TEAM}?page=2")
    assert (first + second).count("@x.example</bdi>") == 60 and "p00@" not in second and "p59@" not in first
    assert "63 in all" in first and "Page 2 of 2" in page(alice, f"{TEAM}?page=99")
    assert re.findall(r"p\d\d@x.example(?=</bdi>)", page(alice, f"{TEAM}?q=person 07 ä")) == ["p07@x.example"]
    assert CHARLIE not in page(alice, f"{TEAM}?q=charlie@other") and "Nobody here matches" in page(
        alice, f"{TEAM}?q=%25"
    )


@pytest.mark.parametrize(("email", "status"), [(BOB, 403), (ULLA, 403), (CHARLIE, 404), (ROOT, 404)])
def test_nobody_else_does(world: World, email: str, status: int) -> None:
    http = world.signed_in(email)
    assert http.get(TEAM, headers=PAGE).status_code == status
    assert http.get(f"{TEAM}/members/{member_id(world, BOB)}", headers=PAGE).status_code == status
    assert post(http, f"{TEAM}/invitations", email=NEW, role="admin").status_code == status
    assert to_role(http, member_id(world, BOB), "admin").status_code == status
    assert remove(http, member_id(world, ALICE)).status_code == status
    assert post(http, f"{TEAM}/second-factor", requires_second_factor="y").status_code == status
    assert [role(world, one) for one in (ALICE, BOB, ULLA)] == ["admin", "staff", "user"] and deeds(world) == []


def test_a_role_is_changed_and_counts_at_once(world: World) -> None:
    alice, bob = world.signed_in(ALICE), world.signed_in(BOB)
    assert to_role(alice, member_id(world, BOB), "admin").location == TEAM
    assert page(bob, TEAM) and role(world, BOB) == "admin"
    assert to_role(alice, member_id(world, BOB), "user").status_code == 303
    assert bob.get(f"/console/{BAKERY}/overview", headers=PAGE).status_code == 403
    assert to_role(alice, member_id(world, BOB), "owner").status_code == 422
    assert to_role(alice, member_id(world, BOB), "user").status_code == 303, "the same again is no change"
    assert deeds(world).count("member.role-changed") == 2


def test_who_is_removed_is_out_at_once(world: World) -> None:
    alice, bob = world.signed_in(ALICE), world.signed_in(BOB)
    assert "Remove from the team" in page(alice, f"{TEAM}/members/{member_id(world, BOB)}")
    assert remove(alice, member_id(world, BOB)).location == TEAM
    assert bob.get(f"/console/{BAKERY}/overview", headers=PAGE).status_code == 404
    assert is_in(bob), "the account stays"
    assert BOB not in page(alice).partition("People")[2].partition("Invite")[0]
    assert remove(alice, new_id()).status_code == 404


def test_a_removed_members_sign_ins_by_the_clients_provider_end(world: World) -> None:
    with world.app.app_context(), across_tenants():
        begin_sign_in(account_of(BOB).id, address="", device="", confined_to=world.ids[BAKERY])
        begin_sign_in(account_of(BOB).id, address="", device="", confined_to=world.ids[OTHER])
    remove(world.signed_in(ALICE), member_id(world, BOB))
    with world.app.app_context(), across_tenants() as session:
        left = session.scalars(select(SignIn.confined_to).where(SignIn.account_id == account_of(BOB).id)).all()
    assert left == [world.ids[OTHER]]


def test_who_leaves_by_themselves_is_led_home(world: World) -> None:
    to_role(alice := world.signed_in(ALICE), member_id(world, BOB), "admin")
    assert to_role(alice, member_id(world, ALICE), "staff").location == "/"
    assert remove(world.signed_in(BOB), member_id(world, ALICE)).location == TEAM


# --- the last admin --------------------------------------------------------------------------------------------------


def test_the_last_admin_stays(world: World) -> None:
    alice, id_ = world.signed_in(ALICE), member_id(world, ALICE)
    for answer in (to_role(alice, id_, "staff"), to_role(alice, id_, "user"), remove(alice, id_)):
        assert answer.status_code == 409 and "needs an admin" in text(answer)
    assert role(world, ALICE) == "admin" and deeds(world) == []


def test_an_admin_who_is_switched_off_is_none(world: World) -> None:
    to_role(alice := world.signed_in(ALICE), member_id(world, BOB), "admin")
    with world.app.app_context(), across_tenants():
        set_enabled(account_of(BOB).id, False, OPERATOR)
    assert remove(alice, member_id(world, ALICE)).status_code == 409
    assert "Switched off" in page(alice)
    assert remove(alice, member_id(world, BOB)).status_code == 303


@pytest.fixture
def slow_eyes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both look whether another admin is there before either goes on, unless they may not look at the same time."""
    both = threading.Barrier(2)

    def after_both(look: Callable[..., Any]) -> Callable[..., Any]:
        def looked(*given: Any) -> Any:
            found = look(*given)
            with suppress(threading.BrokenBarrierError):
                both.wait(1)
            return found

        return looked

    monkeypatch.setattr(members, "_refuse_last_admin", after_both(members._refuse_last_admin))
    monkeypatch.setattr(people, "_refuse_last", after_both(people._refuse_last))


def at_once(world: World, *works: Callable[[], Any]) -> list[str]:
    """Each in a transaction and a thread of its own. What became of them."""

    def run(work: Callable[[], Any]) -> str:
        with world.app.app_context():
            try:
                work()
            except Conflict:
                return "refused"
        return "done"

    with ThreadPoolExecutor(len(works)) as threads:
        return sorted(threads.map(run, works))


@pytest.mark.usefixtures("slow_eyes")
@pytest.mark.parametrize("how", ["remove", "demote"])
def test_two_admins_at_once_do_not_remove_each_other(world: World, how: str) -> None:
    to_role(world.signed_in(ALICE), member_id(world, BOB), "admin")

    def against(email: str) -> Callable[[], Any]:
        id_ = member_id(world, email)

        def act() -> None:
            with as_tenant(world.ids[BAKERY]):
                remove_member(id_, OPERATOR) if how == "remove" else change_role(id_, "user", OPERATOR)

        return act

    assert at_once(world, against(ALICE), against(BOB)) == ["done", "refused"]
    assert [role(world, one) for one in (ALICE, BOB)].count("admin") == 1


@pytest.mark.usefixtures("slow_eyes")
@pytest.mark.parametrize("how", [set_platform_admin, set_enabled])
def test_two_platform_admins_at_once_do_not_remove_each_other(world: World, how: Callable[..., None]) -> None:
    with world.app.app_context(), across_tenants():
        set_platform_admin(account_of(ALICE).id, True, OPERATOR)
        ids = [account_of(email).id for email in (ALICE, ROOT)]

    def against(id_: str) -> Callable[[], Any]:
        def act() -> None:
            with across_tenants():
                how(id_, False, OPERATOR)

        return act

    assert at_once(world, *map(against, ids)) == ["done", "refused"]
    with world.app.app_context(), across_tenants() as session:
        assert len(session.scalars(select(Account.id).where(Account.is_platform_admin, Account.is_enabled)).all()) == 1


def test_the_last_platform_admin_stays(world: World) -> None:
    with world.app.app_context():
        with across_tenants():
            root, alice = account_of(ROOT).id, account_of(ALICE).id
        for change in (set_platform_admin, set_enabled):
            with pytest.raises(Conflict), across_tenants():
                change(root, False, OPERATOR)
        with across_tenants():
            set_platform_admin(alice, True, OPERATOR)
            set_enabled(root, False, OPERATOR)
            with pytest.raises(Conflict):
                set_platform_admin(alice, False, OPERATOR)
            set_enabled(root, True, OPERATOR)
            set_platform_admin(root, False, OPERATOR)
            with pytest.raises(NotFound):
                set_enabled(new_id(), False, OPERATOR)
    assert [one for one in deeds(world) if one.startswith("account.")] == [
        "account.platform-admin-granted",
        "account.disabled",
        "account.enabled",
        "account.platform-admin-withdrawn",
    ]


def test_a_clients_own_account_never_rules_the_platform(world: World) -> None:
    with world.app.app_context(), across_tenants():
        account_of(BOB).home_id = world.ids[BAKERY]
        with pytest.raises(Invalid):
            set_platform_admin(account_of(BOB).id, True, OPERATOR)


def test_who_is_switched_off_is_signed_out(world: World) -> None:
    bob, ulla = world.signed_in(BOB), world.signed_in(ULLA)
    with world.app.app_context(), across_tenants():
        set_enabled(account_of(BOB).id, False, OPERATOR)
    assert not is_in(bob) and is_in(ulla)
    with world.app.app_context(), across_tenants():
        set_enabled(account_of(BOB).id, True, OPERATOR)
    assert not is_in(bob), "what has ended stays so"


def test_who_rules_the_platform_no_longer_has_entered_nothing(world: World) -> None:
    http = world.signed_in(ALICE)
    with world.app.app_context(), across_tenants():
        set_platform_admin(account_of(ALICE).id, True, OPERATOR)
    assert post(http, f"/admin/clients/{OTHER}/enter", reason="to help").status_code == 303
    assert http.get(f"/console/{OTHER}/team", headers=PAGE).status_code == 200
    with world.app.app_context(), across_tenants():
        set_platform_admin(account_of(ALICE).id, False, OPERATOR)
    assert http.get(f"/console/{OTHER}/team", headers=PAGE).status_code == 404


# --- invitations -----------------------------------------------------------------------------------------------------


def invite(http: FlaskClient, email: str = NEW, role: str = "staff") -> TestResponse:
    return post(http, f"{TEAM}/invitations", email=email, role=role)


def shown_link(http: FlaskClient) -> str | None:
    found = re.search(r'value="http://127\.0\.0\.1:5000(/link/[^"]+)"', page(http))
    return found[1] if found else None


def invitation_id(world: World, email: str = NEW) -> str:
    with world.app.app_context(), across_tenants() as session:
        return session.scalar(select(OneTimeLink.id).where(OneTimeLink.email == email)) or ""


def test_without_mail_the_link_is_shown_once(world: World) -> None:
    alice, nora = world.signed_in(ALICE), browser(world)
    assert invite(alice).location == TEAM
    path = shown_link(alice)
    assert path and shown_link(alice) is None, "once"
    assert NEW in page(alice)
    assert post(nora, path, name="Nora", password=PASSWORD).location == f"/console/{BAKERY}"
    assert role(world, NEW) == "staff" and "Invited" not in page(alice)
    assert [one for one in deeds(world) if one.startswith("member.")] == ["member.invited", "member.joined"]


def test_a_link_is_shown_to_its_own_client_alone(world: World) -> None:
    alice = world.signed_in(ALICE)
    with world.app.app_context(), as_tenant(world.ids[OTHER]) as session:
        session.add(Membership(account_id=account_of(ALICE).id, role="admin"))
    invite(alice)
    assert "/link/" not in page(alice, f"/console/{OTHER}/team")


class TestMailed:
    @pytest.fixture
    def server(self) -> Iterator[MailCatcher]:
        with MailCatcher() as catcher:
            yield catcher

    @pytest.fixture
    def settings(self, server: MailCatcher) -> dict[str, Any]:
        return settings_for(server) | {"PUBLIC_URL": "http://127.0.0.1:5000"}

    def test_the_link_is_mailed_and_not_shown(self, world: World, server: MailCatcher) -> None:
        alice = world.signed_in(ALICE)
        invite(alice)
        assert shown_link(alice) is None
        with world.app.app_context():
            while run_next("worker"):
                pass
        [mail] = server.mails
        assert mail["To"] == NEW and mail["Subject"] == "Your invitation to Harbour Bakery"
        path = link_in(mail.get_content())
        assert post(browser(world), path, name="Nora", password=PASSWORD).status_code == 303

    def test_a_clients_name_makes_no_header(self, world: World, server: MailCatcher) -> None:
        with world.app.app_context(), across_tenants():
            find_client(BAKERY).name = "Bakery\r\nBcc: eve@x.example"
        invite(world.signed_in(ALICE))
        with world.app.app_context():
            while run_next("worker"):
                pass
        [mail] = server.mails
        assert mail["Bcc"] is None and mail["Subject"] == "Your invitation to Bakery  Bcc: eve@x.example"


def test_what_can_not_be_invited_is_said(world: World) -> None:
    alice = world.signed_in(ALICE)
    for email, role_, status in (("nora", "staff", 422), (NEW, "owner", 422), (BOB, "admin", 409), ("", "user", 422)):
        answer = invite(alice, email, role_)
        assert answer.status_code == status and 'aria-labelledby="error-summary"' in text(answer)
        assert f'value="{email}"' in text(answer)
    assert invitation_id(world) == "" and role(world, BOB) == "staff"


def test_a_new_link_takes_the_place_of_the_old(world: World) -> None:
    alice = world.signed_in(ALICE)
    invite(alice)
    old = shown_link(alice)
    assert post(alice, f"{TEAM}/invitations/{invitation_id(world)}/again").location == TEAM
    new = shown_link(alice)
    assert new and browser(world).get(old).status_code == 404 and browser(world).get(new).status_code == 200
    invite(alice, role="user")
    assert browser(world).get(new).status_code == 404, "nor is anybody invited twice"
    assert "as a user" in text(browser(world).get(shown_link(alice)))


def test_an_invitation_is_withdrawn(world: World) -> None:
    alice = world.signed_in(ALICE)
    invite(alice)
    path = shown_link(alice)
    assert post(alice, f"{TEAM}/invitations/{invitation_id(world)}/withdraw").location == TEAM
    assert browser(world).get(path).status_code == 404
    assert "is withdrawn" in page(alice) and "member.invitation-withdrawn" in deeds(world)


def test_no_client_mails_without_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatbot.accounts.team_routes.INVITATIONS", "3 per hour")
    alice = world.signed_in(ALICE)
    answers = [invite(alice, f"x{n}@x.example") for n in range(4)]
    assert [answer.status_code for answer in answers] == [303] * 3 + [429] and answers[-1].headers["Retry-After"]
    assert invite(charlie := world.signed_in(CHARLIE)).status_code == 404
    assert post(charlie, f"/console/{OTHER}/team/invitations", email=NEW, role="user").status_code == 303


@pytest.mark.parametrize("kind", ["foreign", "unknown", "used", "a reset"])
def test_other_peoples_links_are_not_there(world: World, kind: str) -> None:
    with world.app.app_context(), across_tenants():
        given: dict[str, Any] = {"kind": INVITATION, "email": NEW, "role": "user", "tenant_id": world.ids[BAKERY]}
        given |= {"foreign": {"tenant_id": world.ids[OTHER]}, "a reset": {"kind": "reset"}}.get(kind, {})
        row = OneTimeLink(**given)
        make_link(row)
        row.used_at = row.expires_at if kind == "used" else None
        db.session.flush()
        id_ = new_id() if kind == "unknown" else row.id
    alice = world.signed_in(ALICE)
    for act in ("again", "withdraw"):
        assert post(alice, f"{TEAM}/invitations/{id_}/{act}").status_code == 404
    assert invitation_id(world) and deeds(world) == []


def test_other_clients_members_are_not_there(world: World) -> None:
    alice, id_ = world.signed_in(ALICE), member_id(world, CHARLIE, OTHER)
    assert alice.get(f"{TEAM}/members/{id_}", headers=PAGE).status_code == 404
    assert to_role(alice, id_, "user").status_code == remove(alice, id_).status_code == 404
    assert role(world, CHARLIE, OTHER) == "admin"


# --- the second factor -----------------------------------------------------------------------------------------------


def test_people_here_must_use_a_second_factor(world: World) -> None:
    strong, weak = world.signed_in(ALICE, strong=True), world.signed_in(BOB)
    assert weak.get(f"/console/{BAKERY}/overview", headers=PAGE).status_code == 200
    assert post(strong, f"{TEAM}/second-factor", requires_second_factor="y").location == TEAM
    assert "checked" in page(strong)
    assert weak.get(f"/console/{BAKERY}/overview", headers=PAGE).status_code == 303
    assert post(strong, f"{TEAM}/second-factor").location == TEAM
    assert weak.get(f"/console/{BAKERY}/overview", headers=PAGE).status_code == 200
    assert deeds(world) == ["client.second-factor-required", "client.second-factor-optional"]


def test_each_entry_says_who_what_and_where(world: World) -> None:
    to_role(world.signed_in(ALICE), member_id(world, BOB), "user")
    with world.app.app_context(), across_tenants() as session:
        [entry] = session.scalars(select(AuditEntry).where(AuditEntry.who == ALICE))
        assert (entry.who, entry.target, entry.tenant_slug, entry.address) == (ALICE, BOB, BAKERY, "127.0.0.1")
        assert entry.detail == {"from": "staff", "to": "user"}
