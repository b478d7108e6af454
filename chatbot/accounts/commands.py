"""`flask account …`"""

import sys

import click

from chatbot.accounts.models import ROLES
from chatbot.accounts.people import create_account
from chatbot.console import PlainGroup

account_commands = PlainGroup("account", help="People who sign in.")


@account_commands.command("create")
@click.argument("email")
@click.option("--name", default="")
@click.option("--platform-admin", is_flag=True, help="May do everything on the platform.")
@click.option("--client", "slug", help="The client that the account belongs to.")
@click.option("--role", type=click.Choice(ROLES), default="user", show_default=True)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def create(email: str, name: str, platform_admin: bool, slug: str | None, role: str, password_stdin: bool) -> None:
    """Make an account."""
    password = sys.stdin.readline().rstrip("\n") if password_stdin else None
    create_account(email, name, password, is_platform_admin=platform_admin, slug=slug, role=role)
    click.echo(f"Account {email} is made.")
