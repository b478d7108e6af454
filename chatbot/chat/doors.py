"""Who is chatting: the browser of a signed cookie, or a signed-in account; and how often an address may ask."""

from dataclasses import dataclass

from flask import Flask, Response, current_app, g, request
from flask_babel import gettext as _
from flask_login import current_user
from itsdangerous import BadSignature, URLSafeSerializer

from chatbot.accounts.doors import life
from chatbot.accounts.sign_ins import role_of
from chatbot.chat.readers import Reader
from chatbot.config import Settings
from chatbot.errors import Forbidden, RateLimited, Unauthorized
from chatbot.security import caller_address, cookie_name
from chatbot.tenancy import new_id
from chatbot.tenants.doors import Entered
from chatbot.usage.rates import count_call

YEAR = 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Browser:
    """The browser of a request. `is_new` when it sent no cookie of ours: one goes out with the answer."""

    id: str
    is_new: bool


def visitor_subject(tenant: Entered) -> str:
    """Who chats on a page. Where not everybody may, Unauthorized asks people to sign in, Forbidden refuses a stranger."""
    if current_user.is_authenticated:
        if not tenant.anonymous_chat and role_of(current_user, tenant.id) is None:
            raise Forbidden(_("This assistant is for its own people, and your account is not one of theirs."))
        return f"account:{current_user.account_id}"
    if not tenant.anonymous_chat:
        raise Unauthorized(_("This assistant is for people who have signed in."))
    return f"browser:{_browser().id}"


def reader(tenant: Entered) -> Reader:
    """Whoever this request is from, to be asked again while its stream lasts."""
    caller = g.get("caller")
    cookie = current_user.get_id() if caller is None and current_user.is_authenticated else None
    return Reader(tenant.id, caller.key_id if caller else None, cookie, life())


def _browser() -> Browser:
    if "browser" not in g:
        g.browser = _read_cookie() or Browser(new_id(), is_new=True)
    return g.browser  # type: ignore[no-any-return]


def _read_cookie() -> Browser | None:
    try:
        value = _signer().loads(request.cookies.get(_name(), ""))
    except BadSignature:
        return None
    return Browser(value, is_new=False) if isinstance(value, str) and len(value) == 26 else None


def remember_browser(response: Response) -> Response:
    """Give a browser that has none its cookie, after a request that asked who it is and was not refused."""
    browser: Browser | None = g.get("browser")
    if browser is not None and browser.is_new and (response.status_code < 400 or "has_stored" in g):
        settings: Settings = current_app.config["SHAMAN"]
        response.set_cookie(
            _name(),
            str(_signer().dumps(browser.id)),
            max_age=YEAR,
            httponly=True,
            secure=settings.is_https,
            samesite="Lax",
            path="/",
        )
        response.headers["Cache-Control"] = "no-store"
    return response


def keep_browser() -> None:
    """Give the browser its cookie whatever the answer says: what it asked is stored, and the cookie leads there."""
    g.has_stored = True


def _name() -> str:
    return cookie_name("visitor", current_app.config["SHAMAN"])


def _signer() -> URLSafeSerializer:
    return URLSafeSerializer(current_app.secret_key or "", salt="visitor")


def init_chat_doors(app: Flask) -> None:
    app.after_request(remember_browser)


def check_rate(tenant: Entered) -> None:
    """Count a chat call of this address. Raises RateLimited with the seconds to wait."""
    settings: Settings = current_app.config["SHAMAN"]
    rate = tenant.chat_rate or settings.CHAT_RATE_LIMIT
    wait = count_call(rate, "chat", f"{tenant.id}:{caller_address()}")
    if wait is not None:
        words = _("You have sent several messages in a short time. Please wait %(n)s seconds.", n=round(wait))
        raise RateLimited(words, retry_after=wait)
