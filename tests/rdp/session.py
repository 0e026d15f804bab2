"""The PDUs of a session's beginning, as clients and servers write them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from credssp.rdp.session_pdus import data_frame

T124 = bytes.fromhex("000500147c0001")
CREATE = bytes.fromhex("000800100001c000") + b"Duca"
DOMAIN = bytes.fromhex("3019020122020102020100020101020100020101020300ffff020102")[0:27]


def ber(tag: bytes, contents: bytes, *, long: bool = True) -> bytes:
    """Write a BER value; its length in the form of three bytes, as most clients do."""
    if long:
        return tag + b"\x82" + len(contents).to_bytes(2, "big") + contents
    return tag + bytes([len(contents)]) + contents


def per(size: int) -> bytes:
    return (0x8000 | size).to_bytes(2, "big")


def block(kind: int, contents: bytes) -> bytes:
    return struct.pack("<HH", kind, 4 + len(contents)) + contents


def cs_core(
    *,
    selected: int | None = 1,
    name: str = "LAPTOP",
    desktop: tuple[int, int] = (1024, 768),
    depth: int = 24,
    supported: int = 7,
    early: int = 1,
) -> bytes:
    core = struct.pack("<IHHHHII", 0x00080004, *desktop, 0xCA01, 0xAA03, 0x409, 19041)
    core += name.encode("utf-16-le").ljust(32, b"\0") + struct.pack("<III", 4, 0, 12) + bytes(64)
    assert len(core) == 128
    if selected is not None:
        core += (
            struct.pack("<HHIHHH", 0xCA01, 1, 0, depth, supported, early)
            + bytes(64)
            + b"\x07\0"
            + struct.pack("<I", selected)
        )
        assert len(core) == 212
    return block(0xC001, core)


def cs_net(channels: Sequence[str]) -> bytes:
    definitions = b"".join(name.encode().ljust(8, b"\0") + struct.pack("<I", 0x80000000) for name in channels)
    return block(0xC003, struct.pack("<I", len(channels)) + definitions)


CS_MULTITRANSPORT = block(0xC00A, struct.pack("<I", 0x105))


def connect_initial(blocks: bytes | None = None, *, long: bool = True, short_by: int = 0) -> bytes:
    """A client's first frame; the length of connectPDU may be too small."""
    if blocks is None:
        blocks = cs_core() + cs_net(["rdpdr", "cliprdr"]) + CS_MULTITRANSPORT
    gcc = CREATE + per(len(blocks)) + blocks
    user_data = T124 + per(len(gcc) - short_by) + gcc
    parameters = ber(b"\x30", bytes.fromhex("020122020102020100020101020100020101020300ffff020102")[:24], long=False)
    body = b"\x04\x01\x01\x04\x01\x01\x01\x01\xff" + parameters * 3 + ber(b"\x04", user_data)
    return data_frame(ber(b"\x7f\x65", body, long=long))


def sc_core(*, requested: int | None = 3) -> bytes:
    return block(0x0C01, struct.pack("<I", 0x00080004) + (b"" if requested is None else struct.pack("<I", requested)))


def sc_security(method: int = 0, level: int = 0) -> bytes:
    return block(0x0C02, struct.pack("<II", method, level))


SC_NET = block(0x0C03, struct.pack("<HHHH", 1003, 2, 1004, 1005))
SC_MULTITRANSPORT = block(0x0C08, struct.pack("<I", 0x105))


def connect_response(blocks: bytes | None = None, *, result: int = 0, length: bytes = b"\x2a") -> bytes:
    """A server's first frame, with the constant in place of a length that Windows writes."""
    if blocks is None:
        blocks = sc_core() + sc_security() + SC_NET + SC_MULTITRANSPORT
    gcc = bytes.fromhex("14760a01010001c000") + b"McDn" + per(len(blocks)) + blocks
    parameters = ber(b"\x30", bytes.fromhex("020122020103020100020101020100020101020300fff8020102")[:24], long=False)
    body = bytes([0x0A, 1, result, 2, 1, 0]) + parameters + ber(b"\x04", T124 + length + gcc)
    return data_frame(ber(b"\x7f\x66", body))


def client_info(
    strings: Sequence[str] = ("LAB", "alice", "secret", "", ""),
    *,
    flags: int = 0x13B,
    wide: bool = True,
    security: int = 0x40,
    extra: bytes = b"\x02\0more",
    sizes: Sequence[int] | None = None,
) -> bytes:
    """A Client Info PDU."""
    encoded = [text.encode("utf-16-le" if wide else "latin-1") for text in strings]
    if not wide:
        flags &= ~0x10
    end = b"\0\0" if wide else b"\0"
    body = struct.pack("<HH", security, 0) + struct.pack("<II", 0x409, flags)
    body += struct.pack("<5H", *(sizes or map(len, encoded))) + b"".join(text + end for text in encoded) + extra
    return data_frame(bytes.fromhex("64000603eb70") + per(len(body)) + body)


ERECT_DOMAIN = data_frame(bytes.fromhex("0401000100"))
ATTACH_USER = data_frame(b"\x28")
CHANNEL_JOIN = data_frame(bytes.fromhex("38000603eb"))


def fast_path(contents: bytes) -> bytes:
    """A server's fast-path frame, with the short form of the length where it is enough."""
    size = len(contents) + 2
    return bytes([0, size]) + contents if size < 0x80 else b"\0" + (0x8001 + size).to_bytes(2, "big") + contents


def share(kind: int, contents: bytes = b"", *, total: int | None = None) -> bytes:
    """A PDU with a share control header."""
    return struct.pack("<HHH", 6 + len(contents) if total is None else total, kind, 1002) + contents


def indication(data: bytes, *, channel: int = 1003) -> bytes:
    """An MCS SendDataIndication as a frame."""
    return data_frame(struct.pack(">BHHB", 26 << 2, 1, channel, 0x70) + per(len(data)) + data)


# A client's side of an active session: the user is 1002, the I/O channel 1003.

SHARE_ID = 0x103EA


def join(channel: int, user: int = 1002) -> bytes:
    return data_frame(struct.pack(">BHH", 14 << 2, user - 1001, channel))


def request(data: bytes, *, channel: int = 1003) -> bytes:
    """An MCS SendDataRequest as a frame."""
    return data_frame(struct.pack(">BHHB", 25 << 2, 1, channel, 0x70) + per(len(data)) + data)


def client_data(kind: int, body: bytes = b"", *, flags: int = 0) -> bytes:
    """A data PDU of a client as a frame."""
    head = struct.pack("<IBBHBBH", SHARE_ID, 0, 1, 4 + len(body), kind, flags, 0)
    return request(share(0x17, head + body))


def capability(kind: int, contents: bytes) -> bytes:
    return block(kind, contents)


def general(extra: int = 0x0401) -> bytes:
    return capability(1, struct.pack("<6H", 1, 3, 0x200, 0, 0, extra) + bytes(8))


def bitmap(depth: int = 16, size: tuple[int, int] = (1024, 768)) -> bytes:
    return capability(2, struct.pack("<4H2H", depth, 1, 1, 1, *size) + bytes(12))


def confirm_active(*sets: bytes, share_id: int = SHARE_ID, count: int | None = None) -> bytes:
    """A Confirm Active PDU as a frame."""
    sets = sets or (general(), bitmap())
    combined = struct.pack("<HH", len(sets) if count is None else count, 0) + b"".join(sets)
    body = struct.pack("<IHHH", share_id, 1002, 6, len(combined)) + b"MSTSC\0" + combined
    return request(share(0x13, body))


SYNCHRONIZE = client_data(31, struct.pack("<HH", 1, 1002))
COOPERATE = client_data(20, struct.pack("<HHI", 4, 0, 0))
REQUEST_CONTROL = client_data(20, struct.pack("<HHI", 1, 0, 0))
FONT_LIST = client_data(39, struct.pack("<4H", 0, 0, 3, 50))
FINALIZATION = SYNCHRONIZE + COOPERATE + REQUEST_CONTROL + FONT_LIST
LEAVE = data_frame(b"\x21\x80")


def beginning(*, wanted: bytes | None = None, info: bytes | None = None) -> bytes:
    """All that a client sends up to Client Info."""
    joins = b"".join(map(join, (1002, 1003, 1004, 1005)))
    first = connect_initial() if wanted is None else wanted
    return first + ERECT_DOMAIN + ATTACH_USER + joins + (client_info() if info is None else info)


def whole() -> bytes:
    """All that a client sends until it has its screen."""
    return beginning() + confirm_active() + FINALIZATION


def as_selected(session: Any, data: bytes) -> bytes:
    """Return what a client sends, with the protocol in its Connect Initial that was selected for this session."""
    told = connect_initial().replace(cs_core(), cs_core(selected=int(session.endpoint.selected_protocol)))
    return data.replace(connect_initial(), told)
