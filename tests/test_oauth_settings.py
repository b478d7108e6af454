"""The operator's sign-in providers: OAUTH_<NAME>_…, each whole or the start is stopped with one line."""

from pathlib import Path

import pytest

from chatbot.config import BadSetting, load_settings

URL = "https://login.example.com/x/.well-known/openid-configuration"
WHOLE = {"OAUTH_MY_IDP_CLIENT_ID": "id", "OAUTH_MY_IDP_CLIENT_SECRET": "hunter2", "OAUTH_MY_IDP_DISCOVERY_URL": URL}


def test_each_name_is_a_provider(tmp_path: Path) -> None:
    google = {"OAUTH_GOOGLE_CLIENT_ID": "g", "OAUTH_GOOGLE_CLIENT_SECRET": "s"}
    found = load_settings(INSTANCE=str(tmp_path), **WHOLE, **google).sign_in_providers
    assert list(found) == ["google", "my_idp"] and found["my_idp"].discovery_url == URL
    assert found["google"].discovery_url == "https://accounts.google.com/.well-known/openid-configuration"
    assert "hunter2" not in repr(found)


def test_environment_and_dot_env_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in WHOLE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OAUTH_EMPTY_CLIENT_ID", "")
    monkeypatch.setenv("OAUTH_SIGN_UP", "true")
    settings = load_settings(INSTANCE=str(tmp_path))
    assert list(settings.sign_in_providers) == ["my_idp"] and settings.OAUTH_SIGN_UP


@pytest.mark.parametrize("missing", WHOLE)
def test_half_of_one_stops_the_start_and_names_what_is_missing(missing: str, tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=missing) as refused:
        load_settings(INSTANCE=str(tmp_path), **WHOLE | {missing: ""})
    assert "\n" not in str(refused.value) and "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://login.example.com/.well-known/openid-configuration",
        "https://login.example.com",
        "https:///.well-known/openid-configuration",
        "https://login.example.com:port/.well-known/openid-configuration",
        "http://10.1.2.3/.well-known/openid-configuration",
        "ftp://127.0.0.1/.well-known/openid-configuration",
        "login.example.com/.well-known/openid-configuration",
    ],
)
def test_discovery_address_that_cannot_be_used(url: str, tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="OAUTH_MY_IDP_DISCOVERY_URL"):
        load_settings(INSTANCE=str(tmp_path), **WHOLE | {"OAUTH_MY_IDP_DISCOVERY_URL": url})


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "[::1]:9000"])
def test_this_machine_needs_no_https(host: str, tmp_path: Path) -> None:
    url = f"http://{host}/.well-known/openid-configuration"
    assert load_settings(INSTANCE=str(tmp_path), **WHOLE | {"OAUTH_MY_IDP_DISCOVERY_URL": url}).sign_in_providers


@pytest.mark.parametrize("name", ["CLIENT", "PASSKEY", "SECOND"])
def test_names_of_pages_are_taken(name: str, tmp_path: Path) -> None:
    given = {setting.replace("MY_IDP", name): value for setting, value in WHOLE.items()}
    with pytest.raises(BadSetting, match=f"OAUTH_{name}_CLIENT_ID"):
        load_settings(INSTANCE=str(tmp_path), **given)
