"""The form of an account to be made."""

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, StringField
from wtforms.validators import DataRequired, Length, Optional


class NewAccountForm(FlaskForm):
    email = StringField(_l("E-mail"), [DataRequired(_l("Type an e-mail address.")), Length(max=320)])
    name = StringField(_l("Name"), [Optional(), Length(max=200)])
    is_platform_admin = BooleanField(_l("An admin of the platform"))
