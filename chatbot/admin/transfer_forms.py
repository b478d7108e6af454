"""The forms of bulk transfer."""

import base64
import binascii
import re
import zlib

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from flask_wtf.file import FileField
from wtforms import HiddenField, SelectField, StringField, TextAreaField
from wtforms.validators import Length

from chatbot.errors import BadRequest
from chatbot.tenants.transfer.reading import FILE_BYTES, READERS

FORMS = {"yaml": "YAML", "json": "JSON"}


class ExportForm(FlaskForm):
    """Which clients to take along; none named: all."""

    clients = StringField(_l("Which clients?"), [Length(max=20_000)], render_kw={"autocapitalize": "off"})
    form = SelectField(_l("As"), choices=FORMS)

    def slugs(self, chosen: list[str]) -> list[str] | None:
        """The short names that were typed, and those that were chosen in a list; None for all."""
        return [*chosen, *filter(None, re.split(r"[\s,;]+", self.clients.data or ""))] or None


class ImportForm(FlaskForm):
    """A file, or its text, and the template of new clients."""

    file = FileField(_l("File"))
    document = TextAreaField(_l("Or paste it here"), render_kw={"rows": 8, "spellcheck": "false", "dir": "ltr"})
    template = StringField(_l("Begin new clients from"), [Length(max=63)], render_kw={"autocapitalize": "off"})

    def content(self) -> tuple[bytes, str]:
        """The bytes that came, and the file's name ("" for pasted text). A browser's ends of lines are those of a text."""
        if self.file.data:
            return self.file.data.read(FILE_BYTES + 1), self.file.data.filename or ""
        return (self.document.data or "").replace("\r\n", "\n").encode("utf-8", "surrogatepass"), ""


class ApplyForm(FlaskForm):
    """A plan that somebody looked at: the document comes with it again, for nothing is kept in between."""

    packed = HiddenField()
    kind = HiddenField()
    fingerprint = HiddenField()
    template = HiddenField()

    def content(self) -> bytes:
        """The document. Raises BadRequest for a form that this page did not write."""
        if self.kind.data not in READERS:
            raise BadRequest()
        try:
            return _unpacked(base64.b64decode(self.packed.data or "", validate=True))
        except (binascii.Error, zlib.error, ValueError):
            raise BadRequest() from None


def packed(content: bytes) -> str:
    """A document as a hidden field carries it."""
    return base64.b64encode(zlib.compress(content, 6)).decode()


def _unpacked(given: bytes) -> bytes:
    reader = zlib.decompressobj()
    content = reader.decompress(given, FILE_BYTES + 1)
    if not reader.eof:
        raise ValueError("cut off, or larger than any document")
    return content
