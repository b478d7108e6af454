"""A client's own fields of the client document: who may chat, where, and how much."""

import re
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from flask_babel import gettext as _
from pydantic import AfterValidator, Field, StringConstraints, ValidationError

from chatbot.errors import Invalid
from chatbot.tenants.settings import Part, named_errors
from chatbot.usage.rates import is_rate

SITE = re.compile(r"https?://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[0-9]{1,5})?")  # it becomes a word of a header
MOST = 10**15


@lru_cache(1000)
def is_time_zone(name: str) -> bool:
    """Whether `name` is a zone of the IANA database, like Europe/Berlin."""
    try:
        return bool(ZoneInfo(name))
    except (KeyError, ValueError, OSError):
        return False


def zone_or_utc(name: str) -> str:
    """`name`, or UTC in the place of one that is no zone: what was stored wrong stops nobody."""
    return name if is_time_zone(name) else "UTC"


def _rate(value: str) -> str:
    if not is_rate(value):
        raise ValueError(_("Write it like “5 per minute”."))
    return value


def _time_zone(value: str) -> str:
    if not is_time_zone(value):
        raise ValueError(_("Write it like “Europe/Berlin”."))
    return value


def _site(value: str) -> str:
    site = value.strip().lower().removesuffix("/")
    if not SITE.fullmatch(site):
        raise ValueError(_("Write it like “https://www.example.com”."))
    return site


Rate = Annotated[str, StringConstraints(max_length=200), AfterValidator(_rate)]
Zone = Annotated[str, StringConstraints(max_length=64), AfterValidator(_time_zone)]
Site = Annotated[str, StringConstraints(max_length=300), AfterValidator(_site)]
Count = Annotated[int, Field(ge=0, le=MOST)]


class ClientLimits(Part):
    """A client's caps: counts, money as a decimal string, and calls per address. What is left out has no cap."""

    messages_per_day: Count | None = None
    tokens_per_month: Count | None = None
    money_per_month: Annotated[Decimal, Field(ge=0, le=MOST, decimal_places=6)] | None = None
    chat_rate: Rate | None = None


class ClientFields(Part):
    """What a client has beside its names and its assistant's settings."""

    status: Literal["active", "suspended"] = "active"
    anonymous_chat: bool = False
    time_zone: Zone = "UTC"
    sites: list[Site] = Field(default=[], max_length=100)
    limits: ClientLimits = ClientLimits()


def parse_fields(given: dict[str, Any]) -> dict[str, Any]:
    """`given` checked, as it is stored. Raises Invalid, naming each field that can't be used."""
    try:
        return ClientFields.model_validate(given).model_dump(mode="json", exclude_unset=True)
    except ValidationError as error:
        raise Invalid(errors=named_errors(error)) from None
