"""The settings that shape an assistant's answers: the `settings` of the client document.

`AssistantSettings` is the one shape for forms, import, export and the API. What a client leaves out is inherited from
the platform's defaults, so a stored document holds only what was set. An unknown field is refused by name.
"""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from flask_babel import gettext as _
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from chatbot.errors import Invalid

Line = Annotated[str, StringConstraints(max_length=300)]
Words = Annotated[str, StringConstraints(max_length=4000)]
LongWords = Annotated[str, StringConstraints(max_length=20_000)]
MOST_ERRORS = 20
Colour = Annotated[str, StringConstraints(pattern=r"^#[0-9a-fA-F]{6}$")]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class UserTemplate(Part):
    when: Line
    text: Words


class Term(Part):
    term: Line
    say: Line | None = None
    avoid: bool = False


class Disclaimer(Part):
    topic: Line
    text: Words


class Phrases(Part):
    opening: Words = ""
    closing: Words = ""
    disclaimers: list[Disclaimer] = Field(default=[], max_length=100)


class Prohibited(Part):
    topic: Line | None = None
    phrase: Line | None = None
    refusal: Words | None = None


class Contact(Part):
    email: Line | None = None
    phone: Line | None = None
    link: Line | None = None
    hours: Line | None = None


class Look(Part):
    colour: Colour = "#1f5f8b"
    avatar: str | None = None
    corner: Annotated[str, StringConstraints(pattern="^(left|right)$")] = "right"
    font_size: int = Field(default=16, ge=12, le=24)


def _endpoint_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or not value.isprintable() or " " in value:
        raise ValueError(_("Write a whole address, like “https://models.example.com/v1”."))
    if parts.username is not None or parts.password is not None:
        raise ValueError(_("A password has no place in an address."))
    return value


class MissingSecret(Part):
    """Where a secret belongs. It is in no document: whoever imports one is asked for it."""

    secret: Literal["missing"]


class Endpoint(Part):
    base_url: Annotated[str, StringConstraints(max_length=500), AfterValidator(_endpoint_address)] | None = None
    key: MissingSecret | None = None


class AssistantSettings(Part):
    """Everything a client may set. Temperatures are 0–2, `max_tokens` and `context_messages` are counts."""

    greeting: Words = ""
    suggested_questions: list[Line] = Field(default=[], max_length=8)
    language: Annotated[str, StringConstraints(max_length=20)] = "auto"
    tone: Line = "friendly"
    length: Annotated[str, StringConstraints(pattern="^(short|medium|long)$")] = "medium"
    instructions: LongWords = ""
    user_template: Words = "{message}"
    user_templates: list[UserTemplate] = Field(default=[], max_length=100)
    vocabulary: list[Term] = Field(default=[], max_length=500)
    phrases: Phrases = Phrases()
    prohibited: list[Prohibited] = Field(default=[], max_length=200)
    refusal: Words = ""
    unknown: Words = ""
    contact: Contact = Contact()
    look: Look = Look()
    model: Line | None = None
    endpoint: Endpoint | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=None, ge=1, le=100_000)
    context_messages: int | None = Field(default=None, ge=0, le=200)


def parse_settings(document: dict[str, Any]) -> AssistantSettings:
    """The settings in `document`. Raises Invalid, naming each field that cannot be used."""
    try:
        return AssistantSettings.model_validate(document)
    except ValidationError as error:
        raise Invalid(errors=named_errors(error)) from None


def named_errors(error: ValidationError) -> dict[str, str]:
    """What is wrong, by field (`look.colour`): the first twenty, for a caller that sends thousands gets no answer of megabytes."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[:MOST_ERRORS]
    named = {".".join(map(str, item["loc"]))[:100]: item["msg"] for item in first}
    return {name or "body": text.removeprefix("Value error, ") for name, text in named.items()}
