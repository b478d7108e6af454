"""Sources: adding, replacing, finding and deleting them, within the session's tenant.

Adding stores the bytes and enqueues their reading in one transaction. A source with a known name is replaced: its old
passages stay findable until the new ones are there. The same bytes again are not read again.
"""

import hashlib
import re
from collections.abc import Sequence

import orjson
from flask_babel import gettext as _
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from chatbot.db import db
from chatbot.errors import Conflict, Invalid, NotFound, TooLarge, WrongType
from chatbot.jobs import enqueue
from chatbot.knowledge.models import Source
from chatbot.knowledge.parsing import ANSWER, PAIRS, QUESTION, Unreadable, decode, media_type_of, shortened
from chatbot.knowledge.reading import is_awaited
from chatbot.tenancy import now
from chatbot.tenants.models import Tenant

FILE_BYTES = 5 << 20
NAME = 500  # characters
MAX_SOURCES = 10_000  # of one client
ID = re.compile(r"[0-9a-hjkmnp-tv-z]{26}")


def add_file(name: str, content: bytes, media_type: str | None = None) -> Source:
    """Add the file `name`, or replace it. `media_type` counts where the name has no ending.

    Raises WrongType for a kind that can't be read, TooLarge, and Invalid for a bad name or bytes that are no text.
    """
    plain = _checked_name(name)
    kind = media_type_of(plain, media_type)
    if kind is None:
        raise WrongType(_("Markdown, text, HTML and question-and-answer JSON can be read; this is something else."))
    if len(content) > FILE_BYTES:
        raise TooLarge(_("A file may have up to %(size)s MB.", size=FILE_BYTES >> 20))
    try:
        decode(content)
    except Unreadable as error:
        raise Invalid(error.reason, errors={"file": error.reason}) from None
    return _keep(Source(kind="file", name=plain, title=plain, media_type=kind), content)


def add_pair(question: str, answer: str) -> Source:
    """Add a question with its answer, or replace the answer. Raises Invalid, naming the field."""
    return _keep(*pair_source(question, answer))


def pair_source(question: str, answer: str) -> tuple[Source, bytes]:
    """A question with its answer as a source, not yet of any client, and its bytes. Raises Invalid, naming the field."""
    asked, answered = _checked_text("question", question, QUESTION), _checked_text("answer", answer, ANSWER)
    listed = {"question": asked, "answer": answered}
    source = Source(kind="pair", name=pair_name(asked), title=shortened(asked), media_type=PAIRS, listed=listed)
    return source, orjson.dumps(listed)


def pair_name(question: str) -> str:
    """The name of a question's source: however it is written, it is one."""
    return "question: " + shortened(question).casefold()[:480]


def find_source(source_id: str) -> Source:
    """The source of this tenant with that id. Raises NotFound."""
    source: Source | None = db.session.scalar(select(Source).where(Source.id == source_id))
    if source is None:
        raise NotFound
    return source


def list_sources(limit: int, cursor: str | None = None) -> tuple[Sequence[Source], str | None]:
    """Sources, newest first, and the cursor of the next page (None: this is the last). Raises Invalid for a bad cursor."""
    if cursor is not None and not ID.fullmatch(cursor):
        raise Invalid(errors={"cursor": _("This is not a cursor from this list.")})
    query = select(Source).order_by(Source.id.desc()).limit(limit + 1)
    sources = db.session.scalars(query.where(Source.id < cursor) if cursor else query).all()
    return sources[:limit], sources[limit - 1].id if len(sources) > limit else None


def delete_source(source_id: str) -> None:
    """Delete a source with its passages: no answer draws on it from now on. Raises NotFound."""
    db.session.delete(find_source(source_id))
    tenant_id = db.session().tenant_id
    changed = update(Tenant).where(Tenant.id == tenant_id).values(knowledge_version=Tenant.knowledge_version + 1)
    db.session.execute(changed.execution_options(synchronize_session=False))


def _keep(new: Source, content: bytes) -> Source:
    """Store what came and have it read, unless just that is there already."""
    digest = hashlib.sha256(content).hexdigest()
    source: Source | None = db.session.scalar(select(Source).where(Source.name == new.name).with_for_update())
    if source is None:
        _check_room()
        source = new
        db.session.add(source)
    elif source.sha256 == digest and (source.status == "ready" or is_awaited(source.id)):
        return source
    source.kind, source.media_type, source.listed = new.kind, new.media_type, new.listed
    source.content, source.sha256 = content, digest
    source.status, source.reason, source.updated_at = "waiting", None, now()
    try:
        db.session.flush()
    except IntegrityError:
        raise Conflict(_("This was just added by somebody else.")) from None
    enqueue("read_source", source_id=source.id)
    return source


def _check_room() -> None:
    if (db.session.scalar(select(func.count(Source.id))) or 0) >= MAX_SOURCES:
        raise Conflict(_("There are %(number)s sources already. Delete some of them first.", number=MAX_SOURCES))


def _checked_name(name: str) -> str:
    plain = name.strip()
    if not plain or len(plain) > NAME or not plain.isprintable():
        words = _("A file needs a name of at most %(number)s ordinary characters.", number=NAME)
        raise Invalid(words, errors={"file": words})
    return plain


def _checked_text(field: str, text: str, limit: int) -> str:
    plain = text.strip()
    problem = ""
    if not plain:
        problem = _("This can't be empty.")
    elif len(plain) > limit:
        problem = _("This may have up to %(number)s characters.", number=limit)
    elif "\0" in plain or any("\ud800" <= character <= "\udfff" for character in plain):
        problem = _("There is a character in it that is no text.")
    if problem:
        raise Invalid(errors={field: problem})
    return plain
