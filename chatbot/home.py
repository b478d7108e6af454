"""`/`: the way in."""

from flask import Blueprint, current_app, redirect, render_template, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from chatbot.accounts.entering import find_entry
from chatbot.accounts.places import Place, closed_to, places_of
from chatbot.accounts.sign_ins import Person
from chatbot.tenants.clients import default_client

blueprint = Blueprint("home", __name__)


@blueprint.get("/")
def index() -> Response | str:
    """To the right home when signed in; else to the chat of the client that is meant when none is named, else to sign-in."""
    if current_user.is_authenticated:
        return _home_of(current_user._get_current_object())
    tenant = default_client(current_app.config["SHAMAN"].DEFAULT_CLIENT)
    if tenant is not None:
        return redirect(url_for("chat.page", slug=tenant.slug), 303)
    return redirect(url_for("accounts.login"), 303)


def _home_of(who: Person) -> Response | str:
    entry = find_entry(who.sign_in_id) if who.entered_id else None
    if entry is not None:
        return redirect(url_for("console.index", slug=entry.slug), 303)
    if who.is_platform_admin:
        return redirect(url_for("admin.clients"), 303)
    places, closed = places_of(who), closed_to(who)
    if len(places) == 1 and not closed:
        return redirect(path_to(places[0]), 303)
    return render_template("home.html", homes=places, closed=closed, path_to=path_to)


def path_to(place: Place) -> str:
    """Where a client's people begin: its console, or the chat for those who only chat."""
    return url_for("console.index" if place.has_console else "chat.page", slug=place.slug)
