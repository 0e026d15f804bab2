"""Taking turns and taking the best: the only way to compare on a noisy machine."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

__all__ = ["Split", "best_of"]


@dataclass
class Split:
    """CPU seconds of the two sides of an exchange."""

    client: float = 0.0
    server: float = 0.0

    @property
    def both(self) -> float:
        return self.client + self.server


@dataclass
class Clock:
    """Attributes CPU time to the sides while they take turns in one thread."""

    split: Split = field(default_factory=Split)
    _since: float = 0.0

    def start(self) -> None:
        self._since = time.process_time()

    def lap(self, side: str) -> None:
        now = time.process_time()
        setattr(self.split, side, getattr(self.split, side) + now - self._since)
        self._since = now


def best_of(cases: Mapping[str, Callable[[Clock], None]], *, rounds: int, repeat: int) -> dict[str, Split]:
    """Run the cases in turns and return for each the best round, in CPU seconds per call.

    Each side's best round is taken on its own: a side that was disturbed in one round may be quiet in another.
    """
    best: dict[str, Split] = {}
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
                client, server = clock.split.client / repeat, clock.split.server / repeat
                found = best.setdefault(name, Split(client, server))
                found.client = min(found.client, client)
                found.server = min(found.server, server)
            gc.collect()
    finally:
        gc.enable()
    return best
