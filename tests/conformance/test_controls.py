"""Both controls of every rule: a scripted peer that breaks it is caught, and one that keeps it passes."""

from __future__ import annotations

import pytest

from credssp.conformance import CATALOGUE, Role, Verdict, check_client, check_exchanges, check_server
from credssp.conformance.scripted_server import certificate_of
from credssp.errors import AuthenticationError
from credssp.tls.end_point import end_point_bindings
from tests.conformance import controls, mutants, scripted, test_whole_suite
from tests.conformance.broken import BROKEN
from tests.conformance.http_peers import own_winrm_client
from tests.conformance.mutants import Make
from tests.conformance.peers import (
    ODD,
    own_client,
    own_rdp_client,
    own_rdp_server,
    own_relayed_client,
    own_server,
    own_session_server,
)
from tests.conformance.test_mutants import BAD, caught, full, ids
from tests.conformance.test_own_peers import bound_winrm, winrm_loopback
from tests.kerberos import test_conformance as kerberos

Pairs = set[tuple[str, Role]]
SERVER, CLIENT = Role.SERVER, Role.CLIENT
BINDINGS = end_point_bindings(certificate_of("").der)


@pytest.mark.parametrize(("name", "make", "rules"), controls.SERVERS, ids=ids(controls.SERVERS))
def test_a_server_that_breaks_a_rule_is_caught(name: str, make: Make, rules: str) -> None:
    caught(check_server(make(), rules=full(rules)), rules)


@pytest.mark.parametrize(("name", "make", "rules"), controls.CLIENTS, ids=ids(controls.CLIENTS))
def test_a_client_that_breaks_a_rule_is_caught(name: str, make: Make, rules: str) -> None:
    caught(check_client(make(), rules=full(rules)), rules)


@pytest.mark.parametrize(("name", "make", "rules"), controls.RECORDED, ids=ids(controls.RECORDED))
def test_a_recorded_client_that_breaks_a_rule_is_caught(name: str, make: Make, rules: str) -> None:
    report = check_exchanges([(make(), (CLIENT,))], rules=full(rules))
    assert {result.verdict for result in report.results} <= BAD
    assert report.results


@pytest.mark.parametrize(("name", "make", "rules"), controls.LENIENT_SERVERS, ids=ids(controls.LENIENT_SERVERS))
def test_a_server_that_takes_what_it_could_have_refused_is_lenient(name: str, make: Make, rules: str) -> None:
    report = check_server(make(), rules=full(rules))
    assert {result.verdict for result in report.results} == {Verdict.LENIENT}


# Whether every rule has them


def named(side: Role, *tables: list[tuple[str, Make, str]]) -> Pairs:
    return {(f"CSSP-{rule}", side) for table in tables for _, _, rules in table for rule in rules.split()}


def broken() -> Pairs:
    """The rules that one of the wrong peers breaks, each in a test of its own."""
    found = named(SERVER, mutants.SERVERS, controls.SERVERS, controls.LENIENT_SERVERS)
    found |= named(CLIENT, mutants.CLIENTS, controls.CLIENTS, controls.RECORDED)
    for side, table in ((SERVER, kerberos.SERVERS), (CLIENT, kerberos.CLIENTS)):
        found |= {(f"CSSP-{rule}", side) for *_, bad, lenient in table for rule in f"{bad} {lenient}".split()}
    found |= {(f"CSSP-{rule}", SERVER) for _, rules in test_whole_suite.WRONG_ANSWERS for rule in rules.split()}
    return found | BROKEN


def test_every_rule_has_a_peer_that_breaks_it() -> None:
    assert broken() == {(case.rule.id, case.side) for case in CATALOGUE.cases}


KEEPING_SERVERS: list[tuple[Make, str]] = [
    (scripted.server, ""),
    (lambda: scripted.server(rdp=scripted.confirm), "CRED-* NEG-* EUA-*"),
    (lambda: controls.impatient(scripted.server()), "TSREQ-19 ERR-18"),
    (own_server, ""),
    (lambda: own_server(ODD), "SPNEGO-55"),
    (lambda: own_server(max_clock_skew=300), "SPNEGO-48"),
    (lambda: own_server(channel_bindings=BINDINGS, cbt_hardening="relaxed"), "SPNEGO-61"),
    (own_rdp_server, "CRED-* NEG-* EUA-*"),
    (own_session_server, "NEG-22 NEG-23"),
    (lambda: controls.raising_in_guard_mode(AuthenticationError("no password in this mode")), "CRED-17"),
]
KEEPING_CLIENTS: list[tuple[Make, str]] = [
    (scripted.client, ""),
    (lambda: scripted.client(form="spnego"), "SPNEGO-*"),
    (lambda: scripted.client(rdp=scripted.REQUEST.encode()), "CRED-* NEG-* EUA-*"),
    (lambda: controls.impatient(scripted.client()), "TSREQ-19"),
    (lambda: own_client(ODD), "SPNEGO-56"),
    (own_rdp_client, ""),
    (own_relayed_client, "NEG-24"),
    (own_winrm_client, "WINRM-*"),
]
"""Peers without a fault, scripted ones and this project's where a script cannot; and what they are tried on."""


def kept() -> Pairs:
    """The rules that one of these keeps."""
    reports = [check_server(make(), rules=full(rules)) for make, rules in KEEPING_SERVERS]
    reports += [check_client(make(), rules=full(rules)) for make, rules in KEEPING_CLIENTS]
    with winrm_loopback() as loopback, bound_winrm() as bound:
        reports += [check_server(loopback, rules=["CSSP-WINRM-*"]), check_server(bound, rules=["CSSP-SPNEGO-62"])]
    reports.append(check_exchanges([(controls.core_data(2), (CLIENT,))]))
    passes = (result for report in reports for result in report.results if result.verdict is Verdict.PASS)
    return {(result.rule.id, result.side) for result in passes}


def test_every_rule_has_a_peer_that_keeps_it() -> None:
    # tests/kerberos/test_conformance.py has those that a KDC is needed for, and counts them in the same way.
    wanted = {(case.rule.id, case.side) for case in CATALOGUE.cases if not controls.needs_a_kdc(case)}
    assert wanted - kept() == set()
