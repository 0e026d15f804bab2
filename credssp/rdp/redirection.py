"""The Server Redirection PDU, with which a server sends a client elsewhere ([MS-RDPBCGR] 2.2.13).

A relay reads it, because a redirection leads past the relay, and writes it to let a client come back with a ticket
in its routing token.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass, field
from typing import Final

from credssp.errors import LocalProtocolError
from credssp.rdp.reading import FrameReader
from credssp.rdp.session_pdus import DomainPDU, send_data_indication
from credssp.rdp.tpkt import HEADER_SIZE

__all__ = ["RedirectionFlags", "ServerRedirection", "is_redirection"]

_SECTION: Final = "[MS-RDPBCGR] 2.2.13.1"
_PDUTYPE_SERVER_REDIR_PKT: Final = 0x000A
_PDU_TYPE_MASK: Final = 0x000F
_SEC_REDIRECTION_PKT: Final = 0x0400
_MAX_FIELD: Final = 4096


class RedirectionFlags(enum.IntFlag):
    """RedirFlags: which fields there are, in the order of the bits up to LB_PASSWORD; others are kept as they are."""

    LB_TARGET_NET_ADDRESS = 0x00000001
    LB_LOAD_BALANCE_INFO = 0x00000002
    LB_USERNAME = 0x00000004
    LB_DOMAIN = 0x00000008
    LB_PASSWORD = 0x00000010
    LB_DONTSTOREUSERNAME = 0x00000020


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRedirection:
    """RDP_SERVER_REDIRECTION_PACKET, with the fields that a relay needs.

    Attributes:
        session_id: SessionId.
        target: TargetNetAddress, or None.
        load_balance_info: LoadBalanceInfo: what the client's next Connection Request has as routing token, with its
            CR LF; or None.
        username: UserName, or None.
        domain: Domain, or None.
        password: whether there is a Password; its contents are not kept.
    """

    session_id: int = 0
    target: str | None = None
    load_balance_info: bytes | None = field(default=None, repr=False)  # may be a ticket
    username: str | None = None
    domain: str | None = None
    password: bool = False

    def encode(self, *, initiator: int, channel: int) -> bytes:
        """Write an Enhanced Security Server Redirection PDU (2.2.13.3.1) as a frame.

        Clients that do not send LoadBalanceInfo back take name and domain from here, so all that is given is written.
        A password cannot be.

        Args:
            initiator: the server's MCS user id.
            channel: the MCS id of the I/O channel.

        Raises:
            LocalProtocolError: a field is too long, or a password is asked for.
        """
        if self.password:
            raise LocalProtocolError("a redirection with a password is not written")
        fields = (
            (RedirectionFlags.LB_TARGET_NET_ADDRESS, _text(self.target)),
            (RedirectionFlags.LB_LOAD_BALANCE_INFO, self.load_balance_info),
            (RedirectionFlags.LB_USERNAME, _text(self.username)),
            (RedirectionFlags.LB_DOMAIN, _text(self.domain)),
        )
        flags, body = 0, b""
        for flag, value in fields:
            if value is not None:
                if len(value) > _MAX_FIELD:
                    raise LocalProtocolError(f"{flag.name} has {len(value)} bytes; at most {_MAX_FIELD} are written")
                flags |= flag
                body += len(value).to_bytes(4, "little") + value
        packet = struct.pack("<HHII", _SEC_REDIRECTION_PKT, 12 + len(body), self.session_id, flags) + body
        data = b"\0\0" + packet + b"\0"
        share = struct.pack("<HHH", 6 + len(data), 0x0010 | _PDUTYPE_SERVER_REDIR_PKT, initiator)
        return send_data_indication(share + data, initiator=initiator, channel=channel)

    @classmethod
    def decode(cls, frame: bytes) -> ServerRedirection:
        """Read a frame for which `is_redirection` is true. Raises DecodeError."""
        reader = _indication(frame)
        total, kind, _ = (reader.number(2, name) for name in ("totalLength", "pduType", "pduSource"))
        if kind & _PDU_TYPE_MASK != _PDUTYPE_SERVER_REDIR_PKT:
            raise reader.error(f"pduType 0x{kind:04X}", "shareControlHeader.pduType")
        if total > reader.left + 6:
            raise reader.error(f"{total} bytes announced", "shareControlHeader.totalLength")
        reader.number(2, "pad2Octets")
        flags, length = reader.number(2, "Flags"), reader.number(2, "Length")
        if flags != _SEC_REDIRECTION_PKT or length < 12:  # the fixed fields
            raise reader.error(f"Flags 0x{flags:04X}, Length {length}", "RDP_SERVER_REDIRECTION_PACKET")
        packet = reader.part(length - 4, "RDP_SERVER_REDIRECTION_PACKET")
        session, found = packet.number(4, "SessionId"), RedirectionFlags(packet.number(4, "RedirFlags"))
        values: dict[RedirectionFlags, bytes] = {}
        for flag in list(RedirectionFlags)[:5]:
            if flag in found:
                size = packet.number(4, f"{flag.name}.length")
                if size > _MAX_FIELD:
                    raise packet.error(f"{size} bytes; at most {_MAX_FIELD} are read", f"{flag.name}.length")
                values[flag] = packet.take(size, flag.name or "")
        return cls(
            session_id=session,
            target=_string(values.get(RedirectionFlags.LB_TARGET_NET_ADDRESS)),
            load_balance_info=values.get(RedirectionFlags.LB_LOAD_BALANCE_INFO),
            username=_string(values.get(RedirectionFlags.LB_USERNAME)),
            domain=_string(values.get(RedirectionFlags.LB_DOMAIN)),
            password=RedirectionFlags.LB_PASSWORD in values,
        )


def is_redirection(frame: bytes) -> bool:
    """Whether a frame of a server is a Server Redirection PDU of enhanced security."""
    at = HEADER_SIZE + 3
    if len(frame) <= at or frame[at] >> 2 != DomainPDU.SEND_DATA_INDICATION:
        return False
    at += 6
    at += 2 if len(frame) > at and frame[at] & 0x80 else 1
    head = frame[at : at + 4]
    return len(head) == 4 and int.from_bytes(head[2:], "little") & _PDU_TYPE_MASK == _PDUTYPE_SERVER_REDIR_PKT


def _indication(frame: bytes) -> FrameReader:
    reader = FrameReader(frame, _SECTION, position=HEADER_SIZE + 3)
    if reader.take(6, "mcsSDin")[0] >> 2 != DomainPDU.SEND_DATA_INDICATION:
        raise reader.error("not an MCS SendDataIndication", "mcsSDin")
    body = reader.part(reader.per_length("mcsSDin.length"), "mcsSDin.userData")
    reader.finish("mcsSDin.userData")
    return body


def _text(value: str | None) -> bytes | None:
    return None if value is None else (value + "\0").encode("utf-16-le", "surrogatepass")


def _string(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-16-le", "replace").partition("\0")[0]
