"""`/admin/transfer`: clients out as a file, and in: first the plan is shown, then exactly that is done, or nothing.

Between the two nothing is kept: the plan's page carries the document, and comes back with the plan's fingerprint.
"""

import hashlib
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Response, render_template, request
from flask_babel import gettext as _

from chatbot.accounts.doors import actor
from chatbot.admin import blueprint
from chatbot.admin.transfer_forms import ApplyForm, ExportForm, ImportForm, packed
from chatbot.blocking import off_loop
from chatbot.chat.stopping import stop_all
from chatbot.db import across_tenants
from chatbot.errors import Invalid, NotFound, TooLarge
from chatbot.extensions import csrf
from chatbot.tenancy import now
from chatbot.tenants.doors import AROUND_FILE
from chatbot.tenants.transfer.applying import Changed, apply, record_export
from chatbot.tenants.transfer.planning import Asked, Plan, make_plan
from chatbot.tenants.transfer.reading import FILE_BYTES, form_of, read
from chatbot.tenants.transfer.telling import tell
from chatbot.tenants.transfer.writing import MIMETYPES, export, write

SHOWN = 500  # clients of a plan on its page
Answer = Response | str | tuple[str, int]


def takes_document(view: Callable[[], Answer]) -> Callable[[], Answer]:
    """Declare that a view takes a whole document: the form's token is looked for once the bounds of that are set."""

    @wraps(view)
    def with_document() -> Answer:
        request.max_content_length = 2 * FILE_BYTES + AROUND_FILE
        request.max_form_memory_size = 2 * FILE_BYTES
        csrf.protect()
        return view()

    return csrf.exempt(with_document)  # type: ignore[no-any-return]


@blueprint.get("/transfer")
def transfer() -> str:
    return _page()


@blueprint.post("/transfer/export")
def export_clients() -> Answer:
    form = ExportForm()
    slugs, kind = form.slugs(request.form.getlist("slug")), form.form.data
    if not form.validate():
        return _page(export=form), 422
    try:
        with across_tenants(writes=False):
            document = export(slugs)
    except NotFound as unknown:
        form.clients.errors = [_("There is no client called %(names)s.", names=unknown.detail)]
        return _page(export=form), 422
    content, by = off_loop(lambda: write(document, kind)), actor()
    with across_tenants():
        record_export(by, slugs, len(document["clients"]), hashlib.sha256(content).hexdigest(), kind)
    name = f"clients-{now():%Y%m%d-%H%M%S}.{kind}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(content, mimetype=MIMETYPES[kind], headers=headers)


@blueprint.post("/transfer")
@takes_document
def plan_import() -> Answer:
    form = ImportForm()
    content, name = form.content()
    if not content.strip():
        form.file.errors = [_("Choose a file, or paste its text.")]
        return _page(form), 422
    try:
        reading = read(content, form_of(name))
        asked = Asked(reading, (form.template.data or "").strip() or None)
        with across_tenants(writes=False):
            plan = make_plan(asked)
    except (Invalid, TooLarge) as problem:
        return _page(form, problem=problem), problem.status
    return _plan(plan, asked, packed(content))


@blueprint.post("/transfer/apply")
@takes_document
def apply_import() -> Answer:
    form, by = ApplyForm(), actor()
    try:
        asked = Asked(read(form.content(), form.kind.data), form.template.data or None)
        with across_tenants():
            done = apply(asked, by, form.fingerprint.data or "")
    except Changed as changed:
        return _plan(changed.plan, asked, form.packed.data or "", changed=str(changed.detail)), changed.status
    except (Invalid, TooLarge) as problem:
        return _page(problem=problem), problem.status
    for tenant_id in done.stopped:
        stop_all(tenant_id)
    links = [one for one in done.invited if one.address]
    return render_template(
        "admin/transfer_done.html", plan=done.plan, links=links, mailed=len(done.invited) - len(links)
    )


def _page(form: ImportForm | None = None, export: ExportForm | None = None, problem: Any = None) -> str:
    return render_template(
        "admin/transfer.html",
        form=form or ImportForm(formdata=None),
        export=export or ExportForm(formdata=None),
        wrong=form or export,
        problem=problem,
    )


def _plan(plan: Plan, asked: Asked, document: str, changed: str = "") -> str:
    busy = [step for step in plan.steps if step.action != "unchanged"]
    form = ApplyForm(
        formdata=None,
        packed=document,
        kind=asked.reading.form,
        fingerprint=plan.fingerprint,
        template=asked.template,
    )
    shown = [(step, tell(step)) for step in busy[:SHOWN]]
    return render_template(
        "admin/transfer_plan.html", plan=plan, form=form, shown=shown, more=len(busy) - len(shown), changed=changed
    )
