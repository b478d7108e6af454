"""What a question finds: by meaning with the real embedder, by words, for one client alone."""

import threading

import pytest

from chatbot.knowledge import index
from chatbot.knowledge.index import IndexCache, indexes
from tests.embedders import Broken, Hashed, real, use

HOURS = "---\ntitle: Opening hours\nurl: https://bakery.example/hours\n---\n# The week\n\nWe are open from 8:00 to 18:00, on Saturdays until 13:00."
BREAD = "# Bread\n\nOur rye loaf costs 4 euros.\n\n# Cakes\n\nThe carrot cake is made without nuts."
SUNDAY = "# Sundays\n\nOn Sundays the bakery opens at 9:00 and sells rolls only."


@pytest.fixture
def known(shelf):
    use(shelf.app, real())
    for name, content in (("hours.md", HOURS), ("bread.md", BREAD), ("sunday.md", SUNDAY)):
        shelf.add(name, content)
    shelf.add_pair("Can I talk to a person?", "Ring 020 914 0137.")
    shelf.read()
    return shelf


def test_finds_what_is_said_in_other_words(known):
    best = known.find("when do you close on saturday")[0]
    assert (best.title, best.url, best.heading) == ("Opening hours", "https://bakery.example/hours", "The week")
    assert 0 < best.score <= 1


def test_finds_by_a_rare_word(known):
    assert known.find("rye")[0].text == "Our rye loaf costs 4 euros."


@pytest.mark.parametrize(
    "question", ["Who wrote Hamlet?", "quantum physics", "🥐", "?", " ", "\0", "\ud800", "x" * 9000]
)
def test_finds_nothing_where_nothing_answers(known, question):
    assert known.find(question) == []


def test_answered_question_comes_first(known):
    best = known.find("can I talk to a person")[0]
    assert (best.is_pair, best.text) == (True, "Ring 020 914 0137.")


def test_gives_as_many_as_asked(known):
    assert len(known.find("when is the bakery open", limit=2)) == 2


def test_short_question_leans_on_the_one_before(known):
    assert "9:00" in known.find("and on Sundays?", before="When is the bakery open?")[0].text
    assert known.find("how much is it?", before="Do you sell a rye loaf?")[0].text == "Our rye loaf costs 4 euros."


@pytest.mark.parametrize("question", ["Tell me about Napoleon", "thanks", "Who wrote Hamlet?"])
def test_new_subject_leans_on_nothing(known, question):
    assert known.find(question, before="When is the bakery open?") == []


def test_client_without_knowledge_needs_no_embedder(shelf):
    broken = Broken()
    use(shelf.app, broken)
    assert shelf.find("When do you open?") == []
    assert broken.asked == 0


def test_other_clients_find_nothing_of_it_and_rank_as_before(known, other_shelf):
    assert other_shelf.find("rye loaf") == []
    other_shelf.put("own.md", "The rye loaf of the other shop.")
    before = known.find("rye loaf")
    for number in range(20):
        other_shelf.add(f"{number}.md", f"rye loaf {number}")
    other_shelf.read()
    assert known.find("rye loaf") == before
    assert all("other shop" in found.text or "rye loaf" in found.text for found in other_shelf.find("rye loaf"))


def test_changed_embedder_finds_by_words_and_embeds_again_once(shelf):
    shelf.put("bread.md", BREAD)
    use(shelf.app, Hashed(32))
    assert shelf.find("rye loaf")[0].text == "Our rye loaf costs 4 euros."
    assert shelf.find("carrot cake")[0].heading == "Cakes"
    assert shelf.jobs("embed_again") == 1
    shelf.read()
    assert {passage.embedder for passage in shelf.passages()} == {"hashed-32"}
    assert (shelf.find("rye loaf")[0].title, shelf.jobs("embed_again")) == ("Bread", 0)


def test_broken_embedder_leaves_the_words(shelf):
    use(shelf.app, Broken())
    assert shelf.source(shelf.put("bread.md", BREAD)).status == "ready"
    assert shelf.find("rye loaf")[0].text == "Our rye loaf costs 4 euros."
    assert shelf.find("Who wrote Hamlet?") == []
    assert shelf.jobs("embed_again") == 1


def test_embedder_that_came_back_gives_the_missing_vectors(shelf):
    use(shelf.app, Broken())
    shelf.put("bread.md", BREAD)
    use(shelf.app, Hashed())
    shelf.find("rye")
    assert shelf.jobs("embed_again") == 1  # it waits for its time
    assert not any(passage.vector for passage in shelf.passages())


def test_index_is_loaded_once_for_many_at_once(known):
    seen = []

    def look() -> None:
        with known.app.app_context():
            seen.append(indexes().get(known.tenant_id, known.version(), real().name))

    with known.app.app_context():
        indexes().forget(known.tenant_id)
    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(index) for index in seen}) == 1


def test_indexes_used_last_are_kept(shelf, other_shelf):
    shelf.put("bread.md", BREAD)
    other_shelf.put("own.md", BREAD)
    small, name = IndexCache(limit=1), Hashed().name
    with shelf.app.app_context():
        first = small.get(shelf.tenant_id, 1, name)
        assert small.get(shelf.tenant_id, 1, name) is first
        small.get(other_shelf.tenant_id, 1, name)
        assert small.get(shelf.tenant_id, 1, name) is not first


def test_large_knowledge_is_searched_by_whole_passages(known, monkeypatch):
    with_parts = known.app.extensions["shaman_indexes"]
    best = known.find("when do you close on saturday")[0]
    monkeypatch.setattr(index, "WITH_PARTS", 0)
    known.app.extensions["shaman_indexes"] = IndexCache()
    assert known.find("when do you close on saturday")[0].title == best.title
    small, large = (
        cache.get(known.tenant_id, known.version(), real().name)
        for cache in (with_parts, known.app.extensions["shaman_indexes"])
    )
    assert large.meaning.nbytes == len(large.entries) * 4 * real().dimension < small.meaning.nbytes
