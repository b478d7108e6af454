"""A client's colours as a stylesheet, nudged until text on them can be read (WCAG 2.2 AA)."""

from chatbot.tenants.settings import Look

ENOUGH = 4.5
LIGHT, DARK = (255, 255, 255), (21, 23, 26)  # the page's grounds, as in static/css/tokens.css
Colour = tuple[int, int, int]


def stylesheet(look: Look) -> str:
    """Sets `--client`, `--client-text`, `--client-soft` and `--font-size` for the light and the dark theme."""
    light = readable(_parse(look.colour), LIGHT)
    dark = readable(_parse(look.colour), DARK)
    return (
        f":root{{{_properties(light, LIGHT, 0.09)}--font-size:{look.font_size}px}}\n"
        f"@media (prefers-color-scheme:dark){{:root{{{_properties(dark, DARK, 0.2)}}}}}\n"
    )


def _properties(colour: Colour, ground: Colour, share: float) -> str:
    text = max((LIGHT, DARK), key=lambda candidate: contrast(colour, candidate))
    return f"--client:{_hex(colour)};--client-text:{_hex(text)};--client-soft:{_hex(_mix(colour, ground, share))};"


def readable(colour: Colour, ground: Colour) -> Colour:
    """`colour`, moved away from `ground` only as far as it must to be read on it."""
    away = (0, 0, 0) if ground == LIGHT else (255, 255, 255)
    for step in range(0, 101, 4):
        moved = _mix(away, colour, step / 100)
        if contrast(moved, ground) >= ENOUGH:
            return moved
    return away


def contrast(one: Colour, other: Colour) -> float:
    """WCAG's contrast ratio, 1 to 21."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: Colour) -> float:
    parts = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    """`share` of `one`, the rest of `other`."""
    red, green, blue = (round(a * share + b * (1 - share)) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _parse(value: str) -> Colour:
    return int(value[1:3], 16), int(value[3:5], 16), int(value[5:7], 16)


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
