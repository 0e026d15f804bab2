"""The services of this project as targets: the gateway on both of its sides, and programs that use the agent."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

import credssp
from credssp.conformance.links import Link, SocketLink
from credssp.conformance.memory import TEST_ACCOUNT
from credssp.conformance.rdp import RdpServerTarget
from credssp.conformance.rule import Skipped
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
from tests.gateway.test_gateway import HOST, NLA, Scene, Server, as_selected
from tests.lsa.agents import opened, running_agent

__all__ = ["AS_SERVICE", "LOGINS", "OnLoopback", "agent_client", "gateway_client", "gateway_server"]

USER = LogonAccount("alice", "gateway password", "LAB")
AS_SERVICE = 'mechanism = "ntlm"\nas = { user = "svc", domain = "LAB", password_file = "secret" }\n'
LOGINS = [f"CSSP-{area}-*" for area in ("TSREQ", "VER", "SPNEGO", "PKA24", "PKA56", "CRED", "ERR", "TLS", "NEG")]
"""Rules about a login; not about what comes after it."""
TIMEOUTS = Timeouts(connect=30, leg=30, login=30)


@contextmanager
def _relaying(scene: Scene) -> Iterator[int]:
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


@contextmanager
def gateway_server(
    folder: Path, security: str, target: str, *, limits: str = "", timeout: float = 5.0
) -> Iterator[RdpServerTarget]:
    """The front of a gateway.

    Args:
        folder: for its files.
        security: how it speaks to its server: ``tls`` or ``nla``.
        target: lines of its configuration for that server.
        limits: the section ``[limits]``, if any.
        timeout: seconds that the suite waits for an answer.
    """
    scene = Scene(folder, NLA, f'security = "{security}"\n{target}', server=Server(security), limits=limits)
    with _relaying(scene) as port:
        yield RdpServerTarget(HOST, port, USER, name="credssp gateway, front", settle=0.1, timeout=timeout)


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


class _Listening(Server):
    """The suite in place of a server."""

    def __init__(self, listener: socket.socket) -> None:
        super().__init__("nla")
        self._port = listener.getsockname()[1]

    async def start(self) -> None:
        self.port = self._port


@contextmanager
def _listener() -> Iterator[socket.socket]:
    with socket.create_server((HOST, 0)) as made:
        made.settimeout(30)
        yield made


@contextmanager
def gateway_client(folder: Path) -> Iterator[OnLoopback]:
    """The back of a gateway, which logs on when somebody comes to its front; it trusts the suite's certificates."""
    (folder / "ca.pem").write_bytes(endpoint_certificates())
    options = f'cacert = "ca.pem"\nserver_name = "localhost"\n{AS_SERVICE}'
    with (
        _listener() as listener,
        _relaying(Scene(folder, 'security = "tls"', options, server=_Listening(listener))) as port,
    ):

        async def session() -> None:
            client = TransportClient(host=HOST, protocol=Protocol.SSL, config=credssp.ClientConfig())
            found = await log_on(client, HOST, port, timeouts=TIMEOUTS, in_thread=False)
            found.write(as_selected(found))
            while await found.read():
                pass
            found.close()

        begin = dict.fromkeys((Setup(), Setup(min_version=5)), lambda: asyncio.run(session()))
        account = LogonAccount("svc", "service password", "LAB")
        yield OnLoopback("credssp gateway, back", account, listener, begin)


@contextmanager
def agent_client() -> Iterator[OnLoopback]:
    """`credssp.rdp.connect` with credentials that an agent has; it trusts the suite's certificates."""
    credentials = credssp.PasswordCredentials(TEST_ACCOUNT.username, TEST_ACCOUNT.password, domain=TEST_ACCOUNT.domain)
    authorities = x509.load_pem_x509_certificates(endpoint_certificates())
    rule = CertificateRule(roots=tuple(each.public_bytes(Encoding.DER) for each in authorities))
    with (
        _listener() as listener,
        running_agent(opened(credentials=credentials, mechanisms=("ntlm",), certificate=rule)) as agent,
    ):
        port = listener.getsockname()[1]

        def log_on_as(mechanism: MechanismChoice) -> Callable[[], object]:
            return lambda: connect(
                "localhost", port, credentials=agent.credentials(), mechanism=mechanism, timeouts=TIMEOUTS
            ).close()

        begin = {
            Setup(): log_on_as("ntlm"),
            Setup(min_version=5): log_on_as("ntlm"),
            Setup(form="ntlm"): log_on_as("ntlm"),
            Setup(form="spnego"): log_on_as("negotiate"),
        }
        yield OnLoopback("credssp agent", TEST_ACCOUNT, listener, begin)
