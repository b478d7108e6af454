"""`/admin/clients`: all clients at a glance, several suspended or resumed at once."""

from typing import Any

from flask import current_app, flash, redirect, render_template, request, url_for
from flask_babel import ngettext
from werkzeug.wrappers import Response

from chatbot.accounts.doors import actor
from chatbot.admin import blueprint
from chatbot.admin.client_forms import SuspendForm
from chatbot.chat.stopping import stop_all
from chatbot.db import across_tenants
from chatbot.errors import BadRequest
from chatbot.tenants import standing
from chatbot.tenants.listing import ORDERS, PER_PAGE, STATES, Wanted, list_clients

FIRST = "admin.health"  # what an operator looks at first, where it is there


@blueprint.get("")
def index() -> Response:
    return redirect(url_for(FIRST if FIRST in current_app.view_functions else ".clients"), 303)


@blueprint.get("/clients")
def clients() -> str:
    return _page(SuspendForm(formdata=None))


@blueprint.post("/clients")
def change_clients() -> Response | tuple[str, int]:
    form, slugs, do = SuspendForm(), request.form.getlist("slug")[:PER_PAGE], request.form.get("do")
    if do not in ("suspend", "resume"):
        raise BadRequest()
    if do == "resume":
        done = standing.resume(slugs, actor())
        flash(ngettext("%(num)s client is served again.", "%(num)s clients are served again.", len(done)), "done")
    elif form.validate():
        done = standing.suspend(slugs, form.reason.data, actor())
        for tenant_id in done:
            stop_all(tenant_id)
        flash(ngettext("%(num)s client is suspended.", "%(num)s clients are suspended.", len(done)), "done")
    else:
        return _page(form, slugs), 422
    return redirect(url_for(".clients", **_asked()), 303)


def _page(form: SuspendForm, chosen: list[str] | None = None) -> str:
    wanted = Wanted(
        words=request.args.get("q", ""),
        state=_one_of(STATES, request.args.get("state", "")),
        sort=_sort(request.args.get("sort", "")),
        page=request.args.get("page", 1, type=int),
    )
    with across_tenants(writes=False):
        listing = list_clients(wanted)
    return render_template(
        "admin/clients.html", listing=listing, wanted=wanted, form=form, chosen=chosen or [], asked=_asked()
    )


def _asked() -> dict[str, Any]:
    """What the list is asked for, as the address has it."""
    return {name: value for name, value in request.args.items() if name in ("q", "state", "sort", "page")}


def _one_of(known: tuple[str, ...], given: str) -> str:
    return given if given in known else known[0]


def _sort(given: str) -> str:
    return given if given.removeprefix("-") in ORDERS else ORDERS[0]
