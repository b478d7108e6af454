"""A client's colour can be read, whatever it is."""

import colorsys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot.chat.look import DARK, ENOUGH, LIGHT, contrast, readable, stylesheet
from chatbot.tenants.settings import Look

COLOURS = st.tuples(*(st.integers(0, 255) for _ in range(3)))


@given(COLOURS)
def test_any_colour_is_nudged_until_it_can_be_read(colour: tuple[int, int, int]) -> None:
    assert contrast(readable(colour, LIGHT), LIGHT) >= ENOUGH
    assert contrast(readable(colour, DARK), DARK) >= ENOUGH


@given(COLOURS)
def test_text_on_the_colour_can_be_read(colour: tuple[int, int, int]) -> None:
    for ground in (LIGHT, DARK):
        button = readable(colour, ground)
        assert max(contrast(button, LIGHT), contrast(button, DARK)) >= ENOUGH


def test_a_colour_that_can_be_read_is_left_alone() -> None:
    assert readable((10, 80, 100), LIGHT) == (10, 80, 100)


@pytest.mark.parametrize("hue", [0, 0.2, 0.4, 0.6, 0.8])
def test_the_stylesheet_sets_both_themes(hue: float) -> None:
    red, green, blue = (round(part * 255) for part in colorsys.hsv_to_rgb(hue, 1, 1))
    css = stylesheet(Look(colour=f"#{red:02x}{green:02x}{blue:02x}", font_size=18))
    assert css.count("--client:") == 2
    assert "--font-size:18px" in css
