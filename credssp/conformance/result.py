"""What the rules came to for one peer."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field, replace
from typing import Final

from credssp.conformance.rule import Level, Outcome, Role, Rule, Verdict
from credssp.pages import visible

__all__ = ["LEVELS", "ORDER", "Report", "Result"]

ORDER: Final = (Verdict.SKIP, Verdict.PASS, Verdict.LENIENT, Verdict.FAIL, Verdict.HANG, Verdict.CRASH)
"""The worst of several outcomes counts; a pass counts more than a skip."""


LEVELS: Final = (Level.SECURITY, Level.MUST, Level.SHOULD, Level.MAY, Level.ROBUSTNESS)
"""The order in which findings are told: what harms users first, what is our opinion last."""

_WIDTH: Final = 100


@dataclass(frozen=True, slots=True)
class Result:
    """What a rule came to for one peer.

    Attributes:
        rule: the rule.
        side: the role of the peer.
        outcome: what was seen.
        seconds: how long it took.
        subject: the exchange it is about, for recorded ones.
        expected: why it is expected not to pass, or an empty string.
        verdicts: the verdict of every run, in their order, where there were several.
        program: the peer, for recorded exchanges whose programs are known.
    """

    rule: Rule
    side: Role
    outcome: Outcome
    seconds: float = 0.0
    subject: str = ""
    expected: str = ""
    verdicts: tuple[Verdict, ...] = ()
    program: str = ""

    @property
    def varies(self) -> bool:
        """Whether several runs did not come to the same verdict."""
        return len(set(self.verdicts)) > 1

    @property
    def verdict(self) -> Verdict:
        """The verdict."""
        return self.outcome.verdict

    @property
    def matters(self) -> bool:
        """Whether somebody has to act on it: it is not good, and was not expected."""
        return not self.verdict.is_good and not self.expected

    def describe(self, *, reveal: bool = False) -> list[str]:
        """Return what there is to say: verdict, rule, what was seen, why it matters, and bytes (`Evidence.shown`)."""
        rule = self.rule
        lines = [f"{self.verdict.value.upper()} {rule.id} [{rule.level.value}] {rule.title}"]
        if self.subject:
            lines.append(f"  exchange  {self.subject} ({self.program or self.side.value})")
        lines += [
            f"  seen      {visible(self.outcome.detail or self.verdict.value)}",
            f"  expected  {rule.expected}",
            f"  stimulus  {rule.stimulus}",
            f"  section   {rule.section}",
        ]
        if rule.rationale:
            lines += textwrap.wrap(
                rule.rationale,
                _WIDTH,
                initial_indent="  why       ",
                subsequent_indent=" " * 12,
                break_on_hyphens=False,
            )
        if self.expected:
            lines.append(f"  known     {self.expected}")
        if self.varies:
            lines.append(f"  varies    {', '.join(verdict.value for verdict in self.verdicts)}")
        for item in self.outcome.evidence:
            first, *others = item.lines(reveal=reveal)
            lines += [f"  {item.sender:<9} {first}", *(f"{'':<12}{line}" for line in others)]
        return lines


@dataclass(frozen=True)
class Report:
    """What all rules came to for one peer.

    Attributes:
        peer: its name.
        side: its role.
        results: in the order of the catalogue.
        trouble: why it could not be judged at all, or an empty string.
        facts: what else is worth knowing, such as versions.
    """

    peer: str
    side: str
    results: tuple[Result, ...]
    trouble: str = ""
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether there is nothing to act on."""
        return not self.trouble and not any(result.matters for result in self.results)

    @property
    def findings(self) -> tuple[Result, ...]:
        """What is not good, known or not; by level (`LEVELS`), then as in `results`."""
        bad = [result for result in self.results if not result.verdict.is_good]
        return tuple(sorted(bad, key=lambda result: LEVELS.index(result.rule.level)))

    @property
    def verdict(self) -> str:
        """The report in a few words, such as ``3 findings (1 SECURITY, 2 MUST)``."""
        if self.trouble:
            return "not judged" if not self.results else "judged in part"
        levels = [result.rule.level for result in self.findings if result.matters]
        if not levels:
            return "no findings" if self.results else "nothing tried"
        counts = ", ".join(f"{levels.count(level)} {level.value}" for level in LEVELS if level in levels)
        return f"{len(levels)} finding{'s' if len(levels) > 1 else ''} ({counts})"

    def again(self, rule_id: str) -> str:
        """Return the command that tries one rule again; empty for a report that no command made."""
        command = self.facts.get("command", "")
        return f"{command} --rule {rule_id}" if command else ""

    def describe(self, result: Result, *, reveal: bool = False) -> list[str]:
        """Return what there is to say of a result, and the command that tries its rule again."""
        again = self.again(result.rule.id)
        return [*result.describe(reveal=reveal), *([f"  try again {again}"] if again else [])]

    def by_peer(self) -> tuple[Report, ...]:
        """Return a report for each program and role in recorded exchanges; this one alone if it is about one peer."""
        found: dict[tuple[str, str], list[Result]] = {}
        for result in self.results:
            if result.subject:
                found.setdefault((result.program or result.subject, result.side.value), []).append(result)
        if not found:
            return (self,)
        return tuple(
            replace(self, peer=peer, side=side, results=tuple(found[peer, side])) for peer, side in sorted(found)
        )

    def count(self, verdict: Verdict) -> int:
        """How many rules came to this."""
        return sum(1 for result in self.results if result.verdict is verdict)

    def verdict_of(self, rule_id: str) -> Verdict:
        """The verdict of one rule, the worst if there are several; SKIP if it was not tried."""
        found = [result.verdict for result in self.results if result.rule.id == rule_id]
        return max(found, key=ORDER.index, default=Verdict.SKIP)

    def explain(self) -> str:
        """Return what has to be acted on, for a failed assertion."""
        if self.trouble:
            return self.trouble
        return "\n".join(
            f"{r.rule.id} {r.verdict.value}: {r.outcome.detail} (expected: {r.rule.expected}; {r.rule.section})"
            for r in self.results
            if r.matters
        )
