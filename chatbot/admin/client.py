"""`/admin/clients/<slug>`: one client, everything about it, and what an operator may do with it."""

from decimal import Decimal, InvalidOperation
from typing import Any

from flask import flash, redirect, render_template, session, url_for
from flask_babel import gettext as _
from flask_wtf import FlaskForm
from werkzeug.wrappers import Response

from chatbot.accounts import entering, members
from chatbot.accounts.doors import actor, person
from chatbot.accounts.letters import post_invitation
from chatbot.accounts.models import SignIn
from chatbot.accounts.openid.client_providers import set_provider_required
from chatbot.admin import blueprint
from chatbot.admin.client_forms import (
    LIMITS,
    ClientForm,
    DeleteForm,
    EnterForm,
    NewClientForm,
    SuspendForm,
    show_problem,
)
from chatbot.chat.stopping import stop_all
from chatbot.db import across_tenants, as_tenant
from chatbot.errors import Conflict, Invalid
from chatbot.mail import can_mail
from chatbot.tenants import standing
from chatbot.tenants.clients import change_client, create_client, find_client, version_of
from chatbot.tenants.defaults import platform_defaults
from chatbot.tenants.models import Tenant
from chatbot.tenants.portrait import portray

SHOWN_ONCE = "first_admin_link"
Answer = Response | str | tuple[str, int]


@blueprint.route("/new-client", methods=["GET", "POST"])
def new_client() -> Answer:
    form = NewClientForm()
    if form.validate_on_submit():
        try:
            tenant = create_client(
                form.slug.data.strip(),
                form.name.data,
                by=actor(),
                anonymous_chat=form.anonymous_chat.data,
                time_zone=form.time_zone.data,
                limits={name: value for name, value in form.limits().items() if value is not None},
            )
        except Conflict as taken:
            show_problem(form, Invalid(errors={"slug": str(taken.detail)}))
        except Invalid as problem:
            show_problem(form, problem)
        else:
            flash(_("%(name)s is made.", name=tenant.name), "done")
            if form.email.data:
                _invite_admin(tenant, form.email.data)
            return _to_page(tenant.slug)
    page = render_template("admin/new_client.html", form=form, defaults=platform_defaults().limits)
    return (page, 422) if form.is_submitted() else page


@blueprint.get("/clients/<slug>")
def client(slug: str) -> str:
    return _page(slug)


@blueprint.route("/clients/<slug>/edit", methods=["GET", "POST"])
def edit_client(slug: str) -> Answer:
    with across_tenants(writes=False):
        tenant = find_client(slug)
    form = ClientForm(data=_shown(tenant)).with_zone(tenant.time_zone)
    if form.validate_on_submit():
        try:
            change_client(slug, actor(), seen=form.seen.data, **form.changes())
        except (Invalid, Conflict) as problem:
            show_problem(form, problem)
        else:
            flash(_("Saved."), "done")
            return redirect(url_for(".client", slug=slug), 303)
    page = render_template("admin/edit_client.html", form=form, tenant=tenant, defaults=platform_defaults().limits)
    return (page, 422) if form.is_submitted() else page


@blueprint.post("/clients/<slug>/suspend")
def suspend_client(slug: str) -> Answer:
    form = SuspendForm()
    if not form.validate():
        return _page(slug, suspend=form), 422
    _check_there(slug)
    for tenant_id in standing.suspend([slug], form.reason.data, actor()):
        stop_all(tenant_id)
    flash(_("Suspended: its assistant answers nobody and spends nothing."), "done")
    return _to_page(slug)


@blueprint.post("/clients/<slug>/resume")
def resume_client(slug: str) -> Answer:
    _check_there(slug)
    standing.resume([slug], actor())
    flash(_("Its assistant answers again."), "done")
    return _to_page(slug)


@blueprint.post("/clients/<slug>/delete")
def delete_client(slug: str) -> Answer:
    form = DeleteForm()
    if not form.validate():
        return _page(slug, delete=form), 422
    try:
        tenant_id = standing.delete_client(slug, actor(), form.typed.data)
    except Invalid as problem:
        show_problem(form, problem)
        return _page(slug, delete=form), 422
    stop_all(tenant_id)
    flash(_("Deleted. For seven days you can take that back here."), "done")
    return _to_page(slug)


@blueprint.post("/clients/<slug>/undelete")
def undelete_client(slug: str) -> Answer:
    standing.undelete_client(slug, actor())
    flash(_("It is back, as it was."), "done")
    return _to_page(slug)


@blueprint.post("/clients/<slug>/open")
def open_client(slug: str) -> Answer:
    """The last resort, where a client's own provider is required and broken: other ways of signing in count again."""
    by = actor()
    with across_tenants(writes=False):
        tenant_id = find_client(slug).id
    set_provider_required(tenant_id, False, by)
    flash(_("Its people may sign in in other ways again."), "done")
    return _to_page(slug)


@blueprint.post("/clients/<slug>/enter")
def enter_client(slug: str) -> Answer:
    form = EnterForm()
    if not form.validate():
        return _page(slug, enter=form), 422
    sign_in_id, by = person().sign_in_id, actor()
    with across_tenants():
        entering.enter(sign_in_id, find_client(slug), form.reason.data, by)
    return redirect(url_for("console.overview", slug=slug), 303)


@blueprint.post("/leave")
def leave_client() -> Answer:
    sign_in_id = person().sign_in_id
    with across_tenants():
        entering.leave("they left", SignIn.id == sign_in_id)
    flash(_("You have left the client."), "done")
    return redirect(url_for(".clients"), 303)


def _invite_admin(tenant: Tenant, email: str) -> None:
    """Invite a client's first admin: by mail or, where none can be sent, with a link that the operator is shown once."""
    by = actor()
    inviter = person().name or by.who
    with as_tenant(tenant.id):
        link = members.invite(email, "admin", by)
        if can_mail():
            post_invitation(email, tenant.name, inviter, link)
    if can_mail():
        flash(_("An invitation is on its way to %(email)s. It is good for 7 days.", email=email), "done")
    else:
        session[SHOWN_ONCE] = [tenant.id, email, link]


def _page(slug: str, **forms: FlaskForm) -> str:
    empty = {"suspend": SuspendForm, "delete": DeleteForm, "enter": EnterForm}
    with across_tenants(writes=False):
        portrait = portray(slug)
    shown = {name: forms.get(name) or form(formdata=None) for name, form in empty.items()}
    kept = session.pop(SHOWN_ONCE, None)
    return render_template(
        "admin/client.html",
        client=portrait,
        wrong=next(iter(forms.values()), None),
        fresh_link=kept[1:] if kept and kept[0] == portrait.tenant.id else None,
        **shown,
    )


def _shown(tenant: Tenant) -> dict[str, Any]:
    own = {name: value for name, value in tenant.limits.items() if name in LIMITS}
    return {
        **own,
        "money_per_month": _amount(own.get("money_per_month")),
        "name": tenant.name,
        "anonymous_chat": tenant.anonymous_chat,
        "time_zone": tenant.time_zone,
        "seen": version_of(tenant),
    }


def _amount(stored: Any) -> Decimal | None:
    """Money as stored, for its field; None for what is no amount."""
    try:
        amount = Decimal(str(stored))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None


def _check_there(slug: str) -> None:
    """Raise NotFound for a client that is not there: those who suspend many pass over it, here it is the one meant."""
    with across_tenants(writes=False):
        find_client(slug)


def _to_page(slug: str) -> Response:
    return redirect(url_for(".client", slug=slug), 303)
