import numpy as np
import pytest

from chatbot.knowledge.ranking import rank, scaled
from chatbot.knowledge.vectors import WHOLE, Meaning, pack, pack_each, texts_to_embed


def meaning(*scores: float) -> np.ndarray:
    return np.array(scores, np.float32)


def test_words_lift_a_passage_over_one_that_is_barely_nearer():
    ranking = rank(["near", "named"], meaning(0.50, 0.45), [("named", 0.8)])
    assert [hit.key for hit in ranking.hits] == ["named", "near"]


def test_words_do_not_lift_what_means_something_else():
    ranking = rank(["right", "wrong"], meaning(0.70, 0.10), [("wrong", 0.5)])
    assert ranking.hits[0].key == "right"


def test_nothing_near_and_no_shared_word_is_no_answer():
    assert not rank(["one", "two"], meaning(0.12, 0.08), []).has_answer
    assert rank(["one", "two"], meaning(0.62, 0.08), []).has_answer


def test_a_name_that_only_the_words_know_is_an_answer():
    assert rank(["part"], meaning(0.15), [("part", 0.95)]).has_answer


def test_no_passages_and_foreign_keys():
    assert rank([], meaning(), [("gone", 1.0)]).hits == ()
    assert [hit.key for hit in rank(["here"], meaning(0.4), [("gone", 1.0)]).hits] == ["here"]


def test_scores_of_another_measure_are_brought_to_scale():
    (first, best), (_, second) = scaled([("a", 0.06), ("b", 0.03)])
    assert first == "a"
    assert best == pytest.approx(2 * second)
    assert scaled([]) == []


def test_a_passage_is_as_near_as_its_whole_and_its_best_part_together():
    vectors = np.array([[0.6, 0.8], [0.0, 1.0], [1.0, 0.0]], np.float32)
    scores = Meaning([b"", pack(vectors)]).scores(np.array([1.0, 0.0], np.float32))
    assert scores == pytest.approx([0.0, WHOLE * 0.6 + (1 - WHOLE) * 1.0])


def test_no_vectors_at_all_score_nothing():
    assert Meaning([b"", b""]).scores(np.array([1.0, 0.0], np.float32)).tolist() == [0.0, 0.0]
    assert Meaning([]).scores(np.array([1.0, 0.0], np.float32)).tolist() == []


def test_parts_are_sentences_items_and_rows_under_their_nearest_heading():
    text = "| Job | Price |\n| --- | --- |\n| Truing a wheel that is bent out of shape | €22 |\n- **First** item that is long enough to stand alone.\n"
    assert texts_to_embed("Prices", "Prices › Jobs", text)[1:] == [
        "Jobs: Job, Price Truing a wheel that is bent out of shape, €22",
        "Jobs: First item that is long enough to stand alone.",
    ]
    assert texts_to_embed("", "", "Short.") == ["Short.", "Short."]


def test_passages_are_packed_from_one_batch_of_vectors():
    vectors = np.eye(5, dtype=np.float32)
    packed = pack_each([["whole", "part"], ["whole", "part", "part"]], vectors)
    assert Meaning(packed).scores(vectors[4]) == pytest.approx([0.0, 1 - WHOLE])


def test_a_question_of_another_embedder_scores_nothing():
    meaning = Meaning([pack(np.eye(2, dtype=np.float32))])
    assert meaning.scores(np.ones(3, np.float32)).tolist() == [0.0]
