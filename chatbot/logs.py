"""One JSON record a line, with the request's id and the tenant, without anybody's words, keys or cookies."""

import logging
import sys
import time
from typing import Any

import structlog
from flask import Flask, Response, g, has_request_context, request
from structlog.typing import EventDict

from chatbot.config import Settings
from chatbot.tenancy import new_id

log = structlog.get_logger("chatbot.requests")


def init_logs(app: Flask, settings: Settings) -> None:
    level = logging.getLevelNamesMapping()[settings.LOG_LEVEL]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _add_request,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks,
            _drop_values,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    for noisy in ("httpx2", "httpcore2", "openai"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    g.request_id, g.began = new_id(), time.perf_counter()


def _end(response: Response) -> Response:
    if request.endpoint not in (None, "static", "health.alive"):
        taken = round((time.perf_counter() - g.began) * 1000, 1) if "began" in g else None
        log.info("request", method=request.method, route=str(request.url_rule), status=response.status_code, ms=taken)
    response.headers["X-Request-ID"] = g.get("request_id", "")
    return response


def _add_request(logger: Any, method: str, event: EventDict) -> EventDict:
    if has_request_context():
        event.setdefault("request", g.get("request_id"))
        tenant = g.get("tenant")
        if tenant is not None:
            event.setdefault("tenant", tenant.id)
    return event


def _drop_values(logger: Any, method: str, event: EventDict) -> EventDict:
    """A traceback's place and type may be logged; an exception's words and a frame's locals may hold a secret."""
    for error in event.get("exception") or []:
        if isinstance(error, dict):
            error.pop("exc_value", None)
            error["frames"] = [
                {key: frame.get(key) for key in ("filename", "lineno", "name")} for frame in error.get("frames", [])
            ]
            error.pop("exc_notes", None)
    return event
