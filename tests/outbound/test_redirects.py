"""Where an answer sends us on: each step is judged, three are followed, and secrets stay behind."""

import pytest

from chatbot.errors import ShamanError
from chatbot.outbound import Fetched, OutboundFailed, OutboundRefused, fetch
from tests.hostile import Hostile, page, redirect
from tests.outbound.asking import ALLOW, FRIEND, INSIDE, try_fetch

WAYS_INSIDE = [
    "http://INSIDE/",
    "//INSIDE/",
    "http://[::ffff:7f00:2]/",
    "http://2130706434/",
    "http://\tINSIDE/",
    "ht\ttp://INSIDE/",
    "\\\\INSIDE/",
    "http://friend.example\\@INSIDE/",
    "http://friend.example@INSIDE/",
    "http://１２７.0.0.2/",
    "file:///etc/passwd",
    "gopher://INSIDE/",
]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("way", WAYS_INSIDE)
def test_no_redirect_leads_inside(friend, inside, way, status):
    location = way.replace("INSIDE", f"{INSIDE}:{inside.port}").encode().decode("latin-1")
    friend.pages["/out"] = redirect(location, status)
    assert isinstance(try_fetch(f"{friend.url}/out"), OutboundRefused)
    assert isinstance(try_fetch(f"{friend.url}/out", method="POST", body=b"x"), ShamanError)


@pytest.mark.parametrize("location", ["/wel\tcome", "/wel\\come", " \x01/", "/\x7f"])
def test_a_place_that_can_be_read_in_two_ways_is_refused(friend, location):
    friend.pages |= {"/": redirect(location), "/welcome": page(), "/x": page()}
    assert isinstance(try_fetch(friend.url), OutboundRefused)


def test_a_name_is_judged_anew_at_each_step(names, friend, inside):
    names["flip.example"] = [[FRIEND], [INSIDE]]
    friend.pages["/"] = redirect("/again")
    assert isinstance(try_fetch(f"http://flip.example:{friend.port}/"), OutboundRefused)


def test_three_redirects_are_followed_and_no_more(friend):
    friend.pages |= {f"/{step}": redirect(f"/{step + 1}") for step in range(20)}
    friend.pages["/20"] = page(b"There")
    assert fetch(f"{friend.url}/17", allow=ALLOW) == Fetched(
        f"{friend.url}/20", 200, {"content-length": "5", "content-type": "text/html"}, b"There"
    )
    friend.heard.clear()
    assert isinstance(try_fetch(f"{friend.url}/0"), OutboundFailed)
    assert [heard.path for heard in friend.heard] == ["/0", "/1", "/2", "/3"]


def test_with_follow_0_a_redirect_is_the_answer(friend, inside):
    friend.pages["/hook"] = redirect(inside.url, 307)
    fetched = fetch(f"{friend.url}/hook", method="POST", body=b"{}", follow=0, allow=ALLOW)
    assert (fetched.status, len(friend.heard)) == (307, 1)


def test_a_refresh_is_not_followed(friend, inside):
    friend.pages["/"] = page(
        f'<meta http-equiv="refresh" content="0; url={inside.url}">'.encode(), Refresh=f"0; {inside.url}"
    )
    assert fetch(friend.url, allow=ALLOW).body.startswith(b"<meta")


SECRETS = {"Authorization": "Bearer x", "Cookie": "a=b", "X-Api-Key": "y", "Accept-Language": "de", "Host": "evil.test"}


def test_secrets_stay_with_their_origin(friend):
    with Hostile(FRIEND, {"/": redirect(f"{friend.url}/back")}).serving() as other:
        friend.pages |= {"/start": redirect("/more"), "/more": redirect(other.url), "/back": page()}
        fetch(f"{friend.url}/start", headers=SECRETS, allow=ALLOW)
    start, more, back = friend.heard
    for own in (start, more):
        assert [own.headers[name] for name in ("authorization", "cookie", "x-api-key")] == ["Bearer x", "a=b", "y"]
        assert own.headers["host"] == f"{FRIEND}:{friend.port}"
    for foreign in (*other.heard, back):
        assert foreign.headers["accept-language"] == "de"
        assert not {"authorization", "cookie", "x-api-key"} & set(foreign.headers)


@pytest.mark.parametrize("status, method", [(302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")])
def test_a_body_goes_on_within_its_origin_alone(friend, status, method):
    with Hostile(FRIEND, {"/": page()}).serving() as other:
        friend.pages |= {"/near": redirect("/", status), "/far": redirect(other.url, status)}
        fetch(f"{friend.url}/near", method="POST", body=b"code=1", headers={"Content-Type": "a/b"}, allow=ALLOW)
        assert friend.heard[-1].headers.get("content-type") == ("a/b" if method == "POST" else None)
        assert (friend.heard[-1].method, friend.heard[-1].body) == (method, b"code=1" if method == "POST" else b"")
        try_fetch(f"{friend.url}/far", method="POST", body=b"code=1")
        assert [heard.body for heard in other.heard] == ([b""] if method == "GET" else [])
