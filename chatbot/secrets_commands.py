"""`flask rotate-key`"""

from pathlib import Path

import click
from cryptography.fernet import Fernet
from flask import current_app
from flask.cli import with_appcontext

from chatbot.command_line import plainly
from chatbot.config import Settings
from chatbot.encryption_keys import forget_overwritten, keep_canary, replace_key, rotate


@click.command("rotate-key", help="Put a new key in the encryption key's place, and every stored secret under it.")
@with_appcontext
@plainly
def rotate_key() -> None:
    settings: Settings = current_app.config["SHAMAN"]
    if settings.keys_file is None:
        _under_given_keys(settings)
    else:
        _under_new_key(settings.keys_file)
    forget_overwritten()


def _under_new_key(file: Path) -> None:
    try:
        count = replace_key(file)
    except OSError as error:
        raise click.ClickException(
            f"{error.filename or file}: {error.strerror}. Everything is readable still."
        ) from None
    click.echo(
        f"The key in {file} is new, and {_counted(count)} under it. Keep the old one with the backups made before."
    )


def _under_given_keys(settings: Settings) -> None:
    keep_canary()
    count = rotate()
    click.echo(f"ENCRYPTION_KEYS is set, so its keys are yours to change. {_counted(count)} under its first key.")
    if len(settings.ENCRYPTION_KEYS) > 1:
        click.echo("Now take the other keys out of it, and restart Shaman. Backups made before need them.")
        return
    click.echo("For a new key put this one before it, with a comma between; restart Shaman, and run this again:")
    click.echo(Fernet.generate_key().decode())


def _counted(count: int) -> str:
    return f"{count} secret was put" if count == 1 else f"{count} secrets were put"
