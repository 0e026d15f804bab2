"""RDP over sockets: servers to connect to, and clients that are programs."""

from __future__ import annotations

import socket
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from credssp.conformance.http import HttpServerLink
from credssp.conformance.kerberos import TicketSource
from credssp.conformance.links import Link, SocketLink
from credssp.conformance.liveness import await_listener, listener_gone
from credssp.conformance.program import Program, ProgramLink, ProgramRequests, command_words, without_proxies
from credssp.conformance.rule import Skipped
from credssp.conformance.server_program import ServerProgram
from credssp.conformance.setup import VARIANTS, RdpAnswer, Setup
from credssp.conformance.x224 import answer_request, request_tls, take_frame
from credssp.errors import LocalProtocolError, RemoteProtocolError
from credssp.exchange.account import LogonAccount
from credssp.kerberos.tickets import ServiceKey

__all__ = ["CommandTarget", "RdpServerTarget"]

SSL_HYBRID = 0x3
_SETTLE = 0.3
"""Seconds in which a server that refuses authInfo closes; one that took it waits for the next PDU."""
_SILENCE = 30.0
"""Seconds in which a server ends a login that does not go on: longer than the deadlines that are in use."""
_PATIENCE = 0.5
"""Seconds in which a program that crashes ends after its connection."""


@dataclass
class RdpServerTarget:
    """An RDP server.

    Attributes:
        host: name or address.
        port: TCP port.
        account: an account it knows.
        name: for reports.
        timeout: seconds to wait for an answer.
        features: what it offers; ``clock`` where `silence` is longer than its own deadline.
        target_name: the SPN.
        settle: seconds to wait for a refusal of authInfo.
        tickets: gives out Kerberos tickets for it, or None.
        program: the server, where the suite starts it itself, or None.
        service_keys: the keys of its services, for tickets as a KDC makes them.
        silence: seconds to wait for it to close a connection on which nothing more comes; `timeout` if that is longer.
    """

    host: str
    port: int
    account: LogonAccount
    name: str = ""
    timeout: float = 5.0
    features: Collection[str] = ("x224", "clock")
    target_name: str = ""
    settle: float | None = _SETTLE
    tickets: TicketSource | None = None
    program: ServerProgram | None = field(default=None, repr=False)
    service_keys: Sequence[ServiceKey] = ()
    silence: float = _SILENCE

    def __post_init__(self) -> None:
        if self.tickets is not None:
            self.features = (*self.features, "kerberos", *(("service-keys",) if self.service_keys else ()))
        self.name = self.name or f"rdp://{self.host}:{self.port}"
        self.target_name = self.target_name or f"TERMSRV/{self.host}"

    def open(self, setup: Setup) -> Link:
        """Connect and negotiate."""
        link = self.open_raw(setup)
        try:
            request_tls(link, SSL_HYBRID, self.timeout)
        except (Skipped, RemoteProtocolError, TimeoutError):
            link.close()
            raise
        return link

    def open_raw(self, setup: Setup) -> Link:
        """Connect."""
        if setup != Setup():
            raise Skipped("this server is judged as it is set up")
        return SocketLink(socket.create_connection((self.host, self.port), timeout=self.timeout))

    def accepted(self, link: Link) -> bool | None:  # noqa: ARG002
        """Leave it to what comes within `settle` seconds."""
        return None

    def obstacle(self) -> str:
        """Return nothing: what the server says, it says in a login."""
        return ""

    def died(self) -> str:
        """Return how the server ended, or an empty string while it is there."""
        return self.program.died() if self.program is not None else listener_gone(self.host, self.port)

    def revive(self) -> str:
        """Start the server again, or wait for it to come back; returns why it did not, or an empty string."""
        return self.program.start() if self.program is not None else await_listener(self.host, self.port)


@dataclass
class CommandTarget:
    """A client that is a program: started anew for every login, and stopped by its own process id.

    Attributes:
        command: the command line; ``{host}`` and ``{port}`` are replaced. May hold a password, so it is in no repr.
        account: the account that the command line logs on with.
        name: for reports.
        timeout: seconds to wait for an answer of it.
        features: what it offers; ``report`` where its end says how the login went, see `credssp.conformance.program`.
        target_name: the SPN it believes to talk to.
        transport: ``rdp`` or ``http``.
        environment: its environment; None for ours. Over HTTP, proxies are taken out of it.
        start_timeout: seconds to wait for its connection.
        variants: command lines for other set-ups, by the names in `credssp.conformance.setup.VARIANTS`.
        service_keys: keys of the service, for a program that logs on with Kerberos; ``{host}`` is a name then.
    """

    command: str = field(repr=False)
    account: LogonAccount
    name: str = ""
    timeout: float = 5.0
    features: Collection[str] = ("x224",)
    target_name: str = ""
    transport: str = "rdp"
    environment: Mapping[str, str] | None = None
    start_timeout: float = 10.0
    variants: Mapping[str, str] = field(default_factory=dict, repr=False)
    service_keys: Sequence[ServiceKey] = ()
    _requests: dict[int, bytes] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.name = self.name or Path(command_words(self.command)[0]).name
        for command in self.variants.values():
            command_words(command)
        if self.transport == "http":
            self.features = ("http", *(feature for feature in self.features if feature not in ("http", "x224")))
        if self.service_keys:
            self.features = (*self.features, "kerberos")
        unknown = sorted(set(self.variants) - set(VARIANTS))
        if unknown:
            raise LocalProtocolError(f"no such set-up: {unknown[0]}; there are {', '.join(VARIANTS)}")

    def start(self, setup: Setup, answer: RdpAnswer) -> Link:
        """Start the program and wait for its connection."""
        words = command_words(self._command(setup))
        listener = socket.create_server(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
        host = "localhost" if self.service_keys else "127.0.0.1"  # Kerberos knows no addresses
        try:
            program = Program(
                [word.replace("{host}", host).replace("{port}", port) for word in words],
                environment=without_proxies(self.environment) if self.transport == "http" else self.environment,
                reports="report" in self.features,
                hidden=(self.account.password.reveal(), port),
            )
        except OSError as error:
            listener.close()
            raise Skipped(f"{words[0]} cannot be started: {error.strerror}") from None
        patience = self.timeout if "report" in self.features else _PATIENCE
        link = ProgramLink(listener, program, start=self.start_timeout, patience=patience)
        if self.transport == "http":
            return HttpServerLink(ProgramRequests(link))
        try:
            link.settle(self.timeout)
            link.stop_listening()
            self._requests[id(link)] = take_frame(link, self.timeout)
            answer_request(link, answer)
        except BaseException:  # an interrupt as well: nothing of ours may stay behind
            link.close()
            raise
        return link

    def _command(self, setup: Setup) -> str:
        if setup == Setup():
            return self.command
        names = [name for name, variant in VARIANTS.items() if variant == setup]
        for name in names:
            if name in self.variants:
                return self.variants[name]
        raise Skipped(
            f"needs a command line for it (--exec-variant {names[0]}=CMD)"
            if names
            else "this client is judged as its command line sets it up"
        )

    def request(self, link: Link) -> bytes:
        """Return the client's Connection Request."""
        return self._requests.pop(id(link), b"")
