"""Is it alive, can it serve: for the operator's monitoring. No tenant data.

Nothing else is answered before the database's schema is the one that this version of Shaman was written for.
"""

from typing import Any

from flask import Blueprint, Flask, Response, current_app, jsonify
from flask_babel import gettext as _
from sqlalchemy.exc import SQLAlchemyError

from chatbot.encryption_keys import key_problem
from chatbot.errors import Unavailable
from chatbot.extensions import limiter
from chatbot.jobs import are_waiting
from chatbot.schema import own_revisions, revision_of_database

blueprint = Blueprint("health", __name__)
NOBODY_WORKS = "background jobs have waited for more than five minutes: with REDIS_URL set, `flask work` runs them"
ALWAYS = ("health.alive", "health.ready", "static")  # answered whatever the database is like


@blueprint.app_url_value_preprocessor  # before those that enter a tenant
def _wait_for_the_schema(endpoint: str | None, values: dict[str, Any] | None) -> None:
    """Raise Unavailable until the schema is right. Once it is, it is not looked at again."""
    if endpoint in ALWAYS or current_app.extensions.get("shaman_schema_is_right"):
        return
    problem = database_problem(current_app)
    if problem == "unreachable":
        raise Unavailable(_("The database can't be reached. Please try again in a moment."), retry_after=5)
    if problem:
        raise Unavailable(_("Shaman is being brought up to date. Please try again in a moment."), retry_after=10)
    current_app.extensions["shaman_schema_is_right"] = True


@blueprint.get("/healthz")
@limiter.exempt
def alive() -> Response:
    return jsonify(status="alive")


@blueprint.get("/readyz")
@limiter.exempt
def ready() -> tuple[Response, int]:
    """200 when the database answers, its schema is this program's and jobs are taken; 503 with what is missing otherwise."""
    problem = database_problem(current_app)
    if problem:
        return jsonify(status="not ready", database=problem, detail=newer_schema(current_app) or problem), 503
    wrong = key_problem()
    if wrong:
        return jsonify(status="not ready", database="ok", keys="wrong", detail=wrong), 503
    if are_waiting():
        return jsonify(status="not ready", database="ok", jobs="waiting", detail=NOBODY_WORKS), 503
    return jsonify(status="ready", database="ok", jobs="ok"), 200


def database_problem(app: Flask) -> str | None:
    """Why the database cannot be served from: 'unreachable', 'migrating' (an older schema), 'newer schema'; None if it can."""
    try:
        at = revision_of_database()
    except (SQLAlchemyError, OSError):
        return "unreachable"
    head, known = own_revisions()
    if at == head:
        return None
    return "migrating" if at is None or at in known else "newer schema"


def newer_schema(app: Flask) -> str | None:
    """Why this version of Shaman may not touch the database, in one line that names both versions; None when it may."""
    if database_problem(app) != "newer schema":
        return None
    return (
        f"the database has schema {revision_of_database()}, which is newer than this version of Shaman"
        f" (schema {own_revisions()[0]}): start the version that made it, or restore a backup"
    )


def schema_versions(app: Flask) -> tuple[str | None, str | None]:
    """The schema that the database has, and the one that this program was written for."""
    return revision_of_database(), own_revisions()[0]
