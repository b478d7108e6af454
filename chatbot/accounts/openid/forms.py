"""The form of a client's own provider."""

from typing import Any

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, PasswordField, StringField, TextAreaField
from wtforms.validators import DataRequired, Length

from chatbot.accounts.models import IdentityProvider
from chatbot.accounts.openid.client_providers import Entered, pairs

PLAIN = {"autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"}
LINES = PLAIN | {"rows": "3"}
MOST = Length(max=10_000, message=_l("This is too long."))


class ProviderForm(FlaskForm):
    """Lists are written one on each line."""

    issuer = StringField(
        _l("Issuer"), [DataRequired(_l("Write the issuer's address."))], render_kw=PLAIN | {"inputmode": "url"}
    )
    client_id = StringField(
        _l("Client ID"), [DataRequired(_l("Copy the client ID that the provider gave you."))], render_kw=PLAIN
    )
    client_secret = PasswordField(
        _l("Client secret"),
        [Length(max=2000, message=_l("This is too long."))],
        render_kw=PLAIN | {"autocomplete": "new-password"},
    )
    domains = TextAreaField(_l("Domains of your people's e-mail addresses"), [MOST], render_kw=LINES)
    claim = StringField(_l("Claim that tells the role"), [MOST], render_kw=PLAIN)
    admin_values = TextAreaField(_l("Its values for admins"), [MOST], render_kw=LINES)
    staff_values = TextAreaField(_l("Its values for staff"), [MOST], render_kw=LINES)
    user_values = TextAreaField(_l("Its values for users"), [MOST], render_kw=LINES)
    is_required = BooleanField(_l("Our people sign in this way, and no other"))

    @classmethod
    def of(cls, row: IdentityProvider | None) -> "ProviderForm":
        """The form as it was sent, or filled with what is stored; the secret never is."""
        if row is None:
            return cls()
        values: dict[str, Any] = {
            f"{role}_values": "\n".join(value for value, its in row.roles.items() if its == role)
            for role in ("admin", "staff", "user")
        }
        return cls(
            issuer=row.issuer,
            client_id=row.client_id,
            domains="\n".join(row.domains),
            claim=row.claim,
            is_required=row.is_required,
            **values,
        )

    def entered(self) -> Entered:
        by_role = (("admin", self.admin_values), ("staff", self.staff_values), ("user", self.user_values))
        return Entered(
            issuer=self.issuer.data or "",
            client_id=self.client_id.data or "",
            client_secret=self.client_secret.data,
            domains=tuple(_lines((self.domains.data or "").replace(",", "\n"))),
            claim=self.claim.data or "",
            roles=pairs((role, _lines(field.data)) for role, field in by_role),
            is_required=bool(self.is_required.data),
        )

    def tell(self, errors: dict[str, str]) -> None:
        """Put what is wrong beside its fields."""
        for name, words in errors.items():
            self[name].errors = [*self[name].errors, words]


def _lines(text: str | None) -> list[str]:
    return [line.strip() for line in (text or "").splitlines() if line.strip()]
