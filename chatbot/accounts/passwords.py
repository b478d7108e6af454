"""Passwords: which may be chosen, and their argon2 hashes.

A hash takes 64 MB and a tenth of a second of every processor, so a process makes two at once and lets a few more wait;
beyond that it says so. Nobody holds a transaction meanwhile: `turn()` is taken first, the database asked after.
"""

import threading
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from flask_babel import gettext as _

from chatbot.blocking import off_loop
from chatbot.errors import Unavailable

SHORTEST, LONGEST = 10, 1000  # characters
AT_ONCE, MOST_WAITING, PATIENCE = 2, 16, 10.0  # hashes, people, seconds
SHORTEST_NAME = 4  # letters of a name that a password may not hold

_hasher = PasswordHasher()
_free = threading.BoundedSemaphore(AT_ONCE + MOST_WAITING)
_working = threading.BoundedSemaphore(AT_ONCE)


def weakness(password: str, about: Iterable[str] = ()) -> str | None:
    """Why this password may not be chosen, in a sentence; None when it may. `about`: the person's e-mail, name, client."""
    password = unicodedata.normalize("NFKC", password)
    reason = None
    if len(password) < SHORTEST:
        reason = _("Choose a password of at least %(n)s characters. Several words are easy to remember.", n=SHORTEST)
    elif len(password) > LONGEST:
        reason = _("Choose a password of at most %(n)s characters.", n=LONGEST)
    elif password.casefold().rstrip("!?.*#$@") in _common() or len(set(password.casefold())) < 3:
        reason = _("This password is one of those that are guessed first. Choose another.")
    elif any(name in _letters(password) for name in _names(about)):
        reason = _("Choose a password without your name, your e-mail or the name of your business in it.")
    return str(reason) if reason else None


@contextmanager
def turn() -> Iterator[None]:
    """A turn at hashing. Raises Unavailable when too many wait already."""
    if not _free.acquire(blocking=False):
        raise _too_many()
    try:
        if not _working.acquire(timeout=PATIENCE):
            raise _too_many()
        try:
            yield
        finally:
            _working.release()
    finally:
        _free.release()


def hash_password(password: str) -> str:
    """The hash to keep. Raises Unavailable when too many wait for theirs."""
    with turn():
        return off_loop(lambda: _hasher.hash(_bytes(password)))


def is_right(password: str, kept: str | None) -> bool:
    """Whether `password` is the one of the hash `kept`; takes as long where there is none. For whoever has a `turn()`."""
    stand_in = _stand_in()
    try:
        return off_loop(lambda: _hasher.verify(kept or stand_in, _bytes(password))) and kept is not None
    except (VerificationError, InvalidHashError):
        return False


def renewed(password: str, kept: str) -> str | None:
    """A new hash where `kept` was made with other parameters than today's. For whoever has a `turn()`."""
    return off_loop(lambda: _hasher.hash(_bytes(password))) if _hasher.check_needs_rehash(kept) else None


def _too_many() -> Unavailable:
    return Unavailable(_("Many people are signing in just now. Please try again in a moment."), retry_after=5)


def _bytes(password: str) -> bytes:
    """What is hashed: one form for all the ways in which keyboards write a letter."""
    return unicodedata.normalize("NFKC", password[: LONGEST + 1]).encode("utf-8", "surrogatepass")


@lru_cache(1)
def _stand_in() -> str:
    return off_loop(lambda: _hasher.hash("nobody's"))


@lru_cache(1)
def _common() -> frozenset[str]:
    return frozenset(Path(__file__).with_name("common_passwords.txt").read_text("utf-8").split())


def _letters(text: str) -> str:
    """`text` in small letters and digits, without anything between them."""
    return "".join(filter(str.isalnum, text.casefold()))


def _names(about: Iterable[str]) -> set[str]:
    names = set()
    for text in about:
        text = text.rpartition(".")[0] if "@" in text else text  # an address's «com» is nobody's name
        parts = "".join(c if c.isalnum() else " " for c in unicodedata.normalize("NFKC", text)).split()
        names |= {_letters(part) for part in [text, *parts] if len(_letters(part)) >= SHORTEST_NAME}
    return names
