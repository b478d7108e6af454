import threading

import pytest

from chatbot.knowledge.words import WordIndex, content_words

PASSAGES = [
    ("hours", "We open at nine and close at six."),
    ("tyres", "Mending a puncture costs 18 euros."),
    ("cakes", "Our crème brûlée contains egg and milk."),
]


def keys(question: str) -> list[int | str]:
    return [key for key, _ in WordIndex(PASSAGES).search(question)]


def test_a_shared_word_finds_in_any_form_and_without_accents():
    assert keys("what do punctures cost?") == ["tyres"]
    assert keys("CREME brulee") == ["cakes"]


def test_stop_words_find_nothing_unless_they_are_all_there_is():
    assert content_words("What is the price of a puncture?") == ["price", "puncture"]
    assert content_words("who are you") == ["who", "are", "you"]
    assert keys("how do you do that") == []


@pytest.mark.parametrize(
    "question",
    [
        "",
        "   ",
        '"',
        "puncture OR NOT (",
        "text:x AND",
        "a* NEAR(b, 2)",
        "'; DROP TABLE passage; --",
        "\0\ud800",
        "😀",
        "{^-+",
    ],
)
def test_any_text_is_a_question(question: str):
    assert set(keys(question)) <= {"tyres"}


def test_a_very_long_question_is_answered():
    assert keys("puncture " + "lorem " * 20_000) == ["tyres"]


def test_scores_are_shares_and_an_unknown_word_lowers_them():
    index = WordIndex(PASSAGES)
    (_, sure), (_, less) = index.search("puncture")[0], index.search("puncture zeppelin")[0]
    assert 0 < less < sure <= 1


def test_a_word_that_stands_nearly_everywhere_is_passed_over():
    index = WordIndex([(number, f"A bike and thing{number}") for number in range(100)])
    assert index.search("bike") == []
    assert [key for key, _ in index.search("bike thing7")] == [7]


def test_many_threads_may_read_at_once():
    index, found = WordIndex(PASSAGES), []
    threads = [threading.Thread(target=lambda: found.append(index.search("puncture")[0][0])) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["tyres"] * 20


def test_an_index_without_passages_finds_nothing():
    assert WordIndex([]).search("puncture") == []
