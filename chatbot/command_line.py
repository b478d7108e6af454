"""How commands fail: non-zero, with one clear line. Nothing begins on a database that a newer version has changed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import click
from flask import current_app
from flask.cli import AppGroup
from sqlalchemy.exc import OperationalError, ProgrammingError

from chatbot.encryption_keys import key_problem
from chatbot.errors import ShamanError
from chatbot.health import newer_schema


@contextmanager
def said_plainly() -> Iterator[None]:
    """An error of the family, or of the database, ends the command with its words."""
    refusal = newer_schema(current_app)
    if refusal:
        raise click.ClickException(refusal)
    try:
        wrong_keys = key_problem()
        if wrong_keys:
            raise click.ClickException(wrong_keys)
        yield
    except ShamanError as error:
        problem = error.problem()
        fields = "; ".join(f"{name}: {text}" for name, text in problem.get("errors", {}).items())
        raise click.ClickException(problem["detail"] + (f" ({fields})" if fields else "")) from None
    except (OperationalError, ProgrammingError) as error:
        cause = str(error.orig).strip().splitlines()[0]
        raise click.ClickException(f"The database says: {cause}. Is it up to date? Run `flask db upgrade`.") from None


def plainly(command: Callable[..., Any]) -> Callable[..., Any]:
    """Declare that a command fails as above."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        with said_plainly():
            return command(*args, **kwargs)

    return run


class PlainGroup(AppGroup):
    """A group of commands that all fail as above."""

    def command(self, *args: Any, **kwargs: Any) -> Callable[[Callable[..., Any]], click.Command]:  # type: ignore[override]
        declare = super().command(*args, **kwargs)
        return lambda function: declare(plainly(function))
