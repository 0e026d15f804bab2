"""RDP over sockets: servers to connect to, and clients that are programs."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from credssp.conformance.http import HttpServerLink, SocketRequests
from credssp.conformance.kerberos import TicketSource
from credssp.conformance.links import Link, SocketLink
from credssp.conformance.ntlm import Account
from credssp.conformance.rule import Skipped
from credssp.conformance.setup import Front, Setup
from credssp.conformance.x224 import answer_request, request_tls, take_request
from credssp.nego.tickets import ServiceKey

__all__ = ["CommandTarget", "RdpServerTarget"]

SSL_HYBRID = 0x3
_SETTLE = 0.3
"""Seconds in which a server that refuses authInfo closes; one that took it waits for the next PDU."""


@dataclass
class RdpServerTarget:
    """An RDP server.

    Attributes:
        host: name or address.
        port: TCP port.
        account: an account it knows.
        name: for reports.
        timeout: seconds to wait for an answer.
        features: what it offers; ``clock`` where `timeout` is longer than its own deadline.
        target_name: the SPN.
        settle: seconds to wait for a refusal of authInfo.
        tickets: gives out Kerberos tickets for it, or None.
    """

    host: str
    port: int
    account: Account
    name: str = ""
    timeout: float = 5.0
    features: Collection[str] = ("x224", "clock")
    target_name: str = ""
    settle: float = _SETTLE
    tickets: TicketSource | None = None

    def __post_init__(self) -> None:
        if self.tickets is not None:
            self.features = (*self.features, "kerberos")
        self.name = self.name or f"rdp://{self.host}:{self.port}"
        self.target_name = self.target_name or f"TERMSRV/{self.host}"

    def open(self, setup: Setup) -> Link:
        """Connect and negotiate."""
        link = self.open_raw(setup)
        if request_tls(link, SSL_HYBRID, self.timeout) is None:
            link.close()
            raise Skipped("the server selects no CredSSP")
        return link

    def open_raw(self, setup: Setup) -> Link:
        """Connect."""
        if setup != Setup():
            raise Skipped("this server is judged as it is set up")
        return SocketLink(socket.create_connection((self.host, self.port), timeout=self.timeout))

    def accepted(self, link: Link) -> bool | None:  # noqa: ARG002
        """Leave it to what comes within `settle` seconds."""
        return None


@dataclass
class CommandTarget:
    """A client that is a program: started anew for every login, and stopped by its own process id.

    Attributes:
        command: the command line; ``{host}`` and ``{port}`` are replaced.
        account: the account that the command line logs on with.
        name: for reports.
        timeout: seconds to wait for an answer of it.
        features: what it offers.
        target_name: the SPN it believes to talk to.
        transport: ``rdp`` or ``http``.
        environment: its environment; None for ours.
        output: what the last run wrote, for its error text.
        service_keys: keys of the service, for a program that logs on with Kerberos; ``{host}`` is a name then.
    """

    command: str
    account: Account
    name: str = ""
    timeout: float = 5.0
    features: Collection[str] = ("x224",)
    target_name: str = ""
    transport: str = "rdp"
    environment: Mapping[str, str] | None = None
    start_timeout: float = 10.0
    service_keys: Sequence[ServiceKey] = ()
    _running: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    _requests: dict[int, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name = self.name or Path(shlex.split(self.command)[0]).name
        if self.transport == "http":
            self.features = ("http",)
        if self.service_keys:
            self.features = (*self.features, "kerberos")

    def start(self, setup: Setup, front: Front) -> Link:
        """Start the program and wait for its connection."""
        if setup != Setup():
            raise Skipped("this client is judged as its command line sets it up")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(self.start_timeout)
            port = listener.getsockname()[1]
            host = "localhost" if self.service_keys else "127.0.0.1"  # Kerberos knows no addresses
            words = [word.replace("{host}", host).replace("{port}", str(port)) for word in shlex.split(self.command)]
            process = subprocess.Popen(  # noqa: S603  # the user's own command line
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=dict(self.environment) if self.environment is not None else None,
                start_new_session=True,
            )
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                _stop(process)
                raise Skipped(f"the program did not connect within {self.start_timeout:g} s") from None
        link = _ProcessLink(connection, process)
        if self.transport == "http":
            return HttpServerLink(SocketRequests(link))
        self._requests[id(link)] = take_request(link, self.timeout)
        answer_request(link, front)
        return link

    def request(self, link: Link) -> bytes:
        """Return the client's Connection Request."""
        return self._requests.pop(id(link), b"")


class _ProcessLink(SocketLink):
    """A connection whose other end is a process that belongs to it."""

    def __init__(self, connection: socket.socket, process: subprocess.Popen[bytes]) -> None:
        super().__init__(connection)
        self._process = process

    def receive(self, timeout: float) -> bytes | None:
        """Return what came; an end by a signal is a crash."""
        data = super().receive(timeout)
        if data == b"":
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(0.5)
                if code in (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGILL):
                    self.crash = f"the program ended by {signal.Signals(-code).name}"
        return data

    def close(self) -> None:
        """Close the connection and stop the process."""
        super().close()
        _stop(self._process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a process of ours and its children, which are in its session."""
    for number, patience in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 5.0)):
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        end = time.monotonic() + patience
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
