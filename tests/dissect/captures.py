"""Captures written by the tests: TCP conversations as packets, in pcap or pcapng, deterministic and without root."""

from __future__ import annotations

import ipaddress
import itertools
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from credssp.dissect.model import Sender

START = 1_767_225_600_000_000_000  # 2026-01-01, in nanoseconds
STEP = 1_000_000  # a millisecond from packet to packet

ETHERNET, RAW, NULL, SLL, SLL2 = 1, 101, 0, 113, 276
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16

Said = tuple[Sender, bytes]


@dataclass
class Connection:
    """Makes the packets of one TCP connection."""

    client: str = "192.0.2.10"
    server: str = "192.0.2.20"
    client_port: int = 50000
    server_port: int = 3389
    mss: int = 1400
    link_type: int = ETHERNET
    vlan: bool = False
    client_seq: int = 1000
    server_seq: int = 0xFFFFFF00  # wraps soon
    seqs: dict[Sender, int] = field(init=False)

    def __post_init__(self) -> None:
        self.seqs = {"client": self.client_seq, "server": self.server_seq}

    def packets(self, said: Iterable[Said], *, syn: bool = True, fin: bool = True) -> Iterator[bytes]:
        if syn:
            yield self.packet("client", b"", SYN)
            yield self.packet("server", b"", SYN | ACK)
        for sender, data in said:
            for start in range(0, len(data), self.mss):
                yield self.packet(sender, data[start : start + self.mss], PSH | ACK)
        if fin:
            yield self.packet("client", b"", FIN | ACK)
            yield self.packet("server", b"", FIN | ACK)

    def packet(self, sender: Sender, payload: bytes, flags: int) -> bytes:
        other: Sender = "server" if sender == "client" else "client"
        ports = (self.client_port, self.server_port) if sender == "client" else (self.server_port, self.client_port)
        tcp = struct.pack(
            ">HHIIBBHHH", *ports, self.seqs[sender], self.seqs[other] if flags & ACK else 0, 0x50, flags, 65535, 0, 0
        )
        self.seqs[sender] = (self.seqs[sender] + len(payload) + bool(flags & (SYN | FIN))) % (1 << 32)
        return self.link(self.ip(sender, tcp + payload))

    def ip(self, sender: Sender, segment: bytes) -> bytes:
        names = (self.client, self.server) if sender == "client" else (self.server, self.client)
        source, destination = (ipaddress.ip_address(name) for name in names)
        if source.version == 6:
            return struct.pack(">IHBB", 6 << 28, len(segment), 6, 64) + source.packed + destination.packed + segment
        header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(segment), 1, 0, 64, 6, 0)
        return header + source.packed + destination.packed + segment

    def link(self, packet: bytes) -> bytes:
        kind = b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00"
        if self.link_type == ETHERNET:
            tag = b"\x81\x00\x00\x07" if self.vlan else b""
            return (bytes(12) + tag + kind + packet).ljust(60, b"\0")  # cards pad short frames
        if self.link_type == NULL:
            return b"\x02\0\0\0" + packet
        if self.link_type == SLL:
            return bytes(14) + kind + packet
        if self.link_type == SLL2:
            return kind + bytes(18) + packet
        return packet


def interleave(*sequences: Iterable[bytes]) -> Iterator[bytes]:
    """Take one packet of each in turn."""
    for row in itertools.zip_longest(*sequences):
        yield from (packet for packet in row if packet is not None)


def pcap(packets: Iterable[bytes], *, link_type: int = ETHERNET, nano: bool = False, endian: str = "<") -> bytes:
    out = [struct.pack(f"{endian}IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, 262144, link_type)]
    for number, packet in enumerate(packets):
        seconds, rest = divmod(START + number * STEP, 1_000_000_000)
        fraction = rest if nano else rest // 1000
        out.append(struct.pack(f"{endian}IIII", seconds, fraction, len(packet), len(packet)) + packet)
    return b"".join(out)


def block(kind: int, body: bytes, endian: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    size = len(body) + 12
    return struct.pack(f"{endian}II", kind, size) + body + struct.pack(f"{endian}I", size)


def section_header(endian: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(f"{endian}IHHq", 0x1A2B3C4D, 1, 0, -1), endian)


def interface(link_type: int = ETHERNET, endian: str = "<") -> bytes:
    resolution = struct.pack(f"{endian}HHB3xHH", 9, 1, 9, 0, 0)  # nanoseconds
    return block(1, struct.pack(f"{endian}HHI", link_type, 0, 0) + resolution, endian)


def secrets_block(log: bytes, endian: str = "<") -> bytes:
    return block(10, struct.pack(f"{endian}II", 0x544C534B, len(log)) + log, endian)


def enhanced_packet(packet: bytes, number: int = 0, interface_id: int = 0, endian: str = "<") -> bytes:
    time = START + number * STEP
    head = struct.pack(f"{endian}IIIII", interface_id, time >> 32, time & 0xFFFFFFFF, len(packet), len(packet))
    return block(6, head + packet, endian)


def pcapng(packets: Iterable[bytes], *, link_type: int = ETHERNET, log: bytes = b"", endian: str = "<") -> bytes:
    out = [section_header(endian), secrets_block(log, endian) if log else b"", interface(link_type, endian)]
    out += [enhanced_packet(packet, number, endian=endian) for number, packet in enumerate(packets)]
    return b"".join(out)
