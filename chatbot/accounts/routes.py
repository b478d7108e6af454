"""`/login`, `/logout`, `/forgot`: signing in with a password, and where providers and passkeys are found."""

import hashlib

from flask import Blueprint, current_app, make_response, redirect, render_template, request, url_for
from flask_babel import get_locale
from flask_babel import gettext as _
from flask_login import current_user
from itsdangerous import BadSignature, URLSafeSerializer
from werkzeug.wrappers import Response as AnyResponse

from chatbot import mail
from chatbot.accounts.attempts import Known, try_password
from chatbot.accounts.doors import admit, safe_path, sign_out
from chatbot.accounts.forms import ForgotForm, SignInForm
from chatbot.accounts.letters import ask_for_reset_mail
from chatbot.accounts.models import Account
from chatbot.accounts.openid.providers import Button, buttons
from chatbot.accounts.people import read_email
from chatbot.config import Settings
from chatbot.db import db
from chatbot.errors import RateLimited, ShamanError, Unavailable
from chatbot.security import caller_address, cookie_name
from chatbot.tenancy import new_id
from chatbot.tenants.doors import may_write, reads_only
from chatbot.usage.rates import count_call

blueprint = Blueprint("accounts", __name__)
ADDRESS_ASKS = "20 per 15 minutes"  # how often one address may ask for a reset mail
EMAIL_ASKS = "5 per 30 minutes"  # how many go to one e-mail; each is good for as long
YEAR = 365 * 24 * 3600
MOST_KNOWN = 5  # accounts that one browser is known for


@blueprint.get("/login")
def login() -> AnyResponse:
    goal = request.args.get("next")
    if current_user.is_authenticated:
        return redirect(safe_path(goal) or url_for("home.index"), 303)
    return _login_page(SignInForm(formdata=None, email=request.args.get("email", "")[:320], next=safe_path(goal)))


@blueprint.post("/login")
def sign_in() -> AnyResponse:
    reads_only()
    form = SignInForm()
    email, password = form.email.data or "", form.password.data or ""
    if email and not password and _client_buttons(form):
        return _login_page(form)  # the e-mail leads to a client's own provider: its button is there now
    if not form.validate():
        return _login_page(form, status=422)
    try:
        account = try_password(email, password, caller_address(), known_browser())
    except (RateLimited, Unavailable) as error:
        return _login_page(form, status=error.status, problem=error)
    if account is None:
        form.form_errors.append(_("This e-mail and this password don't belong together."))
        return _login_page(form, status=422)
    return let_in(account, form.next.data)


@blueprint.post("/logout")
def logout() -> AnyResponse:
    sign_out()
    return redirect(safe_path(request.form.get("next")) or url_for(".login"), 303)


def _login_page(form: SignInForm, status: int = 200, problem: ShamanError | None = None) -> AnyResponse:
    goal = safe_path(form.next.data)
    form.next.data = goal or ""
    email = (form.email.data or "").strip()
    page = render_template(
        "accounts/login.html",
        form=form,
        buttons=buttons(email or None, goal),
        clients=_client_buttons(form),
        problem=problem.problem() if problem else None,
    )
    return answer(page, status, problem)


def _client_buttons(form: SignInForm) -> list[Button]:
    """The buttons of clients' own providers, to which the typed e-mail leads."""
    goal = safe_path(form.next.data)
    known = {button.url for button in buttons(None, goal)}
    return [button for button in buttons((form.email.data or "").strip() or None, goal) if button.url not in known]


def answer(page: str, status: int, problem: ShamanError | None = None) -> AnyResponse:
    """A page with its status; one that says when to try again says so to programs too."""
    response: AnyResponse = make_response(page, status)
    if problem is not None and problem.retry_after is not None:
        response.headers["Retry-After"] = str(problem.retry_after)
    return response


# --- a new password by mail ------------------------------------------------------------------------------------------


@blueprint.get("/forgot")
def forgot() -> str:
    return _forgot_page(ForgotForm(formdata=None, email=request.args.get("email", "")[:320]))


@blueprint.post("/forgot")
def ask_for_reset() -> AnyResponse:
    reads_only()
    form = ForgotForm()
    if not mail.can_mail():
        return answer(_forgot_page(form), 200)
    if not form.validate():
        return answer(_forgot_page(form), 422)
    wait = count_call(ADDRESS_ASKS, "forgot-address", caller_address())
    if wait is not None:
        problem = RateLimited(_("Many links were asked for from here. Please try again later."), retry_after=wait)
        return answer(_forgot_page(form, problem), 429, problem)
    email = read_email(form.email.data) or ""
    digest = hashlib.sha256(email.encode()).hexdigest()
    if (
        count_call(EMAIL_ASKS, "forgot-email", digest) is None
    ):  # the same words beyond it, and the links sent before hold
        may_write()
        ask_for_reset_mail(email, str(get_locale() or ""))
        db.session.commit()
    return answer(render_template("accounts/forgot_sent.html", email=email), 200)


def _forgot_page(form: ForgotForm, problem: ShamanError | None = None) -> str:
    return render_template(
        "accounts/forgot.html",
        form=form,
        can_mail=mail.can_mail(),
        problem=problem.problem() if problem else None,
    )


# --- the browser in which somebody has signed in before -----------------------------------------------------------------


def let_in(account: Account, goal: str | None = None) -> AnyResponse:
    """Let in whoever proved to be `account` with a password or a link; their browser is known from now on."""
    may_write()
    return _remember(admit(account, goal=goal), account.id)


def known_browser() -> Known:
    """What this browser's cookie says, which we signed."""
    try:
        name, accounts = _signer().loads(request.cookies.get(_cookie(), ""))
        return Known(str(name), tuple(map(str, accounts)))
    except (BadSignature, TypeError, ValueError):
        return Known()


def _remember(response: AnyResponse, account_id: str) -> AnyResponse:
    settings: Settings = current_app.config["SHAMAN"]
    known = known_browser()
    accounts = [account_id, *(other for other in known.accounts if other != account_id)]
    response.set_cookie(
        _cookie(),
        str(_signer().dumps([known.browser or new_id(), accounts[:MOST_KNOWN]])),
        max_age=YEAR,
        path="/",
        secure=settings.is_https,
        httponly=True,
        samesite="Lax",
    )
    return response


def _cookie() -> str:
    return cookie_name("known", current_app.config["SHAMAN"])


def _signer() -> URLSafeSerializer:
    return URLSafeSerializer(current_app.secret_key or "", salt="known-browser")
