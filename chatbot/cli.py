"""The `flask …` commands. Each exits non-zero with one clear line when it can't."""

import signal
from collections.abc import Callable
from typing import Any

import click
from flask import Flask, current_app

from chatbot import jobs
from chatbot.accounts.commands import account_commands
from chatbot.console import PlainGroup, plainly
from chatbot.db import across_tenants
from chatbot.knowledge.commands import knowledge_commands
from chatbot.tenants import clients, keys
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
def delete_client(slug: str) -> None:
    """Delete a client with everything it owns."""
    clients.delete_client(slug)
    click.echo(f"Client {slug} is deleted.")


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
            view = app.view_functions[rule.endpoint]
            methods = ",".join(sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}))
            right = getattr(view, "required_scope", None)
            click.echo(f"{methods:12} {rule!s:60} {'key: ' + right if right else 'public'}")

    return show
