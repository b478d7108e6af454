"""The chat page and its forms. Every page works by plain forms; script asks the same addresses for an event stream."""

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, current_app, g, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_login import current_user
from flask_wtf import FlaskForm
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.wrappers import Response as AnyResponse

from chatbot.chat import conversations, look, transports, views
from chatbot.chat.doors import check_rate, visitor_subject
from chatbot.chat.events import parse_position
from chatbot.chat.forms import ChoiceForm, MessageForm, NameForm
from chatbot.chat.live import Live
from chatbot.chat.models import Conversation
from chatbot.chat.opening import Again, Ask, OpenedTurn, check_text, is_known, open_turn, retry_turn
from chatbot.config import Settings
from chatbot.db import read
from chatbot.error_pages import storage_problem
from chatbot.errors import BadRequest, ShamanError, WrongType
from chatbot.tenancy import new_id
from chatbot.tenants.defaults import platform_defaults
from chatbot.tenants.doors import Entered, enter_by_slug, reads_only
from chatbot.tenants.named_endpoint import names_endpoint
from chatbot.tenants.published import published

blueprint = Blueprint("chat", __name__, url_prefix="/chat/<slug>")
FORMS = {"application/x-www-form-urlencoded", "multipart/form-data", ""}  # "": nothing was sent
PATIENCE = 20.0  # seconds that a form without script waits for the answer before the page shows what is there


@blueprint.url_value_preprocessor
def _enter(endpoint: str | None, values: dict[str, Any] | None) -> None:
    if request.method == "POST":
        request.form.keys()  # the whole body, before a connection is taken: a slow caller holds none
    reads_only()
    enter_by_slug((values or {}).pop("slug", ""))


@blueprint.before_request
def _take_forms_alone() -> None:
    """A form's fields are words: out of JSON or files they would come as something else."""
    if request.method == "POST" and (request.mimetype not in FORMS or request.files):
        raise WrongType()


@blueprint.before_request
def _lead_to_sign_in() -> AnyResponse | None:
    """Where members alone chat, a signed-out browser that wants a page is led to sign-in; a program reads its 401."""
    wants_page = any(kind == "text/html" for kind, _quality in request.accept_mimetypes)
    is_asked_who = not _tenant().anonymous_chat and not current_user.is_authenticated
    if request.method in ("GET", "HEAD") and wants_page and is_asked_who:
        return redirect(url_for("accounts.login", next=request.full_path.rstrip("?")), 303)
    return None


@blueprint.url_defaults
def _same_client(endpoint: str, values: dict[str, Any]) -> None:
    if "slug" not in values and "tenant" in g:
        values["slug"] = g.tenant.slug


@blueprint.get("")
def page() -> str:
    return _page(MessageForm(formdata=None))


@blueprint.post("")
def send() -> AnyResponse:
    form = MessageForm()
    return _answer(lambda live: _open(form, live), form)


@blueprint.post("/turns/<turn_id>/retry")
def retry(turn_id: str) -> AnyResponse:
    form, tenant = NameForm(), _tenant()

    def retry_it(live: Live) -> OpenedTurn:
        _check_ours(form)
        subject, expected = visitor_subject(tenant), _settings().DEFAULT_MAX_TOKENS
        name = _let_in(live, subject, form.name.data)
        again = Again(tenant.id, subject, turn_id, name, tenant.limits, expected)
        return retry_turn(again, live.owner)

    return _answer(retry_it, MessageForm(formdata=None))


@blueprint.get("/turns/<turn_id>/events")
def events(turn_id: str) -> Response:
    turn = conversations.find_turn(visitor_subject(_tenant()), turn_id)
    return transports.event_stream(_live(), _tenant().id, turn.id, parse_position(request.headers.get("Last-Event-ID")))


@blueprint.post("/turns/<turn_id>/stop")
def stop(turn_id: str) -> AnyResponse:
    _check_ours(FlaskForm())
    turn = conversations.find_turn(visitor_subject(_tenant()), turn_id)
    session_id, id_ = turn.conversation_id, turn.id
    _live().stop(_tenant().id, id_)
    if _wants_page():
        transports.drain(_live(), _tenant().id, id_, 2.0)
        return redirect(url_for(".page", session=session_id, _anchor="latest"), 303)
    return Response(status=204)


@blueprint.get("/messages/<message_id>")
def message(message_id: str) -> str:
    found = conversations.find_message(visitor_subject(_tenant()), message_id)
    conversation = conversations.find_conversation(visitor_subject(_tenant()), found.conversation_id)
    [view] = views.message_views(conversation, [found])
    return render_template("chat/_message.html", message=view, assistant=_assistant(), form=MessageForm(formdata=None))


@blueprint.get("/older")
def older() -> str:
    conversation = conversations.find_conversation(visitor_subject(_tenant()), request.args.get("session", ""))
    shown = conversations.messages_before(conversation, request.args.get("before", type=int))
    return render_template(
        "chat/_messages.html",
        assistant=_assistant(),
        conversation=conversation,
        messages=views.message_views(conversation, shown.messages),
        older=shown.older,
        form=MessageForm(formdata=None),
    )


@blueprint.get("/look.css", endpoint="look")
def look_css() -> Response:
    settings = read(_tenant().id, published).settings
    response = Response(look.stylesheet(settings.look), mimetype="text/css")
    response.headers["Cache-Control"] = "public, max-age=86400"
    return response


@blueprint.get("/new")
def new() -> str:
    words, number = request.args.get("q", "")[:200], request.args.get("page", 1, type=int)
    found = conversations.list_conversations(visitor_subject(_tenant()), words, number)
    return render_template(
        "chat/new.html",
        assistant=_assistant(),
        conversations=found.conversations,
        q=words,
        page=found.page,
        pages=found.pages,
        total=found.total,
        form=ChoiceForm(formdata=None),
    )


@blueprint.post("/new")
def choose() -> AnyResponse:
    tenant, form = _tenant(), ChoiceForm()
    _check_ours(form)
    if form.choice.data == "load":
        conversations.load(tenant.id, visitor_subject(tenant), form.session_id.data or "")
    else:
        conversations.start_fresh(tenant.id, visitor_subject(tenant))
    return redirect(url_for(".page"), 303)


# --- what the views share -------------------------------------------------------------------------------------------


def _open(form: MessageForm, live: Live) -> OpenedTurn:
    _check_ours(form)
    tenant = _tenant()
    subject = visitor_subject(tenant)
    ask = Ask(
        tenant_id=tenant.id,
        subject=subject,
        channel="page",
        name=_let_in(live, subject, form.name.data),
        text=check_text(form.message.data or "", _settings().MESSAGE_LIMIT),
        limits=tenant.limits,
        conversation_id=form.session_id.data or None,
        expected_tokens=_settings().DEFAULT_MAX_TOKENS,
    )
    return open_turn(ask, live.owner)


def _let_in(live: Live, subject: str, name: str | None) -> str:
    """The message's name. One that is known was let in before; any other is counted, and needs a worker that stays."""
    if not name or not is_known(_tenant().id, subject, name):
        check_rate(_tenant())
        live.check_open()
    return name or new_id()


def _check_ours(form: FlaskForm) -> None:
    """Refuse a form that another site sent. Checked here and not before the view, so that typed text is kept."""
    if not form.validate() and "csrf_token" in form.errors:
        raise BadRequest(_("This page was open for a long time. Please send it once more."))


def _answer(begin: Callable[[Live], OpenedTurn], form: MessageForm) -> AnyResponse:
    """Begin a turn and answer as the caller asked: an event stream, or, after a while, the page."""
    live = _live()
    try:
        opened = begin(live)
    except (ShamanError, DBAPIError, PoolTimeout) as error:
        problem = error if isinstance(error, ShamanError) else storage_problem(error)
        if problem is None or not _wants_page():
            raise
        return Response(_page(form, problem), status=problem.status, headers=_retry_after(problem))
    live.start(opened)
    if not _wants_page():
        return transports.event_stream(live, opened.turn.tenant_id, opened.turn.id)
    answer = transports.drain(live, opened.turn.tenant_id, opened.turn.id, PATIENCE)
    return redirect(url_for(".page", session=answer.session_id or opened.turn.conversation_id, _anchor="latest"), 303)


def _page(form: MessageForm, error: ShamanError | None = None) -> str:
    conversation = _shown_conversation(form)
    before = request.args.get("before", type=int)
    shown = conversations.messages_before(conversation, before) if conversation else None
    turn = conversations.first_open_turn(conversation) if conversation else None
    messages = views.message_views(conversation, shown.messages) if conversation and shown else []
    form.name.data = new_id()
    form.session_id.data = conversation.id if conversation else ""
    return render_template(
        "chat/page.html",
        assistant=_assistant(),
        conversation=conversation,
        messages=messages,
        older=shown.older if shown else None,
        newer=before is not None,
        form=form,
        problem=error.problem() if error else None,
        message_limit=_settings().MESSAGE_LIMIT,
        has_model=_has_model(),
        open_turn=turn.id if turn else None,
        event_position=_seen(messages, turn.id) if turn else None,
    )


def _shown_conversation(form: MessageForm) -> Conversation | None:
    subject = visitor_subject(_tenant())
    wanted = request.args.get("session") or (form.session_id.data if request.method == "POST" else None)
    if wanted and request.method == "GET":
        return conversations.find_conversation(subject, wanted)
    if wanted:
        try:
            return conversations.find_conversation(subject, wanted)
        except ShamanError:
            return None  # the error that the form met says so already
    return conversations.current_conversation(subject)


def _seen(messages: list[views.MessageView], turn_id: str) -> str:
    """The position up to which the page shows the answer of an open turn."""
    text = next((m.text for m in messages if m.turn_id == turn_id and m.role == "assistant"), "")
    return str(len(text))


def _has_model() -> bool:
    """Whether a language model is to answer here: the platform's own, or an endpoint that the client names."""
    if _settings().has_model:
        return True
    inherited = platform_defaults().settings
    return read(_tenant().id, lambda unit: names_endpoint(unit, published(unit, inherited).settings.model))


def _assistant() -> views.AssistantView:
    version = read(_tenant().id, published)
    return views.assistant_view(_tenant(), version.number, version.settings)


def _retry_after(error: ShamanError) -> dict[str, str]:
    return {"Retry-After": str(error.retry_after)} if error.retry_after is not None else {}


def _wants_page() -> bool:
    accepted = request.accept_mimetypes
    return not accepted or accepted.best_match(["text/html", "text/event-stream", "application/json"]) == "text/html"


def _tenant() -> Entered:
    return g.tenant  # type: ignore[no-any-return]


def _live() -> Live:
    return current_app.extensions["shaman_live"]  # type: ignore[no-any-return]


def _settings() -> Settings:
    return current_app.config["SHAMAN"]  # type: ignore[no-any-return]
