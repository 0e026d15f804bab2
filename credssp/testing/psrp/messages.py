"""Messages of PowerShell remoting ([MS-PSRP] 2.2.1): their types, their header, and the XML in them."""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from credssp.errors import RemoteProtocolError
from credssp.testing.psrp.objects import Values, parse_object, serialize

__all__ = ["MessageType", "PSRPMessage", "read_message", "write_message"]

_HEADER: Final = struct.Struct("<II16s16s")
_CLIENT: Final = 1
_SERVER: Final = 2
_BOM: Final = b"\xef\xbb\xbf"


class MessageType(IntEnum):
    """MessageType ([MS-PSRP] 2.2.1), those that are read or written here."""

    SESSION_CAPABILITY = 0x00010002
    INIT_RUNSPACEPOOL = 0x00010004
    PUBLIC_KEY = 0x00010005
    ENCRYPTED_SESSION_KEY = 0x00010006
    CONNECT_RUNSPACEPOOL = 0x00010008
    RESET_RUNSPACE_STATE = 0x0002100C
    SET_MAX_RUNSPACES = 0x00021002
    SET_MIN_RUNSPACES = 0x00021003
    RUNSPACE_AVAILABILITY = 0x00021004
    RUNSPACEPOOL_STATE = 0x00021005
    CREATE_PIPELINE = 0x00021006
    GET_AVAILABLE_RUNSPACES = 0x00021007
    USER_EVENT = 0x00021008
    APPLICATION_PRIVATE_DATA = 0x00021009
    GET_COMMAND_METADATA = 0x0002100A
    RUNSPACEPOOL_HOST_RESPONSE = 0x00021101
    PIPELINE_INPUT = 0x00041002
    END_OF_PIPELINE_INPUT = 0x00041003
    PIPELINE_OUTPUT = 0x00041004
    ERROR_RECORD = 0x00041005
    PIPELINE_STATE = 0x00041006
    DEBUG_RECORD = 0x00041007
    VERBOSE_RECORD = 0x00041008
    WARNING_RECORD = 0x00041009
    PROGRESS_RECORD = 0x00041010
    INFORMATION_RECORD = 0x00041011
    PIPELINE_HOST_CALL = 0x00041100
    PIPELINE_HOST_RESPONSE = 0x00041101


@dataclass(frozen=True, slots=True)
class PSRPMessage:
    """A message of a client.

    Attributes:
        kind: its type.
        pool: RPID, the id of the runspace pool.
        pipeline: PID, the id of the pipeline; zeros for none.
        data: its XML, which may hold secrets.
    """

    kind: MessageType
    pool: uuid.UUID
    pipeline: uuid.UUID
    data: bytes = field(repr=False)

    def values(self) -> Values:
        """Read its XML. Raises RemoteProtocolError where it is not an object."""
        return Values(parse_object(self.data))


def read_message(data: bytes) -> PSRPMessage:
    """Read a message that was put together from its fragments.

    Raises:
        RemoteProtocolError: it is too short, not for a server, or of a type that no client sends.
    """
    if len(data) < _HEADER.size:
        raise RemoteProtocolError(
            f"a message of PowerShell remoting of {len(data)} bytes, whose header has {_HEADER.size}",
            section="[MS-PSRP] 2.2.1",
        )
    destination, number, pool, pipeline = _HEADER.unpack_from(data)
    try:
        kind = MessageType(number)
    except ValueError:
        destination = 0
    if destination != _SERVER:
        raise RemoteProtocolError(
            f"a message of type 0x{number:08X} that is not for a server", section="[MS-PSRP] 2.2.1"
        )
    body = data[_HEADER.size :].removeprefix(_BOM)
    return PSRPMessage(kind, uuid.UUID(bytes_le=pool), uuid.UUID(bytes_le=pipeline), body)


def write_message(kind: MessageType, pool: uuid.UUID, pipeline: uuid.UUID | None, value: object) -> bytes:
    """Return a message for a client.

    Args:
        kind: its type.
        pool: the id of the runspace pool.
        pipeline: the id of the pipeline, or None.
        value: a text, or an object of pypsrp.
    """
    ids = pool.bytes_le, bytes(16) if pipeline is None else pipeline.bytes_le
    return _HEADER.pack(_CLIENT, kind, *ids) + _BOM + serialize(value)
