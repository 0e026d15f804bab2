"""Packets to segments to streams: every link layer, every disorder."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credssp.dissect import streams
from credssp.dissect.packet import endpoint, find_ip, find_segment, reverse
from credssp.dissect.streams import PATIENCE, Piece, Stream
from tests.dissect.captures import ETHERNET, NULL, PSH, RAW, SLL, SLL2, Connection


def segment(connection: Connection, payload: bytes = b"hello") -> tuple[bytes, int]:
    return connection.packet("client", payload, PSH), connection.link_type


@pytest.mark.parametrize("link_type", [ETHERNET, RAW, NULL, SLL, SLL2, 12, 228])
@pytest.mark.parametrize("addresses", [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")])
def test_every_link_layer_leads_to_the_segment(link_type: int, addresses: tuple[str, str]) -> None:
    data, _ = segment(Connection(*addresses, link_type=link_type))
    found = find_segment(data, find_ip(link_type, data))
    assert found is not None
    assert (found.payload, found.seq, found.lost) == (b"hello", 1000, 0)
    client = f"[{addresses[0]}]:50000" if ":" in addresses[0] else f"{addresses[0]}:50000"
    assert endpoint(found.key) == client
    assert endpoint(reverse(found.key)).endswith(":3389")
    assert reverse(reverse(found.key)) == found.key


def test_vlan_tags_and_pppoe_are_passed() -> None:
    data, _ = segment(Connection(vlan=True))
    assert find_segment(data, find_ip(ETHERNET, data)).payload == b"hello"  # type: ignore[union-attr]
    packet = Connection(link_type=RAW).packet("client", b"hello", PSH)
    double = bytes(12) + b"\x88\xa8\0\1\x81\0\0\2\x08\0" + packet
    assert find_ip(ETHERNET, double) == 22
    pppoe = bytes(12) + b"\x88\x64\x11\0\0\1\0\x40\0\x21" + packet
    assert find_segment(pppoe, find_ip(ETHERNET, pppoe)).payload == b"hello"  # type: ignore[union-attr]
    assert find_ip(ETHERNET, bytes(12) + b"\x88\x64\x11\0\0\1\0\x40\xc0\x21" + packet) == -1
    assert find_ip(ETHERNET, bytes(12) + b"\x81\0\0\1" * 5 + b"\x08\0") == -1
    assert find_ip(ETHERNET, bytes(12) + b"\x08\x06") == -1
    assert find_ip(ETHERNET, bytes(13)) == -1
    assert find_ip(SLL2, bytes(40)) == -1
    assert find_ip(147, bytes(40)) == -1


def test_ipv6_extension_headers_are_passed() -> None:
    data, _ = segment(Connection("2001:db8::1", "2001:db8::2", link_type=RAW))
    hop = bytes((6, 0)) + bytes(6)
    longer = data[:4] + (len(data) - 40 + 8).to_bytes(2, "big") + b"\0" + data[7:40] + hop + data[40:]
    assert find_segment(longer, 0).payload == b"hello"  # type: ignore[union-attr]


def test_fragments_are_refused_and_told() -> None:
    data = bytearray(segment(Connection(link_type=RAW))[0])
    data[6] = 0x20
    with pytest.raises(ValueError, match="fragment"):
        find_segment(bytes(data), 0)
    data = bytearray(segment(Connection("2001:db8::1", "2001:db8::2", link_type=RAW))[0])
    data[6] = 44
    with pytest.raises(ValueError, match="fragment"):
        find_segment(bytes(data), 0)


def test_what_is_no_tcp_is_nothing() -> None:
    data = bytearray(segment(Connection(link_type=RAW))[0])
    udp = bytes(data[:9]) + b"\x11" + bytes(data[10:])
    assert find_segment(udp, 0) is None
    assert find_segment(b"\x75" + bytes(data[1:]), 0) is None
    assert find_segment(bytes(data[:30]), 0) is None
    assert find_segment(bytes(10), 0) is None
    assert find_segment(b"\x60" + bytes(25), 0) is None
    assert find_segment(b"\x60" + bytes(45), 0) is None
    for offset in (0x10, 0xF0):  # a TCP header that is too short, or longer than the packet
        bad = bytes(data[:32]) + bytes((offset,)) + bytes(data[33:])
        assert find_segment(bad, 0) is None


def test_a_packet_that_was_cut_by_the_capture_says_how_much_is_lost() -> None:
    data = segment(Connection(link_type=RAW), b"x" * 100)[0]
    found = find_segment(data[:60], 0)
    assert found is not None
    assert (found.payload, found.lost) == (b"x" * 20, 80)
    found = find_segment(data[:40], 0)
    assert found is not None
    assert (found.payload, found.lost) == (b"", 100)


def test_large_segments_without_a_length_are_taken_whole() -> None:
    data = bytearray(segment(Connection(link_type=RAW), b"x" * 100)[0])
    data[2:4] = b"\0\0"
    assert find_segment(bytes(data), 0).payload == b"x" * 100  # type: ignore[union-attr]
    data = bytearray(segment(Connection("::1", "::2", link_type=RAW), b"x" * 100)[0])
    data[4:6] = b"\0\0"
    assert find_segment(bytes(data), 0).payload == b"x" * 100  # type: ignore[union-attr]


def collect(pieces: list[Piece]) -> bytes:
    """The bytes, with question marks for what is missing."""
    return b"".join(b"?" * piece.missing + piece.data for piece in pieces)


@given(
    st.binary(min_size=1, max_size=200),
    st.integers(0, (1 << 32) - 1),
    st.lists(st.tuples(st.integers(0, 199), st.integers(1, 60)), max_size=40),
    st.randoms(use_true_random=False),
)
def test_whatever_the_order_the_stream_comes_out(
    data: bytes, start: int, extra: list[tuple[int, int]], rng: random.Random
) -> None:
    parts = [(at, data[at : at + 10]) for at in range(0, len(data), 10)]
    # Sent again, in other pieces; the bytes are the same.
    parts += [(at, data[at : at + size]) for at, size in extra if at < len(data)]
    rng.shuffle(parts)
    stream = Stream()
    stream.start(start)
    pieces: list[Piece] = []
    for at, part in parts:
        pieces += stream.feed((start + at) % (1 << 32), part, 0, None)
    assert collect(pieces) == data
    assert stream.held == 0
    assert stream.offset == len(data)
    assert stream.flush() == []


@given(st.sets(st.integers(0, 19)), st.integers(0, (1 << 32) - 1))
def test_missing_segments_are_counted(missing: set[int], start: int) -> None:
    stream = Stream()
    stream.start(start)
    pieces: list[Piece] = []
    for number in range(20):
        if number not in missing:
            pieces += stream.feed((start + 5 * number) % (1 << 32), b"%05d" % number, 0, None)
    pieces += stream.flush()
    expected = b"".join(b"?????" if number in missing else b"%05d" % number for number in range(20))
    assert collect(pieces) == expected.rstrip(b"?")


def test_patience_has_an_end() -> None:
    stream = Stream()
    stream.start(0)
    assert stream.feed(10, b"later", 0, 7) == []
    pieces: list[Piece] = []
    for _ in range(PATIENCE + 1):
        assert pieces == []
        pieces = stream.tick()
    assert pieces == [Piece(10, b"", 7), Piece(0, b"later", 7)]
    assert stream.tick() == []


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_WAITING", 100)
    stream = Stream()
    stream.start(0)
    pieces = stream.feed(10, b"a" * 60, 0, None) + stream.feed(100, b"b" * 60, 0, None)
    assert collect(pieces) == b"?" * 10 + b"a" * 60
    monkeypatch.setattr(streams, "MAX_SEGMENTS", 3)
    for number in range(10):
        pieces += stream.feed(200 + 2 * number, b"c", 0, None)
    assert stream.held <= 100


def test_octets_that_the_capture_cut_off_are_missing() -> None:
    stream = Stream()
    stream.start(0)
    pieces = stream.feed(0, b"abc", 7, None) + stream.feed(10, b"def", 0, None)
    assert collect(pieces) == b"abc???????def"
    stream = Stream()
    pieces = stream.feed(0, b"", 5, None) + stream.feed(3, b"later", 0, None) + stream.feed(20, b"x", 2, None)
    assert collect(pieces + stream.flush()) == b"?????ter" + b"?" * 12 + b"x??"


def test_a_capture_that_begins_in_the_middle() -> None:
    stream = Stream()
    assert collect(stream.feed(12345, b"in the middle", 0, None)) == b"in the middle"
    stream.start(1)
    assert collect(stream.feed(12345 + 13, b" goes on", 0, None)) == b" goes on"


def test_struct_of_the_captures_is_what_it_says() -> None:
    packet = Connection(link_type=RAW).packet("server", b"", PSH)
    assert struct.unpack_from(">HH", packet, 20) == (3389, 50000)
