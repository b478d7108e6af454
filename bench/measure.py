"""One measurement: a crowd at a target, and what it cost the server."""

import threading
import time
from dataclasses import dataclass, field

from bench.drive import Load, Target, Turn, drive, percentile
from bench.servers import Server


@dataclass
class Cell:
    """All rounds of one crowd at one target."""

    target: str
    visitors: int
    loads: list[Load] = field(default_factory=list)
    cpu_seconds: float = 0.0
    peak_mb: float = 0.0

    @property
    def turns(self) -> list[Turn]:
        """Every turn of every round."""
        return [turn for load in self.loads for turn in load.turns]

    def first_ms(self, share: float) -> float:
        """Milliseconds to the first text over all rounds."""
        return percentile([(turn.first - turn.started) * 1000 for load in self.loads for turn in load.good], share)

    def total_ms(self, share: float) -> float:
        """Milliseconds to the end over all rounds."""
        return percentile([(turn.ended - turn.started) * 1000 for load in self.loads for turn in load.good], share)

    def rate(self) -> float:
        """Turns a second, the mean of the rounds, staggered start left out."""
        return sum(load.rate() for load in self.loads) / len(self.loads)

    def wall_rate(self) -> float:
        """Turns a second by the clock: right for a crowd that begins all at once."""
        return sum(len(load.good) for load in self.loads) / sum(load.seconds for load in self.loads)

    def cpu_ms(self) -> float:
        """The server's CPU a turn, its idle cost subtracted."""
        return self.cpu_seconds * 1000 / max(1, len(self.turns))

    def errors(self) -> list[str]:
        """What went wrong."""
        return [error for load in self.loads for error in load.errors()]


def measure(
    cell: Cell, target: Target, server: Server | None, turns: int, stagger: float, expected: str | None
) -> None:
    """One round into `cell`. Without a server (the model alone) there is nothing to weigh."""
    if server is None:
        cell.loads.append(drive(target, cell.visitors, turns, stagger, expected))
        return
    before, began = server.cpu(), time.monotonic()
    with Scale(server) as scale:
        cell.loads.append(drive(target, cell.visitors, turns, stagger, expected))
    server.check_alive()
    time.sleep(0.3)  # what is still being settled belongs to these turns
    spent, seconds = server.cpu() - before, time.monotonic() - began
    cell.cpu_seconds += max(0.0, spent - server.idle_rate * seconds)
    cell.peak_mb = max(cell.peak_mb, scale.peak)


class Scale:
    """Weighs a server's memory once a second while its `with` block runs."""

    def __init__(self, server: Server) -> None:
        self.server, self.peak = server, 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="scale", daemon=True)

    def __enter__(self) -> "Scale":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(1.0):
            self.peak = max(self.peak, self.server.memory())
        self.peak = max(self.peak, self.server.memory())
