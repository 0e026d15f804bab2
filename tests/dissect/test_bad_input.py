"""Whatever the input, the report comes or CaptureError; memory stays flat, and time within bounds."""

from __future__ import annotations

import io
import json
import random
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credssp.dissect.conversation import ConversationReader, recognise
from credssp.dissect.dissector import dissect
from credssp.dissect.errors import CaptureError
from credssp.dissect.html import page
from credssp.dissect.http_layer import HTTPLayer
from credssp.dissect.model import MAX_EVENTS, Conversation, Event, Sender
from credssp.dissect.streams import Piece
from credssp.dissect.tls.keylog import Secrets
from credssp.dissect.tls.session import TLSReader
from credssp.dissect.transcript import read_transcript
from credssp.exchange.opening import LogonSecrets
from credssp.kerberos.view import kerberos_fields, kerberos_name
from credssp.secret import Secret
from tests.dissect.captures import Connection, Said, pcap, pcapng
from tests.dissect.logins import PASSWORD, log_on
from tests.growth import Work, assert_linear, compared

LOGON = LogonSecrets((Secret(PASSWORD),))
ROOT = Path(__file__).parents[2]


def survive(data: bytes, secrets: Secrets | None = None) -> None:
    try:
        report = dissect(io.BytesIO(data), tls=secrets, logon=LOGON)
    except CaptureError:
        return
    json.dumps(report)
    page(report)


@given(st.sampled_from(["pcap", "pcapng", "transcript"]), st.randoms(use_true_random=False), st.integers(1, 40))
def test_captures_with_flipped_octets(form: str, rng: random.Random, count: int) -> None:
    login = log_on(mechanism="negotiate")
    said = login.rdp() if rng.random() < 0.5 else login.winrm()
    packets = Connection(mss=rng.choice([60, 500, 1400])).packets(said)
    if form == "transcript":
        lines = ['{"credssp_transcript": 1}']
        lines += [json.dumps({"from": "client", "data": data.hex()}) for data in login.requests]
        data = bytearray("\n".join(lines).encode())
    else:
        data = bytearray(pcap(packets) if form == "pcap" else pcapng(packets, log=login.keylog))
    for _ in range(count):
        data[rng.randrange(24, len(data))] = rng.randrange(256)
    secrets = Secrets()
    secrets.add_log(login.keylog.splitlines())
    survive(bytes(data), secrets)


@given(st.randoms(use_true_random=False), st.integers(1, 20))
def test_tsrequests_with_flipped_octets(rng: random.Random, count: int) -> None:
    requests = [bytearray(data) for data in log_on(mechanism=rng.choice(["ntlm", "negotiate"])).requests]
    for _ in range(count):
        data = rng.choice(requests)
        data[rng.randrange(len(data))] = rng.randrange(256)
    senders = ["client", "server"] * 3
    lines = ['{"credssp_transcript": 1}', json.dumps({"public_key": "00" * 20})]
    lines += [json.dumps({"from": who, "data": d.hex()}) for who, d in zip(senders, requests, strict=False)]
    survive("\n".join(lines).encode())


@given(st.binary(max_size=300), st.sampled_from([b"", b"\xd4\xc3\xb2\xa1", b"\x0a\x0d\x0d\x0a", b"\x1f\x8b\x08\0"]))
def test_junk_for_files(data: bytes, start: bytes) -> None:
    survive(start + data)


@given(st.lists(st.tuples(st.integers(0, 1), st.binary(max_size=60), st.integers(0, 20)), max_size=12))
def test_junk_for_connections(pieces: list[tuple[int, bytes, int]]) -> None:
    starts = [b"", b"POST / HTTP/1.1\r\nAuthorization: CredSSP ", b"\x16\x03\x01\x00\x05", b"\x03\0\0\x13\x0e\xe0"]
    for start in starts:
        reader = ConversationReader(("a:1", "b:2"), Secrets(), client=None)
        if start:
            reader.feed(0, Piece(0, start, 1))
        for direction, data, missing in pieces:
            reader.feed(direction, Piece(missing, data, 2))
        reader.finish()


@given(st.text(max_size=200))
def test_junk_for_transcripts(text: str) -> None:
    read_transcript('{"credssp_transcript": 1}\n' + text)


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\x6e", b"\x7e", b"\x6f", b"\x6e\x82\0\x40\x30\x82\0\x3c\xa0\3\2\1\5"]),
)
def test_junk_for_kerberos(data: bytes, start: bytes) -> None:
    kerberos_fields(start + data)
    kerberos_name(start + data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x03\0\0\x13\x0e\xe0", ("rdp", "client")),
        (b"\x03\0\0\x13\x0e\xd0", ("rdp", "server")),
        (b"\x03\0\0\x13\x02\xf0", ("", None)),
        (b"\x03\0\0", ("?", None)),
        (b"\x16\x03\x01\0\x05\x01", ("tls", "client")),
        (b"\x16\x03\x03\0\x05\x02", ("tls", "server")),
        (b"\x17\x03\x03\0\x05\x00", ("tls", None)),
        (b"\x16\x03\x07\0\x05\x00", ("", None)),
        (b"\x16", ("?", None)),
        (b"POST /ws", ("http", "client")),
        (b"POS", ("?", None)),
        (b"HTTP/1.1", ("http", "server")),
        (b"SSH-2.0-", ("", None)),
    ],
)
def test_protocols_by_their_first_octets(data: bytes, expected: tuple[str, str | None]) -> None:
    assert recognise(data) == expected


def http(*said: Said, gaps: int = 0) -> tuple[Conversation, list[tuple[Sender, bytes]], HTTPLayer]:
    conversation = Conversation("c", "s")
    tokens: list[tuple[Sender, bytes]] = []
    layer = HTTPLayer(conversation, lambda sender, token, _: tokens.append((sender, token)), lambda: conversation)
    for sender, data in said:
        layer.feed(sender, data, None)
    if gaps:
        layer.gap("client", gaps)
    return conversation, tokens, layer


def test_http_headers_in_all_their_forms() -> None:
    _, tokens, _ = http(
        (
            "client",
            b"POST / HTTP/1.1\r\nauthorization:  credssp AAEC\r\ncontent-length: 5\r\n\r\nbodyAPOST / HTTP/1.1\r\n",
        ),
        ("client", b"Authorization: Negotiate AAAA\r\n\r\n"),
        ("server", b"HTTP/1.1 401 x\r\nWWW-Authenticate: Negotiate, CredSSP AwQF\r\n"),
        ("server", b"Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nabcde\r\n0\r\n\r\n"),
        ("server", b"HTTP/1.1 401 x\r\nWWW-Authenticate: CredSSP Bg\r\n\r\n"),
    )
    assert tokens == [("client", b"\0\1\2"), ("server", b"\3\4\5"), ("server", b"\6")]


def test_http_that_is_broken() -> None:
    conversation, tokens, _ = http(
        ("client", b"POST / HTTP/1.1\r\nAuthorization: CredSSP A\r\n\r\n"),
        ("client", b"junk\nPOST / HTTP/1.1\r\nAuthorization: CredSSP AAEC\r\n\r\n"),
        ("server", b"junk without an end"),
        ("server", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nHTTP/1.1 401 x\r\n"),
        ("server", b"WWW-Authenticate: CredSSP AAEC\r\n\r\n"),
        ("client", b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 70000),
        ("client", b"more"),
    )
    assert conversation.events[0].error == "the token is not base64"
    assert tokens == [("client", b"\0\1\2"), ("server", b"\0\1\2")]
    assert "more than 65536" in conversation.problems[0]


def test_http_messages_that_h11_refuses_are_noted_and_the_next_is_read() -> None:
    conversation, tokens, _ = http(
        ("client", b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
        ("client", b"POST / HTTP/1.1\r\nHost: a\r\nAuthorization: CredSSP AAEC\r\n\r\n"),
    )
    assert tokens == [("client", b"\0\1\2")]
    assert conversation.problems == ["an HTTP message of the client cannot be read: conflicting Content-Length headers"]


def test_http_bodies_that_are_not_there_are_not_skipped() -> None:
    token = b"HTTP/1.1 401\r\nWWW-Authenticate: CredSSP Bg\r\n\r\n"
    _, tokens, _ = http(
        ("client", b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("server", b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + token),
        ("client", b"POST / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("server", b"HTTP/1.1 100 Continue\r\n\r\n" + token),
        ("server", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nTrailer: x\r\n\r\n" + token),
    )
    assert tokens == [("server", b"\6")] * 3


def test_http_bodies_may_be_missing() -> None:
    start = b"POST / HTTP/1.1\r\nAuthorization: CredSSP AAEC\r\nContent-Length: 100\r\n\r\n"
    conversation, _, layer = http(("client", start), gaps=60)
    assert conversation.problems == []
    layer.feed("client", b"x" * 40, None)
    layer.feed("client", start, None)
    assert len(conversation.events) == 2
    layer.gap("client", 200)
    assert "with them HTTP headers" in conversation.problems[0]


@pytest.mark.parametrize(
    ("start", "repeated"),
    [
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"POST / HTTP/1.1\r\nAuthorization: CredSSP FAMDAAEB\r\n\r\n", b"OPTIONS / HTTP/1.1\r\n\r\n"),
    ],
)
def test_one_packet_of_megabytes_takes_linear_time(start: bytes, repeated: bytes) -> None:
    """IP's length field may be 0, and then a packet is as long as a block of the capture: 2 MB took 20 s."""

    def packet(size: int) -> Work:
        piece = Piece(0, start + repeated * (size // len(repeated)), None)

        def work() -> None:
            reader = ConversationReader(("a:1", "b:2"), Secrets(), client=0)
            reader.feed(0, piece)
            reader.finish()

        return work

    assert_linear(packet, 1 << 19)


def test_a_gap_in_front_of_a_long_piece_counts_once() -> None:
    reader = ConversationReader(("a:1", "b:2"), Secrets(), client=0)
    reader.feed(0, Piece(0, b"\x16\x03\x01\x00\x05\x01\0\0\1\0", None))
    reader.feed(0, Piece(7, bytes(100_000), None))
    assert [event.summary for event in reader.conversation.events if event.layer == "gap"] == ["7 bytes are missing"]


def test_records_that_hold_nothing_do_not_wait_without_end() -> None:
    secrets = Secrets()
    session = TLSReader(secrets, lambda *_: None, lambda *_: None)
    session.feed("client", b"\x16\x03\x03\x00\x04\x01\0\0\0", None)
    for _ in range(100):
        session.feed("client", b"\x17\x03\x03\x00\x00" * 200, None)
    assert session.dead
    assert secrets.waiting == 0
    assert any("cannot be decrypted" in problem for problem in session.info.problems)


def test_the_search_for_a_record_behind_a_gap_takes_linear_time() -> None:
    def search(size: int) -> Work:
        session = TLSReader(Secrets(), lambda *_: None, lambda *_: None)
        session.gap("client", 1)
        data = bytes(size)
        return lambda: session.feed("client", data, None)

    assert_linear(search, 1 << 19)


def test_events_are_bounded() -> None:
    conversation = Conversation("c", "s")
    for _ in range(MAX_EVENTS + 5):
        conversation.add(Event("client", "gap", 1))
    assert len(conversation.events) == MAX_EVENTS
    assert len(conversation.problems) == 1


GIGABYTE = '''
import io, resource, sys, time, tracemalloc
sys.path.insert(0, sys.argv[1])
from credssp.dissect.dissector import read_stream
from credssp.dissect.tls.keylog import Secrets
from credssp.dissect.tls.session import TLSReader
from tests.dissect.captures import Connection, START, pcap
from tests.dissect.logins import log_on
import struct

SIZE = int(sys.argv[2])

class Generated:
    """A capture of any size that is nowhere: long connections of others, unopened TLS, and a login now and then."""
    def __init__(self):
        self.pieces, self.held, self.total, self.read_calls = self.make(), b"", 0, 0
    def record(self, packet):
        return struct.pack("<IIII", START // 10**9, 0, len(packet), len(packet)) + packet
    def make(self):
        yield pcap([])
        login = log_on()
        body = bytes(range(256)) * 230
        number = 0
        while True:
            number += 1
            name = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
            # fifteen segments of 58,880 bytes, as cards that segment themselves have them
            said = [("server", b"SSH-2.0-x\\r\\n")] + [("server", body)] * 15
            if number % 3 == 0:
                said = [*login.said[:2], *[("server", b"\\x17\\x03\\x03\\x40\\x00" + bytes(0x4000))] * 50]
            if number % 100 == 0:
                said = login.rdp()
            connection = Connection(client=name, mss=60000)
            yield b"".join(self.record(p) for p in connection.packets(said, fin=number % 2 == 0))
    def read(self, size):
        while len(self.held) < size and self.total < SIZE:
            piece = next(self.pieces)
            self.total += len(piece)
            self.held += piece
        data, self.held = self.held[:size], self.held[size:]
        return data

read_stream(io.BytesIO(pcap([])), Secrets())  # what scapy costs
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.process_time()
found = read_stream(Generated(), Secrets())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, time.process_time() - start, found.size,
      len(found.conversations))
'''


def grown(size: int) -> tuple[int, float, int, int]:
    """Read a generated capture in a process of its own: KiB of growth, seconds, bytes, conversations."""
    done = subprocess.run(
        [sys.executable, "-c", GIGABYTE, str(ROOT), str(size)], capture_output=True, text=True, timeout=280, check=True
    )
    kib, seconds, octets, conversations = done.stdout.split()
    return int(kib), float(seconds), int(octets), int(conversations)


@pytest.mark.timeout(600)
def test_a_gigabyte_costs_no_more_memory_than_a_tenth_of_it() -> None:
    small, little, part, _ = grown(100 << 20)
    large, much, octets, conversations = grown(1 << 30)
    assert octets > 1_000_000_000
    assert conversations > 10
    # What grows is the list of what was found: a few KiB for each login.
    assert large - small < 40 * 1024, (small, large)
    assert large < 160 * 1024
    assert much / octets < 2 * little / part


def fill(packets: Iterator[bytes], size: int) -> bytes:
    out, total = [], 0
    for packet in packets:
        out.append(packet)
        total += len(packet)
        if total > size:
            break
    return pcap(out)


def test_small_packets_are_read_fast_enough() -> None:
    login = log_on()

    def many() -> Iterator[bytes]:
        for number in range(100_000):
            yield from Connection(client=f"10.0.{number >> 8}.{number & 255}", mss=200).packets(login.rdp())

    def capture(size: int) -> Work:
        octets = fill(many(), size)
        return lambda: dissect(io.BytesIO(octets))

    assert_linear(capture, 2_000_000)
    # 100 MB take 20 s, which is 17 times what it takes to look at the headers.
    octets = fill(many(), 1_000_000)
    assert compared(lambda: dissect(io.BytesIO(octets)), lambda: headers(octets)) < 50


def headers(capture: bytes) -> dict[bytes, bytes]:
    """Put the TCP segments of a capture together as they come: the least that a reader in Python could do."""
    streams: dict[bytes, bytes] = {}
    at = 24
    while at < len(capture):
        _, _, size, _ = struct.unpack_from("<IIII", capture, at)
        packet = capture[at + 16 : at + 16 + size]
        at += 16 + size
        _, _, kind, head, _, length, *_ = struct.unpack_from(">6s6sHBBH", packet)
        source, destination, ports = struct.unpack_from(">4s4s4s", packet, 14 + 12)
        _, _, offset, flags, _ = struct.unpack_from(">IIBBH", packet, 14 + 20 + 4)
        if (kind, head) == (0x800, 0x45) and flags & 16:
            name = source + destination + ports
            streams[name] = streams.get(name, b"") + packet[14 + 20 + (offset >> 4) * 4 : 14 + length]
    return streams
