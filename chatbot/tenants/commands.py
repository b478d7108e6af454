"""`flask client export` and `flask client import`."""

import hashlib
import os
import sys
from pathlib import Path
from typing import NoReturn

import click
from flask.cli import with_appcontext
from flask_babel import gettext as _
from flask_babel import ngettext

from chatbot.audit import COMMAND_LINE
from chatbot.command_line import plainly
from chatbot.db import across_tenants
from chatbot.tenants.transfer.applying import Invited, apply, record_export
from chatbot.tenants.transfer.planning import Asked, Plan, make_plan
from chatbot.tenants.transfer.reading import FILE_BYTES, Reading, Unusable, form_of, read
from chatbot.tenants.transfer.telling import tell
from chatbot.tenants.transfer.writing import export, write


@click.command("export")
@click.argument("slugs", nargs=-1, metavar="[SLUG]...")
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="The file to write; JSON if its name ends so.")
@with_appcontext
@plainly
def export_clients(slugs: tuple[str, ...], output: str | None) -> None:
    """Print clients, or all of them, as one YAML document. No secret is in it."""
    form = "json" if output and form_of(output) == "json" else "yaml"
    with across_tenants(writes=False):
        document = export(slugs or None)
    content, count = write(document, form), len(document["clients"])
    with across_tenants():
        record_export(COMMAND_LINE, slugs or None, count, hashlib.sha256(content).hexdigest(), form)
    if output is None:
        click.echo(content, nl=False)
        return
    try:
        _write_file(Path(output), content)
    except OSError as error:
        raise click.ClickException(f"{output}: {error.strerror}") from None
    click.echo(ngettext("%(num)s client is in %(file)s.", "%(num)s clients are in %(file)s.", count, file=output))


def _write_file(path: Path, content: bytes) -> None:
    """Whole or not at all, and for its owner alone: people's addresses are in it."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


@click.command("import")
@click.argument("file")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@click.option("--template", help="For new clients that name none: a client's short name, or a file with one client.")
@with_appcontext
@plainly
def import_clients(file: str, dry_run: bool, template: str | None) -> None:
    """Make and change clients as FILE says (YAML, JSON or CSV; - for standard input): all of it, or nothing."""
    try:
        asked = _asked(_read(file), template)
        if dry_run:
            with across_tenants(writes=False):
                _show(make_plan(asked))
            click.echo(_("Nothing was stored."))
            return
        with across_tenants():
            done = apply(asked, COMMAND_LINE)
    except Unusable as error:
        _refuse(error)
    _show(done.plan)
    _show_links(done.invited)


def _refuse(error: Unusable) -> NoReturn:
    """End with one clear line; where several things are wrong, each has a line of its own before it."""
    if error.count == 1:
        raise click.ClickException(str(error.problems[0]))
    for problem in error.problems:
        click.echo(str(problem), err=True)
    raise click.ClickException(str(error.detail))


def _asked(reading: Reading, template: str | None) -> Asked:
    if template and (form_of(template) or Path(template).is_file()):
        return Asked(reading, beside=_read(template))
    return Asked(reading, template)


def _read(file: str) -> Reading:
    try:
        if file == "-":
            return read(sys.stdin.buffer.read(FILE_BYTES + 1))
        with Path(file).open("rb") as opened:
            return read(opened.read(FILE_BYTES + 1), form_of(file))
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from None


def _show(plan: Plan) -> None:
    for step in plan.steps:
        if step.action != "unchanged":
            click.echo(f"{step.action} {step.slug} ({step.name})")
            for told in tell(step):
                click.echo(
                    f"    {told.field}: {told.old} → {told.new}" if told.old else f"    {told.field}: {told.new}"
                )
    counts = {action: plan.count(action) for action in ("create", "change", "unchanged")}
    click.echo(_("Clients: %(create)s made, %(change)s changed, %(unchanged)s unchanged.", **counts))
    if plan.gaps:
        click.echo(_("Still to be entered:"))
        for gap in plan.gaps:
            click.echo(f"    {gap.slug}: {gap.text}")


def _show_links(invited: list[Invited]) -> None:
    mailed = sum(one.address is None for one in invited)
    if mailed:
        click.echo(ngettext("%(num)s invitation is on its way.", "%(num)s invitations are on their way.", mailed))
    links = [one for one in invited if one.address]
    if links:
        click.echo(_("These links are shown once; pass each on to whom it belongs, within 7 days:"))
        for one in links:
            click.echo(f"    {one.slug} {one.email} {one.address}")
