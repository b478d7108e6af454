"""https: the connection goes to the checked address, the certificate is checked by name."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from chatbot.outbound import Fetched, OutboundFailed, OutboundRefused, fetch
from chatbot.outbound.sessions import guarded_session
from chatbot.outbound.wire import tls_context
from tests.hostile import Heard, Hostile, certificate, page, redirect
from tests.outbound.asking import ALLOW, FRIEND, INSIDE, try_fetch, words


@pytest.fixture
def trust(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any], None]]:
    def only(path: Any) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        tls_context.cache_clear()

    yield only
    tls_context.cache_clear()


@pytest.fixture
def secure(tmp_path) -> Iterator[Hostile]:
    """A server that shows a certificate for shop.example."""
    _path, tls = certificate(tmp_path / "shop", "shop.example")
    with Hostile(FRIEND, {"/": page(b"Welcome")}, tls).serving() as server:
        yield server


def test_https_goes_to_the_checked_address_under_its_name(names, secure, trust, tmp_path):
    asked: list[str | None] = []
    secure.tls.sni_callback = lambda _sock, name, _context: asked.append(name)
    trust(tmp_path / "shop" / "cert.pem")
    names["shop.example"] = [[FRIEND], [INSIDE]]
    assert fetch(f"https://shop.example:{secure.port}/", allow=ALLOW).body == b"Welcome"
    assert (asked, secure.heard[0].headers["host"]) == (["shop.example"], f"shop.example:{secure.port}")


def test_no_redirect_leaves_https_where_it_is_asked_for(names, friend, secure, trust, tmp_path):
    trust(tmp_path / "shop" / "cert.pem")
    names["shop.example"] = [[FRIEND], [FRIEND]]
    secure.pages["/"] = redirect(friend.url)
    url = f"https://shop.example:{secure.port}/"
    assert isinstance(try_fetch(url, https_only=True), OutboundRefused)
    assert isinstance(try_fetch(url), Fetched)


def test_a_certificate_of_another_name_is_refused(names, secure, trust, tmp_path):
    trust(tmp_path / "shop" / "cert.pem")
    names["bank.example"] = [[FRIEND]]
    assert words(try_fetch(f"https://bank.example:{secure.port}/"))[0] == "outbound-failed"
    assert not secure.heard


def test_a_certificate_that_nobody_vouches_for_is_refused(names, secure):
    names["shop.example"] = [[FRIEND], [FRIEND]]
    url = f"https://shop.example:{secure.port}/"
    assert "certificate" in words(try_fetch(url))[1]
    with pytest.raises(OutboundFailed):
        guarded_session(allow=ALLOW).get(url, verify=False)
    assert not secure.heard


@pytest.mark.parametrize("start", [b"", b"\x16\x03\x03\x40\x00", b"HTTP/1.1 400 Speak plain\r\n"])
def test_a_handshake_that_comes_byte_by_byte_ends_in_time(start):
    def drip() -> None:
        sock, _ = listener.accept()
        with sock, suppress(OSError):
            sock.sendall(start)
            while True:
                time.sleep(0.05)
                sock.sendall(b"x" if start else b"")

    with socket.create_server((FRIEND, 0)) as listener:
        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        begun = time.monotonic()
        url = f"https://{FRIEND}:{listener.getsockname()[1]}/"
        assert isinstance(try_fetch(url, seconds=0.3), OutboundFailed)
        assert time.monotonic() - begun < 1.5


def test_a_record_that_comes_byte_by_byte_ends_in_time(names, secure, trust, tmp_path):
    def drip(sock: socket.socket, _heard: Heard) -> None:
        with socket.socket(fileno=os.dup(sock.fileno())) as under:
            under.sendall(b"\x17\x03\x03\x40\x00")
            while True:
                time.sleep(0.05)
                under.sendall(b"x")

    trust(tmp_path / "shop" / "cert.pem")
    secure.pages["/"] = drip
    names["shop.example"] = [[FRIEND]]
    start = time.monotonic()
    assert isinstance(try_fetch(f"https://shop.example:{secure.port}/", seconds=0.4), OutboundFailed)
    assert time.monotonic() - start < 1.5
    assert secure.heard


def test_a_large_body_goes_out_whole(names, secure, trust, tmp_path):
    trust(tmp_path / "shop" / "cert.pem")
    names["shop.example"] = [[FRIEND]]
    body = os.urandom(3_000_000)
    fetch(f"https://shop.example:{secure.port}/", method="PUT", body=body, allow=ALLOW)
    assert secure.heard[0].body == body
