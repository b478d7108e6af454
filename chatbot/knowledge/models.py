"""A client's sources and the passages cut from them."""

from datetime import datetime
from typing import Any

from sqlalchemy import DDL, JSON, ForeignKeyConstraint, Index, LargeBinary, String, Text, UniqueConstraint, event
from sqlalchemy.orm import Mapped, mapped_column

from chatbot.tenancy import TenantModel, now

STATES = ("waiting", "reading", "ready", "failed")
TITLE, ADDRESS = 500, 2000  # characters kept


class Source(TenantModel):
    """A file, a page or a question-answer pair. `name` tells it apart within the client: adding it again replaces it.

    `content` keeps the bytes as they came until they have been read; `status` is one of STATES. `edition` names the
    reading whose passages are shown. `listed` is what a client document says of it, for a page or a pair.
    """

    __tablename__ = "source"
    has_children = True
    kind: Mapped[str] = mapped_column(String(10))  # file, page, pair
    name: Mapped[str] = mapped_column(String(500))
    title: Mapped[str] = mapped_column(String(TITLE))
    url: Mapped[str | None] = mapped_column(String(ADDRESS))
    media_type: Mapped[str] = mapped_column(String(100))
    content: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    sha256: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(10), default="waiting")
    reason: Mapped[str | None] = mapped_column(Text)
    passage_count: Mapped[int] = mapped_column(default=0)
    edition: Mapped[str] = mapped_column(String(26), default="")
    listed: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now)

    @classmethod
    def _table_args(cls) -> Any:
        return (UniqueConstraint("tenant_id", "name"), Index("ix_source_time", "tenant_id", "created_at"))


class Passage(TenantModel):
    """A piece of a source. `title` is its page's title, or its question; `heading` its path of headings.

    `edition` names the reading that it comes from: it is found when its source shows that one, and never otherwise.
    `vector` holds its vectors as `vectors.pack` packs them, made by `embedder`; both are empty while there are none yet.
    """

    __tablename__ = "passage"
    source_id: Mapped[str] = mapped_column(String(26))
    edition: Mapped[str] = mapped_column(String(26), default="")
    position: Mapped[int]
    title: Mapped[str] = mapped_column(String(TITLE))
    heading: Mapped[str] = mapped_column(String(TITLE), default="")
    text: Mapped[str] = mapped_column(Text)
    embedder: Mapped[str] = mapped_column(String(100))
    vector: Mapped[bytes] = mapped_column(LargeBinary)

    @classmethod
    def _table_args(cls) -> Any:
        return (
            ForeignKeyConstraint(["tenant_id", "source_id"], ["source.tenant_id", "source.id"], ondelete="CASCADE"),
            UniqueConstraint("tenant_id", "source_id", "edition", "position"),
        )


# PostgreSQL's words side. A stored column and no GIN index: under row-level security `@@` (not leakproof) may not be asked
# of an index before the policy, so the index is never used (tried); with the column 1,000 passages take 4 ms, without it 88.
WORDS_COLUMN = (
    "ALTER TABLE passage ADD COLUMN words tsvector GENERATED ALWAYS AS"
    " (to_tsvector('english'::regconfig, title || ' ' || heading || ' ' || text)) STORED"
)
event.listen(Passage.__table__, "after_create", DDL(WORDS_COLUMN).execute_if(dialect="postgresql"))  # type: ignore[no-untyped-call]
