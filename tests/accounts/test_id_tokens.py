"""ID tokens of a provider that speaks for every directory, as Microsoft does: each directory is an issuer of its own."""

import time
from typing import Any

import pytest

from chatbot.accounts.openid.errors import AnswerRefused
from chatbot.accounts.openid.id_tokens import Expected, check_id_token
from tests.accounts.fake_provider import KEY, FakeProvider, signed

ANY = "https://login.microsoftonline.com/{tenantid}/v2.0"
OURS, THEIRS = "11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"


def check(key: dict[str, Any] | None = None, expected: str = ANY, **claims: Any) -> str:
    """The issuer of a token with `claims`, checked; `key` changes what is published."""
    now = int(time.time())
    own = {"iss": ANY.replace("{tenantid}", OURS), "tid": OURS, "sub": "x", "aud": "shaman", "nonce": "n"}
    token = signed(FakeProvider(), own | {"iat": now - 300, "exp": now + 3600} | claims)
    published = KEY.as_dict(private=False) | (key or {})
    wanted = Expected("Microsoft", expected, "shaman", "n", time.time(), backdated=300)
    return str(check_id_token(token, None, wanted, lambda _kid: [published])["iss"])


@pytest.fixture(autouse=True)
def words(app: Any) -> Any:
    with app.test_request_context():
        yield


pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def test_each_directory_is_its_own_issuer() -> None:
    assert check() == f"https://login.microsoftonline.com/{OURS}/v2.0"
    assert (
        check(iss=ANY.replace("{tenantid}", THEIRS), tid=THEIRS) == f"https://login.microsoftonline.com/{THEIRS}/v2.0"
    )
    assert check(key={"issuer": ANY}) == check(key={"issuer": ANY.replace("{tenantid}", OURS)}) == check()


@pytest.mark.parametrize(
    "claims",
    [
        {"tid": THEIRS},
        {"tid": None},
        {"tid": "{tenantid}", "iss": ANY},
        {"tid": "x/../y", "iss": "https://login.microsoftonline.com/x/../y/v2.0"},
        {"iss": f"https://evil.example/{OURS}/v2.0"},
        {"iss": ANY},
    ],
    ids=str,
)
def test_directory_and_issuer_belong_together(claims: dict[str, Any]) -> None:
    with pytest.raises(AnswerRefused):
        check(**claims)


def test_key_of_another_directory_signs_nothing() -> None:
    with pytest.raises(AnswerRefused):
        check(key={"issuer": ANY.replace("{tenantid}", THEIRS)})


def test_one_directory_alone_may_be_expected() -> None:
    assert check(expected=ANY.replace("{tenantid}", OURS))
    with pytest.raises(AnswerRefused):
        check(expected=ANY.replace("{tenantid}", THEIRS))


def test_dating_back_has_its_end() -> None:
    with pytest.raises(AnswerRefused, match="refused") as refused:
        check(iat=int(time.time()) - 420)
    assert "clocks" in str(refused.value.detail)
