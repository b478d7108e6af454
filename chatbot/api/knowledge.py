"""`/api/client/knowledge` and `/api/client/search`."""

from typing import Any

from flask import Response, g, jsonify, request
from flask_babel import gettext as _

from chatbot.api import blueprint
from chatbot.api.once import once
from chatbot.api.schema import Body, page_args, read_body, refuse_unknown
from chatbot.db import db, read
from chatbot.errors import Invalid, WrongType
from chatbot.knowledge.found import Found
from chatbot.knowledge.models import Source
from chatbot.knowledge.parsing import ANSWER as ANSWER_CHARACTERS
from chatbot.knowledge.parsing import QUESTION as QUESTION_CHARACTERS
from chatbot.knowledge.search import knowledge_version, search
from chatbot.knowledge.sources import FILE_BYTES, add_file, add_pair, delete_source, find_source, list_sources
from chatbot.tenants.doors import takes_body

QUESTION = 2000  # characters of a search


class SourceBody(Body):
    """A question with its answer, or the address of a page."""

    question: str | None = None
    answer: str | None = None
    url: str | None = None


@blueprint.post("/client/knowledge")
@takes_body(longest_text=QUESTION_CHARACTERS + ANSWER_CHARACTERS, file_bytes=FILE_BYTES)
@once
def add_knowledge() -> tuple[Response, int]:
    source = _from_upload() if request.mimetype == "multipart/form-data" else _from_json()
    db.session.flush()
    return jsonify(id=source.id, status=source.status), 202


@blueprint.get("/client/knowledge")
def list_knowledge() -> Response:
    sources, next_cursor = list_sources(*page_args())
    return jsonify(sources=[_listed(source) for source in sources], next_cursor=next_cursor)


@blueprint.get("/client/knowledge/<source_id>")
def show_knowledge(source_id: str) -> Response:
    return jsonify(_state(find_source(source_id)))


@blueprint.delete("/client/knowledge/<source_id>")
@takes_body()
def delete_knowledge(source_id: str) -> tuple[str, int]:
    delete_source(source_id)
    db.session.commit()
    return "", 204


@blueprint.get("/client/search")
def search_knowledge() -> Response:
    question, (limit, _cursor) = _question(), page_args(default=5)
    db.session.commit()  # no transaction stays open while the question is embedded
    version = read(g.caller.tenant.id, knowledge_version)
    return jsonify(passages=[_passage(found) for found in search(g.caller.tenant.id, version, question, limit)])


def _from_upload() -> Source:
    refuse_unknown((request.form.keys() | request.files.keys()) - {"file"})
    files = request.files.getlist("file")
    if len(files) != 1:
        raise Invalid(errors={"file": _("Send one file in the field “file”.")})
    return add_file(files[0].filename or "", files[0].read(), files[0].mimetype)


def _from_json() -> Source:
    if request.mimetype != "application/json":
        raise WrongType(_("Send a file as multipart/form-data, or JSON."))
    body = read_body(SourceBody)
    if body.url is not None:
        words = _("Pages can't be read by their address yet. Save the page as a file and send that.")
        raise Invalid(words, errors={"url": words})
    return add_pair(body.question or "", body.answer or "")


def _question() -> str:
    question = request.args.get("q", "").strip()
    if not question or len(question) > QUESTION:
        raise Invalid(errors={"q": _("Give a question of at most %(number)s characters.", number=QUESTION)})
    return question


def _state(source: Source) -> dict[str, Any]:
    state = {"id": source.id, "status": source.status, "passages": source.passage_count}
    return state | ({"reason": source.reason} if source.reason else {})


def _listed(source: Source) -> dict[str, Any]:
    details = {"kind": source.kind, "name": source.name, "title": source.title}
    times = {"created_at": source.created_at.isoformat(), "updated_at": source.updated_at.isoformat()}
    return _state(source) | details | times | ({"url": source.url} if source.url else {})


def _passage(found: Found) -> dict[str, Any]:
    passage = {"text": found.text, "title": found.title, "source_id": found.source_id, "score": found.score}
    return passage | ({"url": found.url} if found.url else {})
