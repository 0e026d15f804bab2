"""A redirection by the server never passes a relay, wherever and however it comes; everything else passes unchanged."""

from __future__ import annotations

import contextlib
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credssp.errors import CredSSPError, LocalProtocolError, RemoteProtocolError
from credssp.rdp.negotiation import Protocol
from credssp.rdp.redirection import ServerRedirection
from credssp.rdp.redirection_watch import RedirectedError, RedirectionWatch
from credssp.rdp.relayed import FromServer
from credssp.rdp.session_pdus import data_frame
from credssp.rdp.session_start import valid_client
from tests.rdp import session as pdus

REDIRECTION = ServerRedirection(target="192.0.2.5", username="alice").encode(initiator=1002, channel=1003)
PACKET = REDIRECTION[15 + 6 + 2 :]  # RDP_SERVER_REDIRECTION_PACKET
DEMAND_ACTIVE = pdus.indication(pdus.share(0x11, bytes(300)))
DATA = pdus.share(0x17, b"data" * 20)
LICENCE = pdus.indication(struct.pack("<HH", 0x0280, 0x0010) + b"\x1a\0" * 200)

# What servers send in a session.
USUAL = [
    data_frame(bytes.fromhex("2e000006")),  # Attach User Confirm
    data_frame(bytes.fromhex("3e00000603eb03eb")),  # Channel Join Confirm
    valid_client(),
    LICENCE,
    DEMAND_ACTIVE,
    pdus.indication(DATA),
    pdus.indication(DATA * 3),
    pdus.indication(struct.pack("<HHHH", 0x8000, 0, 0x41, 0) + DATA),  # a flow PDU
    pdus.indication(pdus.share(0x17, bytes(0x400 - 6))),  # 1,024 bytes, which is SEC_REDIRECTION_PKT as well
    pdus.indication(struct.pack("<II", 0x000A0000, 3) + bytes(1600), channel=1004),  # a channel's PDU
    pdus.indication(PACKET, channel=1005),
    pdus.fast_path(b"x"),
    pdus.fast_path(b"y" * 200),
    pdus.fast_path(b"z" * 16000),
    data_frame(bytes.fromhex("2180")),  # Disconnect Provider Ultimatum
]


def look_at(data: bytes, step: int, channel: int | None = 1003) -> None:
    watch = RedirectionWatch(channel)
    for at in range(0, len(data), step):
        watch.look(memoryview(data)[at : at + step])


@pytest.mark.parametrize("step", [1, 2, 5, 13, 1000, 1 << 20])
def test_what_servers_send_passes(step: int) -> None:
    look_at(b"".join(USUAL * 2), step)


@given(
    st.lists(st.sampled_from(USUAL), max_size=8),
    st.lists(st.integers(1, 40), min_size=1, max_size=40),
    st.booleans(),
)
def test_however_it_is_split(frames: list[bytes], steps: list[int], redirected: bool) -> None:
    data = b"".join([DEMAND_ACTIVE, *frames, REDIRECTION if redirected else b""])
    watch, at = RedirectionWatch(1003), 0
    for step in steps:
        piece = data[at : at + step]
        if redirected and at + len(piece) == len(data):
            break
        watch.look(piece)
        at += len(piece)
    if redirected:
        with pytest.raises(RedirectedError):
            watch.look(data[at:])
    else:
        watch.look(data[at:])


def test_a_frame_that_comes_byte_by_byte_is_copied_a_few_times_only() -> None:
    frame = DEMAND_ACTIVE + pdus.indication(pdus.share(0x17, bytes(16000)))
    copies = 0

    class Counted(bytearray):
        def __iadd__(self, other: Any) -> Any:
            nonlocal copies
            copies += 1
            return super().__iadd__(other)

        def __bytes__(self) -> bytes:
            nonlocal copies
            copies += len(self)
            return bytes(memoryview(self))

    watch = RedirectionWatch(1003)
    for byte in frame:
        watch.look(bytes([byte]))
        if type(watch._held) is bytearray and watch._held:
            watch._held = Counted(watch._held)
    assert copies < 3 * len(frame)


def flow(contents: bytes) -> bytes:
    return struct.pack("<HHHH", 0x8000, 0, 0x41, 0) + contents


INSIDE = pdus.share(0x1A, b"\0\0" + PACKET)
SENT = {
    "before the licence": [REDIRECTION],
    "after it": [valid_client(), REDIRECTION],
    "with the desktop": [DEMAND_ACTIVE, pdus.indication(DATA), REDIRECTION],
    "without a version": [DEMAND_ACTIVE, pdus.indication(pdus.share(0x0A, b"\0\0" + PACKET))],
    "with another version": [DEMAND_ACTIVE, pdus.indication(pdus.share(0xFFFA, b"\0\0" + PACKET))],
    "as a second PDU": [DEMAND_ACTIVE, pdus.indication(DATA + INSIDE)],
    "beside the first": [pdus.indication(pdus.share(0x11, bytes(300)) + INSIDE)],
    "behind another PDU": [valid_client(), pdus.indication(DATA + INSIDE)],
    "behind a flow PDU": [DEMAND_ACTIVE, pdus.indication(flow(INSIDE))],
    "of standard security": [pdus.indication(PACKET)],
    "encrypted": [pdus.indication(struct.pack("<HH", 0x0408, 0) + PACKET)],
    "empty": [DEMAND_ACTIVE, pdus.indication(pdus.share(0x1A))],
    "cut off": [DEMAND_ACTIVE, pdus.indication(pdus.share(0x1A, total=9999))],
}


@pytest.mark.parametrize("step", [1, 1 << 20])
@pytest.mark.parametrize("sent", SENT)
def test_a_redirection_does_not_pass(sent: str, step: int) -> None:
    *before, last = SENT[sent]
    watch = RedirectionWatch(1003)
    for frame in before:
        watch.look(frame)
    with pytest.raises(RedirectedError, match="the server redirects the client"):
        for at in range(0, len(last), step):
            watch.look(last[at : at + step])


def test_the_error_says_where_to() -> None:
    with pytest.raises(RedirectedError, match=r"redirects the client to '192\.0\.2\.5', past the relay") as refused:
        RedirectionWatch(1003).look(REDIRECTION)
    assert "session broker" in refused.value.advice


@pytest.mark.parametrize("channel", [1003, 1009])
def test_both_channels_that_clients_may_take_are_watched(channel: int) -> None:
    redirection = ServerRedirection(target="x").encode(initiator=1002, channel=channel)
    blocks = pdus.sc_core() + pdus.sc_security() + pdus.block(0x0C03, struct.pack("<HH", 1009, 0))
    way = FromServer(Protocol.HYBRID)
    way.feed(pdus.connect_response(blocks))
    with pytest.raises(RedirectedError):
        way.feed(redirection)


def test_a_relay_may_look_in_place_of_the_filter() -> None:
    way = FromServer(Protocol.HYBRID)
    with pytest.raises(LocalProtocolError, match="due after the Connect Response"):
        way.look(b"")
    way.feed(pdus.connect_response() + REDIRECTION[:10])
    assert not way.free
    with pytest.raises(RedirectedError):
        way.look(memoryview(REDIRECTION)[10:])


def test_one_may_come_together_with_the_connect_response() -> None:
    with pytest.raises(RedirectedError):
        FromServer(Protocol.HYBRID).feed(pdus.connect_response() + REDIRECTION)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\n",  # H is a fast-path frame of 84 bytes: what follows it is not
        b"\x01\x05abc",
        b"\x00\x00",
        b"\x00\x01",
        b"\x00\x80\x02",
        b"\x03\x00\x00\x07\x02\xf0\x80",
        b"\x03\x00\x00\x00",
        b"\x03\x00\x00\x0b\x06\xd0\x00\x00\x12\x34\x00",
        b"\x03\x00\x00\x20\x03\xf0\x00\x80" + bytes(24),
    ],
)
def test_what_is_not_a_frame_ends_the_session(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="expected a TPKT or fast-path frame"):
        RedirectionWatch(1003).look(data + bytes(100))


@given(st.binary(max_size=400), st.integers(1, 50))
def test_noise_is_refused_or_passes(data: bytes, step: int) -> None:
    with contextlib.suppress(CredSSPError):
        look_at(data, step)


@pytest.mark.parametrize("blocks", [pdus.block(0x0C03, b"\xeb\x03"), pdus.block(0x0C03, b"")])
def test_a_network_block_that_is_cut_off_is_refused(blocks: bytes) -> None:
    with pytest.raises(CredSSPError, match="SC_NET is too short"):
        FromServer(Protocol.HYBRID).feed(pdus.connect_response(pdus.sc_core() + blocks))
