"""What was drawn is kept by its size."""

from chatbot.chat.drawn import Drawn


def test_draws_once_and_again_when_room_ran_out() -> None:
    drawn, calls = Drawn(room=40_000), []

    def draw(source: str) -> str:
        return drawn.get(source, "en", lambda: calls.append(source) or source * 3000)  # type: ignore[func-returns-value]

    assert draw("a") == draw("a")
    assert calls == ["a"]
    for source in "bcdefghijklmnop":
        draw(source)
    draw("a")
    assert calls.count("a") == 2
    assert drawn.size <= 40_000


def test_another_language_is_drawn_anew() -> None:
    drawn = Drawn(room=40_000)
    assert [drawn.get("a", label, lambda label=label: label) for label in ("Table", "Tabelle")] == ["Table", "Tabelle"]  # type: ignore[misc]


def test_what_is_too_large_is_not_kept() -> None:
    drawn = Drawn(room=8000)
    assert len(drawn.get("a", "", lambda: "b" * 5000)) == 5000
    assert drawn.size == 0
