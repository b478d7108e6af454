"""The table: every measured row, then the goals with what was reached."""

import math
import platform
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime

import psutil

from bench.measure import Cell
from bench.scenarios import Plan, Report
from bench.servers import ROOT

HEAD = (
    "asked", "visitors", "first token p50 / p95", "added p50 / p95", "whole turn p50 / p95", "turns/s", "against the model",
    "CPU a turn", "memory at peak", "errors",
)  # fmt: skip


def markdown(report: Report, plan: Plan) -> str:
    """The whole report."""
    blocks = [
        "# Performance",
        about(plan),
        "## What it must reach",
        table(("work", "goal (aim)", "measured", ""), goals(report)),
        "## Streamed: first token after 200 ms, 50 tokens/s, 100 tokens",
        table(HEAD, crowd_rows(report.streamed)),
        f"## The same with {report.figures.get('passages', math.nan):,.0f} passages of knowledge",
        table(HEAD, crowd_rows(report.knowing)),
        "## Without delay: 20 tokens, 32 visitors, each turn stored",
        table(HEAD, crowd_rows(report.instant, by_clock=True)),
        "## Single figures",
        table(("figure", "value"), [(name, number(value, 1)) for name, value in report.figures.items()]),
        *(
            ["## Notes", *(f"- {note}" for note in sorted(set(errors_of(report) + report.notes))[:12])]
            if errors_of(report) + report.notes
            else []
        ),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def about(plan: Plan) -> str:
    """When, where and how much."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    return (
        f"`make bench` on {datetime.now(UTC):%d %B %Y}{f', commit {commit}' if commit else ''}: {psutil.cpu_count()} cores,"
        f" Python {platform.python_version()}, SQLite, one web process; the simulated model, the load and the server share the"
        f" cores. {'One round' if plan.rounds == 1 else f'{plan.rounds} rounds'}, {plan.turns} turns a visitor, arrivals spread"
        " over a turn's length; every answer is compared with the model's, word for word. «Added» is the difference to the model"
        " alone at the same share. CPU is user and system time of all server processes, less what they use when idle. Memory is"
        " their PSS. Times in ms, memory in MB."
    )


def crowd_rows(cells: list[Cell], by_clock: bool = False) -> Iterable[tuple[str, ...]]:
    """A row for each target and crowd."""
    for cell in cells:
        model = next(
            (other for other in cells if other.visitors == cell.visitors and other.target == "model alone"), cell
        )
        rate, of_model = (cell.wall_rate(), model.wall_rate()) if by_clock else (cell.rate(), model.rate())
        weighed = cell.peak_mb > 0
        yield (
            cell.target,
            str(cell.visitors),
            pair(cell.first_ms(0.5), cell.first_ms(0.95)),
            pair(cell.first_ms(0.5) - model.first_ms(0.5), cell.first_ms(0.95) - model.first_ms(0.95))
            if cell is not model
            else "",
            pair(cell.total_ms(0.5), cell.total_ms(0.95)),
            number(rate, 1),
            number(rate / of_model if of_model else math.nan, 3),
            number(cell.cpu_ms(), 1) if weighed else "",
            number(cell.peak_mb, 0) if weighed else "",
            str(len(cell.errors())),
        )


def goals(report: Report) -> Iterable[tuple[str, ...]]:
    """The table of goals; each measured value is judged."""
    ours, model = find(report.streamed, "Shaman"), find(report.streamed, "model alone")
    if ours and model:
        added = [ours.first_ms(share) - model.first_ms(share) for share in (0.5, 0.95)]
        yield judged("200 visitors, streamed: added to the first token, p50", added[0], 15, 5, "ms")
        yield judged("200 visitors, streamed: added to the first token, p95", added[1], 60, 20, "ms")
        yield judged("the same: CPU a turn of 100 tokens", ours.cpu_ms(), 10, 7, "ms")
        yield judged(
            "the same: turns a second against the model alone", ours.rate() / model.rate(), 0.97, 1.0, "", more=True
        )
    knowing = find(report.knowing, "Shaman with knowledge")
    if knowing:
        passages = number(report.figures.get("passages", math.nan), 0)
        yield judged(f"the same with {passages} passages: CPU a turn", knowing.cpu_ms(), 16, 12, "ms")
    instant = next((cell for cell in report.instant if cell.target == "Shaman"), None)
    if instant:
        yield judged(
            "no delay, 20 tokens, 32 visitors: turns a second, stored", instant.wall_rate(), 200, 400, "", more=True
        )
    for name, work, goal, aim, unit in (
        ("added by 2,000 messages, ms", "a turn in a conversation of 2,000 messages: added", 3, 3, "ms"),
        ("memory idle", "memory idle", 150, 150, "MB"),
        ("memory 200 streams", "memory with 200 streams", 200, 200, "MB"),
        ("memory 200 streams, embedder loaded", "the same with the embedder loaded", 330, 330, "MB"),
        ("second make run to the first page, s", "second `make run` to the first page", 3, 3, "s"),
        ("second make run to the first answer, s", "second `make run` to the first chat answer", 3, 3, "s"),
    ):
        if name in report.figures:
            yield judged(work, report.figures[name], goal, aim, unit)


def judged(work: str, value: float, goal: float, aim: float, unit: str, more: bool = False) -> tuple[str, ...]:
    """One goal's row: reached, at the aim, or missed."""
    sign = "≥" if more else "≤"
    reached, at_aim = (value >= goal, value >= aim) if more else (value <= goal, value <= aim)
    digits = 2 if goal < 4 else 1
    told = f"{sign} {goal:g} {unit}".strip() + (f" ({aim:g})" if aim != goal else "")
    return (
        work,
        told,
        f"{number(value, digits)} {unit}".strip(),
        "at the aim" if at_aim else "reached" if reached else "missed",
    )


def find(cells: list[Cell], target: str) -> Cell | None:
    """The cell of that target with 200 visitors, if any of its turns was answered."""
    found = (cell for cell in cells if cell.target == target and cell.visitors == 200)
    return next((cell for cell in found if any(load.good for load in cell.loads)), None)


def errors_of(report: Report) -> list[str]:
    """Every kind of error, with where it came from."""
    return [
        f"{cell.target}: {error[:200]}"
        for cell in (*report.streamed, *report.knowing, *report.instant)
        for error in cell.errors()
    ]


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table; nothing without rows."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *lines]) if lines else "Not measured."


def pair(first: float, second: float) -> str:
    """Two figures in one cell."""
    return f"{number(first, 1)} / {number(second, 1)}"


def number(value: float, digits: int) -> str:
    """A figure, or a dash for none."""
    return "–" if math.isnan(value) else f"{value:,.{digits}f}"
