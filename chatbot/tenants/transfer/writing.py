"""Clients as text: YAML for people to read, JSON to the letter. The same clients are the same bytes each time."""

import re
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import orjson
import yaml
from sqlalchemy import or_, select

from chatbot.db import db, holds
from chatbot.errors import NotFound
from chatbot.tenants.models import Tenant
from chatbot.tenants.transfer import state

WIDTH = 120
# libyaml escapes 🦁, and a text with one is no block to it: so others stand in for those characters while it writes.
BEYOND = re.compile("[\U00010000-\U0010ffff]")
PRIVATE_USE = range(0xE000, 0xF900)
MIMETYPES = {"yaml": "application/yaml", "json": "application/json"}
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class Dumper(_Dumper):
    """Texts of several lines as blocks; no anchors, which only programs understand."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: Any, text: str) -> Any:
    style = "|" if "\n" in text and not any(line != line.rstrip() for line in text.splitlines()) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


Dumper.add_representer(str, _text)


def export(slugs: Sequence[str] | None = None) -> dict[str, Any]:
    """The document of these clients, or of all, within a session across tenants. Raises NotFound that names who is not there."""
    if slugs is None:
        return {"clients": sorted((client.document() for client in state.load_all()), key=itemgetter("slug"))}
    found = {slug: client for slug, client in state.load(slugs).items() if not client.is_deleted}
    unknown = sorted(set(slugs) - found.keys())
    if unknown:
        raise NotFound(", ".join(unknown)[:300])
    return {"clients": [found[slug].document() for slug in sorted(found)]}


def list_documents(limit: int, after: str | None = None, words: str = "") -> tuple[list[dict[str, Any]], str | None]:
    """A page of clients, by short name from the one behind `after`, and where the next page begins (None: nowhere).

    `words` is in the short name or the name. Within a session across tenants.
    """
    there = select(Tenant.slug).where(Tenant.deleted_at.is_(None), Tenant.slug > (after or "")).order_by(Tenant.slug)
    if words:
        there = there.where(or_(holds(Tenant.slug, words), holds(Tenant.name, words)))
    slugs = list(db.session.scalars(there.limit(limit + 1)))
    found = state.load(slugs[:limit])
    documents = [found[slug].document() for slug in slugs[:limit]]
    return documents, slugs[limit - 1] if len(slugs) > limit else None


def write(document: dict[str, Any], form: str = "yaml") -> bytes:
    """A document as a file's bytes, in UTF-8. `form` is yaml or json."""
    if form == "json":
        return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    whole = orjson.dumps(document).decode()
    unused = (character for character in map(chr, PRIVATE_USE) if character not in whole)
    stand_ins = dict(zip(sorted(set(BEYOND.findall(whole))), unused, strict=False))
    bare = orjson.loads(whole.translate(str.maketrans(stand_ins))) if stand_ins else document
    text: str = yaml.dump(bare, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=WIDTH)
    return text.translate({ord(stand_in): character for character, stand_in in stand_ins.items()}).encode()
