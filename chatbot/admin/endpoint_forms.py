"""The forms of a model endpoint."""

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, HiddenField, PasswordField, StringField, TextAreaField
from wtforms.validators import DataRequired, Length, Optional

from chatbot.tenants.endpoints import EndpointDraft

PLAIN = {"autocapitalize": "off", "spellcheck": "false", "autocomplete": "off"}


class EndpointForm(FlaskForm):
    """An endpoint that is there. The key is only ever written: left empty it stays as it is."""

    seen = HiddenField()  # the version that was changed
    base_url = StringField(_l("Address"), [DataRequired(_l("Type the address.")), Length(max=500)], render_kw=PLAIN)
    key = PasswordField(_l("Key"), [Optional(), Length(max=500)], render_kw={"autocomplete": "new-password"})
    no_key = BooleanField(_l("It needs no key"))
    model = StringField(_l("Its model"), [Optional(), Length(max=200)], render_kw=PLAIN)
    is_for_all = BooleanField(_l("Every client may use it"))

    def draft(self, name: str) -> EndpointDraft:
        """What was filled in, for the endpoint called `name`."""
        key = "" if self.no_key.data else self.key.data or None
        return EndpointDraft(name, self.base_url.data, key, self.model.data or "", self.is_for_all.data)


class NewEndpointForm(EndpointForm):
    name = StringField(_l("Name"), [DataRequired(_l("Give it a name.")), Length(max=40)], render_kw=PLAIN)


class GrantForm(FlaskForm):
    """Clients by their short names, with commas, spaces or line ends between them."""

    clients = TextAreaField(
        _l("Clients"), [DataRequired(_l("Name a client.")), Length(max=70_000)], render_kw={"rows": 2, **PLAIN}
    )

    def slugs(self) -> list[str]:
        return sorted({word.lower() for word in self.clients.data.replace(",", " ").split()})
