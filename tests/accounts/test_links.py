"""One-time links: what each does, once; and that nothing else is told or done."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient, FlaskCliRunner
from sqlalchemy import func, select, update
from werkzeug.test import TestResponse

from chatbot.accounts import joining, links, own
from chatbot.accounts.links import FIRST_ADMIN, INVITATION, RESET, find_link, make_first_admin_link, make_link
from chatbot.accounts.models import Account, IdentityProvider, Membership, OneTimeLink
from chatbot.accounts.people import set_enabled
from chatbot.accounts.sign_ins import begin_sign_in
from chatbot.audit import COMMAND_LINE
from chatbot.db import across_tenants, as_tenant
from chatbot.errors import ShamanError
from chatbot.jobs import Job, run_next, sweep
from chatbot.tenancy import now
from chatbot.tenants.clients import find_client
from tests.accounts.people import OTHER_PASSWORD, PAGE, PASSWORD, browser, give_password, is_in, link_in, sign_in
from tests.accounts.signing_in import account_of, actions, give_app, post
from tests.smtp_server import MailCatcher, settings_for
from tests.world import ALICE, BAKERY, BOB, OTHER, ROOT, ULLA, World

NEW = "nora@bakery.example"


def text(answer: TestResponse) -> str:
    return answer.get_data(as_text=True)


def made(world: World, **fields: Any) -> str:
    """The path of a new link."""
    with world.app.app_context(), across_tenants():
        return "/link/" + make_link(OneTimeLink(**fields))


def reset_link(world: World, email: str = ALICE) -> str:
    with world.app.app_context(), across_tenants():
        account = account_of(email)
    return made(world, kind=RESET, account_id=account.id, email=email)


def invitation(world: World, email: str = NEW, role: str = "staff", inviter: str | None = ALICE, **fields: Any) -> str:
    with world.app.app_context(), across_tenants():
        inviter_id = account_of(inviter).id if inviter else None
    given = {"tenant_id": world.ids[BAKERY], "made_by": inviter or "", "inviter_id": inviter_id} | fields
    return made(world, kind=INVITATION, email=email, role=role, **given)


def count(world: World, model: Any, *which: Any) -> int:
    with world.app.app_context(), across_tenants() as session:
        return session.scalar(select(func.count(model.id)).where(*which)) or 0


def roles(world: World, email: str) -> dict[str, str]:
    """The account's role by the client's slug."""
    slugs = {id_: slug for slug, id_ in world.ids.items()}
    with world.app.app_context(), across_tenants() as session:
        own = select(Membership).join(Account, Account.id == Membership.account_id).where(Account.email == email)
        return {slugs[row.tenant_id]: row.role for row in session.scalars(own)}


def anonymous(answer: TestResponse) -> str:
    """A page without what differs from one request to the next."""
    return re.sub(r'value="[^"]*"|name it: \w+', "", text(answer))


# --- a new password --------------------------------------------------------------------------------------------------


def test_a_reset_link_sets_a_password_and_ends_what_the_old_one_opened(world: World) -> None:
    give_password(world)
    before, path, other = world.signed_in(ALICE), reset_link(world), reset_link(world)
    http = browser(world)
    page = http.get(path)
    assert page.status_code == 200 and ALICE in text(page)
    answer = post(http, path, password=OTHER_PASSWORD)
    assert (answer.status_code, answer.location) == (303, "/") and is_in(http)
    assert not is_in(before), "every earlier sign-in has ended"
    assert browser(world).get(other).status_code == 404, "so have other links"
    assert sign_in(browser(world)).status_code == 422
    assert sign_in(browser(world), password=OTHER_PASSWORD).status_code == 303
    assert "account.password-changed" in actions(world)


def test_a_reset_link_gets_in_whatever_was_guessed(world: World) -> None:
    give_password(world)
    for n in range(25):
        sign_in(browser(world, f"10.0.{n}.1"), password="wrong words")
    http = browser(world)
    assert sign_in(http).status_code == 429
    assert post(http, reset_link(world), password=OTHER_PASSWORD).status_code == 303 and is_in(http)
    post(http, "/logout")
    assert sign_in(http, password=OTHER_PASSWORD).status_code == 303, "from now on the browser is known"


def test_a_reset_link_asks_for_the_second_factor(world: World) -> None:
    give_app(world)
    http = browser(world)
    assert post(http, reset_link(world), password=PASSWORD).location == "/login/second"
    assert not is_in(http)


def test_a_weak_new_password_uses_nothing_up(world: World) -> None:
    path, http = reset_link(world), browser(world)
    for weak in ("", "short", "password123", "alice in a boat"):
        answer = post(http, path, password=weak)
        assert answer.status_code == 422 and 'aria-invalid="true"' in text(answer)
    assert post(http, path, password=PASSWORD).status_code == 303


def test_looking_uses_nothing_up(world: World) -> None:
    path, http = reset_link(world), browser(world)
    for method in ("GET", "HEAD", "GET", "OPTIONS"):
        assert http.open(path, method=method).status_code == 200
    assert http.post(path, data={"password": PASSWORD}).status_code == 400, "nor does a form of another site"
    assert post(http, path, password=PASSWORD).status_code == 303


def test_of_many_at_once_one_is_used(world: World) -> None:
    path, http = reset_link(world), [browser(world) for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        codes = list(threads.map(lambda one: post(one, path, password=PASSWORD).status_code, http))
    assert sorted(codes) == [303, *[404] * 7]


def used(world: World, path: str) -> None:
    post(browser(world), path, password=PASSWORD)


def over(world: World, path: str) -> None:
    with world.app.app_context(), across_tenants() as session:
        session.execute(update(OneTimeLink).values(expires_at=now() - timedelta(seconds=1)))


def with_another_email(world: World, path: str) -> None:
    with world.app.app_context(), across_tenants():
        account_of(ALICE).email = "alice@elsewhere.example"


def switched_off(world: World, path: str) -> None:
    with world.app.app_context(), across_tenants():
        set_enabled(account_of(ALICE).id, False, COMMAND_LINE)


def of_a_provider(world: World, path: str) -> None:
    with world.app.app_context(), across_tenants():
        account_of(ALICE).home_id = world.ids[BAKERY]


@pytest.mark.parametrize("killed", [used, over, with_another_email, switched_off, of_a_provider])
def test_a_dead_link_reads_as_one_that_never_was(world: World, killed: Callable[[World, str], None]) -> None:
    path = reset_link(world)
    killed(world, path)
    never = browser(world).get("/link/" + "x" * 43)
    for answer in (browser(world).get(path), post(browser(world), path, password=OTHER_PASSWORD)):
        assert answer.status_code == 404 and anonymous(answer) == anonymous(never)
        assert dict(answer.headers) | {"X-Request-ID": ""} == dict(never.headers) | {"X-Request-ID": ""}
    assert sign_in(browser(world), password=OTHER_PASSWORD).status_code in (403, 422)


@pytest.mark.parametrize("secret", ["null", "0", "[]", "%00", "' OR 1=1 --", "x" * 5000, "%FF", "..%2f.."])
def test_what_is_no_secret_is_no_link(world: World, secret: str) -> None:
    reset_link(world)
    assert browser(world).get(f"/link/{secret}").status_code in (400, 404)


def test_a_link_lives_as_long_as_its_kind() -> None:
    assert {kind: life.total_seconds() / 60 for kind, life in links.LIVES.items()} == {
        FIRST_ADMIN: 24 * 60,
        RESET: 30,
        INVITATION: 7 * 24 * 60,
    }


def test_the_database_keeps_no_secret(world: World) -> None:
    secret = reset_link(world).removeprefix("/link/")
    with world.app.app_context(), across_tenants() as session:
        [row] = session.scalars(select(OneTimeLink))
        assert secret not in str(vars(row))


def test_old_links_are_forgotten(world: World) -> None:
    path = reset_link(world)
    with world.app.app_context():
        sweep()
        assert find_link(path.removeprefix("/link/"))
        with across_tenants() as session:
            session.execute(update(OneTimeLink).values(expires_at=now() - timedelta(days=31)))
        sweep()
    assert count(world, OneTimeLink) == 0


# --- asking for one --------------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[MailCatcher]:
    with MailCatcher() as catcher:
        yield catcher


class WithMail:
    @pytest.fixture
    def settings(self, server: MailCatcher) -> dict[str, Any]:
        return settings_for(server) | {"PUBLIC_URL": "http://127.0.0.1:5000"}


def work(app: Flask) -> None:
    with app.app_context():
        while run_next("worker"):
            pass


class TestForgotten(WithMail):
    def test_a_mail_brings_the_link(self, world: World, server: MailCatcher) -> None:
        http = browser(world)
        assert post(http, "/forgot", email=" ALICE@bakery.example").status_code == 200
        work(world.app)
        [mail] = server.mails
        assert mail["To"] == ALICE
        path = link_in(mail.get_content())
        assert post(http, path, password=PASSWORD).status_code == 303 and is_in(http)

    def test_everybody_reads_the_same_and_costs_the_same(self, world: World, server: MailCatcher) -> None:
        pages: set[str] = set()
        jobs: list[int] = []
        for email in (ALICE, "nobody@x.example"):
            pages.add(text(post(browser(world), "/forgot", email=email)).replace(email, ""))
            jobs.append(count(world, Job) - sum(jobs))
        assert len(pages) == 1 and jobs == [1, 1]
        work(world.app)
        assert [mail["To"] for mail in server.mails] == [ALICE]

    def test_whom_no_password_would_help_gets_none(self, world: World, server: MailCatcher) -> None:
        switched_off(world, "")
        with world.app.app_context(), across_tenants():
            account_of(BOB).home_id = world.ids[BAKERY]
        for email in (ALICE, BOB):
            post(browser(world), "/forgot", email=email)
        work(world.app)
        assert server.mails == [] and count(world, OneTimeLink) == 0

    def test_one_mailbox_is_not_flooded(self, world: World, server: MailCatcher) -> None:
        pages = {text(post(browser(world, f"10.0.{n}.1"), "/forgot", email=ALICE)) for n in range(8)}
        assert len(pages) == 1
        work(world.app)
        assert len(server.mails) == 5
        first = link_in(server.mails[0].get_content())
        assert browser(world).get(first).status_code == 200, "the newest doesn't kill those before"

    def test_one_address_asks_so_often(self, world: World) -> None:
        answers = [post(browser(world), "/forgot", email=f"x{n}@x.example") for n in range(22)]
        assert [answer.status_code for answer in answers] == [200] * 20 + [429] * 2
        assert answers[-1].headers["Retry-After"] and 'value="x21@x.example"' in text(answers[-1])

    def test_what_is_no_email_is_said(self, world: World) -> None:
        answer = post(browser(world), "/forgot", email="alice")
        assert answer.status_code == 422 and 'value="alice"' in text(answer) and count(world, Job) == 0


def test_without_mail_it_is_said_whom_to_ask(world: World) -> None:
    page, sent = browser(world).get("/forgot"), post(browser(world), "/forgot", email=ALICE)
    for answer in (page, sent):
        assert "can't send mail" in text(answer) and "runs the platform" in text(answer)
        assert 'name="email"' not in text(answer)
    assert count(world, Job) == 0


def test_the_operator_makes_a_reset_link(world: World, runner: FlaskCliRunner) -> None:
    done = runner.invoke(args=["account", "reset-link", "Alice@bakery.example"])
    assert done.exit_code == 0, done.output
    path = str(done.output).splitlines()[-1].removeprefix("http://127.0.0.1:5000")
    assert post(http := browser(world), path, password=PASSWORD).status_code == 303 and is_in(http)
    assert "account.reset-link-made" in actions(world)
    for email in ("nobody@x.example", "no address"):
        refused = runner.invoke(args=["account", "reset-link", email])
        assert refused.exit_code != 0 and "no account" in str(refused.output)


# --- invitations -----------------------------------------------------------------------------------------------------


def test_an_invitation_makes_an_account(world: World) -> None:
    path, http = invitation(world), browser(world)
    page = text(http.get(path))
    assert "Harbour Bakery" in page and NEW in page and ALICE in page and 'name="name"' in page
    answer = post(http, path, name="Nora", password=PASSWORD)
    assert (answer.status_code, answer.location) == (303, f"/console/{BAKERY}")
    assert is_in(http) and roles(world, NEW) == {BAKERY: "staff"}
    assert http.get(f"/console/{BAKERY}/overview", headers=PAGE).status_code == 200
    assert http.get(f"/console/{BAKERY}/team", headers=PAGE).status_code == 403
    assert post(browser(world), path, name="Eve", password=PASSWORD).status_code == 404
    assert {"account.created", "member.joined"} <= set(actions(world))


def test_where_only_the_clients_provider_counts_it_is_said(world: World) -> None:
    with world.app.app_context(), as_tenant(world.ids[BAKERY]) as session:
        session.add(IdentityProvider(issuer="https://id.bakery.example", client_id="x", is_required=True))
    http = browser(world)
    assert post(http, invitation(world), name="Nora", password=PASSWORD).location == "/"
    assert "by its own sign-in alone" in text(http.get("/"))


def test_users_come_to_the_chat(world: World) -> None:
    answer = post(browser(world), invitation(world, role="user"), name="Nora", password=PASSWORD)
    assert answer.location == f"/chat/{BAKERY}"


def test_a_weak_password_keeps_the_name(world: World) -> None:
    path, http = invitation(world), browser(world)
    answer = post(http, path, name="Nora", password="harbour bakery")
    assert answer.status_code == 422 and 'value="Nora"' in text(answer) and roles(world, NEW) == {}
    assert post(http, path, name="", password=PASSWORD).status_code == 422


def test_who_has_an_account_signs_in_and_accepts(world: World) -> None:
    give_password(world, BOB)
    path, http = invitation(world, BOB, "user", None, tenant_id=world.ids[OTHER]), browser(world)
    page = text(http.get(path))
    assert "Sign in to accept" in page and 'name="password"' not in page
    assert post(http, path, name="Eve", password=OTHER_PASSWORD).status_code == 409
    assert roles(world, BOB) == {BAKERY: "staff"}, "an e-mail alone joins nobody"
    assert sign_in(http, BOB, next=path).location == path
    assert "Accept" in text(http.get(path))
    assert post(http, path).location == f"/chat/{OTHER}"
    assert roles(world, BOB) == {BAKERY: "staff", OTHER: "user"}


def test_nobody_else_accepts(world: World) -> None:
    for email, who in ((BOB, ULLA), (NEW, ULLA), (BOB, ROOT)):
        path, http = invitation(world, email, tenant_id=world.ids[OTHER], inviter=None), world.signed_in(who)
        assert f"You are signed in as {who}" in text(http.get(path))
        assert post(http, path, name="Ulla", password=PASSWORD).status_code == 409
        assert OTHER not in roles(world, who) | roles(world, email)
        assert post(http, "/logout", next=path).location == path


def test_a_clients_provider_accepts_for_nobody(world: World) -> None:
    http, path = browser(world), invitation(world, BOB, tenant_id=world.ids[OTHER], inviter=None)
    with world.app.app_context(), across_tenants():
        cookie = begin_sign_in(account_of(BOB).id, address="", device="", confined_to=world.ids[BAKERY])
    with http.session_transaction() as kept:
        kept["_user_id"] = cookie
    assert post(http, path).status_code == 409 and roles(world, BOB) == {BAKERY: "staff"}


def test_a_member_stays_what_they_are(world: World) -> None:
    http = world.signed_in(ALICE)
    assert post(http, invitation(world, ALICE, "user", None)).status_code == 303
    assert roles(world, ALICE) == {BAKERY: "admin"}


def test_of_many_at_once_one_joins(world: World) -> None:
    path, http = invitation(world), [browser(world) for _ in range(6)]
    with ThreadPoolExecutor(6) as threads:
        codes = list(threads.map(lambda one: post(one, path, name="N", password=PASSWORD).status_code, http))
    assert sorted(codes) == [303, *[404] * 5]
    assert count(world, Account, Account.email == NEW) == 1


def suspend(world: World) -> None:
    with world.app.app_context(), across_tenants():
        find_client(BAKERY).status = "suspended"


def delete_client(world: World) -> None:
    with world.app.app_context(), across_tenants():
        find_client(BAKERY).deleted_at = now()


def demote_inviter(world: World) -> None:
    with world.app.app_context(), across_tenants() as session:
        session.execute(update(Membership).where(Membership.role == "admin").values(role="staff"))


def remove_inviter(world: World) -> None:
    with world.app.app_context(), across_tenants() as session:
        session.delete(account_of(ALICE))


def disable_inviter(world: World) -> None:
    switched_off(world, "")


@pytest.mark.parametrize("change", [suspend, delete_client, demote_inviter, remove_inviter, disable_inviter])
def test_an_invitation_dies_with_whom_it_came_from(world: World, change: Callable[[World], None]) -> None:
    path = invitation(world)
    assert browser(world).get(path).status_code == 200
    change(world)
    assert browser(world).get(path).status_code == 404
    assert post(browser(world), path, name="Nora", password=PASSWORD).status_code == 404


def test_an_invitation_dies_with_a_changed_email(world: World) -> None:
    with world.app.app_context(), across_tenants():
        bob = account_of(BOB).id
    path = invitation(world, BOB, account_id=bob)
    with world.app.app_context(), across_tenants():
        account_of(BOB).email = "bob@elsewhere.example"
    assert browser(world).get(path).status_code == 404


def test_who_has_used_a_link_while_another_reads_it(world: World) -> None:
    """What the rules say when the door's look was too old."""
    path = invitation(world)
    post(browser(world), path, name="Nora", password=PASSWORD)
    secret = path.removeprefix("/link/")
    with world.app.app_context():
        for use in (
            lambda: joining.join_anew(secret, "Eve", None, ""),
            lambda: joining.join(secret, "x" * 26, ""),
            lambda: own.reset_password(secret, "x", ""),
        ):
            with pytest.raises(ShamanError):
                use()


# --- the first admin -------------------------------------------------------------------------------------------------


@pytest.fixture
def first(app: Flask) -> str:
    """The link of an installation that nobody looks after."""
    with app.app_context():
        return str(make_first_admin_link()).removeprefix("http://127.0.0.1:5000")


def become_admin(http: FlaskClient, path: str, email: str = "ada@x.example", password: str = PASSWORD) -> TestResponse:
    return post(http, path, email=email, name="Ada", password=password)


def test_the_first_admin_is_made_once(app: Flask, first: str) -> None:
    http = app.test_client()
    assert http.get(first).status_code == 200
    assert become_admin(http, first, password="short").status_code == 422
    assert become_admin(http, first, email="ada").status_code == 422
    assert become_admin(http, first).status_code == 303
    assert http.get("/admin/clients", headers=PAGE).status_code == 200
    assert become_admin(app.test_client(), first, "eve@x.example").status_code == 404
    with app.app_context():
        assert make_first_admin_link() is None


def test_a_new_start_makes_a_new_link(app: Flask, first: str) -> None:
    with app.app_context():
        second = str(make_first_admin_link()).removeprefix("http://127.0.0.1:5000")
    assert app.test_client().get(first).status_code == 404
    assert become_admin(app.test_client(), second).status_code == 303


def test_of_many_at_once_one_becomes_admin(app: Flask, first: str) -> None:
    with ThreadPoolExecutor(6) as threads:
        codes = list(
            threads.map(lambda n: become_admin(app.test_client(), first, f"a{n}@x.example").status_code, range(6))
        )
    assert sorted(codes) == [303, *[404] * 5]
    with app.app_context(), across_tenants() as session:
        assert session.scalar(select(func.count(Account.id))) == 1


def test_the_command_line_makes_the_link_useless(app: Flask, first: str, runner: FlaskCliRunner) -> None:
    words = ["account", "create", "root@x.example", "--platform-admin", "--name", "Root", "--password-stdin"]
    assert runner.invoke(args=words, input=PASSWORD + "\n").exit_code == 0
    assert app.test_client().get(first).status_code == 404
    http = app.test_client()
    assert sign_in(http, "root@x.example").status_code == 303
    assert http.get("/admin/clients", headers=PAGE).status_code == 200


def test_an_email_that_is_taken_is_said(world: World) -> None:
    with world.app.app_context():
        with across_tenants() as session:
            session.delete(account_of(ROOT))
        path = str(make_first_admin_link()).removeprefix("http://127.0.0.1:5000")
    answer = become_admin(browser(world), path, ALICE)
    assert answer.status_code == 409 and "already" in text(answer)
    assert become_admin(browser(world), path).status_code == 303
