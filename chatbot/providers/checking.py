"""Asking a model endpoint what it offers, for whoever sets it up: what came of it, in plain words."""

import queue
import threading
import time
from dataclasses import dataclass

import httpx2
import openai
import orjson
from flask_babel import gettext as _
from openai import APIConnectionError, APIStatusError, APITimeoutError

from chatbot.errors import Text
from chatbot.providers.contract import Call, Stopped
from chatbot.providers.openai import Endpoint, OpenAIProvider

SECONDS = 10.0
LONGEST = 1 << 20  # bytes of a list of models
SHOWN = 12


@dataclass(frozen=True, slots=True)
class Checked:
    """What an endpoint answered: whether it is of use as it stands, in words; and the names of its models."""

    is_good: bool
    words: str
    models: tuple[str, ...] = ()


def check(endpoint: Endpoint, seconds: float = SECONDS) -> Checked:
    """Ask `GET <base_url>/models`, for `seconds` at the most in all. No redirect is followed: the key goes nowhere else.

    Looking a name up can't be hurried, so a thread asks, which is left to itself when it takes too long.
    """
    call = Call(deadline=time.monotonic() + seconds, idle=seconds)
    answers: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(_list(endpoint, call))
        except Exception as error:  # told apart by whoever waits
            answers.put(error)

    threading.Thread(target=ask, name="check-endpoint", daemon=True).start()
    try:
        answer = answers.get(timeout=seconds + 0.5)
    except queue.Empty:
        call.stop("late")
        answer = TimeoutError()
    if isinstance(answer, Exception):
        return Checked(False, str(_words_of(answer, seconds)))
    return _listed(answer, endpoint.model)


def _list(endpoint: Endpoint, call: Call) -> bytes:
    provider = OpenAIProvider(endpoint)
    try:
        return provider.list_models(call, LONGEST)
    finally:
        provider.close()


def _listed(body: bytes, wanted: str | None) -> Checked:
    try:
        document = orjson.loads(body)
        entries = document["data"] if isinstance(document, dict) else []
        names = tuple(entry["id"] for entry in entries if isinstance(entry.get("id"), str))
    except (ValueError, KeyError, TypeError, AttributeError):
        return Checked(False, _("It answers, but with something else than a list of models. Is the address right?"))
    if not names:
        return Checked(False, _("It answers, and says that it offers no model."))
    shown = ", ".join(name[:80] for name in names[:SHOWN]) + (" …" if len(names) > SHOWN else "")
    words = _("It answers, and offers %(n)s models: %(names)s.", n=len(names), names=shown)
    if wanted and wanted not in names:
        return Checked(False, words + " " + _("“%(model)s” is not among them.", model=wanted), names)
    return Checked(True, words, names)


def _words_of(error: Exception, seconds: float) -> Text:
    """What went wrong. Nothing the other side said is handed on: it may quote the key."""
    if isinstance(error, TimeoutError | APITimeoutError | httpx2.TimeoutException | Stopped):
        return _("It did not answer in time (%(n)s s).", n=round(seconds))
    if isinstance(error, APIStatusError):
        return _words_of_status(error.status_code)
    if isinstance(error, APIConnectionError) and isinstance(error.__cause__, httpx2.ConnectError):
        return _("Nothing answers at this address. Check it, and that the server runs and can be reached from here.")
    if isinstance(error, ValueError):
        return _("It sends more than a list of models can be.")
    if isinstance(error, openai.OpenAIError | httpx2.HTTPError):
        return _("It broke off, or its answer can't be read.")
    raise error


def _words_of_status(status: int) -> Text:
    if status in (401, 403):
        return _("It refuses the key.")
    if status == 404:
        return _("It answers, but has no list of models there. Most addresses end in /v1.")
    if 300 <= status < 400:
        return _("It sends us on to another address. Write the one it leads to: a key goes to no other host.")
    if status == 429:
        return _("It says that it is busy: try again later.")
    return _("It answers with an error of its own (%(status)s).", status=status)
