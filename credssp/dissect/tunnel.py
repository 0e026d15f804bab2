"""Packets inside packets: GRE (RFC 2784, 2890), ERSPAN, VXLAN (RFC 7348), Geneve (RFC 8926), IP in IP (RFC 2003), MPLS.

Port mirrors of switches and clouds send what they see this way. `find_tunnel` is asked about packets without TCP only,
so that captures without tunnels pay nothing for it.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

__all__ = ["MAX_DEPTH", "Tunnel", "find_tunnel", "ip_under_labels", "protocol_name"]

MAX_DEPTH: Final = 4
"""Tunnels in one another; a mirror of a tunnel has two."""

ETHERNET: Final = 1
RAW_IP: Final = 101

_U16: Final = struct.Struct(">H")
_IPV4, _IPV6, _UDP, _GRE = 4, 41, 17, 47
_EXTENSIONS: Final = frozenset((0, 43, 60))
_IP_TYPES: Final = frozenset((0x0800, 0x86DD))
_BRIDGED: Final = 0x6558
_ERSPAN: Final = {0x88BE: 8, 0x22EB: 12}  # header of type II, and of type III without its optional part
_VXLAN_PORTS: Final = frozenset((4789, 8472))
_GENEVE_PORT: Final = 6081
_MAX_LABELS: Final = 8
_NAMES: Final = {
    1: "ICMP",
    2: "IGMP",
    6: "TCP, cut off",
    47: "GRE, cut off",
    50: "ESP (IPsec)",
    51: "AH (IPsec)",
    58: "ICMPv6",
}
_MPLS: Final = (b"\x88\x47", b"\x88\x48")


class Tunnel(NamedTuple):
    """What a packet carries.

    Attributes:
        name: of the tunnel.
        link_type: LINKTYPE of what is inside; -1 where that is not known.
        at: where it begins.
    """

    name: str
    link_type: int
    at: int


def ip_under_labels(link_type: int, data: bytes) -> int:
    """Return where the IP header of an Ethernet frame with MPLS labels begins (RFC 3032), or -1.

    Labels do not say what follows them; IP says its version itself.
    """
    if link_type != ETHERNET or data[12:14] not in _MPLS:
        return -1
    for at in range(14, 14 + 4 * _MAX_LABELS, 4):
        if len(data) <= at + 4:
            break
        if data[at + 2] & 1:
            return at + 4 if data[at + 4] >> 4 in (4, 6) else -1
    return -1


def find_tunnel(data: bytes, start: int) -> Tunnel | None:
    """Return what an IP packet without TCP carries, or None. `start` is where its header begins."""
    protocol, at = _payload(data, start)
    if protocol in (_IPV4, _IPV6):
        return Tunnel("IP in IP", RAW_IP, at)
    if protocol == _GRE:
        return _gre(data, at)
    if protocol == _UDP and len(data) >= at + 16:
        (port,) = _U16.unpack_from(data, at + 2)
        if port in _VXLAN_PORTS and data[at + 8] & 0x08:
            return Tunnel("VXLAN", ETHERNET, at + 16)
        if port == _GENEVE_PORT and data[at + 8] >> 6 == 0:
            (kind,) = _U16.unpack_from(data, at + 10)
            return _inside("Geneve", kind, at + 16 + 4 * (data[at + 8] & 0x3F))
    return None


def protocol_name(data: bytes, start: int) -> str:
    """Say what an IP packet carries: the protocol, and of UDP the port that it goes to."""
    protocol, at = _payload(data, start)
    if protocol == _UDP and len(data) >= at + 4:
        return f"UDP to port {_U16.unpack_from(data, at + 2)[0]}"
    return _NAMES.get(protocol, "no protocol" if protocol < 0 else f"protocol {protocol}")


def _payload(data: bytes, start: int) -> tuple[int, int]:
    """Return the protocol and where its header begins; -1 where there is none."""
    version = data[start] >> 4 if len(data) > start else 0
    if version == 4 and len(data) >= start + 20:
        first = not (data[start + 6] & 0x1F or data[start + 7])
        size = (data[start] & 0x0F) << 2
        return (data[start + 9] if first and size >= 20 else -1), start + size
    if version == 6 and len(data) >= start + 40:
        kind, at = data[start + 6], start + 40
        while kind in _EXTENSIONS and len(data) >= at + 8:
            kind, at = data[at], at + 8 + 8 * data[at + 1]
        return kind, at
    return -1, start


def _gre(data: bytes, at: int) -> Tunnel | None:
    if len(data) < at + 4:
        return None
    flags, kind = data[at], _U16.unpack_from(data, at + 2)[0]
    if data[at + 1] & 0x07 or flags & 0x40:
        return Tunnel("GRE", -1, at)  # PPTP, or the routing of RFC 1701
    # Checksum, key, sequence number: four bytes each.
    inner = at + 4 + 4 * sum(bool(flags & bit) for bit in (0x80, 0x20, 0x10))
    if kind in _ERSPAN:
        # Type I has neither sequence number nor header.
        size = _ERSPAN[kind] if flags & 0x10 else 0
        if kind == 0x22EB and len(data) >= inner + 12 and data[inner + 11] & 1:
            size += 8
        return Tunnel("ERSPAN", ETHERNET, inner + size)
    return _inside("GRE", kind, inner)


def _inside(name: str, kind: int, at: int) -> Tunnel:
    if kind in _IP_TYPES:
        return Tunnel(name, RAW_IP, at)
    return Tunnel(name, ETHERNET if kind == _BRIDGED else -1, at)
