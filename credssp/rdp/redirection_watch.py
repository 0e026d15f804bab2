"""Watches what a server sends in its session for redirections, which lead the client past a relay.

A Server Redirection PDU ([MS-RDPBCGR] 2.2.13) may come at any time after the Client Info PDU: before the desktop, from
a server that asks its broker, or after a login inside the session. It travels on the I/O channel. So frames are counted
from the Connect Response on, fast-path ones and TPKTs, and those on the I/O channel are looked into before their last
byte passes: no client acts on a frame that is not whole. Nothing is changed or held back.

One frame may hold several PDUs of the I/O channel, each with its share control header, and clients read all of them.
"""

from __future__ import annotations

import struct
from typing import Final

from credssp.errors import CredSSPError, RemoteProtocolError
from credssp.next_step import NextStep
from credssp.rdp.redirection import ServerRedirection
from credssp.rdp.session_pdus import X224_DATA, DomainPDU

__all__ = ["IO_CHANNEL", "RedirectedError", "RedirectionWatch"]

_TPKT: Final = 3
_FAST_PATH_ACTION: Final = 0x03
"""action of fpOutputHeader (2.2.9.1.2): 0 for fast-path, 3 for a TPKT, whose first byte is its version."""
_HEAD: Final = 12
"""Bytes of a TPKT up to the channel of an MCS SendDataIndication."""
_head: Final = struct.Struct(">HHIxxH").unpack_from
"""version and reserved, length; X.224 and the first byte of the MCS PDU; initiator, channelId."""
_DATA_INDICATION: Final = int.from_bytes(X224_DATA + bytes([DomainPDU.SEND_DATA_INDICATION << 2]))
_share: Final = struct.Struct("<HH").unpack_from
"""totalLength, or the flags of a security header; pduType."""
_SMALLEST: Final = 8
"""Bytes of a TPKT with an MCS PDU of one byte."""
_INDICATION: Final = DomainPDU.SEND_DATA_INDICATION

IO_CHANNEL: Final = 1003
"""The MCS id that rdesktop takes for the I/O channel, whatever SC_NET says."""

_FLOW_PDU: Final = 0x8000
_FLOW_PDU_SIZE: Final = 8
_PDU_TYPE: Final = 0x000F
"""The bits of pduType that are the type; the others are a version, which clients do not compare (2.2.8.1.1.1.1)."""
_DEMAND_ACTIVE: Final = frozenset({0x0011, 0x0001})
_REDIRECTION_TYPE: Final = 0x001A
_SHARE_TYPES: Final = frozenset({*_DEMAND_ACTIVE, 0x0013, 0x0016, 0x0017, _REDIRECTION_TYPE})
_SEC_REDIRECTION_PKT: Final = 0x0400


class RedirectedError(RemoteProtocolError):
    """The server sends its client elsewhere, past the relay."""

    default_advice = NextStep.RDP_REDIRECTED


class RedirectionWatch:
    """The frames of one server, after its Connect Response."""

    __slots__ = ("_active", "_channels", "_held", "_need", "_skip")

    def __init__(self, io_channel: int | None) -> None:
        """Prepare.

        Args:
            io_channel: MCSChannelId of SC_NET; None where the server sent none.
        """
        self._channels = {IO_CHANNEL, io_channel}
        self._skip = 0  # bytes of a frame that are still to come, and need not be looked at
        self._held = bytearray()  # the beginning of one that must be
        self._need = 0  # how much of it there must be
        self._active = False  # whether licensing is over

    def look(self, data: bytes | memoryview) -> None:
        """Look at bytes of the server before they are passed on.

        Raises:
            RedirectedError: the server redirects the client.
            RemoteProtocolError: this is not a frame of RDP.
        """
        size = len(data)
        if self._skip >= size:
            self._skip -= size
            return
        if self._held:
            self._held += data
            if len(self._held) < self._need:
                return
            data, self._held = bytes(self._held), bytearray()
            size = len(data)
        at, channels, enough = self._skip, self._channels, size - _HEAD
        while at < size:
            # In one step what most frames are; `_look` judges the others, and those that are cut off.
            if at <= enough:
                if data[at] == _TPKT:
                    first, length, kind, channel = _head(data, at)
                    if kind == _DATA_INDICATION and first == _TPKT << 8 and length > _HEAD and channel not in channels:
                        at += length
                        continue
                elif not data[at] & _FAST_PATH_ACTION:
                    length = data[at + 1]
                    if length & 0x80:
                        length = (length & 0x7F) << 8 | data[at + 2]
                    if length > 2:
                        at += length
                        continue
            length, self._need = self._look(data, at, size - at)
            if not length:
                self._held, self._skip = bytearray(data[at:]), 0
                return
            at += length
        self._skip = at - size

    def _look(self, data: bytes | memoryview, at: int, left: int) -> tuple[int, int]:
        """Return the length of the frame at a position; or 0, and how much of it is needed to judge it."""
        first = data[at]
        if first != _TPKT:
            if first & _FAST_PATH_ACTION:
                raise _not_a_frame(f"the first byte is 0x{first:02X}")
            if left < 2:
                return 0, 2
            length, head = data[at + 1], 2
            if length & 0x80:
                if left < 3:
                    return 0, 3
                length, head = (length & 0x7F) << 8 | data[at + 2], 3
            if length < head:
                raise _not_a_frame(f"a fast-path frame of {length} bytes")
            return length, 0
        if left < 4:
            return 0, 4
        length = data[at + 2] << 8 | data[at + 3]
        if length < _SMALLEST:
            raise _not_a_frame(f"a TPKT frame of {length} bytes")
        if left < min(length, _HEAD):
            return 0, min(length, _HEAD)
        if data[at + 4 : at + 7] != X224_DATA:
            raise _not_a_frame("a TPKT frame without a Data TPDU")
        indication = data[at + 7] >> 2 == _INDICATION and length >= _HEAD
        if indication and (data[at + 10] << 8 | data[at + 11]) in self._channels:
            if left < length:
                return 0, length
            self._check(data, at, at + length)
        return length, 0

    def _check(self, data: bytes | memoryview, start: int, end: int) -> None:
        """Look into a frame of the I/O channel."""
        at = start + 13
        at += 2 if at < end and data[at] & 0x80 else 1
        if not self._active and at + 4 <= end:
            flags, kind = _share(data, at)
            self._active = kind in _DEMAND_ACTIVE
            # Up to the licence there may be a security header in front, and a redirection of standard security has
            # nothing else (2.2.13.2). What comes after such a header is not a PDU with a share control header.
            if not self._active and (flags & _SEC_REDIRECTION_PKT or kind == _REDIRECTION_TYPE):
                raise _redirected(bytes(data[start:end]))
            if kind not in _SHARE_TYPES or flags > end - at:
                return
        while at + 4 <= end:
            total, kind = _share(data, at)
            if total == _FLOW_PDU:
                at += _FLOW_PDU_SIZE
                continue
            if kind & _PDU_TYPE == _REDIRECTION_TYPE & _PDU_TYPE:
                raise _redirected(bytes(data[start:end]))
            if total < 4:
                return
            at += total


def _not_a_frame(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(
        f"expected a TPKT or fast-path frame of the server: {what}", section="[MS-RDPBCGR] 2.2.9"
    )


def _redirected(frame: bytes) -> RedirectedError:
    try:
        target = ServerRedirection.decode(frame).target
    except CredSSPError:
        target = None
    where = "elsewhere" if target is None else f"to {target!r}"
    return RedirectedError(f"the server redirects the client {where}, past the relay", section="[MS-RDPBCGR] 2.2.13")
