"""The settings of one installation: the only reader of the environment.

`load_settings()` reads `.env` (python-dotenv) and the environment, checks every value, makes the two secrets that
nobody gave, and stops the start with one line that names a bad value.
"""

import os
import secrets
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from dotenv import load_dotenv
from limits import parse_many
from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from chatbot.guessable import is_guessable
from chatbot.oauth_settings import ProviderSettings, read_providers
from chatbot.outbound.allowance import check_entries
from chatbot.smtp import read_sender, read_server

PROJECT = Path(__file__).resolve().parent.parent


class BadSetting(SystemExit):
    """A setting that cannot be used. Its text is the one line the operator reads."""


def _comma_list(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _rate(value: str) -> str:
    try:
        parse_many(value)
    except ValueError as error:
        raise ValueError("write it like '5 per minute' or '5 per minute; 100 per day'") from error
    return value


def _has_sound_port(address: str) -> bool:
    try:
        return urlsplit(address).port != 0
    except ValueError:
        return False


def _origin_url(value: str) -> str:
    parts = urlsplit(value)
    is_whole = parts.scheme in ("http", "https") and parts.hostname and not (parts.query or parts.fragment)
    if not is_whole or not _has_sound_port(value):
        raise ValueError("write a whole address, like https://chat.example.com")
    return value.rstrip("/")


def _fernet_keys(value: list[str]) -> list[str]:
    try:
        for key in value:
            Fernet(key)
    except ValueError as error:
        raise ValueError("each key is 32 random bytes in url-safe base64") from error
    return value


def _database_url(value: str) -> str:
    if not value.startswith(("sqlite:///", "postgresql+psycopg://")):
        raise ValueError("it must begin with sqlite:/// or postgresql+psycopg://")
    if not _has_sound_port(value):
        raise ValueError("write it like postgresql+psycopg://USER:PASSWORD@HOST:5432/DATABASE")
    return value


def _redis_url(value: str) -> str:
    if urlsplit(value).scheme not in ("redis", "rediss", "unix") or not _has_sound_port(value):
        raise ValueError("write it like redis://127.0.0.1:6379/0")
    return value


def _smtp_url(value: str) -> str:
    read_server(value)
    return value


def _mail_from(value: str) -> str:
    read_sender(value)
    return value


EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  compared with, not bound to

CommaList = Annotated[list[str], NoDecode, BeforeValidator(_comma_list)]


class Settings(BaseSettings):
    """Every setting of the README's table; names are those of the environment."""

    model_config = SettingsConfigDict(case_sensitive=True, extra="ignore", env_ignore_empty=True)

    HOST: str = "127.0.0.1"
    PORT: int = Field(default=5000, ge=1, le=65535)
    PUBLIC_URL: Annotated[str, AfterValidator(_origin_url)] = ""
    INSTANCE: Path = PROJECT / "instance"
    SECRET_KEY: str = ""
    ENCRYPTION_KEYS: Annotated[CommaList, AfterValidator(_fernet_keys)] = []
    DATABASE_URL: Annotated[str, AfterValidator(_database_url)] = ""
    DATABASE_OWNER_URL: Annotated[str, AfterValidator(_database_url)] = ""
    REDIS_URL: Annotated[str, AfterValidator(_redis_url)] | None = None
    WEB_WORKERS: int = Field(default=1, ge=1, le=64)
    WEB_CONNECTIONS: int = Field(default=512, ge=4, le=10_000)

    OPENAI_API_KEY: str | None = None
    OPENAI_BASE_URL: Annotated[str, AfterValidator(_origin_url)] | None = None
    OPENAI_MODEL: str | None = None
    OPENAI_EMBEDDING_MODEL: str | None = None
    CHAT_TIMEOUT: float = Field(default=30, gt=0, le=600)
    TURN_TIMEOUT: float = Field(default=300, gt=0, le=3600)
    MAX_CONTEXT_MESSAGES: int = Field(default=10, ge=0, le=200)
    DEFAULT_TEMPERATURE: float = Field(default=0.7, ge=0, le=2)
    DEFAULT_MAX_TOKENS: int = Field(default=1000, ge=1, le=100_000)
    MESSAGE_LIMIT: int = Field(default=8000, ge=100, le=100_000)
    ANSWER_LIMIT: int = Field(default=200_000, ge=1000, le=5_000_000)

    CHAT_RATE_LIMIT: Annotated[str, AfterValidator(_rate)] = "5 per minute"
    KEY_RATE_LIMIT: Annotated[str, AfterValidator(_rate)] = "6000 per minute"
    DEFAULT_CLIENT: str | None = None
    OAUTH_SIGN_UP: bool = False
    SIGN_IN_IDLE_MINUTES: int = Field(default=720, ge=1, le=43_200)
    SIGN_IN_HOURS: int = Field(default=168, ge=1, le=8760)
    JWT_EXPIRE_MINUTES: int = Field(default=30, ge=1, le=1440)
    CORS_ORIGINS: CommaList = []
    OUTBOUND_ALLOW: Annotated[CommaList, AfterValidator(check_entries)] = []
    TRUSTED_PROXIES: int = Field(default=0, ge=0, le=10)
    SMTP_URL: Annotated[str, AfterValidator(_smtp_url)] | None = None
    MAIL_FROM: Annotated[str, AfterValidator(_mail_from)] | None = None
    GRACE_SECONDS: float = Field(default=20, ge=1, le=600)
    LOG_LEVEL: Annotated[str, AfterValidator(str.upper), Field(pattern="^(?i:DEBUG|INFO|WARNING|ERROR|CRITICAL)$")] = (
        "INFO"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_addresses(cls, values: dict[str, Any]) -> dict[str, Any]:
        instance = Path(values.setdefault("INSTANCE", PROJECT / "instance")).resolve()
        values.setdefault("DATABASE_URL", f"sqlite:///{instance / 'shaman.db'}")
        values.setdefault("DATABASE_OWNER_URL", values["DATABASE_URL"])
        host, port = str(values.get("HOST", "127.0.0.1")), values.get("PORT", 5000)
        if host in EVERYWHERE:
            host = "localhost"  # where it listens is no address that people can open
        values.setdefault("PUBLIC_URL", f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
        return values

    @model_validator(mode="after")
    def _check_together(self) -> "Settings":
        if self.WEB_WORKERS > 1 and not self.REDIS_URL:
            raise ValueError("WEB_WORKERS above 1 needs REDIS_URL: without it there is one web process")
        if self.SMTP_URL and not self.MAIL_FROM:
            raise ValueError("SMTP_URL needs MAIL_FROM, the address that mail comes from")
        return self

    _keys_file: Path | None = PrivateAttr(default=None)
    _sign_in_providers: dict[str, ProviderSettings] = PrivateAttr(default_factory=dict)

    @property
    def sign_in_providers(self) -> dict[str, ProviderSettings]:
        """What OAUTH_<NAME>_… describe, by the name in lower case."""
        return self._sign_in_providers

    @property
    def keys_file(self) -> Path | None:
        """The file that ENCRYPTION_KEYS were read from; None when they are set."""
        return self._keys_file

    @property
    def is_https(self) -> bool:
        return self.PUBLIC_URL.startswith("https://")

    @property
    def is_sqlite(self) -> bool:
        return self.DATABASE_URL.startswith("sqlite:")

    @property
    def has_model(self) -> bool:
        """Whether a language model is connected; without one the built-in answerer speaks."""
        return bool(self.OPENAI_API_KEY or self.OPENAI_BASE_URL)

    @cached_property
    def database_file(self) -> Path | None:
        return Path(self.DATABASE_URL.removeprefix("sqlite:///")) if self.is_sqlite else None


def load_settings(**given: Any) -> Settings:
    """The settings of this installation. `given` (tests, tools) goes before the environment.

    Raises BadSetting, whose text is one line, for a value that cannot be used.
    """
    load_dotenv(PROJECT / ".env")
    values = {name: os.environ[name] for name in Settings.model_fields if os.environ.get(name)} | given
    try:
        settings = Settings(**values)
        settings._sign_in_providers = read_providers({**os.environ, **given})
    except ValidationError as error:
        raise BadSetting(_one_line(error)) from None
    except ValueError as error:
        raise BadSetting(f"Setting {error}") from None
    try:
        _keep_secrets(settings)
    except OSError as error:
        raise BadSetting(f"Setting INSTANCE: {error.filename or settings.INSTANCE}: {error.strerror}") from None
    return settings


def _keep_secrets(settings: Settings) -> None:
    settings.INSTANCE.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.SECRET_KEY = _refuse_guessable(settings.SECRET_KEY) or _kept_secret(
        settings.INSTANCE / "secret_key", lambda: secrets.token_urlsafe(48)
    )
    if not settings.ENCRYPTION_KEYS:
        settings._keys_file = settings.INSTANCE / "encryption_keys"
        settings.ENCRYPTION_KEYS = _kept_keys(settings._keys_file)


def _kept_keys(path: Path) -> list[str]:
    keys = _kept_secret(path, lambda: Fernet.generate_key().decode()).split(",")
    try:
        return _fernet_keys(keys)
    except ValueError as error:
        raise BadSetting(f"{path} holds no keys ({error}): restore it from your backup") from None


def _one_line(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    text = first["msg"].removeprefix("Value error, ")
    shown = f" (it is {first['input']!r})" if name and "KEY" not in name and "URL" not in name else ""
    return f"Setting {name}: {text}{shown}" if name else f"Settings: {text}"


def _kept_secret(path: Path, make: Any) -> str:
    """The secret in `path`, made once; the file is readable by its owner alone, and never there without its secret."""
    if not path.exists():
        new = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(make() + "\n")
        with suppress(FileExistsError):  # another process was first: its secret holds
            path.hardlink_to(new)
        new.unlink()
    value = path.read_text().strip()
    if not value:
        raise BadSetting(f"{path} is empty: restore it from your backup, or delete it to begin with a new secret")
    return value


def _refuse_guessable(key: str) -> str:
    """`key` itself, when it is empty or hard to guess; raises BadSetting for one that is not."""
    if key and is_guessable(key):
        raise BadSetting(
            "Setting SECRET_KEY: it can be guessed. Delete it, and one is made and kept in instance/, or give 32 random bytes."
        )
    return key
