"""Random values of the suite, drawn from a seed so that a run can be repeated.

What the suite sends is the same in two runs with the same seed, but for TLS and the clock: OpenSSL draws its own keys.
Every case has a sequence of its own, so that a rule alone sends what it sends among all others.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Final

__all__ = ["drawn_from", "hexadecimal", "new_seed", "octets"]

_source: Final[ContextVar[random.Random | None]] = ContextVar("source", default=None)


def new_seed() -> str:
    """Return a seed for a run that was given none."""
    return secrets.token_hex(4)


@contextlib.contextmanager
def drawn_from(seed: str, purpose: str) -> Iterator[None]:
    """Draw from a seed within the block.

    Args:
        seed: any text.
        purpose: what for, such as the id of a rule: each purpose has values of its own.
    """
    token = _source.set(random.Random(f"{seed} {purpose}"))  # noqa: S311  # repeatable, for accounts of a test
    try:
        yield
    finally:
        _source.reset(token)


def octets(count: int) -> bytes:
    """Return this many random bytes; those of the operating system where there is no seed."""
    source = _source.get()
    return os.urandom(count) if source is None else source.randbytes(count)


def hexadecimal(count: int) -> str:
    """Return this many random bytes in hexadecimal."""
    return octets(count).hex()
