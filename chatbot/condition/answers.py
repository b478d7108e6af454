"""How the model endpoints have answered in the last hour, as the turns themselves have seen it: nobody is asked anew."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from chatbot.chat.models import Turn
from chatbot.db import db
from chatbot.tenancy import now
from chatbot.tenants.models import ModelEndpoint
from chatbot.usage.models import LedgerEntry

LATELY = timedelta(hours=1)
MOST = 20_000  # turns looked at: the newest
PLATFORM = ""  # the name of the platform's own endpoint here
NOT_OPEN = "model-not-open"
FAMILY = "urn:shaman:"


@dataclass(slots=True)
class Seen:
    """One endpoint: how many turns it answered, how many it failed by the kind of error, and when it did so last."""

    name: str
    answered: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    last_answer: datetime | None = None
    last_failure: datetime | None = None
    last_kind: str = ""

    @property
    def failures(self) -> int:
        return sum(self.failed.values())

    @property
    def is_failing(self) -> bool:
        """Whether its last word was a failure."""
        return self.last_failure is not None and (self.last_answer is None or self.last_answer < self.last_failure)


@dataclass(frozen=True, slots=True)
class Answers:
    """The endpoints, the platform's own first; and how many turns named an endpoint that their client may not use."""

    endpoints: list[Seen]
    not_open: int


def answers() -> Answers:
    """What the last hour's turns have seen, read across tenants. A bounded look at the newest: it costs the same on any day."""
    newest = (
        select(LedgerEntry.turn_id, LedgerEntry.model, LedgerEntry.outcome, LedgerEntry.created_at)
        .order_by(LedgerEntry.id.desc())
        .limit(MOST)
        .subquery()
    )
    kind = Turn.problem["type"].as_string()
    counted = (
        select(newest.c.model, newest.c.outcome, kind, func.count(), func.max(newest.c.created_at))
        .join(Turn, Turn.id == newest.c.turn_id)
        .where(newest.c.created_at > now() - LATELY)
        .group_by(newest.c.model, newest.c.outcome, kind)
    )
    names = db.session.execute(select(ModelEndpoint.name, ModelEndpoint.retired_at)).all()
    seen = {PLATFORM: Seen(PLATFORM)} | {name: Seen(name) for name, retired in sorted(names) if retired is None}
    return _sorted_out(seen, {name for name, _retired in names}, db.session.execute(counted).all())


def _sorted_out(seen: dict[str, Seen], names: set[str], rows: Iterable[Any]) -> Answers:
    not_open = 0
    for model, outcome, problem, count, at in rows:
        kind = (problem or "").removeprefix(FAMILY)
        if kind == NOT_OPEN:
            not_open += count
            continue
        name = model.partition("/")[0]
        endpoint = seen.get(name if name in names else PLATFORM)
        if endpoint is None:
            continue  # given up meanwhile
        if outcome in ("complete", "stopped"):
            endpoint.answered += count
            endpoint.last_answer = max(filter(None, (endpoint.last_answer, at)))
        elif kind.startswith("model"):
            endpoint.failed[kind] = endpoint.failed.get(kind, 0) + count
            if endpoint.last_failure is None or at > endpoint.last_failure:
                endpoint.last_failure, endpoint.last_kind = at, kind
    return Answers(list(seen.values()), not_open)
