"""SEC_CHANNEL_BINDINGS: channel bindings in a buffer, SECBUFFER_CHANNEL_BINDINGS (sspi.h).

Eight numbers of 32 bits, little-endian: type, length and offset of the client's address, the same of the server's, and
length and offset of the application data. Offsets count from the beginning of the structure.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from credssp.channel_bindings import ChannelBindings
from credssp.sspi import buffers as b
from credssp.sspi.buffers import ContextBuffer, SecBuffer
from credssp.sspi.errors import bad_token

__all__ = ["pack_channel_bindings", "take_bindings", "unpack_channel_bindings"]

_HEADER: Final = struct.Struct("<8I")
_MAX_SIZE: Final = 0x10000
"""A binding is a hash with a name in front of it; addresses are short."""


def pack_channel_bindings(bindings: ChannelBindings) -> ContextBuffer:
    """Return the structure, for a SECBUFFER_CHANNEL_BINDINGS; `ChannelBindings` holds what RFC 5929 defines.

    Raises:
        TypeError: it is not a `ChannelBindings`.
    """
    if not isinstance(bindings, ChannelBindings):
        raise TypeError(f"bindings: a ChannelBindings, not a {type(bindings).__name__}")
    parts = (bindings.initiator, bindings.acceptor, bindings.application_data)
    offsets, end = [], _HEADER.size
    for part in parts:
        offsets.append(end if part else 0)
        end += len(part)
    header = _HEADER.pack(
        bindings.initiator_type,
        len(parts[0]),
        offsets[0],
        bindings.acceptor_type,
        len(parts[1]),
        offsets[1],
        len(parts[2]),
        offsets[2],
    )
    return ContextBuffer(header + b"".join(parts))


def unpack_channel_bindings(data: bytes | bytearray | memoryview, parameter: str = "pInput") -> ChannelBindings:
    """Read the structure.

    Args:
        data: the contents of a SECBUFFER_CHANNEL_BINDINGS.
        parameter: what to name in errors.

    Raises:
        SSPIError: SEC_E_INVALID_TOKEN, it is too short or too long, or a part of it is not inside of it.
    """
    view = memoryview(data)
    if not _HEADER.size <= len(view) <= _MAX_SIZE:
        raise bad_token(
            parameter, f"SEC_CHANNEL_BINDINGS of {len(view)} bytes; {_HEADER.size} to {_MAX_SIZE} are taken"
        )
    initiator_type, initiator_size, initiator_at, acceptor_type, acceptor_size, acceptor_at, size, at = (
        _HEADER.unpack_from(view)
    )
    parts = []
    for name, length, offset in (
        ("dwInitiatorOffset", initiator_size, initiator_at),
        ("dwAcceptorOffset", acceptor_size, acceptor_at),
        ("dwApplicationDataOffset", size, at),
    ):
        if length and not _HEADER.size <= offset <= len(view) - length:
            raise bad_token(
                parameter,
                f"SEC_CHANNEL_BINDINGS: {length} bytes at {name} {offset} are not inside its {len(view)} bytes",
            )
        parts.append(bytes(view[offset : offset + length]) if length else b"")
    return ChannelBindings(
        parts[2],
        initiator_type=initiator_type,
        initiator=parts[0],
        acceptor_type=acceptor_type,
        acceptor=parts[1],
    )


def take_bindings(inputs: Sequence[SecBuffer]) -> tuple[list[SecBuffer], ChannelBindings | None]:
    """Take the SECBUFFER_CHANNEL_BINDINGS out of pInput.

    Returns:
        The other buffers, and the bindings; None where there are none.

    Raises:
        SSPIError: SEC_E_INVALID_TOKEN, there are two, or the structure is broken.
    """
    found: ChannelBindings | None = None
    rest: list[SecBuffer] = []
    for number, buffer in enumerate(inputs):
        if buffer.kind != b.SECBUFFER_CHANNEL_BINDINGS:
            rest.append(buffer)
            continue
        name = f"pInput[{number}]"
        if found is not None:
            raise bad_token(name, "a second SECBUFFER_CHANNEL_BINDINGS")
        found = unpack_channel_bindings(buffer.view(name), name)
    return rest, found
