"""One examination: the way of a login step by step, without credentials, and what it comes to."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from credssp.diagnosis import kerberos, machine, network
from credssp.diagnosis.catalogue import KINDS, rank
from credssp.diagnosis.request import DiagnosisRequest
from credssp.diagnosis.server import look_at_server
from credssp.diagnosis.step import Conclusion, Diagnosis, DiagnosisStep, StepState
from credssp.finding import Finding, FindingLevel, ServerFinding, Severity
from credssp.target import Target

if TYPE_CHECKING:
    from credssp.credentials import CCacheCredentials

__all__ = ["examine", "examine_machine"]

_EXIT: Final = {"way": 3, "server": 1, "kerberos": 5, "here": 4}

_OF_A_SERVER: Final = ("answer", "negotiation", "tls", "certificate", "credssp")


def examine_machine(
    *, realm: str | None = None, tickets: CCacheCredentials | None = None, keytab: str | None = None, timeout: float = 5
) -> Iterator[Finding]:
    """Look at this machine alone.

    Args:
        realm: whose KDCs to ask; None for the default realm.
        tickets: the credential cache, or None for the default one.
        keytab: a server's keytab to look at, or None.
        timeout: seconds for each answer of a KDC.
    """
    yield from machine.check_libraries()
    yield from kerberos.check_kerberos(None, realm=realm, tickets=tickets, keytab=keytab, timeout=timeout)


def examine(request: DiagnosisRequest) -> Diagnosis:
    """Go the way of a login to a server, as far as it goes without credentials.

    Every look is bounded by `DiagnosisRequest.timeout`, but for libkrb5, which has deadlines of its own.
    """
    begin = time.monotonic()
    steps, problems, needs_kerberos = _server(request)
    target = Target.parse(request.spn)
    local: list[Finding] = []
    for each in machine.check_libraries():
        # That some kind of peer has no cipher in common with this machine is not about this server.
        local.append(each if _without_md5(each) else kerberos.without_need(each))
    for found, seconds in _timed(_kerberos(request, target, needs_kerberos=needs_kerberos)):
        local.append(found)
        if found.severity is not Severity.OK or found.area != "openssl":
            steps.append(DiagnosisStep.of(found, seconds))
    by_kerberos = any(found.text.startswith("there is a ticket for") for found in local)
    local.append(machine.check_policy(request, by_kerberos=by_kerberos))
    steps.append(DiagnosisStep.of(local[-1]))
    steps += [
        DiagnosisStep.of(each) for each in local if each.area in ("openssl", "ntlm") and each.severity is Severity.BAD
    ]
    problems.sort(key=rank)
    seconds = time.monotonic() - begin
    conclusion = _conclude(request, problems, local)
    return Diagnosis(request.url, tuple(steps), tuple(problems), tuple(local), conclusion, seconds)


def _server(request: DiagnosisRequest) -> tuple[list[DiagnosisStep], list[ServerFinding], bool]:
    """Return the steps, the findings, and whether the server takes nothing but Kerberos."""
    name, addresses = network.look_up(request)
    steps = [name]
    if addresses:
        steps.append(network.connect(request, addresses))
    if steps[-1].state is StepState.FAILED:
        steps += [
            DiagnosisStep(each, StepState.SKIPPED, f"not looked at: {steps[-1].name} failed") for each in _OF_A_SERVER
        ]
        return steps, [found for step in steps for found in step.findings], False
    more, problems, report = look_at_server(request)
    return steps + more, problems, report.mechanisms == ["spnego/kerberos"]


def _kerberos(request: DiagnosisRequest, target: Target, *, needs_kerberos: bool) -> Iterator[Finding]:
    needed = request.needs_kerberos or needs_kerberos
    found = kerberos.check_kerberos(
        target,
        realm=request.realm,
        tickets=request.tickets,
        keytab=request.keytab,
        timeout=request.timeout,
        needed=needed,
    )
    yield from found if needed else map(kerberos.without_need, found)


def _timed(found: Iterator[Finding]) -> Iterator[tuple[Finding, float]]:
    begin = time.monotonic()
    for each in found:
        yield each, time.monotonic() - begin
        begin = time.monotonic()


def _conclude(request: DiagnosisRequest, problems: list[ServerFinding], local: list[Finding]) -> Conclusion:
    """Choose the fault to begin with: the first one on the way of a login, of all that are errors."""
    errors: dict[str, tuple[str, str]] = {}
    for problem in problems:
        if problem.level is FindingLevel.ERROR:
            errors.setdefault(problem.id, (problem.seen, problem.advice))
    for found in local:
        if found.severity is Severity.BAD:
            text = f"{found.text[0].upper()}{found.text[1:]}".rstrip(".")
            errors.setdefault(found.id or "openssl-restricted", (f"{text}.", found.advice))
    if "clock-skew" in errors:  # then its certificate may only seem to be out of time
        errors.pop("cert-expired", None)
        errors.pop("cert-not-yet-valid", None)
    if errors:
        first = min(errors, key=list(KINDS).index)
        kind, (text, advice) = KINDS[first], errors[first]
        return Conclusion(first, text, advice or kind.advice, _command(kind.command, request), _EXIT[kind.place])
    warnings = sum(problem.level is FindingLevel.WARNING for problem in problems)
    text = "Nothing is wrong."
    if warnings:
        several = "one thing should be changed" if warnings == 1 else f"{warnings} things should be changed"
        text = f"A login can begin, and {several}."
    command = f"credssp login {shlex.quote(request.url)} -u 'DOMAIN\\NAME'"
    return Conclusion("", text, "Log on: no credentials were tried here.", command, 0)


def _without_md5(found: Finding) -> bool:
    return found.severity is not Severity.BAD or "MD5" in found.text or "MD4" in found.text or found.area == "ntlm"


def _command(template: str, request: DiagnosisRequest) -> str:
    values = {
        "host": request.host,
        "port": str(request.port),
        "url": request.url,
        "realm": request.realm or "REALM",
        "spn": request.spn,
    }
    return template.format_map({name: shlex.quote(value) for name, value in values.items()})
