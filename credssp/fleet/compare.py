"""What changed between two runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from credssp.fleet.csv_table import flatten
from credssp.fleet.record import Facts

__all__ = ["Change", "compare"]

_CHANGES_ALWAYS: Final = ("seconds", "times", "clock", "skew", "MsvAvTimestamp", "findings", "error_", "answered")
"""Parts of names of facts that differ between any two runs, or are told otherwise."""


@dataclass(frozen=True, slots=True)
class Change:
    """A server that is not as it was.

    Attributes:
        target: its URL.
        kind: ``new`` (it answers, and did not), ``gone`` (it does not, and did) or ``changed``.
        facts: before and now, by the names of `credssp.fleet.csv_table`; an empty text for what is not there.
        appeared: ids of findings that it did not have.
        disappeared: ids of findings that it has no more.
    """

    target: str
    kind: str
    facts: dict[str, tuple[str, str]]
    appeared: tuple[str, ...] = ()
    disappeared: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "target": self.target,
            "change": self.kind,
            "facts": {name: list(pair) for name, pair in self.facts.items()},
            "findings": {"appeared": list(self.appeared), "disappeared": list(self.disappeared)},
        }

    def rows(self) -> Iterator[tuple[str, str, str, str, str]]:
        """Yield target, kind, name, value before and value now of everything that changed; one row at least."""
        found = [("finding", "", name) for name in self.appeared]
        found += [("finding", name, "") for name in self.disappeared]
        found += [(name, *pair) for name, pair in self.facts.items()]
        for name, before, now in found or [("", "", "")]:
            yield self.target, self.kind, name, before, now


def compare(before: Iterable[Facts], now: Iterable[Facts]) -> Iterator[Change]:
    """Yield what changed, in the order of the run now, then what is gone.

    The run before is in memory, without the servers that did not answer. Where a run has a server several times, the
    last result counts.
    """
    old = {facts["target"]: facts for facts in before if facts.get("answered")}
    last = {facts["target"]: number for number, facts in enumerate(now)}
    for number, facts in enumerate(now):
        target = facts["target"]
        if last[target] != number:
            continue
        earlier = old.pop(target, None)
        if not facts.get("answered"):
            if earlier is not None:
                yield Change(target, "gone", {})
        elif earlier is None:
            yield Change(target, "new", {}, appeared=tuple(sorted(_ids(facts))))
        elif (change := _changed(target, earlier, facts)) is not None:
            yield change
    for target in old:
        yield Change(target, "gone", {})


def _changed(target: str, before: Facts, now: Facts) -> Change | None:
    old, new = flatten(before), flatten(now)
    names = [name for name in dict.fromkeys([*old, *new]) if not any(part in name for part in _CHANGES_ALWAYS)]
    facts = {name: (old.get(name, ""), new.get(name, "")) for name in names if old.get(name, "") != new.get(name, "")}
    had, has = _ids(before), _ids(now)
    if not facts and had == has:
        return None
    return Change(target, "changed", facts, tuple(sorted(has - had)), tuple(sorted(had - has)))


def _ids(facts: Facts) -> set[str]:
    return {str(each.get("id", "")) for each in facts.get("findings") or () if isinstance(each, dict)}
