"""`flask knowledge …`: a client's sources from the command line."""

from collections.abc import Iterator
from pathlib import Path

import click
from flask_babel import gettext as _
from flask_babel import ngettext

from chatbot.command_line import PlainGroup
from chatbot.db import across_tenants, as_tenant
from chatbot.errors import Invalid, NotFound, ShamanError, TooLarge
from chatbot.knowledge.parsing import MEDIA_TYPES
from chatbot.knowledge.reading import read_now
from chatbot.knowledge.sources import FILE_BYTES, add_file, find_source
from chatbot.tenants.clients import find_client

knowledge_commands = PlainGroup("knowledge", help="What a client's assistant answers from.")


@knowledge_commands.command("add")
@click.argument("slug")
@click.argument("paths", nargs=-1, required=True, metavar="PATH_OR_URL...")
def add(slug: str, paths: tuple[str, ...]) -> None:
    """Add files, and folders of them (.md .txt .html .json .jsonl), to the client SLUG, and read them at once."""
    try:
        with across_tenants(writes=False):
            tenant_id = find_client(slug).id
    except NotFound:
        raise click.ClickException(f"There is no client “{slug}”.") from None
    failed = 0
    for argument in paths:
        for path, name in _files(argument):
            try:
                click.echo(f"{name}: {add_path(tenant_id, path, name)}")
            except (ShamanError, OSError) as error:
                failed += 1
                click.echo(f"{name}: {_words(error)}", err=True)
    if failed:
        raise click.ClickException(f"{failed} of what was given can't be read.")


def add_path(tenant_id: str, path: Path, name: str) -> str:
    """Add one file and read it. Returns what became of it; raises of the ShamanError family, or OSError."""
    if "://" in name:
        raise Invalid(_("Pages can't be read by their address yet. Save the page and add the file."))
    if not path.exists():
        raise Invalid(_("There is no such file."))
    if path.stat().st_size > FILE_BYTES:
        raise TooLarge(_("A file may have up to %(size)s MB.", size=FILE_BYTES >> 20))
    content = path.read_bytes()
    with as_tenant(tenant_id):
        source = add_file(name, content)
        source_id, is_known = source.id, source.status == "ready"
    if is_known:
        return "unchanged"
    with as_tenant(tenant_id):
        read_now(source_id)
        source = find_source(source_id)
        if source.status == "failed":
            raise Invalid(source.reason or "")
        return str(ngettext("%(num)s passage", "%(num)s passages", source.passage_count))


def _files(argument: str) -> Iterator[tuple[Path, str]]:
    """The files that an argument means, each with its name as a source: the path as one would type it here."""
    path = Path(argument)
    if "://" in argument or not path.is_dir():
        yield path, _name(path, path.parent) if "://" not in argument else argument
        return
    for file in sorted(path.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
        if file.is_file() and not hidden and file.suffix.lower() in MEDIA_TYPES:
            yield file, _name(file, path.resolve().parent)


def _name(file: Path, outside: Path) -> str:
    here, whole = Path.cwd(), file.resolve()
    return whole.relative_to(here if whole.is_relative_to(here) else outside.resolve()).as_posix()


def _words(error: ShamanError | OSError) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error.detail or error.title)
