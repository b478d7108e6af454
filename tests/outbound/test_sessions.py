"""The guard for libraries that bring `requests`."""

import time

import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session

from chatbot.outbound import OutboundFailed, OutboundRefused
from chatbot.outbound.sessions import guard, guarded_session
from tests.hostile import forever, page, redirect
from tests.outbound.asking import ALLOW


def test_a_session_reads_like_any_other(friend):
    friend.pages["/keys"] = page(b'{"keys": []}', Content_Type="application/json")
    session = guarded_session(allow=ALLOW)
    answer = session.post(f"{friend.url}/keys", data={"code": "ä"}, headers={"X-Mark": "1"})
    assert (answer.json(), answer.ok, answer.url) == ({"keys": []}, True, f"{friend.url}/keys")
    assert (friend.heard[0].body, friend.heard[0].headers["x-mark"]) == (b"code=%C3%A4", "1")
    assert session.get(f"{friend.url}/nothing").status_code == 404


def test_a_session_reads_no_passwords_of_the_machine(friend, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login bob password hunter2")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    guarded_session(allow=ALLOW).get(friend.url)
    assert "authorization" not in friend.heard[0].headers


@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_session_follows_no_redirect(friend, inside, status):
    friend.pages["/"] = redirect(inside.url, status)
    with pytest.raises(OutboundFailed):
        guarded_session(allow=ALLOW).post(friend.url, data="code=1")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.2:1/", "http://2130706434/", "file:///etc/passwd", "https://u:p@127.0.0.1/"]
)
def test_a_session_goes_nowhere_inside(inside, url):
    with pytest.raises((OutboundRefused, requests.RequestException)):
        guarded_session(allow=ALLOW).get(url)


def test_a_session_is_bounded(friend):
    friend.pages["/"] = forever(b"HTTP/1.1 200 OK\r\n\r\n", b"x", 0.05)
    start = time.monotonic()
    with pytest.raises(OutboundFailed):
        guarded_session(0.3, allow=ALLOW).get(friend.url, timeout=60)
    assert time.monotonic() - start < 1.5
    friend.pages["/"] = forever(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536)
    with pytest.raises(OutboundFailed):
        guarded_session(allow=ALLOW).get(friend.url)


def test_authlib_asks_under_the_guard(friend, inside):
    friend.pages["/token"] = page(b'{"access_token": "t", "token_type": "Bearer"}', Content_Type="application/json")
    client = guard(OAuth2Session("id", "secret"), allow=ALLOW)
    token = client.fetch_token(f"{friend.url}/token", code="c", grant_type="authorization_code")
    assert token["access_token"] == "t"
    assert friend.heard[0].headers["authorization"].startswith("Basic ")
    with pytest.raises(OutboundRefused):
        client.get(inside.url, withhold_token=True)
