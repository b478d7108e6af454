"""`/console/<slug>/overview`: how the assistant did this week, and what is happening now."""

from flask import g, redirect, render_template, url_for
from werkzeug.wrappers import Response

from chatbot.chat.activity import count_open
from chatbot.console import blueprint
from chatbot.knowledge.size import size_of_knowledge
from chatbot.tenants.doors import Entered
from chatbot.usage.figures import last_turn_at, sums_by_day, sums_under_way, total

WEEK = 7


@blueprint.get("")
def index(slug: str) -> Response:
    return redirect(url_for(".overview", slug=slug), 303)


@blueprint.get("/overview")
def overview(slug: str) -> str:
    tenant: Entered = g.tenant
    days = sums_by_day(2 * WEEK, tenant.limits.time_zone)
    return render_template(
        "console/overview.html",
        tenant=tenant,
        days=[(day, sums.questions) for day, sums in days[WEEK:]],
        week=total(days[WEEK:]),
        before=total(days[:WEEK]),
        last_at=last_turn_at(),
        knowledge=size_of_knowledge(tenant.id),
        uses=sums_under_way({tenant.id: tenant.limits.time_zone})[tenant.id].uses(tenant.limits),
        open_turns=count_open(tenant.id),
    )
