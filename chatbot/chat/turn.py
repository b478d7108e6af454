"""One turn, from its stored question to its settled answer.

`RunningTurn.events()` is a generator that never raises to its reader: it gathers what the model needs, lets it speak,
and settles whatever happened. No transaction and no connection is held while the model speaks.
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import structlog
from flask_babel import lazy_gettext as _l
from sqlalchemy.exc import SQLAlchemyError

from chatbot.chat import context, ending, events, store
from chatbot.chat.citations import cited
from chatbot.chat.ending import Ending
from chatbot.chat.events import Event
from chatbot.chat.opening import LEASE
from chatbot.chat.store import TurnRow
from chatbot.config import Settings
from chatbot.db import Unit, is_passing, read, write
from chatbot.errors import ModelBroken, ModelError, ModelTimeout, ShamanError, Unavailable
from chatbot.providers import Providers
from chatbot.providers.contract import Call, ChatRequest, Finish, Stopped
from chatbot.providers.sse import LONGEST_NAME
from chatbot.tenancy import now
from chatbot.usage.ledger import Usage, estimate_tokens

log = structlog.get_logger(__name__)

SETTLE_FOR = 300.0  # seconds in which a full disk or a database that is away may come back before an answer is given up
SETTLE_WHEN_ENDING = 3.0  # the same for a process that is ending


@dataclass(frozen=True, slots=True)
class Worker:
    """What every turn of one process shares."""

    owner: str
    settings: Settings
    providers: Providers


class Speech:
    """The answer so far. One thread adds, others read: `text` is whole at any moment."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self.length = 0

    def add(self, piece: str) -> None:
        self._pieces.append(piece)
        self.length += len(piece)

    @property
    def text(self) -> str:
        return "".join(self._pieces)  # one step under the interpreter's lock: a piece is in it or not


class RunningTurn:
    """A turn that this process has begun. After `events()` is exhausted `next` is the conversation's next turn, if any."""

    def __init__(self, turn: TurnRow, worker: Worker) -> None:
        self.row = turn
        self.next: TurnRow | None = None
        self.speech = Speech()
        self.call = Call(deadline=time.monotonic() + worker.settings.TURN_TIMEOUT, idle=worker.settings.CHAT_TIMEOUT)
        self._worker = worker
        self.saved_length = 0  # of the text that the keeper has stored
        self._request: ChatRequest | None = None
        self._finish: Finish | None = None
        self._version: int | None = None
        self._endpoint = ""  # the name of the one that is asked; empty for the platform's own

    def events(self) -> Iterator[Event]:
        """The turn's events from `start` to `done` or `error`; the turn is settled before the last one is given."""
        row = self.row
        yield events.start(row.conversation_id, row.id, row.question_id)
        problem: dict[str, Any] | None = None
        status = "complete"
        try:
            yield from self._speak()
        except Stopped:
            status = {"stopped": "stopped", "late": "failed"}.get(self.call.reason or "", "interrupted")
            problem = ModelTimeout().problem() if status == "failed" else None
        except ModelError as error:
            status, problem = "failed", error.problem()
            log.warning("model failed", turn=row.id, tenant=row.tenant_id, kind=error.kind, **_cause(error))
        except Exception as error:
            status, problem = "failed", _unexpected(error).problem()
            log.exception("turn failed", turn=row.id, tenant=row.tenant_id)
        ending = self._settle(self._ending(status, problem))
        yield from closing_events(row, ending, self.speech.length)

    def _speak(self) -> Iterator[Event]:
        gathered = context.gather(self.row, self._worker.settings)
        self._request, self._version = gathered.request, gathered.settings_version
        self._endpoint = gathered.endpoint.name if gathered.endpoint else ""
        provider = self._worker.providers.for_endpoint(gathered.endpoint)
        room = self._worker.settings.ANSWER_LIMIT
        for piece in provider.stream(gathered.request, self.call):
            if isinstance(piece, Finish):
                self._finish = piece
                if not self.speech.text.strip():
                    raise ModelBroken()  # a good end, and not a word before it
                return
            piece = piece[:room]
            room -= len(piece)
            self.speech.add(piece)
            yield events.delta(piece, self.speech.length)
            if room <= 0:
                self.call.stop("length")
                self._finish = Finish("length", gathered.request.model or "")
                return

    def _ending(self, status: str, problem: dict[str, Any] | None) -> Ending:
        if status == "interrupted":
            problem = interruption()
        text = self.speech.text
        passages = self._request.passages if self._request else ()
        return Ending(
            status=status,
            text=text,
            finish_reason=_finish_reason(status, self._finish),
            problem=problem,
            usage=self._usage(text),
            model=self._model(),
            citations=cited(text, passages),
            settings_version=self._version,
        )

    def _model(self) -> str:
        """The model as the ledger names it, which is how a client's settings do: `<endpoint>/<model>`."""
        asked = self._request.model or "" if self._request else ""
        model = self._finish.model if self._finish else asked
        return f"{self._endpoint}/{model}".rstrip("/")[:LONGEST_NAME] if self._endpoint else model

    def _usage(self, text: str) -> Usage:
        if self._finish is not None and self._finish.usage is not None:
            return self._finish.usage
        # Nobody was asked, or not a word came back: nothing is charged. If it was we who ended it, the question is.
        if self._request is None or not self.call.was_asked or not (text or self.call.is_stopped):
            return Usage()
        asked = estimate_tokens(*(content for _role, content in self._request.messages))
        return Usage(asked, estimate_tokens(text), estimated=True)

    def _as_stored(self, ending_: Ending) -> Ending:
        """How the turn ended when it was no longer ours to end, or could not be settled: what is stored holds."""
        row: TurnRow | None = None
        with suppress(SQLAlchemyError):
            row = read(self.row.tenant_id, lambda unit: store.turn_by_id(unit, self.row.id))
        if row is None or row.is_open:
            return replace(ending_, status="interrupted", problem=interruption())
        return replace(ending_, status=row.status, finish_reason=row.finish_reason, problem=row.problem)

    def _settle(self, ending_: Ending) -> Ending:
        """Store how it ended and begin the next turn. Returns how the turn ended then, which is what its viewers are told."""
        try:
            return ending_ if self._store(ending_) else self._as_stored(ending_)
        except Exception as error:
            log.exception("turn could not be settled", turn=self.row.id, tenant=self.row.tenant_id)
            return self._as_stored(ending_) if is_passing(error) else self._settle_bare(ending_)

    def _settle_bare(self, ending_: Ending) -> Ending:
        """Settle a turn whose ending the database refuses: its text and what it used, without all that came with them."""
        text = self.speech.text.encode("utf-8", "ignore").decode().replace("\0", "")
        bare = Ending("failed", text, problem=ShamanError().problem(), usage=ending_.usage)
        try:
            return bare if self._store(bare) else self._as_stored(bare)
        except Exception:
            log.exception("turn could not be settled as failed either", turn=self.row.id, tenant=self.row.tenant_id)
            return self._as_stored(bare)

    def _store(self, ending_: Ending) -> bool:
        """Whether the turn was ours to end. Tries again while the database is away, as long as it may; then raises."""

        def work(unit: Unit) -> tuple[bool, TurnRow | None]:
            ours = ending.end_ours(unit, self.row, self._worker.owner, ending_)
            if not ours or self.call.reason == "interrupted":
                return ours, None  # this process is ending: another takes the next turn up
            until = now() + LEASE
            return ours, ending.claim_next(unit, self.row.conversation_id, self._worker.owner, until)

        began, pause = time.monotonic(), 0.1
        while True:
            try:
                ours, self.next = write(self.row.tenant_id, work)
                return ours
            except Exception as error:
                patience = SETTLE_WHEN_ENDING if self.call.reason == "interrupted" else SETTLE_FOR
                if not is_passing(error) or time.monotonic() - began > patience:
                    raise
            time.sleep(pause)
            pause = min(pause * 2, 2.0)


def closing_events(row: TurnRow, ending_: Ending, length: int) -> Iterator[Event]:
    """What follows the text of an ended turn: its citations, then `done` or `error`."""
    for place, data in enumerate(ending_.citations, start=1):
        yield events.citation(data, place, length)
    if ending_.problem is not None:
        yield events.error(ending_.problem, length)
    else:
        yield events.done(row.answer_id, ending_.finish_reason or "stop", ending_.usage.as_json(), length)


def stored_events(unit: Unit, row: TurnRow) -> list[Event]:
    """The events of an ended turn, made from what is stored."""
    text, citations = store.answer_text(unit, row.answer_id)
    shown = [events.start(row.conversation_id, row.id, row.question_id)]
    if text:
        shown.append(events.delta(text, len(text)))
    usage = row.usage or Usage().as_json()
    end = Ending(row.status, text, row.finish_reason, row.problem, Usage(**usage), citations=tuple(citations))
    return [*shown, *closing_events(row, end, len(text))]


def interruption() -> dict[str, Any]:
    """The problem of a turn whose worker ended before its answer did."""
    return Interrupted().problem()


class Interrupted(ShamanError):
    status, kind, title = 503, "interrupted", _l("The answer was interrupted")


def _finish_reason(status: str, finish: Finish | None) -> str | None:
    if status == "complete":
        return finish.reason if finish else "stop"
    return status if status in ("stopped", "refused") else None


def _cause(error: ModelError) -> dict[str, Any]:
    """What the operator may read of a failure: never the server's own words, for they may quote the key."""
    cause = error.__cause__
    return {"error": type(cause or error).__name__, "status": getattr(cause, "status_code", None)}


def _unexpected(error: Exception) -> ShamanError:
    if isinstance(error, ShamanError):
        return error
    return Unavailable() if is_passing(error) else ShamanError()
