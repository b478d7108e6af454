"""A client's own provider: what its admins enter, and whether it can be used."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from flask_babel import gettext as _
from sqlalchemy import delete, select

from chatbot.accounts.models import Account, Identity, IdentityProvider, Membership, SignIn
from chatbot.accounts.openid.providers import domain_of
from chatbot.audit import Actor, record
from chatbot.db import across_tenants, db
from chatbot.errors import Invalid, NotFound, Text
from chatbot.oauth_settings import WELL_KNOWN, is_loopback
from chatbot.outbound import OutboundRefused, check_address
from chatbot.rights import RANKS
from chatbot.tenants.models import Tenant

MOST_DOMAINS, MOST_VALUES = 50, 50
DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
# Everybody's: who lists one would stand on the sign-in page of half the world.
PUBLIC_MAIL = frozenset(
    "gmail.com googlemail.com outlook.com hotmail.com live.com msn.com yahoo.com icloud.com me.com aol.com gmx.com gmx.de"
    " gmx.net web.de mail.com mail.ru yandex.ru proton.me protonmail.com qq.com 163.com t-online.de".split()
)


@dataclass(frozen=True, slots=True)
class Entered:
    """What an admin entered. `client_secret` None keeps the one that is stored."""

    issuer: str
    client_id: str
    client_secret: str | None
    domains: tuple[str, ...] = ()
    claim: str = ""
    roles: tuple[tuple[str, str], ...] = ()  # value of the claim, role
    is_required: bool = False


def tidy(entered: Entered) -> Entered:
    """`entered` in the form that it is stored in. Looks up the issuer's name, so holds no transaction.

    Raises Invalid, its `errors` by field.
    """
    errors: dict[str, str] = {}
    issuer = entered.issuer.strip().removesuffix(WELL_KNOWN)
    if problem := _issuer_problem(issuer):
        errors["issuer"] = problem
    client_id = entered.client_id.strip()
    if not 0 < len(client_id) <= 255:
        errors["client_id"] = _("Copy the client ID that the provider gave you.")
    domains = tuple(dict.fromkeys(domain_of(f"@{text.lstrip('@')}") for text in entered.domains))
    if problem := _domains_problem(domains):
        errors["domains"] = problem
    claim = entered.claim.strip()
    if problem := _roles_problem(claim, [value for value, _role in entered.roles]):
        errors["claim"] = problem
    if errors:
        raise Invalid(errors=errors)
    secret = (entered.client_secret or "").strip() or None
    return replace(entered, issuer=issuer, client_id=client_id, client_secret=secret, domains=domains, claim=claim)


def _issuer_problem(issuer: str) -> Text | None:
    try:
        parts = urlsplit(issuer)
        is_here = parts.scheme == "http" and is_loopback(parts.hostname or "")
        if len(issuer) > 500 or parts.query or parts.fragment:
            return _("Write the issuer's whole address, like https://login.example.com.")
        check_address(issuer.removesuffix("/") + WELL_KNOWN, https_only=not is_here)
    except ValueError:
        return _("Write the issuer's whole address, like https://login.example.com.")
    except OutboundRefused as error:
        return error.detail
    return None


def _domains_problem(domains: tuple[str, ...]) -> Text | None:
    for domain in domains:
        if not DOMAIN.fullmatch(domain) or len(domain) > 253:
            return _("Write domains like example.com, one on each line.")
        if domain in PUBLIC_MAIL:
            return _("%(domain)s is everybody's. List the domains of your own e-mail addresses.", domain=domain)
    return _("These are too many.") if len(domains) > MOST_DOMAINS else None


def _roles_problem(claim: str, values: list[str]) -> Text | None:
    if bool(claim) != bool(values):
        return _("Name the claim and at least one of its values, or leave both empty.")
    if len(claim) > 100 or len(values) > MOST_VALUES or any(len(value) > 200 for value in values):
        return _("This is too long.")
    if len(set(values)) < len(values):
        return _("Each value stands for one role.")
    return None


def pairs(by_role: Iterable[tuple[str, Iterable[str]]]) -> tuple[tuple[str, str], ...]:
    """(value, role) of all the values of each role."""
    return tuple((value, role) for role, values in by_role if role in RANKS for value in values)


# --- within the session's transaction, in the client -----------------------------------------------------------------


def find_provider() -> IdentityProvider | None:
    """The own provider of the client that the session has entered."""
    found: IdentityProvider | None = db.session.scalar(select(IdentityProvider))
    return found


def save_provider(entered: Entered, tenant: Tenant, by: Actor, *, is_proven: bool) -> IdentityProvider:
    """Store what `tidy` made, in the session's client. `is_proven`: whoever saves it came in by this very provider.

    Another issuer ends the sign-ins that the old one vouched for. Raises Invalid, its `errors` by field.
    """
    row = find_provider()
    is_new = row is None
    row = row or IdentityProvider()
    is_another = row.issuer != entered.issuer
    if entered.client_secret is None and (is_another or not row.client_secret):
        words = _("Enter the secret that belongs to this issuer. The one that is kept never goes to another.")
        raise Invalid(errors={"client_secret": words})
    if entered.is_required and not (row.is_required and not is_another):
        _check_may_require(tenant.id, entered.issuer, is_proven)
    if is_another and not is_new:
        _end_sign_ins(tenant.id)
    row.issuer, row.client_id = entered.issuer, entered.client_id
    row.client_secret = entered.client_secret or row.client_secret
    row.domains, row.claim, row.roles = list(entered.domains), entered.claim, dict(entered.roles)
    row.is_required = entered.is_required
    db.session.add(row)
    db.session.flush()
    detail = {
        "issuer": row.issuer,
        "domains": row.domains,
        "required": row.is_required,
        "claim": row.claim,
        "roles": row.roles,
        "secret": "changed" if entered.client_secret else "kept",
    }
    _record("provider.saved", tenant, by, row.issuer, detail)
    return row


def remove_provider(tenant: Tenant, by: Actor) -> None:
    """Remove the client's provider; whoever came in by it is signed out. Raises NotFound."""
    row = find_provider()
    if row is None:
        raise NotFound()
    _end_sign_ins(tenant.id)
    _record("provider.removed", tenant, by, row.issuer, {})
    db.session.delete(row)
    db.session.flush()


def _check_may_require(tenant_id: str, issuer: str, is_proven: bool) -> None:
    """Nobody locks a client's people, and themselves, out by a provider that nobody has come in by."""
    if not is_proven or not _has_admin_by(tenant_id, issuer):
        words = _("First sign in with this provider yourself, as an admin. Then come back and require it.")
        raise Invalid(errors={"is_required": words})


def _has_admin_by(tenant_id: str, issuer: str) -> bool:
    proven = (
        select(Identity.id)
        .join(Account, Account.id == Identity.account_id)
        .join(Membership, Membership.account_id == Account.id)
        .where(
            Identity.provider_of == tenant_id,
            Identity.issuer == issuer,
            Account.is_enabled,
            Membership.tenant_id == tenant_id,
            Membership.role == "admin",
        )
    )
    return db.session.scalar(proven.limit(1)) is not None


def _end_sign_ins(tenant_id: str) -> None:
    db.session.execute(delete(SignIn).where(SignIn.confined_to == tenant_id))


def _record(action: str, tenant: Tenant, by: Actor, target: str, detail: dict[str, object]) -> None:
    record(action, by, target=target, tenant_id=tenant.id, tenant_slug=tenant.slug, detail=detail)


# --- the last resort -------------------------------------------------------------------------------------------------


def set_provider_required(tenant_id: str, value: bool, by: Actor) -> None:
    """Whether a client's people must come by its own provider: for admins of the platform, when nobody comes in.

    Runs in a transaction of its own. Raises NotFound without a provider, Invalid as long as no admin came in by it.
    """
    with across_tenants() as session:
        row = session.scalar(select(IdentityProvider).where(IdentityProvider.tenant_id == tenant_id))
        tenant = session.get(Tenant, tenant_id)
        if row is None or tenant is None:
            raise NotFound()
        if value:
            _check_may_require(tenant_id, row.issuer, True)
        row.is_required = value
        _record("provider.required" if value else "provider.not-required", tenant, by, row.issuer, {})
