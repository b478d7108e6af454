"""One call to the simulated model, and the steps a script may take to answer it."""

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any


class Signal(enum.Enum):
    """What a script can do to the connection itself."""

    HEAD = "send the status line and headers now, without a word"
    HANG = "say nothing more, keep the connection open"
    RESET = "break the connection (RST)"
    FIN = "close the connection in the middle of the answer (FIN)"


@dataclass
class Reply:
    """A whole HTTP answer in the place of a spoken one."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


# float: seconds to wait; str: a piece of text, one token; dict: a delta of any other shape, one token;
# bytes: put into the body as they are.
Step = float | str | dict[str, Any] | bytes | Signal | Reply


@dataclass
class Call:
    """One request, and how its answer is to be laid out; a script may change the layout before its first step.

    `args` are the parts of the model's name after the script's own name, `rest` the same unsplit; `seen` counts the earlier calls to
    exactly this name. `form` lays an event out anew, `encode` packs body bytes, `cut` ends the body after so many bytes.
    """

    model: str
    rest: str
    body: dict[str, Any]
    seen: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    finish: str | None = "stop"
    usage: dict[str, int] | str = "true"  # "true", "none", "early" (on the finishing chunk), or the figures to claim
    done_mark: bool = True
    chunked: bool = True
    form: Callable[[bytes], bytes] | None = None
    encode: Callable[[bytes], bytes] | None = None
    bare: bool = False  # nothing is added to what the script yields: no role, no finish, no end mark
    cut: int | None = None
    cut_by: Signal = Signal.RESET

    @property
    def args(self) -> list[str]:
        """The parameters in the model's name."""
        return self.rest.split("-") if self.rest else []

    @property
    def streams(self) -> bool:
        """Whether the caller asked for a stream."""
        return bool(self.body.get("stream"))

    def number(self, place: int, default: float) -> float:
        """The parameter at `place` as a number. Raises ValueError when it is none."""
        return float(self.args[place]) if place < len(self.args) else default

    def limit(self) -> int | None:
        """The most tokens the caller wants, or None."""
        return self.body.get("max_completion_tokens") or self.body.get("max_tokens")

    def texts(self) -> list[tuple[str, str]]:
        """Every message as (role, text), parts joined."""
        return [(str(m.get("role", "")), plain(m.get("content"))) for m in self.body.get("messages") or []]

    def last_from(self, role: str) -> str:
        """The newest message of a role, or nothing."""
        return next((text for who, text in reversed(self.texts()) if who == role), "")

    def prompt_tokens(self) -> int:
        """The true size of the question: one token a word."""
        return sum(len(text.split()) for _, text in self.texts())


def plain(content: Any) -> str:
    """The text of a message's content, whether a string or a list of parts."""
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


Script = Callable[[Call], Iterator[Step]]
