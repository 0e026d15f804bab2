"""The server's side of a session's beginning, up to the Client Info PDU and no further ([MS-RDPBCGR] 1.3.1.1).

A client without NLA names its user and password in the Client Info PDU only. A relay that needs them before it can
connect anywhere answers like a server until then, and sends the client away with a redirection.

====================== ==============================================================
the client sends       the answer
====================== ==============================================================
Connect Initial        Connect Response: no encryption, the channels that it asked for
Erect Domain Request   none
Attach User Request    Attach User Confirm
Channel Join Requests  Channel Join Confirms
Client Info PDU        none yet; `SessionStart.redirect` gives licence and redirection
====================== ==============================================================
"""

from __future__ import annotations

import struct
from typing import Final

from credssp.errors import LocalProtocolError, RemoteProtocolError
from credssp.rdp.client_info import ClientInfo, is_client_info
from credssp.rdp.negotiation import Protocol
from credssp.rdp.reading import FrameReader, per_length
from credssp.rdp.redirection import ServerRedirection
from credssp.rdp.session_pdus import (
    H221_SERVER,
    T124,
    ConnectInitial,
    DomainPDU,
    FrameBuffer,
    data_frame,
    domain_pdu,
    send_data_indication,
)
from credssp.rdp.tpkt import HEADER_SIZE

__all__ = ["IO_CHANNEL", "USER", "SessionStart", "connect_response", "valid_client"]

_SECTION: Final = "[MS-RDPBCGR] 1.3.1.1"
_BASE: Final = 1001  # T.125 11: user ids are written as their distance from it
USER: Final = 1002
"""MCS id of the client. Servers give the first one after their own."""
IO_CHANNEL: Final = 1003
"""MCS id of the I/O channel; static channels follow it."""

_VERSION: Final = 0x00080004  # RDP 5 to 8.1, as in SC_CORE and CS_CORE
_SC_CORE, _SC_SECURITY, _SC_NET = 0x0C01, 0x0C02, 0x0C03

# T.125 7, the domain's parameters as in [MS-RDPBCGR] 4.1.4: 34 channels, 3 users, PDUs of 65,528 bytes.
_PARAMETERS: Final = bytes.fromhex("301a020122020103020100020101020100020101020300fff8020102")
_CREATE_RESPONSE: Final = bytes.fromhex("14760a0101")  # T.124: nodeID and tag, as in [MS-RDPBCGR] 4.1.4

_CONNECT_PDU: Final = b"\x2a"
"""The length of connectPDU, as Windows writes it, whatever it is. rdesktop 1.9 skips one byte here."""

_SEC_LICENSE_PKT, _ERROR_ALERT, _PREAMBLE_VERSION_3_0 = 0x0080, 0xFF, 0x03
_STATUS_VALID_CLIENT, _ST_NO_TRANSITION, _BB_ERROR_BLOB = 7, 2, 4


def connect_response(requested: Protocol, *, channels: int) -> bytes:
    """Write an MCS Connect Response as a frame, for a session without encryption of its own (2.2.1.4).

    Args:
        requested: what the client requested in its Connection Request; it closes if this differs.
        channels: how many static channels it asked for; their ids follow that of the I/O channel.
    """
    ids = struct.pack(f"<{channels}H", *range(IO_CHANNEL + 1, IO_CHANNEL + 1 + channels))
    net = struct.pack("<HH", IO_CHANNEL, channels) + ids + (b"\0\0" if channels % 2 else b"")
    # In the order of Windows ([MS-RDPBCGR] 4.1.4); aardwolf 0.2.16 reads no other.
    blocks = (
        _block(_SC_CORE, struct.pack("<III", _VERSION, requested, 0))
        + _block(_SC_NET, net)
        + _block(_SC_SECURITY, struct.pack("<II", 0, 0))
    )
    create = _CREATE_RESPONSE + H221_SERVER + per_length(len(blocks)) + blocks
    body = b"\x0a\x01\x00" + b"\x02\x01\x00" + _PARAMETERS + _ber(b"\x04", T124 + _CONNECT_PDU + create)
    return data_frame(_ber(b"\x7f\x66", body))


def valid_client() -> bytes:
    """Write a Server License Error PDU that says that no licence is needed, as a frame (2.2.1.12)."""
    message = struct.pack("<BBHIIHH", _ERROR_ALERT, _PREAMBLE_VERSION_3_0, 16, _STATUS_VALID_CLIENT,
                          _ST_NO_TRANSITION, _BB_ERROR_BLOB, 0)  # fmt: skip
    head = struct.pack("<HH", _SEC_LICENSE_PKT, 0)
    return send_data_indication(head + message, initiator=USER, channel=IO_CHANNEL)


def _block(kind: int, contents: bytes) -> bytes:
    return struct.pack("<HH", kind, 4 + len(contents)) + contents


def _ber(tag: bytes, contents: bytes) -> bytes:
    return tag + b"\x82" + len(contents).to_bytes(2, "big") + contents


class SessionStart:
    """One client.

    Attributes:
        initial: its Connect Initial, or None before.
        info: its Client Info PDU, with the password, or None before; `forget_info` lets go of it.
    """

    def __init__(self, requested: Protocol, *, selected: Protocol | None = None) -> None:
        """Prepare.

        Args:
            requested: what the client requested in its Connection Request.
            selected: what was selected; None where it is not compared with what the client says.
        """
        self.initial: ConnectInitial | None = None
        self.info: ClientInfo | None = None
        self._requested = requested
        self._selected = selected
        self._frames: FrameBuffer | None = FrameBuffer()
        self._rest = b""
        self._attached = False
        self._joined: set[int] = set()

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the client and return the answer; what follows the Client Info PDU is for `take_rest`.

        Raises:
            RemoteProtocolError: the client sent something that has no place here, or that does not decode.
            LimitExceededError: a frame is longer than any that has one.
        """
        frames = self._frames
        if frames is None:
            return b""
        frames.feed(data)
        out = []
        while self._frames is not None and (frame := frames.next_frame()) is not None:
            out.append(self._answer(frame))
        return b"".join(out)

    def _answer(self, frame: bytes) -> bytes:
        if self.initial is None:
            self.initial = ConnectInitial.decode(frame)
            self.initial.check(self._selected)
            return connect_response(self._requested, channels=len(self.initial.channels))
        if is_client_info(frame):
            if not self._attached:
                raise RemoteProtocolError("the client sent its Client Info PDU before it attached", section=_SECTION)
            info = ClientInfo.decode(frame)
            if self._frames is not None:
                self._rest = self._frames.take_rest()
            self._frames = None
            self.info = info
            return b""
        pdu = domain_pdu(frame)
        if pdu is DomainPDU.ERECT_DOMAIN_REQUEST and not self._attached:
            return b""
        if pdu is DomainPDU.ATTACH_USER_REQUEST and not self._attached:
            self._attached = True
            return data_frame(struct.pack(">BBH", DomainPDU.ATTACH_USER_CONFIRM << 2 | 2, 0, USER - _BASE))
        if pdu is DomainPDU.CHANNEL_JOIN_REQUEST and self._attached:
            return self._join(frame, len(self.initial.channels))
        raise RemoteProtocolError(f"the client sent {pdu.name}, which is not due", section=_SECTION)

    def _join(self, frame: bytes, channels: int) -> bytes:
        reader = FrameReader(frame, "ITU-T T.125 11.21", position=HEADER_SIZE + 4)
        initiator = int.from_bytes(reader.take(2, "initiator"), "big")
        if initiator != USER - _BASE:
            raise reader.error(f"user {initiator + _BASE}, which is not the client's", "initiator")
        channel = int.from_bytes(reader.take(2, "channelId"), "big")
        if channel != USER and not IO_CHANNEL <= channel <= IO_CHANNEL + channels:
            raise reader.error(f"channel {channel}, which there is not", "channelId")
        if channel in self._joined:
            raise reader.error(f"channel {channel} a second time", "channelId")
        self._joined.add(channel)
        head = struct.pack(">BBH", DomainPDU.CHANNEL_JOIN_CONFIRM << 2 | 2, 0, initiator)
        return data_frame(head + struct.pack(">HH", channel, channel))

    def redirect(self, redirection: ServerRedirection) -> bytes:
        """Return what sends the client away; due after its Client Info PDU.

        Raises:
            LocalProtocolError: it is not due, or a field is too long.
        """
        if self._frames is not None:
            raise LocalProtocolError("redirect() is due after the Client Info PDU")
        return valid_client() + redirection.encode(initiator=USER, channel=IO_CHANNEL)

    def take_rest(self) -> bytes:
        """Return what came together with the Client Info PDU and follows it, once."""
        rest, self._rest = self._rest, b""
        return rest

    def forget_info(self) -> None:
        """Let go of the Client Info PDU."""
        self.info = None
