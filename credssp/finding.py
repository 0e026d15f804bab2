"""What an examination found, one statement at a time: about this machine (`Finding`), or a server (`ServerFinding`)."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["Finding", "FindingLevel", "ServerFinding", "Severity"]


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
        id: which of the findings of docs/reference/findings.md it is; empty for others.
    """

    area: str
    severity: Severity
    text: str
    advice: str = ""
    id: str = ""

    def to_dict(self) -> dict[str, str | None]:
        """Return plain data."""
        return {
            "id": self.id or None,
            "area": self.area,
            "severity": self.severity.value,
            "text": self.text,
            "advice": self.advice,
        }


class FindingLevel(enum.Enum):
    """How much a finding about a server matters."""

    ERROR = "error"
    """Logins fail, or credentials are at risk. A healthy server has none."""
    WARNING = "warning"
    """It works, and should be changed."""
    NOTE = "note"
    """Worth knowing; nothing has to be done."""


@dataclass(frozen=True, slots=True)
class ServerFinding:
    """One statement about a server; docs/reference/findings.md lists all ids.

    Attributes:
        id: which one, such as ``nla-missing``; it does not change between versions.
        level: how much it matters.
        seen: what was seen there, in one sentence.
        why: why it matters.
        advice: what to do.
    """

    id: str
    level: FindingLevel
    seen: str
    why: str
    advice: str

    def to_dict(self) -> dict[str, str]:
        """Return plain data."""
        return {
            "id": self.id,
            "severity": self.level.value,
            "seen": self.seen,
            "why": self.why,
            "advice": self.advice,
        }
