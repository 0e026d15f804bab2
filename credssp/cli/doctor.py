"""``credssp doctor [TARGET]``: is this machine fit to log on, and if not, what is wrong?"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Final

from credssp.cli._arguments import seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from credssp.credentials import CCacheCredentials
    from credssp.finding import Finding
    from credssp.kerberos.krb5_conf import Krb5Conf
    from credssp.target import Target

__all__ = ["configure", "run"]

_SKEW: Final = 300
"""Seconds that clocks may differ (RFC 4120 5.2.3 recommends it, Windows and MIT krb5 have it)."""

_SERVICES: Final = {"rdp": "TERMSRV", "http": "HTTP", "https": "HTTP"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = "Exit codes: 0 no problem was found; 1 at least one was; 2 wrong usage."
    parser.add_argument("target", nargs="?", metavar="URL", help="a server to log on to: rdp://HOST")
    parser.add_argument("--ccache", metavar="CACHE", help="Kerberos tickets to look at (default: the default cache)")
    parser.add_argument("--keytab", metavar="F", help="keytab of a server to look at")
    parser.add_argument("--realm", metavar="REALM", help="ask the KDCs of this realm (default: the default realm)")
    parser.add_argument(
        "--timeout", type=seconds, default=5.0, metavar="S", help="for the target, and for a KDC (default: 5)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Examine, and say it in plain words."""
    from credssp.cli._output import print_json, printable
    from credssp.credentials import CCacheCredentials
    from credssp.errors import LocalProtocolError
    from credssp.finding import Severity

    try:
        target = None if arguments.target is None else _target(arguments.target)
        tickets = None if arguments.ccache is None else CCacheCredentials(arguments.ccache)
    except LocalProtocolError as error:
        print(f"credssp doctor: {error.message}", file=sys.stderr)
        return 2
    findings = list(_examine(arguments, target, tickets))
    bad = [finding for finding in findings if finding.severity is Severity.BAD]
    if arguments.json:
        facts = [{"area": f.area, "severity": f.severity.value, "text": f.text, "advice": f.advice} for f in findings]
        print_json({"fit": not bad, "findings": facts})
        return 1 if bad else 0
    for finding in findings:
        print(f"{finding.severity.value:<5} {printable(finding.text)}")
        if finding.advice:
            print(f"      -> {printable(finding.advice)}")
    print(f"\n{len(bad)} of {len(findings)} findings are bad." if bad else "\nNothing is wrong.")
    return 1 if bad else 0


def _target(text: str) -> Target:
    from credssp.cli._targets import parse_target
    from credssp.target import Target as Service

    target = parse_target(text)
    return Service.parse(f"{_SERVICES.get(target.scheme, 'host')}/{target.host}")


def _examine(
    arguments: argparse.Namespace, target: Target | None, tickets: CCacheCredentials | None
) -> Iterator[Finding]:
    from credssp.kerberos import check as kerberos
    from credssp.kerberos import krb5_conf
    from credssp.kerberos.pyspnego import kerberos_missing
    from credssp.ntlm.check import check_algorithms
    from credssp.tls.check import check_openssl, check_peers

    if arguments.target is not None:
        yield from _port(arguments.target, arguments.timeout)
    yield from check_openssl()
    yield from check_peers()
    yield from check_algorithms()
    yield kerberos.check_libraries()
    conf = krb5_conf.load()
    yield from kerberos.check_configuration(conf)
    # Without the libraries nothing will ask a KDC, and a krb5.conf may name some that nobody here knows of.
    realm = arguments.realm or (kerberos.default_realm(conf) if kerberos_missing() is None else None)
    if realm is not None:
        yield from _clocks(conf, realm, arguments.timeout, asked=arguments.realm is not None)
    if target is not None:
        yield from kerberos.check_spn(target, conf)
    if kerberos_missing() is not None:
        yield from _not_looked_at(arguments)
        return
    yield from kerberos.check_tickets(tickets)
    if target is not None and not target.is_address:
        yield _ticket_for(target, tickets)
    if arguments.keytab is not None:
        yield from kerberos.check_keytab(arguments.keytab, target)


def _port(url: str, timeout: float) -> Iterator[Finding]:
    """Whether anything answers there, which is what all else depends on."""
    from credssp.cli._targets import parse_target
    from credssp.config import Timeouts
    from credssp.drivers.blocking import open_socket
    from credssp.errors import CredSSPError
    from credssp.finding import Finding, Severity

    target = parse_target(url)
    try:
        open_socket(target.host, target.port, timeouts=Timeouts(connect=timeout)).close()
    except CredSSPError as error:
        yield Finding("network", Severity.BAD, error.message, error.advice)
    else:
        yield Finding("network", Severity.OK, f"{target.host} port {target.port} takes connections")


def _not_looked_at(arguments: argparse.Namespace) -> Iterator[Finding]:
    """Say what was asked about and cannot be told without the libraries."""
    from credssp.finding import Finding, Severity

    for what, name in (("credential cache", arguments.ccache), ("keytab", arguments.keytab)):
        if name is not None:
            yield Finding(
                "kerberos",
                Severity.BAD,
                f"the {what} {name} was not checked: the libraries that read it are missing",
                "install Kerberos for Python, see above",
            )


def _clocks(conf: Krb5Conf, realm: str, timeout: float, *, asked: bool) -> Iterator[Finding]:
    """Ask every KDC that is configured for its time."""
    from datetime import UTC, datetime

    from credssp.drivers.kdc import ask_time
    from credssp.errors import CredSSPError
    from credssp.finding import Finding, Severity

    kdcs = conf.kdcs.get(realm, [])
    if asked and not kdcs:
        yield Finding(
            "clock",
            Severity.NOTE,
            f"krb5.conf names no KDC of {realm}, so none was asked for its time",
            "libkrb5 also finds KDCs through DNS; add the realm to [realms] to compare its clock",
        )
    for kdc in kdcs:
        host, _, port = kdc.rpartition(":") if kdc.rpartition(":")[2].isdecimal() else (kdc, "", "88")
        try:
            theirs = ask_time(host.strip("[]"), int(port), realm, timeout=timeout)
        except CredSSPError as error:
            yield Finding(
                "clock",
                Severity.BAD,
                f"the KDC {kdc} does not answer: {error.message}",
                "see kdc in [realms] of krb5.conf; is port 88 open for TCP?",
            )
            continue
        if theirs is None:
            yield Finding("clock", Severity.OK, f"the KDC {kdc} answers")
            continue
        skew = (datetime.now(UTC) - theirs).total_seconds()
        text = f"this clock is {abs(int(skew))} s {'ahead of' if skew > 0 else 'behind'} that of the KDC {kdc}"
        if abs(skew) > _SKEW:
            yield Finding("clock", Severity.BAD, text, "the limit is five minutes: synchronise both (chrony, w32tm)")
        else:
            yield Finding("clock", Severity.OK, text)


def _ticket_for(target: Target, tickets: CCacheCredentials | None) -> Finding:
    """Get a ticket, which is what the login will do first."""
    from credssp.context.initiator import create_initiator
    from credssp.errors import CredSSPError
    from credssp.finding import Finding, Severity

    name = f"{target.service}/{target.host}"
    try:
        create_initiator(tickets, target_name=name, mechanism="kerberos").step(None)
    except CredSSPError as error:
        return Finding(
            "kerberos", Severity.NOTE, f"no ticket for {name}: {error.message}", "until then logins there use NTLM"
        )
    return Finding("kerberos", Severity.OK, f"there is a ticket for {name}")
