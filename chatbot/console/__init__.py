"""The pages of a client's own people that look over several concepts: a thin surface."""

from flask import Blueprint, Flask

blueprint = Blueprint("console", __name__, url_prefix="/console/<slug>")


def init_console(app: Flask) -> None:
    from chatbot.console import overview  # noqa: F401  it hangs its routes on the blueprint

    app.register_blueprint(blueprint)
