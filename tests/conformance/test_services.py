"""The suite judges the services of this project: the gateway on both of its sides, the test endpoints, and the agent.

Their cores are the client and the server of test_own_peers.py. What is tried here is what each puts around them.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from credssp.cli import main
from credssp.conformance.http import HttpServerTarget
from credssp.conformance.memory import TEST_ACCOUNT
from credssp.conformance.rdp import CommandTarget, RdpServerTarget
from credssp.conformance.result import Report
from credssp.conformance.rule import Verdict
from credssp.conformance.runner import check_client, check_server
from credssp.conformance.scripted_server import endpoint_certificates
from credssp.testing import RDPServer
from credssp.testing.winrm import WinRMServer
from tests.conformance.services import AS_SERVICE, LOGINS, agent_client, gateway_client, gateway_server
from tests.conformance.test_own_peers import judged
from tests.gateway.test_gateway import PINNED
from tests.lsa.programs import agent_program

WHO = {(TEST_ACCOUNT.domain, TEST_ACCOUNT.username): TEST_ACCOUNT.password}

# What a service can get wrong around the core: the negotiation, the way out, what it does with the credentials.
AROUND = ["CSSP-NEG-*", "CSSP-EUA-*", "CSSP-CRED-*", "CSSP-ERR-0?", "CSSP-VER-*", "CSSP-PKA56-0?", "CSSP-TSREQ-23"]
CLOCKS = ["CSSP-TSREQ-19", "CSSP-ERR-18"]


def kept(report: Report, count: int) -> Report:
    """Check that no rule is broken, and that so many could be judged."""
    judged(report)
    assert not report.trouble
    assert report.count(Verdict.PASS) >= count, report.explain()
    return report


# Servers


@pytest.mark.parametrize(
    ("security", "target", "skipped"),
    [
        ("tls", PINNED, "CSSP-CRED-12 CSSP-CRED-14 CSSP-CRED-15"),
        ("nla", PINNED + 'mechanism = "ntlm"\n', "CSSP-CRED-12 CSSP-CRED-13 CSSP-CRED-14 CSSP-CRED-15 CSSP-TSREQ-23"),
        ("nla", PINNED + AS_SERVICE, ""),
    ],
    ids=["in front of TLS", "the user's own password", "mapped"],
)
def test_the_gateway_as_a_server(tmp_path: Path, security: str, target: str, skipped: str) -> None:
    # A gateway that logs on elsewhere with what was delegated refuses made-up credentials, whatever their form.
    with gateway_server(tmp_path, security, target) as gateway:
        report = kept(check_server(gateway, rules=AROUND), 30)
    for rule in skipped.split():
        assert report.verdict_of(rule) is Verdict.SKIP, report.explain()
    assert report.verdict_of("CSSP-NEG-22") is report.verdict_of("CSSP-NEG-23") is Verdict.PASS


def test_the_gateway_does_not_wait_forever(tmp_path: Path) -> None:
    # It has a deadline that is longer than `timeout`, and shorter than `silence`.
    limits = "[limits]\nleg = 2.0"
    with gateway_server(tmp_path, "nla", PINNED + AS_SERVICE, limits=limits, timeout=1.0) as gateway:
        kept(check_server(gateway, rules=CLOCKS), 2)


@pytest.mark.parametrize("session", ["desktop", "disconnect", "none"])
def test_the_rdp_test_server(session: str) -> None:
    with RDPServer(WHO, session=session) as server:
        target = RdpServerTarget(*server.address, TEST_ACCOUNT, settle=0.1)
        report = kept(check_server(target, rules=["CSSP-NEG-[02]?", "CSSP-EUA-*", "CSSP-CRED-*", "CSSP-ERR-0?"]), 20)
    assert report.verdict_of("CSSP-EUA-06") is Verdict.PASS
    if session == "desktop":  # the others do not answer MCS Connect Initial with settings
        assert report.verdict_of("CSSP-NEG-22") is report.verdict_of("CSSP-NEG-23") is Verdict.PASS


@pytest.mark.parametrize("https", [False, True], ids=["http", "https"])
def test_the_winrm_test_server(https: bool) -> None:
    with WinRMServer(WHO, https=https) as server:
        kept(
            check_server(
                HttpServerTarget(server.url, TEST_ACCOUNT), rules=["CSSP-WINRM-*", "CSSP-CRED-*", "CSSP-VER-*"]
            ),
            20,
        )


# Clients


@pytest.fixture
def authorities() -> bytes:
    """The certificates that the suite's endpoints have, PEM."""
    return endpoint_certificates()


def test_the_gateway_as_a_client(tmp_path: Path) -> None:
    with gateway_client(tmp_path) as client:
        report = kept(check_client(client, rules=[*LOGINS, "CSSP-EUA-0[1235]"]), 80)
        assert report.verdict_of("CSSP-NEG-24") is Verdict.PASS
        client.timeout = 3.0  # it is silent, and has to be
        kept(check_client(client, rules=["CSSP-EUA-04"]), 1)


def test_a_program_that_logs_on_through_the_agent() -> None:
    with agent_client() as client:
        kept(check_client(client, rules=LOGINS), 80)


def test_credssp_login_through_the_agent(tmp_path: Path, authorities: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca.pem").write_bytes(authorities)
    path = tmp_path / "s"
    user = f"{TEST_ACCOUNT.domain}\\{TEST_ACCOUNT.username}"
    with agent_program(path) as agent:
        rules = ("--target", "*", "--cacert", str(tmp_path / "ca.pem"))
        agent.add("lab", "-u", user, *rules, secret=TEST_ACCOUNT.password.reveal())
        monkeypatch.setenv("CREDSSP_AGENT_SOCK", str(path))
        command = shlex.join([sys.executable, "-m", "credssp", "login", "rdp://{host}:{port}", "--agent", "lab"])
        target = CommandTarget(command, TEST_ACCOUNT, features=("x224", "report"), start_timeout=30, timeout=10)
        report = kept(check_client(target, rules=["CSSP-EUA-0[125]", "CSSP-VER-04"]), 3)
    # It logs on and no more: what follows the result is for somebody else.
    assert {r.rule.id for r in report.results if r.verdict is Verdict.SKIP} == {"CSSP-EUA-05"}


def test_a_program_that_checks_certificates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CREDSSP_PASSWORD", TEST_ACCOUNT.password.reveal())
    file = tmp_path / "ca.pem"
    user = ["-u", TEST_ACCOUNT.username, "-d", TEST_ACCOUNT.domain]
    login = [sys.executable, "-m", "credssp", "login", "rdp://{host}:{port}", *user, "--cacert", str(file)]
    options = ["--exec", shlex.join(login), "--exec-reports", "--timeout", "20", "--rule", "CSSP-PKA24-08"]
    words = ["conformance", "client", *user, *options, "--cacert-file"]
    assert main([*words, str(file)]) == 0, capsys.readouterr().out
    assert "1 pass" in capsys.readouterr().out
    assert b"PRIVATE" not in file.read_bytes()
    assert main([*words, str(tmp_path / "none" / "ca.pem")]) == 2
    assert "--cacert-file" in capsys.readouterr().err
