"""`/admin/models`: model endpoints beside the platform's own, and who may use which."""

from typing import Any

from flask import current_app, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import ngettext
from werkzeug.wrappers import Response

from chatbot.accounts.doors import actor
from chatbot.admin import blueprint
from chatbot.admin.client_forms import show_problem
from chatbot.admin.endpoint_forms import EndpointForm, GrantForm, NewEndpointForm
from chatbot.audit import record
from chatbot.db import across_tenants
from chatbot.errors import Conflict, Invalid
from chatbot.providers.checking import check
from chatbot.providers.openai import Endpoint
from chatbot.tenants import endpoint_grants
from chatbot.tenants import endpoints as rules

Answer = Response | str | tuple[str, int]
PER_PAGE = 50


@blueprint.get("/models")
def endpoints() -> str:
    with across_tenants(writes=False):
        found, keyed = rules.all_endpoints(), rules.with_key()
        grants, users = endpoint_grants.count_grants(), endpoint_grants.count_users()
    settings = current_app.config["SHAMAN"]
    return render_template(
        "admin/endpoints.html", found=found, keyed=keyed, grants=grants, users=users, configured=settings
    )


@blueprint.route("/new-model", methods=["GET", "POST"])
def new_endpoint() -> Answer:
    form = NewEndpointForm()
    if form.validate_on_submit():
        try:
            endpoint_id = rules.add_endpoint(form.draft(form.name.data), actor())
        except Invalid as problem:
            show_problem(form, problem)
        else:
            flash(_("Made. Check it, and say which clients may use it."), "done")
            return redirect(url_for(".endpoint", endpoint_id=endpoint_id), 303)
    page = render_template("admin/new_endpoint.html", form=form)
    return (page, 422) if form.is_submitted() else page


@blueprint.get("/models/<endpoint_id>")
def endpoint(endpoint_id: str) -> str:
    return _page(endpoint_id)


@blueprint.post("/models/<endpoint_id>")
def change_endpoint(endpoint_id: str) -> Answer:
    form = EndpointForm()
    if form.validate():
        seen = int(form.seen.data) if (form.seen.data or "").isdecimal() else 0
        try:
            rules.change_endpoint(endpoint_id, form.draft(""), seen, actor())
        except Invalid as problem:
            show_problem(form, problem)
        except Conflict as problem:
            form.form_errors.append(str(problem.detail))
            return _page(endpoint_id, form=form), problem.status
        else:
            flash(_("Saved. It holds from the next message on."), "done")
            return redirect(url_for(".endpoint", endpoint_id=endpoint_id), 303)
    return _page(endpoint_id, form=form), 422


@blueprint.post("/models/<endpoint_id>/check")
def check_endpoint(endpoint_id: str) -> Response:
    """Ask it what it offers: that takes up to ten seconds, with no transaction open."""
    with across_tenants(writes=False):
        row = rules.find_endpoint(endpoint_id)
        name, asked = row.name, Endpoint(row.base_url, row.api_key, row.model or None)
    found = check(asked)
    with across_tenants():
        record("endpoint.checked", actor(), target=name, detail={"is_good": found.is_good})
    flash(found.words, "done" if found.is_good else "problem")
    return redirect(url_for(".endpoint", endpoint_id=endpoint_id), 303)


@blueprint.post("/models/<endpoint_id>/delete")
def delete_endpoint(endpoint_id: str) -> Response:
    try:
        name = rules.retire_endpoint(endpoint_id, actor())
    except Conflict as problem:
        flash(str(problem.detail), "problem")
        return redirect(url_for(".endpoint", endpoint_id=endpoint_id), 303)
    flash(_("“%(name)s” is given up, and its key is gone.", name=name), "done")
    return redirect(url_for(".endpoints"), 303)


@blueprint.post("/models/<endpoint_id>/clients")
def grant_endpoint(endpoint_id: str) -> Answer:
    form = GrantForm()
    if form.validate():
        try:
            opened = endpoint_grants.grant(endpoint_id, form.slugs(), actor())
        except Invalid as problem:
            show_problem(form, problem)
        else:
            flash(ngettext("Open to %(num)s more client.", "Open to %(num)s more clients.", opened), "done")
            return redirect(url_for(".endpoint", endpoint_id=endpoint_id), 303)
    return _page(endpoint_id, grant=form), 422


@blueprint.post("/models/<endpoint_id>/clients/<slug>/withdraw")
def withdraw_endpoint(endpoint_id: str, slug: str) -> Response:
    endpoint_grants.withdraw(endpoint_id, slug, actor())
    flash(_("Closed to %(slug)s, from its next message on.", slug=slug), "done")
    return redirect(url_for(".endpoint", endpoint_id=endpoint_id), 303)


def _page(endpoint_id: str, form: Any = None, grant: Any = None) -> str:
    with across_tenants(writes=False):
        row, keyed = rules.find_endpoint(endpoint_id), rules.with_key()
        granted = endpoint_grants.grantees(endpoint_id, request.args.get("after", "")[:63], PER_PAGE + 1)
        users = endpoint_grants.count_users().get(row.name, 0)
    if form is None:
        form = EndpointForm(
            formdata=None, base_url=row.base_url, model=row.model, is_for_all=row.is_for_all, no_key=False
        )
    form.seen.data = row.version
    return render_template(
        "admin/endpoint.html",
        endpoint=row,
        has_key=row.id in keyed,
        form=form,
        grant=grant or GrantForm(formdata=None),
        granted=granted[:PER_PAGE],
        onward=granted[PER_PAGE - 1].slug if len(granted) > PER_PAGE else None,
        users=users,
    )
