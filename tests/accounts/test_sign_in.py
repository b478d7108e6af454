"""Sign-in with a password: who gets in, what everybody else is told, and how often they may try."""

import re
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import pytest
from argon2 import PasswordHasher
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from chatbot.accounts import passwords
from chatbot.accounts.models import IdentityProvider, Membership
from chatbot.accounts.passwords import weakness
from chatbot.accounts.sign_ins import begin_sign_in
from chatbot.db import across_tenants, as_tenant
from chatbot.tenants.clients import create_client, find_client
from tests.accounts.conftest import CHEAP
from tests.accounts.people import PAGE, PASSWORD, browser, give_password, is_in, sign_in
from tests.accounts.signing_in import account_of, cookie, post
from tests.world import ALICE, BAKERY, BOB, CHARLIE, OTHER, ROOT, ULLA, World, hidden

NOBODY = "nobody@bakery.example"


@pytest.fixture
def alice(world: World) -> World:
    """The world in which Alice has a password."""
    give_password(world)
    return world


def text(answer: TestResponse) -> str:
    return answer.get_data(as_text=True)


# --- the way in ------------------------------------------------------------------------------------------------------


def test_the_page_has_the_names_that_people_know(world: World) -> None:
    page = text(browser(world).get("/login"))
    for label, name in (("Email", "email"), ("Password", "password")):
        assert f'<label for="{name}">{label}</label>' in page
        assert re.search(rf'<input[^>]* name="{name}"', page)
    assert 'name="csrf_token"' in page and ">Sign in</button>" in page


def test_a_right_password_signs_in(alice: World) -> None:
    http = browser(alice)
    assert not is_in(http)
    answer = sign_in(http, " Alice@Bakery.Example ")
    assert (answer.status_code, answer.location) == (303, "/")
    assert is_in(http)


def test_one_is_led_to_where_one_wanted_to_go(alice: World) -> None:
    http = browser(alice)
    asked = http.get(f"/console/{BAKERY}/team?x=1", headers=PAGE)
    assert asked.location == f"/login?next=/console/{BAKERY}/team?x%3D1"
    assert f'value="/console/{BAKERY}/team?x=1"' in text(http.get(asked.location))
    assert sign_in(http, next=f"/console/{BAKERY}/team?x=1").location == f"/console/{BAKERY}/team?x=1"


@pytest.mark.parametrize("goal", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x", ""])
def test_nobody_is_led_elsewhere(alice: World, goal: str) -> None:
    http = browser(alice)
    assert goal == "" or goal not in text(http.get("/login", query_string={"next": goal}))
    assert sign_in(http, next=goal).location == "/"
    assert http.get("/login", query_string={"next": goal}).location == "/"


def test_who_is_signed_in_needs_no_sign_in(world: World) -> None:
    http = world.signed_in(ALICE)
    assert http.get("/login").location == "/"
    assert http.get("/login?next=/account").location == "/account"


@pytest.mark.parametrize("typed", [(ALICE, "wrong"), (NOBODY, PASSWORD), (ALICE, ""), ("", PASSWORD), ("x\x00y", "z")])
def test_whoever_does_not_get_in_keeps_the_email(alice: World, typed: tuple[str, str]) -> None:
    http = browser(alice)
    answer = sign_in(http, *typed)
    assert answer.status_code == 422 and not is_in(http)
    assert f'value="{typed[0]}"' in text(answer) and 'aria-labelledby="error-summary"' in text(answer)
    assert PASSWORD not in text(answer)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passwords that were compared with a hash, or as long as with one."""
    passed: list[str] = []

    def compare(password: str, kept: str | None) -> bool:
        passed.append(password)
        return passwords.is_right(password, kept)

    monkeypatch.setattr("chatbot.accounts.attempts.is_right", compare)
    return passed


def test_a_known_and_an_unknown_email_read_the_same(alice: World, hashed: list[str]) -> None:
    answers = [text(sign_in(browser(alice), email, "wrong words here")) for email in (ALICE, BOB, NOBODY)]
    plain = {re.sub(r'value="[^"]*"|email=[^"]*', "", answer) for answer in answers}
    assert len(plain) == 1, "an account without a password, one with, and none"
    assert len(hashed) == 3, "each costs one hash"


def test_a_disabled_account_is_told_only_after_its_password(alice: World) -> None:
    with alice.app.app_context(), across_tenants():
        account_of(ALICE).is_enabled = False
    wrong, right = sign_in(browser(alice), password="wrong"), sign_in(http := browser(alice))
    assert (wrong.status_code, right.status_code) == (422, 403)
    assert "switched off" in text(right) and not is_in(http)


def test_an_account_of_a_clients_provider_has_no_password(alice: World) -> None:
    with alice.app.app_context(), across_tenants():
        account_of(ALICE).home_id = alice.ids[OTHER]
    assert sign_in(browser(alice)).status_code == 422


def test_a_keyboard_writes_letters_its_own_way(world: World) -> None:
    give_password(world, password=unicodedata.normalize("NFD", "fünf müde Füchse"))
    assert sign_in(browser(world), password=unicodedata.normalize("NFC", "fünf müde Füchse")).status_code == 303
    assert sign_in(browser(world), password="funf mude Fuchse").status_code == 422


def test_old_hashes_are_renewed_on_the_way(alice: World) -> None:
    old = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1).hash(PASSWORD)
    with alice.app.app_context(), across_tenants():
        account_of(ALICE).password_hash = old
    assert sign_in(browser(alice)).status_code == 303
    with alice.app.app_context(), across_tenants(writes=False):
        assert not CHEAP.check_needs_rehash(account_of(ALICE).password_hash or "")
    assert sign_in(browser(alice)).status_code == 303


def test_an_email_leads_to_its_clients_own_provider(world: World) -> None:
    with world.app.app_context(), as_tenant(world.ids[BAKERY]) as session:
        session.add(IdentityProvider(issuer="https://id.bakery.example", client_id="x", domains=["bakery.example"]))
    assert "Harbour Bakery" not in text(browser(world).get("/login"))
    answer = sign_in(browser(world), BOB, "")
    assert answer.status_code == 200 and "Sign in with Harbour Bakery" in text(answer)
    assert "Sign in with Harbour Bakery" not in text(sign_in(browser(world), CHARLIE, ""))


# --- leaving, and other sites ----------------------------------------------------------------------------------------


def test_signing_out_ends_it_for_good(alice: World) -> None:
    http = browser(alice)
    sign_in(http)
    stolen = cookie(http)
    assert post(http, "/logout").location == "/login"
    thief = browser(alice)
    with thief.session_transaction() as kept:
        kept["_user_id"] = stolen
    assert not is_in(http) and not is_in(thief)


@pytest.mark.parametrize("csrf", [None, "", "made-up"])
def test_no_other_site_signs_anybody_in_or_out(alice: World, csrf: str | None) -> None:
    http, token = browser(alice), {} if csrf is None else {"csrf_token": csrf}
    assert http.post("/login", data={"email": ALICE, "password": PASSWORD} | token, headers=PAGE).status_code == 400
    assert not is_in(http)
    http = alice.signed_in(ALICE)
    assert http.post("/logout", data=token, headers=PAGE).status_code == 400
    assert http.get("/logout").status_code in (404, 405) and is_in(http)


def test_a_sign_in_is_a_new_session(alice: World) -> None:
    http = alice.signed_in(BOB)
    before = cookie(http)
    sign_in(http)
    assert cookie(http).split(".")[0] != before.split(".")[0]
    old = browser(alice)
    with old.session_transaction() as kept:
        kept["_user_id"] = before
    assert not is_in(old) and is_in(http)


# --- how often -------------------------------------------------------------------------------------------------------


def fail(world: World, times: int, email: str = ALICE, address: str = "10.0.0.1") -> list[int]:
    http = browser(world, address)
    return [sign_in(http, email, "wrong words").status_code for _ in range(times)]


def test_guessing_one_account_is_slowed_from_wherever(alice: World) -> None:
    codes = [code for n in range(30) for code in fail(alice, 1, address=f"10.0.{n}.1")]
    assert codes.count(422) <= 20 and set(codes[20:]) == {429}
    answer = sign_in(browser(alice, "10.9.9.9"))
    assert answer.status_code == 429 and 0 < int(answer.headers["Retry-After"]) <= 15 * 60
    assert f'value="{ALICE}"' in text(answer) and "/forgot" in text(answer)
    give_password(alice, BOB)
    assert sign_in(browser(alice, "10.9.9.9"), BOB).status_code == 303


def test_guessing_an_unknown_account_is_slowed_the_same(alice: World) -> None:
    known = [code for n in range(25) for code in fail(alice, 1, ALICE, f"10.1.{n}.1")]
    unknown = [code for n in range(25) for code in fail(alice, 1, NOBODY, f"10.2.{n}.1")]
    assert known == unknown


def test_guessing_many_accounts_from_one_address_is_slowed(alice: World) -> None:
    codes = [code for n in range(30) for code in fail(alice, 1, f"someone{n}@bakery.example")]
    assert codes.count(422) <= 20 and set(codes[20:]) == {429}
    assert sign_in(browser(alice, "10.0.0.1")).status_code == 429
    assert sign_in(browser(alice, "10.0.0.2")).status_code == 303


def test_the_owners_browser_is_not_locked_out(alice: World) -> None:
    http = browser(alice, "10.0.0.1")
    assert sign_in(http).status_code == 303
    post(http, "/logout")
    fail(alice, 25)
    assert sign_in(browser(alice, "10.0.0.1")).status_code == 429
    assert sign_in(http).status_code == 303
    give_password(alice, BOB)
    post(http, "/logout")
    assert sign_in(http, BOB).status_code == 429, "the browser is known for Alice alone"


def test_the_owners_browser_has_tries_of_its_own(alice: World) -> None:
    http = browser(alice)
    sign_in(http)
    codes = [sign_in(http, password="wrong words").status_code for _ in range(25)]
    assert codes.count(422) <= 20 and codes[-1] == 429
    assert sign_in(browser(alice)).status_code == 303, "its failures are not counted on anybody else"


def test_right_passwords_are_not_counted(alice: World) -> None:
    assert {sign_in(browser(alice)).status_code for _ in range(30)} == {303}


def test_many_at_once_get_no_more_tries(alice: World, hashed: list[str]) -> None:
    with ThreadPoolExecutor(12) as threads:
        codes = list(threads.map(lambda _: fail(alice, 1)[0], range(60)))
    assert set(codes) <= {422, 429, 503} and len(hashed) <= 20


def test_a_made_up_cookie_makes_no_browser_known(alice: World) -> None:
    fail(alice, 25)
    with alice.app.app_context(), across_tenants(writes=False):
        id_ = account_of(ALICE).id
    http = browser(alice)
    for value in (f'["x",["{id_}"]]', "x.y.z", '["x"]', "null"):
        http.set_cookie("shaman_known", value)
        assert sign_in(http).status_code == 429


@pytest.mark.parametrize("settings", [{"PUBLIC_URL": "https://chat.example"}, {}], ids=["https", "http"])
def test_what_the_browser_keeps_is_guarded(alice: World, settings: dict[str, str]) -> None:
    is_https = bool(settings)
    http = browser(alice)
    with http.session_transaction(base_url="https://chat.example" if is_https else None) as kept:
        kept["csrf_token"] = "a" * 40
    url = {"base_url": "https://chat.example"} if is_https else {}
    page = http.get("/login", **url)
    token = hidden(text(page), "csrf_token")
    answer = http.post("/login", data={"email": ALICE, "password": PASSWORD, "csrf_token": token}, **url)
    [line] = [line for line in answer.headers.getlist("Set-Cookie") if "known=" in line]
    assert line.startswith("__Host-known=" if is_https else "shaman_known=")
    assert "HttpOnly" in line and "SameSite=Lax" in line and "Path=/" in line and ("Secure" in line) == is_https


def test_a_flood_is_told_to_come_back(alice: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "PATIENCE", 0.05)
    with passwords.turn(), passwords.turn():
        answer = sign_in(browser(alice))
        assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0
        assert f'value="{ALICE}"' in text(answer)
    assert sign_in(browser(alice)).status_code == 303


def test_only_a_few_wait_for_a_hash(alice: World) -> None:
    taken = [passwords._free.acquire(blocking=False) for _ in range(passwords.AT_ONCE + passwords.MOST_WAITING)]
    try:
        assert all(taken) and sign_in(browser(alice)).status_code == 503
    finally:
        for _ in taken:
            passwords._free.release()


# --- which passwords may be chosen -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "password",
    [
        *("short", "nine nine", "x" * 1001, "1234567890", "Password123!", "QWERTYUIOP", "aaaaaaaaaaaa", "abababababab"),
        *("alice-in-wonderland", "ALICE@bakery.example", "harbour bakery 1", "Harbourbakery!", "the bakery rocks"),
    ],
)
def test_weak_passwords_are_refused(password: str) -> None:
    assert weakness(password, (ALICE, "Alice", "Harbour Bakery"))


@pytest.mark.parametrize(
    "password",
    [
        "seven sleepy seagulls",
        "x7#kQ9!mPz",
        "пять усталых лис",
        "        a b c d e",
        "🥐🥖🍞🥨🥯🧁🍰🎂🍩🍪",
        "q" * 500 + "az" * 250,
    ],
)
def test_all_others_may_be_chosen(password: str) -> None:
    assert weakness(password, (ALICE, "Alice", "Harbour Bakery")) is None


# --- where one comes to ----------------------------------------------------------------------------------------------


def home_of(http: FlaskClient) -> str:
    answer = http.get("/", headers=PAGE)
    return str(answer.location) if answer.status_code == 303 else text(answer)


def test_everybody_comes_home(world: World) -> None:
    homes = {ALICE: f"/console/{BAKERY}", BOB: f"/console/{BAKERY}", ULLA: f"/chat/{BAKERY}", ROOT: "/admin/clients"}
    assert {email: home_of(world.signed_in(email)) for email in homes} == homes
    assert home_of(browser(world)) == "/login"


def test_with_several_places_one_chooses(world: World) -> None:
    with world.app.app_context(), as_tenant(world.ids[OTHER]) as session:
        session.add(Membership(account_id=account_of(BOB).id, role="user"))
    page = home_of(world.signed_in(BOB))
    assert f'href="/console/{BAKERY}"' in page and f'href="/chat/{OTHER}"' in page


def test_with_no_place_a_plain_page_says_so(world: World) -> None:
    with world.app.app_context(), across_tenants() as session:
        session.delete(find_client(OTHER))
    assert "belongs to no business" in home_of(world.signed_in(CHARLIE))


def test_where_the_clients_provider_is_asked_for_it_is_said(world: World) -> None:
    with world.app.app_context(), as_tenant(world.ids[BAKERY]) as session:
        session.add(IdentityProvider(issuer="https://id.bakery.example", client_id="x", is_required=True))
    http = world.signed_in(BOB)
    assert "Harbour Bakery lets its people in by its own sign-in alone" in home_of(http)
    assert http.get(f"/console/{BAKERY}/overview", headers=PAGE).status_code == 404


@pytest.mark.parametrize("settings", [{"DEFAULT_CLIENT": BAKERY}])
def test_with_a_default_client_nobody_is_asked_who_they_are(world: World) -> None:
    assert home_of(browser(world)) == f"/chat/{BAKERY}"
    assert home_of(world.signed_in(CHARLIE)) == f"/console/{OTHER}"


def test_members_alone_are_led_to_sign_in(world: World) -> None:
    with world.app.app_context():
        create_client("club", "Club", anonymous_chat=False)
    http = browser(world)
    answer = http.get("/chat/club/new?q=x", headers=PAGE)
    assert (answer.status_code, answer.location) == (303, "/login?next=/chat/club/new?q%3Dx")
    assert http.get("/chat/club", headers={"Accept": "application/json"}).status_code == 401
    assert http.get("/chat/club").status_code == 401
    assert http.get("/chat/club/look.css", headers={"Accept": "text/css,*/*;q=0.1"}).status_code == 200


@pytest.fixture
def confined(world: World) -> FlaskClient:
    """Bob's browser, signed in by the bakery's own provider."""
    http = world.app.test_client()
    with world.app.app_context(), across_tenants():
        sign_in = begin_sign_in(account_of(BOB).id, address="", device="", confined_to=world.ids[BAKERY])
    with http.session_transaction() as kept:
        kept["_user_id"] = sign_in
    return http


def test_whom_a_clients_provider_signed_in_is_at_home_there(confined: FlaskClient) -> None:
    assert home_of(confined) == f"/console/{BAKERY}"
