"""The forms of sign-in, of links, of one's own account and of a client's team."""

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, HiddenField, PasswordField, RadioField, SelectChoice, StringField
from wtforms.validators import InputRequired, Length, Optional, ValidationError

from chatbot.accounts.passwords import LONGEST
from chatbot.accounts.people import LONGEST_NAME, read_email
from chatbot.rights import RANKS

ROLE_NAMES = {"user": _l("User"), "staff": _l("Staff"), "admin": _l("Admin")}
ROLE_WORDS = {
    "user": _l("User: may chat"),
    "staff": _l("Staff: reads conversations and corrects answers"),
    "admin": _l("Admin: may do everything, people and settings too"),
}
ROLE_CHOICES = [SelectChoice(role, ROLE_WORDS[role]) for role in RANKS]


def _is_email(form: FlaskForm, field: StringField) -> None:
    if read_email(field.data) is None:
        raise ValidationError(str(_l("Write an e-mail like name@example.com.")))


class SignInForm(FlaskForm):
    """`next` is the path that somebody wanted to go to."""

    email = StringField(_l("Email"), [InputRequired(_l("Type your e-mail.")), Length(max=320)])
    password = PasswordField(_l("Password"), [InputRequired(_l("Type your password."))])
    next = HiddenField(validators=[Optional()])


class ForgotForm(FlaskForm):
    email = StringField(_l("Email"), [InputRequired(_l("Type your e-mail.")), Length(max=320), _is_email])


class NewPasswordForm(FlaskForm):
    password = PasswordField(_l("New password"), [InputRequired(_l("Type a new password.")), Length(max=4 * LONGEST)])


class InvitationForm(FlaskForm):
    name = StringField(_l("Your name"), [InputRequired(_l("Type your name.")), Length(max=LONGEST_NAME)])
    password = PasswordField(_l("Password"), [InputRequired(_l("Type a password.")), Length(max=4 * LONGEST)])


class FirstAdminForm(InvitationForm):
    email = StringField(_l("Email"), [InputRequired(_l("Type your e-mail.")), Length(max=320), _is_email])


class NameForm(FlaskForm):
    name = StringField(_l("Name"), [InputRequired(_l("Type your name.")), Length(max=LONGEST_NAME)])


class ChangePasswordForm(NewPasswordForm):
    current = PasswordField(_l("Current password"), [InputRequired(_l("Type the password that you have now."))])


class InviteForm(FlaskForm):
    email = StringField(_l("Email"), [InputRequired(_l("Type their e-mail.")), Length(max=320), _is_email])
    role = RadioField(_l("Role"), choices=ROLE_CHOICES, default="staff")


class RoleForm(FlaskForm):
    role = RadioField(_l("Role"), choices=ROLE_CHOICES)


class SecondFactorForm(FlaskForm):
    requires_second_factor = BooleanField(_l("People here must use a second factor"))
