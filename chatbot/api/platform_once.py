"""`Idempotency-Key` on a platform key's POST: one effect and one answer, as `once.py` has it for a client's keys.

The record and what is done are one transaction, across tenants.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flask import Response, g, jsonify, request
from flask_babel import gettext as _
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from chatbot.api.once import KEPT, idempotency_key
from chatbot.db import across_tenants, db
from chatbot.errors import Conflict
from chatbot.jobs import sweeps
from chatbot.tenancy import now
from chatbot.tenants.models import PlatformAnswer


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered. `kept` is what the same request gets again: without what is shown once; None: the body itself."""

    body: dict[str, Any]
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    kept: dict[str, Any] | None = None


def answer_once(work: Callable[[], Answer]) -> Response:
    """Do `work` in a transaction across tenants and answer; under a key that is known, answer what was answered then.

    Raises Conflict for a key that came with another request.
    """
    key, caller, fingerprint = idempotency_key(), f"key:{g.platform_key.key_id}", _fingerprint()
    with across_tenants():
        if key is None:
            return _response(work())
        record = PlatformAnswer(caller=caller, key=key, fingerprint=fingerprint)
        known = _find(caller, key)
        if known is None and _add(record):
            answer = work()
            record.status = answer.status
            record.answer = answer.body if answer.kept is None else answer.kept
            return _response(answer)
        return _again(known or _find(caller, key), fingerprint)


def _response(answer: Answer) -> Response:
    response = jsonify(answer.body)
    response.status_code = answer.status
    response.headers.extend(answer.headers)
    return response


def _find(caller: str, key: str) -> PlatformAnswer | None:
    own = (PlatformAnswer.caller == caller, PlatformAnswer.key == key, PlatformAnswer.created_at > now() - KEPT)
    found: PlatformAnswer | None = db.session.scalar(select(PlatformAnswer).where(*own))
    return found


def _add(record: PlatformAnswer) -> bool:
    """False when another request was first: on PostgreSQL this waits until that one has ended."""
    db.session.execute(delete(PlatformAnswer).where(PlatformAnswer.created_at <= now() - KEPT))
    db.session.add(record)
    try:
        db.session.flush()
    except IntegrityError:
        db.session.rollback()
        return False
    return True


def _again(known: PlatformAnswer | None, fingerprint: str) -> Response:
    if known is not None and known.fingerprint != fingerprint:
        raise Conflict(_("Another request was sent under this Idempotency-Key."))
    if known is None or known.answer is None:
        raise Conflict(_("The same request is being answered right now."), retry_after=1)
    return _response(Answer(known.answer, known.status or 200))


def _fingerprint() -> str:
    asked = f"{request.method} {request.full_path} {request.mimetype}\0".encode()
    return hashlib.sha256(asked + request.get_data()).hexdigest()


@sweeps
def forget_platform_answers() -> int:
    """Delete what is older than KEPT. Returns how many answers."""
    old = PlatformAnswer.created_at <= now() - KEPT
    with across_tenants(writes=False) as session:
        if session.scalar(select(PlatformAnswer.id).where(old).limit(1)) is None:
            return 0
    with across_tenants() as session:
        done: Any = session.execute(delete(PlatformAnswer).where(old).execution_options(synchronize_session=False))
        return int(done.rowcount)
