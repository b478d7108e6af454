"""What one turn speaks from: the published settings, the history, the question, and the passages found for it."""

from dataclasses import dataclass

from chatbot.chat import store
from chatbot.chat.prompt import date_text, fill, passages_text, system_text, today_text
from chatbot.chat.store import TurnRow
from chatbot.config import Settings
from chatbot.db import Unit, read
from chatbot.knowledge.found import Found
from chatbot.knowledge.search import knowledge_version, search
from chatbot.providers.contract import ChatRequest
from chatbot.tenants.defaults import platform_defaults
from chatbot.tenants.named_endpoint import NamedEndpoint, find_named
from chatbot.tenants.published import Published, published

PASSAGES = 5  # given to the model with each question
History = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Gathered:
    """What one turn speaks from, and whom it asks: an endpoint that the client names, or the platform's own (None)."""

    request: ChatRequest
    endpoint: NamedEndpoint | None
    settings_version: int


@dataclass(frozen=True, slots=True)
class _Stored:
    """What one read found."""

    assistant: Published
    endpoint: NamedEndpoint | None
    model: str | None
    question: str
    history: History
    knowledge_version: int


def gather(row: TurnRow, settings: Settings) -> Gathered:
    """Read what a turn needs in one short read; the search (which embeds the question) runs with none open.

    Raises ModelNotOpen where the client names an endpoint that it may not use.
    """
    inherited = platform_defaults().settings

    def work(unit: Unit) -> _Stored:
        now_published = published(unit, inherited)
        endpoint, model = find_named(unit, now_published.settings.model)
        limit = now_published.settings.context_messages
        question, position = store.question(unit, row.question_id)
        history = store.history(
            unit, row.conversation_id, position, settings.MAX_CONTEXT_MESSAGES if limit is None else limit
        )
        return _Stored(now_published, endpoint, model, question, history, knowledge_version(unit))

    found = read(row.tenant_id, work)
    before = _earlier_question(found.history)
    passages = tuple(search(row.tenant_id, found.knowledge_version, found.question, PASSAGES, before=before))
    return Gathered(_request(row, settings, found, passages), found.endpoint, found.assistant.number)


def _earlier_question(history: History) -> str:
    return next((content for role, content in reversed(history) if role == "user"), "")


def _request(row: TurnRow, defaults: Settings, found: _Stored, passages: tuple[Found, ...]) -> ChatRequest:
    settings, options = found.assistant.settings, row.options
    parts = (
        system_text(settings),
        today_text(),
        passages_text(passages),
        options.get("session_prompt"),
        options.get("system_prompt"),
    )
    asked = fill(settings.user_template, {"message": found.question, "date": date_text()})
    contact = settings.contact
    return ChatRequest(
        messages=(("system", "\n\n".join(part for part in parts if part)), *found.history, ("user", asked)),
        max_tokens=int(_first(options.get("max_tokens"), settings.max_tokens, defaults.DEFAULT_MAX_TOKENS)),
        temperature=_first(options.get("temperature"), settings.temperature, defaults.DEFAULT_TEMPERATURE),
        model=found.model,
        question=found.question,
        passages=passages,
        unknown=settings.unknown,
        contact=tuple(way for way in (contact.email, contact.phone, contact.link) if way),
    )


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)
