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
from chatbot.tenants.published import Published, published
from chatbot.tenants.settings import AssistantSettings

PASSAGES = 5  # given to the model with each question
History = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Gathered:
    """What one turn speaks from."""

    request: ChatRequest
    assistant: AssistantSettings
    settings_version: int


def gather(row: TurnRow, settings: Settings) -> Gathered:
    """Read what a turn needs in one short read; the search (which embeds the question) runs with none open."""

    def work(unit: Unit) -> tuple[Published, str, History, int]:
        now_published = published(unit)
        limit = now_published.settings.context_messages
        question, position = store.question(unit, row.question_id)
        history = store.history(
            unit, row.conversation_id, position, settings.MAX_CONTEXT_MESSAGES if limit is None else limit
        )
        return now_published, question, history, knowledge_version(unit)

    assistant, question, history, version = read(row.tenant_id, work)
    passages = tuple(search(row.tenant_id, version, question, PASSAGES, before=_earlier_question(history)))
    request = _request(row, settings, assistant, question, history, passages)
    return Gathered(request, assistant.settings, assistant.number)


def _earlier_question(history: History) -> str:
    return next((content for role, content in reversed(history) if role == "user"), "")


def _request(
    row: TurnRow, defaults: Settings, assistant: Published, question: str, history: History, passages: tuple[Found, ...]
) -> ChatRequest:
    settings, options = assistant.settings, row.options
    parts = (
        system_text(settings),
        today_text(),
        passages_text(passages),
        options.get("session_prompt"),
        options.get("system_prompt"),
    )
    asked = fill(settings.user_template, {"message": question, "date": date_text()})
    contact = settings.contact
    return ChatRequest(
        messages=(("system", "\n\n".join(part for part in parts if part)), *history, ("user", asked)),
        max_tokens=int(_first(options.get("max_tokens"), settings.max_tokens, defaults.DEFAULT_MAX_TOKENS)),
        temperature=_first(options.get("temperature"), settings.temperature, defaults.DEFAULT_TEMPERATURE),
        model=settings.model,
        question=question,
        passages=passages,
        unknown=settings.unknown,
        contact=tuple(way for way in (contact.email, contact.phone, contact.link) if way),
    )


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)
