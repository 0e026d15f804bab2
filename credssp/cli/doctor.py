"""``credssp doctor [URL]``: is this machine fit to log on, and if not, what is wrong?"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from credssp.cli import _ways
from credssp.cli._arguments import seconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from credssp.diagnosis.request import DiagnosisRequest
    from credssp.diagnosis.step import Diagnosis

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = (
        "Exit codes: 0 no problem was found; 1 the server is at fault, or without URL at least one problem was found; "
        "2 wrong usage; 3 the server is not reached or is of another kind; 4 this machine is at fault; 5 Kerberos is. "
        "No credentials are used and nothing is proved to the server."
    )
    parser.add_argument(
        "target", nargs="?", metavar="URL", help="a server to log on to: rdp://HOST, http://HOST or https://HOST"
    )
    trust = parser.add_mutually_exclusive_group()
    trust.add_argument("--cacert", metavar="F", help="PEM file with the authorities to trust")
    trust.add_argument("--fingerprint", metavar="SHA256", help="SHA-256 that its certificate has to have")
    parser.add_argument("--ccache", metavar="CACHE", help="Kerberos tickets to look at (default: the default cache)")
    parser.add_argument("--keytab", metavar="F", help="keytab of a server to look at")
    parser.add_argument("--realm", metavar="REALM", help="ask the KDCs of this realm (default: the default realm)")
    parser.add_argument("--policy", metavar="FILE", help="delegation policy to ask about the server: TOML or .reg")
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=5.0,
        metavar="S",
        help="for each answer of the target or a KDC (default: 5)",
    )
    _ways.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--html", metavar="FILE", help="write one self-contained page, to attach to a ticket")


def run(arguments: argparse.Namespace) -> int:
    """Examine, and say it in plain words."""
    from credssp.cli._results import check_writable
    from credssp.errors import LocalProtocolError

    try:
        check_writable(arguments.html)
        if arguments.target is None:
            return _machine(arguments)
        request = _request(arguments)
    except LocalProtocolError as error:
        print(f"credssp doctor: {error.message}", file=sys.stderr)
        return 2
    from credssp.diagnosis import examine

    diagnosis = examine(request)
    if arguments.json:
        from credssp.cli._output import print_json

        print_json(diagnosis.to_dict())
    else:
        _print(diagnosis)
    if arguments.html is not None:
        from credssp.diagnosis.page import diagnosis_page

        _write(arguments.html, diagnosis_page(diagnosis))
    return diagnosis.conclusion.exit_code


def _machine(arguments: argparse.Namespace) -> int:
    from credssp.cli._output import print_json, printable
    from credssp.credentials import CCacheCredentials
    from credssp.diagnosis import examine_machine
    from credssp.errors import LocalProtocolError
    from credssp.finding import Severity

    for option in ("cacert", "fingerprint", "policy"):
        if getattr(arguments, option) is not None:
            raise LocalProtocolError(f"--{option} is about a server: give its URL")
    tickets = None if arguments.ccache is None else CCacheCredentials(arguments.ccache)
    findings = list(
        examine_machine(realm=arguments.realm, tickets=tickets, keytab=arguments.keytab, timeout=arguments.timeout)
    )
    bad = [finding for finding in findings if finding.severity is Severity.BAD]
    if arguments.html is not None:
        from credssp.diagnosis.page import machine_page

        _write(arguments.html, machine_page(findings))
    if arguments.json:
        print_json({"target": None, "fit": not bad, "machine": [finding.to_dict() for finding in findings]})
        return 1 if bad else 0
    for finding in findings:
        print(f"{finding.severity.value:<5} {printable(finding.text)}")
        if finding.advice:
            print(f"      -> {printable(finding.advice)}")
    print(f"\n{len(bad)} of {len(findings)} findings are bad." if bad else "\nNothing is wrong.")
    return 1 if bad else 0


def _write(name: str, parts: Iterable[str]) -> None:
    """Write a page. Raises LocalProtocolError: the file cannot be written."""
    from credssp.errors import LocalProtocolError

    try:
        with Path(name).open("w", encoding="utf-8") as stream:
            stream.writelines(f"{part}\n" for part in parts)
    except OSError as error:
        raise LocalProtocolError(f"--html {name} cannot be written: {error.strerror}") from None


def _request(arguments: argparse.Namespace) -> DiagnosisRequest:
    """Read the arguments. Raises LocalProtocolError."""
    from credssp.credentials import CCacheCredentials
    from credssp.diagnosis.request import DiagnosisRequest
    from credssp.fleet.target_url import parse_target
    from credssp.policy import load_policy
    from credssp.target import Target
    from credssp.tls.settings import ClientTLS
    from credssp.tls.trust import roots_of

    target = parse_target(arguments.target)
    options = _ways.way_of(arguments).options(target)
    ClientTLS(fingerprint=arguments.fingerprint)  # which checks it
    roots_of(arguments.cacert, None)
    request = DiagnosisRequest(
        url=str(target),
        scheme=target.scheme,
        host=target.host,
        port=target.port,
        path=target.path,
        timeout=arguments.timeout,
        cacert=arguments.cacert,
        fingerprint=arguments.fingerprint,
        realm=arguments.realm,
        tickets=None if arguments.ccache is None else CCacheCredentials(arguments.ccache),
        keytab=arguments.keytab,
        policy=None if arguments.policy is None else load_policy(arguments.policy),
        **options,
    )
    Target.parse(request.spn)
    return request


def _print(diagnosis: Diagnosis) -> None:
    from credssp.cli._output import printable

    print(f"{printable(diagnosis.target)}\n")
    for step in diagnosis.steps:
        print(f"{step.state.value:<8} {step.seconds:6.3f} s  {step.name:<12} {printable(step.text)}")
        if step.advice:
            print(f"{'':<8} {'':>8}  {'':<12} -> {printable(step.advice)}")
        for found in step.findings:
            print(f"{'':<8} {'':>8}  {'':<12} {found.level.value} {found.id}: {printable(found.seen)}")
            print(f"{'':<8} {'':>8}  {'':<12} -> {printable(found.advice)}")
    ending = diagnosis.conclusion
    print(f"\n{printable(ending.text)}")
    if ending.id:
        print(f"{printable(ending.advice)}")
    print(f"Next: {printable(ending.command)}")
