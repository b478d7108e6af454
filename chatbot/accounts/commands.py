"""`flask account …`"""

import sys

import click
from flask_babel import gettext as _

from chatbot.accounts.links import make_reset_link
from chatbot.accounts.models import ROLES
from chatbot.accounts.people import create_account, find_account, read_email
from chatbot.audit import COMMAND_LINE
from chatbot.command_line import PlainGroup
from chatbot.db import across_tenants
from chatbot.errors import NotFound

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
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else None
    create_account(email, name, password, is_platform_admin=platform_admin, slug=slug, role=role)
    click.echo(f"Account {email} is made.")
    if password is None:
        click.echo(f"It has no password yet: `flask account reset-link {email}` prints a link to set one.")


@account_commands.command("reset-link")
@click.argument("email")
def reset_link(email: str) -> None:
    """Print a link with which the account's owner sets a new password, once and within 30 minutes."""
    with across_tenants():
        account = find_account(read_email(email))
        if account is None:
            raise NotFound(_("There is no account with this e-mail."))
        link = make_reset_link(account.id, COMMAND_LINE)
    click.echo("This link is shown once. It is good for 30 minutes:")
    click.echo(link)
