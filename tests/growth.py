"""Claims about processor time that hold on any machine: against another size, or against other work, of the same run.

A bound in seconds is wrong twice: a slow machine fails it without a fault, and a fast one passes it with one. Here both
times are taken in turns, so that a busy moment meets both, and the least of several counts: that is what the work
itself takes. Times are those of this thread, without its waiting and without the garbage collector, whose passes
depend on what other tests left.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Work = Callable[[], object]

FACTOR = 4
# Linear work takes 4 times as long for 4 times the size, or 5 with larger caches to fill; quadratic 16 times.
LINEAR = 8.0
ROUNDS = 5
# Less than this is noise: work whose larger size ends so soon is fast enough, whatever its growth.
FLOOR = 0.0005
# Seconds that nothing linear takes here: what takes so long is not measured again.
ENOUGH = 10.0


def growth(prepare: Callable[[int], Work], size: int) -> float:
    """Return how many times as long work takes for `size` as for a quarter of it.

    Args:
        prepare: Makes the work of a size; it is called before each measurement, and its own time does not count.
        size: The larger size: one whose quadratic work would take many milliseconds.
    """
    ratio = 0.0
    small, large = [], []
    for number in range(ROUNDS):
        small.append(seconds(prepare(size // FACTOR)))
        large.append(seconds(prepare(size)))
        ratio = min(large) / max(min(small), FLOOR)
        if (number and ratio < LINEAR) or large[-1] > ENOUGH:
            break
    return ratio


def assert_linear(prepare: Callable[[int], Work], size: int) -> None:
    """Fail unless work grows with its size, and not with the square of it."""
    found = growth(prepare, size)
    assert found < LINEAR, f"{FACTOR} times the size takes {found:.1f} times as long"


def compared(work: Work, reference: Work, *, rounds: int = ROUNDS) -> float:
    """Return how many times as long work takes as a reference, both without coverage, which would slow one of them."""
    ours, theirs = [], []
    with _untraced():
        for _ in range(rounds):
            theirs.append(seconds(reference))
            ours.append(seconds(work))
    return min(ours) / max(min(theirs), 1e-9)


def seconds(work: Work) -> float:
    """Return the processor time of this thread that work takes."""
    collects = gc.isenabled()
    gc.disable()
    try:
        began = time.thread_time()
        work()
        return time.thread_time() - began
    finally:
        if collects:
            gc.enable()


@contextmanager
def _untraced() -> Iterator[None]:
    trace = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(trace)
