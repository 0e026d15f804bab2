"""Types of arguments that several sub-commands take. A wrong value is wrong usage; the message says what fits."""

from __future__ import annotations

import argparse
from collections.abc import Callable

__all__ = ["count", "seconds"]

_DAY = 86400


def seconds(text: str) -> float:
    """Read a time: a number of seconds above 0 and below a day."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < _DAY:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds between 0 and {_DAY}")
    return value


def count(highest: int) -> Callable[[str], int]:
    """Return what reads a whole number from 1 to `highest`."""

    def read(text: str) -> int:
        # isdecimal alone takes digits of every script, and int takes 1_000.
        value = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
        if not 1 <= value <= highest:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {highest}")
        return value

    return read
