"""The load driver counts whole answers as good, and says what is wrong with the others."""

from bench.drive import drive
from bench.model import ModelServer
from bench.report import table
from bench.scenarios import wanted_words
from bench.targets import model_target


def crowd(name, expected=None):
    with ModelServer() as model:
        port = int(model.root.rpartition(":")[2])
        words = wanted_words(port, expected or name)
        return drive(model_target(port, name), visitors=4, turns=2, stagger=0.01, expected=words)


def test_whole_answers_are_good():
    load = crowd("paced-5-1000-10")
    assert (len(load.good), load.errors()) == (8, [])
    assert 0 < load.first_ms(0.5) < load.total_ms(0.5)
    assert load.rate() > 0


def test_a_cut_answer_is_an_error():
    assert all(error.startswith("cut") for error in crowd("cut-900", "instant-100").errors())


def test_other_words_are_an_error():
    assert len(crowd("instant-5", "instant-6").errors()) == 8


def test_a_refusal_is_told():
    assert "HTTP/1.1 503" in crowd("status-503", "instant-5").errors()[0]


def test_a_table_without_rows_says_so():
    assert table(("one", "two"), [("a", "b")]) == "| one | two |\n| --- | --- |\n| a | b |"
    assert table(("one",), []) == "Not measured."
