"""Bodies in, pages out: what every door for programs shares."""

from collections.abc import Iterable
from typing import Any, TypeVar

from flask import request
from flask_babel import gettext as _
from pydantic import BaseModel, ConfigDict, ValidationError
from werkzeug.exceptions import BadRequest as WerkzeugBadRequest

from chatbot.errors import BadRequest, Invalid, WrongType
from chatbot.tenants.doors import take_body
from chatbot.tenants.settings import MOST_ERRORS, named_errors

Model = TypeVar("Model", bound="Body")


class Body(BaseModel):
    """A JSON body: strict types, no unknown fields."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def read_body(model: type[Model]) -> Model:
    """The request's JSON body as `model`. Raises WrongType, BadRequest, TooLarge, or Invalid naming each field."""
    if request.mimetype != "application/json":
        raise WrongType(_("Send JSON, as “Content-Type: application/json”."))
    take_body()
    try:
        document: Any = request.get_json()
    except (WerkzeugBadRequest, RecursionError, ValueError):
        raise BadRequest(_("The body is not valid JSON.")) from None
    if isinstance(document, dict):
        refuse_unknown(document.keys() - model.model_fields.keys())
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise Invalid(errors=named_errors(error)) from None


def refuse_unknown(names: Iterable[str]) -> None:
    """Raise Invalid for fields that nobody knows, naming the first twenty. (pydantic makes an error of 1 KB for each.)"""
    unknown = sorted(names)[:MOST_ERRORS]
    if unknown:
        raise Invalid(errors={name[:100]: _("This field is not known.") for name in unknown})


def page_args(most: int = 100, default: int = 20) -> tuple[int, str | None]:
    """`limit` (clamped to 1…most) and `cursor` of a list. Raises Invalid for a limit that is no number."""
    raw = request.args.get("limit", str(default))
    try:
        limit = int(raw)
    except ValueError:
        raise Invalid(errors={"limit": _("This must be a whole number.")}) from None
    return min(max(1, limit), most), request.args.get("cursor") or None
