"""`/link/<secret>`: what a one-time link will do, and the form that does it. Looking at it uses nothing up."""

from flask import make_response, redirect, render_template, session, url_for
from flask_login import current_user
from flask_wtf import FlaskForm
from werkzeug.wrappers import Response as AnyResponse

from chatbot.accounts.forms import FirstAdminForm, InvitationForm, NewPasswordForm
from chatbot.accounts.joining import join, join_anew, make_first_admin
from chatbot.accounts.links import FIRST_ADMIN, RESET, Link, find_link
from chatbot.accounts.openid.providers import buttons
from chatbot.accounts.own import reset_password
from chatbot.accounts.passwords import hash_password, weakness
from chatbot.accounts.people import NewAccount, read_email
from chatbot.accounts.places import asks_for_provider
from chatbot.accounts.routes import answer, blueprint, let_in
from chatbot.errors import Conflict, NotFound, ShamanError, Unavailable
from chatbot.security import caller_address
from chatbot.tenants.doors import reads_only


@blueprint.get("/link/<secret>")
def link(secret: str) -> AnyResponse:
    found = find_link(secret)
    if found is None:
        return _dead()
    if found.kind == FIRST_ADMIN:
        return _page("first_admin", found, FirstAdminForm(formdata=None))
    if found.kind == RESET:
        return _page("reset", found, NewPasswordForm(formdata=None))
    if _owner_is_here(found):
        return _page("accept", found, FlaskForm(formdata=None))
    session["invitation"] = found.id  # for whoever goes on to a provider now
    return _page("invitation", found, InvitationForm(formdata=None))


@blueprint.post("/link/<secret>")
def use_link(secret: str) -> AnyResponse:
    reads_only()
    found = find_link(secret)
    if found is None:
        return _dead()
    try:
        if found.kind == FIRST_ADMIN:
            return _make_first_admin(secret, found, FirstAdminForm())
        if found.kind == RESET:
            return _reset(secret, found, NewPasswordForm())
        return _join(secret, found)
    except NotFound:  # used in the meantime
        return _dead()


def _make_first_admin(secret: str, found: Link, form: FirstAdminForm) -> AnyResponse:
    if not form.validate() or _is_weak(form, (form.email.data, form.name.data)):
        return _page("first_admin", found, form, 422)
    try:
        hashed = hash_password(form.password.data)
        new = NewAccount(read_email(form.email.data) or "", form.name.data, hashed, is_platform_admin=True)
        return let_in(make_first_admin(secret, new, caller_address()))
    except (Conflict, Unavailable) as error:
        return _page("first_admin", found, form, error.status, error)


def _reset(secret: str, found: Link, form: NewPasswordForm) -> AnyResponse:
    if not form.validate() or _is_weak(form, (found.email, found.account_name)):
        return _page("reset", found, form, 422)
    try:
        hashed = hash_password(form.password.data)
    except Unavailable as error:
        return _page("reset", found, form, error.status, error)
    return let_in(reset_password(secret, hashed, caller_address()))


def _join(secret: str, found: Link) -> AnyResponse:
    if _owner_is_here(found):
        join(secret, current_user.account_id, caller_address())
        return redirect(_goal(found), 303)
    form = InvitationForm()
    if found.account_id is not None or current_user.is_authenticated:  # the page says what to do first
        return _page("invitation", found, InvitationForm(formdata=None), 409)
    if not form.validate() or _is_weak(form, (found.email, form.name.data, found.tenant_name)):
        return _page("invitation", found, form, 422)
    try:
        hashed = hash_password(form.password.data)
        return let_in(join_anew(secret, form.name.data, hashed, caller_address()), _goal(found))
    except (Conflict, Unavailable) as error:
        return _page("invitation", found, form, error.status, error)


def _owner_is_here(found: Link) -> bool:
    """Whether the account that was invited is signed in here, by itself and not by a client's own provider."""
    if not current_user.is_authenticated or current_user.confined_to is not None:
        return False
    return bool(current_user.account_id == found.account_id)


def _goal(found: Link) -> str:
    """Where a new member begins; what this way of signing in doesn't open is said at home."""
    if asks_for_provider(found.tenant_id or ""):
        return url_for("home.index")
    return f"/console/{found.tenant_slug}" if found.role != "user" else url_for("chat.page", slug=found.tenant_slug)


def _is_weak(form: NewPasswordForm | InvitationForm, about: tuple[str | None, ...]) -> bool:
    reason = weakness(form.password.data, filter(None, about))
    if reason:
        form.password.errors = [reason]
    return reason is not None


def _page(
    name: str, found: Link, form: FlaskForm, status: int = 200, problem: ShamanError | None = None
) -> AnyResponse:
    page = render_template(
        f"accounts/link_{name}.html",
        link=found,
        form=form,
        buttons=buttons(found.email, None) if name == "invitation" else [],
        problem=problem.problem() if problem else None,
    )
    return _keep_secret(answer(page, status, problem))


def _dead() -> AnyResponse:
    """The same for a link that is used or over, and for one that never was."""
    return _keep_secret(make_response(render_template("accounts/dead_link.html"), 404))


def _keep_secret(response: AnyResponse) -> AnyResponse:
    response.headers["Referrer-Policy"] = "strict-origin"  # the address is the secret
    return response
