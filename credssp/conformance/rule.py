"""What a rule is, what a case of it may come to, and the list of them all.

A `Rule` is data: an id that stays, the section it is drawn from, a stimulus and an expectation in words. What a rule
*does* is a `Case`: a function that drives a peer (`credssp.conformance.run`) or looks at a recorded exchange
(`credssp.conformance.exchange`). A rule for both roles has a case for each.

========  ============================================================================================================
verdict   meaning
========  ============================================================================================================
pass      the peer did what the rule expects
fail      it did not
lenient   it took what it could have refused, and nothing that needs protection was harmed
hang      it neither answered nor closed in time; never the same as a refusal
crash     it ended in a way that no implementation intends: a foreign exception, a process that died
skip      the rule cannot be tried on this peer or over this transport; the reason is given
========  ============================================================================================================
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from credssp.errors import LocalProtocolError
from credssp.exchange.recorded_login import Sender

__all__ = [
    "AREAS",
    "SHOWN",
    "Case",
    "CaseFunction",
    "Catalogue",
    "Evidence",
    "Judged",
    "Level",
    "Outcome",
    "Role",
    "Rule",
    "Skipped",
    "Verdict",
    "alive",
    "failed",
    "first_fault",
    "lenient",
    "need",
    "passed",
]


SHOWN: Final = 64
"""Bytes of a message that are shown: enough for header, version, flags and fields, and short of the proof in an NTLM
AUTHENTICATE, against which passwords can be guessed."""


class Level(enum.Enum):
    """How binding a rule is, by the words of the section it names.

    The texts say what is sent, and seldom what a receiver does with anything else. A rule about receiving is MUST where
    they do say it, and where what is sent is not a value of its type at all, such as a credType that does not exist;
    everything else about receiving is ROBUSTNESS.
    """

    MUST = "MUST"
    """The text says MUST, or states a fact that leaves no other way."""
    SHOULD = "SHOULD"
    """The text says SHOULD."""
    MAY = "MAY"
    """The text says MAY."""
    ROBUSTNESS = "ROBUSTNESS"
    """The text is silent, or speaks in a product note alone; the expectation is ours."""
    SECURITY = "SECURITY"
    """Breaking it gives credentials, or the binding, away."""


class Role(enum.Enum):
    """Whom a rule judges, or which side a case plays against."""

    CLIENT = "client"
    SERVER = "server"
    BOTH = "both"

    @property
    def sides(self) -> tuple[Role, ...]:
        """The single roles in it."""
        return (Role.CLIENT, Role.SERVER) if self is Role.BOTH else (self,)


class Verdict(enum.Enum):
    """What a case came to; see the module."""

    PASS = "pass"
    FAIL = "fail"
    LENIENT = "lenient"
    HANG = "hang"
    CRASH = "crash"
    SKIP = "skip"

    @property
    def is_good(self) -> bool:
        """Whether there is nothing to act on."""
        return self in (Verdict.PASS, Verdict.LENIENT, Verdict.SKIP)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        id: ``CSSP-AREA-NN``; never reused.
        title: the rule in a few words.
        level: how binding.
        role: whom it judges.
        section: where it is drawn from; sections without a name are those of [MS-CSSP].
        stimulus: what the suite does.
        expected: what the peer is to do.
    """

    id: str
    title: str
    level: Level
    role: Role
    section: str
    stimulus: str
    expected: str

    def to_dict(self) -> dict[str, str]:
        """Return plain data, without the rationale."""
        return {
            "id": self.id,
            "title": self.title,
            "level": self.level.value,
            "role": self.role.value,
            "section": self.section,
            "stimulus": self.stimulus,
            "expected": self.expected,
        }

    @property
    def area(self) -> str:
        """The middle of the id, such as ``TSREQ``."""
        return self.id.split("-")[1]

    @property
    def rationale(self) -> str:
        """Why the rule exists and what goes wrong where it is broken; empty for a rule of another catalogue."""
        from credssp.conformance.explained import rationale_of

        return rationale_of(self.id)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Bytes that went over.

    Attributes:
        sender: ``client`` or ``server``.
        data: a TSRequest, or whatever was there in its place.
        note: what is worth knowing about it, such as ``closed`` for an end without bytes.
    """

    sender: Sender
    data: bytes
    note: str = ""

    def shown(self, *, reveal: bool = False) -> bytes:
        """Return the bytes that may be shown: those up to `SHOWN`, or all with `reveal`."""
        return self.data if reveal else self.data[:SHOWN]

    def lines(self, *, reveal: bool = False) -> list[str]:
        """Return those bytes as text, with the note."""
        data = self.shown(reveal=reveal)
        more = "" if len(data) == len(self.data) else f"... ({len(self.data)} bytes)"
        return [f"{data.hex()}{more}{f'  ({self.note})' if self.note else ''}"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a case came to.

    Attributes:
        verdict: see the module.
        detail: what was seen, or why it was skipped.
        evidence: what went over, last message last.
    """

    verdict: Verdict
    detail: str = ""
    evidence: tuple[Evidence, ...] = field(default=(), repr=False)


class Judged(Exception):  # not an error
    """Raised by a case that has come to an outcome; see `need` and `alive`."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


class Skipped(Exception):  # not an error
    """Raised by a case that finds it cannot be tried here; the text is the reason."""


def passed(detail: str = "") -> Outcome:
    """Return a pass."""
    return Outcome(Verdict.PASS, detail)


def failed(detail: str, *evidence: Evidence) -> Outcome:
    """Return a fail; the text says what was seen, and the evidence what of it; else the last messages are."""
    return Outcome(Verdict.FAIL, detail, evidence)


def lenient(detail: str) -> Outcome:
    """Return a lenient; the text says what was taken."""
    return Outcome(Verdict.LENIENT, detail)


def need(outcome: Outcome) -> None:
    """End the case with an outcome that is not a pass."""
    if outcome.verdict is not Verdict.PASS:
        raise Judged(outcome)


def alive(crash: str) -> None:
    """End the case where the peer has crashed."""
    if crash:
        raise Judged(Outcome(Verdict.CRASH, crash))


def first_fault(outcomes: Iterable[Outcome]) -> Outcome:
    """Return the first that is not a pass; nothing after it is tried. A pass, where all pass: the only one as it is."""
    passes = []
    for outcome in outcomes:
        if outcome.verdict is not Verdict.PASS:
            return outcome
        passes.append(outcome)
    return passes[0] if len(passes) == 1 else passed()


CaseFunction: TypeAlias = Callable[[Any], Outcome]
"""Takes a ServerRun, a ClientRun or an Observation, by the kind of the case."""


@dataclass(frozen=True, slots=True)
class Case:
    """One way to try a rule.

    Attributes:
        rule: the rule.
        side: the side it judges, client or server.
        function: tries it.
        needs: what the peer's transport must offer, see `credssp.conformance.run.FEATURES`.
        passive: whether it only looks at exchanges (and so judges fixtures too) and provokes nothing.
    """

    rule: Rule
    side: Role
    function: CaseFunction
    needs: frozenset[str] = frozenset()
    passive: bool = False

    def judge(self, subject: Any) -> Outcome:
        """Try the rule with a run, or look at an observation. Raises Skipped."""
        try:
            return self.function(subject)
        except Judged as judged:
            return judged.outcome


class Catalogue:
    """All rules and their cases."""

    def __init__(self) -> None:
        self._rules: dict[str, Rule] = {}
        self._cases: list[Case] = []

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All rules, by area and number."""
        return tuple(sorted(self._rules.values(), key=_place))

    @property
    def cases(self) -> tuple[Case, ...]:
        """All cases, in the order of their rules."""
        return tuple(sorted(self._cases, key=lambda case: _place(case.rule)))

    def __getitem__(self, rule_id: str) -> Rule:
        """Return the rule with this id."""
        return self._rules[rule_id]

    def declare(self, *rules: tuple[str, str, Level, Role, str, str, str]) -> None:
        """Declare rules: the fields of `Rule`, in that order.

        Raises:
            LocalProtocolError: an id is taken.
        """
        for rule in rules:
            if rule[0] in self._rules:
                raise LocalProtocolError(f"{rule[0]} is declared twice")
            self._rules[rule[0]] = Rule(*rule)

    def server(self, rule_id: str, *needs: str) -> Callable[[CaseFunction], CaseFunction]:
        """Declare a case that logs on to a server."""
        return self._declare((Role.SERVER,), rule_id, needs)

    def client(self, rule_id: str, *needs: str) -> Callable[[CaseFunction], CaseFunction]:
        """Declare a case that serves a client."""
        return self._declare((Role.CLIENT,), rule_id, needs)

    def observe(self, rule_id: str) -> Callable[[CaseFunction], CaseFunction]:
        """Declare a case that looks at a login, for every side that the rule judges."""
        return self._declare(self._rules[rule_id].role.sides, rule_id, (), passive=True)

    def _declare(
        self, sides: tuple[Role, ...], rule_id: str, needs: tuple[str, ...], *, passive: bool = False
    ) -> Callable[[CaseFunction], CaseFunction]:
        rule = self._rules[rule_id]
        if not set(sides) <= set(rule.role.sides):
            raise LocalProtocolError(f"{rule_id} judges no {sides[0].value}")

        def declare(function: CaseFunction) -> CaseFunction:
            self._cases += [Case(rule, side, function, frozenset(needs), passive) for side in sides]
            return function

        return declare


AREAS: Final = {
    "TSREQ": "encoding of TSRequest, and how it lies in TLS records",
    "VER": "which version is spoken",
    "SPNEGO": "the inner authentication: SPNEGO, NTLM, MICs and flags",
    "KRB": "Kerberos as the inner authentication",
    "PKA24": "the binding of versions 2 to 4",
    "PKA56": "the binding of versions 5 and 6",
    "CRED": "who gets the credentials, and in what form",
    "ERR": "how a refusal is reported, and what the client makes of it",
    "TLS": "the channel below",
    "NEG": "the negotiation of an RDP connection",
    "EUA": "the Early User Authorization Result",
    "WINRM": "headers and encrypted messages of WinRM",
}
"""The areas, in the order in which reports have them."""


def _place(rule: Rule) -> tuple[int, str]:
    return list(AREAS).index(rule.area), rule.id


MESSAGE_LIMIT: Final = 1 << 20
"""Bytes of one message that the suite itself is willing to read."""
