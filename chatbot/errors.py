"""One family of errors, one shape on the wire.

    ShamanError
    ├── Invalid (422)       values that fail validation; `errors` per field
    ├── Unauthorized (401)  ├── Forbidden (403)   ├── NotFound (404)   ├── Conflict (409)
    ├── TooLarge (413)      ├── WrongType (415)
    ├── Limited (429)       RateLimited, QuotaReached
    ├── ModelError (502)    ModelRefused, ModelBroken, ModelBusy (503), ModelTimeout (504)
    ├── MailFailed (502)    ├── SecretUnreadable (500)
    ├── OutboundRefused (422), OutboundFailed (502)   (chatbot/outbound)
    └── Unavailable (503)   StorageFull (507)

JSON callers read RFC 9457 problem documents, people read `errors/page.html`.
"""

from typing import Any

from flask_babel import lazy_gettext as _l

Text = Any  # str, or a lazy string that is translated where it is shown


class ShamanError(Exception):
    """Anything that ends a request or a turn with words for the caller.

    `detail` is shown to people, so it never holds a secret or another's words.
    """

    status = 500
    kind = "error"
    title: Text = _l("Something went wrong")

    def __init__(
        self, detail: Text = "", *, errors: dict[str, str] | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(str(self.kind))
        self.detail = detail
        self.errors = errors or {}
        self.retry_after = None if retry_after is None else max(1, round(retry_after))

    def problem(self) -> dict[str, Any]:
        """The problem document (RFC 9457): type, title, status, detail, and errors or retry_after where there are any."""
        document: dict[str, Any] = {
            "type": f"urn:shaman:{self.kind}",
            "title": str(self.title),
            "status": self.status,
            "detail": str(self.detail or self.title),
        }
        if self.errors:
            document["errors"] = {field: str(text) for field, text in self.errors.items()}
        if self.retry_after is not None:
            document["retry_after"] = self.retry_after
        return document


class Invalid(ShamanError):
    status, kind, title = 422, "invalid", _l("Some of this can't be used as it is")


class BadRequest(ShamanError):
    status, kind, title = 400, "bad-request", _l("This request can't be read")


class Unauthorized(ShamanError):
    status, kind, title = 401, "unauthorized", _l("A valid key is needed")


class Forbidden(ShamanError):
    status, kind, title = 403, "forbidden", _l("This is not allowed")


class NotFound(ShamanError):
    status, kind, title = 404, "not-found", _l("There is nothing here")


class Conflict(ShamanError):
    status, kind, title = 409, "conflict", _l("This was changed in the meantime")


class TooLarge(ShamanError):
    status, kind, title = 413, "too-large", _l("This is too large")


class WrongType(ShamanError):
    status, kind, title = 415, "wrong-type", _l("This kind of content can't be read")


class Limited(ShamanError):
    status, kind, title = 429, "limited", _l("That was a little fast")


class RateLimited(Limited):
    kind = "rate-limit"


class QuotaReached(Limited):
    kind, title = "quota", _l("The assistant has reached its limit")


class ModelError(ShamanError):
    """The language model failed. `status` is what a caller who has been sent nothing yet gets."""

    status, kind, title = 502, "model", _l("The assistant could not answer")


class ModelRefused(ModelError):
    kind = "model-refused"


class ModelBroken(ModelError):
    kind = "model-broken"


class ModelBusy(ModelError):
    status, kind = 503, "model-busy"


class ModelTimeout(ModelError):
    status, kind = 504, "model-timeout"


class MailFailed(ShamanError):
    """A mail was not handed over. `is_final`: the mail server will not take it later either."""

    status, kind, title = 502, "mail", _l("The mail could not be sent")
    is_final = False


class SecretUnreadable(ShamanError):
    kind, title = "secret", _l("A secret kept here can't be opened with this installation's ENCRYPTION_KEYS")


class Unavailable(ShamanError):
    status, kind, title = 503, "unavailable", _l("This can't be done just now")


class StorageFull(Unavailable):
    status, kind, title = 507, "storage-full", _l("There is no room to store this")
