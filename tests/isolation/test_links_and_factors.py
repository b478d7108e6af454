"""Secrets that stand for a right: a link, a signature, a code, a name given to a call. Another's are as good as none."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from bench.model import ModelServer
from chatbot.accounts.links import make_reset_link
from chatbot.accounts.models import OneTimeLink, Passkey
from chatbot.audit import COMMAND_LINE
from chatbot.db import across_tenants
from chatbot.tenancy import new_id, now
from tests.accounts.authenticator import Authenticator
from tests.accounts.signing_in import account_of, cookie, give_app, give_codes, pending, show, token
from tests.isolation.cast import PAGE, Cast, with_key
from tests.isolation.probes import outcome
from tests.isolation.probes_of_people import a_member
from tests.world import ALICE, BAKERY, CHARLIE, OTHER, World, hidden

HOST, ORIGIN = "localhost", "http://localhost:5000"


@pytest.fixture
def settings(model: ModelServer) -> dict[str, Any]:
    """At an address for which browsers have passkeys."""
    return {"OPENAI_BASE_URL": model.base_url, "OPENAI_MODEL": "obey", "PUBLIC_URL": ORIGIN}


# --- links -----------------------------------------------------------------------------------------------------------


def test_a_link_is_its_secret(people: Cast) -> None:
    """What the database has of it, a used one and one that is over are the same as one that never was."""
    app = people.world.app
    with app.app_context(), across_tenants():
        links = [make_reset_link(account_of(ALICE).id, COMMAND_LINE).rpartition("/")[2] for _each in range(3)]
    assert people.walt.see(f"/link/{links[0]}").status_code == 200
    with app.app_context(), across_tenants() as session:
        rows = session.scalars(select(OneTimeLink).order_by(OneTimeLink.id)).all()
        stored = [value for row in rows for value in (row.id, row.secret_hash)]
        session.execute(update(OneTimeLink).where(OneTimeLink.id == rows[1].id).values(used_at=now()))
        over = update(OneTimeLink).where(OneTimeLink.id == rows[2].id)
        session.execute(over.values(expires_at=now() - timedelta(seconds=1)))
    for secret in [*stored, links[0][:-1], links[0].swapcase(), f"{links[0]}=", links[1], links[2]]:
        for caller in (people.walt, people.alice):
            for method in ("GET", "POST"):
                dead, none = (use(caller, method, f"/link/{one}") for one in (secret, new_id()))
                assert outcome(dead, secret) == outcome(none) and dead.status_code == 404, secret


def use(caller: Any, method: str, path: str) -> TestResponse:
    form = {"csrf_token": token(caller.http), "password": "seven sleepy seagulls"} if method == "POST" else None
    answer: TestResponse = caller.open(path, method=method, data=form, headers=PAGE)
    return answer


def test_an_invitation_tells_nothing_of_whom_it_is_for(people: Cast) -> None:
    """An e-mail that has an account elsewhere, one with an account here that is no member's, and one that nobody has."""
    a_member(people.alice)
    answers = []
    for email in (ALICE, "root@platform.example", "nobody@bakery.example"):
        invited = people.charlie.console("team/invitations", email=email, role="user")
        listed = people.charlie.see(f"/console/{OTHER}/team")
        answers.append((outcome(invited, email), outcome(listed, email)))
        assert invited.status_code == 303 and email in listed.get_data(as_text=True)
        again = hidden(listed.get_data(as_text=True), "csrf_token")
        [id_] = open_invitations(people.world)
        people.charlie.http.post(f"/console/{OTHER}/team/invitations/{id_}/withdraw", data={"csrf_token": again})
        people.charlie.see(f"/console/{OTHER}/team")
    assert answers[0] == answers[1] == answers[2]


def open_invitations(world: World) -> list[str]:
    with world.app.app_context(), across_tenants(writes=False) as session:
        return list(session.scalars(select(OneTimeLink.id).where(OneTimeLink.tenant_id == world.ids[OTHER])))


# --- second factors --------------------------------------------------------------------------------------------------


def test_a_factor_is_its_owners(people: Cast) -> None:
    """Charlie has shown his first factor. Alice's passkey and her code are worth what any others are: nothing."""
    world, device = people.world, Authenticator(ORIGIN, HOST)
    give_app(world, CHARLIE)
    made = device.make(options(people.alice.http, "/account/second-factor/passkeys/options"))
    assert people.alice.send("/account/second-factor/passkeys", name="my phone", credential=made).status_code == 303
    stranger = Authenticator(ORIGIN, HOST)
    stranger.user = device.user
    hers, none = (second(world, "credential", device=one) for one in (device, stranger))
    assert outcome(hers) == outcome(none) and hers.status_code == 422
    hers, none = (second(world, "recovery_code", code) for code in (give_codes(world, ALICE)[0], "abcd-efgh-jkmn"))
    assert outcome(hers) == outcome(none) and hers.status_code == 422
    with world.app.app_context(), across_tenants(writes=False) as session:
        assert session.scalar(select(Passkey.sign_count)) == 0


def options(http: Any, path: str) -> dict[str, Any]:
    answer = http.post(path, headers={"Accept": "application/json", "X-CSRFToken": token(http)})
    assert answer.status_code == 200
    return dict(answer.get_json())


def second(world: World, field: str, value: str = "", device: Authenticator | None = None) -> TestResponse:
    """Charlie tries something in place of his second factor."""
    http = pending(world, CHARLIE)
    if device is not None:
        asked = options(http, "/login/second/options")
        assert asked["allowCredentials"] == []
        value = device.sign(asked)
    answer = show(http, **{field: value})
    assert cookie(http) == ""
    return answer


# --- names of calls --------------------------------------------------------------------------------------------------


def test_a_platform_keys_name_for_a_call_is_its_own(people: Cast) -> None:
    """The same Idempotency-Key and body with another platform key is another call: it is told nothing of the first's answer."""
    body, named = {"slug": "new-shop", "name": "CNRY-new", "people": []}, {"Idempotency-Key": "the-same"}
    made, again = (
        people.platform.call("/admin/clients", method="POST", json=body, headers=named) for _each in range(2)
    )
    assert (made.status_code, again.status_code) == (201, 201) and made.get_json() == again.get_json()
    for caller, status in ((people.root_elsewhere, 401), (people.looker, 403), (people.outsider, 403)):
        answer = caller.call("/admin/clients", method="POST", json=body, headers=named)
        assert answer.status_code == status and "CNRY" not in answer.get_data(as_text=True)
    answer = with_key(people.world, None, "manage").call("/admin/clients", method="POST", json=body, headers=named)
    assert answer.status_code == 409 and BAKERY not in answer.get_data(as_text=True)
