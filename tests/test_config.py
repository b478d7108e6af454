"""Settings: defaults that work, and one line for a value that can't."""

import pytest

from chatbot.config import BadSetting, load_settings

BAD = {
    "PORT": ["0", "65536", "many"],
    "PUBLIC_URL": ["chat.example.com", "ftp://chat.example.com", "https://"],
    "DATABASE_URL": ["mysql://somewhere", "shaman.db"],
    "WEB_WORKERS": ["0", "2"],
    "CHAT_TIMEOUT": ["0", "soon"],
    "DEFAULT_TEMPERATURE": ["-1", "3"],
    "CHAT_RATE_LIMIT": ["often", ""],
    "OPENAI_BASE_URL": ["127.0.0.1:11434"],
    "TRUSTED_PROXIES": ["-1", "all"],
    "LOG_LEVEL": ["loud"],
    "SECRET_KEY": ["secret", "changeme-changeme-changeme-changeme", "a" * 64],
    "ENCRYPTION_KEYS": ["not-a-key"],
}


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in BAD:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name, value", [(name, value) for name, values in BAD.items() for value in values])
def test_a_bad_value_is_one_line_that_names_it(tmp_path, name, value):
    with pytest.raises(BadSetting) as refused:
        load_settings(INSTANCE=str(tmp_path), **{name: value})
    assert name in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["SECRET_KEY", "ENCRYPTION_KEYS", "DATABASE_URL"])
def test_a_refused_secret_is_not_shown(tmp_path, name):
    with pytest.raises(BadSetting) as refused:
        load_settings(INSTANCE=str(tmp_path), **{name: "geheim"})
    assert "geheim" not in str(refused.value)


def test_nothing_needs_to_be_set(tmp_path):
    settings = load_settings(INSTANCE=str(tmp_path))
    assert settings.PUBLIC_URL == "http://127.0.0.1:5000"
    assert settings.database_file == tmp_path / "shaman.db"
    assert not settings.has_model


def test_secrets_are_made_once(tmp_path):
    first, second = load_settings(INSTANCE=str(tmp_path)), load_settings(INSTANCE=str(tmp_path))
    assert (first.SECRET_KEY, first.ENCRYPTION_KEYS) == (second.SECRET_KEY, second.ENCRYPTION_KEYS)
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600
