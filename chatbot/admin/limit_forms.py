"""The forms of what clients inherit."""

from typing import Any

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import (
    BooleanField,
    DecimalField,
    HiddenField,
    IntegerField,
    SelectChoice,
    SelectField,
    StringField,
    TextAreaField,
)
from wtforms.validators import Length, NumberRange, Optional

from chatbot.admin.client_forms import LimitsForm
from chatbot.tenants.inheritance import INHERITED_SETTINGS

LENGTHS = [
    SelectChoice("", _l("As Shaman has it: medium")),
    SelectChoice("short", _l("Short")),
    SelectChoice("medium", _l("Medium")),
    SelectChoice("long", _l("Long")),
]


class DefaultLimitsForm(LimitsForm):
    """The limits that hold where a client has none of its own. `seen` names the state that the form was made from."""

    seen = HiddenField()


class DefaultSettingsForm(FlaskForm):
    """How an assistant speaks and what it asks the model for, where a client hasn't said."""

    seen = HiddenField(id="settings-seen")
    tone = StringField(_l("Tone"), [Optional(), Length(max=300)])
    length = SelectField(_l("Length of its answers"), choices=LENGTHS)
    language = StringField(_l("Language"), [Optional(), Length(max=20)])
    refusal = TextAreaField(_l("When it must not speak about something"), [Optional(), Length(max=4000)])
    unknown = TextAreaField(_l("When it doesn't know"), [Optional(), Length(max=4000)])
    model = StringField(_l("Model"), [Optional(), Length(max=300)])
    temperature = DecimalField(
        _l("How freely it words its answers"), [Optional(), NumberRange(0, 2, _l("Type a number from 0 to 2."))]
    )
    max_tokens = IntegerField(
        _l("Longest answer"), [Optional(), NumberRange(1, 100_000, _l("Type a number from 1 to 100,000."))]
    )
    context_messages = IntegerField(
        _l("Earlier messages it is reminded of"), [Optional(), NumberRange(0, 200, _l("Type a number from 0 to 200."))]
    )

    def document(self) -> dict[str, Any]:
        """What was filled in, as the client document has it."""
        values = {name: self[name].data for name in INHERITED_SETTINGS}
        if values["temperature"] is not None:
            values["temperature"] = float(values["temperature"])
        words = {name: value.strip() if isinstance(value, str) else value for name, value in values.items()}
        return {name: value for name, value in words.items() if value not in (None, "")}


class SecurityForm(FlaskForm):
    requires_second_factor = BooleanField(_l("Platform admins must use a second factor"))
