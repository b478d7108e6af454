"""The second factor: an app's codes, recovery codes, who asks for it, and what may be taken away."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pyotp
import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select

from chatbot.accounts.models import Passkey, RecoveryCode
from chatbot.accounts.second_factor import factors, totp
from chatbot.accounts.second_factor.factors import reset_factors
from chatbot.accounts.second_factor.recovery_codes import use_recovery_code
from chatbot.accounts.sign_ins import Life, find_person
from chatbot.audit import COMMAND_LINE
from chatbot.db import across_tenants
from chatbot.errors import Conflict, Unauthorized
from chatbot.tenancy import new_id
from chatbot.tenants.defaults import SECURITY, set_default
from chatbot.tenants.models import Tenant
from tests.accounts.signing_in import (
    PAGE,
    SECRET,
    account_of,
    actions,
    cookie,
    give_app,
    give_codes,
    pending,
    post,
    show,
    sign_in_of,
    token,
)
from tests.world import ALICE, BAKERY, BOB, ROOT, World

STEP = timedelta(seconds=30)


class Clock:
    """The time that the second factor goes by."""

    def __init__(self) -> None:
        self.at = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.at

    def code(self, secret: str = SECRET, steps: int = 0) -> str:
        return pyotp.TOTP(secret).at(self.at + steps * STEP)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (totp, factors):
        monkeypatch.setattr(module, "now", clock)
    return clock


def require(world: World, slug: str = BAKERY) -> None:
    with world.app.app_context(), across_tenants() as session:
        tenant = session.get(Tenant, world.ids[slug])
        assert tenant
        tenant.requires_second_factor = True


# --- a code after the first factor -----------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [-1, 0, 1])
def test_a_code_of_now_or_a_step_beside_signs_in_strongly(world: World, clock: Clock, steps: int) -> None:
    give_app(world)
    http = pending(world)
    answer = show(http, code=clock.code(steps=steps))
    assert (answer.status_code, answer.location) == (303, "/goal")
    found = sign_in_of(world, http)
    assert found
    assert found.strong_at


@pytest.mark.parametrize("typed", ["000000", "", "12345", "abcdef", "١٢٣٤٥٦", "\x00", "9" * 40])
def test_what_is_no_code_signs_nobody_in(world: World, clock: Clock, typed: str) -> None:
    give_app(world)
    http = pending(world)
    answer = show(http, code=typed)
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.get_data(as_text=True)
    assert cookie(http) == ""


@pytest.mark.parametrize("steps", [-2, 2])
def test_a_code_of_two_steps_beside_is_refused(world: World, clock: Clock, steps: int) -> None:
    give_app(world)
    assert show(pending(world), code=clock.code(steps=steps)).status_code == 422


def test_a_code_is_good_once_and_so_is_any_before_it(world: World, clock: Clock) -> None:
    give_app(world)
    used, before = clock.code(), clock.code(steps=-1)
    assert show(pending(world), code=used).status_code == 303
    assert show(pending(world), code=used).status_code == 422
    assert show(pending(world), code=before).status_code == 422
    clock.at += STEP
    assert show(pending(world), code=clock.code()).status_code == 303


def test_two_posts_at_once_with_one_code_are_one_sign_in(world: World, clock: Clock) -> None:
    give_app(world)
    browsers = [pending(world) for _ in range(6)]
    tokens = [token(http) for http in browsers]
    code = clock.code()

    def send(http: FlaskClient, token: str) -> int:
        return http.post("/login/second", data={"csrf_token": token, "code": code}).status_code

    with ThreadPoolExecutor(len(browsers)) as pool:
        assert sorted(pool.map(send, browsers, tokens)) == [303, *[422] * 5]


def test_the_code_may_be_typed_with_a_space(world: World, clock: Clock) -> None:
    give_app(world)
    code = clock.code()
    assert show(pending(world), code=f" {code[:3]} {code[3:]} ").status_code == 303


def test_nobody_is_asked_who_has_not_shown_the_first_factor(world: World) -> None:
    answer = world.app.test_client().get("/login/second")
    assert answer.status_code == 303
    assert answer.location.endswith("/login")


def test_the_first_factor_counts_for_five_minutes(world: World, clock: Clock) -> None:
    give_app(world)
    http = pending(world)
    with http.session_transaction() as kept:
        kept["pending"] = kept["pending"] | {"since": datetime.now(UTC).timestamp() - 301}
    answer = show(http, code=clock.code())
    assert answer.location.endswith("/login")
    assert cookie(http) == ""


def test_an_account_that_was_switched_off_does_not_come_in(world: World, clock: Clock) -> None:
    give_app(world)
    http = pending(world)
    with world.app.app_context(), across_tenants():
        account_of(ALICE).is_enabled = False
    assert show(http, code=clock.code()).status_code == 403
    assert cookie(http) == ""


# --- how often one may try -------------------------------------------------------------------------------------------


def test_an_account_has_ten_tries_in_a_quarter_of_an_hour_from_wherever(world: World, clock: Clock) -> None:
    give_app(world)
    answers = [show(pending(world, address=f"198.51.100.{n}"), code="000000") for n in range(11)]
    assert [answer.status_code for answer in answers] == [422] * 10 + [429]
    assert int(answers[-1].headers["Retry-After"]) <= 901
    assert show(pending(world, address="203.0.113.9"), code=clock.code()).status_code == 429  # the right one too


def test_parallel_tries_of_one_account_are_ten_in_all(world: World, clock: Clock) -> None:
    give_app(world)
    browsers = [pending(world, address=f"198.51.100.{n}") for n in range(16)]
    tokens = [token(http) for http in browsers]

    def send(http: FlaskClient, token: str) -> int:
        return http.post("/login/second", data={"csrf_token": token, "code": "000000"}).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(send, browsers, tokens)) == [422] * 10 + [429] * 6


def test_an_address_has_ten_wrong_ones_and_right_ones_do_not_count(world: World, clock: Clock) -> None:
    give_app(world, ALICE)
    give_app(world, BOB)
    for _ in range(5):
        assert show(pending(world, ALICE), code=clock.code()).status_code == 303
        assert show(pending(world, BOB), code=clock.code()).status_code == 303
        clock.at += STEP
    give_app(world, ROOT)
    for email in (ALICE, BOB, ROOT):
        for _ in range({ALICE: 5, BOB: 5, ROOT: 0}[email]):
            assert show(pending(world, email), code="000000").status_code == 422
    assert show(pending(world, ROOT), code=clock.code()).status_code == 429
    assert show(pending(world, ROOT, address="203.0.113.9"), code=clock.code()).status_code == 303


# --- recovery codes --------------------------------------------------------------------------------------------------


def test_a_recovery_code_signs_in_once_however_it_is_typed(world: World) -> None:
    give_app(world)
    code, *_ = give_codes(world)
    assert show(pending(world), recovery_code=f" {code.upper().replace('-', ' ')} ").status_code == 303
    assert show(pending(world), recovery_code=code).status_code == 422
    assert "account.recovery_code_used" in actions(world)


def test_two_posts_at_once_with_one_recovery_code_are_one_sign_in(world: World) -> None:
    give_app(world)
    code, *_ = give_codes(world)

    def use(_: int) -> bool:
        with world.app.app_context(), across_tenants():
            return use_recovery_code(account_of(ALICE), code, COMMAND_LINE)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(use, range(4))) == 1


def test_recovery_codes_are_hashed_and_belong_to_one_account(world: World) -> None:
    give_app(world, BOB)
    codes = give_codes(world, ALICE)
    assert len(set(codes)) == 10
    assert show(pending(world, BOB), recovery_code=codes[0]).status_code == 422
    with world.app.app_context(), across_tenants() as session:
        kept = session.scalars(select(RecoveryCode.code_hash)).all()
    assert not any(code in kept or code.replace("-", "") in kept for code in codes)


# --- setting up ------------------------------------------------------------------------------------------------------


def secret_on(page: str) -> str:
    found = re.search(r'class="secret">([A-Z2-7 ]+)<', page)
    assert found
    return found[1].replace(" ", "")


def set_up(http: FlaskClient, clock: Clock) -> tuple[str, list[str]]:
    """Set an app up as its owner does. Returns the secret and the recovery codes."""
    secret = secret_on(http.get(f"{PAGE}/app").get_data(as_text=True))
    answer = post(http, f"{PAGE}/app", code=clock.code(secret))
    assert answer.status_code == 303
    return secret, re.findall(r"<code>([\w-]+)</code>", http.get(answer.location).get_data(as_text=True))


def test_the_first_app_makes_the_sign_in_strong_with_a_new_cookie_and_ends_the_others(
    world: World, clock: Clock
) -> None:
    http, other = world.signed_in(ALICE), world.signed_in(ALICE)
    before = cookie(http)
    _, codes = set_up(http, clock)
    assert len(codes) == 10
    assert cookie(http) != before
    assert (found := sign_in_of(world, http)) and found.strong_at
    stale = world.app.test_client()
    with stale.session_transaction() as kept:
        kept["_user_id"] = before
    for dead in (other, stale):
        assert dead.get(PAGE).location.startswith("/login")
    assert actions(world)[-2:] == ["account.app_added", "account.recovery_codes_made"]


def test_the_code_that_set_the_app_up_is_used_and_recovery_codes_are_shown_once(world: World, clock: Clock) -> None:
    http = world.signed_in(ALICE)
    secret, codes = set_up(http, clock)
    assert http.get(f"{PAGE}/recovery-codes").status_code == 303
    assert show(pending(world), code=clock.code(secret)).status_code == 422
    assert show(pending(world), recovery_code=codes[3]).status_code == 303


def test_an_app_reads_which_site_and_whose_it_is() -> None:
    link = pyotp.parse_uri(totp.link_of(SECRET, ALICE, "https://chat.example.com"))
    assert (link.secret, link.name, link.issuer) == (SECRET, ALICE, "chat.example.com")


def test_who_was_on_the_way_somewhere_goes_on_from_there(world: World, clock: Clock) -> None:
    http, goal = world.signed_in(ALICE), f"/console/{BAKERY}/overview"
    secret = secret_on(http.get(f"{PAGE}/app?next={goal}").get_data(as_text=True))
    answer = post(http, f"{PAGE}/app?next={goal}", code=clock.code(secret))
    assert f'href="{goal}"' in http.get(answer.location).get_data(as_text=True)


def test_a_wrong_first_code_sets_nothing_up_and_the_secret_stays(world: World, clock: Clock) -> None:
    http = world.signed_in(ALICE)
    secret = secret_on(http.get(f"{PAGE}/app").get_data(as_text=True))
    answer = post(http, f"{PAGE}/app", code="000000")
    assert answer.status_code == 422
    assert secret_on(answer.get_data(as_text=True)) == secret
    with http.session_transaction() as kept:
        assert secret not in str(dict(kept))
    with world.app.app_context(), across_tenants():
        assert account_of(ALICE).totp_secret is None


def test_another_app_takes_the_place_of_the_first_and_ends_other_sign_ins(world: World, clock: Clock) -> None:
    give_app(world)
    http, other = world.signed_in(ALICE, strong=True), world.signed_in(ALICE, strong=True)
    secret = secret_on(http.get(f"{PAGE}/app").get_data(as_text=True))
    assert post(http, f"{PAGE}/app", code=clock.code(secret)).location == PAGE
    assert http.get(PAGE).status_code == 200
    assert other.get(PAGE).status_code == 303
    clock.at += STEP
    assert show(pending(world), code=clock.code(SECRET)).status_code == 422
    assert show(pending(world), code=clock.code(secret)).status_code == 303


def test_new_recovery_codes_make_the_old_ones_useless(world: World, clock: Clock) -> None:
    give_app(world)
    old = give_codes(world)
    http = world.signed_in(ALICE, strong=True)
    page = http.get(post(http, f"{PAGE}/recovery-codes").location).get_data(as_text=True)
    new = re.findall(r"<code>([\w-]+)</code>", page)
    assert len(new) == 10
    assert show(pending(world), recovery_code=old[0]).status_code == 422
    assert show(pending(world), recovery_code=new[0]).status_code == 303


# --- who may change it -----------------------------------------------------------------------------------------------

CHANGES = [f"{PAGE}/app", f"{PAGE}/app/remove", f"{PAGE}/recovery-codes", f"{PAGE}/passkeys", f"{PAGE}/passkeys/x"]


@pytest.mark.parametrize("path", CHANGES)
def test_a_change_asks_who_one_is_a_quarter_of_an_hour_after_signing_in(world: World, clock: Clock, path: str) -> None:
    give_app(world)
    http = world.signed_in(ALICE, strong=True)
    clock.at += timedelta(minutes=16)
    answer = post(http, path, code="1", name="x", credential="{}")
    assert answer.status_code == 303
    assert answer.location.startswith(f"{PAGE}/confirm")


@pytest.mark.parametrize("path", CHANGES)
def test_a_weak_sign_in_changes_nothing_of_one_who_has_a_factor(world: World, clock: Clock, path: str) -> None:
    give_app(world)
    answer = post(world.signed_in(ALICE), path, code="1", name="x", credential="{}")
    assert answer.location.startswith(f"{PAGE}/confirm")
    with world.app.app_context(), across_tenants():
        assert account_of(ALICE).totp_secret == SECRET


def test_the_password_confirms_and_a_wrong_one_does_not(world: World, clock: Clock) -> None:
    from chatbot.accounts.passwords import hash_password

    with world.app.app_context(), across_tenants():
        account_of(ALICE).password_hash = hash_password("eleven rolls today")
    http = world.signed_in(ALICE)
    clock.at += timedelta(minutes=16)
    path = f"{PAGE}/confirm?next={PAGE}/app"
    assert post(http, path, password="eleven rolls").status_code == 422
    assert http.get(f"{PAGE}/app").status_code == 303
    clock.at = datetime.now(UTC)
    answer = post(http, path, password="eleven rolls today")
    assert (answer.status_code, answer.location) == (303, f"{PAGE}/app")
    assert http.get(f"{PAGE}/app").status_code == 200


def test_the_second_factor_confirms_with_a_new_cookie(world: World, clock: Clock) -> None:
    give_app(world)
    http = world.signed_in(ALICE, strong=True)
    before = cookie(http)
    answer = post(http, f"/login/second?next={PAGE}/app", code=clock.code())
    assert answer.location == f"{PAGE}/app"
    assert cookie(http) != before
    assert http.get(f"{PAGE}/app").status_code == 200


def test_goals_are_paths_of_ours(world: World, clock: Clock) -> None:
    give_app(world)
    http = world.signed_in(ALICE)
    answer = post(http, "/login/second?next=//evil.example/x", code=clock.code())
    assert answer.location == PAGE


def test_people_of_a_clients_own_provider_look_after_it_there(world: World) -> None:
    from chatbot.accounts.sign_ins import begin_sign_in

    http = world.app.test_client()
    with world.app.app_context(), across_tenants():
        value = begin_sign_in(
            account_of(ALICE).id, address="", device="", confined_to=world.ids[BAKERY], is_strong=True
        )
    with http.session_transaction() as kept:
        kept["_user_id"] = value
    for path in (PAGE, f"{PAGE}/app", f"{PAGE}/confirm", f"{PAGE}/recovery-codes"):
        assert http.get(path, headers={"Accept": "text/html"}).status_code == 403


# --- removing, and who asks for it -----------------------------------------------------------------------------------


def test_the_last_factor_goes_with_its_codes_and_leaves_a_weak_sign_in(world: World) -> None:
    give_app(world)
    codes = give_codes(world)
    http, other = world.signed_in(ALICE, strong=True), world.signed_in(ALICE, strong=True)
    before = cookie(http)
    assert post(http, f"{PAGE}/app/remove").status_code == 303
    found = sign_in_of(world, http)
    assert found
    assert found.strong_at is None
    assert cookie(http) != before
    assert other.get(PAGE).status_code == 303
    assert show(pending(world), recovery_code=codes[0]).location.endswith("/login")
    assert "account.app_removed" in actions(world)


def test_a_client_that_asks_for_it_keeps_its_people_from_removing_the_last(world: World) -> None:
    give_app(world)
    require(world)
    http = world.signed_in(ALICE, strong=True)
    answer = post(http, f"{PAGE}/app/remove")
    assert answer.status_code == 409
    assert "Harbour Bakery" in answer.get_data(as_text=True)
    with world.app.app_context(), across_tenants():
        assert account_of(ALICE).totp_secret == SECRET


def test_the_platform_asks_its_admins(world: World) -> None:
    give_app(world, ROOT)
    with world.app.app_context():
        set_default(SECURITY, {"requires_second_factor": True})
    answer = post(world.signed_in(ROOT, strong=True), f"{PAGE}/app/remove")
    assert answer.status_code == 409


def test_two_removals_at_once_leave_one_factor_where_one_is_asked_for(world: World) -> None:
    give_app(world)
    with world.app.app_context(), across_tenants() as session:
        passkey = Passkey(account_id=account_of(ALICE).id, credential_id=b"x", public_key=b"y", name="stick")
        session.add(passkey)
        session.flush()
        passkey_id = passkey.id

    def remove(which: str) -> bool:
        try:
            with world.app.app_context(), across_tenants():
                account = factors.lock_account(account_of(ALICE).id)
                if which == "app":
                    factors.remove_app(account, ["Harbour Bakery"], COMMAND_LINE)
                else:
                    factors.remove_passkey(account, passkey_id, ["Harbour Bakery"], COMMAND_LINE)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(remove, ["app", "passkey"])) == [False, True]


def test_a_weak_request_under_way_does_not_pass_the_first_factor_or_the_end_of_its_sign_in(world: World) -> None:
    http = world.signed_in(ALICE)
    life = Life(timedelta(hours=1), timedelta(hours=1))
    with world.app.app_context():
        person = find_person(cookie(http), life)
        assert person
    give_app(world)
    with world.app.app_context(), pytest.raises(Conflict), across_tenants():
        factors.lock_own(person)
    with world.app.app_context(), across_tenants():
        reset_factors(person.account_id, COMMAND_LINE)
    with world.app.app_context(), pytest.raises(Unauthorized), across_tenants():
        factors.lock_own(person)


def test_who_is_asked_and_has_none_is_led_here_and_told_why(world: World, clock: Clock) -> None:
    require(world)
    http = world.signed_in(BOB)
    answer = http.get(f"/console/{BAKERY}/overview", headers={"Accept": "text/html"})
    assert answer.status_code == 303
    assert answer.location.startswith(PAGE)
    page = http.get(answer.location).get_data(as_text=True)
    assert "Harbour Bakery asks its people to use a second factor." in page
    set_up(http, clock)
    assert http.get(f"/console/{BAKERY}/overview").status_code == 200


def test_who_has_one_and_came_in_weakly_is_offered_to_show_it(world: World, clock: Clock) -> None:
    give_app(world, BOB)
    require(world)
    http = world.signed_in(BOB)
    page = http.get(PAGE).get_data(as_text=True)
    assert 'href="/login/second"' in page
    assert post(http, "/login/second", code=clock.code()).location == PAGE
    assert http.get(f"/console/{BAKERY}/overview").status_code == 200


def test_an_operator_resets_somebodys_second_factor(world: World) -> None:
    give_app(world)
    give_codes(world)
    http = world.signed_in(ALICE, strong=True)
    with world.app.app_context(), across_tenants():
        reset_factors(account_of(ALICE).id, COMMAND_LINE)
    with world.app.app_context(), across_tenants() as session:
        assert account_of(ALICE).totp_secret is None
        assert session.scalar(select(func.count(RecoveryCode.id))) == 0
    assert http.get(PAGE).status_code == 303
    assert actions(world)[-1] == "account.factors_reset"


def test_an_unknown_passkey_is_not_there(world: World) -> None:
    http = world.signed_in(ALICE, strong=True)
    for path in (f"{PAGE}/passkeys/{new_id()}", f"{PAGE}/passkeys/{new_id()}/remove"):
        assert post(http, path, name="x").status_code == 404


def test_forms_need_their_token(world: World, clock: Clock) -> None:
    give_app(world)
    http: Any = world.signed_in(ALICE, strong=True)
    assert http.post(f"{PAGE}/app/remove").status_code == 400
    assert pending(world).post("/login/second", data={"code": clock.code()}).status_code == 400
