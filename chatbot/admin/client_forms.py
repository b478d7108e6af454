"""The forms of a client's pages in the admin area."""

from functools import lru_cache
from typing import Any
from zoneinfo import available_timezones

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, DecimalField, Field, HiddenField, IntegerField, SelectField, StringField
from wtforms.validators import DataRequired, Length, NumberRange, Optional, ValidationError

from chatbot.accounts.people import read_email
from chatbot.errors import ShamanError
from chatbot.tenants.fields import MOST

LIMITS = ("messages_per_day", "tokens_per_month", "money_per_month", "chat_rate")


@lru_cache(1)
def _zones() -> list[str]:
    """Zones of places, and UTC: neither the old names nor those that only programs use."""
    return ["UTC", *sorted(zone for zone in available_timezones() if "/" in zone and not zone.startswith("Etc/"))]


def _known(typed: str | None) -> str | None:
    """An e-mail as accounts keep it, where it is one; else as it was typed."""
    return read_email(typed) or typed


class LimitsForm(FlaskForm):
    """What a client may use; an empty field is the platform's own limit."""

    messages_per_day = IntegerField(_l("Messages a day"), [Optional(), NumberRange(0, MOST)])
    tokens_per_month = IntegerField(_l("Words a month"), [Optional(), NumberRange(0, MOST)])
    money_per_month = DecimalField(_l("Money a month"), [Optional(), NumberRange(0, MOST)], places=2)
    chat_rate = StringField(_l("Messages from one address"), [Optional(), Length(max=200)])

    def limits(self) -> dict[str, Any]:
        """The limits as the client document has them, None where the platform's holds."""
        values = {name: self[name].data for name in LIMITS}
        money = values["money_per_month"]
        values["money_per_month"] = None if money is None else str(money)
        values["chat_rate"] = (values["chat_rate"] or "").strip() or None
        return values


class ClientForm(LimitsForm):
    """A client that is there: all of it but its short name, which stays."""

    name = StringField(_l("Name"), [DataRequired(_l("Say what the business is called.")), Length(max=200)])
    anonymous_chat = BooleanField(_l("Anybody may chat, without signing in"))
    time_zone = SelectField(_l("Time zone"), choices=_zones, default="UTC")

    seen = HiddenField()

    def changes(self) -> dict[str, Any]:
        """What `change_client` takes."""
        fields = {name: self[name].data for name in ("name", "anonymous_chat", "time_zone")}
        return {**fields, "limits": self.limits()}

    def with_zone(self, zone: str) -> "ClientForm":
        """The same, knowing one more zone: one that was stored and is in no list must not be lost by saving."""
        if zone not in _zones():
            self.time_zone.choices = [zone, *_zones()]
        return self


class NewClientForm(ClientForm):
    """A client to be made, and whom to invite as its first admin."""

    slug = StringField(
        _l("Short name"),
        [DataRequired(_l("Choose a short name.")), Length(max=63)],
        render_kw={"autocapitalize": "off", "spellcheck": "false"},
    )
    email = StringField(_l("E-mail of its first admin"), [Optional(), Length(max=320)], filters=[_known])

    def validate_email(self, field: Field) -> None:
        if field.data and read_email(field.data) is None:
            raise ValidationError(_l("This is no e-mail address."))


class SuspendForm(FlaskForm):
    reason = StringField(
        _l("Why?"), [DataRequired(_l("Say why, in a few words.")), Length(max=300)], id="suspend-reason"
    )


class EnterForm(FlaskForm):
    reason = StringField(_l("Why?"), [DataRequired(_l("Say why, in a few words.")), Length(max=300)], id="enter-reason")


class DeleteForm(FlaskForm):
    typed = StringField(_l("The client's name"), [DataRequired(_l("Type the client's name."))], id="delete-typed")


def show_problem(form: FlaskForm, problem: ShamanError) -> None:
    """Put what a rule found wrong beside the fields that it names; what it says of none goes to the form's top."""
    named = {name.rpartition(".")[2]: text for name, text in problem.errors.items()}
    for name, text in named.items():
        if name in form:
            form[name].errors = [*form[name].errors, text]
    if not any(name in form for name in named):
        form.form_errors.append(str(problem.detail or problem.title))
