"""HTML that was drawn before, kept up to a number of bytes: a conversation is shown more often than it grows."""

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

BESIDE = 400  # bytes of an entry beside its texts, about


class Drawn:
    """The texts last asked for, `room` bytes of them. One that would take an eighth of that alone is not kept."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._texts: OrderedDict[tuple[str, Hashable], str] = OrderedDict()
        self._lock = threading.Lock()
        self.size = 0

    def get(self, source: str, more: Hashable, draw: Callable[[], str]) -> str:
        """What `draw` made of `source` and of `more`, or makes now."""
        key = (source, more)
        with self._lock:
            if key in self._texts:
                self._texts.move_to_end(key)
                return self._texts[key]
        text = draw()
        if _size(source, text) <= self._room // 8:
            self._keep(key, text)
        return text

    def _keep(self, key: tuple[str, Hashable], text: str) -> None:
        with self._lock:
            if key not in self._texts:
                self.size += _size(key[0], text)
            self._texts[key] = text
            while self.size > self._room:
                (source, _more), dropped = self._texts.popitem(last=False)
                self.size -= _size(source, dropped)


def _size(source: str, text: str) -> int:
    return sys.getsizeof(source) + sys.getsizeof(text) + BESIDE
