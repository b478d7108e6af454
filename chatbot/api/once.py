"""`Idempotency-Key` on a POST: the same key and body is one effect and one answer, another body is a conflict.

The record and the view's own rows are one transaction, so there is never the one without the other.
"""

import hashlib
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any, TypeVar

from flask import Response, g, jsonify, make_response, request
from flask_babel import gettext as _
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from chatbot.db import across_tenants, db
from chatbot.errors import Conflict, Invalid
from chatbot.jobs import sweeps
from chatbot.tenancy import now
from chatbot.tenants.models import IdempotencyRecord

View = TypeVar("View", bound=Callable[..., Any])
KEPT = timedelta(days=1)
LONGEST = 255


def idempotency_key() -> str | None:
    """The caller's key for this request, as it is stored: `key:<its hash>`. Raises Invalid for an empty or overlong one."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not key.strip() or len(key) > LONGEST:
        words = _("Give an Idempotency-Key of 1 to %(n)s characters.", n=LONGEST)
        raise Invalid(words, errors={"Idempotency-Key": words})
    return "key:" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def once(view: View) -> View:
    """Declare that a view (entered by a key, writing through `db.session`) takes an Idempotency-Key. It commits."""

    @wraps(view)
    def answered(*args: Any, **kwargs: Any) -> Any:
        key = idempotency_key()
        if key is None:
            response = make_response(view(*args, **kwargs))
            db.session.commit()
            return response
        fingerprint = _fingerprint()
        record = IdempotencyRecord(caller=g.caller.subject, key=key, fingerprint=fingerprint)
        known = _find(key)
        if known is None and _add(record):
            response = make_response(view(*args, **kwargs))
            record.status, record.answer = response.status_code, response.get_json()
            db.session.commit()
            return response
        return _again(known or _find(key), fingerprint)

    return answered  # type: ignore[return-value]


def _find(key: str) -> IdempotencyRecord | None:
    mine = select(IdempotencyRecord).where(IdempotencyRecord.caller == g.caller.subject, IdempotencyRecord.key == key)
    found: IdempotencyRecord | None = db.session.scalar(mine.where(IdempotencyRecord.created_at > now() - KEPT))
    return found


def _add(record: IdempotencyRecord) -> bool:
    """False when another request was first: on PostgreSQL this waits until that one has ended."""
    db.session.execute(delete(IdempotencyRecord).where(IdempotencyRecord.created_at <= now() - KEPT))
    db.session.add(record)
    try:
        db.session.flush()
    except IntegrityError:
        db.session.rollback()
        return False
    return True


@sweeps
def forget_answers() -> int:
    """Delete what is older than KEPT, of clients that don't call any more too. Returns how many answers."""
    old = IdempotencyRecord.created_at <= now() - KEPT
    with across_tenants(writes=False) as session:
        if session.scalar(select(IdempotencyRecord.id).where(old).limit(1)) is None:
            return 0
    with across_tenants() as session:
        done: Any = session.execute(delete(IdempotencyRecord).where(old).execution_options(synchronize_session=False))
        return int(done.rowcount)


def _again(known: IdempotencyRecord | None, fingerprint: str) -> Response:
    if known is not None and known.fingerprint != fingerprint:
        raise Conflict(_("Another request was sent under this Idempotency-Key."))
    if known is None or known.answer is None:
        raise Conflict(_("The same request is being answered right now."), retry_after=1)
    response = jsonify(known.answer)
    response.status_code = known.status or 200
    return response


def _fingerprint() -> str:
    """What was asked: the path and the body; of an upload its fields and files, for the boundary differs each time."""
    digest = hashlib.sha256(f"{request.method} {request.path}\0".encode())
    if request.mimetype != "multipart/form-data":
        digest.update(request.get_data())
        return digest.hexdigest()
    for name, value in sorted(request.form.items(multi=True)):
        digest.update(f"{name}\0{value}\0".encode())
    for name, file in sorted(request.files.items(multi=True), key=lambda item: item[0]):
        digest.update(f"{name}\0{file.filename}\0".encode() + hashlib.sha256(file.stream.read()).digest())
        file.stream.seek(0)
    return digest.hexdigest()
