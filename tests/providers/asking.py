"""Asking a provider the way a turn does, and noting what came of it."""

import time
from dataclasses import dataclass, field
from typing import Protocol

from bench.model import ModelServer
from chatbot.errors import ModelError
from chatbot.providers.contract import Call, ChatRequest, Finish, Provider, Stopped
from chatbot.providers.openai import Endpoint, OpenAIProvider

REQUEST = ChatRequest(messages=(("user", "Good morning, two loaves please"),), max_tokens=1000, temperature=0.7)


@dataclass
class Heard:
    """What a provider said: its pieces, then a finish or an error."""

    pieces: list[str] = field(default_factory=list)
    finish: Finish | None = None
    error: ModelError | Stopped | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def ending(self) -> str:
        """`stop`, `length`, or the kind of the error."""
        if self.finish is not None:
            return self.finish.reason
        return "stopped" if isinstance(self.error, Stopped) else str(getattr(self.error, "kind", ""))


class Address(Protocol):
    """Whatever a provider can be pointed at."""

    base_url: str


@dataclass
class At:
    """An address alone."""

    base_url: str


def provider_of(model: Address, name: str | None, key: str | None = "key-of-tests") -> OpenAIProvider:
    return OpenAIProvider(Endpoint(model.base_url, key, name))


def listen(provider: Provider, call: Call, request: ChatRequest = REQUEST) -> Heard:
    """Follow one call to its end, whatever the end is."""
    heard = Heard()
    try:
        for piece in provider.stream(request, call):
            if isinstance(piece, Finish):
                heard.finish = piece
            else:
                heard.pieces.append(piece)
    except (ModelError, Stopped) as error:
        heard.error = error
    return heard


def a_call(idle: float = 5, seconds: float = 20) -> Call:
    return Call(deadline=time.monotonic() + seconds, idle=idle)


def ask(model: ModelServer, name: str, idle: float = 5, seconds: float = 20) -> Heard:
    """One call of a provider of its own."""
    return listen(provider_of(model, name), a_call(idle, seconds))
