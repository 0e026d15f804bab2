"""The suite judges the services of this project: the gateway on both of its sides, the test endpoints, and the agent.

Their cores are the client and the server of test_own_peers.py. What is tried here is what each puts around them.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

import credssp
from credssp.cli import main
from credssp.conformance.http import HttpServerTarget
from credssp.conformance.links import Link, SocketLink
from credssp.conformance.memory import TEST_ACCOUNT
from credssp.conformance.rdp import CommandTarget, RdpServerTarget
from credssp.conformance.result import Report
from credssp.conformance.rule import Skipped, Verdict
from credssp.conformance.runner import check_client, check_server
from credssp.conformance.scripted_server import endpoint_certificates
from credssp.conformance.setup import RdpAnswer, Setup
from credssp.conformance.x224 import answer_request, take_frame
from credssp.drivers.handshake import Timeouts
from credssp.drivers.rdp import log_on
from credssp.exchange.account import LogonAccount
from credssp.lsa.opened import CertificateRule
from credssp.mechanism_name import MechanismChoice
from credssp.rdp import Protocol, connect
from credssp.rdp.transport import TransportClient
from credssp.testing import RDPServer
from credssp.testing.winrm import WinRMServer
from tests.conformance.test_own_peers import judged
from tests.gateway.test_gateway import HOST, NLA, PINNED, Scene, Server, as_selected
from tests.lsa.agents import opened, running_agent
from tests.lsa.programs import agent_program

USER = LogonAccount("alice", "gateway password", "LAB")
WHO = {(TEST_ACCOUNT.domain, TEST_ACCOUNT.username): TEST_ACCOUNT.password}
AS_SERVICE = 'mechanism = "ntlm"\nas = { user = "svc", domain = "LAB", password_file = "secret" }\n'

# What a service can get wrong around the core: the negotiation, the way out, what it does with the credentials.
AROUND = ["CSSP-NEG-*", "CSSP-EUA-*", "CSSP-CRED-*", "CSSP-ERR-0?", "CSSP-VER-*", "CSSP-PKA56-0?", "CSSP-TSREQ-23"]
LOGINS = [f"CSSP-{area}-*" for area in ("TSREQ", "VER", "SPNEGO", "PKA24", "PKA56", "CRED", "ERR", "TLS", "NEG")]
"""All but what comes after a login."""
CLOCKS = ["CSSP-TSREQ-19", "CSSP-ERR-18"]


def kept(report: Report, count: int) -> Report:
    """Check that no rule is broken, and that so many could be judged."""
    judged(report)
    assert not report.trouble
    assert report.count(Verdict.PASS) >= count, report.explain()
    return report


@contextmanager
def relaying(scene: Scene) -> Iterator[int]:
    """Run a gateway and the server of it in a thread; returns the gateway's port."""
    ready: list[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = []
    begun = threading.Event()

    async def main() -> None:
        async with scene:
            ready.append((scene.port, asyncio.get_running_loop(), asyncio.Event()))
            begun.set()
            await ready[0][2].wait()

    def work() -> None:
        try:
            asyncio.run(main())
        finally:
            begun.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert begun.wait(30)
    assert ready, "the gateway did not start"
    port, loop, stop = ready[0]
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)


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
    scene = Scene(tmp_path, NLA, f'security = "{security}"\n{target}', server=Server(security))
    with relaying(scene) as port:
        report = kept(check_server(RdpServerTarget(HOST, port, USER, settle=0.1), rules=AROUND), 30)
    for rule in skipped.split():
        assert report.verdict_of(rule) is Verdict.SKIP, report.explain()


def test_the_gateway_does_not_wait_forever(tmp_path: Path) -> None:
    scene = Scene(tmp_path, NLA, PINNED + AS_SERVICE, server=Server("nla"), limits="[limits]\nleg = 2.0")
    with relaying(scene) as port:
        # It has a deadline that is longer than `timeout`, and shorter than `silence`.
        kept(check_server(RdpServerTarget(HOST, port, USER, timeout=1.0), rules=CLOCKS), 2)


@pytest.mark.parametrize("session", ["desktop", "disconnect", "none"])
def test_the_rdp_test_server(session: str) -> None:
    with RDPServer(WHO, session=session) as server:
        target = RdpServerTarget(*server.address, TEST_ACCOUNT, settle=0.1)
        report = kept(check_server(target, rules=["CSSP-NEG-0?", "CSSP-EUA-*", "CSSP-CRED-*", "CSSP-ERR-0?"]), 20)
    assert report.verdict_of("CSSP-EUA-06") is Verdict.PASS


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


class OnLoopback:
    """A client of this process that connects to the suite for each login.

    Attributes:
        request: the suite's view of what it said before TLS.
    """

    features = ("x224",)
    timeout = 10.0
    service_keys = ()

    def __init__(
        self, name: str, account: LogonAccount, listener: socket.socket, begin: Mapping[Setup, Callable[[], object]]
    ) -> None:
        """Take what begins a login, by the set-ups that the client has."""
        self.name = name
        self.account = account
        self.target_name = "TERMSRV/localhost"
        self._listener = listener
        self._begin = begin
        self._requests: dict[int, bytes] = {}

    def start(self, setup: Setup, answer: RdpAnswer) -> Link:
        if setup not in self._begin:
            raise Skipped("this client does not have that configuration")
        threading.Thread(target=self._run, args=(self._begin[setup],), daemon=True).start()
        link = SocketLink(self._listener.accept()[0])
        self._requests[id(link)] = take_frame(link, self.timeout)
        answer_request(link, answer)
        return link

    @staticmethod
    def _run(begin: Callable[[], object]) -> None:
        with contextlib.suppress(credssp.CredSSPError, OSError):
            begin()

    def request(self, link: Link) -> bytes:
        return self._requests.pop(id(link), b"")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server((HOST, 0)) as made:
        made.settimeout(30)
        yield made


@pytest.fixture
def authorities() -> bytes:
    """The certificates that the suite's endpoints have, PEM."""
    return endpoint_certificates()


class Listening(Server):
    """The suite in place of a server."""

    def __init__(self, listener: socket.socket) -> None:
        super().__init__("nla")
        self._port = listener.getsockname()[1]

    async def start(self) -> None:
        self.port = self._port


def test_the_gateway_as_a_client(tmp_path: Path, listener: socket.socket, authorities: bytes) -> None:
    (tmp_path / "ca.pem").write_bytes(authorities)
    options = f'cacert = "ca.pem"\nserver_name = "localhost"\n{AS_SERVICE}'
    with relaying(Scene(tmp_path, 'security = "tls"', options, server=Listening(listener))) as port:

        async def session() -> None:
            client = TransportClient(host=HOST, protocol=Protocol.SSL, config=credssp.ClientConfig())
            found = await log_on(client, HOST, port, timeouts=Timeouts(connect=30, leg=30, login=30), in_thread=False)
            found.write(as_selected(found))
            while await found.read():
                pass
            found.close()

        begin = dict.fromkeys((Setup(), Setup(min_version=5)), lambda: asyncio.run(session()))
        account = LogonAccount("svc", "service password", "LAB")
        client = OnLoopback("gateway back", account, listener, begin)
        kept(check_client(client, rules=[*LOGINS, "CSSP-EUA-0[1235]"]), 80)
        client.timeout = 3.0  # it is silent, and has to be
        kept(check_client(client, rules=["CSSP-EUA-04"]), 1)


def test_a_program_that_logs_on_through_the_agent(listener: socket.socket, authorities: bytes) -> None:
    credentials = credssp.PasswordCredentials(TEST_ACCOUNT.username, TEST_ACCOUNT.password, domain=TEST_ACCOUNT.domain)
    roots = tuple(each.public_bytes(Encoding.DER) for each in x509.load_pem_x509_certificates(authorities))
    rule = CertificateRule(roots=roots)
    with running_agent(opened(credentials=credentials, mechanisms=("ntlm",), certificate=rule)) as agent:
        port = listener.getsockname()[1]

        def log_on_as(mechanism: MechanismChoice) -> Callable[[], object]:
            return lambda: connect(
                "localhost", port, credentials=agent.credentials(), mechanism=mechanism,
                timeouts=Timeouts(connect=30, leg=30, login=30),
            ).close()  # fmt: skip

        begin = {
            Setup(): log_on_as("ntlm"),
            Setup(min_version=5): log_on_as("ntlm"),
            Setup(form="ntlm"): log_on_as("ntlm"),
            Setup(form="spnego"): log_on_as("negotiate"),
        }
        kept(check_client(OnLoopback("agent", TEST_ACCOUNT, listener, begin), rules=LOGINS), 80)


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
