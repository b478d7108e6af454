"""The doors for programs: JSON over HTTP."""

from flask import Blueprint, Flask

from chatbot.extensions import csrf

blueprint = Blueprint("api", __name__, url_prefix="/api")


def init_api(app: Flask) -> None:
    """Register the API. Its calls carry a key, or are JSON, which no foreign page can send: they need no form token."""
    from chatbot.api import admin, chat, knowledge  # noqa: F401  they hang their routes on the blueprint

    csrf.exempt(blueprint)
    app.register_blueprint(blueprint)
