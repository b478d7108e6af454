"""`/admin/health`: what needs a hand now, first; then all that was looked at."""

from typing import Any, cast

from flask import current_app, flash, redirect, render_template, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from chatbot.accounts.doors import actor
from chatbot.admin import blueprint
from chatbot.condition import answers, concerns, machine, work
from chatbot.config import Settings
from chatbot.db import across_tenants
from chatbot.jobs import are_waiting


@blueprint.get("/health")
def health() -> str:
    settings: Settings = current_app.config["SHAMAN"]
    app = cast(Any, current_app)._get_current_object()
    with across_tenants(writes=False):
        queue, dead, under_way, seen = work.queue(), work.dead_jobs(), work.under_way(), answers.answers()
    facts = concerns.Facts(
        database=machine.database(app, settings),
        disk=machine.disk(settings),
        redis=machine.redis(settings),
        queue=queue,
        nobody_works=are_waiting(),
        under_way=under_way,
        answers=seen,
    )
    return render_template(
        "admin/health.html",
        facts=facts,
        concerns=concerns.concerns(facts),
        dead=dead,
        versions=machine.versions(),
        configured=settings,
        why=concerns.what_to_do,
    )


@blueprint.post("/health/jobs/<job_id>/retry")
def retry_job(job_id: str) -> Response:
    work.retry_job(job_id, actor())
    flash(_("It will be tried again now."), "done")
    return redirect(url_for(".health", _anchor="queue"), 303)


@blueprint.post("/health/jobs/<job_id>/discard")
def discard_job(job_id: str) -> Response:
    work.discard_job(job_id, actor())
    flash(_("Discarded: what it was to do is not done."), "done")
    return redirect(url_for(".health", _anchor="queue"), 303)
