"""PDUs of an active share: what a client says on the I/O channel, and the small answers of a server.

[MS-RDPBCGR] 2.2.8.1.1.1: every PDU has a Share Control Header, data PDUs a Share Data Header after it.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from credssp.rdp.reading import FrameReader
from credssp.rdp.session_pdus import DomainPDU, send_data_indication
from credssp.rdp.session_start import IO_CHANNEL, USER
from credssp.rdp.tpkt import HEADER_SIZE

__all__ = [
    "SERVER",
    "SHARE_ID",
    "ControlAction",
    "DataType",
    "ShareMessage",
    "ShareType",
    "control",
    "data_pdu",
    "deactivate_all",
    "font_map",
    "logged_on",
    "read_request",
    "set_error_info",
    "share_pdu",
    "shutdown_denied",
    "synchronize",
]

SERVER: Final = 1002
"""pduSource of a server: its MCS channel."""
SHARE_ID: Final = 0x000103EA
"""shareId, as Windows writes it for the first share of a session."""

_SECTION: Final = "[MS-RDPBCGR] 2.2.8.1.1.1"
_VERSION: Final = 0x10  # TS_PROTOCOL_VERSION, in the bits above the type
_STREAM_LOW: Final = 1
_FLOW: Final = 0x8000  # totalLength of a Flow PDU (T.128 8.5), which has 8 bytes and no meaning for a server
_FLOW_SIZE: Final = 8
_COMPRESSED: Final = 0x20  # PACKET_COMPRESSED
_LOGON_PLAIN_NOTIFY: Final = 2  # INFOTYPE_LOGON_PLAINNOTIFY
_PLAIN_NOTIFY_PAD: Final = 576
_DATA_HEADER: Final = 12  # the Share Data Header without the Share Control Header


class ShareType(enum.IntEnum):
    """pduType of the Share Control Header, without the version."""

    DEMAND_ACTIVE = 1
    CONFIRM_ACTIVE = 3
    DEACTIVATE_ALL = 6
    DATA = 7


class DataType(enum.IntEnum):
    """pduType2 of the Share Data Header, as far as this server reads or writes it."""

    UPDATE = 2
    CONTROL = 20
    INPUT = 28
    SYNCHRONIZE = 31
    REFRESH_RECT = 33
    SUPPRESS_OUTPUT = 35
    SHUTDOWN_REQUEST = 36
    SHUTDOWN_DENIED = 37
    SAVE_SESSION_INFO = 38
    FONT_LIST = 39
    FONT_MAP = 40
    SET_ERROR_INFO = 47


class ControlAction(enum.IntEnum):
    """action of the Control PDU (2.2.1.15.1)."""

    REQUEST_CONTROL = 1
    GRANTED_CONTROL = 2
    DETACH = 3
    COOPERATE = 4


@dataclass(frozen=True, slots=True)
class ShareMessage:
    """A PDU of a client.

    Attributes:
        kind: pduType without the version.
        data_kind: pduType2 of a data PDU, else 0.
        body: a reader of what follows the headers.
    """

    kind: int
    data_kind: int
    body: FrameReader = field(repr=False)


def read_request(frame: bytes) -> Iterator[ShareMessage]:
    """Read an MCS SendDataRequest: the PDUs of the I/O channel; nothing of another channel.

    Raises:
        DecodeError: it is something else, or does not decode.
    """
    reader = FrameReader(frame, _SECTION, position=HEADER_SIZE + 3)
    if reader.take(1, "mcsSDrq")[0] >> 2 != DomainPDU.SEND_DATA_REQUEST:
        raise reader.error("not an MCS SendDataRequest", "mcsSDrq")
    reader.take(2, "mcsSDrq.initiator")
    channel = int.from_bytes(reader.take(2, "mcsSDrq.channelId"), "big")
    reader.take(1, "mcsSDrq.dataPriority")
    body = reader.part(reader.per_length("mcsSDrq.length"), "mcsSDrq.userData")
    reader.finish("mcsSDrq.userData")
    if channel != IO_CHANNEL:
        return
    while body.left:
        message = _next(body)
        if message is not None:
            yield message


def _next(body: FrameReader) -> ShareMessage | None:
    size = body.number(2, "totalLength")
    if size == _FLOW:
        body.take(_FLOW_SIZE - 2, "flowPdu")
        return None
    if size < 6:
        raise body.error(f"a PDU of {size} bytes", "totalLength")
    # aardwolf 0.2.16 counts a security header of four bytes that it does not send: the MCS PDU ends this one, too.
    part = body.part(min(size - 2, body.left), "totalLength")
    kind = part.number(2, "pduType") & 0x0F
    part.take(2, "pduSource")
    if kind != ShareType.DATA:
        return ShareMessage(kind, 0, part)
    part.take(4, "shareId")
    part.take(4, "streamId")  # with the byte of padding before it and uncompressedLength after it
    data_kind = part.take(1, "pduType2")[0]
    if part.take(1, "compressedType")[0] & _COMPRESSED:
        raise part.error("it is compressed, which this server did not offer", "compressedType")
    part.take(2, "compressedLength")
    return ShareMessage(kind, data_kind, part)


def share_pdu(kind: ShareType, body: bytes, *, source: int = SERVER) -> bytes:
    """Write a PDU with a Share Control Header as a frame."""
    head = struct.pack("<HHH", 6 + len(body), kind | _VERSION, source)
    return send_data_indication(head + body, initiator=USER, channel=IO_CHANNEL)


def data_pdu(kind: DataType, body: bytes, *, source: int = SERVER) -> bytes:
    """Write a data PDU as a frame. uncompressedLength counts from pduType2 on."""
    head = struct.pack("<IBBHBBH", SHARE_ID, 0, _STREAM_LOW, 4 + len(body), kind, 0, 0)
    assert len(head) == _DATA_HEADER  # noqa: S101  # of the layout above, not of what a peer sent
    return share_pdu(ShareType.DATA, head + body, source=source)


def synchronize() -> bytes:
    """Server Synchronize PDU (2.2.1.19)."""
    return data_pdu(DataType.SYNCHRONIZE, struct.pack("<HH", 1, USER))


def control(action: ControlAction) -> bytes:
    """Server Control PDU, Cooperate (2.2.1.20) or Granted Control (2.2.1.21), which names the client and the server."""
    granted = action is ControlAction.GRANTED_CONTROL
    return data_pdu(DataType.CONTROL, struct.pack("<HHI", action, USER if granted else 0, SERVER if granted else 0))


def font_map() -> bytes:
    """Font Map PDU (2.2.1.22): the last of the connection sequence."""
    return data_pdu(DataType.FONT_MAP, struct.pack("<HHHH", 0, 0, 3, 4))


def deactivate_all() -> bytes:
    """Deactivate All PDU (2.2.3.1), after which a Demand Active PDU begins the share anew."""
    return share_pdu(ShareType.DEACTIVATE_ALL, struct.pack("<IH", SHARE_ID, 1) + b"\0")


def logged_on() -> bytes:
    """Save Session Info PDU (2.2.10.1) with a Plain Notify: the user is logged on, and nothing more."""
    return data_pdu(DataType.SAVE_SESSION_INFO, struct.pack("<I", _LOGON_PLAIN_NOTIFY) + bytes(_PLAIN_NOTIFY_PAD))


def shutdown_denied() -> bytes:
    """Shutdown Request Denied PDU (2.2.2.2): the user is logged on, and the client may disconnect."""
    return data_pdu(DataType.SHUTDOWN_DENIED, b"")


def set_error_info(code: int) -> bytes:
    """Set Error Info PDU (2.2.5.1), whose pduSource is 0."""
    return data_pdu(DataType.SET_ERROR_INFO, struct.pack("<I", code), source=0)
