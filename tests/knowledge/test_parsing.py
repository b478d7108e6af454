"""From bytes to passages, whatever the bytes: each of these once took minutes, and the test's time-out is its judge."""

import pytest

from chatbot.knowledge.parsing import MARKDOWN, PLAIN, Document, Unreadable, parse
from chatbot.knowledge.passages import cut, first_heading

FIVE_MB = 5 * 1024 * 1024
SPACES = " " * (FIVE_MB - 100)


def outcome(media_type: str, text: str) -> Document | str:
    try:
        return parse("page.md", media_type, text.encode())
    except Unreadable as error:
        return error.reason


@pytest.mark.parametrize(
    "media_type, text",
    [
        (PLAIN, "x" * FIVE_MB),
        (MARKDOWN, "x" * FIVE_MB),
        (MARKDOWN, "日本語" * (FIVE_MB // 9)),
        (MARKDOWN, "x\n" * (FIVE_MB // 2)),
        (MARKDOWN, f"# a{SPACES}b\n\ntext"),
        (MARKDOWN, f"---\ntitle: a{SPACES}b\n---\ntext"),
        (MARKDOWN, "---\n" + "---   x\n" * (FIVE_MB // 8)),
    ],
    ids=range(7),
)
def test_large_texts_of_any_shape_come_to_an_end(media_type, text):
    assert outcome(media_type, text)


def test_long_text_is_cut_without_losing_a_word_or_its_place():
    text = "".join(f"Word {number} of a text.{' ' if number % 9 else chr(10)}" for number in range(5000))
    passages = cut(text)
    assert " ".join(passage.text for passage in passages).split() == text.split()
    assert all(text.startswith(passage.text, passage.start) for passage in passages)


@pytest.mark.parametrize(
    "text, heading",
    [("## Two\n# One #\n# Other", "One"), ("# C#", "C#"), ("#\n#x\ntext", ""), ("   # One   ##  ", "One")],
)
def test_first_heading(text, heading):
    assert first_heading(text) == heading
