"""The client document: the one shape of a client for export, import and the admin API.

What is left out is not touched where the client is there, and inherited where it is made. Within `settings` and
`limits`, null gives a field back to the platform's defaults. An unknown field is refused by name, a secret is never in
it: `{secret: missing}` marks its place. There are no ids in it: a client is known by its short name, a person by the
e-mail, a source by its address, its question or its file's name.
"""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from email_validator import EmailNotValidError, validate_email
from flask_babel import gettext as _
from pydantic import AfterValidator, Field, StringConstraints, model_validator

from chatbot.accounts.models import ROLES
from chatbot.accounts.openid.client_providers import DOMAIN, MOST_DOMAINS, MOST_VALUES, PUBLIC_MAIL
from chatbot.knowledge.models import ADDRESS
from chatbot.knowledge.parsing import ANSWER, QUESTION, web_address
from chatbot.knowledge.sources import NAME
from chatbot.oauth_settings import WELL_KNOWN, is_loopback
from chatbot.tenants.clients import SLUG
from chatbot.tenants.fields import ClientFields
from chatbot.tenants.settings import AssistantSettings, MissingSecret, Part

MOST_PEOPLE, MOST_SOURCES = 10_000, 10_000
# In this order they are written. `template` is asked for once, when the client is made.
FIELDS = (
    "slug",
    "name",
    "status",
    "anonymous_chat",
    "requires_second_factor",
    "time_zone",
    "sites",
    "limits",
    "settings",
    "endpoints",
    "identity_provider",
    "knowledge",
    "people",
)


def _slug(value: str) -> str:
    if not SLUG.fullmatch(value):
        raise ValueError(_("A client's short name has only the letters a to z, digits and hyphens."))
    return value


def _plain(value: str) -> str:
    plain = value.strip()
    if not plain or not plain.isprintable():
        raise ValueError(_("This is one line of ordinary characters."))
    return plain


def _email(value: str) -> str:
    try:
        return validate_email(value, check_deliverability=False).normalized.lower()
    except EmailNotValidError:
        raise ValueError(_("This is no e-mail address.")) from None


def _role(value: str) -> str:
    if value not in ROLES:
        raise ValueError(_("A role is admin, staff or user."))
    return value


def _page(value: str) -> str:
    if web_address(value) is None:
        raise ValueError(_("Write a whole address, like “https://www.example.com/menu”."))
    parts = urlsplit(value)
    if parts.username is not None or parts.password is not None:
        raise ValueError(_("A password has no place in an address."))
    return value


def _issuer(value: str) -> str:
    parts = urlsplit(_page(value))
    is_safe = parts.scheme == "https" or is_loopback(parts.hostname or "")
    if not is_safe or parts.query or parts.fragment:
        raise ValueError(_("Write the issuer's whole address, like “https://login.example.com”."))
    return value.removesuffix(WELL_KNOWN)


def _domain(value: str) -> str:
    domain = value.strip().lower()
    if not DOMAIN.fullmatch(domain):
        raise ValueError(_("Write a domain like “example.com”."))
    if domain in PUBLIC_MAIL:
        raise ValueError(_("This domain is everybody's. List those of the client's own e-mail addresses."))
    return domain


Slug = Annotated[str, StringConstraints(max_length=63), AfterValidator(_slug)]
Role = Annotated[str, AfterValidator(_role)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class PersonOf(Part):
    """Somebody who belongs to the client, and as what."""

    email: Annotated[str, StringConstraints(max_length=320), AfterValidator(_email)]
    role: Role


class Listed(Part):
    """A source of knowledge: a page, a question with its answer, or a file, whose content is not in the document."""

    url: Annotated[str, StringConstraints(max_length=ADDRESS), AfterValidator(_page)] | None = None
    every: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,2}[hd]$")] | None = None
    question: Annotated[Text, StringConstraints(max_length=QUESTION)] | None = None
    answer: Annotated[Text, StringConstraints(max_length=ANSWER)] | None = None
    file: Annotated[str, StringConstraints(max_length=NAME), AfterValidator(_plain)] | None = None
    missing: Literal[True] | None = None

    @model_validator(mode="after")
    def _one_of_three(self) -> "Listed":
        given = self.model_fields_set - {name for name in self.model_fields_set if getattr(self, name) is None}
        if given not in ({"url"}, {"url", "every"}, {"question", "answer"}, {"file", "missing"}):
            raise ValueError(
                _(
                    "A source is {url, every}, {question, answer}, or {file, missing: true} for a file, which is uploaded."
                )
            )
        if self.file is not None and ("://" in self.file or self.file.startswith("question: ")):
            raise ValueError(_("This is no file's name."))
        return self


class Provider(Part):
    """The client's own identity provider; its secret is never here."""

    issuer: Annotated[str, StringConstraints(max_length=500), AfterValidator(_issuer)]
    client_id: Annotated[str, StringConstraints(max_length=255), AfterValidator(_plain)]
    client_secret: MissingSecret | None = None
    domains: list[Annotated[str, StringConstraints(max_length=253), AfterValidator(_domain)]] = Field(
        default=[], max_length=MOST_DOMAINS
    )
    required: bool = False
    claim: Annotated[str, StringConstraints(max_length=100)] = ""
    roles: dict[Annotated[str, StringConstraints(max_length=200)], Role] = Field(default={}, max_length=MOST_VALUES)


class ClientDocument(ClientFields):
    """One client. Only its short name must be there; a client that is made needs a name too."""

    slug: Slug
    name: Annotated[str, StringConstraints(max_length=200), AfterValidator(_plain)] | None = None
    template: Slug | None = None
    requires_second_factor: bool = False
    settings: AssistantSettings = AssistantSettings()
    endpoints: list[Annotated[str, StringConstraints(max_length=40), AfterValidator(_plain)]] = Field(
        default=[], max_length=100
    )
    identity_provider: Provider | None = None
    knowledge: list[Listed] = Field(default=[], max_length=MOST_SOURCES)
    people: list[PersonOf] = Field(default=[], max_length=MOST_PEOPLE)
