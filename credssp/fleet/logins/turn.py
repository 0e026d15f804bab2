"""Whose turn it is: a login to one server of many may have to wait, or is not to be made at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

__all__ = ["NotTriedError", "Turn"]

Turn: TypeAlias = Callable[[Callable[[], object]], None]
"""Waits until a login may be made. Its argument connects to the server and closes; it is called before a wait, so that
servers that are not there need no turn. Raises `NotTriedError`, and what that raises."""


class NotTriedError(Exception):
    """A login was not made, since another one showed that it should not be."""
