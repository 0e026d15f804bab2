"""Tries the cases one after the other; whatever happens in one is its outcome, and the others go on."""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from credssp.conformance.chance import drawn_from
from credssp.conformance.client_run import ClientRun
from credssp.conformance.lateness import lateness
from credssp.conformance.liveness import Watch
from credssp.conformance.observation import Observation
from credssp.conformance.result import ORDER, Report, Result
from credssp.conformance.rule import Case, Evidence, Outcome, Role, Rule, Skipped, Verdict
from credssp.conformance.run import ServerRun
from credssp.conformance.setup import FEATURES, ClientTarget, ServerTarget
from credssp.errors import CredSSPError, LocalProtocolError

__all__ = ["SUITE_FAILED", "Judging", "OnCase", "OnResult", "expected_reason", "look"]

OnResult: TypeAlias = Callable[[Result], None]
"""Takes each result."""
OnCase: TypeAlias = Callable[[Rule, int, int], None]
"""Takes the rule of the next case, its number (the first is 1), and how many there are."""
MakeRun: TypeAlias = Callable[[], ServerRun | ClientRun]
Good: TypeAlias = Sequence[Callable[[ServerRun | ClientRun], Observation]]
"""Good logins to look at; each raises Skipped where it does not work."""

SUITE_FAILED: Final = "the suite itself failed"
"""How the reason of a skip begins that is a bug of the suite; please report it."""

_EVIDENCE: Final = 8


@dataclass(frozen=True, slots=True)
class Judging:
    """How a peer is judged.

    Attributes:
        target: the peer.
        side: its role.
        expected: reasons for rules that are known not to pass, by pattern.
        on_result: called with each result, or None.
        on_case: called before each case, or None.
        seed: what random values are drawn from.
    """

    target: ServerTarget | ClientTarget
    side: Role
    expected: Mapping[str, str]
    on_result: OnResult | None
    on_case: OnCase | None
    seed: str

    def run(self, cases: Collection[Case], make_run: MakeRun, good: Good) -> Report:
        """Try the cases. Nothing that a peer does, dying included, ends the run."""
        watch = Watch(self.target)
        seen: list[Observation] | None = None
        results = []
        for number, case in enumerate(cases, 1):
            if self.on_case is not None:
                self.on_case(case.rule, number, len(cases))
            begin = time.monotonic()
            missing = case.needs - set(self.target.features)
            if missing:
                outcome = Outcome(Verdict.SKIP, f"needs {FEATURES[min(missing)]}")
            elif case.passive:
                died = ""
                if seen is None:
                    seen, died = self._observe(make_run, good, watch)
                outcome = Outcome(Verdict.CRASH, f"in a good login: {died}") if died else look(case, seen)
            elif watch.missing():
                outcome = Outcome(Verdict.SKIP, watch.missing())
            else:
                outcome = self._try(make_run, case, watch)
            results.append(self._result(case, outcome, time.monotonic() - begin))
        return Report(self.target.name, self.side.value, tuple(results), facts={"seed": self.seed})

    def _result(self, case: Case, outcome: Outcome, seconds: float) -> Result:
        good = outcome.verdict.is_good
        reason = "" if good else expected_reason(self.target.name, case.rule.id, self.expected)
        result = Result(case.rule, self.side, outcome, seconds, expected=reason)
        if self.on_result is not None:
            self.on_result(result)
        return result

    def _observe(self, make_run: MakeRun, good: Good, watch: Watch) -> tuple[list[Observation], str]:
        """Return the good logins that work, and how the peer died in one, or an empty string."""
        found, died = [], ""
        for number, observe in enumerate(good):
            if watch.missing():
                break
            run = make_run()
            try:
                with drawn_from(self.seed, f"good login {number}"):
                    found.append(observe(run))
            except (Skipped, CredSSPError, OSError):
                pass  # the rules about it say so: each tries the login that it needs
            finally:
                run.close()
            died = watch.look("a good login") or died
        return found, died

    def _try(self, make_run: MakeRun, case: Case, watch: Watch) -> Outcome:
        run = make_run()
        try:
            with drawn_from(self.seed, f"{case.rule.id} {case.side.value}"):
                outcome = _guarded(run, case)
        finally:
            run.close()
        if outcome.verdict is Verdict.HANG and self.side is Role.SERVER:
            with drawn_from(self.seed, f"a good login after {case.rule.id}"):
                late = lateness(self.target)
            if late:
                outcome = Outcome(Verdict.SKIP, late)
        outcome = replace(outcome, evidence=outcome.evidence or run.evidence[-_EVIDENCE:])
        return watch.judge(outcome, case.rule.id) if run.any_ended or outcome.verdict is not Verdict.PASS else outcome


def _guarded(run: ServerRun | ClientRun, case: Case) -> Outcome:
    """Run one case; every end of it is an outcome."""
    try:
        return case.judge(run)
    except Skipped as reason:
        return Outcome(Verdict.SKIP, str(reason))
    except TimeoutError as error:
        told = str(error)
        return Outcome(Verdict.HANG, "the peer takes no connection" if told in ("", "timed out") else told)
    except OSError as error:
        return Outcome(Verdict.CRASH, f"the peer is gone: {error.strerror or type(error).__name__}")
    except LocalProtocolError as error:  # ours, or the target's: no peer is to blame for it
        return Outcome(Verdict.SKIP, f"could not be tried: {error.message}")
    except CredSSPError as error:
        return _unreadable(error)
    except Exception as error:  # noqa: BLE001  # a bug of the suite, or a peer that nobody thought of: the others go on
        return Outcome(Verdict.SKIP, f"{SUITE_FAILED}: {type(error).__name__}: {error}")


def _unreadable(error: CredSSPError) -> Outcome:
    """Judge a peer whose bytes could not be read where they had to be, in a case that did not foresee it."""
    return Outcome(Verdict.FAIL, f"what came could not be read: {error.message}")


def look(case: Case, observations: Sequence[Observation]) -> Outcome:
    """Try a passive case on all exchanges; the worst outcome counts."""
    worst = Outcome(Verdict.SKIP, "no exchange to look at")
    for seen in observations:
        try:
            outcome = case.judge(seen)
        except Skipped as reason:
            outcome = Outcome(Verdict.SKIP, str(reason))
        except CredSSPError as error:
            outcome = _unreadable(error)
        if ORDER.index(outcome.verdict) > ORDER.index(worst.verdict) or worst.detail == "no exchange to look at":
            evidence = tuple(Evidence(sender, data) for sender, data in seen.login.messages)
            worst = replace(outcome, evidence=outcome.evidence or evidence[-_EVIDENCE:])
    return worst


def expected_reason(name: str, rule_id: str, expected: Mapping[str, str]) -> str:
    """Return why a rule is known not to pass, or an empty string.

    Args:
        name: the peer or the recorded exchange.
        rule_id: the rule.
        expected: reasons by ``exchange:rule`` or by the rule alone; both may be patterns.
    """
    for key, reason in expected.items():
        subject, _, wanted = key.rpartition(":")
        if fnmatch.fnmatchcase(rule_id, wanted) and (not subject or fnmatch.fnmatchcase(name, subject)):
            return reason
    return ""
