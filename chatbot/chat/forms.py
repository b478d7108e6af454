"""The forms of the chat page."""

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import HiddenField, TextAreaField


class MessageForm(FlaskForm):
    """A message. `name` is the browser's own name for it; what it may hold is checked where every door checks."""

    message = TextAreaField(_l("Message"))
    session_id = HiddenField()
    name = HiddenField()


class NameForm(FlaskForm):
    """A button that must not act twice."""

    name = HiddenField()


class ChoiceForm(FlaskForm):
    """Start fresh, or load an earlier conversation."""

    choice = HiddenField()
    session_id = HiddenField()
