"""A message in several parts, of which some are signed without being encrypted (GSS_WrapEx, [MS-NLMP] 3.4.6; RFC 6542).

Protocols such as DCE/RPC sign a readable header together with an encrypted body. The signature covers all parts as one
message, in their order, and does not show where they meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from credssp.errors import RemoteProtocolError
from credssp.status import SecurityStatus

__all__ = ["MessagePart", "OpenedMessage", "SealedMessage", "cut"]


@dataclass(frozen=True, slots=True)
class MessagePart:
    """One part.

    Attributes:
        data: its bytes.
        sealed: whether it is encrypted; all parts are signed.
    """

    data: bytes = field(repr=False)
    sealed: bool = True


class SealedMessage(NamedTuple):
    """What protects a message, and what goes out in place of its parts.

    Attributes:
        signature: the token; for Kerberos also what encryption adds.
        parts: one for each part, of the same length.
        padding: what has to follow the parts; empty for all but old encryption types of Kerberos.
    """

    signature: bytes
    parts: tuple[bytes, ...]
    padding: bytes = b""


class OpenedMessage(NamedTuple):
    """A message that verified.

    Attributes:
        parts: the plaintext of each part. The last may be shorter than what came in: without its padding.
        encrypted: whether the sealed parts were encrypted, as they usually are; else they were signed alone.
    """

    parts: tuple[bytes, ...]
    encrypted: bool


def cut(data: bytes, parts: Sequence[MessagePart]) -> tuple[bytes, ...]:
    """Cut data into pieces as long as these parts; where there is less the last ones are shorter, or empty.

    Raises:
        RemoteProtocolError: there is more.
    """
    pieces, start = [], 0
    for part in parts:
        pieces.append(data[start : start + len(part.data)])
        start += len(part.data)
    if start < len(data):
        raise RemoteProtocolError(
            f"a message of {len(data)} bytes where {start} have room: its signature holds part of it",
            status=SecurityStatus.SEC_E_MESSAGE_ALTERED,
        )
    return tuple(pieces)
