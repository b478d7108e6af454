"""One sign-in with a provider, from the moment somebody sets out until the provider vouches for them.

Authorization code with PKCE (S256), state and nonce. What was begun is kept by the browser, signed (`Flow.sealed`): each
flow in a cookie of its own, so several tabs may be on their way at once.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import structlog
from authlib.integrations.requests_client import OAuth2Session
from flask import current_app
from flask_babel import lazy_gettext as _l
from itsdangerous import BadSignature, URLSafeTimedSerializer

from chatbot.accounts.openid.calls import Description, describe, keys_for, place_for
from chatbot.accounts.openid.errors import FlowLost, odd_answer, stopped, unbelieved
from chatbot.accounts.openid.id_tokens import Expected, check_id_token, is_issuer
from chatbot.accounts.openid.providers import SignInProvider
from chatbot.accounts.openid.tokens import add_userinfo, exchange
from chatbot.outbound import OutboundRefused
from chatbot.outbound.addresses import read_address

log = structlog.get_logger(__name__)

LIFE = 600  # seconds from setting out to coming back
SCOPE = "openid email profile"
BACKDATED = 300.0  # Microsoft dates its tokens back, in case our clock is slow


@dataclass(frozen=True, slots=True)
class Flow:
    """What a browser keeps of a sign-in that it began. `goal` is the path to go to then.

    `invitation` is the id of the invitation that was opened in it. `linking` is the id of the sign-in whose account
    the provider is to be linked to; without it somebody signs in.
    """

    provider: str
    state: str
    nonce: str
    verifier: str
    begun_at: float
    goal: str | None = None
    invitation: str | None = None
    linking: str | None = None

    def sealed(self) -> str:
        return str(_serializer().dumps(asdict(self)))


@dataclass(frozen=True, slots=True)
class Vouched:
    """Whom a provider vouches for: `issuer` and `subject` are the person, the rest is what it says about them.

    `is_verified` is whether it says, in so many words, that the e-mail is theirs.
    """

    issuer: str
    subject: str
    email: str
    is_verified: bool
    name: str
    claims: Mapping[str, Any]


def _serializer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current_app.config["SHAMAN"].SECRET_KEY, salt="sign-in flow")


def label_of(state: str) -> str:
    """By what a flow is found, without telling its state: for the name of its cookie, and for counting."""
    return hashlib.sha256(state.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def open_flow(sealed: str | None, state: str, provider: SignInProvider) -> Flow:
    """The flow that an answer with `state` belongs to. Raises FlowLost when this provider was not asked in it."""
    try:
        flow = Flow(**_serializer().loads(sealed or "", max_age=LIFE))
    except (BadSignature, TypeError):
        raise FlowLost() from None
    if not hmac.compare_digest(flow.state.encode(), state.encode("utf-8", "surrogatepass")):
        raise FlowLost()
    if flow.provider != provider.place:
        raise FlowLost()
    return flow


def begun_at(sealed: str) -> float:
    """When what a browser keeps was begun (Unix time); 0 for what is no flow, or over."""
    try:
        return float(_serializer().loads(sealed, max_age=LIFE)["begun_at"])
    except (BadSignature, TypeError, KeyError, ValueError):
        return 0.0


def begin(
    provider: SignInProvider,
    redirect_uri: str,
    *,
    goal: str | None = None,
    invitation: str | None = None,
    linking: str | None = None,
) -> tuple[str, Flow]:
    """Where to send the browser, and what it is to keep. Raises ProviderTrouble. Holds no transaction."""
    with place_for(provider) as deadline:
        description = describe(provider, deadline)
    check_sign_in_page(provider, description)
    flow = Flow(
        provider=provider.place,
        state=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        verifier=secrets.token_urlsafe(48),
        begun_at=time.time(),
        goal=goal,
        invitation=invitation,
        linking=linking,
    )
    caller = OAuth2Session(provider.client_id, scope=SCOPE, redirect_uri=redirect_uri, code_challenge_method="S256")
    address, _state = caller.create_authorization_url(
        description.authorization_endpoint, state=flow.state, code_verifier=flow.verifier, nonce=flow.nonce
    )
    return str(address), flow


def check_sign_in_page(provider: SignInProvider, description: Description) -> None:
    """Raises ProviderTrouble when browsers can't be sent where the provider wants them."""
    try:
        read_address(description.authorization_endpoint, provider.is_https)
    except OutboundRefused:
        raise odd_answer(provider.label, _l("its sign-in page has an address that can't be used")) from None


def finish(provider: SignInProvider, flow: Flow, answer: Mapping[str, str], redirect_uri: str) -> Vouched:
    """Whom the provider's `answer` (the callback's query) vouches for. Raises SignInProblem. Holds no transaction."""
    with place_for(provider) as deadline:
        description = describe(provider, deadline)
        _check_sender(provider, description, answer.get("iss"))
        if answer.get("error") or not answer.get("code"):
            log.info("sign-in stopped", provider=provider.name)
            raise stopped(provider.label)
        token = exchange(provider, description, answer["code"], flow.verifier, redirect_uri, deadline)
        claims = check_id_token(
            token.get("id_token"),
            token.get("access_token"),
            _expected(provider, description, flow),
            lambda kid: keys_for(provider, description, kid, deadline),
        )
        claims = add_userinfo(provider, description, token, claims, deadline)
    return _vouched(claims)


def _check_sender(provider: SignInProvider, description: Description, said: str | None) -> None:
    """Whether the answer is this provider's, where providers say whose it is (RFC 9207)."""
    if said is None:
        if description.authorization_response_iss_parameter_supported:
            raise unbelieved(provider.label, "the answer doesn't say whose it is, though this provider's do")
    elif "{" not in description.issuer and not is_issuer(said, description.issuer):
        raise unbelieved(provider.label, "the answer is another provider's")


def _expected(provider: SignInProvider, description: Description, flow: Flow) -> Expected:
    return Expected(
        label=provider.label,
        issuer=description.issuer,
        client_id=provider.client_id,
        nonce=flow.nonce,
        begun_at=flow.begun_at,
        backdated=BACKDATED if provider.is_microsoft else 0.0,
    )


def _vouched(claims: Mapping[str, Any]) -> Vouched:
    return Vouched(
        issuer=claims["iss"],
        subject=claims["sub"],
        email=_words(claims.get("email"), 320),
        is_verified=claims.get("email_verified") is True,
        name=_words(claims.get("name"), 200),
        claims=claims,
    )


def _words(value: Any, longest: int) -> str:
    """A text as it may be stored and shown: nothing invisible in it."""
    text = value if isinstance(value, str) else ""
    return "".join(sign for sign in " ".join(text.split()) if sign.isprintable())[:longest]
