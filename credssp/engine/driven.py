"""What a context needs of an engine, wherever the engine runs: here, or in an agent's process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from credssp.config import ClientConfig
from credssp.engine.events import Event
from credssp.mechanism import Mechanism
from credssp.server_authentication import ServerAuthentication
from credssp.spnego import SkippedCandidate

__all__ = ["DrivenEngine", "NamedMechanism", "OpenEngine", "RemoteEngine"]


class NamedMechanism(Protocol):
    """What a context asks an engine's mechanism."""

    @property
    def name(self) -> str:
        """``ntlm``, ``kerberos``, or empty as long as it is not known."""

    @property
    def wire_form(self) -> str:
        """``spnego``, ``ntlm`` or ``kerberos``: what the tokens look like; empty as long as it is not known."""


class DrivenEngine(Protocol):
    """An exchange above TLS; see `credssp.engine.base.Engine`."""

    complete: bool
    version: int | None
    peer_version: int | None
    unused_data: bytes

    @property
    def mechanism(self) -> NamedMechanism:
        """The inner authentication."""

    @property
    def missing(self) -> int:
        """Bytes still needed for a message that has begun."""

    def receive(self, data: bytes) -> list[Event]:
        """Take plaintext of the peer. Raises CredSSPError."""


class RemoteEngine(DrivenEngine, Protocol):
    """A client's exchange that another process runs, which has the credentials."""

    skipped: Sequence[SkippedCandidate]
    client_name: str

    def initiate(self) -> list[Event]:
        """Return the first message. Raises CredSSPError."""

    def bind(self, chain: tuple[bytes, ...], transport_authentication: ServerAuthentication) -> None:
        """Give the server's certificates after `initiate`, where there were none before. Raises CredSSPError."""

    def close(self) -> None:
        """Let go of the other process; at the end of an exchange that is not complete."""


class OpenEngine(Protocol):
    """Begins exchanges in another process."""

    def __call__(
        self, config: ClientConfig, chain: tuple[bytes, ...], transport_authentication: ServerAuthentication, /
    ) -> RemoteEngine:
        """Return an exchange that has not begun.

        Args:
            config: the options.
            chain: the server's certificates (DER), leaf first; empty where they come later.
            transport_authentication: what TLS proved about the server.
        """

    def initiator(self, config: ClientConfig, package: str, /) -> Mechanism:
        """Return a mechanism whose steps run elsewhere.

        Args:
            config: the options.
            package: ``Negotiate``, ``NTLM`` or ``Kerberos``.
        """
