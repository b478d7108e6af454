"""Opening a turn: one short transaction that stores the question and reserves what the answer may cost.

It may raise, for nothing has been sent yet: every transport gets a true 404, 409, 422 or 429. What it returns are
frozen values, never rows.
"""

import hashlib
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from flask_babel import gettext as _
from sqlalchemy.exc import IntegrityError

from chatbot.chat import store
from chatbot.chat.prompt import system_text
from chatbot.chat.store import ConversationRow, Draft, TurnRow
from chatbot.db import Unit, read, write
from chatbot.errors import Conflict, Invalid, NotFound, RateLimited
from chatbot.knowledge.store import knowledge_version
from chatbot.tenancy import new_id, now
from chatbot.tenants.defaults import platform_defaults
from chatbot.tenants.published import published
from chatbot.usage import quotas
from chatbot.usage.ledger import estimate_tokens
from chatbot.usage.quotas import Limits

LEASE = timedelta(seconds=15)
CONTEXT = 20  # messages of history reckoned with where the client leaves their number to the platform
PASSAGES_TOKENS = 1500  # what the passages found may come to
MOST_WAITING = 5  # turns that one conversation may have open
NAME = re.compile(r"^[A-Za-z0-9_.:-]{1,280}$")


@dataclass(frozen=True, slots=True)
class Ask:
    """What a door knows of a message. `name` is the caller's own for it: the same name again is the same turn.

    `conversation_id` names one of the visitor's own; without it the message begins a new one, or goes on in the
    visitor's current one where `in_current` says so. `caller` is given where the name is an Idempotency-Key: it is
    that caller's once, among all the visitors that it names. `options` are temperature, max_tokens and system_prompt.
    """

    tenant_id: str
    subject: str
    channel: str
    name: str
    text: str
    limits: Limits
    conversation_id: str | None = None
    in_current: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    expected_tokens: int = 0
    caller: str | None = None

    @property
    def fingerprint(self) -> str:
        parts = [self.text, repr(sorted(self.options.items()))]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class OpenedTurn:
    """A stored turn. `is_new` is False when the name was known: nothing was stored this time."""

    turn: TurnRow
    ahead: int
    is_new: bool


def check_text(text: str, limit: int) -> str:
    """The message as it will be stored. Raises Invalid when it is empty or longer than `limit` characters."""
    cleaned = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "").strip()
    if not cleaned:
        raise Invalid(_("Write a message first."), errors={"message": _("Write a message first.")})
    if len(cleaned) > limit:
        words = _(
            "This message has %(length)s characters; %(limit)s is the most. Please shorten it.",
            length=len(cleaned),
            limit=limit,
        )
        raise Invalid(words, errors={"message": words})
    if any(0xD800 <= ord(character) <= 0xDFFF for character in cleaned):
        raise Invalid(_("This message has characters that can't be stored."))
    return cleaned


def is_known(tenant_id: str, subject: str, name: str) -> bool:
    """Whether the visitor has a turn of this name: sent again, it is handed back, neither counted nor refused."""
    check_name(name)

    def look(unit: Unit) -> bool:
        found = store.find_visitor(unit, subject)
        return found is not None and store.turn_by_name(unit, found[0], name) is not None

    return read(tenant_id, look)


def open_turn(ask: Ask, owner: str) -> OpenedTurn:
    """Store the visitor's message and a pending answer, and begin the turn or put it in its conversation's line.

    Raises NotFound for a conversation that is not this visitor's, Conflict for a name known with other words,
    QuotaReached, RateLimited when too many messages wait already.
    """
    check_name(ask.name)
    measure = _Measure(ask.limits, ask.expected_tokens, platform_defaults().settings)
    return _once_more(lambda: write(ask.tenant_id, lambda unit: _open(unit, ask, owner, measure)))


def check_name(name: str) -> None:
    """Raise Invalid for a name of a message that can't be stored."""
    if not NAME.fullmatch(name):
        raise Invalid(_("This message's name can't be used."), errors={"name": name[:40]})


@dataclass(frozen=True, slots=True)
class Again:
    """A visitor's wish to have the question of an ended turn answered once more. `name` is as for Ask."""

    tenant_id: str
    subject: str
    turn_id: str
    name: str
    limits: Limits
    expected_tokens: int = 0


def retry_turn(again: Again, owner: str) -> OpenedTurn:
    """Answer the question of an ended turn again; the new answer takes the old one's place.

    Raises NotFound for a turn that is not this visitor's, Conflict unless it is the last and ended without an answer.
    """
    check_name(again.name)
    measure = _Measure(again.limits, again.expected_tokens, platform_defaults().settings)
    return _once_more(lambda: write(again.tenant_id, lambda unit: _retry(unit, again, owner, measure)))


@dataclass(frozen=True, slots=True)
class _Measure:
    """By what a turn's cost is reckoned: the client's caps, the longest answer where nobody set one, what it inherits."""

    limits: Limits
    longest: int
    inherited: dict[str, Any]


def _once_more(attempt: Callable[[], OpenedTurn]) -> OpenedTurn:
    """Run `attempt` again when another request stored the same name meanwhile: now it will be found."""
    try:
        return attempt()
    except IntegrityError:
        return attempt()


def _open(unit: Unit, ask: Ask, owner: str, measure: _Measure) -> OpenedTurn:
    visitor_id, current = store.visitor(unit, ask.subject)
    known = store.turn_by_name(unit, visitor_id, ask.name) or _claimed(unit, ask, visitor_id)
    if known is not None:
        return _hand_back(unit, known, ask.fingerprint)
    conversation = _conversation(unit, ask, visitor_id, current)
    options = {**ask.options}
    if conversation.system_prompt:
        options.setdefault("session_prompt", conversation.system_prompt)
    draft = Draft(
        turn_id=new_id(),
        name=ask.name,
        fingerprint=ask.fingerprint,
        channel=ask.channel,
        status=_first_status(unit, conversation),
        owner=owner,
        lease_until=now() + LEASE,
        options=options,
        question=ask.text,
        question_id=new_id(),
    )
    tokens = _most_tokens(unit, conversation, measure, ask.text, options)
    _reserve(unit, draft.turn_id, ask.limits, tokens)
    turn = store.add_turn(unit, conversation, visitor_id, draft)
    return OpenedTurn(turn, store.turns_ahead(unit, turn) if turn.status == "waiting" else 0, is_new=True)


def _claimed(unit: Unit, ask: Ask, visitor_id: str) -> TurnRow | None:
    """The turn that took the caller's Idempotency-Key meanwhile; None when this one takes it, or brings none."""
    if ask.caller is None or store.claim_key(unit, ask.caller, ask.name, ask.fingerprint):
        return None
    known = store.turn_by_name(unit, visitor_id, ask.name)
    if known is None:
        raise Conflict(_("Another request was sent under this Idempotency-Key."))
    return known


def _hand_back(unit: Unit, known: TurnRow, fingerprint: str) -> OpenedTurn:
    if known.fingerprint != fingerprint:
        raise Conflict(_("Another message was sent under this name."))
    return OpenedTurn(known, store.turns_ahead(unit, known) if known.is_open else 0, is_new=False)


def _conversation(unit: Unit, ask: Ask, visitor_id: str, current: str | None) -> ConversationRow:
    wanted = ask.conversation_id or (current if ask.in_current else None)
    if wanted is not None:
        found = store.conversation(unit, wanted, visitor_id)
        if found is not None:
            return found
        if ask.conversation_id is not None:
            raise NotFound(_("This conversation is not here any more."))
    first_line = next((line.strip() for line in ask.text.splitlines() if line.strip()), "")
    return store.add_conversation(unit, visitor_id, ask.channel, shorten(first_line, 60), shorten(first_line, 200))


def _first_status(unit: Unit, conversation: ConversationRow) -> str:
    """Whether a new turn of the conversation begins at once or stands in line. Raises RateLimited for a full line."""
    waiting = store.open_turns(unit, conversation.id) if conversation.turn_count else 0
    if waiting >= MOST_WAITING:
        raise RateLimited(_("Please wait for the answers to your earlier messages."), retry_after=10)
    return "waiting" if waiting else "running"


def _retry(unit: Unit, again: Again, owner: str, measure: _Measure) -> OpenedTurn:
    found = store.find_visitor(unit, again.subject)
    if found is None:
        raise NotFound()
    visitor_id = found[0]
    known = store.turn_by_name(unit, visitor_id, again.name)
    if known is not None:
        return _hand_back(unit, known, again.turn_id)
    old = store.turn_by_id(unit, again.turn_id)
    conversation = store.conversation(unit, old.conversation_id, visitor_id) if old else None
    if old is None or conversation is None:
        raise NotFound()
    last = store.last_turn(unit, conversation.id)
    if last is None or last.id != old.id or old.status not in ("failed", "interrupted"):
        raise Conflict(_("This question has been answered, or another came after it."))
    draft = Draft(
        turn_id=new_id(),
        name=again.name,
        fingerprint=again.turn_id,
        channel=old.channel,
        status=_first_status(unit, conversation),
        owner=owner,
        lease_until=now() + LEASE,
        options=old.options,
        question=None,
        question_id=old.question_id,
    )
    question, _position = store.question(unit, old.question_id)
    tokens = _most_tokens(unit, conversation, measure, question, old.options)
    _reserve(unit, draft.turn_id, again.limits, tokens)
    return OpenedTurn(store.add_turn(unit, conversation, visitor_id, draft), 0, is_new=True)


def _most_tokens(
    unit: Unit, conversation: ConversationRow, measure: _Measure, question: str, options: dict[str, Any]
) -> int:
    """What a turn may cost, as far as can be told before it is put together: what is sent, and the longest answer."""
    if not measure.limits.has_token_cap:
        return 0
    settings = published(unit, measure.inherited).settings
    longest = options.get("max_tokens") or settings.max_tokens or measure.longest
    recalled = CONTEXT if settings.context_messages is None else settings.context_messages
    earlier = store.history(unit, conversation.id, conversation.message_count + 1, recalled)
    prompts = [str(options[name]) for name in ("session_prompt", "system_prompt") if options.get(name)]
    said = (content for _role, content in earlier)
    passages = PASSAGES_TOKENS if knowledge_version(unit) else 0
    return int(longest) + passages + estimate_tokens(system_text(settings), question, *prompts, *said)


def _reserve(unit: Unit, turn_id: str, limits: Limits, tokens: int) -> None:
    quotas.reserve(unit, turn_id, limits, {"messages": 1, "tokens": tokens})


def shorten(words: str, length: int) -> str:
    """`words` cut to `length` characters, never inside a cluster that belongs together (joined emoji, combining marks)."""
    if len(words) <= length:
        return words
    cut = length - 1
    while cut > 1 and (_joins(words[cut]) or words[cut - 1] == "\u200d"):
        cut -= 1
    return words[:cut].rstrip() + "…"


def _joins(character: str) -> bool:
    return (
        character == "\u200d"
        or unicodedata.combining(character) > 0
        or "\ufe00" <= character <= "\ufe0f"
        or ("\U0001f3fb" <= character <= "\U0001f3ff")
    )
