"""How many may watch at once: each holds memory and a connection, and pages need some too."""

import threading
from collections import Counter
from collections.abc import Callable

from flask_babel import gettext as _

from chatbot.errors import RateLimited, Unavailable

MOST_A_BROWSER = 24
MOST_AN_ADDRESS = 60  # of browsers: an office has one address


class Viewers:
    """The places for viewers in one process: of `connections`, an eighth is kept for everything else."""

    def __init__(self, connections: int) -> None:
        self._most = max(2, connections - max(2, connections // 8))
        self._count = 0
        self._by_group: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def is_full(self) -> bool:
        return self._count >= self._most

    def take_place(self, groups: dict[str, int]) -> Callable[[], None]:
        """Take a place and one in each group (name → how many it may have). Returns what gives them back, once.

        Raises Unavailable when all places are taken, RateLimited when a group's are.
        """
        with self._lock:
            if self.is_full:
                raise Unavailable(
                    _("Very many people are here right now. Please try again in a moment."), retry_after=5
                )
            if any(self._by_group[name] >= most for name, most in groups.items()):
                raise RateLimited(_("The chat is open too many times here. Close a tab or two."), retry_after=5)
            self._count += 1
            self._by_group.update(groups.keys())
        return self._giver(list(groups))

    def _giver(self, groups: list[str]) -> Callable[[], None]:
        taken = [True]

        def give_back() -> None:
            with self._lock:
                if not taken:
                    return
                taken.clear()
                self._count -= 1
                for name in groups:
                    self._by_group[name] -= 1
                    if self._by_group[name] <= 0:
                        del self._by_group[name]

        return give_back
