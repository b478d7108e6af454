"""A client's own provider: what its admins set up, whom it lets in, and that nothing of it holds anywhere else."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from chatbot.accounts.links import INVITATION, make_link
from chatbot.accounts.models import Account, IdentityProvider, Membership, OneTimeLink, SignIn
from chatbot.accounts.openid.client_providers import set_provider_required
from chatbot.accounts.openid.providers import buttons
from chatbot.audit import COMMAND_LINE, AuditEntry
from chatbot.db import across_tenants
from chatbot.errors import Invalid
from chatbot.tenancy import now
from chatbot.tenants.models import Tenant
from tests.accounts import fake_provider as fake
from tests.accounts.fake_provider import CLIENT_ID, SECRET, FakeProvider
from tests.accounts.providers import PAGE, Traveller, add_identity, people, roles, sign_ins, words
from tests.accounts.signing_in import post
from tests.world import ALICE, BAKERY, BOB, CHARLIE, OTHER, ROOT, ULLA, World

NEW, SETTINGS = "new@bakery.example", f"/console/{BAKERY}/team/provider"
MAPPED: dict[str, Any] = {"claim": "groups", "roles": {"bosses": "admin", "bakers": "staff", "friends": "user"}}
ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with FakeProvider().serving() as server:
        yield server


@pytest.fixture
def settings(provider: FakeProvider) -> dict[str, Any]:
    """The operator lets clients reach this machine, and has the same provider for everybody under another name."""
    return {"OUTBOUND_ALLOW": "127.0.0.1"} | provider.settings("PUBLIC")


def set_up(world: World, provider: FakeProvider, slug: str = BAKERY, **fields: Any) -> None:
    given = {"issuer": provider.url, "client_id": CLIENT_ID, "client_secret": SECRET, "domains": []} | fields
    with world.app.app_context(), across_tenants() as session:
        session.add(IdentityProvider(tenant_id=world.ids[slug], **given))


@pytest.fixture
def nina(app: Flask, world: World, provider: FakeProvider) -> Traveller:
    """Somebody of the bakery's own directory, one of the bakers."""
    set_up(world, provider, **MAPPED)
    provider.is_person("nina-there", email=NEW, name="Nina New", groups=["bakers", "singers"])
    return Traveller(app.test_client(), provider, f"client/{BAKERY}")


def row(app: Flask) -> IdentityProvider:
    with app.app_context(), across_tenants(writes=False) as session:
        found = session.scalar(select(IdentityProvider))
        assert isinstance(found, IdentityProvider)
        return found


def change(app: Flask, **values: Any) -> None:
    with app.app_context(), across_tenants() as session:
        session.execute(update(IdentityProvider).values(**values))


def audited(app: Flask, action: str) -> list[dict[str, Any]]:
    with app.app_context(), across_tenants(writes=False) as session:
        return list(session.scalars(select(AuditEntry.detail).where(AuditEntry.action == action)))


# --- whom it lets in -------------------------------------------------------------------------------------------------


def test_claim_gives_a_place_in_this_client_alone(app: Flask, world: World, nina: Traveller) -> None:
    answer = nina.come_back(nina.provider.answer(nina.set_out(next=f"/console/{BAKERY}")))
    assert (answer.status_code, answer.location) == (303, f"/console/{BAKERY}")
    assert roles(app, NEW) == {world.ids[BAKERY]: "staff"} and (NEW, True) in people(app)
    assert nina.http.get(f"/console/{BAKERY}/overview").status_code == 200
    assert nina.http.get(f"/console/{OTHER}/overview").status_code == 404
    assert nina.http.get("/admin/clients").status_code == 403


@ON_SQLITE
@pytest.mark.parametrize(
    ("said", "role"),
    [
        (["friends", "bosses"], "admin"),
        ("bakers", "staff"),
        ({"friends": 1}, None),
        (["Bosses"], None),
        ([["bosses"]], None),
        (None, None),
        (["platform_admin"], None),
        (True, None),
    ],
    ids=str,
)
def test_highest_role_of_the_claim_counts(app: Flask, world: World, nina: Traveller, said: Any, role: Any) -> None:
    nina.provider.claims["groups"] = said
    assert nina.sign_in().status_code == (303 if role else 403)
    assert roles(app, NEW) == ({world.ids[BAKERY]: role} if role else {})
    assert ((NEW, True) in people(app)) == bool(role)


@ON_SQLITE
def test_claim_within_another(app: Flask, world: World, nina: Traveller) -> None:
    change(app, claim="realm_access.roles")
    nina.provider.claims |= {"groups": None, "realm_access": {"roles": ["friends"]}}
    assert nina.sign_in().status_code == 303 and roles(app, NEW) == {world.ids[BAKERY]: "user"}


@ON_SQLITE
def test_claim_that_the_userinfo_endpoint_tells(app: Flask, world: World, nina: Traveller) -> None:
    nina.provider.claims["groups"] = None
    nina.provider.userinfo = {"groups": ["bosses"], "email": "not-this@x.example"}
    assert nina.sign_in().status_code == 303 and roles(app, NEW) == {world.ids[BAKERY]: "admin"}


def test_role_follows_the_claim_at_each_sign_in(app: Flask, world: World, nina: Traveller) -> None:
    assert nina.sign_in().status_code == 303
    nina.provider.claims["groups"] = ["bosses"]
    assert nina.sign_in().status_code == 303 and roles(app, NEW) == {world.ids[BAKERY]: "admin"}
    nina.provider.claims["groups"] = []
    answer = nina.sign_in()
    assert answer.status_code == 403 and "no place at Harbour Bakery" in words(answer)
    assert roles(app, NEW) == {} and sign_ins(app) == []
    assert [entry["after"] for entry in audited(app, "member.role-by-claim")].count(None) == 1


def test_last_admin_stays(app: Flask, world: World, nina: Traveller) -> None:
    nina.provider.claims["groups"] = ["bosses"]
    assert nina.sign_in().status_code == 303
    with app.app_context(), across_tenants() as session:
        owner = select(Account.id).where(Account.email == ALICE).scalar_subquery()
        session.execute(update(Membership).where(Membership.account_id == owner).values(role="staff"))
    for said in (["friends"], []):
        nina.provider.claims["groups"] = said
        assert nina.sign_in().status_code == 303 and roles(app, NEW) == {world.ids[BAKERY]: "admin"}
    assert len(audited(app, "member.kept-as-last-admin")) == 2


def test_last_admin_who_can_come_in_stays(app: Flask, world: World, nina: Traveller) -> None:
    """Alice is an admin still, but the provider that is required doesn't know her."""
    nina.provider.claims["groups"] = ["bosses"]
    assert nina.sign_in().status_code == 303
    change(app, is_required=True)
    nina.provider.claims["groups"] = []
    assert nina.sign_in().status_code == 303 and roles(app, NEW) == {world.ids[BAKERY]: "admin"}


@ON_SQLITE
def test_what_was_given_by_hand_stays(app: Flask, world: World, nina: Traveller) -> None:
    nina.provider.claims["groups"] = []
    invite(app, world.ids[BAKERY])
    nina.provider.claims["email_verified"] = True
    assert nina.sign_in().status_code == nina.sign_in().status_code == 303
    assert roles(app, NEW) == {world.ids[BAKERY]: "staff"}


def invite(app: Flask, tenant_id: str, email: str = NEW) -> str:
    with app.app_context(), across_tenants():
        row = OneTimeLink(kind=INVITATION, tenant_id=tenant_id, email=email, role="staff", made_by=ALICE)
        return f"/link/{make_link(row)}"


@pytest.mark.parametrize("by_link", [True, False])
def test_invitation_lets_in_where_no_claim_is_mapped(app: Flask, world: World, nina: Traveller, by_link: bool) -> None:
    change(app, claim="", roles={})
    path = invite(app, world.ids[BAKERY])
    if by_link:
        nina.http.get(path)
    else:
        assert nina.sign_in().status_code == 403  # the e-mail isn't proved
        nina.provider.claims["email_verified"] = True
    assert nina.sign_in().status_code == 303 and roles(app, NEW) == {world.ids[BAKERY]: "staff"}
    assert (NEW, True) in people(app) and (NEW, False) not in people(app)


@ON_SQLITE
def test_invitation_elsewhere_lets_nobody_in(app: Flask, world: World, nina: Traveller) -> None:
    change(app, claim="", roles={})
    nina.provider.claims["email_verified"] = True
    nina.http.get(invite(app, world.ids[OTHER]))
    assert nina.sign_in().status_code == 403 and roles(app, NEW) == {}


# --- it gives nothing anywhere else (OID-06) -------------------------------------------------------------------------


@pytest.mark.parametrize("email", [ROOT, CHARLIE, ALICE])
def test_whoever_it_names_is_nobody_elsewhere(app: Flask, world: World, nina: Traveller, email: str) -> None:
    """The bakery's directory says that somebody is the operator, the other shop's owner, or Alice herself."""
    nina.provider.is_person("eve", email=email, email_verified=True, groups=["bosses"], is_platform_admin=True)
    before = people(app)
    assert nina.sign_in().status_code == 303
    assert people(app) - before == {(email, True)}
    for path, status in (("/admin/clients", 403), (f"/console/{OTHER}/overview", 404), (SETTINGS, 200)):
        assert nina.http.get(path).status_code == status
    with app.app_context(), across_tenants(writes=False) as session:
        [sign_in] = session.scalars(select(SignIn))
        assert sign_in.confined_to == world.ids[BAKERY]


@ON_SQLITE
def test_person_of_the_platforms_provider_is_another(app: Flask, world: World, nina: Traveller) -> None:
    """The same issuer and subject: for the operator it is Bob, for the bakery's own provider somebody of its own."""
    add_identity(app, BOB, nina.provider, "nina-there")
    assert nina.sign_in().status_code == 303 and sign_ins(app) == [NEW]
    public = Traveller(app.test_client(), nina.provider, "public")
    assert public.sign_in().status_code == 303 and sign_ins(app) == [BOB, NEW]


@ON_SQLITE
def test_person_of_another_clients_provider_is_another(app: Flask, world: World, nina: Traveller) -> None:
    set_up(world, nina.provider, OTHER, **MAPPED)
    assert nina.sign_in().status_code == 303
    assert Traveller(app.test_client(), nina.provider, f"client/{OTHER}").sign_in().status_code == 303
    with app.app_context(), across_tenants(writes=False) as session:
        assert len(session.scalars(select(Account).where(Account.email == NEW)).all()) == 2


@ON_SQLITE
def test_answer_for_another_client_is_refused(app: Flask, world: World, nina: Traveller) -> None:
    set_up(world, nina.provider, OTHER, **MAPPED)
    path = nina.provider.answer(nina.set_out()).replace(BAKERY, OTHER)
    assert nina.come_back(path).status_code == 400 and sign_ins(app) == []


@ON_SQLITE
def test_client_without_a_provider_is_like_none(app: Flask, world: World, nina: Traveller) -> None:
    for end in ("", "/callback", "/callback?code=x&state=y"):
        pages = [nina.http.get(f"/login/client/{slug}{end}", headers=PAGE) for slug in (OTHER, "never-was")]
        assert {page.status_code for page in pages} == {404}
        assert len({re.sub(r"name it: \w+", "", words(page)) for page in pages}) == 1
    with app.app_context(), across_tenants() as session:
        session.execute(update(Tenant).where(Tenant.slug == BAKERY).values(deleted_at=now()))
    assert nina.http.get(f"/login/client/{BAKERY}").status_code == 404


# --- where it is required --------------------------------------------------------------------------------------------


def test_required_provider_is_the_only_way_in(app: Flask, world: World, nina: Traveller) -> None:
    nina.provider.claims["groups"] = ["bosses"]
    assert nina.sign_in().status_code == 303
    change(app, is_required=True)
    assert world.signed_in(ALICE).get(SETTINGS).status_code == 404
    assert nina.http.get(SETTINGS).status_code == 200
    with app.app_context():
        set_provider_required(world.ids[BAKERY], False, COMMAND_LINE)
    assert world.signed_in(ALICE).get(SETTINGS).status_code == 200
    assert len(audited(app, "provider.not-required")) == 1


@ON_SQLITE
def test_operator_requires_it_once_an_admin_came_in_by_it(app: Flask, world: World, nina: Traveller) -> None:
    with app.app_context(), pytest.raises(Invalid):
        set_provider_required(world.ids[BAKERY], True, COMMAND_LINE)
    nina.provider.claims["groups"] = ["bosses"]
    assert nina.sign_in().status_code == 303
    with app.app_context():
        set_provider_required(world.ids[BAKERY], True, COMMAND_LINE)
    assert row(app).is_required


# --- the page that sets it up ----------------------------------------------------------------------------------------


def fields(provider: FakeProvider, **changes: str) -> dict[str, str]:
    return {"issuer": provider.url, "client_id": CLIENT_ID, "client_secret": SECRET} | changes


@pytest.fixture
def alice(world: World) -> FlaskClient:
    return world.signed_in(ALICE)


def test_admin_sets_a_provider_up(app: Flask, world: World, alice: FlaskClient, provider: FakeProvider) -> None:
    given = fields(
        provider, domains="Bakery.example\n@bäckerei.example", claim="groups", admin_values="bosses\n\n chefs "
    )
    assert post(alice, SETTINGS, **given).location == SETTINGS
    stored = row(app)
    assert (stored.tenant_id, stored.issuer, stored.client_secret) == (world.ids[BAKERY], provider.url, SECRET)
    assert stored.domains == ["bakery.example", "xn--bckerei-5wa.example"]
    assert stored.roles == {"bosses": "admin", "chefs": "admin"}
    page = words(alice.get(SETTINGS, headers=PAGE))
    assert "Kept" in page and SECRET not in page and "s3cret" not in page
    assert f"http://127.0.0.1:5000/login/client/{BAKERY}/callback" in page
    [detail] = audited(app, "provider.saved")
    assert detail["issuer"] == provider.url and SECRET not in str(detail)


UNUSABLE: list[tuple[dict[str, str], str]] = [
    ({"issuer": ""}, "issuer"),
    ({"issuer": "login.example.com"}, "whole web address"),
    ({"issuer": "http://login.example.com"}, "https://"),
    ({"issuer": "https://10.1.2.3"}, "private network"),
    ({"issuer": "https://127.0.0.2"}, "private network"),
    ({"issuer": "http://127.0.0.2:80"}, "private network"),
    ({"issuer": "https://[::1]/x"}, "private network"),
    ({"issuer": "https://169.254.169.254"}, "private network"),
    ({"issuer": "https://0x7f.1"}, "web address"),
    ({"issuer": "file:///etc/passwd"}, "web address"),
    ({"issuer": "https://a@b.example"}, "password out of the address"),
    ({"issuer": "https://login.example.com?x=1"}, "issuer&#39;s whole address"),
    ({"client_id": " "}, "client ID"),
    ({"client_secret": ""}, "secret that belongs"),
    ({"domains": "bakery"}, "one on each line"),
    ({"domains": "gmail.com"}, "everybody&#39;s"),
    ({"claim": "groups"}, "at least one of its values"),
    ({"admin_values": "bosses"}, "Name the claim"),
    ({"claim": "groups", "admin_values": "a", "user_values": "a"}, "one role"),
    ({"is_required": "y"}, "sign in with this provider yourself"),
]


@ON_SQLITE
def test_what_cannot_be_used_is_refused_beside_its_field(
    app: Flask, alice: FlaskClient, provider: FakeProvider
) -> None:
    for changes, about in UNUSABLE:
        answer = post(alice, SETTINGS, **fields(provider, domains="kept.example", claim="") | changes)
        assert answer.status_code == 422 and about in words(answer), changes
        assert "Something is not right yet" in words(answer) and SECRET not in words(answer)
        assert "kept.example" in words(answer) or "domains" in changes
    with app.app_context(), across_tenants(writes=False) as session:
        assert session.scalar(select(IdentityProvider)) is None


@ON_SQLITE
def test_secret_stays_with_its_issuer(app: Flask, world: World, alice: FlaskClient, provider: FakeProvider) -> None:
    set_up(world, provider)
    assert post(alice, SETTINGS, **fields(provider, client_secret="", client_id="other")).status_code == 303
    assert (row(app).client_secret, row(app).client_id) == (SECRET, "other")
    answer = post(alice, SETTINGS, **fields(provider, client_secret="", issuer="https://login.example.com"))
    assert answer.status_code == 422 and row(app).issuer == provider.url
    answer = post(alice, SETTINGS, **fields(provider, client_secret="new", issuer="https://login.example.com"))
    assert answer.status_code == 303 and row(app).client_secret == "new"


def test_another_issuer_or_none_ends_what_the_old_one_opened(app: Flask, alice: FlaskClient, nina: Traveller) -> None:
    assert nina.sign_in().status_code == 303
    post(alice, SETTINGS, **fields(nina.provider, client_id="other", claim="groups", admin_values="bosses"))
    assert sign_ins(app) == [ALICE, NEW]
    post(alice, SETTINGS, **fields(nina.provider, issuer="https://login.example.com"))
    assert sign_ins(app) == [ALICE]
    change(app, issuer=nina.provider.url, claim="groups", roles=MAPPED["roles"])
    assert nina.sign_in().status_code == 303 and sign_ins(app) == [ALICE, NEW]
    assert post(alice, f"{SETTINGS}/remove").status_code == 303 and sign_ins(app) == [ALICE]
    assert post(alice, f"{SETTINGS}/remove").status_code == 404


def test_whoever_came_in_by_it_may_require_it(app: Flask, world: World, nina: Traveller) -> None:
    nina.provider.claims["groups"] = ["bosses"]
    assert nina.sign_in().status_code == 303
    given = fields(nina.provider, client_secret="", is_required="y", claim="groups", admin_values="bosses")
    assert post(world.signed_in(ALICE), SETTINGS, **given).status_code == 422
    assert post(nina.http, SETTINGS, **given).status_code == 303 and row(app).is_required
    assert post(nina.http, SETTINGS, **given | {"issuer": "https://x.example", "client_secret": "x"}).status_code == 422


@ON_SQLITE
def test_only_admins_set_it_up(world: World, provider: FakeProvider) -> None:
    set_up(world, provider)
    for email, status in ((BOB, 403), (ULLA, 403), (CHARLIE, 404), (ROOT, 404)):
        http = world.signed_in(email)
        assert http.get(SETTINGS).status_code == status, email
        for path in (SETTINGS, f"{SETTINGS}/check", f"{SETTINGS}/remove"):
            assert post(http, path, **fields(provider)).status_code == status, (email, path)
    assert row(world.app).client_id == CLIENT_ID and provider.heard == {}


# --- the check -------------------------------------------------------------------------------------------------------


def test_check_says_that_all_is_well(world: World, alice: FlaskClient, provider: FakeProvider) -> None:
    set_up(world, provider)
    page = words(post(alice, f"{SETTINGS}/check"))
    assert "answers under this issuer" in page and "publishes the keys" in page and "doesn&#39;t object" in page
    assert "Not right yet" not in page


@ON_SQLITE
@pytest.mark.parametrize(
    ("spoil", "about"),
    [
        (
            lambda provider: provider.described.update(issuer="https://other.example"),
            "calls itself https://other.example",
        ),
        (lambda provider: provider.described.update(token_endpoint=None), "lacks: token_endpoint"),
        (lambda provider: provider.described.update(authorization_endpoint="ftp://x.example"), "can&#39;t be used"),
        (lambda provider: provider.described.update(jwks_uri="http://127.0.0.2/keys"), "private network"),
        (lambda provider: provider.legs.update({fake.DISCOVERY: fake.page(404)}), "status 404"),
        (lambda provider: provider.legs.update({fake.DISCOVERY: fake.page()}), "other than a JSON object"),
        (lambda provider: provider.legs.update({fake.KEYS: fake.page(500)}), "status 500"),
        (lambda provider: setattr(provider, "published", []), "no key"),
        (lambda provider: setattr(provider, "published", [{"kty": "oct", "k": "AAAA"}]), "no key"),
    ],
)
def test_check_says_what_is_wrong(
    world: World, alice: FlaskClient, provider: FakeProvider, spoil: Any, about: str
) -> None:
    set_up(world, provider)
    spoil(provider)
    answer = post(alice, f"{SETTINGS}/check")
    assert answer.status_code == 200 and "Not right yet" in words(answer) and about in words(answer)


@ON_SQLITE
def test_check_knows_a_wrong_secret(world: World, alice: FlaskClient, provider: FakeProvider) -> None:
    set_up(world, provider, client_secret="wrong")
    assert "accept the client ID or the secret" in words(post(alice, f"{SETTINGS}/check"))


@ON_SQLITE
def test_check_is_made_now_and_then(world: World, alice: FlaskClient, provider: FakeProvider) -> None:
    set_up(world, provider)
    answers = [post(alice, f"{SETTINGS}/check").status_code for _ in range(11)]
    assert answers == [200] * 10 + [429]


@ON_SQLITE
def test_check_and_sign_in_keep_inside_addresses_shut(app: Flask, world: World, alice: FlaskClient) -> None:
    with FakeProvider().serving() as inside:
        app.config["SHAMAN"].OUTBOUND_ALLOW = []
        set_up(world, inside)
        assert "private network" in words(post(alice, f"{SETTINGS}/check"))
        answer = app.test_client().get(f"/login/client/{BAKERY}", headers=PAGE)
        assert answer.status_code == 502 and "private" not in words(answer) and inside.heard == {}


# --- the way there by one's e-mail -----------------------------------------------------------------------------------


def test_domain_leads_to_the_clients_that_list_it(app: Flask, world: World, provider: FakeProvider) -> None:
    set_up(world, provider, domains=["bakery.example", "xn--bckerei-5wa.example"])
    set_up(world, provider, OTHER, domains=["bakery.example", "my-bakery.example"])

    def labels(email: str | None) -> list[str]:
        with app.test_request_context():
            return [button.label.removeprefix("Sign in with ") for button in buttons(email, "/chat/x")]

    assert labels(None) == labels("") == labels("x") == labels("x@") == labels("x@nowhere.example") == ["Public"]
    assert labels("ada@Bakery.Example ") == ["Public", "Harbour Bakery", "Other Shop"]
    assert labels("ada@bäckerei.example") == ["Public", "Harbour Bakery"]
    assert labels("x@akery.example") == labels('x@y"], "z') == labels("x@%") == labels("x@_akery.example") == ["Public"]
    with app.test_request_context():
        [_, bakery, _] = buttons("ada@bakery.example", "/chat/x")
        assert bakery.url == f"/login/client/{BAKERY}?next=/chat/x"


@ON_SQLITE
def test_sign_in_page_offers_them(app: Flask, world: World, provider: FakeProvider) -> None:
    set_up(world, provider, domains=["bakery.example"])
    page = words(app.test_client().get("/login?email=ada@bakery.example", headers=PAGE))
    assert f'href="/login/client/{BAKERY}"' in page and 'href="/login/public"' in page
