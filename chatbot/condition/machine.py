"""What Shaman stands on: database, disk, Redis, versions."""

import platform
import shutil
import sqlite3
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

from flask import Flask
from flask_babel import gettext as _
from sqlalchemy import func, select

from chatbot.config import PROJECT, Settings
from chatbot.db import across_tenants
from chatbot.health import schema_versions

PATIENCE = 0.8  # seconds for Redis to take a connection, and again to answer
LIBRARIES = ("flask", "sqlalchemy", "gunicorn", "openai", "authlib", "cryptography", "argon2-cffi", "psycopg", "redis")


@dataclass(frozen=True, slots=True)
class Database:
    """Sizes are in bytes; `log_size` is that of SQLite's write-ahead log, None on PostgreSQL, which keeps its own."""

    kind: str
    version: str
    size: int
    log_size: int | None
    schema: str | None
    wanted_schema: str | None


@dataclass(frozen=True, slots=True)
class Disk:
    """Where instance/ is, in bytes."""

    free: int
    total: int


@dataclass(frozen=True, slots=True)
class Redis:
    """`milliseconds` an answer took, None when there came none."""

    is_used: bool
    milliseconds: float | None = None
    version: str = ""


def database(app: Flask, settings: Settings) -> Database:
    """The database as it is now."""
    has, wants = schema_versions(app)
    file = settings.database_file
    if file is not None:
        return Database("SQLite", sqlite3.sqlite_version, _size(file), _size(Path(f"{file}-wal")), has, wants)
    with across_tenants(writes=False) as session:
        size = session.scalar(select(func.pg_database_size(func.current_database())))
        number = session.scalar(select(func.current_setting("server_version")))
    return Database("PostgreSQL", str(number), int(size or 0), None, has, wants)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def disk(settings: Settings) -> Disk:
    usage = shutil.disk_usage(settings.INSTANCE)
    return Disk(usage.free, usage.total)


def redis(settings: Settings) -> Redis:
    """Ask Redis whether it is there, for a second and a half at the most; without REDIS_URL there is none to ask."""
    if not settings.REDIS_URL:
        return Redis(is_used=False)
    from redis import Redis as Client
    from redis import RedisError
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    once = Retry(NoBackoff(), 0)
    client = Client.from_url(
        settings.REDIS_URL,
        socket_timeout=PATIENCE,
        socket_connect_timeout=PATIENCE,
        retry=once,
        single_connection_client=False,
    )
    began = time.monotonic()
    try:
        client.ping()
        took = (time.monotonic() - began) * 1000
        about = cast("dict[str, Any]", client.info("server"))
        return Redis(is_used=True, milliseconds=took, version=str(about.get("redis_version", "")))
    except (RedisError, OSError):
        return Redis(is_used=True)
    finally:
        client.close()


def versions() -> dict[str, str]:
    """Shaman, Python, and the libraries that matter, by name."""
    found = {_("Shaman"): _commit(PROJECT / ".git") or _("unknown"), "Python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _commit(folder: Path) -> str | None:
    """The commit that the checkout stands at, as it is written in `.git`; None for no checkout."""
    try:
        head = (folder / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head[:12]
        name = head.removeprefix("ref: ")
        if (folder / name).is_file():
            return (folder / name).read_text().strip()[:12]
        packed = (line.split(" ", 1) for line in (folder / "packed-refs").read_text().splitlines() if " " in line)
        return next((commit[:12] for commit, ref in packed if ref == name), None)
    except OSError:
        return None
