"""OpenID Connect providers that people sign in with: the operator's own (OAUTH_<NAME>_…), and one a client."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import idna
from flask import current_app, url_for
from flask_babel import gettext as _
from sqlalchemy import String, cast, select

from chatbot.accounts.models import IdentityProvider
from chatbot.config import Settings
from chatbot.db import across_tenants
from chatbot.errors import NotFound
from chatbot.oauth_settings import WELL_KNOWN, ProviderSettings, is_loopback
from chatbot.tenants.models import Tenant

LONGEST_DOMAIN = 253  # characters
MOST_BUTTONS = 8  # of clients: any client may list any domain
MICROSOFT = ("login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn")


@dataclass(frozen=True, slots=True)
class SignInProvider:
    """One provider as plain values. `name` stands in its addresses: google, or client/<slug> for a client's own.

    `tenant_id` is the client whose own it is: what it says counts there and nowhere else. `allow` is what the guarded
    way out may reach for it although it lies inside; None: OUTBOUND_ALLOW alone.
    """

    name: str
    label: str
    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    tenant_id: str | None = None
    claim: str = ""
    roles: Mapping[str, str] = field(default_factory=dict)
    allow: tuple[str, ...] | None = None

    @property
    def discovery_url(self) -> str:
        return self.issuer.removesuffix("/") + WELL_KNOWN

    @property
    def is_https(self) -> bool:
        """Whether every leg must be: always, but for a provider on this very machine."""
        parts = urlsplit(self.issuer)
        return not (parts.scheme == "http" and is_loopback(parts.hostname or ""))

    @property
    def is_microsoft(self) -> bool:
        return urlsplit(self.issuer).hostname in MICROSOFT

    @property
    def place(self) -> str:
        """What is kept of it is kept under this: no two clients share an answer, though the issuer be the same."""
        return f"{self.tenant_id or ''} {self.issuer}"


@dataclass(frozen=True, slots=True)
class Button:
    """A way in on the sign-in page: a link, never followed by itself."""

    label: str
    url: str


def platform_providers() -> list[SignInProvider]:
    """The operator's providers, as configured."""
    settings: Settings = current_app.config["SHAMAN"]
    return [_of_platform(one, settings) for one in settings.sign_in_providers.values()]


def platform_provider(name: str) -> SignInProvider:
    """The operator's provider called `name`. Raises NotFound."""
    for provider in platform_providers():
        if provider.name == name:
            return provider
    raise NotFound()


def label_of_issuer(issuer: str) -> str | None:
    """What the operator's provider that names itself `issuer` is called here; None when it is not set up any more."""
    for provider in platform_providers():
        if is_same_provider(issuer, provider):
            return provider.label
    return None


def is_same_provider(said: str, provider: SignInProvider) -> bool:
    """Whether an issuer is the operator's provider. Microsoft has one for every directory, at one host."""
    if provider.is_microsoft:
        return said.split("/")[:3] == provider.issuer.split("/")[:3]
    return said.removesuffix("/") == provider.issuer.removesuffix("/")


def _of_platform(one: ProviderSettings, settings: Settings) -> SignInProvider:
    issuer = one.discovery_url.removesuffix(WELL_KNOWN)
    parts = urlsplit(issuer)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return SignInProvider(
        name=one.name,
        label=one.name.replace("_", " ").title(),
        issuer=issuer,
        client_id=one.client_id,
        client_secret=one.client_secret,
        allow=(*settings.OUTBOUND_ALLOW, f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"),
    )


def client_provider(slug: str) -> SignInProvider:
    """The own provider of the client called `slug`. Raises NotFound: the same for no client and for no provider."""
    asked = (
        select(IdentityProvider, Tenant)
        .join(Tenant, Tenant.id == IdentityProvider.tenant_id)
        .where(Tenant.slug == slug, Tenant.deleted_at.is_(None))
    )
    with across_tenants(writes=False) as session:
        row = session.execute(asked).first()
    if row is None:
        raise NotFound()
    return of_client(row.IdentityProvider, row.Tenant.slug, row.Tenant.name)


def of_client(row: IdentityProvider, slug: str, name: str) -> SignInProvider:
    return SignInProvider(
        name=f"client/{slug}",
        label=name,
        issuer=row.issuer,
        client_id=row.client_id,
        client_secret=row.client_secret or "",
        tenant_id=row.tenant_id,
        claim=row.claim,
        roles=dict(row.roles),
    )


def buttons(email: str | None, next_path: str | None) -> list[Button]:
    """The providers to offer on the sign-in page: the operator's, and those of clients that list the e-mail's domain.

    A label names the client, for a client may list any domain. Takes no transaction of the caller's.
    """
    found = [
        Button(
            _("Sign in with %(name)s", name=one.label), url_for("oauth.begin", provider_name=one.name, next=next_path)
        )
        for one in platform_providers()
    ]
    domain = domain_of(email or "")
    if not domain:
        return found
    return found + [
        Button(_("Sign in with %(name)s", name=name), url_for("oauth.begin_at_client", slug=slug, next=next_path))
        for slug, name in _clients_of(domain)
    ]


def domain_of(email: str) -> str:
    """The domain of an e-mail as it is stored: lower case, foreign letters as ASCII; empty for what has none."""
    domain = email.rpartition("@")[2].strip().lower() if "@" in email else ""
    if len(domain) > LONGEST_DOMAIN:
        return ""
    try:
        return domain if domain.isascii() else idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        return ""


def _clients_of(domain: str) -> list[tuple[str, str]]:
    """Slug and name of each client that lists `domain`."""
    listed = cast(IdentityProvider.domains, String).contains(f'"{domain}"', autoescape=True)
    asked = (
        select(Tenant.slug, Tenant.name, IdentityProvider.domains)
        .join(Tenant, Tenant.id == IdentityProvider.tenant_id)
        .where(listed, Tenant.deleted_at.is_(None))
        .order_by(Tenant.name, Tenant.slug)
        .limit(MOST_BUTTONS)
    )
    with across_tenants(writes=False) as session:
        rows = session.execute(asked).all()
    return [(row.slug, row.name) for row in rows if domain in row.domains]
