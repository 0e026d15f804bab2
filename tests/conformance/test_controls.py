"""Both controls of every rule: a scripted peer that breaks it is caught, and one that keeps it passes."""

from __future__ import annotations

import functools

import pytest

from credssp.conformance import CATALOGUE, Role, Verdict, check_client, check_exchanges, check_server
from tests.conformance import controls, mutants, scripted, test_whole_suite
from tests.conformance.http_peers import own_winrm_client
from tests.conformance.mutants import Make
from tests.conformance.peers import own_rdp_client, own_rdp_server, own_server
from tests.conformance.test_mutants import BAD, caught, full, ids
from tests.conformance.test_own_peers import winrm_loopback
from tests.kerberos import test_conformance as kerberos

Pairs = set[tuple[str, Role]]
SERVER, CLIENT = Role.SERVER, Role.CLIENT


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
    return found | BY_HAND


BY_HAND: Pairs = {
    ("CSSP-WINRM-03", SERVER),  # test_whole_suite: a server that takes every leg
    ("CSSP-WINRM-13", SERVER),
    ("CSSP-WINRM-17", SERVER),  # test_form_mutants: other metadata
    ("CSSP-WINRM-18", CLIENT),  # test_whole_suite: a client that takes any 200 for the end
    ("CSSP-KRB-26", CLIENT),  # kerberos/test_conformance: a ticket for another service
    ("CSSP-SPNEGO-40", CLIENT),  # test_form_mutants: a recorded client, lenient
}
"""Those whose wrong peer needs more than a function that makes it; the tests are named."""

WITHOUT_A_BREAKER: Pairs = {
    ("CSSP-KRB-37", CLIENT),
    *((f"CSSP-WINRM-{number}", CLIENT) for number in ("03", "10")),
}
"""Rules that no wrong peer has been made for: a list that only gets shorter."""


def test_every_rule_has_a_peer_that_breaks_it() -> None:
    wanted = {(case.rule.id, case.side) for case in CATALOGUE.cases}
    assert broken() <= wanted
    assert wanted - broken() == WITHOUT_A_BREAKER


@functools.cache
def kept() -> Pairs:
    """The rules that peers without a fault keep: scripted ones, and this project's where a script cannot."""
    found: Pairs = set()
    servers = (
        scripted.server(),
        scripted.server(rdp=scripted.confirm),
        controls.impatient(scripted.server()),
        own_server(),
        own_rdp_server(),
    )
    clients = (
        scripted.client(),
        scripted.client(form="spnego"),
        scripted.client(rdp=scripted.REQUEST.encode()),
        controls.impatient(scripted.client()),
        own_rdp_client(),
        own_winrm_client(),
    )
    with winrm_loopback() as loopback:
        reports = [*(check_server(each) for each in (*servers, loopback)), *(check_client(each) for each in clients)]
    reports.append(check_exchanges([(controls.core_data(2), (CLIENT,))]))
    for report in reports:
        found |= {(result.rule.id, result.side) for result in report.results if result.verdict is Verdict.PASS}
    return found


def test_every_rule_has_a_peer_that_keeps_it() -> None:
    wanted = {(case.rule.id, case.side) for case in CATALOGUE.cases}
    # Kerberos needs a KDC: tests/kerberos/test_conformance.py tries all of its rules, and CSSP-CRED-16.
    missing = {pair for pair in wanted - kept() if "-KRB-" not in pair[0]}
    assert missing == {("CSSP-CRED-16", SERVER), ("CSSP-CRED-17", SERVER), ("CSSP-SPNEGO-48", SERVER)}
