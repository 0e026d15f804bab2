"""What a relay reads and changes of RDP's connection sequence: MCS Connect Initial and Response, and who speaks when.

All PDUs after the negotiation are TPKT frames with an X.224 Data TPDU (``02 F0 80``) around an MCS PDU (ITU-T T.125).
The two first are BER and hold the settings of client and server as blocks in the user data of a GCC conference
(ITU-T T.124, PER); those after them are domain PDUs in PER, told apart by their first six bits.

==================================== ================================================ ===========================
PDU and block                        what is changed, in place                        [MS-RDPBCGR]
==================================== ================================================ ===========================
Connect Initial, CS_CORE             serverSelectedProtocol: what the server chose    2.2.1.3.2, 3.3.5.3.3
Connect Initial, CS_NET              names of channels that are denied                2.2.1.3.4
Connect Initial, CS_MULTITRANSPORT   flags 0: UDP leads past a relay                  2.2.1.3.8
Connect Response, SC_CORE            clientRequestedProtocols: what the client sent   2.2.1.4.2, 3.2.5.3.4
Connect Response, SC_MULTITRANSPORT  flags 0                                          2.2.1.4.6
==================================== ================================================ ===========================

Nothing changes its length, so that no other field has to follow.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from credssp.errors import DecodeError, LimitExceededError, RemoteProtocolError
from credssp.rdp.negotiation import Protocol
from credssp.rdp.reading import FrameReader, per_length
from credssp.rdp.tpkt import HEADER_SIZE

__all__ = [
    "MAX_FRAME",
    "ConnectInitial",
    "ConnectResponse",
    "DomainPDU",
    "EarlyCapabilities",
    "FrameBuffer",
    "data_frame",
    "domain_pdu",
    "send_data_indication",
]

MAX_FRAME: Final = 16384
"""Bytes of a frame before the relay is free: Connect Initial and Response have some hundred, and a server's certificate
chain in Connect Response some thousand."""

X224_DATA: Final = b"\x02\xf0\x80"
_SMALLEST: Final = HEADER_SIZE + len(X224_DATA) + 1
_VERSION: Final = 3

_INITIAL: Final = "[MS-RDPBCGR] 2.2.1.3"
_RESPONSE: Final = "[MS-RDPBCGR] 2.2.1.4"
_DOMAIN: Final = "ITU-T T.125 11"

T124: Final = bytes.fromhex("000500147c0001")  # Key of ConnectData: object, itu-t recommendation t 124 version 1
_CREATE_REQUEST: Final = bytes.fromhex("00080010 0001c000") + b"Duca"  # T.124 8.7, as every client writes it
H221_SERVER: Final = bytes.fromhex("0001c000") + b"McDn"  # result success, one user data of an H.221 key

_MAX_BLOCKS: Final = 32
_MAX_CHANNELS: Final = 31  # [MS-RDPBCGR] 2.2.1.3.4


class _Block(enum.IntEnum):
    CS_CORE = 0xC001
    CS_NET = 0xC003
    CS_MULTITRANSPORT = 0xC00A
    SC_CORE = 0x0C01
    SC_SECURITY = 0x0C02
    SC_NET = 0x0C03
    SC_MULTITRANSPORT = 0x0C08


_CS_CORE_SIZE: Final = 132  # up to imeFileName, after which everything is optional
_COLORS_AT: Final = 132  # of postBeta2ColorDepth; highColorDepth, supportedColorDepths, earlyCapabilityFlags: 8 on
_SELECTED_AT: Final = 212  # of serverSelectedProtocol
_REQUESTED_AT: Final = 8  # of clientRequestedProtocols


_BETA_DEPTHS: Final = {0xCA00: 4, 0xCA01: 8, 0xCA02: 15, 0xCA03: 16, 0xCA04: 24}  # postBeta2ColorDepth
_HIGH_DEPTHS: Final = (4, 8, 15, 16, 24)  # highColorDepth
_RNS_UD_32BPP_SUPPORT: Final = 0x0008


class EarlyCapabilities(enum.IntFlag):
    """CS_CORE.earlyCapabilityFlags (2.2.1.3.2), as far as a server without graphics is concerned."""

    SUPPORT_ERRINFO_PDU = 0x0001
    WANT_32BPP_SESSION = 0x0002


class FrameBuffer:
    """Cuts TPKT frames out of a stream that may be split anywhere."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        """Take more of the stream."""
        self._data += data

    def next_frame(self) -> bytes | None:
        """Return the next frame, header included, or None where it is not whole.

        Raises:
            RemoteProtocolError: this is not a TPKT frame.
            LimitExceededError: it is longer than any that a relay has to read.
        """
        held = self._data
        if held and held[0] != _VERSION:
            raise RemoteProtocolError(
                f"expected a TPKT frame, and the first byte is 0x{held[0]:02X}",
                section="[MS-RDPBCGR] 2.2.1.3 tpktHeader",
            )
        if len(held) < HEADER_SIZE:
            return None
        size = int.from_bytes(held[2:HEADER_SIZE], "big")
        if size < _SMALLEST:
            raise RemoteProtocolError(f"a TPKT frame of {size} bytes", section="[MS-RDPBCGR] 2.2.1.3 tpktHeader")
        if size > MAX_FRAME:
            raise LimitExceededError(f"a TPKT frame of {size} bytes; at most {MAX_FRAME} are read before the session")
        if len(held) < size:
            return None
        frame = bytes(held[:size])
        del held[:size]
        return frame

    def take_rest(self) -> bytes:
        """Return what follows the frames that were read, once."""
        rest = bytes(self._data)
        self._data.clear()
        return rest


@dataclass(frozen=True, slots=True)
class ConnectInitial:
    """The client's MCS Connect Initial PDU with GCC Conference Create Request.

    Attributes:
        frame: as it came.
        client_name: name of the client's machine.
        client_build: its build number.
        desktop: width and height in pixels.
        channels: names of the static virtual channels that the client asks for.
        selected_protocol: serverSelectedProtocol, or None where it is missing.
    """

    frame: bytes = field(repr=False)
    client_name: str
    client_build: int
    desktop: tuple[int, int]
    channels: tuple[str, ...]
    selected_protocol: int | None
    _blocks: dict[int, tuple[int, int]] = field(repr=False)

    @classmethod
    def decode(cls, frame: bytes) -> ConnectInitial:
        """Read a frame of `FrameBuffer`. Raises DecodeError."""
        reader = _data(frame, _INITIAL)
        initial = reader.ber(b"\x7f\x65", "Connect-Initial")
        reader.finish("Connect-Initial")
        for name in ("callingDomainSelector", "calledDomainSelector"):
            initial.ber(b"\x04", name)
        initial.ber(b"\x01", "upwardFlag")
        for name in ("targetParameters", "minimumParameters", "maximumParameters"):
            initial.ber(b"\x30", name)
        user_data = initial.ber(b"\x04", "userData")
        initial.finish("Connect-Initial")
        user_data.expect(T124, "t124Identifier")
        # Not relied on, by servers neither: IronRDP (ironrdp-wasm 1.1.0) does not count two bytes of what follows.
        user_data.per_length("connectPDU")
        user_data.expect(_CREATE_REQUEST, "conferenceCreateRequest")
        blocks = _read_blocks(user_data)
        user_data.finish("userData")
        if _Block.CS_CORE not in blocks:
            raise user_data.error("there is no CS_CORE", "clientCoreData")
        core = frame[slice(*blocks[_Block.CS_CORE])]
        if len(core) < _CS_CORE_SIZE:
            raise user_data.error(f"CS_CORE has {len(core)} bytes, at least {_CS_CORE_SIZE} are due", "clientCoreData")
        width, height = struct.unpack_from("<HH", core, 8)
        selected = struct.unpack_from("<I", core, _SELECTED_AT)[0] if len(core) >= _SELECTED_AT + 4 else None
        return cls(
            frame=frame,
            client_name=core[24:56].decode("utf-16-le", "replace").partition("\0")[0],
            client_build=struct.unpack_from("<I", core, 20)[0],
            desktop=(width, height),
            channels=tuple(name for _, name in _channels(frame, blocks)),
            selected_protocol=selected,
            _blocks=blocks,
        )

    def _core(self) -> bytes:
        return self.frame[slice(*self._blocks[_Block.CS_CORE])]

    @property
    def early_capabilities(self) -> EarlyCapabilities:
        """earlyCapabilityFlags, what the client can do before capabilities are exchanged; none where it is missing."""
        core, at = self._core(), _COLORS_AT + 12
        return EarlyCapabilities(struct.unpack_from("<H", core, at)[0] if len(core) >= at + 2 else 0)

    @property
    def color_depth(self) -> int:
        """Bits per pixel that the client asks for, 4, 8, 15, 16, 24 or 32, by the newest field that it sent."""
        core = self._core()
        if len(core) < _COLORS_AT + 12:
            beta = struct.unpack_from("<H", core, _COLORS_AT)[0] if len(core) >= _COLORS_AT + 2 else 0
            return _BETA_DEPTHS.get(beta, 8)
        high, supported = struct.unpack_from("<HH", core, _COLORS_AT + 8)
        if EarlyCapabilities.WANT_32BPP_SESSION in self.early_capabilities and supported & _RNS_UD_32BPP_SUPPORT:
            return 32
        return high if high in _HIGH_DEPTHS else 8

    def check(self, negotiated: Protocol | None) -> None:
        """Compare what the client says was selected with what was; None for nothing to compare with.

        Old clients leave it out, which is taken here: a client of CredSSP that somebody talked out of it does not come
        this far.

        Raises:
            RemoteProtocolError: they differ.
        """
        told = self.selected_protocol
        if negotiated is not None and told is not None and told != negotiated:
            raise RemoteProtocolError(
                f"serverSelectedProtocol is {told}, and {int(negotiated)} was selected: "
                "somebody changed the negotiation on its way, or the client has a bug",
                section="[MS-RDPBCGR] 3.3.5.3.3",
            )

    def rewritten(self, selected: Protocol, *, deny_channels: Collection[str] = ()) -> bytes:
        """Return the frame for another server.

        Args:
            selected: what that server selected; it closes the connection if the client says something else.
            deny_channels: names of channels, in any case, that the server must not see. They get names that no
                server knows, since the client counts them.
        """
        out = bytearray(self.frame)
        if self.selected_protocol is not None:
            struct.pack_into("<I", out, self._blocks[_Block.CS_CORE][0] + _SELECTED_AT, selected)
        denied = {name.lower() for name in deny_channels}
        for number, (at, name) in enumerate(_channels(self.frame, self._blocks)):
            if name.lower() in denied:
                out[at : at + 8] = f"denied{number:x}".encode().ljust(8, b"\0")[:8]
        _clear_flags(out, self._blocks, _Block.CS_MULTITRANSPORT)
        return bytes(out)


@dataclass(frozen=True, slots=True)
class ConnectResponse:
    """The server's MCS Connect Response PDU with GCC Conference Create Response.

    Attributes:
        frame: as it came.
        requested_protocols: clientRequestedProtocols, or None where it is missing.
        encryption_method: encryptionMethods; 0 for none of standard RDP security's.
        encryption_level: encryptionLevel; 0 for none.
        io_channel: MCSChannelId of the I/O channel, or None without SC_NET.
    """

    frame: bytes = field(repr=False)
    requested_protocols: int | None
    encryption_method: int
    encryption_level: int
    io_channel: int | None
    _blocks: dict[int, tuple[int, int]] = field(repr=False)

    @classmethod
    def decode(cls, frame: bytes) -> ConnectResponse:
        """Read a frame of `FrameBuffer`.

        Raises:
            DecodeError: it is something else.
            RemoteProtocolError: the server refused the connection.
        """
        reader = _data(frame, _RESPONSE)
        response = reader.ber(b"\x7f\x66", "Connect-Response")
        reader.finish("Connect-Response")
        result = response.ber(b"\x0a", "result").take(1, "result")[0]
        if result:
            raise RemoteProtocolError(
                f"the server refused the connection (MCS result {result})", section="ITU-T T.125 7"
            )
        response.ber(b"\x02", "calledConnectId")
        response.ber(b"\x30", "domainParameters")
        user_data = response.ber(b"\x04", "userData")
        response.finish("Connect-Response")
        user_data.expect(T124, "t124Identifier")
        user_data.per_length("connectPDU")  # servers, Windows among them, write a constant here
        user_data.expect(b"\x14", "conferenceCreateResponse")
        user_data.take(2, "nodeID")
        user_data.take(user_data.take(1, "tag.length")[0], "tag")
        user_data.expect(H221_SERVER, "h221NonStandard")
        blocks = _read_blocks(user_data)
        if _Block.SC_CORE not in blocks:
            raise user_data.error("there is no SC_CORE", "serverCoreData")
        start, end = blocks[_Block.SC_CORE]
        requested = struct.unpack_from("<I", frame, start + _REQUESTED_AT)[0] if end - start >= 12 else None
        method = level = 0
        if _Block.SC_SECURITY in blocks:
            start, end = blocks[_Block.SC_SECURITY]
            if end - start < 12:  # header, encryptionMethod, encryptionLevel
                raise user_data.error("SC_SECURITY is too short", "serverSecurityData")
            method, level = struct.unpack_from("<II", frame, start + 4)
        channel = None
        if _Block.SC_NET in blocks:
            start, end = blocks[_Block.SC_NET]
            if end - start < 8:  # header, MCSChannelId, channelCount
                raise user_data.error("SC_NET is too short", "serverNetworkData")
            channel = struct.unpack_from("<H", frame, start + 4)[0]
        return cls(frame, requested, method, level, channel, blocks)

    def check(self, asked: Protocol | None) -> None:
        """Compare what the server says was requested with what was; None for nothing to compare with.

        Raises:
            RemoteProtocolError: they differ.
        """
        told = self.requested_protocols
        if asked is not None and told is not None and told != asked:
            raise RemoteProtocolError(
                f"clientRequestedProtocols is {told}, and {int(asked)} was requested: "
                "somebody changed the negotiation on its way, or the server has a bug",
                section="[MS-RDPBCGR] 3.2.5.3.4",
            )

    def rewritten(self, requested: Protocol) -> bytes:
        """Return the frame for the client, with the protocols that it requested: it closes if they differ."""
        out = bytearray(self.frame)
        if self.requested_protocols is not None:
            struct.pack_into("<I", out, self._blocks[_Block.SC_CORE][0] + _REQUESTED_AT, requested)
        _clear_flags(out, self._blocks, _Block.SC_MULTITRANSPORT)
        return bytes(out)


def _data(frame: bytes, section: str) -> FrameReader:
    reader = FrameReader(frame, section, position=HEADER_SIZE)
    reader.expect(X224_DATA, "x224Data")
    return reader


def _read_blocks(reader: FrameReader) -> dict[int, tuple[int, int]]:
    """Read the settings; returns where each block begins, header included, and ends."""
    size = reader.per_length("userData")
    blocks = reader.part(size, "userData")
    found: dict[int, tuple[int, int]] = {}
    while blocks.left:
        start = blocks.position
        kind = blocks.number(2, "header.type")
        length = blocks.number(2, "header.length")
        if length < 4:  # the header itself
            raise blocks.error(f"a block of {length} bytes", "header.length")
        blocks.take(length - 4, f"block 0x{kind:04X}")
        if kind in found:
            raise blocks.error(f"block 0x{kind:04X} occurs twice", "header.type")
        if len(found) == _MAX_BLOCKS:
            raise blocks.error(f"more than {_MAX_BLOCKS} blocks", "header")
        found[kind] = (start, blocks.position)
    return found


def _channels(frame: bytes, blocks: dict[int, tuple[int, int]]) -> list[tuple[int, str]]:
    """Return where each channel definition begins, and the name in it."""
    if _Block.CS_NET not in blocks:
        return []
    start, end = blocks[_Block.CS_NET]
    reader = FrameReader(frame, "[MS-RDPBCGR] 2.2.1.3.4", position=start + 4, end=end)
    count = reader.number(4, "channelCount")
    if count > _MAX_CHANNELS:
        raise reader.error(f"{count} channels; at most {_MAX_CHANNELS} are allowed", "channelCount")
    found = []
    for number in range(count):
        at = reader.position
        name = reader.take(12, f"channelDefArray[{number}]")[:8]
        found.append((at, name.partition(b"\0")[0].decode("latin-1")))
    return found


def _clear_flags(out: bytearray, blocks: dict[int, tuple[int, int]], kind: int) -> None:
    if kind in blocks:
        start, end = blocks[kind]
        out[start + 4 : end] = bytes(end - start - 4)


class DomainPDU(enum.IntEnum):
    """Choices of DomainMCSPDU (ITU-T T.125 7): the first six bits."""

    ERECT_DOMAIN_REQUEST = 1
    DISCONNECT_PROVIDER_ULTIMATUM = 8
    ATTACH_USER_REQUEST = 10
    ATTACH_USER_CONFIRM = 11
    CHANNEL_JOIN_REQUEST = 14
    CHANNEL_JOIN_CONFIRM = 15
    SEND_DATA_REQUEST = 25
    SEND_DATA_INDICATION = 26


_SIZES: Final = {
    DomainPDU.ERECT_DOMAIN_REQUEST: range(5, 12),  # two integers of one to four bytes, each with its length or without
    DomainPDU.ATTACH_USER_REQUEST: range(1, 2),
    DomainPDU.CHANNEL_JOIN_REQUEST: range(5, 6),
}


def domain_pdu(frame: bytes) -> DomainPDU:
    """Return which domain PDU a frame holds.

    Raises:
        DecodeError: none that RDP has, or one of a size that it cannot have.
    """
    reader = _data(frame, _DOMAIN)
    size = reader.left
    choice = reader.take(1, "DomainMCSPDU")[0] >> 2
    try:
        pdu = DomainPDU(choice)
    except ValueError:
        raise DecodeError(
            f"an MCS PDU {choice} that RDP does not have", field="DomainMCSPDU", offset=7, section=_DOMAIN
        ) from None
    if pdu in _SIZES and size not in _SIZES[pdu]:
        raise DecodeError(f"a {pdu.name} of {size} bytes", field="DomainMCSPDU", offset=7, section=_DOMAIN)
    return pdu


def data_frame(pdu: bytes) -> bytes:
    """Put an MCS PDU into an X.224 Data TPDU and a TPKT frame."""
    return struct.pack(">BBH", _VERSION, 0, HEADER_SIZE + len(X224_DATA) + len(pdu)) + X224_DATA + pdu


def send_data_indication(data: bytes, *, initiator: int, channel: int) -> bytes:
    """Write an MCS SendDataIndication as a frame (ITU-T T.125 11.33); `initiator` and `channel` are MCS ids."""
    head = struct.pack(">BHHB", DomainPDU.SEND_DATA_INDICATION << 2, initiator - 1001, channel, 0x70)
    return data_frame(head + per_length(len(data)) + data)
