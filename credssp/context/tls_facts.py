"""What TLS negotiated, as every owner of a channel tells it."""

from __future__ import annotations

from credssp.tls.channel import TLSChannel
from credssp.tls.sizes import StreamSizes

__all__ = ["TLSFacts"]


class TLSFacts:
    """The readable side of a TLS channel."""

    _channel: TLSChannel

    @property
    def peer_closed(self) -> bool:
        """Whether the peer sent close_notify."""
        return self._channel.peer_closed

    @property
    def handshake_complete(self) -> bool:
        """Whether the TLS handshake is over."""
        return self._channel.handshake_complete

    @property
    def stream_sizes(self) -> StreamSizes:
        """What a TLS record of this connection takes beside its plaintext; after the handshake."""
        return self._channel.stream_sizes

    @property
    def tls_bits(self) -> int:
        """Secret bits of the cipher; 0 before the handshake."""
        return self._channel.cipher_bits

    @property
    def tls_resumed(self) -> bool:
        """Whether the TLS session is an earlier one, resumed."""
        return self._channel.session_reused

    @property
    def tls_unique(self) -> bytes | None:
        """The first Finished message of the handshake (RFC 5929 section 3); None before it, and in TLS 1.3."""
        return self._channel.unique

    def alert(self, description: int) -> bytes:
        """End the channel with a fatal alert (`TLSChannel.alert`); nothing else may be done with it afterwards."""
        return self._channel.alert(description)

    @property
    def tls_version(self) -> str:
        """``TLSv1.2`` or ``TLSv1.3``; empty before the handshake."""
        return self._channel.protocol

    @property
    def tls_cipher(self) -> str:
        """The cipher suite in OpenSSL's spelling; empty before the handshake."""
        return self._channel.cipher
