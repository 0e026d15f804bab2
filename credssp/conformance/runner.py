"""Runs the cases of the catalogue against a server, a client, or recorded exchanges.

Every case is bounded: a target has a `timeout` for each of its answers, no case waits for more than a few dozen
answers, and whatever a case raises becomes its outcome. A peer that takes no good login at all is not judged: refusing
everything would pass most rules. Of an RDP server, what it says before TLS still is.
"""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from operator import methodcaller
from pathlib import Path
from typing import Final, TypeAlias

from credssp.conformance.catalogue import CATALOGUE
from credssp.conformance.chance import drawn_from, new_seed
from credssp.conformance.client_run import ClientRun
from credssp.conformance.client_run import KnownLogins as ClientLogins
from credssp.conformance.judging import SUITE_FAILED, Judging, OnCase, OnResult, expected_reason, look
from credssp.conformance.links import MemoryPeer
from credssp.conformance.memory import TARGET_NAME, TEST_ACCOUNT, MemoryClientTarget, MemoryServerTarget
from credssp.conformance.observation import Observation
from credssp.conformance.repeat import merged
from credssp.conformance.result import Report, Result
from credssp.conformance.rule import Case, Role, Skipped
from credssp.conformance.run import KnownLogins as ServerLogins
from credssp.conformance.run import ServerRun
from credssp.conformance.setup import ClientTarget, ServerTarget, Setup
from credssp.errors import CredSSPError
from credssp.exchange.account import LogonAccount
from credssp.exchange.fixture import load_all, login_of
from credssp.exchange.recorded_login import RecordedLogin
from credssp.protocol_version import HIGHEST_VERSION, LOWEST_VERSION, UPDATED_VERSION

__all__ = [
    "SUITE_FAILED",
    "Report",
    "Result",
    "check_client",
    "check_exchanges",
    "check_server",
    "exchanges_in",
    "select",
]

_VERSIONS: Final = (HIGHEST_VERSION, UPDATED_VERSION, UPDATED_VERSION - 1, LOWEST_VERSION)
"""Those that are distinguished: with errorCode or without, with hashes or without."""


def _name_of(factory: object) -> str:
    return str(getattr(factory, "__qualname__", type(factory).__name__))


def _obstacle(target: ServerTarget) -> str:
    """Return what the target knows of the reason why no login works, if it can find out."""
    try:
        return target.obstacle()
    except OSError:
        return ""


def _reason(error: Exception) -> str:
    """Return what an exception says, without number and Python's names."""
    return str(getattr(error, "strerror", None) or getattr(error, "message", None) or error)


def select(patterns: Iterable[str] = (), *, side: Role | None = None) -> list[Case]:
    """Return the cases whose rule ids match one of the patterns (``CSSP-PKA*``), all without patterns."""
    wanted = [pattern.upper() for pattern in patterns]
    return [
        case
        for case in CATALOGUE.cases
        if (side is None or case.side is side)
        and (not wanted or any(fnmatch.fnmatchcase(case.rule.id, pattern) for pattern in wanted))
    ]


Factory: TypeAlias = Callable[[Setup], MemoryPeer]
"""Makes a peer without sockets for a set-up; raises Skipped for one that is not to be had."""


def check_server(
    target: ServerTarget | Factory,
    *,
    account: LogonAccount | None = None,
    target_name: str = TARGET_NAME,
    rules: Iterable[str] = (),
    expected: dict[str, str] | None = None,
    on_result: OnResult | None = None,
    on_case: OnCase | None = None,
    seed: str = "",
    repeat: int = 1,
) -> Report:
    """Judge a server.

    Args:
        target: how to reach it, and an account it knows; or a function that makes one without sockets.
        account: with a function: an account that its servers know; None for `credssp.conformance.memory.TEST_ACCOUNT`.
        target_name: with a function: the SPN under which they are spoken to.
        rules: patterns of rule ids; none for all.
        expected: reasons for rules that are known not to pass, by id.
        on_result: called with each result.
        on_case: called before each case with its rule, its number (the first is 1), and how many there are.
        seed: what the suite's random values are drawn from; empty for one of its own. It is among the report's facts.
        repeat: how often everything is tried; the worst verdict counts, and those that vary are in the results.
    """
    if callable(target):
        target = MemoryServerTarget(_name_of(target), target, account or TEST_ACCOUNT, target_name=target_name)
    judging = Judging(target, Role.SERVER, expected or {}, on_result, on_case, seed or new_seed())
    cases = select(rules, side=Role.SERVER)
    return merged([_server_once(target, cases, judging) for _ in range(max(repeat, 1))])


def _server_once(target: ServerTarget, cases: list[Case], judging: Judging) -> Report:
    known: ServerLogins = {}
    trouble = ""
    probe = ServerRun(target, known)
    if "kerberos" in target.features:
        try:
            probe.ticket()
        except Skipped as error:  # nothing was asked of the server itself
            return Report(target.name, "server", (), trouble=f"no good login works: {error}")
    try:
        with drawn_from(judging.seed, "a good login"):
            probe.baseline()
    except (Skipped, CredSSPError, OSError) as error:
        trouble = f"no good login works: {_obstacle(target) or _reason(error)}"
        # What an RDP server says before TLS can be judged anyway, if it is there.
        heard = isinstance(error, Skipped) and "x224" in target.features
        cases = [case for case in cases if heard and not case.passive and case.rule.area == "NEG"]
    finally:
        probe.close()

    good = [methodcaller("observation", form, version) for form in probe.forms for version in _VERSIONS]
    return replace(judging.run(cases, lambda: ServerRun(target, known), good), trouble=trouble)


def check_client(
    target: ClientTarget | Factory,
    *,
    account: LogonAccount | None = None,
    target_name: str = TARGET_NAME,
    rules: Iterable[str] = (),
    expected: dict[str, str] | None = None,
    on_result: OnResult | None = None,
    on_case: OnCase | None = None,
    seed: str = "",
    repeat: int = 1,
) -> Report:
    """Judge a client; arguments as `check_server`: the account is the one that the clients log on with."""
    if callable(target):
        target = MemoryClientTarget(_name_of(target), target, account or TEST_ACCOUNT, target_name=target_name)
    judging = Judging(target, Role.CLIENT, expected or {}, on_result, on_case, seed or new_seed())
    cases = select(rules, side=Role.CLIENT)
    return merged([_client_once(target, cases, judging) for _ in range(max(repeat, 1))])


def _client_once(target: ClientTarget, cases: list[Case], judging: Judging) -> Report:
    known: ClientLogins = {}
    probe = ClientRun(target, known)
    try:
        with drawn_from(judging.seed, "a good login"):
            probe.baseline()
    except (Skipped, CredSSPError, OSError) as error:
        return Report(target.name, "client", (), trouble=f"no good login works: {_reason(error)}")
    finally:
        probe.close()

    setups = (Setup(), Setup(form="spnego"))
    good = [methodcaller("observation", version, setup) for setup in setups for version in _VERSIONS]
    return judging.run(cases, lambda: ClientRun(target, known), good)


def exchanges_in(folder: Path) -> list[tuple[RecordedLogin, tuple[Role, ...]]]:
    """Return the logins of all fixtures below a folder, both sides of each.

    Raises:
        FixtureError: one does not keep to the format.
    """
    return [(login_of(fixture), (Role.CLIENT, Role.SERVER)) for fixture in load_all(folder)]


def check_exchanges(
    exchanges: Sequence[tuple[RecordedLogin, Sequence[Role]]],
    *,
    rules: Iterable[str] = (),
    expected: dict[str, str] | None = None,
    on_result: OnResult | None = None,
) -> Report:
    """Judge recorded exchanges by the rules that only look.

    Args:
        exchanges: each with the sides of it to judge.
        rules: patterns of rule ids; none for all.
        expected: reasons for rules that are known not to pass, by ``exchange:rule`` or by the id alone; the names of
            exchanges are patterns.
        on_result: called with each result.
    """
    results = []
    for exchange, sides in exchanges:
        for case in select(rules):
            if not case.passive or case.side not in sides:
                continue
            begin = time.monotonic()
            seen = Observation(exchange, case.side)
            outcome = look(case, [seen])
            seconds = time.monotonic() - begin
            reason = "" if outcome.verdict.is_good else expected_reason(exchange.name, case.rule.id, expected or {})
            result = Result(case.rule, case.side, outcome, seconds, exchange.name, reason)
            result = replace(result, program=exchange.programs.get(seen.who, ""))
            results.append(result)
            if on_result is not None:
                on_result(result)
    return Report("recorded exchanges", "both", tuple(results))


def _expected_of(name: str, rule_id: str, expected: dict[str, str]) -> str:
    for key, reason in expected.items():
        subject, _, wanted = key.rpartition(":")
        if fnmatch.fnmatchcase(rule_id, wanted) and (not subject or fnmatch.fnmatchcase(name, subject)):
            return reason
    return ""
