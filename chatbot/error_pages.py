"""How errors are answered: problem documents for programs, `errors/page.html` for people."""

from typing import Any

import structlog
from flask import Flask, Response, current_app, g, jsonify, render_template, request
from flask_babel import gettext as _
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import DataError, DBAPIError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from chatbot.db import is_passing
from chatbot.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    NotFound,
    RateLimited,
    ShamanError,
    StorageFull,
    TooLarge,
    Unauthorized,
    Unavailable,
    WrongType,
)
from chatbot.health import database_problem

log = structlog.get_logger(__name__)

BY_STATUS: dict[int, type[ShamanError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    415: WrongType,
    429: RateLimited,
}


def init_errors(app: Flask) -> None:
    app.register_error_handler(ShamanError, answer)
    app.register_error_handler(CSRFError, _stale_form)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(DBAPIError, _database)
    app.register_error_handler(PoolTimeout, _database)
    app.register_error_handler(Exception, _unexpected)


def answer(error: ShamanError) -> Response:
    """`error` as the caller reads it."""
    problem = error.problem()
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after is not None else {}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if wants_json():
        response = jsonify(problem)
        response.mimetype = "application/problem+json"
    else:
        response = Response(
            render_template("errors/page.html", **_for_page(problem), error_id=g.get("request_id")),
            mimetype="text/html",
        )
    response.status_code = error.status
    response.headers.extend(headers)
    return response


def _for_page(problem: dict[str, Any]) -> dict[str, Any]:
    return {name: problem.get(name) for name in ("title", "detail", "status", "retry_after")}


def wants_json() -> bool:
    """Programs and scripts read problem documents; a browser that asked for a page gets a page."""
    if request.path.startswith(("/api/", "/v1/")):
        return True
    offered = ["text/html", "application/json", "text/event-stream"]
    return bool(request.accept_mimetypes) and request.accept_mimetypes.best_match(offered) != "text/html"


def _stale_form(error: CSRFError) -> Response:
    return answer(BadRequest(_("This page was open for a long time. Go back, reload it and send it again.")))


def _http(error: HTTPException) -> Response:
    kind = BY_STATUS.get(error.code or 500)
    if kind is not None:
        return answer(kind())
    response = answer(_with_status(error.code or 500, error.name))
    response.headers.extend({name: value for name, value in error.get_headers() if name == "Allow"})
    return response


def _with_status(status: int, title: str) -> ShamanError:
    error = ShamanError()
    error.status, error.title, error.kind = status, title, f"http-{status}"
    return error


def storage_problem(error: Exception) -> ShamanError | None:
    """A database's error as one of the family; None for what is a fault of ours."""
    words = str(getattr(error, "orig", "")).lower()
    if (
        isinstance(error, DataError) and "nul (0x00)" in words
    ):  # PostgreSQL has no text with a zero byte, so no such row
        return BadRequest()
    log.error("database", error=type(error).__name__, cause=type(getattr(error, "orig", error)).__name__)
    if "full" in words or "no space" in words or "disk i/o" in words:
        return StorageFull(_("The disk is full. Nothing was lost; please tell the operator."), retry_after=30)
    if isinstance(error, ProgrammingError | OperationalError) and database_problem(current_app) == "migrating":
        return Unavailable(_("Shaman is being brought up to date. Please try again in a moment."), retry_after=10)
    if is_passing(error):
        return Unavailable(_("The database can't be reached. Please try again in a moment."), retry_after=5)
    return None


def _database(error: Exception) -> Response:
    problem = storage_problem(error)
    return answer(problem) if problem is not None else _unexpected(error)


def _unexpected(error: Exception) -> Response:
    log.error("unexpected error", exc_info=error)
    return answer(ShamanError(_("Something went wrong on our side. Please try again.")))
