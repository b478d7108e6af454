"""The answerer for an installation without a language model: it quotes what it found, with its source.

It is no language model and does not pretend to be one. It streams like any other, so that everything after it is the same.
"""

import re
from collections.abc import Iterator

from flask_babel import gettext as _

from chatbot.knowledge.found import Found
from chatbot.providers.contract import Call, ChatRequest, Finish
from chatbot.usage.ledger import Usage

MODEL = "builtin"
QUOTED = 3  # passages in one answer at the most
WORTH = 0.75  # a further passage is quoted when it scores this share of the best one's score
SURE = 0.75  # a question that somebody has answered, so near to this one, is answer enough
PIECE = re.compile(r"\S+\s*|\s+")
WORDS_A_PIECE = 4
PAUSE = 0.02


class BuiltinProvider:
    """Answers from the passages of the request alone."""

    def stream(self, request: ChatRequest, call: Call) -> Iterator[str | Finish]:
        words = PIECE.findall(compose(request))
        for at in range(0, len(words), WORDS_A_PIECE):
            if at:
                call.wait(PAUSE)
            yield "".join(words[at : at + WORDS_A_PIECE])
        yield Finish("stop", MODEL, Usage())


def compose(request: ChatRequest) -> str:
    """The answer: the best passages quoted with their numbers, or a plain 'nothing on that' with a way to reach a person."""
    if not request.passages:
        return _nothing(request)
    best = request.passages[0]
    worth = [(n, p) for n, p in enumerate(request.passages[:QUOTED], 1) if n == 1 or p.score >= WORTH * best.score]
    chosen = worth[:1] if best.is_pair and best.score >= SURE else worth
    return "\n\n".join(_quote(number, passage) for number, passage in chosen)


def _quote(number: int, passage: Found) -> str:
    heading = passage.heading.split(" › ")[-1].strip() if passage.heading else ""
    title = passage.title if not heading or heading == passage.title else f"{passage.title} · {heading}"
    return f"**{title}** [{number}]\n\n{passage.text.strip()}"


def _nothing(request: ChatRequest) -> str:
    sentence = request.unknown or _("I have nothing on that.")
    if request.contact and not any(way in sentence for way in request.contact):
        sentence += " " + _("You can reach a person here: %(ways)s", ways=", ".join(request.contact))
    return sentence
