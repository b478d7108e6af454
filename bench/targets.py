"""The three that are asked the same question: the model itself, the bare relay, and Shaman."""

import re
from typing import Any

from bench.drive import Answer, Target

QUESTION = "When do you open on Saturday, and can I order rye bread two days ahead?"
STRING = rb'("(?:[^"\\]|\\.)*")'
OPENAI = Answer(re.compile(rb'"content":"[^"]'), re.compile(rb'"content":' + STRING), b"data: [DONE]")
SHAMAN = Answer(
    re.compile(rb"event: ?delta"),
    re.compile(rb'event: ?delta\r?\n(?:id:.*\r?\n)?data: ?\{"text": ?' + STRING),
    b"event: done",
)


def model_target(port: int, model: str) -> Target:
    """The simulated model, asked as any SDK asks."""
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": QUESTION}]}
    return Target("model alone", port, lambda visitor, turn: ("/v1/chat/completions", {}, body), OPENAI)


def relay_target(port: int, model: str) -> Target:
    """The bare relay in front of it."""
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": QUESTION}]}
    return Target("bare relay", port, lambda visitor, turn: ("/chat", {}, body), OPENAI)


def product_target(port: int, key: str, name: str = "Shaman", user: str = "visitor-{}") -> Target:
    """Shaman through its API; each visitor is one `user_id` with one conversation."""
    headers = {"Authorization": f"Bearer {key}", "Accept": "text/event-stream"}

    def request(visitor: int, turn: int) -> tuple[str, dict[str, str], dict[str, Any]]:
        return "/api/chat", headers, {"message": QUESTION, "user_id": user.format(visitor), "stream": True}

    return Target(name, port, request, SHAMAN)


def visitor_target(port: int) -> Target:
    """Shaman's demo client, asked by a visitor without a key."""
    body = {"message": "When do you open?", "client": "demo", "stream": True}
    return Target("demo", port, lambda visitor, turn: ("/api/chat", {"Accept": "text/event-stream"}, body), SHAMAN)
