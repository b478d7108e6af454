"""The settings: a bad value stops the start with one line that names it; secrets are made once and kept."""

import base64
import os
import secrets
import stat
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from chatbot import config
from chatbot.config import BadSetting, load_settings
from chatbot.guessable import is_guessable

ROOT = Path(__file__).parent.parent

GUESSABLE = """
secret
dev
changeme
SECRET_KEY
password
flowise
mysecretkey
super-secret
secret-key
you-will-never-guess
hard to guess string
this is a secret key
your-secret-key-here
your_secret_key
your-secret-key-here-change-in-production
your-super-secret-key-change-this-in-production-please
change-this-in-production
CHANGE_ME_TO_A_COMPLEX_RANDOM_SECRET
YOUR_OWN_RANDOM_GENERATED_SECRET_KEY
TEST_NON_DEV_SECRET_TEST_NON_DEV_SECRET
thisISaSECRET_1234thisISaSECRET_1234
replace_with_lengthy_secure_hex
super-secret-jwt-token-with-at-least-32-characters-long
your-super-secret-jwt-token-with-at-least-32-characters-long
please-generate-a-long-random-secret-here
insecure-default-key-do-not-use-in-production
django-insecure-4x1@b6g0l(8j!k2#v$m9q7z^w5n&c3r*t+y-u=e
a-very-long-and-secure-random-string-for-sessions
the-quick-secret-key-for-the-chatbot-app-2024-prod
s3cr3t-k3y-f0r-fl4sk-s3ss10ns-d0-n0t-us3
SuperSecretPassphraseForMyFlaskApplication!
MyVerySecretKeyForTheProductionServer123456
supersecretsupersecretsupersecret
secret-secret-secret-secret-secret
local-development-secret-key-0001
00000000000000000000000000000000
aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
cccccccccccccccccccccccccccccccc
0123456789abcdef0123456789abcdef
12345678901234567890123456789012
abcdefghijklmnopqrstuvwxyz012345
abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ
qwertyuiopasdfghjklzxcvbnm123456
qwerty123456qwerty123456qwerty123456
deadbeefdeadbeefdeadbeefdeadbeef
changeit-changeit-changeit-changeit
toBeModified1,toBeModified2,toBeModified3
192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf
5791628bb0b13ce0c676dfde280ba245
09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7
c292a0a3aa32397cdb050e233733900f
16f8c0ef4a5d391b26034086c628469d3f9f497f08163ab9b40137092f2909ef
sk-9f73s3ljTXVcMT3Blb3ljTqtsKiGHXVcMT3BlbkFJLK7U
""".strip().splitlines()

BAD: list[tuple[str, Any]] = [
    ("PORT", "0"),
    ("PORT", "65536"),
    ("PORT", "http"),
    ("PUBLIC_URL", "chat.example.com"),
    ("PUBLIC_URL", "ftp://chat.example.com"),
    ("PUBLIC_URL", "https://"),
    ("PUBLIC_URL", "https://chat.example.com:port"),
    ("PUBLIC_URL", "https://chat.example.com?x=1"),
    ("DATABASE_URL", "mysql://somewhere/shaman"),
    ("DATABASE_URL", "postgresql://somewhere/shaman"),
    ("DATABASE_URL", "postgresql+psycopg://somewhere:port/shaman"),
    ("DATABASE_OWNER_URL", "shaman.db"),
    ("REDIS_URL", "localhost:6379"),
    ("REDIS_URL", "http://localhost"),
    ("REDIS_URL", "redis://localhost:port/0"),
    ("WEB_WORKERS", "2"),
    ("WEB_WORKERS", "0"),
    ("WEB_WORKERS", "many"),
    ("WEB_CONNECTIONS", "1"),
    ("OPENAI_BASE_URL", "localhost:11434/v1"),
    ("CHAT_TIMEOUT", "0"),
    ("CHAT_TIMEOUT", "nan"),
    ("TURN_TIMEOUT", "-1"),
    ("TURN_TIMEOUT", "inf"),
    ("MAX_CONTEXT_MESSAGES", "-1"),
    ("DEFAULT_TEMPERATURE", "2.1"),
    ("DEFAULT_TEMPERATURE", "warm"),
    ("DEFAULT_MAX_TOKENS", "0"),
    ("MESSAGE_LIMIT", "1e3"),
    ("ANSWER_LIMIT", "1"),
    ("CHAT_RATE_LIMIT", "5 per fortnight"),
    ("CHAT_RATE_LIMIT", "often"),
    ("JWT_EXPIRE_MINUTES", "0"),
    ("TRUSTED_PROXIES", "-1"),
    ("GRACE_SECONDS", "forever"),
    ("LOG_LEVEL", "LOUD"),
    ("ENCRYPTION_KEYS", "short"),
    ("ENCRYPTION_KEYS", f"{base64.urlsafe_b64encode(bytes(32)).decode()},short"),
    ("SECRET_KEY", "changeme"),
]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """An environment and a project folder of the test's own: nothing of the machine's shows."""
    clean = {name: value for name, value in os.environ.items() if name not in config.Settings.model_fields}
    monkeypatch.setattr(os, "environ", clean)
    monkeypatch.setattr(config, "PROJECT", tmp_path)
    return clean


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_value_stops_the_start_and_is_named(
    name: str, value: str, environment: dict[str, str], tmp_path: Path
) -> None:
    environment |= {name: value, "INSTANCE": str(tmp_path)}
    with pytest.raises(BadSetting) as refused:
        load_settings()
    assert name in str(refused.value) and "\n" not in str(refused.value) and len(str(refused.value)) < 200


def test_a_bad_secret_is_not_repeated(environment: dict[str, str]) -> None:
    for name, value in (
        ("REDIS_URL", "x://user:hunter2@host"),
        ("DATABASE_URL", "x://user:hunter2@host"),
        ("ENCRYPTION_KEYS", "hunter2"),
    ):
        environment[name] = value
        with pytest.raises(BadSetting) as refused:
            load_settings()
        assert "hunter2" not in str(refused.value)
        del environment[name]


def test_the_start_ends_with_one_line_and_no_traceback(tmp_path: Path) -> None:
    given = {"PORT": "0", "INSTANCE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", "from chatbot.config import load_settings; load_settings()"],
        cwd=ROOT, env=os.environ | given, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "PORT" in done.stderr


def test_every_default_can_be_used(environment: dict[str, str], tmp_path: Path) -> None:
    settings = load_settings(INSTANCE=str(tmp_path / "new" / "instance"))
    assert settings.is_sqlite and settings.database_file == tmp_path / "new" / "instance" / "shaman.db"
    assert settings.PUBLIC_URL == "http://127.0.0.1:5000" and not settings.is_https and not settings.has_model


def test_an_empty_value_is_the_default(environment: dict[str, str], tmp_path: Path) -> None:
    environment |= {"PORT": "", "REDIS_URL": "", "INSTANCE": str(tmp_path)}
    settings = load_settings()
    assert (settings.PORT, settings.REDIS_URL) == (5000, None)


def test_an_ipv6_host_makes_a_sound_address(environment: dict[str, str], tmp_path: Path) -> None:
    assert load_settings(HOST="::1", PORT="8000", INSTANCE=str(tmp_path)).PUBLIC_URL == "http://[::1]:8000"


def test_dot_env_is_read_and_the_environment_goes_first(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=7001\nWEB_CONNECTIONS=9\nDEFAULT_CLIENT=bakery\n")
    environment |= {"PORT": "7002", "INSTANCE": str(tmp_path)}
    settings = load_settings(DEFAULT_CLIENT="given")
    assert (settings.PORT, settings.WEB_CONNECTIONS, settings.DEFAULT_CLIENT) == (7002, 9, "given")


def test_more_workers_need_redis(environment: dict[str, str], tmp_path: Path) -> None:
    assert load_settings(WEB_WORKERS="2", REDIS_URL="redis://127.0.0.1/0", INSTANCE=str(tmp_path)).WEB_WORKERS == 2


def test_a_database_folder_that_is_not_there_is_named(environment: dict[str, str], tmp_path: Path) -> None:
    from chatbot import create_app

    with pytest.raises(BadSetting, match="DATABASE_URL"):
        create_app(INSTANCE=str(tmp_path), DATABASE_URL=f"sqlite:///{tmp_path}/nowhere/shaman.db")


@pytest.mark.parametrize("place", ["a-file", "a-file/below"])
def test_an_instance_folder_that_cannot_be_made_is_named(
    place: str, environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "a-file").write_text("")
    with pytest.raises(BadSetting, match="INSTANCE") as refused:
        load_settings(INSTANCE=str(tmp_path / place))
    assert "\n" not in str(refused.value)


# --- secrets --------------------------------------------------------------------------------------------------------


def test_secrets_are_made_once_for_their_owner_alone(environment: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "instance"
    first, again = load_settings(INSTANCE=str(folder)), load_settings(INSTANCE=str(folder))
    assert (first.SECRET_KEY, first.ENCRYPTION_KEYS) == (again.SECRET_KEY, again.ENCRYPTION_KEYS)
    assert not is_guessable(first.SECRET_KEY) and stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {
        "secret_key": 0o600,
        "encryption_keys": 0o600,
    }


def test_two_installations_have_two_secrets(environment: dict[str, str], tmp_path: Path) -> None:
    one, other = (load_settings(INSTANCE=str(tmp_path / name)) for name in ("one", "other"))
    assert one.SECRET_KEY != other.SECRET_KEY and one.ENCRYPTION_KEYS != other.ENCRYPTION_KEYS


def test_processes_that_start_together_keep_one_secret(environment: dict[str, str], tmp_path: Path) -> None:
    for round_ in range(20):
        gate = threading.Barrier(8)

        def start(_: int, gate: threading.Barrier = gate, folder: str = str(tmp_path / str(round_))) -> str:
            gate.wait()
            return load_settings(INSTANCE=folder).SECRET_KEY

        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(start, range(8)))) == 1


def test_an_emptied_secret_file_is_never_replaced(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "secret_key").write_text("")
    with pytest.raises(BadSetting, match="secret_key"):
        load_settings(INSTANCE=str(tmp_path))
    assert (tmp_path / "secret_key").read_text() == ""


def test_guessable_keys_are_refused(environment: dict[str, str], tmp_path: Path) -> None:
    accepted = [key for key in GUESSABLE if not is_guessable(key)]
    assert accepted == [] and len(GUESSABLE) >= 50
    with pytest.raises(BadSetting, match="SECRET_KEY") as refused:
        load_settings(SECRET_KEY=GUESSABLE[-1], INSTANCE=str(tmp_path))
    assert "\n" not in str(refused.value) and GUESSABLE[-1] not in str(refused.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: secrets.token_hex(32),
        lambda: secrets.token_hex(32).upper(),
        lambda: secrets.token_urlsafe(32),
        lambda: base64.b64encode(secrets.token_bytes(32)).decode(),
        lambda: base64.b32encode(secrets.token_bytes(32)).decode(),
        lambda: secrets.token_urlsafe(48),
        lambda: "".join(secrets.choice("0123456789") for _ in range(77)),
        lambda: f"{uuid.uuid4()}-{uuid.uuid4()}",
    ],
    ids=["hex", "HEX", "urlsafe", "base64", "base32", "urlsafe 48", "digits", "two uuids"],
)
def test_random_keys_are_accepted(make: Any) -> None:
    assert [key for key in (make() for _ in range(500)) if is_guessable(key)] == []
