"""The calls that an answered sign-in leads to: the code for tokens, and what the provider tells of the person besides."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus

import structlog
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from requests import HTTPError
from requests.auth import HTTPBasicAuth

from chatbot.accounts.openid.calls import Deadline, Description, get_json, plainly
from chatbot.accounts.openid.errors import ProviderTrouble, odd_answer, unbelieved, unreachable
from chatbot.accounts.openid.providers import SignInProvider
from chatbot.outbound.sessions import guard

log = structlog.get_logger(__name__)

KNOWN_ERRORS = ("invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type")


def exchange(
    provider: SignInProvider, description: Description, code: str, verifier: str, redirect_uri: str, deadline: Deadline
) -> dict[str, Any]:
    """The provider's tokens for `code`. Raises ProviderTrouble; AnswerRefused when it doesn't know the code."""
    try:
        with plainly(provider, deadline):
            return _ask(provider, description, code, verifier, redirect_uri, deadline)
    except OAuthError as error:
        known = error.error if error.error in KNOWN_ERRORS else "another"  # what else it writes is not repeated
        log.warning("sign-in refused by the provider", provider=provider.name, error=known)
        if known in ("invalid_client", "unauthorized_client"):
            raise ProviderTrouble(
                unreachable(provider.label, "").detail, why="the provider doesn't accept the client id or the secret"
            ) from None
        raise unbelieved(provider.label, "the provider doesn't accept the code") from None
    except HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        raise unreachable(provider.label, f"the token endpoint answers with status {status}") from None
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise odd_answer(provider.label, "the token endpoint answers with something other than JSON") from None


def _ask(
    provider: SignInProvider, description: Description, code: str, verifier: str, redirect_uri: str, deadline: Deadline
) -> dict[str, Any]:
    ways = description.token_endpoint_auth_methods_supported
    is_in_form = (
        "client_secret_post" in ways and "client_secret_basic" not in ways
    )  # the latter is what one gets unasked
    by_header = HTTPBasicAuth(quote_plus(provider.client_id), quote_plus(provider.client_secret))
    session = OAuth2Session(
        provider.client_id,
        provider.client_secret,
        token_endpoint_auth_method="client_secret_post",  # noqa: S106  no secret, a way of sending it
    )
    seconds = deadline.left(provider)
    with guard(session, seconds=seconds, https_only=provider.is_https, allow=provider.allow) as caller:
        return dict(
            caller.fetch_token(
                description.token_endpoint,
                grant_type="authorization_code",
                code=code,
                redirect_uri=redirect_uri,
                code_verifier=verifier,
                auth=None if is_in_form else by_header,
            )
        )


def add_userinfo(
    provider: SignInProvider,
    description: Description,
    token: Mapping[str, Any],
    claims: dict[str, Any],
    deadline: Deadline,
) -> dict[str, Any]:
    """The ID token's claims, and where they lack what is asked for, those of the userinfo endpoint about the same person."""
    lacks_role = bool(provider.claim) and claim_of(claims, provider.claim) is None
    if not description.userinfo_endpoint or (claims.get("email") and not lacks_role):
        return claims
    access_token = token.get("access_token")
    if not isinstance(access_token, str) or not access_token.isascii() or not access_token.isprintable():
        raise odd_answer(provider.label, "there is no access token")
    further = get_json(provider, description.userinfo_endpoint, deadline, Authorization=f"Bearer {access_token}")
    if further.get("sub") != claims["sub"]:
        raise unbelieved(provider.label, "the userinfo endpoint speaks of somebody else")
    if claims.get("email"):
        return further | claims
    mail = {name: further.get(name) for name in ("email", "email_verified")}  # whoever says one says the other
    return further | claims | mail


def claim_of(claims: Mapping[str, Any], path: str) -> Any:
    """A claim by its name; where there is none of that name, by the way to it, dots between: realm_access.roles."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def accepts_secret(
    provider: SignInProvider, description: Description, redirect_uri: str, deadline: Deadline
) -> bool | None:
    """Whether the provider takes the client id and secret, asked with a code that is none; None when it doesn't tell."""
    try:
        with plainly(provider, deadline):
            _ask(provider, description, "a-code-that-is-none", "v" * 43, redirect_uri, deadline)
    except OAuthError as error:
        return {"invalid_client": False, "unauthorized_client": False, "invalid_grant": True}.get(error.error)
    except (HTTPError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None
    return None
