"""What a run came to, in numbers; a constant amount of memory, whatever the servers say."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["LEVELS", "Totals", "count_value", "level_of", "nla_of", "version_of", "worst_level"]

LEVELS: Final = ("error", "warning", "note", "ok")
"""Of findings, the worst first."""

_MOST: Final = 64
"""Different values that are counted one by one; servers choose some of them, and the rest are counted together."""

_ADDRESS: Final = re.compile(r" to \S+ port \d+")

_SYNONYMS: Final = {"bad": "error", "danger": "error", "critical": "error", "high": "error", "info": "note"}


def level_of(finding: Any) -> str:
    """Return the level of a finding, one of `LEVELS`; what has none that is known is a warning."""
    text = str(finding.get("severity", "")).lower() if isinstance(finding, dict) else ""
    text = _SYNONYMS.get(text, text)
    return text if text in LEVELS else "warning"


def worst_level(facts: dict[str, Any]) -> str:
    """Return the worst level of a server's findings, ``none`` where there are none."""
    found = {level_of(each) for each in facts.get("findings") or ()}
    return next((level for level in LEVELS if level in found), "none")


def version_of(facts: dict[str, Any]) -> str:
    """Return the CredSSP version that a server says it has, or ``none``."""
    credssp = facts.get("credssp")
    version = credssp.get("version") if isinstance(credssp, dict) else None
    return "none" if version is None else str(version)


def nla_of(facts: dict[str, Any]) -> str:
    """Return whether a server authenticates users in front of their session.

    ``required`` (it refuses everything else), ``optional``, ``none``; for WinRM ``offered`` or ``not offered``.
    """
    protocols = facts.get("protocols")
    protocols = protocols if isinstance(protocols, dict) else {}
    taken = {name for name, answer in protocols.items() if answer == "accepted"}
    if not str(facts.get("target", "")).startswith("rdp:"):
        return "offered" if "CredSSP" in taken else "not offered"
    if not taken & {"HYBRID", "HYBRID_EX"}:
        return "none"
    return "optional" if taken & {"RDP", "SSL"} else "required"


@dataclass(slots=True)
class Totals:
    """Counts of one run.

    Attributes:
        targets: results.
        answered: servers that said anything in the protocol that they were asked in.
        with_credssp: servers that offer CredSSP.
        seconds: how long the run took; 0 where that is not known.
        versions: CredSSP versions of the servers that answered.
        nla: `nla_of` them.
        tls: servers by TLS version that they take; one may count several times.
        levels: servers that answered by the worst of their findings. Where none answered, the reason is in `errors`.
        findings: these servers by id and level of a finding.
        errors: why the others did not answer, by name; those that differ in the address alone are one.
    """

    targets: int = 0
    answered: int = 0
    with_credssp: int = 0
    seconds: float = 0.0
    versions: Counter[str] = field(default_factory=Counter)
    nla: Counter[str] = field(default_factory=Counter)
    tls: Counter[str] = field(default_factory=Counter)
    levels: Counter[str] = field(default_factory=Counter)
    findings: Counter[tuple[str, str]] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, facts: dict[str, Any]) -> None:
        """Count one server."""
        self.targets += 1
        if not facts.get("answered"):
            error = facts.get("error")
            name = error.get("text") or error.get("name") if isinstance(error, dict) else None
            count_value(self.errors, _ADDRESS.sub("", str(name or "no answer")))
        else:
            self.answered += 1
            self.with_credssp += facts.get("credssp") is not None
            count_value(self.versions, version_of(facts))
            count_value(self.nla, nla_of(facts))
            for version in [*(facts.get("tls") or ()), *(facts.get("tls_old") or ())] or ["none"]:
                count_value(self.tls, str(version))
            count_value(self.levels, worst_level(facts))
            for key in {(str(each.get("id", "")), level_of(each)) for each in _objects(facts.get("findings"))}:
                count_value(self.findings, key)

    def summary(self) -> str:
        """Return one line for people."""
        parts = [f"{self.answered:,} answered", f"{self.with_credssp:,} with CredSSP"]
        parts += [f"{self.levels[level]:,} with {level}s" for level in ("error", "warning") if self.levels[level]]
        took = f" in {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.targets:,} target{'' if self.targets == 1 else 's'}{took}: {', '.join(parts)}"


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def count_value(counter: Counter[Any], key: Any) -> None:
    """Count a value that servers choose, one of a bounded number."""
    if key not in counter and len(counter) >= _MOST:
        key = ("other", "note") if isinstance(key, tuple) else "other"
    counter[key] += 1
