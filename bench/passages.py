"""A made-up handbook of any length, always the same, for measuring with knowledge."""

import random
from pathlib import Path

GOODS = (
    "rye bread", "sourdough", "seeded loaf", "poppy roll", "plum cake", "apple pie", "walnut bread", "oat biscuit",
    "cinnamon bun", "cheese stick", "pretzel", "baguette",
)  # fmt: skip
DEEDS = (
    "is baked", "is delivered", "can be ordered", "may be returned", "is sliced", "is packed", "is kept warm",
    "can be frozen", "is labelled", "is weighed",
)  # fmt: skip
TIMES = (
    "before seven", "on Fridays", "in the afternoon", "two days ahead", "on the day itself", "at the weekend",
    "in December", "after closing", "by noon",
)  # fmt: skip
PLACES = (
    "at the harbour shop", "in the old town", "at the station", "from the van", "at the market", "in the bakehouse",
    "at the school", "by post",
)  # fmt: skip
RULES = (
    "ask for {other} if it is sold out",
    "the price is {price} euros and includes the bag",
    "it contains gluten and may contain traces of nuts",
    "keep the receipt for {days} days",
    "orders above {price} euros are free of charge for delivery",
    "call us at least {days} hours before",
    "our staff will gladly tell you more about {other}",
)


def sentence(rng: random.Random) -> str:
    """One sentence of some twenty words."""
    rule = rng.choice(RULES).format(other=rng.choice(GOODS), price=rng.randint(2, 90), days=rng.randint(2, 60))
    return f"The {rng.choice(GOODS)} {rng.choice(DEEDS)} {rng.choice(TIMES)} {rng.choice(PLACES)}; {rule}."


def write_passages(path: Path, count: int) -> Path:
    """A Markdown file of `count` sections, each one passage, as long as a paragraph of a shop's page (some 450 characters)."""
    rng = random.Random(7)
    sections = []
    for number in range(count):
        body = " ".join(sentence(rng) for _ in range(4))
        sections.append(f"## Rule {number + 1}: {rng.choice(GOODS)} {rng.choice(PLACES)}\n\n{body}\n")
    path.write_text("# The bakery's handbook\n\n" + "\n".join(sections), encoding="utf-8")
    return path
