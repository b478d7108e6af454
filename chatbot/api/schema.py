"""Bodies in, pages out: what every door for programs shares."""

from typing import Any, TypeVar

from flask import request
from flask_babel import gettext as _
from pydantic import BaseModel, ConfigDict, ValidationError
from werkzeug.exceptions import BadRequest as WerkzeugBadRequest

from chatbot.errors import BadRequest, Invalid, WrongType

Model = TypeVar("Model", bound="Body")


class Body(BaseModel):
    """A JSON body: strict types, no unknown fields."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def read_body(model: type[Model]) -> Model:
    """The request's JSON body as `model`. Raises WrongType, BadRequest, or Invalid naming each field."""
    if request.mimetype != "application/json":
        raise WrongType(_("Send JSON, as “Content-Type: application/json”."))
    try:
        document: Any = request.get_json()
    except (WerkzeugBadRequest, RecursionError, ValueError):
        raise BadRequest(_("The body is not valid JSON.")) from None
    try:
        return model.model_validate(document)
    except ValidationError as error:
        fields = {".".join(map(str, item["loc"])) or "body": item["msg"] for item in error.errors(include_url=False)}
        raise Invalid(errors=fields) from None


def page_args(most: int = 100, default: int = 20) -> tuple[int, str | None]:
    """`limit` (clamped to 1…most) and `cursor` of a list. Raises Invalid for a limit that is no number."""
    raw = request.args.get("limit", str(default))
    try:
        limit = int(raw)
    except ValueError:
        raise Invalid(errors={"limit": _("This must be a whole number.")}) from None
    return min(max(1, limit), most), request.args.get("cursor") or None
