"""Probes at random: ids of another client in every place of every route, as everybody there is.

No canary of the other client comes back, nothing of it changes, and no answer tells an id that is from one that never was.
"""

from collections import Counter
from difflib import unified_diff
from typing import Any

import pytest

from tests.isolation.cast import Cast
from tests.isolation.chance import Chance, Pair, Prober
from tests.isolation.filling import emails_of, fill, ids_in, rows_of, use_it
from tests.isolation.probes import outcome
from tests.world import BAKERY, OTHER

PROBES = 500  # in all, on each database; ten times as many by night
SEEDS = [1, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(2, 12))]
TROUBLE = {502, 503, 504}  # of a provider, at the doors of signing in with one
CALLERS = {
    OTHER: ("olga", "charlie", "dora", "root_elsewhere", "outsider", "chatter", "reader", "looker", "vera_elsewhere"),
    BAKERY: ("vera", "walt", "alice", "bob", "ulla", "dora_here", "program", "looker"),
}


@pytest.fixture
def full(people: Cast) -> Cast:
    """Both clients full of canaries: what the bakery has is marked «bakery», what the other shop has «other»."""
    use_it(people, people.vera, people.program, "bakery")
    use_it(people, people.olga, people.outsider, "other")
    fill(people.world, BAKERY, "bakery")
    fill(people.world, OTHER, "other")
    return people


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("own", "foreign", "mark"), [(OTHER, BAKERY, "CNRY-bakery"), (BAKERY, OTHER, "CNRY-other")])
def test_nothing_of_another_client_is_found(full: Cast, own: str, foreign: str, mark: str, seed: int) -> None:
    world = full.world
    before = rows_of(world, foreign)
    chance = Chance(world.app, ids_in(before) | {"emails": emails_of(world, foreign)}, foreign, seed)
    probers = [Prober.of(full.callers[name]) for name in CALLERS[own]]
    seen: Counter[int] = Counter()
    for number in range(PROBES // 2):
        prober = probers[number % len(probers)]
        seen.update(check(chance, prober, number, mark))
    assert rows_of(world, foreign) == before
    assert {200, 303, 401, 403, 404} <= set(seen)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_of_another_visitor_is_found(full: Cast, seed: int) -> None:
    """Those who may chat on the same page, and a program with another key: Vera's conversations are hers."""
    mine = veras(full)
    chance = Chance(full.world.app, ids_in(mine), OTHER, 30 + seed)
    probers = [Prober.of(full.callers[name]) for name in ("walt", "ulla", "bob", "alice", "colleague")]
    for number in range(PROBES // 5):
        prober = probers[number % len(probers)]
        check(chance, prober, number, "CNRY-bakery-said")
    assert veras(full) == mine


def veras(people: Cast) -> dict[str, list[dict[str, Any]]]:
    """What Vera has at the bakery, row by row."""
    rows = rows_of(people.world, BAKERY)
    [first] = [row for row in rows["message"] if row["content"] == "CNRY-bakery-said-one"]
    [mine] = [row["visitor_id"] for row in rows["conversation"] if row["id"] == first["conversation_id"]]
    theirs = {row["id"] for row in rows["conversation"] if row["visitor_id"] == mine}
    kept = {"conversation": [row for row in rows["conversation"] if row["id"] in theirs]}
    return kept | {
        name: [row for row in rows[name] if row["conversation_id"] in theirs] for name in ("turn", "message")
    }


def check(chance: Chance, prober: Prober, number: int, mark: str) -> list[int]:
    """Make a pair of requests and judge it. A pair may differ once, where the first of them changed something of its own."""
    kept = chance.random.getstate()
    pair = chance.pair(prober, number)
    if difference(pair):
        chance.random.setstate(kept)
        pair = chance.pair(prober, number)
        assert not difference(pair), (prober.caller.name, pair.asked)
    for answer in pair.answers:
        said = answer.get_data(as_text=True) + str(answer.headers)
        assert mark not in said, (prober.caller.name, pair.asked)
        is_trouble = pair.endpoint.startswith("oauth.") and answer.status_code in TROUBLE
        assert answer.status_code < 500 or is_trouble, (prober.caller.name, pair.asked, said)
    return [answer.status_code for answer in pair.answers]


def difference(pair: Pair) -> list[str]:
    """What tells a foreign id from its twin, line by line."""
    first, second = (outcome(answer, *typed) for answer, typed in zip(pair.answers, pair.typed, strict=True))
    return [
        line
        for line in unified_diff(lines_of(first), lines_of(second), n=0, lineterm="")
        if line[:3] not in ("---", "+++")
    ]


def lines_of(seen: tuple[int, list[tuple[str, str]], str]) -> list[str]:
    status, headers, body = seen
    return [str(status), *(f"{name}: {value}" for name, value in headers), *body.splitlines()]
