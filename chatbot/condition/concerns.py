"""What needs a hand now: each in a sentence, with what to do about it."""

from collections.abc import Iterator
from dataclasses import dataclass

from flask_babel import gettext as _
from flask_babel import ngettext

from chatbot.condition.answers import PLATFORM, Answers, Seen
from chatbot.condition.machine import Database, Disk, Redis
from chatbot.condition.work import Queue, UnderWay
from chatbot.errors import Text

LOW_DISK, LOW_SHARE = 1 << 30, 0.05  # bytes; of the whole
LONG_LOG = 1 << 30  # bytes of SQLite's write-ahead log: something keeps it from being folded in
ENOUGH_FAILURES = 3  # one alone may be anything


@dataclass(frozen=True, slots=True)
class Concern:
    """`place` names the part of the health page that has more about it."""

    what: Text
    what_to_do: Text
    place: str


@dataclass(frozen=True, slots=True)
class Facts:
    """All that was looked at. `nobody_works`: jobs are due and no one takes them."""

    database: Database
    disk: Disk
    redis: Redis
    queue: Queue
    nobody_works: bool
    under_way: UnderWay
    answers: Answers


def concerns(facts: Facts) -> list[Concern]:
    """What needs a hand, the most pressing first."""
    return [*_of_machine(facts), *_of_models(facts.answers), *_of_work(facts)]


def _of_machine(facts: Facts) -> Iterator[Concern]:
    disk, database = facts.disk, facts.database
    if disk.free < LOW_DISK or disk.free < LOW_SHARE * disk.total:
        yield Concern(
            _("The disk is almost full."),
            _("Make room where instance/ is: when it is full, no message can be stored."),
            "disk",
        )
    if facts.redis.is_used and facts.redis.milliseconds is None:
        yield Concern(
            _("Redis does not answer."),
            _("People are answered all the same; limits are counted in each process by itself. Look after Redis."),
            "redis",
        )
    if (database.log_size or 0) > LONG_LOG:
        yield Concern(
            _("The database's write-ahead log has grown long."),
            _("Something has read from the database for a long time, a backup perhaps. End it, or restart Shaman."),
            "database",
        )
    if database.schema != database.wanted_schema:
        yield Concern(
            _("The database's schema is not this program's."),
            _("Restart every process of Shaman, so that all run the same version."),
            "database",
        )


def _of_models(answers: Answers) -> Iterator[Concern]:
    for endpoint in answers.endpoints:
        if endpoint.is_failing and (endpoint.failures >= ENOUGH_FAILURES or not endpoint.answered):
            yield Concern(_failing(endpoint), what_to_do(endpoint.last_kind), "models")
    if answers.not_open:
        yield Concern(
            ngettext(
                "%(num)s question was not answered, because its client names a model that is not open to it.",
                "%(num)s questions were not answered, because their client names a model that is not open to it.",
                answers.not_open,
            ),
            _("Open the endpoint to the client under Models, or let the client choose another model."),
            "models",
        )


def _failing(endpoint: Seen) -> Text:
    if endpoint.name == PLATFORM:
        return _("The language model does not answer at the moment.")
    return _("The model endpoint “%(name)s” does not answer at the moment.", name=endpoint.name)


def what_to_do(kind: str) -> Text:
    """What an operator does about a model's failure of this kind."""
    if kind == "model-refused":
        return _("It refuses what it is asked. Check its key, the model's name, and whether its bill is paid.")
    if kind == "model-busy":
        return _("It says that it is busy. Wait, or ask its provider for a higher limit.")
    if kind == "model-timeout":
        return _("It is silent for too long. Check the server, and the way to it.")
    return _("It can't be reached, breaks off, or answers with something else. Check its address and its server.")


def _of_work(facts: Facts) -> Iterator[Concern]:
    if facts.nobody_works:
        yield Concern(
            _("Background jobs wait, and nobody takes them."),
            _("Start “flask work”: with REDIS_URL set, the web processes leave jobs to it."),
            "queue",
        )
    if facts.queue.dead:
        yield Concern(
            ngettext("%(num)s job has failed for good.", "%(num)s jobs have failed for good.", facts.queue.dead),
            _("Try it again once its cause is mended, or discard it."),
            "dead",
        )
    if facts.under_way.forsaken:
        yield Concern(
            ngettext(
                "%(num)s answer has stopped, and nobody has ended it.",
                "%(num)s answers have stopped, and nobody has ended them.",
                facts.under_way.forsaken,
            ),
            _("“flask sweep” ends them at once. Is any process of Shaman older than the others?"),
            "work",
        )
