"""The answerer without a language model: it quotes what was found, or says that it has nothing and whom to ask."""

import threading
from dataclasses import replace
from typing import Any

from flask import Flask
from flask_babel import Babel

from chatbot.knowledge.found import Found
from chatbot.providers.builtin import MODEL, BuiltinProvider
from chatbot.providers.contract import ChatRequest
from chatbot.usage.ledger import Usage
from tests.providers.asking import Heard, a_call, listen

HOURS = Found("We open at seven.", "Opening hours", None, "s1", "p1", "Visit us › Weekdays", 0.9)
BREAD = Found("Rye contains gluten.", "Allergens", None, "s2", "p2", "", 0.8)
SHIPS = Found("We do not ship.", "Delivery", None, "s3", "p3", "Delivery", 0.2)
ASKED = ChatRequest((("user", "When?"),), 1000, 0.7, question="When?", contact=("hello@bakery.example", "555-0100"))


def answer(*passages: Found, **more: Any) -> Heard:
    app = Flask("shaman")
    Babel(app)
    with app.app_context():
        return listen(BuiltinProvider(), a_call(), replace(ASKED, passages=passages, **more))


def test_quotes_the_best_passages_with_their_numbers() -> None:
    heard = answer(HOURS, BREAD, SHIPS)
    assert heard.text == (
        "**Opening hours · Weekdays** [1]\n\nWe open at seven.\n\n**Allergens** [2]\n\nRye contains gluten."
    )


def test_streams_like_any_other_and_costs_nothing() -> None:
    heard = answer(HOURS, BREAD)
    assert len(heard.pieces) > 2
    assert heard.finish
    assert (heard.finish.reason, heard.finish.model, heard.finish.usage) == ("stop", MODEL, Usage())


def test_says_that_it_has_nothing_and_whom_to_ask() -> None:
    text = answer().text
    assert text == "I have nothing on that. You can reach a person here: hello@bakery.example, 555-0100"


def test_uses_the_clients_own_words_for_it() -> None:
    assert answer(unknown="Please call 555-0100.").text == "Please call 555-0100."
    assert "hello@bakery.example" in answer(unknown="No idea.").text


def test_is_stopped_like_any_other() -> None:
    call, long = a_call(), replace(HOURS, text="Bread. " * 5000)
    threading.Timer(0.2, call.stop).start()
    heard = listen(BuiltinProvider(), call, replace(ASKED, passages=(long,)))
    assert heard.ending == "stopped"
    assert heard.text.startswith("**Opening hours")
