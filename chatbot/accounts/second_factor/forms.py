"""The forms of the second factor."""

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import HiddenField, PasswordField, StringField
from wtforms.validators import DataRequired, Length


class CodeForm(FlaskForm):
    """A code from an authenticator app."""

    code = StringField(
        _l("Code from your app"),
        [DataRequired(_l("Type the six digits that your app shows.")), Length(max=40)],
        render_kw={"inputmode": "numeric", "autocomplete": "one-time-code", "autocapitalize": "off"},
    )


class RecoveryForm(FlaskForm):
    """One of the codes that were written down."""

    recovery_code = StringField(
        _l("Recovery code"),
        [DataRequired(_l("Type one of the recovery codes that you wrote down.")), Length(max=80)],
        render_kw={"autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"},
    )


class PasskeyForm(FlaskForm):
    """What a browser says for a passkey, as script fills it in."""

    credential = HiddenField()


class NewPasskeyForm(PasskeyForm):
    """A passkey that was just made, and what its owner calls it."""

    name = StringField(
        _l("Name of the new passkey"),
        [DataRequired(_l("Give it a name, like “my phone”.")), Length(max=100)],
        render_kw={"autocomplete": "off"},
    )


class PasskeyNameForm(FlaskForm):
    """Another name for a passkey."""

    name = StringField(_l("Name"), [DataRequired(_l("Give it a name, like “my phone”.")), Length(max=100)])


class PasswordAgainForm(FlaskForm):
    """The password of whoever is signed in."""

    password = PasswordField(
        _l("Password"),
        [DataRequired(_l("Type your password.")), Length(max=1000)],
        render_kw={"autocomplete": "current-password"},
    )
