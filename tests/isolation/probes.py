"""Probes of the chat page and the API; what a probe is, and what a caller can tell of an answer.

A probe is one place that takes an id. It first succeeds with its owner's id, and only then does the 404 of strangers count.
"""

import html
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, quote_plus

from flask import Flask
from werkzeug.test import TestResponse

from chatbot.rights import RIGHTS, Right
from chatbot.tenancy import new_id
from tests.isolation.cast import Caller

ANY_ID = r"(?<![0-9A-Za-z])[0-9A-Za-z]{25,26}(?![0-9A-Za-z])"  # however it was written
ID = r"(?<![0-9a-z])[0-9a-hjkmnp-tv-z]{26}(?![0-9a-z])"
# A form's token and the names that go with it; the secret and the picture of a new authenticator app.
MADE_ANEW = r'name="(csrf_token|name|session_id)"\s+value="[^"]*'
MADE_ANEW += r'|(?<=src="data:image)[^"]*|(?<=class="secret">)[A-Z2-7 ]+'
OWN, SAYS = "again", "say again"  # what a caller says itself
PROGRAMS, OPERATORS = {"program", "colleague"}, {"root", "root_elsewhere"}


@dataclass(frozen=True)
class Probe:
    """One place that takes an id. `make` gives its owner a fresh object, `use` asks for it by id.

    `place` is the method and the path as routes have it, and the field or query value where the id isn't in the path.
    `made_up` is what its owner reads for an id that never was.
    """

    place: str
    owner: str
    make: Callable[[Caller], str]
    use: Callable[[Caller, str], TestResponse]
    shows: str = ""  # what the owner's answer holds, so that a 200 about nothing is no success
    made_up: int = 404
    scope: str = ""  # that a key needs, where none is needed without one
    twin: Callable[[str], str] = lambda target: new_id()  # one like the target that never was

    @property
    def path(self) -> str:
        """The path of the route that the place belongs to."""
        return self.place.split()[1].split("?")[0]

    def right(self, app: Flask) -> Right:
        """Who may call that route."""
        method = self.place.split()[0]
        [endpoint] = {
            rule.endpoint
            for rule in app.url_map.iter_rules()
            if (str(rule), method) == (self.path, method) and method in (rule.methods or ())
        }
        return RIGHTS[endpoint, method]

    def owners(self, app: Flask) -> set[str]:
        """The callers who may use what `owner` made: programs own together what is their client's, admins what is the platform's."""
        right = self.right(app)
        if right.scope not in (None, "platform"):
            return PROGRAMS
        return OPERATORS if right.who == "platform-admin" else {self.owner}

    @property
    def is_list(self) -> bool:
        """Whether an unknown id is passed over here: a list goes on after it, or does nothing with it."""
        return self.made_up != 404


def outcome(answer: TestResponse, *typed: str) -> tuple[int, list[tuple[str, str]], str]:
    """What a caller can tell of an answer: without what is random in every answer, and what they `typed` themselves.

    Without cookies too: which ones a first visit sets is no matter of ids.
    """
    headers = [
        (name, without(value, typed))
        for name, value in sorted(answer.headers.items())
        if name not in ("X-Request-ID", "Content-Length", "Date", "Set-Cookie")
    ]
    return answer.status_code, headers, without(answer.get_data(as_text=True), typed)


def without(text: str, typed: tuple[str, ...]) -> str:
    for value in sorted({form for one in typed for form in written(one) if form}, key=len, reverse=True):
        text = text.replace(value, "TYPED")
    for random in (MADE_ANEW, r"[\w.-]{30,}", ANY_ID):
        text = re.sub(random, "RANDOM", text)
    return text


def written(value: str) -> set[str]:
    """The forms in which a value may come back."""
    as_json = json.dumps(value)[1:-1]
    in_address = {quote(value), quote(value, safe=""), quote_plus(value)}
    return {value, value.strip(), html.escape(value), as_json} | in_address | {quote(one) for one in in_address}


# --- what is made to be probed ---------------------------------------------------------------------------------------


def an_answer(caller: Caller) -> dict[str, str]:
    return caller.ask("say CNRY-answer")


def a_session(caller: Caller) -> str:
    return an_answer(caller)["session_id"]


def a_turn(caller: Caller) -> str:
    return an_answer(caller)["turn_id"]


def a_message(caller: Caller) -> str:
    return an_answer(caller)["answer_id"]


def a_failed_turn(caller: Caller) -> str:
    return caller.ask("play status-400")["turn_id"]


def a_running_turn(caller: Caller) -> str:
    return caller.begin("play silent-after-3")


def a_turn_by_key(caller: Caller) -> str:
    body = {"message": "say CNRY-answer", "user_id": "ada"}
    return str(caller.call("/chat", method="POST", json=body).get_json()["turn_id"])


def a_source(caller: Caller) -> str:
    pair = {"question": f"CNRY-question {new_id()}?", "answer": "CNRY-answer"}
    return str(caller.call("/client/knowledge", method="POST", json=pair).get_json()["id"])


# --- how it is asked for ---------------------------------------------------------------------------------------------

Use = Callable[[Caller, str], TestResponse]


def seeing(path: str, **query: str) -> Use:
    """A page; `{}` stands for the id in the path and in a value, SLUG for the caller's client."""
    return lambda who, id_: who.see(filled(path, who, id_), **values(query, id_))


def sending(path: str, **fields: str) -> Use:
    return lambda who, id_: who.send(filled(path, who, id_), **values(fields, id_))


def calling(method: str, path: str, **given: Any) -> Use:
    """The API; the id may stand in a query's value too."""
    query = given.pop("query_string", {})
    return lambda who, id_: who.call(
        filled(path, who, id_), method=method, query_string=values(query, id_) | {"client": who.slug}, **given
    )


def filled(path: str, who: Caller, id_: str) -> str:
    return path.replace("{}", id_).replace("SLUG", who.slug)


def values(given: dict[str, str], id_: str) -> dict[str, str]:
    return {name: value.replace("{}", id_) for name, value in given.items()}


def chatting(path: str, **fields: str) -> Use:
    """A form of the chat page, sent as its script does."""
    return lambda who, id_: who.post(path.replace("{}", id_), **values(fields, id_))


CHAT, TURN, SOURCE = "/chat/<slug>", "/chat/<slug>/turns/<turn_id>", "/api/client/knowledge/<source_id>"
EVENTS = calling("GET", "/chat/turns/{}/events")
ANSWER = "CNRY-answer"

PROBES = [
    Probe(f"GET {CHAT}?session", "vera", a_session, seeing("/chat/SLUG", session="{}"), ANSWER),
    Probe(f"GET {CHAT}?session", "ulla", a_session, seeing("/chat/SLUG", session="{}"), ANSWER),
    Probe(f"GET {CHAT}/older?session", "vera", a_session, seeing("/chat/SLUG/older", session="{}"), ANSWER),
    Probe(f"GET {CHAT}/messages/<message_id>", "vera", a_message, seeing("/chat/SLUG/messages/{}"), ANSWER),
    Probe(f"GET {CHAT}/messages/<message_id>", "ulla", a_message, seeing("/chat/SLUG/messages/{}"), ANSWER),
    Probe(f"GET {TURN}/events", "vera", a_turn, lambda who, id_: who.stream(f"/turns/{id_}/events"), ANSWER),
    Probe(f"POST {TURN}/retry", "vera", a_failed_turn, chatting("/turns/{}/retry"), "event: start"),
    Probe(f"POST {TURN}/stop", "vera", a_running_turn, chatting("/turns/{}/stop")),
    Probe(f"POST {CHAT} MessageForm.session_id", "vera", a_session, chatting("", message=SAYS, session_id="{}"), OWN),
    Probe(f"POST {CHAT} MessageForm.session_id", "ulla", a_session, chatting("", message=SAYS, session_id="{}"), OWN),
    Probe(f"POST {CHAT}/new ChoiceForm.session_id", "vera", a_session, chatting("/new", choice="load", session_id="{}")),
    Probe("GET /api/chat/turns/<turn_id>/events", "program", a_turn_by_key, EVENTS, ANSWER, scope="chat"),
    Probe("GET /api/chat/turns/<turn_id>/events", "vera", a_turn, EVENTS, ANSWER, scope="chat"),
    Probe("GET /api/chat/turns/<turn_id>/events", "ulla", a_turn, EVENTS, ANSWER, scope="chat"),
    Probe(f"GET {SOURCE}", "program", a_source, calling("GET", "/client/knowledge/{}"), "waiting"),
    Probe(f"DELETE {SOURCE}", "program", a_source, calling("DELETE", "/client/knowledge/{}")),
    Probe(
        "GET /api/client/knowledge?cursor", "program", a_source,
        calling("GET", "/client/knowledge", query_string={"cursor": "{}"}), '"sources"', made_up=200,
    ),
]  # fmt: skip
