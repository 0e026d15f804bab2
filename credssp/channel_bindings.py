"""Channel bindings: what ties a login to the channel around it (RFC 2743 1.1.6, RFC 5056).

NTLM sends their MD5 as MsvAvChannelBindings ([MS-NLMP] 2.2.2.1), Kerberos in the checksum of the authenticator
(RFC 4121 4.1.1.2); both hash the same 20 bytes and what belongs to them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

__all__ = ["BindingDemand", "ChannelBindings"]

BindingDemand: TypeAlias = Literal["match", "match_if_sent", "sent"]
"""What a client must send: the acceptor's own bindings; those or none; or any, since a proxy ends the channel."""

_U32: Final = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class ChannelBindings:
    """gss_channel_bindings_struct.

    Attributes:
        application_data: ``tls-server-end-point:`` and the hash of the certificate, or ``tls-unique:`` and a Finished
            message (RFC 5929).
        initiator_type: kind of the client's address, a GSS_C_AF number; 0 for none.
        initiator: the client's address.
        acceptor_type: kind of the server's address.
        acceptor: the server's address.
    """

    application_data: bytes = field(repr=False)
    initiator_type: int = 0
    initiator: bytes = field(default=b"", repr=False)
    acceptor_type: int = 0
    acceptor: bytes = field(default=b"", repr=False)

    @property
    def encoded(self) -> bytes:
        """The bytes that are hashed: each number and length little-endian in 32 bits, in front of what it counts."""
        pack = _U32.pack
        return b"".join(
            (
                pack(self.initiator_type),
                pack(len(self.initiator)) + self.initiator,
                pack(self.acceptor_type),
                pack(len(self.acceptor)) + self.acceptor,
                pack(len(self.application_data)) + self.application_data,
            )
        )

    @classmethod
    def of(cls, application_data: bytes | None) -> ChannelBindings | None:
        """Return bindings without addresses; None for None."""
        return None if application_data is None else cls(application_data)
