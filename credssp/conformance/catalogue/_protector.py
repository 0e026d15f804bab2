"""The channel of a connection, in the form in which `credssp.winrm.encryption` wants it."""

from __future__ import annotations

from dataclasses import dataclass

from credssp.conformance.connection import Connection

__all__ = ["Protector"]


@dataclass
class Protector:
    """What encrypts for a connection of the suite; see `credssp.winrm.encryption.Protector`.

    Attributes:
        connection: the connection.
    """

    connection: Connection

    @property
    def tls_version(self) -> str:
        """``TLSv1.2`` or ``TLSv1.3``."""
        return self.connection.channel.protocol

    @property
    def tls_cipher(self) -> str:
        """The cipher suite."""
        return self.connection.channel.cipher

    @property
    def peer_closed(self) -> bool:
        """Whether the peer sent close_notify."""
        return self.connection.channel.peer_closed

    def wrap(self, data: bytes) -> bytes:
        """Encrypt."""
        return self.connection.channel.encrypt(data)

    def unwrap(self, data: bytes) -> bytes:
        """Decrypt."""
        return self.connection.channel.decrypt(data)
