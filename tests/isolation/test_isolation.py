"""Nobody reaches what is not theirs, through any door. A foreign id and a made-up one are the same thing to a caller.

Every place of a route that takes an id has a probe. A new route, field or query value without one, or without a word on
why it needs none, fails this page.
"""

import ast

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from tests.isolation.cast import Cast, refusal
from tests.isolation.places import NO_IDS, name_read, places
from tests.isolation.probes import PROBES, Probe, outcome
from tests.isolation.probes_of_operators import PROBES_OF_OPERATORS
from tests.isolation.probes_of_people import PROBES_OF_PEOPLE

ALL = [*PROBES, *PROBES_OF_PEOPLE, *PROBES_OF_OPERATORS]


def test_every_place_that_takes_an_id_has_a_probe(app: Flask) -> None:
    probed = {probe.place for probe in ALL}
    covered = probed | {place.split()[-1] for place in probed} | {f"?{p.split('?')[1]}" for p in probed if "?" in p}
    found = set(places(app))
    missing = sorted(found - covered - set(NO_IDS))
    assert not missing, f"declare a probe, or say in NO_IDS why none is needed: {missing}"
    names = {name for rule in app.url_map.iter_rules() for name in rule.arguments}
    assert not set(NO_IDS) - found - names, "these are no places any more"


def test_the_walk_sees_a_new_route(app: Flask) -> None:
    app.add_url_rule("/new/<thing_id>", "new", lambda thing_id: "")
    assert "GET /new/<thing_id>" in set(places(app)) - {probe.place for probe in ALL}


@pytest.mark.parametrize(
    ("code", "place"),
    [
        ('request.args.get("thing")', "?thing"),
        ('request.form.getlist("things", type=int)', "?things"),
        ('request.headers.get("X-Thing")', "X-Thing"),
        ("request.args.get(name)", None),
        ("request.args.items()", None),
    ],
)
def test_the_walk_reads_what_is_read(code: str, place: str | None) -> None:
    assert name_read(ast.parse(code, mode="eval").body) == place


@pytest.mark.parametrize("of", ["chat-and-api", "people", "operators"])
def test_a_foreign_id_is_as_good_as_none(of: str, people: Cast) -> None:
    for probe in {"chat-and-api": PROBES, "people": PROBES_OF_PEOPLE, "operators": PROBES_OF_OPERATORS}[of]:
        is_shut(probe, people)


def is_shut(probe: Probe, people: Cast) -> None:
    owner, right = people.callers[probe.owner], probe.right(people.world.app)
    assert_success(probe, probe.use(owner, probe.make(owner)))
    target = probe.make(owner)
    made_up = probe.twin(target)
    for stranger in people.strangers_to(probe.owners(people.world.app)):
        where = f"{probe.place}, as {stranger.name}"
        foreign, unknown = (probe.use(stranger, id_) for id_ in (target, made_up))
        assert outcome(foreign, target) == outcome(unknown, made_up), where
        assert foreign.status_code == expected_of(probe, refusal(right, stranger, probe.scope)), where
        assert b"CNRY" not in foreign.get_data(), where
    assert probe.use(owner, made_up).status_code == probe.made_up, probe.place
    assert_success(probe, probe.use(owner, target))


def expected_of(probe: Probe, status: int) -> int:
    return probe.made_up if status == 404 else status


def assert_success(probe: Probe, answer: TestResponse) -> None:
    assert answer.status_code < 400, (probe.place, answer.status_code, answer.get_data(as_text=True))
    assert probe.shows in answer.get_data(as_text=True), probe.place
