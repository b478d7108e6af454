"""What a server may send: no more than the limit, no longer than the time, of the kind that is wanted."""

import gzip
import socket
import threading
import time
import tracemalloc
from contextlib import suppress

import pytest

from chatbot.outbound import Fetched, OutboundFailed, fetch
from chatbot.outbound.sessions import guarded_session
from tests.hostile import Heard, forever, page, raw, redirect
from tests.outbound.asking import ALLOW, FRIEND, try_fetch, words

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BLOCK = b"x" * 65536

TOO_MUCH = {
    "ten gigabytes": forever(HEAD + b"Content-Length: 10000000000\r\n\r\n", BLOCK),
    "ten gigabytes, announced": forever(HEAD + b"Content-Length: 10000000000\r\n\r\n", b"", 0.05),
    "a body without end": forever(HEAD + b"\r\n", BLOCK),
    "chunks without end": forever(CHUNKED, b"10000\r\n" + BLOCK + b"\r\n"),
    "more frame than text": forever(CHUNKED, b"1;" + BLOCK[:60000] + b"\r\nx\r\n"),
    "a chunk of less than nothing": forever(CHUNKED + b"-1\r\n", BLOCK),
    "trailers without end": forever(CHUNKED + b"1\r\nx\r\n0\r\n", b"X: y\r\n" * 10_000),
    "a status without end": forever(b"HTTP/1.1 200 ", BLOCK),
    "a header without end": forever(HEAD + b"X: ", BLOCK),
    "headers without end": forever(HEAD, b"X: y\r\n"),
    "long headers": forever(HEAD, b"X: " + BLOCK[:30000] + b"\r\n"),
    "one more moment, again and again": forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a bomb": page(gzip.compress(bytes(30_000_000)), Content_Encoding="gzip"),
}
UNREADABLE = {
    "nothing": raw(b""),
    "no HTTP": raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    "half an answer": raw(HEAD + b"Content-Length: 100\r\n\r\nhalf"),
    "half a chunk": raw(CHUNKED + b"64\r\nhalf"),
    "half a packet": page(gzip.compress(b"Hello")[:-9], Content_Encoding="gzip"),
    "no packet": page(b"Hello", Content_Encoding="gzip"),
    "a packet and more": page(gzip.compress(b"Hello") + b"more", Content_Encoding="gzip"),
    "packed in another way": page(b"Hello", Content_Encoding="br"),
    "packed twice": page(gzip.compress(gzip.compress(b"Hello")), Content_Encoding="gzip, gzip"),
    "a place of another tongue": redirect("/\xff", 302),
}
DRIPS = {
    "status": forever(b"", b"H", 0.05),
    "headers": forever(HEAD + b"X: ", b"y", 0.05),
    "body": forever(HEAD + b"\r\n", b"y", 0.05),
    "chunks": forever(CHUNKED, b"1\r\ny\r\n", 0.05),
    "silence": forever(HEAD, b"", 0.05),
}


@pytest.mark.parametrize("script", TOO_MUCH.values(), ids=TOO_MUCH.keys())
def test_no_more_is_taken_in_than_the_limit(friend, script):
    friend.pages |= {"/": script, "/silent": DRIPS["silence"]}
    told = words(try_fetch(friend.url, limit=1_000_000, seconds=8))
    assert told[0] == "outbound-failed"
    assert told != words(try_fetch(f"{friend.url}/silent", seconds=0.01)), "its time ran out"


def test_a_bomb_is_unpacked_no_further_than_the_limit(friend):
    friend.pages["/"] = TOO_MUCH["a bomb"]
    tracemalloc.start()
    assert isinstance(try_fetch(friend.url, limit=1_000_000), OutboundFailed)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000  # bytes


@pytest.mark.parametrize("script", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_cannot_be_read_is_a_failure(friend, script):
    friend.pages["/"] = script
    assert words(try_fetch(friend.url))[0] == "outbound-failed"


@pytest.mark.parametrize("script", DRIPS.values(), ids=DRIPS.keys())
def test_a_drip_is_left_in_time(friend, script):
    friend.pages["/"] = script
    start = time.monotonic()
    assert words(try_fetch(friend.url, seconds=0.4)) == words(try_fetch(friend.url, seconds=0.3))
    assert time.monotonic() - start < 2


def test_redirects_share_one_deadline(friend):
    def slow(sock: socket.socket, _heard: Heard) -> None:
        time.sleep(0.2)
        redirect("/slow")(sock, _heard)

    friend.pages["/slow"] = slow
    assert isinstance(try_fetch(f"{friend.url}/slow", seconds=0.3), OutboundFailed)
    assert len(friend.heard) == 2


def test_a_reader_that_takes_a_little_at_a_time_is_left_in_time():
    def read_slowly() -> None:
        sock, _ = listener.accept()
        with sock, suppress(OSError):
            while sock.recv(16384):
                time.sleep(0.05)

    with socket.create_server((FRIEND, 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        reader = threading.Thread(target=read_slowly, daemon=True)
        reader.start()
        start = time.monotonic()
        url = f"http://{FRIEND}:{listener.getsockname()[1]}/"
        assert isinstance(try_fetch(url, method="POST", body=bytes(9_000_000), seconds=0.4), OutboundFailed)
        assert time.monotonic() - start < 2


def test_a_body_of_just_the_limit_is_whole_packed_or_not(friend):
    body = b"Bread " * 1000
    friend.pages |= {"/": page(body), "/packed": page(gzip.compress(body), Content_Encoding="gzip")}
    friend.pages["/chunks"] = raw(CHUNKED + b"1770\r\n" + body + b"\r\n0\r\n\r\n")
    for path in ("/", "/packed", "/chunks"):
        assert fetch(friend.url + path, limit=6000, allow=ALLOW).body == body
        assert isinstance(try_fetch(friend.url + path, limit=5999), OutboundFailed)


@pytest.mark.parametrize(
    "script, is_taken",
    [
        (page(), True),
        (page(Content_Type="TEXT/HTML; charset=utf-8"), True),
        (page(Content_Type="image/png"), True),
        (page(Content_Type="application/zip"), False),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"), False),
        (page(b"", 204), False),
        (page(b"Gone", 404), False),
        (page(b"Sorry", 500), False),
        (page(b"", 302), False),
    ],
)
def test_the_type_that_is_wanted(friend, script, is_taken):
    friend.pages["/"] = script
    assert isinstance(try_fetch(friend.url, accept=("text/html", "image/*")), Fetched) is is_taken
    assert friend.heard[0].headers["accept"] == "text/html, image/*"


@pytest.mark.parametrize("status", [204, 404, 410, 500])
def test_without_a_wanted_type_any_status_is_an_answer(friend, status):
    friend.pages["/"] = page(b"", status)
    assert (fetch(friend.url, method="DELETE", allow=ALLOW).status, friend.heard[0].method) == (status, "DELETE")


def test_headers_of_one_name_are_put_together(friend):
    friend.pages["/"] = raw(HEAD + b"Link: a\r\nLINK: b\r\nContent-Length: 0\r\n\r\n")
    assert fetch(friend.url, allow=ALLOW).headers["link"] == "a, b"


def test_the_environments_proxies_are_not_used(friend, inside, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, inside.url)
    assert fetch(friend.url, allow=ALLOW).body == b"Welcome"
    assert guarded_session(allow=ALLOW).get(friend.url).text == "Welcome"


def test_a_peers_words_are_nobodys(friend):
    friend.pages["/"] = raw(b"HTTP/1.1 <script> hunter2\r\n\r\n")
    tried = try_fetch(friend.url)
    assert "hunter2" not in str(words(tried)) + repr(tried) + repr(tried.__cause__)
