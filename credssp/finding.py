"""What an examination of an environment found, one statement at a time."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["Finding", "Severity"]


class Severity(enum.Enum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"
    """Nothing is wrong, but something does not work, or works otherwise than one may expect."""
    BAD = "bad"
    """It will fail."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One statement.

    Attributes:
        area: what it is about, such as ``kerberos``.
        severity: how bad it is.
        text: what was found, in one sentence.
        advice: what to do about it; empty where there is nothing to do.
    """

    area: str
    severity: Severity
    text: str
    advice: str = ""
