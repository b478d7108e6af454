"""`POST /api/chat`, and the events of a turn."""

from typing import Annotated

from flask import Response, current_app, jsonify, request
from flask_babel import gettext as _
from pydantic import StringConstraints

from chatbot.api import blueprint
from chatbot.api.once import idempotency_key
from chatbot.api.schema import Body, read_body
from chatbot.chat import conversations, transports
from chatbot.chat.doors import check_rate, visitor_subject
from chatbot.chat.events import parse_position
from chatbot.chat.live import Live
from chatbot.chat.opening import Ask, check_text, open_turn
from chatbot.errors import Invalid, ModelError, NotFound, Unauthorized
from chatbot.tenancy import new_id
from chatbot.tenants.doors import (
    Entered,
    bearer,
    enter_by_key,
    enter_by_slug,
    enter_default,
    reads_only,
)

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
    tenant, subject, channel = _enter(body)
    live = _live()
    live.check_open()
    ask = Ask(
        tenant_id=tenant.id,
        subject=subject,
        channel=channel,
        name=_name(),
        text=check_text(body.message, current_app.config["SHAMAN"].MESSAGE_LIMIT),
        limits=tenant.limits,
        in_current=True,
        expected_tokens=current_app.config["SHAMAN"].DEFAULT_MAX_TOKENS,
    )
    opened = open_turn(ask, live.owner)
    live.start(opened)
    if body.stream:
        return transports.event_stream(live, tenant.id, opened.turn.id)
    answer = transports.drain(live, tenant.id, opened.turn.id, current_app.config["SHAMAN"].TURN_TIMEOUT + 30)
    return _answered(answer)


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


def _enter(body: ChatBody) -> tuple[Entered, str, str]:
    """The tenant, the visitor and the channel of a call, with a key or from a browser."""
    reads_only()
    credential = bearer()
    if credential is not None:
        caller = enter_by_key(credential, "chat")
        if body.client not in (None, caller.tenant.slug):
            raise NotFound()  # another client is as far from this key as one that never was
        return caller.tenant, _under(caller.subject, body.user_id), "api"
    tenant = _anonymous_tenant(body.client)
    check_rate(tenant)
    return tenant, _under(visitor_subject(tenant), body.user_id), "api"


def _under(subject: str, user_id: str) -> str:
    return subject if user_id == "anonymous" else f"{subject}:{user_id}"


def _anonymous_tenant(slug: str | None) -> Entered:
    tenant = enter_by_slug(slug) if slug else enter_default()
    if tenant is None:
        words = _("Say which assistant is meant.")
        raise Invalid(words, errors={"client": words})
    if not tenant.anonymous_chat:
        raise Unauthorized(_("A key is needed: “Authorization: Bearer <key>”."))
    return tenant


def _name() -> str:
    """The call's name: its Idempotency-Key, so that a repeated call is the same turn."""
    key = idempotency_key()
    return f"key:{key}" if key else new_id()


def _answered(answer: transports.Answer) -> Response:
    if answer.end is None:
        raise ModelError(_("The answer takes long. It goes on: read the turn's events."))
    if answer.end.kind == "error":
        response = jsonify(answer.end.data | {"session_id": answer.session_id, "turn_id": answer.turn_id})
        response.status_code, response.mimetype = answer.end.data["status"], "application/problem+json"
        if "retry_after" in answer.end.data:
            response.headers["Retry-After"] = str(answer.end.data["retry_after"])
        return response
    return jsonify(answer=answer.text, session_id=answer.session_id, turn_id=answer.turn_id)


def _live() -> Live:
    return current_app.extensions["shaman_live"]  # type: ignore[no-any-return]
