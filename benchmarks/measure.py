"""Taking turns and comparing within a round: the only way to get a figure from a noisy machine.

Every ratio comes in two forms. *Best over best* compares the quietest round of each side: what the code costs where
nothing disturbs it. The *median of the rounds' ratios* compares what ran within the same half second, so that a machine
that is slow for a while is slow for both. On a quiet machine they agree within 5 %; where they don't, measure again.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["Clock", "Ratio", "Side", "Split", "compare", "take_turns"]

Side = Literal["client", "server", "both"]


@dataclass(slots=True)
class Split:
    """CPU seconds of the two sides of an exchange."""

    client: float = 0.0
    server: float = 0.0

    @property
    def both(self) -> float:
        return self.client + self.server


@dataclass(frozen=True, slots=True)
class Ratio:
    """A cost over another one of the same run.

    Attributes:
        best: best round over best round.
        median: median of the rounds' ratios.
    """

    best: float
    median: float


class Clock(Split):
    """Attributes CPU time to the sides while they take turns in one thread.

    A lap costs 0.5 us, and all cases have about the same number of them.
    """

    __slots__ = ("_since",)

    def start(self) -> None:
        self._since = time.process_time()

    def client_lap(self) -> None:
        """What ran since the last lap was the client's."""
        now = time.process_time()
        self.client += now - self._since
        self._since = now

    def server_lap(self) -> None:
        """What ran since the last lap was the server's."""
        now = time.process_time()
        self.server += now - self._since
        self._since = now


def take_turns(cases: Mapping[str, Callable[[Clock], None]], *, rounds: int, repeat: int) -> dict[str, list[Split]]:
    """Run the cases in turns; return for each what its rounds took, in CPU seconds per call."""
    found: dict[str, list[Split]] = {name: [] for name in cases}
    for case in cases.values():
        case(Clock())  # warm up: imports, caches, contexts
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, case in cases.items():
                clock = Clock()
                for _ in range(repeat):
                    case(clock)
                found[name].append(Split(clock.client / repeat, clock.server / repeat))
            if repeat > 1:  # single calls would run on what the collector left of the caches
                gc.collect()
    finally:
        gc.enable()
    return found


def compare(case: list[Split], base: list[Split], side: Side) -> Ratio:
    """Compare the rounds of a case with those of another one, on one side or on both.

    Each side's best round is taken on its own: a side that was disturbed in one round may be quiet in another.
    """
    ours = [getattr(split, side) for split in case]
    theirs = [getattr(split, side) for split in base]
    return Ratio(
        best=min(ours) / min(theirs),
        median=statistics.median(our / their for our, their in zip(ours, theirs, strict=True)),
    )
