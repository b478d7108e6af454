"""The frame: the rail shows what one may open and nothing else; who is where is always said."""

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import select

from chatbot.accounts.models import Account, Membership
from chatbot.db import across_tenants
from chatbot.tenants.clients import find_client
from tests.world import ALICE, BAKERY, BOB, CHARLIE, OTHER, ROOT, ULLA, hidden


def rail(page: str) -> list[str]:
    nav = re.search(r'<nav class="rail.*?</nav>', page, re.S)
    return re.findall(r'<a href="([^"]+)"', nav[0]) if nav else []


def test_each_entry_answers_whoever_sees_it(world):
    for email, home in (
        (ALICE, f"/console/{BAKERY}/overview"),
        (BOB, f"/console/{BAKERY}/overview"),
        (ROOT, "/admin/clients"),
    ):
        http = world.signed_in(email)
        page = http.get(home)
        assert page.status_code == 200
        links = rail(page.get_data(as_text=True))
        assert home in links
        assert [http.get(link).status_code for link in links] == [200] * len(links)


def test_a_user_sees_no_console(world):
    assert world.signed_in(ULLA).get(f"/console/{BAKERY}/overview").status_code == 403
    assert world.signed_in(CHARLIE).get(f"/console/{BAKERY}/overview").status_code == 404


def test_a_form_that_was_refused_is_drawn_within_its_transaction(world):
    """On SQLite nothing else can be read or written inside one, and the frame reads across clients."""
    http = world.signed_in(ALICE)
    page = http.get(f"/console/{BAKERY}/team").get_data(as_text=True)
    fields = {"csrf_token": hidden(page, "csrf_token"), "email": BOB, "role": "staff"}
    answer = http.post(f"/console/{BAKERY}/team/invitations", data=fields)
    assert answer.status_code == 409 and "Harbour Bakery" in answer.get_data(as_text=True)


def test_a_person_of_two_clients_may_go_from_one_to_the_other(world):
    http = world.signed_in(ALICE)
    assert f'href="/console/{OTHER}"' not in http.get(f"/console/{BAKERY}/overview").get_data(as_text=True)
    with world.app.app_context(), across_tenants() as session:
        alice = session.scalar(select(Account.id).where(Account.email == ALICE))
        session.add(Membership(tenant_id=world.ids[OTHER], account_id=alice, role="user"))
    page = http.get(f"/console/{BAKERY}/overview").get_data(as_text=True)
    assert f'href="/chat/{OTHER}"' in page, "as a user: to the chat, there is no console for them"


def test_times_are_the_clients_own(world):
    with world.app.app_context(), across_tenants():
        find_client(BAKERY).time_zone = "Asia/Kathmandu"
    world.vera.post(message="Hello?")
    page = world.signed_in(ALICE).get(f"/console/{BAKERY}/overview").get_data(as_text=True)
    stamp = re.search(r'<time datetime="([^"]+)">([^<]+)</time>', page)
    local = datetime.fromisoformat(stamp[1]).astimezone(ZoneInfo("Asia/Kathmandu"))
    assert local.strftime("%-I:%M") in stamp[2]
