"""What the logs hold: one JSON record a line, and nobody's words, keys, cookies or query values."""

import io
import json
import logging
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from chatbot.db import db
from chatbot.rights import RIGHTS, Right
from tests.providers.plain_server import read_request, serving
from tests.world import BAKERY, OTHER, Browser, World, hidden

SECRET = "CNRY"
KEY = "sk-CNRY-the-platforms-key"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """The lines that were logged so far. Ask for it before the application."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    return lambda: stream.getvalue().splitlines()


@pytest.fixture
def settings() -> Iterator[dict[str, Any]]:
    """A model whose refusals quote the key, the question and the address with its secret, as some do."""
    words = {"error": {"message": f"Incorrect API key provided: {KEY}. See /v1?key=CNRY-in-url", "code": "CNRY-code"}}
    body = json.dumps(words).encode()

    def refuse(line: socket.socket, number: int) -> None:
        while read_request(line):
            head = f"HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            line.sendall(head.encode() + body)

    with serving(refuse) as server:
        yield {
            "OPENAI_BASE_URL": server.base_url,
            "OPENAI_API_KEY": KEY,
            "OPENAI_MODEL": "m",
            "CHAT_RATE_LIMIT": "20 per minute",
        }


def records(lines: list[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines]


def test_ordinary_use_leaves_no_words(written: Callable[[], list[str]], world: World) -> None:
    vera = world.vera
    vera.http.set_cookie("CNRY-cookie", "CNRY-value")
    vera.ask("CNRY-message", name="CNRY-name")
    vera.http.get(
        f"{vera.home}/new?q=CNRY-search&session=CNRY-id", headers={"Referer": "http://x/CNRY", "User-Agent": "CNRY"}
    )
    vera.post("/new", choice="load", session_id="CNRY-session")
    body = {"message": "CNRY-message", "user_id": "CNRY-user", "client": "CNRY-client"}
    vera.http.post("/api/chat?token=CNRY-token", json=body, headers=world.key() | {"Idempotency-Key": "CNRY-once"})
    vera.http.get("/api/client/search?q=CNRY-question", headers=world.key())
    vera.http.post("/api/client/knowledge", json={"question": "CNRY?", "answer": "CNRY."}, headers=world.key())
    check(written(), world, vera)
    assert {record["event"] for record in records(written())} >= {"request", "model failed"}


def test_refusals_leave_no_words(written: Callable[[], list[str]], world: World) -> None:
    vera = world.vera
    vera.post(message="CNRY-message", csrf_token="CNRY-token")
    vera.post(message="CNRY" * 5000)
    for _ in range(25):
        vera.post(script=True, message="CNRY-too-often")
    for headers in ({"Authorization": "Bearer CNRY"}, {"Authorization": "Basic Q05SWQ=="}, world.key(OTHER)):
        vera.http.get("/api/client/knowledge/CNRY-id", headers=headers)
    for data in ('{"message": "CNRY', '{"CNRY": 1}', '{"message": {"CNRY": 1}}', "[" * 10000 + "CNRY"):
        vera.http.post("/api/chat", data=data, content_type="application/json")
    vera.http.get("/CNRY-path?CNRY=1")
    vera.http.get("/chat/CNRY-slug")
    check(written(), world, vera)


def test_faults_of_ours_leave_no_words(
    written: Callable[[], list[str]], app: Flask, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> str:
        secret = "CNRY-local"
        try:
            raise ExceptionGroup("CNRY-group", [KeyError(secret)])
        except ExceptionGroup as group:
            error = ValueError("CNRY-outer")
            error.add_note("CNRY-note")
            raise error from group

    app.add_url_rule("/fails", "fails", fail)
    monkeypatch.setitem(RIGHTS, ("fails", "GET"), Right("fails", "GET", "anyone"))
    app.config["TESTING"] = False
    vera = world.vera
    page = vera.page()
    assert vera.http.get("/fails?CNRY=1").status_code == 500
    owner = app.config["SHAMAN"].DATABASE_OWNER_URL
    with app.app_context():
        renamed = rename_messages(owner)
        try:
            fields = {
                "message": "CNRY-message",
                "csrf_token": hidden(page, "csrf_token"),
                "name": "n",
                "session_id": "",
            }
            assert vera.http.post(vera.home, data=fields).status_code >= 500
        finally:
            renamed()
    check(written(), world, vera)
    [logged] = [record for record in records(written()) if record["event"] == "unexpected error"][:1]
    assert [error["exc_type"] for error in logged["exception"]] == ["ValueError", "ExceptionGroup"]
    assert logged["exception"][0]["frames"][-1]["name"] == "fail"


def rename_messages(owner_url: str) -> Callable[[], None]:
    """Take the table of messages away; call what comes back to put it there again."""
    from sqlalchemy import create_engine

    engine = create_engine(owner_url)

    def rename(old: str, new: str) -> None:
        db.session.remove()
        with engine.begin() as connection:
            connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))

    def back() -> None:
        rename("lost", "message")
        engine.dispose()

    rename("message", "lost")
    return back


def check(lines: list[str], world: World, vera: Browser) -> None:
    """Each line is one record; none holds a canary, a key's secret, a cookie or a form's token."""
    for record, line in zip(records(lines), lines, strict=True):
        assert SECRET not in line, line
        assert {"event", "level", "timestamp"} <= record.keys()
    whole = "\n".join(lines)
    for key in world.keys.values():
        assert key.split("_", 2)[2] not in whole
    for cookie in ("shaman_visitor", "shaman_session"):
        found = vera.http.get_cookie(cookie)
        assert found is None or found.value not in whole


def test_a_request_is_one_record_whatever_it_holds(written: Callable[[], list[str]], client: Any, world: World) -> None:
    nasty = '"}\r\n{"event": "forged"}\r\n\x1b[31mred\x1b[0m\x00\u2028{}"'
    before = len(written())
    client.get(
        f"/chat/{BAKERY}", environ_overrides={"HTTP_USER_AGENT": nasty, "HTTP_REFERER": nasty, "REMOTE_ADDR": nasty}
    )
    client.get(f"/chat/{BAKERY}/messages/x%0d%0a%1b[31m%22}}", headers={"Accept": "text/html"})
    client.open(f"/chat/{BAKERY}", method="FOO\x1b[31m")
    client.get(f"/chat/{BAKERY}?q=%0d%0a{{}}", environ_overrides={"HTTP_COOKIE": nasty})
    lines = written()[before:]
    assert [record["event"] for record in records(lines)] == ["request"] * len(lines) and len(lines) in (3, 4)
    assert not any("forged" in line or "\x1b" in line or "red" in line.replace("request", "") for line in lines)


def test_what_libraries_log_has_the_same_form(written: Callable[[], list[str]], app: Flask) -> None:
    try:
        raise ValueError("CNRY-words")
    except ValueError:
        logging.getLogger("sqlalchemy.pool").exception("broke\r\n\x1b[31m%s", "x")
    logging.getLogger("somebody").info("not at this level")
    [record] = records(written())
    assert (record["event"], record["level"]) == ("broke\r\n\x1b[31mx", "error")
    assert record["exception"][0]["exc_type"] == "ValueError" and SECRET not in json.dumps(record)


def test_a_record_names_its_request_and_tenant(written: Callable[[], list[str]], world: World) -> None:
    answer = world.vera.http.get(world.vera.home)
    [record] = records(written())[-1:]
    assert record["request"] == answer.headers["X-Request-ID"] and record["tenant"] == world.ids[BAKERY]
    assert (record["route"], record["status"], record["method"]) == ("/chat/<slug>", 200, "GET")


def test_every_answer_names_its_request(world: World) -> None:
    for path in (
        "/",
        "/nowhere",
        "/chat/nobody",
        "/healthz",
        "/api/chat",
        world.vera.home,
        f"{world.vera.home}/turns/x/events",
    ):
        assert len(world.vera.http.get(path).headers["X-Request-ID"]) == 26, path


class TestErrorsAlone:
    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"LOG_LEVEL": "error"}

    def test_the_level_is_kept(self, written: Callable[[], list[str]], world: World) -> None:
        world.vera.page()
        assert written() == []
