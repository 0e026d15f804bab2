"""What ``credssp doctor`` looked at, as plain data: steps, each with its time, and one conclusion."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from credssp.finding import Finding, FindingLevel, ServerFinding, Severity

__all__ = ["Conclusion", "Diagnosis", "DiagnosisStep", "StepState"]


class StepState(enum.Enum):
    """What came of a step."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


_BY_LEVEL: Final = {
    FindingLevel.ERROR: StepState.FAILED,
    FindingLevel.WARNING: StepState.WARNING,
    FindingLevel.NOTE: StepState.NOTE,
}
_BY_SEVERITY: Final = {Severity.OK: StepState.OK, Severity.NOTE: StepState.NOTE, Severity.BAD: StepState.FAILED}


@dataclass(frozen=True, slots=True)
class DiagnosisStep:
    """One thing that was looked at.

    Attributes:
        name: what, such as ``certificate``.
        state: what came of it.
        text: what was seen, in one sentence.
        seconds: how long it took.
        findings: what is to be said about it.
        advice: what to do, where no finding says so.
    """

    name: str
    state: StepState
    text: str
    seconds: float = 0.0
    findings: tuple[ServerFinding, ...] = ()
    advice: str = ""

    @classmethod
    def judged(cls, name: str, text: str, findings: Sequence[ServerFinding], seconds: float = 0.0) -> DiagnosisStep:
        """Return a step whose state is that of the worst of its findings."""
        levels = {found.level for found in findings}
        state = next((_BY_LEVEL[level] for level in FindingLevel if level in levels), StepState.OK)
        return cls(name, state, text, seconds, tuple(findings))

    @classmethod
    def of(cls, found: Finding, seconds: float = 0.0) -> DiagnosisStep:
        """Return what an examination of this machine found as a step."""
        return cls(found.area, _BY_SEVERITY[found.severity], found.text, seconds, advice=found.advice)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "step": self.name,
            "state": self.state.value,
            "text": self.text,
            "advice": self.advice,
            "seconds": round(self.seconds, 3),
            "findings": [found.id for found in self.findings],
        }


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What it all comes to.

    Attributes:
        id: the finding to begin with (docs/reference/findings.md); empty where a login can begin.
        text: one sentence.
        advice: what to do.
        command: what to run next.
        exit_code: of the command: 0 a login can begin, 1 the server is at fault, 3 it is not reached, 4 this machine,
            5 Kerberos.
    """

    id: str
    text: str
    advice: str
    command: str
    exit_code: int


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """An examination.

    Attributes:
        target: the URL.
        steps: in the order of a login; those about this machine come last.
        problems: findings about the server and the way to it, the most important ones first.
        local: what was found about this machine, its Kerberos included.
        conclusion: what it comes to.
        seconds: how long it took.
    """

    target: str
    steps: tuple[DiagnosisStep, ...]
    problems: tuple[ServerFinding, ...]
    local: tuple[Finding, ...]
    conclusion: Conclusion
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; docs/reference/doctor.md describes it."""
        ending = self.conclusion
        return {
            "target": self.target,
            "fit": ending.exit_code == 0,
            "conclusion": {
                "id": ending.id or None,
                "text": ending.text,
                "advice": ending.advice,
                "command": ending.command,
                "exit_code": ending.exit_code,
            },
            "steps": [step.to_dict() for step in self.steps],
            "findings": [found.to_dict() for found in self.problems],
            "machine": [found.to_dict() for found in self.local],
            "seconds": round(self.seconds, 3),
        }
