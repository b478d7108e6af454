"""`python -m bench.seed` (`make seed`): clients with a month of conversations, to try lists, searches and pages on.

Rows are written through Shaman's own models; no model is asked. The clients are named `seed-…`: those that are there
already are left alone, and `flask client delete seed-bakery --now` takes one away again.
"""

import argparse
import random
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from bench.passages import sentence
from chatbot import create_app
from chatbot.chat.models import Conversation, Message, Turn, Visitor
from chatbot.db import across_tenants, as_tenant
from chatbot.tenancy import new_id, now
from chatbot.tenants.clients import create_client
from chatbot.tenants.models import Tenant
from chatbot.usage.ledger import estimate_tokens
from chatbot.usage.models import LedgerEntry, UsageDay

CLIENTS = {"seed-bakery": "Harbour Bakery", "seed-garage": "Old Town Garage", "seed-salon": "Salon Marie"}
QUESTIONS = (
    "When do you open on Saturday?",
    "What does it cost, and can I pay by card?",
    "My order has not arrived. What now?",
    "Do you deliver to the next village?",
    "Can I bring it back without the receipt?",
    "Is there anything without nuts?",
    "Habt ihr am Feiertag geöffnet?",
    "هل يمكنني الطلب عبر الهاتف؟",
)
OUTCOMES = ("complete",) * 17 + ("stopped", "failed", "refused")
DAYS = 30


def main() -> None:
    """Make the clients that are missing, and say what was made."""
    parser = argparse.ArgumentParser(prog="python -m bench.seed", description="Clients with a month of conversations.")
    parser.add_argument("--conversations", type=int, default=120, help="for each client")
    wanted = parser.parse_args().conversations
    app = create_app()
    with app.app_context():
        for slug, name in CLIENTS.items():
            with across_tenants(writes=False) as session:
                known = session.scalar(select(Tenant.id).where(Tenant.slug == slug))
            if known is None:
                messages = fill(create_client(slug, name, anonymous_chat=True).id, wanted, random.Random(slug))
                print(f"{slug}: {wanted} conversations, {messages} messages, at /chat/{slug}")
            else:
                print(f"{slug}: is there already")


def fill(tenant_id: str, conversations: int, rng: random.Random) -> int:
    """Visitors and their conversations, spread over the last month. Returns the number of messages."""
    messages = 0
    with as_tenant(tenant_id) as session:
        for number in range(conversations):
            began = now() - timedelta(days=DAYS * (1 - number / conversations), minutes=rng.randint(10, 600))
            visitor = Visitor(id=new_id(), subject=f"seed:{number}", created_at=began)
            talk = conversation(visitor, began, rng)
            session.add(visitor)
            session.flush()
            session.add(talk)
            session.flush()
            session.add_all(rows_of(talk, rng))
            messages += talk.message_count
        session.add_all(days(session.scalars(select(LedgerEntry)).all()))
    return messages


def days(entries: Sequence[LedgerEntry]) -> list[UsageDay]:
    """The days that the ledger adds up to, in UTC, which is the clients' time zone."""
    found: dict[str, UsageDay] = {}
    for entry in entries:
        day = entry.created_at.strftime("%Y-%m-%d")
        empty = dict.fromkeys(
            ("questions", "answered", "failed", "messages", "conversations", "input_tokens", "output_tokens"), 0
        )
        sums = found.setdefault(day, UsageDay(day=day, last_at=entry.created_at, **empty))
        sums.questions += 1
        sums.messages += 1
        sums.answered += entry.outcome == "complete"
        sums.failed += entry.outcome in ("failed", "interrupted")
        sums.input_tokens += entry.input_tokens
        sums.output_tokens += entry.output_tokens
        sums.last_at = max(sums.last_at, entry.created_at)
    return list(found.values())


def conversation(visitor: Visitor, began: datetime, rng: random.Random) -> Conversation:
    """A conversation of one to six turns, still empty; most are short."""
    turns = min(rng.randint(1, 6), rng.randint(1, 6))
    first = rng.choice(QUESTIONS)
    return Conversation(
        id=new_id(),
        visitor_id=visitor.id,
        channel=rng.choice(("page", "page", "api")),
        title=first,
        first_line=first,
        message_count=2 * turns,
        turn_count=turns,
        created_at=began,
        updated_at=began + timedelta(minutes=2 * turns),
    )


def rows_of(talk: Conversation, rng: random.Random) -> Iterator[Any]:
    """Each turn's question, answer, turn and ledger entry."""
    for number in range(1, talk.turn_count + 1):
        at = talk.created_at + timedelta(minutes=2 * number)
        asked = talk.first_line if number == 1 else rng.choice(QUESTIONS)
        outcome = rng.choice(OUTCOMES)
        said = "" if outcome == "failed" else " ".join(sentence(rng) for _ in range(rng.randint(1, 4)))
        turn, question, answer = new_id(), new_id(), new_id()
        of = {"conversation_id": talk.id, "created_at": at}
        yield Message(
            id=question, turn_id=turn, position=2 * number - 1, role="user", content=asked, status="complete", **of
        )
        yield Message(
            id=answer, turn_id=turn, position=2 * number, role="assistant", content=said, status=outcome, **of
        )
        yield Turn(
            id=turn,
            visitor_id=talk.visitor_id,
            number=number,
            name=turn,
            fingerprint="0" * 64,
            channel=talk.channel,
            question_id=question,
            answer_id=answer,
            status=outcome,
            finish_reason="stop" if outcome == "complete" else outcome if outcome in ("stopped", "refused") else None,
            usage={"input_tokens": estimate_tokens(asked), "output_tokens": estimate_tokens(said), "estimated": True},
            started_at=at,
            ended_at=at + timedelta(seconds=4),
            **of,
        )
        yield LedgerEntry(
            id=new_id(),
            turn_id=turn,
            channel=talk.channel,
            model="seed",
            outcome=outcome,
            input_tokens=estimate_tokens(asked),
            output_tokens=estimate_tokens(said),
            estimated=True,
            created_at=at,
        )


if __name__ == "__main__":
    main()
