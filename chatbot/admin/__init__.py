"""The operator's pages: a gate (the table of rights lets platform admins in) and one small file per concept."""

from flask import Blueprint, Flask

blueprint = Blueprint("admin", __name__, url_prefix="/admin")


def init_admin(app: Flask) -> None:
    from chatbot.admin import accounts, audit, client, clients, endpoints, health, limits, transfer  # noqa: F401  they hang their routes on the blueprint

    app.register_blueprint(blueprint)
