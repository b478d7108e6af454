"""A visitor's conversations: found through the visitor, so that a foreign one simply is not there."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, func, or_, select

from chatbot.chat import store
from chatbot.chat.models import OPEN, Conversation, Message, Turn, Visitor
from chatbot.db import Unit, db, holds, write
from chatbot.errors import NotFound

MESSAGES_A_PAGE = 40
CONVERSATIONS_A_PAGE = 20
LAST_POSITION = 2**31 - 1  # what both databases can compare with


def _own(subject: str) -> Select[Conversation]:
    return select(Conversation).join(Visitor, Visitor.id == Conversation.visitor_id).where(Visitor.subject == subject)


def find_conversation(subject: str, conversation_id: str) -> Conversation:
    """The visitor's own conversation. Raises NotFound for any other id, foreign or made up alike."""
    found = db.session.scalar(_own(subject).where(Conversation.id == conversation_id))
    if found is None:
        raise NotFound()
    return found  # type: ignore[no-any-return]


def current_conversation(subject: str) -> Conversation | None:
    """The conversation that the visitor is in; None before the first message and after 'start fresh'."""
    found: Conversation | None = db.session.scalar(_own(subject).where(Conversation.id == Visitor.conversation_id))
    return found


def find_turn(subject: str, turn_id: str) -> Turn:
    """A turn of the visitor's own. Raises NotFound."""
    mine = select(Turn).join(Visitor, Visitor.id == Turn.visitor_id).where(Visitor.subject == subject)
    found = db.session.scalar(mine.where(Turn.id == turn_id))
    if found is None:
        raise NotFound()
    return found  # type: ignore[no-any-return]


def find_turn_under(subject: str, turn_id: str) -> Turn:
    """A turn of `subject` or of any visitor named under it (`<subject>:<user>`). Raises NotFound."""
    own = or_(Visitor.subject == subject, Visitor.subject.startswith(f"{subject}:", autoescape=True))
    found = db.session.scalar(select(Turn).join(Visitor, Visitor.id == Turn.visitor_id).where(own, Turn.id == turn_id))
    if found is None:
        raise NotFound()
    return found  # type: ignore[no-any-return]


def find_message(subject: str, message_id: str) -> Message:
    """A message of the visitor's own conversations. Raises NotFound."""
    own = _own(subject).with_only_columns(Conversation.id)
    found = db.session.scalar(select(Message).where(Message.id == message_id, Message.conversation_id.in_(own)))
    if found is None:
        raise NotFound()
    return found  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class MessagePage:
    """Messages, oldest first; `older` is the position before which there are more."""

    messages: Sequence[Message]
    older: int | None


def messages_before(conversation: Conversation, before: int | None, limit: int = MESSAGES_A_PAGE) -> MessagePage:
    """The last messages of a conversation before a position (None: the end), without replaced answers."""
    wanted = (
        select(Message)
        .where(Message.conversation_id == conversation.id, Message.replaced_by.is_(None))
        .order_by(Message.position.desc())
        .limit(limit + 1)
    )
    if before is not None:
        wanted = wanted.where(Message.position < min(max(before, 0), LAST_POSITION))
    newest_first = db.session.scalars(wanted).all()
    shown = newest_first[:limit][::-1]
    return MessagePage(shown, shown[0].position if len(newest_first) > limit else None)


def turns_of(messages: Sequence[Message]) -> dict[str, Turn]:
    """The turns of some messages, by id."""
    ids = {message.turn_id for message in messages}
    return {turn.id: turn for turn in db.session.scalars(select(Turn).where(Turn.id.in_(ids)))} if ids else {}


def last_turn(conversation: Conversation) -> Turn | None:
    newest = select(Turn).where(Turn.conversation_id == conversation.id).order_by(Turn.number.desc()).limit(1)
    found: Turn | None = db.session.scalar(newest)
    return found


def first_open_turn(conversation: Conversation) -> Turn | None:
    """The turn that is running, or else the first that waits."""
    first = select(Turn).where(Turn.conversation_id == conversation.id, Turn.status.in_(OPEN)).order_by(Turn.number)
    found: Turn | None = db.session.scalar(first.limit(1))
    return found


@dataclass(frozen=True, slots=True)
class ConversationPage:
    """A page of a visitor's conversations, newest first, and how many there are in all."""

    conversations: Sequence[Conversation]
    total: int
    page: int
    pages: int


def list_conversations(subject: str, words: str = "", page: int = 1) -> ConversationPage:
    """The visitor's conversations whose title, first line or messages hold `words`."""
    wanted = _own(subject).where(Conversation.is_active)
    if words.strip():
        wanted = wanted.where(_holds(words.strip()))
    total = (
        db.session.scalar(select(func.count()).select_from(wanted.with_only_columns(Conversation.id).subquery())) or 0
    )
    pages = max(1, -(-total // CONVERSATIONS_A_PAGE))
    page = min(max(1, page), pages)
    newest = wanted.order_by(Conversation.updated_at.desc(), Conversation.id.desc())
    rows = db.session.scalars(newest.limit(CONVERSATIONS_A_PAGE).offset((page - 1) * CONVERSATIONS_A_PAGE)).all()
    return ConversationPage(rows, total, page, pages)


def _holds(words: str) -> ColumnElement[bool]:
    said = select(Message.conversation_id).where(holds(Message.content, words))
    return or_(
        holds(Conversation.title, words),
        holds(Conversation.first_line, words),
        Conversation.id.in_(said.where(Message.conversation_id == Conversation.id)),
    )


def load(tenant_id: str, subject: str, conversation_id: str) -> None:
    """Make one of the visitor's conversations the current one. Raises NotFound."""

    def work(unit: Unit) -> None:
        found = store.find_visitor(unit, subject)
        if found is None or store.conversation(unit, conversation_id, found[0]) is None:
            raise NotFound()
        store.make_current(unit, found[0], conversation_id)

    write(tenant_id, work)


def start_fresh(tenant_id: str, subject: str) -> None:
    """Leave the current conversation: the next message begins a new one."""

    def work(unit: Unit) -> None:
        found = store.find_visitor(unit, subject)
        if found is not None and found[1] is not None:
            store.make_current(unit, found[0], None)

    write(tenant_id, work)
