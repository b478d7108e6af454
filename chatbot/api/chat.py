"""`POST /api/chat`, and the events of a turn."""

from dataclasses import dataclass
from typing import Annotated, Any

from flask import Response, current_app, jsonify, request
from flask_babel import gettext as _
from pydantic import StringConstraints

from chatbot.api import blueprint
from chatbot.api.once import idempotency_key
from chatbot.api.schema import Body, read_body
from chatbot.chat import conversations, transports
from chatbot.chat.doors import check_rate, keep_browser, visitor_subject
from chatbot.chat.events import parse_position
from chatbot.chat.live import Live
from chatbot.chat.opening import Ask, OpenedTurn, check_text, is_known, open_turn
from chatbot.errors import Invalid, ModelTimeout, NotFound, Unauthorized
from chatbot.tenancy import new_id
from chatbot.tenants.doors import (
    Entered,
    bearer,
    enter_by_key,
    enter_by_slug,
    enter_default,
    reads_only,
)

PATIENCE = 30.0  # seconds beyond a turn's own that an answer may take: it may stand in line
UserId = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class ChatBody(Body):
    """The body of `POST /api/chat`. `user_id` names a visitor under the key, or under the browser."""

    message: str
    user_id: UserId = "anonymous"
    client: str | None = None
    stream: bool = False


@blueprint.post("/chat")
def chat() -> Response:
    body = read_body(ChatBody)
    asker, key, live = _enter(body), idempotency_key(), _live()
    tenant = asker.tenant
    if key is None or not is_known(tenant.id, asker.subject, key):
        if not asker.has_key:
            check_rate(tenant)
        live.check_open()
    ask = Ask(
        tenant_id=tenant.id,
        subject=asker.subject,
        channel="api",
        name=key or new_id(),
        text=check_text(body.message, current_app.config["SHAMAN"].MESSAGE_LIMIT),
        limits=tenant.limits,
        in_current=True,
        expected_tokens=current_app.config["SHAMAN"].DEFAULT_MAX_TOKENS,
        caller=asker.caller if key else None,
    )
    opened = open_turn(ask, live.owner)
    live.start(opened)
    keep_browser()
    if body.stream:
        return transports.event_stream(live, tenant.id, opened.turn.id)
    answer = transports.drain(live, tenant.id, opened.turn.id, current_app.config["SHAMAN"].TURN_TIMEOUT + PATIENCE)
    return _answered(answer, opened)


@blueprint.get("/chat/turns/<turn_id>/events")
def events(turn_id: str) -> Response:
    """The turn's events from the start, or after `Last-Event-ID`, for whoever may read its session."""
    reads_only()
    credential = bearer()
    if credential is not None:
        caller = enter_by_key(credential, "chat")
        tenant, turn = caller.tenant, conversations.find_turn_under(caller.subject, turn_id)
    else:
        tenant = _anonymous_tenant(request.args.get("client"))
        turn = conversations.find_turn_under(visitor_subject(tenant), turn_id)
    position = parse_position(request.headers.get("Last-Event-ID"))
    return transports.event_stream(_live(), tenant.id, turn.id, position)


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: a key, a browser or an account (`caller`), and which of the visitors under it (`user_id`)."""

    tenant: Entered
    caller: str
    user_id: str
    has_key: bool

    @property
    def subject(self) -> str:
        return self.caller if self.user_id == "anonymous" else f"{self.caller}:{self.user_id}"


def _enter(body: ChatBody) -> Asker:
    """Who makes this call, with a key or from a browser."""
    reads_only()
    credential = bearer()
    if credential is not None:
        caller = enter_by_key(credential, "chat")
        if body.client not in (None, caller.tenant.slug):
            raise NotFound()  # another client is as far from this key as one that never was
        return Asker(caller.tenant, caller.subject, body.user_id, has_key=True)
    tenant = _anonymous_tenant(body.client)
    return Asker(tenant, visitor_subject(tenant), body.user_id, has_key=False)


def _anonymous_tenant(slug: str | None) -> Entered:
    tenant = enter_by_slug(slug) if slug else enter_default()
    if tenant is None:
        words = _("Say which assistant is meant.")
        raise Invalid(words, errors={"client": words})
    if not tenant.anonymous_chat:
        raise Unauthorized(_("A key is needed: “Authorization: Bearer <key>”."))
    return tenant


def _answered(answer: transports.Answer, opened: OpenedTurn) -> Response:
    ids = {"session_id": opened.turn.conversation_id, "turn_id": opened.turn.id}
    if answer.end is None:
        late = ModelTimeout(_("The answer takes long. It goes on: read the events of its turn."))
        return _problem(late.problem() | ids)
    if answer.end.kind == "error":
        return _problem(answer.end.data | ids)
    return jsonify(answer=answer.text, **ids)


def _problem(document: dict[str, Any]) -> Response:
    response = jsonify(document)
    response.status_code, response.mimetype = document["status"], "application/problem+json"
    if "retry_after" in document:
        response.headers["Retry-After"] = str(document["retry_after"])
    return response


def _live() -> Live:
    return current_app.extensions["shaman_live"]  # type: ignore[no-any-return]
