"""The language of a page: the browser's, as far as there is a catalogue for it."""

from pathlib import Path

import pytest
from flask_babel import get_locale
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from chatbot.pages import choose_language, languages


@pytest.mark.parametrize(
    "asked, chosen",
    [
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("fr, pt-BR;q=0.5", "pt_BR"),
        ("en-GB,de;q=0.5", "en"),
        ("tlh", "en"),
        ("*", "en"),
        ("", "en"),
        ("de;q=0, pt-br", "pt_BR"),
        (";;q=x,,-_", "en"),
        ("x" * 5000, "en"),
    ],
)
def test_the_browsers_language_where_we_speak_it(asked, chosen):
    liked = parse_accept_header(asked, LanguageAccept)
    assert choose_language(liked, ["en", "de", "pt_BR"]) == chosen


def test_outside_a_request_it_is_our_own(app):
    with app.app_context():
        assert str(get_locale()) == "en"


def test_a_language_counts_once_its_catalogue_is_compiled(tmp_path: Path):
    for name in ("de/LC_MESSAGES/messages.mo", "fr/LC_MESSAGES/messages.po", "messages.pot"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert languages(tmp_path) == ["en", "de"]


@pytest.mark.parametrize("asked", ["de-AT,de;q=0.9", "zh", "*;q=0", "\x7f"])
def test_no_header_fails_a_page(client, asked):
    page = client.get("/login-that-is-not-there", headers={"Accept-Language": asked, "Accept": "text/html"})
    assert page.status_code == 404
    assert '<html lang="en"' in page.get_data(as_text=True)
