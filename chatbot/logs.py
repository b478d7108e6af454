"""One JSON record a line, with the request's id and the tenant, without anybody's words, keys or cookies.

What libraries log comes out in the same form.
"""

import logging
import os
import re
import sys
import time
from typing import Any

import structlog
from flask import Flask, Response, g, has_request_context, request
from structlog.typing import EventDict, Processor

from chatbot.config import Settings
from chatbot.tenancy import new_id

log = structlog.get_logger("chatbot.requests")


def init_logs(app: Flask, settings: Settings) -> None:
    level = logging.getLevelNamesMapping()[settings.LOG_LEVEL]
    structlog.configure(
        processors=[*_processors(), structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    for noisy in ("httpx2", "httpcore2", "openai"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    _bring_in_libraries()
    app.url_value_preprocessor(_begin)  # the first of all, so that a refusal by any other has its id too
    app.after_request(_end)


def _processors() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        _add_request,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.dict_tracebacks,
        _drop_values,
    ]


def _bring_in_libraries() -> None:
    """Give the standard library's root logger our form, in the place of an earlier application's."""
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if handler.get_name() == __name__]:
        root.removeHandler(handler)
    handler = logging.StreamHandler(sys.stderr)
    handler.set_name(__name__)
    handler.setFormatter(_formatter(_processors()))
    root.addHandler(handler)


def _formatter(before: list[Processor]) -> logging.Formatter:
    render: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.JSONRenderer(),
    ]
    return structlog.stdlib.ProcessorFormatter(processors=render, foreign_pre_chain=before)


def server_formatter() -> logging.Formatter:
    """Our form for what the web server itself logs.

    What its web processes say quotes the request: its line with the query, a header, the caller's address. Of that the
    words of the server alone are kept. What the process that made this formatter says is about the server, and is.
    """
    master = os.getpid()

    def drop_request(logger: Any, method: str, event: EventDict) -> EventDict:
        if os.getpid() != master:
            words = event["_record"].msg
            found = PLAIN_WORDS.match(words) if isinstance(words, str) else None
            event["event"] = found[0].strip() if found and found[0].strip() else type(words).__name__
        return event

    return _formatter([drop_request, *_processors()])


# What the server writes before it quotes: «Invalid request from ip», «Error handling request».
PLAIN_WORDS = re.compile(r"[A-Za-z ]*")


def _begin(endpoint: str | None, values: dict[str, Any] | None) -> None:
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
    if "exception" in event:
        event["exception"] = _places(event["exception"])
    return event


PLACES = ("exc_type", "is_cause", "is_group", "exceptions", "frames", "filename", "lineno", "name")


def _places(found: Any) -> Any:
    """What of a traceback says where, in the parts of a group of errors too."""
    if isinstance(found, list):
        return [_places(part) for part in found]
    if isinstance(found, dict):
        return {key: _places(value) for key, value in found.items() if key in PLACES}
    return found
