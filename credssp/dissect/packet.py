"""From a captured frame to a TCP segment: link layers, IPv4, IPv6 (RFC 791, 8200, 9293).

This runs once for every packet of the capture, so it takes slices of one buffer and builds no object but the
`Segment`. Checksums are not looked at: network cards fill them in after the capture was made.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Final, NamedTuple

__all__ = ["ACK", "FIN", "RST", "SYN", "Segment", "endpoint", "find_ip", "find_segment", "reverse"]

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
ACK: Final = 0x10

_ETHERNET: Final = 1
_SLL: Final = 113
_SLL2: Final = 276
# Four bytes with the address family, in the order of whatever host captured it.
_FAMILY_FIRST: Final = frozenset((0, 108))
_BARE_IP: Final = frozenset((12, 14, 101, 228, 229))

_VLAN: Final = frozenset((0x8100, 0x88A8, 0x9100))
_IP: Final = frozenset((0x0800, 0x86DD))
_PPPOE: Final = 0x8864
_MAX_TAGS: Final = 4

_U16: Final = struct.Struct(">H")
_TCP: Final = struct.Struct(">II")

_TCP_PROTOCOL: Final = 6
_FRAGMENT: Final = 44
# Hop-by-hop options, routing, destination options: each says how long it is in units of eight bytes.
_EXTENSIONS: Final = frozenset((0, 43, 60))


class Segment(NamedTuple):
    """One TCP segment.

    Attributes:
        key: addresses and ports as in the packet: source, destination, source port, destination port.
        seq: sequence number.
        flags: the flags byte.
        payload: the bytes that were captured.
        lost: bytes of the payload that the capture does not have, because it keeps only the beginning of packets.
    """

    key: bytes
    seq: int
    flags: int
    payload: bytes
    lost: int


def find_ip(link_type: int, data: bytes) -> int:
    """Return where the IP header begins, or -1 where there is none or the link layer is not known."""
    if link_type == _ETHERNET:
        if data[12:14] == b"\x08\x00":
            return 14
        return _behind_tags(data, 12)
    if link_type == _SLL:
        return _behind_tags(data, 14)
    if link_type == _SLL2:
        return 20 if data[:2] in (b"\x08\x00", b"\x86\xdd") else -1
    if link_type in _FAMILY_FIRST:
        return 4
    return 0 if link_type in _BARE_IP else -1


def _behind_tags(data: bytes, position: int) -> int:
    for _ in range(_MAX_TAGS):
        if len(data) < position + 2:
            return -1
        (kind,) = _U16.unpack_from(data, position)
        if kind in _IP:
            return position + 2
        if kind == _PPPOE:
            return position + 10 if data[position + 8 : position + 10] in (b"\x00\x21", b"\x00\x57") else -1
        if kind not in _VLAN:
            return -1
        position += 4
    return -1


def find_segment(data: bytes, start: int) -> Segment | None:
    """Return the TCP segment of the IP packet that begins at `start`; None if there is none.

    Raises:
        ValueError: it is a fragment of an IP packet, which is not put together here.
    """
    total = len(data)
    if total < start + 20:
        return None
    version = data[start] >> 4
    if version == 4:
        return _ipv4(data, start, total)
    if version == 6 and total >= start + 40:
        return _ipv6(data, start, total)
    return None


def _ipv4(data: bytes, start: int, total: int) -> Segment | None:
    if data[start + 9] != _TCP_PROTOCOL:
        return None
    if (data[start + 6] & 0x3F) | data[start + 7]:
        raise ValueError("fragment")
    (size,) = _U16.unpack_from(data, start + 2)
    # Zero where the card cuts large segments itself and the capture was made before that.
    end = start + size if size else total
    return _tcp(data, start + ((data[start] & 0x0F) << 2), end, total, data[start + 12 : start + 20])


def _ipv6(data: bytes, start: int, total: int) -> Segment | None:
    (size,) = _U16.unpack_from(data, start + 4)
    end = start + 40 + size if size else total
    kind = data[start + 6]
    position = start + 40
    while kind in _EXTENSIONS and position + 8 <= total:
        kind, length = data[position], data[position + 1]
        position += 8 + 8 * length
    if kind == _FRAGMENT:
        raise ValueError("fragment")
    if kind != _TCP_PROTOCOL:
        return None
    return _tcp(data, position, end, total, data[start + 8 : start + 40])


def _tcp(data: bytes, position: int, end: int, total: int, addresses: bytes) -> Segment | None:
    if total < position + 20:
        return None
    payload_at = position + ((data[position + 12] >> 4) << 2)
    if payload_at < position + 20 or payload_at > end:
        return None
    seq, _ = _TCP.unpack_from(data, position + 4)
    return Segment(
        addresses + data[position : position + 4],
        seq,
        data[position + 13],
        data[payload_at:end],
        max(0, end - max(total, payload_at)),
    )


def reverse(key: bytes) -> bytes:
    """Return the key of the other direction."""
    half = (len(key) - 4) // 2
    return key[half : 2 * half] + key[:half] + key[-2:] + key[-4:-2]


def endpoint(key: bytes) -> str:
    """Return source address and port of a key, such as ``127.0.0.1:50000`` or ``[::1]:50000``."""
    half = (len(key) - 4) // 2
    address = ipaddress.ip_address(key[:half])
    port = int.from_bytes(key[-4:-2], "big")
    return f"[{address}]:{port}" if half == 16 else f"{address}:{port}"
