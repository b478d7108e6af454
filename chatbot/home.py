"""`/`: the way in."""

from flask import Blueprint, current_app, redirect, render_template, url_for
from werkzeug.wrappers import Response

from chatbot.tenants.clients import default_client

blueprint = Blueprint("home", __name__)


@blueprint.get("/")
def index() -> Response | str:
    """To the chat of the client that is meant when none is named; else a plain page."""
    tenant = default_client(current_app.config["SHAMAN"].DEFAULT_CLIENT)
    if tenant is not None:
        return redirect(url_for("chat.page", slug=tenant.slug), 303)
    return render_template("home.html")
