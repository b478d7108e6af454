"""`/admin/audit`: who did what, when, to whom, from where. To be read and taken along, never to be edited."""

from datetime import UTC, date, datetime, time, timedelta

from flask import Response, render_template, request, stream_with_context

from chatbot.accounts.doors import actor
from chatbot.admin import blueprint
from chatbot.audit_log import FORMATS, Cursor, Wanted, entries, export, place_of
from chatbot.db import across_tenants
from chatbot.tenancy import now

PER_PAGE = 50


@blueprint.get("/audit")
def audit() -> str:
    wanted = _wanted()
    with across_tenants(writes=False):
        found = entries(wanted, Cursor.parse(request.args.get("after")), PER_PAGE + 1)
    onward = str(place_of(found[PER_PAGE - 1])) if len(found) > PER_PAGE else None
    return render_template("admin/audit.html", entries=found[:PER_PAGE], onward=onward, asked=_asked())


@blueprint.post("/audit/export")
def export_audit() -> Response:
    """The entries that the form's fields ask for, as a file; `format` is csv or json. That it was taken is an entry too."""
    kind = request.form.get("format", "")
    made = export(_wanted(), kind, actor(), now())
    name = f"audit-{made.until:%Y%m%d-%H%M%S}-{made.count}-entries.{kind}"
    return Response(
        stream_with_context(made.pieces),
        content_type=FORMATS[kind],
        headers={"Content-Disposition": f'attachment; filename="{name}"', "X-Accel-Buffering": "no"},
    )


def _asked() -> dict[str, str]:
    """What is asked for, as it was typed."""
    given = request.form if request.method == "POST" else request.args
    return {name: given.get(name, "").strip()[:320] for name in ("who", "action", "client", "from", "to")}


def _wanted() -> Wanted:
    asked = _asked()
    return Wanted(
        who=asked["who"],
        action=asked["action"],
        client=asked["client"].lower(),
        since=_day(asked["from"]),
        until=_day(asked["to"], timedelta(days=1)),  # that day too
    )


def _day(text: str, later: timedelta = timedelta(0)) -> datetime | None:
    """The day's beginning, in UTC, and so much later; None for what is no day."""
    try:
        return datetime.combine(date.fromisoformat(text), time(), UTC) + later
    except (ValueError, OverflowError):
        return None
