"""One client's page: made, changed, suspended, deleted and brought back; each is written down."""

import re
import threading

import pytest
from sqlalchemy import func, select

from bench.model import ModelServer
from chatbot.accounts.models import IdentityProvider
from chatbot.chat.models import Turn
from chatbot.db import across_tenants, as_tenant
from chatbot.tenancy import now
from chatbot.tenants.models import Tenant
from tests.admin.sending import audited, post
from tests.world import ALICE, BAKERY, CHARLIE, OTHER, ROOT, hidden

HOME = f"/admin/clients/{BAKERY}"


@pytest.fixture
def settings(model: ModelServer):
    return {"OPENAI_BASE_URL": model.base_url, "OPENAI_MODEL": "slow-20-400"}


@pytest.fixture
def root(world):
    return world.signed_in(ROOT)


def tenant(world, slug=BAKERY):
    with world.app.app_context(), across_tenants(writes=False) as session:
        return session.scalar(select(Tenant).where(Tenant.slug == slug))


def text(http, path=HOME):
    answer = http.get(path)
    assert answer.status_code == 200
    return answer.get_data(as_text=True)


# --- seeing ----------------------------------------------------------------------------------------------------------


def test_the_page_shows_everything_but_secrets(world, root):
    key, page = world.keys[BAKERY], text(root)
    for expected in ("Harbour Bakery", ALICE, key[:14], key[-4:], "chat, manage, read", "client.created"):
        assert expected in page
    assert key.split("_", 2)[2] not in page, "a key's secret is nowhere"
    assert CHARLIE not in page and world.keys[OTHER][:14] not in page, "nothing of another client"


def test_a_client_that_never_was_is_not_there(root):
    for path in ("/admin/clients/nobody", "/admin/clients/nobody/edit", "/admin/clients/..%2f"):
        assert root.get(path).status_code == 404
    for doing, fields in (
        ("suspend", {"reason": "x"}),
        ("resume", {}),
        ("delete", {"typed": "x"}),
        ("undelete", {}),
        ("enter", {"reason": "x"}),
    ):
        assert post(root, f"/admin/clients/nobody/{doing}", **fields).status_code == 404, doing


# --- making and changing ---------------------------------------------------------------------------------------------


def test_a_client_is_made(world, root):
    given = {
        "slug": "garage",
        "name": "Old Town Garage",
        "time_zone": "Europe/Berlin",
        "messages_per_day": "500",
        "anonymous_chat": "y",
    }
    assert post(root, "/admin/new-client", page="/admin/new-client", **given).location == "/admin/clients/garage"
    made = tenant(world, "garage")
    assert (made.name, made.time_zone, made.anonymous_chat, made.limits) == (
        "Old Town Garage",
        "Europe/Berlin",
        True,
        {"messages_per_day": 500},
    )
    assert root.get("/chat/garage").status_code == 200
    assert audited(world, "client.created")[-1].who == ROOT


def test_its_first_admin_is_invited(world, root):
    given = {"slug": "garage", "name": "Old Town Garage", "time_zone": "UTC", "email": " Gina@Garage.example "}
    assert post(root, "/admin/new-client", page="/admin/new-client", **given).status_code == 303
    page = text(root, "/admin/clients/garage")
    [link] = re.findall(r'value="(http[^"]+/link/[^"]+)"', page)
    assert "gina@garage.example" in page and "Invited" in page
    assert link not in text(root, "/admin/clients/garage"), "it is shown once"
    assert "Old Town Garage" in text(world.app.test_client(), link)
    [entry] = audited(world, "member.invited")
    assert (entry.who, entry.target, entry.tenant_slug, entry.detail) == (
        ROOT,
        "gina@garage.example",
        "garage",
        {"role": "admin"},
    )


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"slug": BAKERY}, "already"),
        ({"slug": "Old Town"}, "letters a to z"),
        ({"name": ""}, "called"),
        ({"email": "nobody"}, "no e-mail address"),
        ({"chat_rate": "lots"}, "5 per minute"),
        ({"messages_per_day": "-1"}, "messages_per_day"),
        ({"time_zone": "Nowhere/X"}, "time_zone"),
    ],
)
def test_a_client_that_can_not_be_is_not_made_and_what_was_typed_stays(world, root, wrong, words):
    given = {"slug": "garage", "name": "Old Town Garage", "time_zone": "UTC"} | wrong
    answer = post(root, "/admin/new-client", page="/admin/new-client", **given)
    page = answer.get_data(as_text=True)
    assert answer.status_code == 422 and words in page and "Something is not right yet" in page
    assert given["slug"] in page and given["name"] in page and tenant(world, "garage") is None


def edit(root, seen=None, **fields):
    path = f"{HOME}/edit"
    page = text(root, path)
    given = {"name": "Harbour Bakery", "time_zone": "UTC", "anonymous_chat": "y", "seen": seen or hidden(page, "seen")}
    return post(root, path, page=path, **given | fields)


def test_a_change_is_stored_and_says_what_it_changed(world, root):
    assert (
        edit(root, name="Bäckerei ☕", tokens_per_month="1000", money_per_month="20.5", slug="stolen").status_code
        == 303
    )
    changed = tenant(world)
    assert (changed.slug, changed.name, changed.limits) == (
        BAKERY,
        "Bäckerei ☕",
        {"tokens_per_month": 1000, "money_per_month": "20.5"},
    )
    [entry] = audited(world, "client.changed")
    assert entry.detail["name"] == ["Harbour Bakery", "Bäckerei ☕"] and set(entry.detail) == {"name", "limits"}
    assert edit(root, name="Bäckerei ☕", tokens_per_month="", money_per_month="").status_code == 303
    assert tenant(world).limits == {}, "an empty field gives the limit back to the platform's"


def test_nothing_changed_is_not_written_down(world, root):
    assert edit(root).status_code == 303 and audited(world, "client.changed") == []


def test_a_form_that_is_out_of_date_changes_nothing(world, root):
    seen = hidden(text(root, f"{HOME}/edit"), "seen")
    edit(root, name="First")
    answer = edit(root, seen=seen, name="Second")
    assert answer.status_code == 422 and "Somebody else" in answer.get_data(as_text=True)
    assert tenant(world).name == "First"


# --- suspending ------------------------------------------------------------------------------------------------------


def suspend(root):
    return post(root, f"{HOME}/suspend", page=HOME, reason="has not paid")


def test_a_suspended_client_answers_plainly_and_spends_nothing(world, root):
    assert post(root, f"{HOME}/suspend", page=HOME).status_code == 422
    assert suspend(root).status_code == 303
    assert "has not paid" in text(root)
    page = world.app.test_client().get(f"/chat/{BAKERY}", headers={"Accept": "text/html"})
    assert page.status_code == 403 and "not available at the moment" in page.get_data(as_text=True)
    for answer in (
        world.app.test_client().post("/api/chat", json={"message": "Hello?"}, headers=world.key()),
        world.app.test_client().get("/api/client/knowledge", headers=world.key()),
    ):
        assert answer.status_code == 403 and answer.mimetype == "application/problem+json"
    assert world.signed_in(ALICE).get(f"/console/{BAKERY}/overview").status_code == 200, "its people still see it"
    with world.app.app_context(), as_tenant(world.ids[BAKERY], writes=False) as session:
        assert session.scalar(select(func.count(Turn.id))) == 0
    post(root, f"{HOME}/resume", page=HOME)
    assert world.app.test_client().get(f"/chat/{BAKERY}").status_code == 200


@pytest.mark.parametrize("doing, fields", [("suspend", {"reason": "unpaid"}), ("delete", {"typed": "Harbour Bakery"})])
def test_what_runs_is_stopped_within_five_seconds(world, root, doing, fields, wait):
    world.app.extensions["shaman_live"].keep()
    events = []
    asking = threading.Thread(target=lambda: events.extend(world.vera.ask("Tell me a lot.")))
    asking.start()
    wait(lambda: turns(world) == ["running"])
    begun = now()
    assert post(root, f"{HOME}/{doing}", page=HOME, **fields).status_code == 303
    asking.join(5)
    assert not asking.is_alive() and (now() - begun).total_seconds() < 5
    assert events[-1].kind == "done" and events[-1].data["finish_reason"] == "stopped"
    assert turns(world) == ["stopped"]


def turns(world):
    with world.app.app_context(), as_tenant(world.ids[BAKERY], writes=False) as session:
        return list(session.scalars(select(Turn.status)))


# --- deleting --------------------------------------------------------------------------------------------------------


def test_a_deleted_client_is_nowhere_until_that_is_undone(world, root):
    wrong = post(root, f"{HOME}/delete", page=HOME, typed="harbour-bakery")
    assert wrong.status_code == 422 and "This is not the client" in wrong.get_data(as_text=True)
    assert world.app.test_client().get(f"/chat/{BAKERY}").status_code == 200
    alice = world.signed_in(ALICE)
    assert post(root, f"{HOME}/delete", page=HOME, typed=" Harbour Bakery ").status_code == 303

    never = world.app.test_client().get("/chat/never-was")
    gone = world.app.test_client().get(f"/chat/{BAKERY}")
    assert gone.status_code == never.status_code == 404
    assert alice.get(f"/console/{BAKERY}/overview").status_code == 404
    assert world.app.test_client().get("/api/client/knowledge", headers=world.key()).status_code == 401
    assert world.app.test_client().post("/api/chat", json={"message": "Hi", "client": BAKERY}).status_code == 404
    taken = post(root, "/admin/new-client", page="/admin/new-client", slug=BAKERY, name="x", time_zone="UTC")
    assert taken.status_code == 422 and "can still be undone" in taken.get_data(as_text=True)
    assert BAKERY in text(root, "/admin/clients?state=deleted") and BAKERY not in text(root, "/admin/clients")
    assert "Undo" in text(root)

    assert post(root, f"{HOME}/undelete", page=HOME).status_code == 303
    assert world.app.test_client().get("/api/client/knowledge", headers=world.key()).status_code == 200
    assert [entry.tenant_slug for name in ("deleted", "undeleted") for entry in audited(world, f"client.{name}")] == [
        BAKERY
    ] * 2
    assert post(root, f"{HOME}/undelete", page=HOME).status_code == 404


def test_a_required_provider_that_is_broken_has_a_last_resort(world, root):
    with world.app.app_context(), as_tenant(world.ids[BAKERY]) as session:
        session.add(IdentityProvider(issuer="https://broken.example", client_id="x", is_required=True))
    console = f"/console/{BAKERY}/team"
    assert world.signed_in(ALICE).get(console).status_code == 404, "she came in by a password"
    assert "https://broken.example" in text(root) and "(required)" in text(root)
    assert post(root, f"{HOME}/open", page=HOME).status_code == 303
    assert world.signed_in(ALICE).get(console).status_code == 200
    assert len(audited(world, "provider.not-required")) == 1
