"""A platform with many clients and messages, made by the database itself: rows by the million in a minute.

Client `many-0000` has a fifth of all, the others share the rest. Nothing but numbers: no texts that would mean anything.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import text

from chatbot.db import across_tenants

SPAN = 60 * 86_400  # seconds over which the turns are spread
LIMITS = """'{"messages_per_day": 500, "tokens_per_month": 2000000}'"""
WORDS = "'Words that a visitor or an assistant might have written, about as many as it takes.'"


@dataclass(frozen=True)
class Size:
    """How much there is to be; a turn has two messages."""

    clients: int = 1000
    messages: int = 1_000_000
    turns_each: int = 5  # of a conversation

    @property
    def turns(self) -> int:
        return self.messages // 2

    @property
    def conversations(self) -> int:
        return self.turns // self.turns_each


@dataclass(frozen=True)
class Dialect:
    """How a database writes what the statements need."""

    numbers: str
    padded: str
    ago: str
    day: str
    yes: str
    no: str

    def id(self, kind: str, number: str) -> str:
        """26 characters of their own for each number."""
        return f"'{kind}' || " + self.padded.format(number=number, width=25)

    def time(self, seconds: str) -> str:
        """That many seconds ago."""
        return self.ago.format(seconds=seconds)


DIALECTS = {
    "sqlite": Dialect(
        "WITH RECURSIVE g(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM g WHERE n + 1 < {count})",
        "printf('%0{width}d', {number})",
        "(strftime('%Y-%m-%d %H:%M:%f', 'now', '-' || CAST({seconds} AS TEXT) || ' seconds') || '000')",
        "substr(created_at, 1, 10)",
        "1",
        "0",
    ),
    "postgresql": Dialect(
        "WITH g(n) AS (SELECT generate_series(0, {count} - 1))",
        "lpad(cast({number} AS text), {width}, '0')",
        "(now() - make_interval(secs => {seconds}))",
        "to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
        "true",
        "false",
    ),
}


def fill(size: Size) -> None:
    """Make it all, a table a transaction. The database must have none of it yet."""
    with across_tenants() as session:
        rows = Rows(size, DIALECTS[session.connection().dialect.name])
    for statement in (*rows.clients(), *rows.talks(), *rows.turns(), rows.days()):
        with across_tenants() as session:
            session.connection().execute(text(statement.replace(":", "\\:")))
    with across_tenants() as session:
        session.connection().execute(text("ANALYZE"))


@dataclass(frozen=True)
class Rows:
    """The statements that make the rows; each row is made of its number `n` alone."""

    size: Size
    dialect: Dialect

    def clients(self) -> Iterator[str]:
        yield self._insert(
            "tenant",
            self.size.clients,
            id=self.dialect.id("t", "n"),
            slug="'many-' || " + self.dialect.padded.format(number="n", width=4),
            name="'Client number ' || " + self.dialect.padded.format(number=f"({self.size.clients} - n)", width=4),
            status="CASE WHEN n % 20 = 19 THEN 'suspended' ELSE 'active' END",
            anonymous_chat=self.dialect.yes,
            time_zone="'Europe/Berlin'",
            sites="'[]'",
            limits=LIMITS,
            knowledge_version="0",
            requires_second_factor=self.dialect.no,
            created_at=self.dialect.time("(n * 1000)"),
        )

    def talks(self) -> Iterator[str]:
        """A visitor for each conversation."""
        visitor, count = self.dialect.id("v", "n"), self.size.conversations
        shared = {"tenant_id": self._whose("n"), "created_at": self.dialect.time("n")}
        yield self._insert("visitor", count, id=visitor, subject="'browser:' || n", **shared)
        yield self._insert(
            "conversation",
            count,
            id=self.dialect.id("c", "n"),
            visitor_id=visitor,
            channel="'page'",
            title="'A talk'",
            first_line="'Hello?'",
            is_active=self.dialect.yes,
            message_count=str(2 * self.size.turns_each),
            turn_count=str(self.size.turns_each),
            updated_at=self.dialect.time("n"),
            **shared,
        )

    def turns(self) -> Iterator[str]:
        """Each turn with its two messages and its entry in the ledger."""
        count, each, turn = self.size.turns, self.size.turns_each, self.dialect.id("u", "n")
        talk = f"(n / {each})"
        step = max(1, SPAN // count)  # seconds from one to the next, the newest being of now
        shared = {
            "tenant_id": self._whose(talk),
            "created_at": self.dialect.time(f"({(count - 1) * step} - n * {step})"),
        }
        of_talk = {**shared, "conversation_id": self.dialect.id("c", talk), "status": "'complete'"}
        messages = [self.dialect.id("m", f"(n * 2 + {place})") for place in (0, 1)]
        yield self._insert(
            "turn",
            count,
            id=turn,
            visitor_id=self.dialect.id("v", talk),
            number=f"n % {each} + 1",
            name="'n' || n",
            fingerprint="'f'",
            channel="'page'",
            question_id=messages[0],
            answer_id=messages[1],
            is_stopping=self.dialect.no,
            options="'{}'",
            **of_talk,
        )
        for place, role in enumerate(("user", "assistant")):
            position = f"(n % {each}) * 2 + {place + 1}"
            words = {"role": f"'{role}'", "content": WORDS, "position": position}
            yield self._insert("message", count, id=messages[place], turn_id=turn, **words, **of_talk)
        yield self._insert(
            "ledger_entry",
            count,
            id=self.dialect.id("l", "n"),
            turn_id=turn,
            channel="'page'",
            model="'m'",
            outcome="'complete'",
            input_tokens="300",
            output_tokens="n % 200",
            estimated=self.dialect.no,
            cost="0",
            currency="'USD'",
            **shared,
        )

    def days(self) -> str:
        """The ledger's sums, as `usage.ledger` adds them up turn by turn."""
        return (
            "INSERT INTO usage_day (id, tenant_id, day, questions, answered, failed, messages, conversations,"
            f" input_tokens, output_tokens, last_at) SELECT 'd' || substr(min(id), 2), tenant_id, {self.dialect.day},"
            f" count(*), count(*), 0, count(*), count(*) / {self.size.turns_each}, sum(input_tokens),"
            " sum(output_tokens), max(created_at) FROM ledger_entry GROUP BY tenant_id, 3"
        )

    def _whose(self, talk: str) -> str:
        """The client of a conversation: the first has a fifth of them."""
        return self.dialect.id("t", f"CASE WHEN {talk} % 5 = 0 THEN 0 ELSE {talk} % {self.size.clients} END")

    def _insert(self, table: str, count: int, **values: str) -> str:
        numbers = self.dialect.numbers.format(count=count)
        return f"INSERT INTO {table} ({', '.join(values)}) {numbers} SELECT {', '.join(values.values())} FROM g"
