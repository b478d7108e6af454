"""Is it alive, can it serve: for the operator's monitoring. No tenant data."""

from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Blueprint, Flask, Response, current_app, jsonify
from sqlalchemy.exc import SQLAlchemyError

from chatbot.db import db
from chatbot.extensions import limiter

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
@limiter.exempt
def alive() -> Response:
    return jsonify(status="alive")


@blueprint.get("/readyz")
@limiter.exempt
def ready() -> tuple[Response, int]:
    """200 when the database answers and its schema is this program's; 503 with what is missing otherwise."""
    problem = database_problem(current_app)
    if problem:
        return jsonify(status="not ready", database=problem), 503
    return jsonify(status="ready", database="ok"), 200


def database_problem(app: Flask) -> str | None:
    """Why the database cannot be served from: 'unreachable', 'migrating' (an older schema), 'newer schema'; None if it can."""
    try:
        with db.engine.connect() as connection:
            at = MigrationContext.configure(connection).get_current_revision()
    except (SQLAlchemyError, OSError):
        return "unreachable"
    script = ScriptDirectory(app.extensions["migrate"].directory)
    if at == script.get_current_head():
        return None
    known = {revision.revision for revision in script.walk_revisions()}
    return "migrating" if at is None or at in known else "newer schema"
