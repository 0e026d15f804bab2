"""Peers without sockets as targets: a function makes one for every login, and nothing ever waits."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from credssp.conformance.kerberos import TicketSource
from credssp.conformance.links import Link, MemoryLink, MemoryPeer
from credssp.conformance.rule import Skipped
from credssp.conformance.setup import RdpAnswer, Setup
from credssp.conformance.x224 import answer_request, request_tls, take_frame
from credssp.exchange.account import LogonAccount
from credssp.kerberos.tickets import ServiceKey

__all__ = ["TARGET_NAME", "TEST_ACCOUNT", "MemoryClientTarget", "MemoryServerTarget"]

TEST_ACCOUNT: Final = LogonAccount("alice", "made up for conformance", "LAB")
"""The account of targets in memory; made up."""

TARGET_NAME: Final = "TERMSRV/srv.lab.test"
"""What they are spoken to as; made up."""


@dataclass
class MemoryServerTarget:
    """A server without sockets.

    Attributes:
        name: for reports.
        make: makes the peer for a set-up; may raise Skipped.
        account: an account it knows.
        features: see `credssp.conformance.setup`.
        rdp: whether the peer begins with X.224.
        timeout: has no effect: nothing waits.
        target_name: the SPN.
        protocols: requestedProtocols, where it begins with X.224.
        tickets: gives out Kerberos tickets for it, or None.
        settle: has no effect: the peer itself is asked.
        service_keys: the keys of its services, for tickets as a KDC makes them.
    """

    name: str
    make: Callable[[Setup], MemoryPeer]
    account: LogonAccount = TEST_ACCOUNT
    features: Collection[str] = frozenset({"report"})
    rdp: bool = False
    timeout: float = 1.0
    target_name: str = TARGET_NAME
    protocols: int = 0x3
    tickets: TicketSource | None = None
    settle: float | None = None
    service_keys: tuple[ServiceKey, ...] = ()

    def open(self, setup: Setup) -> Link:
        """Open a connection at the point where TLS begins."""
        link = MemoryLink(self.make(setup))
        if self.rdp:
            request_tls(link, self.protocols, self.timeout)
        return link

    def open_raw(self, setup: Setup) -> Link:
        """Open a connection before anything was said."""
        return MemoryLink(self.make(setup))

    def accepted(self, link: Link) -> bool | None:
        """Ask the peer."""
        return bool(getattr(getattr(link, "peer", None), "complete", None))

    def identity(self, link: Link) -> str:
        """Return who the peer says has logged on, as `MemoryPeer`; empty where it does not say."""
        return str(getattr(getattr(link, "peer", None), "identity", ""))

    def obstacle(self) -> str:
        """Return nothing: the peer says no more than a login does."""
        return ""


@dataclass
class MemoryClientTarget:
    """A client without sockets; attributes as `MemoryServerTarget`, and `service_keys` for Kerberos."""

    name: str
    make: Callable[[Setup], MemoryPeer]
    account: LogonAccount = TEST_ACCOUNT
    features: Collection[str] = frozenset({"report"})
    rdp: bool = False
    timeout: float = 1.0
    target_name: str = TARGET_NAME
    service_keys: tuple[ServiceKey, ...] = ()
    _requests: dict[int, bytes] = field(default_factory=dict)

    def start(self, setup: Setup, answer: RdpAnswer) -> Link:
        """Start a login."""
        link = MemoryLink(self.make(setup))
        if self.rdp:
            self._requests[id(link)] = take_frame(link, self.timeout)
            answer_request(link, answer)
        elif answer != RdpAnswer():
            raise Skipped("this client has no RDP negotiation")
        return link

    def request(self, link: Link) -> bytes:
        """Return the client's Connection Request."""
        return self._requests.get(id(link), b"")
