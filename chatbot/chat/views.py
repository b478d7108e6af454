"""What the chat page shows: plain values made from rows, ready for a template."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from markupsafe import Markup

from chatbot.chat import conversations
from chatbot.chat.markdown import plain_to_html, to_html
from chatbot.chat.models import Conversation, Message, Turn
from chatbot.tenants.doors import Entered
from chatbot.tenants.settings import AssistantSettings


@dataclass(frozen=True, slots=True)
class AssistantView:
    """What anybody may know of an assistant."""

    slug: str
    name: str
    greeting: str
    suggested_questions: tuple[str, ...]
    look_version: int
    contact: dict[str, str]


@dataclass(frozen=True, slots=True)
class MessageView:
    """One message as drawn."""

    id: str
    role: str
    text: str
    html: Markup
    status: str
    problem: str | None
    created_at: datetime
    citations: tuple[dict[str, Any], ...]
    turn_id: str
    can_retry: bool
    is_cut: bool


def assistant_view(tenant: Entered, number: int, settings: AssistantSettings) -> AssistantView:
    contact = {way: value for way, value in settings.contact.model_dump().items() if value}
    return AssistantView(
        tenant.slug, tenant.name, settings.greeting, tuple(settings.suggested_questions), number, contact
    )


def message_views(conversation: Conversation, messages: Sequence[Message]) -> list[MessageView]:
    turns = conversations.turns_of(messages)
    last = conversations.last_turn(conversation)
    return [message_view(message, turns.get(message.turn_id), last) for message in messages]


def message_view(message: Message, turn: Turn | None, last: Turn | None) -> MessageView:
    citations = tuple(message.citations or ())
    if message.role == "assistant":
        html = to_html(message.content, message.id, tuple(citation["n"] for citation in citations))
    else:
        html = plain_to_html(message.content)
    unfinished = message.role == "assistant" and message.status in ("failed", "interrupted")
    return MessageView(
        id=message.id,
        role=message.role,
        text=message.content,
        html=html,
        status=message.status,
        problem=problem_text(turn) if unfinished else None,
        created_at=message.created_at,
        citations=citations,
        turn_id=message.turn_id,
        is_cut=message.role == "assistant" and turn is not None and turn.finish_reason == "length",
        can_retry=unfinished and last is not None and last.id == message.turn_id,
    )


def problem_text(turn: Turn | None) -> str:
    """What a visitor reads when an answer did not come."""
    return str(_problem_text(turn))


def _problem_text(turn: Turn | None) -> Any:
    kind = ((turn.problem if turn else None) or {}).get("type", "")
    if kind.endswith("interrupted"):
        return _("The answer was interrupted. Your question is safe.")
    if kind.endswith(("model-busy", "quota")):
        return _("The assistant is very busy at the moment. Your question is safe; please try again in a minute.")
    if kind.endswith("model-timeout"):
        return _("The assistant took too long to answer. Your question is safe.")
    return _("The assistant could not answer. Your question is safe.")
