"""PACs as a KDC makes them, or nearly: each part can be another ([MS-PAC]).

The KDC signs a PAC with the key of the service, so that a suite that has this key can make one that is right.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Sequence
from datetime import UTC, datetime

from credssp.errors import CredSSPError
from credssp.kerberos import crypto
from credssp.kerberos.pac import read_buffers
from credssp.kerberos.values import EncryptionKey
from credssp.wire.der import write_explicit, write_integer, write_octet_string, write_sequence

__all__ = ["AUTHTIME", "DOMAIN", "authorization", "client_info", "logon_info", "pac", "resigned", "signed"]

AUTHTIME = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DOMAIN = (21, 1, 2, 3)
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_KINDS = {17: (15, 12), 18: (16, 12), 19: (19, 16), 20: (20, 24), 23: (0xFFFFFF76, 16)}


def _sid(parts: Sequence[int], authority: int = 5) -> bytes:
    return (
        struct.pack("<IBB", len(parts), 1, len(parts))
        + authority.to_bytes(6, "big")
        + struct.pack(f"<{len(parts)}I", *parts)
    )


class _Writer:
    def __init__(self) -> None:
        self.fixed = struct.pack("<I", 0x20000)
        self.rest = b""
        self.next = 0x20004

    def pointer(self, body: bytes | None) -> None:
        if body is None:
            self.fixed += bytes(4)
            return
        self.fixed += struct.pack("<I", self.next)
        self.next += 4
        self.rest += body + bytes(-len(body) % 4)

    def text(self, text: str) -> None:
        data = text.encode("utf-16-le", "surrogatepass")
        self.fixed += struct.pack("<HH", len(data), len(data))
        self.pointer(struct.pack("<III", len(data) // 2, 0, len(data) // 2) + data)


def logon_info(
    username: str = "alice",
    domain: str = "LAB",
    *,
    rid: int = 1104,
    groups: Sequence[tuple[int, int]] = ((513, 7), (1116, 7)),
    extra: Sequence[tuple[Sequence[int], int, int]] = (),
    resource: Sequence[tuple[int, int]] = (),
    flags: int | None = None,
    domain_sid: Sequence[int] | None = DOMAIN,
    group_count: int | None = None,
) -> bytes:
    """KERB_VALIDATION_INFO; `extra` are parts, authority and attributes."""
    w = _Writer()
    w.fixed += bytes(48)
    for text in (username, "", "", "", "", ""):
        w.text(text)
    if flags is None:
        flags = (0x20 if extra else 0) | (0x200 if resource else 0)
    w.fixed += struct.pack("<HHIII", 1, 0, rid, 513, len(groups) if group_count is None else group_count)
    w.pointer(struct.pack("<I", len(groups)) + b"".join(struct.pack("<II", *each) for each in groups))
    w.fixed += struct.pack("<I", flags) + bytes(16)
    w.text("DC1")
    w.text(domain)
    w.pointer(None if domain_sid is None else _sid(domain_sid))
    w.fixed += bytes(40)
    w.fixed += struct.pack("<I", len(extra))
    heads = b"".join(struct.pack("<II", 0x30000 + n, attributes) for n, (_, _, attributes) in enumerate(extra))
    bodies = b"".join(_sid(parts, authority) for parts, authority, _ in extra)
    w.pointer(struct.pack("<I", len(extra)) + heads + bodies if extra else None)
    w.pointer(_sid((21, 7, 8, 9)) if resource else None)
    w.fixed += struct.pack("<I", len(resource))
    pairs = b"".join(struct.pack("<II", *each) for each in resource)
    w.pointer(struct.pack("<I", len(resource)) + pairs if resource else None)
    body = w.fixed + w.rest
    body += bytes(-len(body) % 8)
    return bytes.fromhex("01100800cccccccc") + struct.pack("<II", len(body), 0xCCCCCCCC) + body


def client_info(name: str = "alice", authtime: datetime = AUTHTIME) -> bytes:
    """Return PAC_CLIENT_INFO ([MS-PAC] 2.7): whose ticket the PAC belongs to."""
    data = name.encode("utf-16-le")
    when = int((authtime - _EPOCH).total_seconds()) * 10_000_000
    return struct.pack("<QH", when, len(data)) + data


def pac(buffers: Sequence[tuple[int, bytes]]) -> bytes:
    """Return PACTYPE ([MS-PAC] 2.3) with these buffers, type and contents of each."""
    at = 8 + 16 * len(buffers)
    heads, bodies = b"", b""
    for kind, data in buffers:
        start = at + len(bodies)
        pad = -start % 8
        heads += struct.pack("<IIQ", kind, len(data), start + pad)
        bodies += bytes(pad) + data
    return struct.pack("<II", len(buffers), 0) + heads + bodies


def resigned(data: bytes, key: EncryptionKey) -> bytes:
    """Put the right signature into a PAC, if there is a place for it."""
    try:
        buffers = read_buffers(data)
        spans = [buffers[6], buffers[7]]
    except (CredSSPError, KeyError):
        return data
    kind, size = _KINDS[key.etype]
    whole = bytearray(data)
    for start, end in spans:
        if end - start < 4 + size:
            return data
        whole[start : start + 4 + size] = struct.pack("<I", kind) + bytes(size)
    signature = b""
    with contextlib.suppress(CredSSPError):
        signature = crypto.checksum(key.etype, key.value, 17, bytes(whole))
    start = spans[0][0]
    whole[start + 4 : start + 4 + len(signature)] = signature
    return bytes(whole)


def signed(
    key: EncryptionKey, logon: bytes | None = None, *, client: bytes | None = None, authtime: datetime = AUTHTIME
) -> bytes:
    """A PAC that is right but for what is given."""
    place = bytes(4 + _KINDS[key.etype][1])
    whole = pac(
        (
            (1, logon_info() if logon is None else logon),
            (10, client_info(authtime=authtime) if client is None else client),
            (6, place),
            (7, place),
        )
    )
    return resigned(whole, key)


def authorization(*pacs: bytes) -> bytes:
    """AuthorizationData with PACs in AD-IF-RELEVANT."""

    def element(kind: int, data: bytes) -> bytes:
        return write_sequence(write_explicit(0, write_integer(kind)), write_explicit(1, write_octet_string(data)))

    return write_sequence(element(1, write_sequence(*(element(128, each) for each in pacs))))
