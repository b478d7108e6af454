"""The `flask …` commands. Each exits non-zero with one clear line when it can't."""

import signal
from collections.abc import Callable
from typing import Any

import click
from flask import Flask, current_app

from chatbot import jobs
from chatbot.accounts.commands import account_commands
from chatbot.audit import COMMAND_LINE
from chatbot.chat.stopping import stop_all
from chatbot.command_line import PlainGroup, plainly
from chatbot.db import across_tenants
from chatbot.knowledge.commands import knowledge_commands
from chatbot.rights import right_of
from chatbot.secrets_commands import rotate_key
from chatbot.tenants import clients, keys, purging, standing
from chatbot.tenants.commands import export_clients, import_clients
from chatbot.tenants.models import Tenant

client_commands = PlainGroup("client", help="Clients: the businesses that this platform hosts.")
key_commands = PlainGroup("key", help="API keys.")


@client_commands.command("create")
@click.argument("slug")
@click.option("--name", required=True, help="The business's name.")
@click.option("--anonymous/--sign-in", "anonymous_chat", default=True, help="May anybody chat, or members alone?")
def create_client(slug: str, name: str, anonymous_chat: bool) -> None:
    """Make a client."""
    clients.create_client(slug, name, anonymous_chat=anonymous_chat)
    click.echo(f"Client {slug} is made.")


@client_commands.command("delete")
@click.argument("slug")
@click.option("--now", "for_good", is_flag=True, help="At once and for good, instead of after seven days.")
def delete_client(slug: str, for_good: bool) -> None:
    """Delete a client with everything it owns. For seven days that can be undone."""
    tenant_id = standing.delete_client(slug, COMMAND_LINE, for_good=for_good)
    stop_all(tenant_id)
    if for_good:
        purging.purge_client(tenant_id, COMMAND_LINE)
    click.echo(f"Client {slug} is deleted.")
    if not for_good:
        click.echo(f"For seven days `flask client undelete {slug}` brings it back; its short name is kept so long.")


@client_commands.command("undelete")
@click.argument("slug")
def undelete_client(slug: str) -> None:
    """Take a client's deletion back."""
    standing.undelete_client(slug, COMMAND_LINE)
    click.echo(f"Client {slug} is back.")


@key_commands.command("create")
@click.argument("slug", required=False)
@click.option("--platform", is_flag=True, help="A key for the platform, in a client's place.")
@click.option("--name", required=True, help="What the key is for.")
@click.option("--scope", "scopes", multiple=True, required=True, help="chat, read or manage; may be repeated.")
def create_key(slug: str | None, platform: bool, name: str, scopes: tuple[str, ...]) -> None:
    """Make an API key and print it, once, alone on the last line."""
    if bool(slug) == platform:
        raise click.UsageError("Give a client's short name, or --platform.")
    with across_tenants():
        tenant: Tenant | None = clients.find_client(slug) if slug else None
        key = keys.create_key(tenant, name, scopes)
    click.echo("This key is shown once. Keep it where your program finds it:")
    click.echo(key)


def init_commands(app: Flask) -> None:
    for group in (client_commands, key_commands, account_commands, knowledge_commands):
        app.cli.add_command(group)
    client_commands.add_command(export_clients)
    client_commands.add_command(import_clients)
    app.cli.add_command(rotate_key)
    app.cli.command("work", help="Run background jobs in this process until it is stopped.")(work)
    app.cli.command("sweep", help="End the turns whose worker has died.")(sweep)
    app.cli.command("routes-and-rights", help="Every route with its methods and the right it asks for.")(
        _routes_and_rights(app)
    )


@plainly
def work() -> None:
    """A job process."""
    app: Any = current_app
    thread = jobs.JobThread(app._get_current_object())
    signal.signal(signal.SIGTERM, lambda number, frame: thread.stop())  # the job under way is done first
    click.echo("Working. Stop with Ctrl-C.")
    thread.loop()


@plainly
def sweep() -> None:
    turns, others = current_app.extensions["shaman_live"].sweep(), jobs.sweep()
    click.echo(f"{turns} turns and {others} background tasks ended.")


def _routes_and_rights(app: Flask) -> Callable[[], None]:
    def show() -> None:
        for rule in sorted(app.url_map.iter_rules(), key=str):
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                right = right_of(rule.endpoint, method)
                click.echo(f"{method:8} {rule!s:60} {right.who if right else 'nobody'}")

    return show
