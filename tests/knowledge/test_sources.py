"""Adding, replacing and deleting sources, and reading them."""

import json

import pytest
from sqlalchemy import select

from chatbot.db import across_tenants, as_tenant, write
from chatbot.errors import Conflict, Invalid, NotFound, TooLarge, WrongType
from chatbot.jobs import TRIES, Job, run_next
from chatbot.knowledge import reading, sources, store
from chatbot.knowledge.reading import give_up
from chatbot.knowledge.sources import find_source, list_sources
from chatbot.knowledge.store import Edition, NewPassage, Overtaken

PAGE = "---\ntitle: When we bake\nurl: https://bakery.example/times\n---\n# Bread\n\nRye is baked on Fridays."


def test_page_is_read_with_its_title_address_and_headings(shelf):
    source_id = shelf.put("times.md", PAGE)
    source, (passage,) = shelf.source(source_id), shelf.passages()
    assert (source.status, source.title, source.url) == ("ready", "When we bake", "https://bakery.example/times")
    assert (source.passage_count, passage.title, passage.heading) == (1, "When we bake", "Bread")
    assert passage.text == "Rye is baked on Fridays."


@pytest.mark.parametrize(
    "name, content, text",
    [
        ("a.md", "# Bread\n\nRye", "Rye"),
        ("a.TXT", "Rye\n", "Rye"),
        ("a.html", "<nav>menu</nav><h1>Bread</h1><p>Rye<script>x</script>", "Rye"),
        ("a.json", '[{"question": "Which bread?", "answer": "Rye"}]', "Rye"),
        ("a.jsonl", '\n{"question": "Which bread?", "answer": "Rye"}\n', "Rye"),
        ("windows.md", "\ufeff# Bread\r\n\r\nRye", "Rye"),
    ],
)
def test_kinds_that_can_be_read(shelf, name, content, text):
    assert shelf.source(shelf.put(name, content)).status == "ready"
    assert [passage.text for passage in shelf.passages()] == [text]


@pytest.mark.parametrize(
    "name, content, error",
    [
        ("logo.png", b"\x89PNG", WrongType),
        ("letter.docx", b"PK", WrongType),
        ("no-ending", b"text", WrongType),
        ("zero.md", b"a\0b", Invalid),
        ("latin.txt", "Käse".encode("latin-1"), Invalid),
        ("large.txt", b"a" * (5 * 1024 * 1024 + 1), TooLarge),
        ("two\nlines.md", b"text", Invalid),
        ("", b"text", Invalid),
        ("x" * 501 + ".md", b"text", Invalid),
    ],
)
def test_what_is_refused_at_the_door(shelf, name, content, error):
    with pytest.raises(error):
        shelf.add(name, content)


def test_content_type_counts_where_the_name_has_no_ending(shelf):
    assert shelf.source(shelf.add("notes", "text", "text/plain; charset=utf-8")).media_type == "text/plain"


@pytest.mark.parametrize(
    "name, content",
    [
        ("empty.md", " \n"),
        ("broken.json", "[{"),
        ("number.json", "5"),
        ("half.json", '[{"question": "Which bread?"}]'),
        ("lines.jsonl", '{"question": "a", "answer": "b"}\n{'),
        ("zero.json", r'[{"question": "a\u0000", "answer": "b"}]'),
        ("deep.json", "[" * 100_000),
        ("many.json", json.dumps([{"question": "q", "answer": "a"}] * 5001)),
        ("nothing.html", "<script>x</script>"),
    ],
)
def test_what_cannot_be_read_fails_with_a_reason(shelf, name, content):
    source = shelf.source(shelf.put(name, content))
    assert (source.status, shelf.passages()) == ("failed", [])
    assert source.reason.endswith(".")
    assert shelf.read() == 0


def test_old_passages_are_found_until_the_new_ones_are_there(shelf):
    shelf.put("bread.md", "Rye is baked on Fridays.")
    shelf.add("bread.md", "Rye is baked on Mondays.")
    assert "Fridays" in shelf.find("When is rye baked?")[0].text
    shelf.read()
    assert [found.text for found in shelf.find("When is rye baked?")] == ["Rye is baked on Mondays."]


def test_old_passages_stay_when_the_new_ones_cannot_be_read(shelf):
    source_id = shelf.put("bread.json", '{"question": "Rye?", "answer": "On Fridays."}')
    shelf.put("bread.json", "{")
    assert shelf.source(source_id).status == "failed"
    assert [passage.text for passage in shelf.passages()] == ["On Fridays."]


def test_same_bytes_are_not_read_again(shelf):
    source_id = shelf.put("bread.md", "Rye")
    before = shelf.version()
    assert shelf.add("bread.md", "Rye") == source_id
    assert (shelf.read(), shelf.version()) == (0, before)


def test_failed_source_is_tried_again(shelf):
    source_id = shelf.put("bread.json", "{")
    shelf.add("bread.json", "{")
    assert shelf.source(source_id).status == "waiting"


def test_pair_with_a_known_question_gets_a_new_answer(shelf):
    shelf.add_pair("Do you  deliver?", "No.")
    shelf.add_pair("do you deliver?", "On Fridays.")
    shelf.read()
    assert [passage.text for passage in shelf.passages()] == ["On Fridays."]


@pytest.mark.parametrize("question, answer", [("", "a"), ("q", " "), ("q" * 481, "a"), ("q", "a\0"), ("q", "\ud800")])
def test_pairs_that_are_refused(shelf, question, answer):
    with pytest.raises(Invalid):
        shelf.add_pair(question, answer)


def test_reading_twice_is_reading_once(shelf, app):
    source_id = shelf.put("bread.md", "Rye")
    version = shelf.version()
    with app.app_context():
        assert write(shelf.tenant_id, lambda unit: store.begin_reading(unit, source_id)) is None
    assert (len(shelf.passages()), shelf.version()) == (1, version)


def test_worker_that_died_while_reading_is_followed_by_another(shelf, app):
    source_id = shelf.add("bread.md", "Rye")
    with app.app_context():
        write(shelf.tenant_id, lambda unit: store.begin_reading(unit, source_id))
    assert shelf.source(source_id).status == "reading"
    shelf.read()
    assert (shelf.source(source_id).status, len(shelf.passages())) == ("ready", 1)


def test_reading_that_took_its_workers_down_is_given_up(shelf, app):
    source_id = shelf.add("bread.md", "Rye")
    with app.app_context():
        with across_tenants() as session:
            session.scalars(select(Job)).one().tries = TRIES
        assert (run_next("test"), give_up(), give_up()) == (False, 1, 0)
    assert shelf.source(source_id).status == "failed"
    shelf.put("bread.md", "Rye")
    assert shelf.source(source_id).status == "ready"


def test_worker_that_woke_late_changes_nothing(shelf, app):
    source_id = shelf.add("bread.md", "Rye on Fridays")
    late = Edition("of the late worker", source_id, shelf.source(source_id).sha256)
    stale = [NewPassage("t", "", "Rye on Fridays", "", b"")]
    with app.app_context():
        assert write(shelf.tenant_id, lambda unit: store.put_aside(unit, late, 0, stale))
        assert shelf.find("rye on fridays") == []
        shelf.put("bread.md", "Rye on Mondays")
        assert not write(shelf.tenant_id, lambda unit: store.put_aside(unit, late, 1, stale))
        assert not write(shelf.tenant_id, lambda unit: store.show_edition(unit, late, "t", None, 2))
    assert [passage.text for passage in shelf.passages()] == ["Rye on Mondays"]


def test_worker_whose_passages_were_cleared_away_shows_nothing(shelf, app):
    source_id = shelf.add("bread.md", "Rye on Fridays")
    half = Edition("half of it is gone", source_id, shelf.source(source_id).sha256)
    with app.app_context():
        write(shelf.tenant_id, lambda unit: store.put_aside(unit, half, 0, [NewPassage("t", "", "Rye", "", b"")]))
        with pytest.raises(Overtaken):
            write(shelf.tenant_id, lambda unit: store.show_edition(unit, half, "t", None, 2))
    assert shelf.source(source_id).status == "waiting"
    shelf.read()
    assert [passage.text for passage in shelf.passages()] == ["Rye on Fridays"]


def test_large_source_is_written_in_portions_and_replaced_whole(shelf, monkeypatch):
    monkeypatch.setattr(reading, "PORTION", 2)
    monkeypatch.setattr(store, "_PORTION", store._PORTION.limit(2))
    pairs = [{"question": f"Question {number}?", "answer": "Rye."} for number in range(5)]
    source_id = shelf.put("pairs.json", json.dumps(pairs))
    assert [passage.title for passage in shelf.passages()] == [f"Question {number}?" for number in range(5)]
    shelf.put("pairs.json", json.dumps(pairs[:3]))
    assert (len(shelf.passages()), shelf.source(source_id).passage_count) == (3, 3)


def test_client_has_so_many_passages_and_no_more(shelf, monkeypatch):
    monkeypatch.setattr(store, "MAX_PASSAGES", 3)
    pairs = [{"question": f"Question {number}?", "answer": "Rye."} for number in range(3)]
    first = shelf.put("pairs.json", json.dumps(pairs))
    second = shelf.source(shelf.put("one-more.md", "Rye"))
    assert (second.status, len(shelf.passages())) == ("failed", 3)
    assert "passages" in second.reason
    shelf.put("pairs.json", json.dumps(pairs))
    assert shelf.source(first).status == "ready", "its own old passages don't count"


def test_client_has_so_many_sources_and_no_more(shelf, monkeypatch):
    monkeypatch.setattr(sources, "MAX_SOURCES", 1)
    shelf.add("a.md", "Rye")
    shelf.add("a.md", "Rye again")
    with pytest.raises(Conflict):
        shelf.add("b.md", "Rye")


def test_deleting_takes_the_passages_along(shelf):
    source_id = shelf.put("bread.md", "Rye is baked on Fridays.")
    assert shelf.find("rye on fridays")
    shelf.delete(source_id)
    assert (shelf.passages(), shelf.find("rye on fridays")) == ([], [])


def test_source_deleted_before_it_was_read(shelf):
    shelf.delete(shelf.add("bread.md", "Rye"))
    shelf.read()
    assert (shelf.jobs("read_source"), shelf.passages()) == (0, [])


def test_sources_of_another_client_are_not_there(shelf, other_shelf, app):
    source_id = shelf.put("bread.md", "Rye")
    with app.app_context(), as_tenant(other_shelf.tenant_id):
        assert list_sources(10) == ([], None)
        with pytest.raises(NotFound):
            find_source(source_id)


def test_lists_by_page(shelf, app):
    names = [f"{number}.md" for number in range(5)]
    for name in names:
        shelf.add(name, name)
    seen, cursor = [], None
    with app.app_context(), as_tenant(shelf.tenant_id):
        while True:
            page, cursor = list_sources(2, cursor)
            seen += [source.name for source in page]
            if cursor is None:
                break
    assert sorted(seen) == names


@pytest.mark.parametrize("url", ["javascript:alert(1)", "https://a b", "//x", "https://[", "ftp://a/b", "x" * 3000])
def test_only_web_addresses_become_links(shelf, url):
    assert shelf.source(shelf.put("a.md", f"---\nurl: {url}\n---\ntext")).url is None
