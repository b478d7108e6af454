"""What a name means: looked up once, judged whole, and that address is contacted; and what the operator allows."""

import socket
import threading
import time
from contextlib import ExitStack
from typing import Any

import pytest

from chatbot.config import BadSetting, load_settings
from chatbot.outbound import (
    OutboundFailed,
    OutboundRefused,
    check_address,
    fetch,
    guard_host,
    guarded_addresses,
)
from chatbot.outbound.sessions import guarded_session
from tests.outbound.asking import ALLOW, FRIEND, INSIDE, try_fetch, words


@pytest.mark.parametrize(
    "meaning",
    [
        ["10.0.0.1"],
        ["93.184.216.34", "10.0.0.1"],
        ["10.0.0.1", "93.184.216.34"],
        ["2606:4700::1", "::1"],
        ["::ffff:10.0.0.1"],
        ["fe80::1%eth0"],
        ["93.184.216.34"] * 50 + ["169.254.169.254"],
    ],
)
@pytest.mark.usefixtures("no_connection")
def test_a_name_with_one_inside_address_is_refused(names, meaning):
    names["mixed.example"] = [meaning] * 3
    for use in (check_address, fetch):
        with pytest.raises(OutboundRefused):
            use("http://mixed.example/", allow=[])
    with pytest.raises(OutboundRefused):
        guard_host("mixed.example", 443, allow=[])


def test_a_name_is_looked_up_once_a_fetch_and_that_address_is_contacted(names, friend, inside):
    names["flip.example"] = [[FRIEND], [INSIDE], [FRIEND]]
    url = f"http://flip.example:{friend.port}/"
    assert fetch(url, allow=ALLOW).body == b"Welcome"
    assert isinstance(try_fetch(url), OutboundRefused)
    assert fetch(url, allow=ALLOW).status == 200
    assert friend.heard[0].headers["host"] == f"flip.example:{friend.port}"
    assert names["flip.example"] == []


def test_a_name_that_was_public_when_saved_is_judged_when_used(names, friend, inside):
    names["later.example"] = [["93.184.216.34"], [INSIDE]]
    url = check_address(f"http://later.example:{friend.port}/", allow=ALLOW)
    assert isinstance(try_fetch(url), OutboundRefused)


def test_an_unknown_name_may_be_saved_and_fails_when_used(names):
    assert check_address("https://nobody.example", allow=[]) == "https://nobody.example/"
    with pytest.raises(OutboundFailed):
        fetch("https://nobody.example", allow=[])


def test_a_slow_resolver_is_not_waited_for(monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: over.wait(20) and [])
    start = time.monotonic()
    with pytest.raises(OutboundFailed):
        fetch("http://slow.example", seconds=0.2, allow=[])
    over.set()
    assert time.monotonic() - start < 2


def test_an_address_that_is_closed_gives_way_to_the_next(names, friend):
    names["two.example"] = [["127.0.0.3", FRIEND]]
    assert fetch(f"http://two.example:{friend.port}/", allow=["127.0.0.0/8"]).body == b"Welcome"


def test_an_address_that_is_silent_leaves_time_for_the_next(names, friend):
    names["two.example"] = [["127.0.0.3", FRIEND]]
    with ExitStack() as stack:
        stack.enter_context(socket.create_server(("127.0.0.3", friend.port), backlog=0))
        for _ in range(3):  # its queue is full: whoever comes now waits
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.3", friend.port))
        url = f"http://two.example:{friend.port}/"
        assert fetch(url, seconds=1, allow=["127.0.0.0/8"]).body == b"Welcome"


def test_an_open_and_a_closed_port_inside_are_told_alike(friend, inside):
    tried = [try_fetch(f"http://{INSIDE}:{port}/") for port in (friend.port, 1, 22)]
    names_of = {words(one) for one in tried}
    assert len(names_of) == 1
    assert INSIDE not in str(names_of)


@pytest.mark.usefixtures("names")
def test_an_inside_name_that_is_and_one_that_is_not_are_told_alike(names):
    names["db.internal"] = [["10.0.0.1"]]
    assert words(try_fetch("http://db.internal/")) == words(try_fetch("http://nothing.internal/"))


@pytest.mark.parametrize("entry", ["127.0.0.0/8", "127.0.0.1", "127.0.0.1:PORT", "shop.example", "SHOP.example.:PORT"])
def test_what_is_allowed_is_reached(names, friend, entry):
    names["shop.example"] = [[FRIEND], [FRIEND]]
    url = f"http://shop.example:{friend.port}/"
    allow = [entry.replace("PORT", str(friend.port))]
    assert check_address(url, allow=allow) == url
    assert fetch(url, allow=allow).body == b"Welcome"


@pytest.mark.parametrize("entry", ["127.0.0.3", "127.0.0.1:1", "shop.example:1", "other.example", "::1", "[::1]:80"])
def test_what_is_allowed_opens_nothing_else(names, friend, entry):
    names["shop.example"] = [[FRIEND]]
    assert isinstance(try_fetch(f"http://shop.example:{friend.port}/", allow=[entry]), OutboundRefused)


def test_an_allowed_name_opens_no_address_by_itself(friend):
    assert isinstance(try_fetch(friend.url, allow=["localhost"]), OutboundRefused)


def test_guard_host_gives_the_addresses_to_connect_to(names):
    names["model.example"] = [["2606:4700::1", "93.184.216.34", "93.184.216.34"]] * 2
    assert guarded_addresses("Model.example.", 443, allow=[]) == ("2606:4700::1", "93.184.216.34")
    assert guard_host("model.example", 443, allow=[]) == "2606:4700::1"
    with pytest.raises(OutboundRefused):
        guard_host("2130706433", 80, allow=[])


@pytest.mark.parametrize(
    "entry", ["10.0.0.1/8", "http://intranet", "a b", "10.0.0.1:0", "[::1", "127.1", "*.example.com"]
)
def test_an_entry_that_cannot_be_used_stops_the_start(tmp_path, entry):
    with pytest.raises(BadSetting) as stopped:
        load_settings(INSTANCE=str(tmp_path), OUTBOUND_ALLOW=f"10.1.0.0/16,{entry}")
    assert str(stopped.value).startswith(f"Setting OUTBOUND_ALLOW: {entry!r} is no network and no host")


class TestSettings:
    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"OUTBOUND_ALLOW": FRIEND}

    @pytest.mark.parametrize("database", ["sqlite"], indirect=True)
    def test_the_installations_own_entries_hold_by_default(self, app, friend, inside):
        with app.app_context():
            assert fetch(friend.url).body == b"Welcome"
            assert guarded_session().get(friend.url).text == "Welcome"
            assert guard_host(FRIEND, friend.port) == FRIEND
            with pytest.raises(OutboundRefused):
                fetch(f"http://{INSIDE}:{friend.port}/")
