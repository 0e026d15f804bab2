"""Our own client and server pass every rule that they can be tried on, over every transport."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import credssp
from credssp.conformance.catalogue import CATALOGUE
from credssp.conformance.http import HttpServerTarget
from credssp.conformance.links import Link, SocketLink
from credssp.conformance.memory import TEST_ACCOUNT
from credssp.conformance.rdp import RdpServerTarget
from credssp.conformance.result import Report
from credssp.conformance.rule import Level, Verdict
from credssp.conformance.runner import SUITE_FAILED, check_client, check_exchanges, check_server, exchanges_in
from credssp.conformance.setup import RdpAnswer, Setup
from credssp.conformance.x224 import answer_request, take_frame
from credssp.drivers.handshake import Timeouts
from credssp.drivers.rdp_service import ServerLimits
from credssp.rdp import connect, serve
from credssp.testing.winrm import WinRMServer
from tests.conformance.http_peers import own_winrm_client
from tests.conformance.peers import (
    ODD,
    own_client,
    own_rdp_client,
    own_rdp_server,
    own_relayed_client,
    own_server,
    own_session_server,
)

ACCOUNTS = credssp.MemoryAccounts({(TEST_ACCOUNT.domain, TEST_ACCOUNT.username): TEST_ACCOUNT.password})

# What we take although we could refuse it, and why.
LENIENT = {
    "CSSP-CRED-17": "a client that gives a password away where it could have kept it harms itself; the application "
    "is told what was delegated",
    "CSSP-SPNEGO-40": "pyspnego leaves MsvAvChannelBindings out where there are none; zeros say the same",
    "CSSP-SPNEGO-61": "pubKeyAuth binds the login to the key of the TLS connection; only https has bindings to compare",
    "CSSP-KRB-41": "as CSSP-SPNEGO-61",
    "CSSP-SPNEGO-48": "max_clock_skew is off by default: the server challenge is fresh for every login",
}


def judged(report: Report) -> Report:
    assert report.ok, report.explain()
    assert {r.rule.id for r in report.results if r.verdict is Verdict.LENIENT} <= LENIENT.keys()
    assert not [r for r in report.results if SUITE_FAILED in r.outcome.detail]
    for result in report.results:
        assert result.rule.level not in (Level.MUST, Level.SECURITY) or result.verdict in (Verdict.PASS, Verdict.SKIP)
    return report


@contextmanager
def rdp_loopback() -> Iterator[RdpServerTarget]:
    server = serve(
        lambda session: session.recv() and None,
        port=0,
        accounts=ACCOUNTS,
        mechanisms=("ntlm",),
        min_version=2,
        limits=ServerLimits(deadline=0.8, leg=0.6),
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield RdpServerTarget(*server.address, TEST_ACCOUNT, timeout=3.0, settle=0.1)
    finally:
        server.close()
        thread.join(5)


class ThreadedClient:
    """Our client on blocking sockets, with deadlines."""

    name = "credssp.rdp.connect"
    account = TEST_ACCOUNT
    features = ("x224", "clock")
    timeout = 3.0
    target_name = "TERMSRV/127.0.0.1"
    service_keys = ()

    def start(self, setup: Setup, front: RdpAnswer) -> Link:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(30)
            thread = threading.Thread(target=self._log_on, args=(listener.getsockname()[1],), daemon=True)
            thread.start()
            link = SocketLink(listener.accept()[0])
        take_frame(link, self.timeout)
        answer_request(link, front)
        return link

    @staticmethod
    def _log_on(port: int) -> None:
        credentials = credssp.PasswordCredentials(
            TEST_ACCOUNT.username, TEST_ACCOUNT.password, domain=TEST_ACCOUNT.domain
        )
        with contextlib.suppress(credssp.CredSSPError):
            connect(
                "127.0.0.1", port, credentials=credentials, mechanism="ntlm", min_version=2,
                timeouts=Timeouts(leg=0.5, login=2.0),
            ).close()  # fmt: skip

    def request(self, link: Link) -> bytes:
        return b""


@contextmanager
def winrm_loopback() -> Iterator[HttpServerTarget]:
    serving = pytest.importorskip("credssp.drivers.winrm_serving")
    from credssp.drivers.winrm_asgi import WinRMApplication, WinRMResponse

    application = WinRMApplication(
        lambda request: WinRMResponse(b"<answer/>"), accounts=ACCOUNTS, mechanisms=("ntlm",), min_version=2
    )
    with serving.serving(application) as port:
        yield HttpServerTarget(f"http://127.0.0.1:{port}/wsman", TEST_ACCOUNT)


@contextmanager
def bound_winrm() -> Iterator[HttpServerTarget]:
    """A WinRM server over https that takes no login without its channel bindings."""
    pytest.importorskip("credssp.drivers.winrm_serving")
    who = {(TEST_ACCOUNT.domain, TEST_ACCOUNT.username): TEST_ACCOUNT.password}
    with WinRMServer(who, https=True, cbt_hardening="strict", min_version=2) as server:
        yield HttpServerTarget(server.url, TEST_ACCOUNT, name=server.url)


@pytest.fixture(scope="module")
def reports() -> dict[str, Report]:
    found = {}
    for make in (own_server, own_rdp_server):
        target = make()
        found[target.name] = check_server(target)
    clients: tuple[Callable[[], Any], ...] = (own_client, own_rdp_client, own_winrm_client)
    for make in clients:
        target = make()
        found[target.name] = check_client(target)
    with rdp_loopback() as loopback:
        found["RDP over loopback"] = check_server(loopback, rules=["CSSP-ERR-1?", "CSSP-NEG-*", "CSSP-TSREQ-*"])
    threaded = ThreadedClient()
    found[threaded.name] = check_client(threaded, rules=["CSSP-TSREQ-*", "CSSP-PKA56-*"])
    with winrm_loopback() as http:
        found["WinRM over loopback"] = check_server(http)
    with bound_winrm() as https:
        found["WinRM, bound"] = check_server(https, rules=["CSSP-SPNEGO-6[012]"])
    found["RDP session"] = check_server(own_session_server(), rules=["CSSP-NEG-2[23]"])
    found["RDP relay"] = check_client(own_relayed_client(), rules=["CSSP-NEG-24"])
    found["capitals, server"] = check_server(own_server(ODD), rules=["CSSP-SPNEGO-55"])
    found["capitals, client"] = check_client(own_client(ODD), rules=["CSSP-SPNEGO-56"])
    return found


def test_our_peers_conform(reports: dict[str, Report]) -> None:
    for report in reports.values():
        judged(report)


def test_every_rule_is_tried_on_one_of_them_or_on_a_fixture(reports: dict[str, Report]) -> None:
    fixtures = check_exchanges(exchanges_in(Path(__file__).parents[2] / "fixtures"))
    tried = {
        (result.rule.id, result.side)
        for report in (*reports.values(), fixtures)
        for result in report.results
        if result.verdict is not Verdict.SKIP
    }
    # Rules about Kerberos need a KDC: tests/kerberos/test_conformance.py.
    wanted = {
        (rule.id, side)
        for rule in CATALOGUE.rules
        for side in rule.role.sides
        if rule.area != "KRB" and rule.id != "CSSP-CRED-16"
    }
    assert wanted - tried == set()


def test_there_are_288_rules() -> None:
    assert len(CATALOGUE.rules) == 288


def test_every_rule_has_a_case_for_each_of_its_roles() -> None:
    cases = {(case.rule.id, case.side) for case in CATALOGUE.cases}
    assert cases == {(rule.id, side) for rule in CATALOGUE.rules for side in rule.role.sides}
