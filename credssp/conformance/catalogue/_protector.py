"""The channel of a wire, in the form in which `credssp.winrm.encryption` wants it."""

from __future__ import annotations

from dataclasses import dataclass

from credssp.conformance.wire import Wire

__all__ = ["Protector"]


@dataclass
class Protector:
    """What encrypts for a connection of the suite; see `credssp.winrm.encryption.Protector`.

    Attributes:
        wire: the connection.
    """

    wire: Wire

    @property
    def tls_version(self) -> str:
        """``TLSv1.2`` or ``TLSv1.3``."""
        return self.wire.channel.protocol

    @property
    def tls_cipher(self) -> str:
        """The cipher suite."""
        return self.wire.channel.cipher

    @property
    def peer_closed(self) -> bool:
        """Whether the peer sent close_notify."""
        return self.wire.channel.peer_closed

    def wrap(self, data: bytes) -> bytes:
        """Encrypt."""
        return self.wire.channel.encrypt(data)

    def unwrap(self, data: bytes) -> bytes:
        """Decrypt."""
        return self.wire.channel.decrypt(data)
