"""The questions of bench/search are what they say they are."""

from collections import Counter

from bench.search.questions import COLLECTIONS, entries, files, is_answer, questions


def test_every_snippet_stands_in_its_text_to_the_letter():
    for collection in COLLECTIONS:
        texts = {path.stem: path.read_text(encoding="utf-8") for path in files(collection)}
        for one in questions():
            if one.collection == collection and one.snippets:
                assert one.snippets[0] in texts[one.source or ""], one.id
                assert all(any(snippet in text for text in texts.values()) for snippet in one.snippets), one.id


def test_every_answer_lies_within_one_passage():
    passages = {collection: entries(collection) for collection in COLLECTIONS}
    for one in questions():
        assert not one.snippets or any(is_answer(one, entry) for entry in passages[one.collection]), one.id


def test_half_is_held_out_of_each_kind():
    kinds = Counter((one.collection, bool(one.snippets), one.split) for one in questions())
    for (collection, has_answer, split), number in kinds.items():
        other = kinds[collection, has_answer, "held" if split == "tune" else "tune"]
        assert abs(number - other) <= 1
    assert sum(number for (_, has_answer, _), number in kinds.items() if has_answer) >= 240
    assert len({one.id for one in questions()}) == len({one.question for one in questions()}) == sum(kinds.values())
