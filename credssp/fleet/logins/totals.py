"""What a run of logins came to, in numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from credssp.fleet.totals import count_value

__all__ = ["OUTCOMES", "LoginTotals", "outcome_of", "why"]

OUTCOMES: Final = {
    "unsafe": "stopped by our own check",
    "refused": "refused",
    "local": "not possible here",
    "no_login": "no login",
    "interrupted": "interrupted",
    "not_tried": "not tried",
    "accepted": "accepted",
}
"""What may come of a login, the worst first, with words for people."""

_EXIT_CODES: Final = {"unsafe": 4, "refused": 1, "local": 2, "no_login": 3, "interrupted": 3, "not_tried": 3}
"""By outcome, in the same order: what a run ends with is that of the worst."""


def outcome_of(facts: dict[str, Any]) -> str:
    """Return what came of a login, one of `OUTCOMES`."""
    name = facts.get("outcome")
    return name if name in OUTCOMES else "no_login"


def why(facts: dict[str, Any]) -> str:
    """Return why there was no login, in a sentence; empty where there was one."""
    if outcome_of(facts) == "accepted":
        return ""
    status = facts.get("status")
    text = status.get("text") if isinstance(status, dict) else facts.get("reason")
    return str(text or "not known")


@dataclass(slots=True)
class LoginTotals:
    """Counts of one run.

    Attributes:
        targets: results, those that were not tried included.
        seconds: how long the run took; 0 where that is not known.
        outcomes: results by outcome.
        statuses: logins that were not accepted by the name of their status.
        mechanisms: logins that were accepted by mechanism.
        versions: the same by CredSSP version.
        tls: the same by TLS version.
        reason: why the run stopped; empty where it did not.
    """

    targets: int = 0
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    mechanisms: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    tls: Counter[str] = field(default_factory=Counter)
    reason: str = ""

    def add(self, facts: dict[str, Any]) -> None:
        """Count one server."""
        self.targets += 1
        outcome = outcome_of(facts)
        self.outcomes[outcome] += 1
        if outcome == "accepted":
            count_value(self.mechanisms, str(facts.get("mechanism") or "not known"))
            count_value(self.versions, _member(facts, "credssp", "version"))
            count_value(self.tls, _member(facts, "tls", "version"))
        elif outcome == "not_tried":
            self.reason = self.reason or str(facts.get("reason") or "")
        else:
            count_value(self.statuses, _member(facts, "status", "name"))

    @property
    def exit_code(self) -> int:
        """0 if every login was accepted, else the code of the worst."""
        return next((code for name, code in _EXIT_CODES.items() if self.outcomes[name]), 0)

    def summary(self) -> str:
        """Return one line for people."""
        order = [*list(OUTCOMES)[::-1][:1], *list(OUTCOMES)[:-1]]
        parts = [f"{self.outcomes[name]:,} {OUTCOMES[name]}" for name in order if self.outcomes[name]]
        took = f" in {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.targets:,} target{'' if self.targets == 1 else 's'}{took}: {', '.join(parts) or 'nothing done'}"


def _member(facts: dict[str, Any], name: str, key: str) -> str:
    value = facts.get(name)
    found = value.get(key) if isinstance(value, dict) else None
    return "not known" if found is None else str(found)
