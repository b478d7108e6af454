"""`/api/admin/clients` and `/api/admin/transfer`: clients as documents, for programs with a platform key."""

import hashlib
from collections.abc import Callable
from typing import Any

from flask import Response, g, jsonify, request, url_for
from flask_babel import gettext as _

from chatbot.api import blueprint
from chatbot.api.platform_once import Answer, answer_once
from chatbot.api.schema import page_args
from chatbot.audit import Actor
from chatbot.chat.stopping import stop_all
from chatbot.db import across_tenants
from chatbot.errors import Conflict, Invalid, NotFound, WrongType
from chatbot.security import caller_address
from chatbot.tenants.clients import SLUG
from chatbot.tenants.doors import CHARACTER, take_body
from chatbot.tenants.standing import delete_client as delete_for_a_week
from chatbot.tenants.transfer import state
from chatbot.tenants.transfer.applying import Changed, Done, apply, record_export
from chatbot.tenants.transfer.planning import Asked, Plan, make_plan
from chatbot.tenants.transfer.reading import FILE_BYTES, Entry, Reading, read, read_client
from chatbot.tenants.transfer.telling import as_values, gaps_as_values
from chatbot.tenants.transfer.writing import list_documents, write

LONGEST_WORDS = 200
FORMS = {
    "application/yaml": "yaml",
    "application/x-yaml": "yaml",
    "text/yaml": "yaml",
    "application/json": "json",
    "text/csv": "csv",
}
PATCHES = ("application/json", "application/merge-patch+json")


@blueprint.get("/admin/clients")
def list_clients() -> Response:
    limit, after = page_args()
    words = request.args.get("q", "").strip()[:LONGEST_WORDS]
    if after is not None and not SLUG.fullmatch(after):
        raise Invalid(errors={"cursor": _("This is not a cursor from this list.")})
    with across_tenants(writes=False):
        documents, onward = list_documents(limit, after, words)
    response = jsonify(clients=documents, next_cursor=onward)
    by, slugs = _actor(), [document["slug"] for document in documents]
    with across_tenants():
        record_export(by, slugs, len(slugs), hashlib.sha256(response.get_data()).hexdigest(), "json")
    return response


@blueprint.post("/admin/clients")
def add_client() -> Response:
    entry, by = _read_client(), _actor()

    def work() -> Answer:
        if state.load([entry.slug]):
            raise Conflict(_("There is a client “%(slug)s” already.", slug=entry.slug))
        apply(_one(entry), by)
        return _shown(entry.slug, 201, Location=url_for("api.show_client", slug=entry.slug))

    return answer_once(work)


@blueprint.get("/admin/clients/<slug>")
def show_client(slug: str) -> Response:
    by = _actor()
    with across_tenants():
        answer = _shown(slug)
        response = jsonify(answer.body)
        record_export(by, [slug], 1, hashlib.sha256(response.get_data()).hexdigest(), "json")
    response.headers.extend(answer.headers)
    return response


@blueprint.patch("/admin/clients/<slug>")
def change_client(slug: str) -> Response:
    entry, by, done = _read_client(slug), _actor(), list[Done]()

    def work() -> Answer:
        _check_match(_find(slug, lock=True))
        done.append(apply(_one(entry), by))
        return _shown(slug)

    response = _at_once(work)
    _stop(done)
    return response


@blueprint.delete("/admin/clients/<slug>")
def delete_client(slug: str) -> tuple[str, int]:
    take_body()
    with across_tenants(writes=False):
        _check_match(_find(slug))
    stop_all(delete_for_a_week(slug, _actor()))
    return "", 204


@blueprint.post("/admin/transfer")
def transfer_clients() -> Response:
    asked, by, done = _asked(), _actor(), list[Done]()
    if _wants_dry_run():
        with across_tenants(writes=False):
            plan = make_plan(asked)
        response = jsonify(_told(plan, applied=False))
        response.set_etag(plan.fingerprint)
        return response

    def work() -> Answer:
        try:
            done.append(apply(asked, by, _seen()))
        except Changed as changed:
            raise Conflict(changed.detail) from None
        told = _told(done[0].plan, applied=True)
        links = [{"slug": one.slug, "email": one.email, "link": one.address} for one in done[0].invited]
        kept = {**told, "invitations": [{**link, "link": None} for link in links]}
        return Answer({**told, "invitations": links}, kept=kept)

    response = answer_once(work)
    _stop(done)
    return response


def _at_once(work: Callable[[], Answer]) -> Response:
    with across_tenants():
        answer = work()
    response = jsonify(answer.body)
    response.headers.extend(answer.headers)
    return response


def _stop(done: list[Done]) -> None:
    for tenant_id in done[0].stopped if done else ():
        stop_all(tenant_id)


def _actor() -> Actor:
    """Who calls; asked before a session across tenants begins, which has a context of its own."""
    return Actor(f"key:{g.platform_key.key_id}", address=caller_address())


# --- what comes in ---------------------------------------------------------------------------------------------------


def _read_client(slug: str | None = None) -> Entry:
    if request.mimetype not in (PATCHES if slug else PATCHES[:1]):
        raise WrongType(_("Send JSON, as “Content-Type: application/json”."))
    _take_file()
    return read_client(request.get_data(), slug)


def _asked() -> Asked:
    form = FORMS.get(request.mimetype)
    if form is None:
        raise WrongType(_("Send application/yaml, application/json or text/csv."))
    _take_file()
    return Asked(read(request.get_data(), form), request.args.get("template") or None)


def _take_file() -> None:
    take_body(FILE_BYTES // CHARACTER)


def _one(entry: Entry) -> Asked:
    return Asked(Reading((entry,), hashlib.sha256(request.get_data()).hexdigest(), "json"))


def _wants_dry_run() -> bool:
    given = request.args.get("dry_run", "false").lower()
    if given not in ("true", "1", "false", "0"):
        raise Invalid(errors={"dry_run": _("This is true or false.")})
    return given in ("true", "1")


def _seen() -> str | None:
    """The fingerprint of the plan that the caller agreed to."""
    return request.headers.get("If-Match", "").strip().removeprefix("W/").strip('"') or None


# --- what goes out ---------------------------------------------------------------------------------------------------


def _find(slug: str, *, lock: bool = False) -> dict[str, Any]:
    """A client's document, within the session. Raises NotFound."""
    found = state.load([slug], lock=lock).get(slug) if SLUG.fullmatch(slug) else None
    if found is None or found.is_deleted:
        raise NotFound()
    return found.document()


def _tag(document: dict[str, Any]) -> str:
    return hashlib.sha256(write(document, "json")).hexdigest()[:32]


def _check_match(document: dict[str, Any]) -> None:
    """Raise Conflict when the caller has seen another state of the client."""
    given = request.if_match
    if given and _tag(document) not in given:
        raise Conflict(_("Somebody else has changed this client meanwhile. Look at it, then change it again."))


def _shown(slug: str, status: int = 200, **headers: str) -> Answer:
    document = _find(slug)
    return Answer(document, status, {**headers, "ETag": f'"{_tag(document)}"'})


def _told(plan: Plan, *, applied: bool) -> dict[str, Any]:
    return {"clients": as_values(plan.steps), "applied": applied, "missing": gaps_as_values(plan.gaps)}
