"""Cutting a stream into TSRequests ([MS-CSSP] 2.2.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credssp.errors import DecodeError, LimitExceededError
from credssp.wire.framing import TSRequestBuffer
from credssp.wire.ts_request import TSRequest
from tests.growth import Work, assert_linear

MESSAGES = [
    TSRequest(6).encode(),
    TSRequest(6, nego_tokens=(b"x" * 40,)).encode(),
    TSRequest(6, nego_tokens=(b"x" * 200,)).encode(),
    TSRequest(6, nego_tokens=(b"x" * 400,), client_nonce=bytes(32)).encode(),
]


def drain(buffer: TSRequestBuffer) -> list[bytes]:
    found = []
    while (message := buffer.next_message()) is not None:
        found.append(message)
    return found


def test_whole_messages_come_out_as_they_went_in() -> None:
    buffer = TSRequestBuffer()
    for message in MESSAGES:
        buffer.feed(message)
        assert buffer.missing == 0
        assert drain(buffer) == [message]
        assert len(buffer) == 0


def test_several_messages_in_one_read() -> None:
    buffer = TSRequestBuffer()
    buffer.feed(b"".join(MESSAGES))
    assert drain(buffer) == MESSAGES


def test_one_octet_at_a_time() -> None:
    buffer = TSRequestBuffer()
    found = []
    for octet in b"".join(MESSAGES):
        buffer.feed(bytes((octet,)))
        found += drain(buffer)
    assert found == MESSAGES


@given(st.lists(st.sampled_from(MESSAGES), max_size=5), st.lists(st.integers(1, 300), max_size=30))
def test_the_way_it_is_cut_does_not_matter(messages: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(messages)
    buffer = TSRequestBuffer()
    found = []
    for size in [*cuts, len(stream)]:
        buffer.feed(stream[:size])
        stream = stream[size:]
        found += drain(buffer)
    assert found == messages
    assert buffer.missing == 2


@pytest.mark.parametrize("rest", [b"\x00\x00\x00\x00", b"\x05\x00\x00\x00", b"\x03\x00\x00\x13 and more", b"\x30"])
def test_what_follows_the_last_message_is_handed_back(rest: bytes) -> None:
    # the Early User Authorization Result, and the first PDU of the application
    buffer = TSRequestBuffer()
    buffer.feed(MESSAGES[0] + rest)
    assert buffer.next_message() == MESSAGES[0]
    assert buffer.take_rest() == rest
    assert len(buffer) == 0
    assert buffer.take_rest() == b""


def test_rest_of_an_incomplete_message_is_handed_back_and_forgotten() -> None:
    buffer = TSRequestBuffer()
    buffer.feed(MESSAGES[2][:10])
    assert buffer.take_rest() == MESSAGES[2][:10]
    assert buffer.missing == 2
    buffer.feed(MESSAGES[0])
    assert buffer.next_message() == MESSAGES[0]


def test_missing_counts_down_to_the_end_of_the_message() -> None:
    for message in MESSAGES:
        buffer = TSRequestBuffer()
        assert buffer.missing == 2
        fed = 0
        while buffer.missing:  # reading exactly what is missing never reads too much
            part = message[fed : fed + buffer.missing]
            buffer.feed(part)
            fed += len(part)
        assert fed == len(message)
        assert buffer.next_message() == message


@pytest.mark.parametrize(
    ("start", "missing"),
    [("", 2), ("30", 1), ("3005", 5), ("3081", 1), ("3082", 2), ("308201", 1), ("3083", 3), ("30830000", 1)],
)
def test_missing_while_the_header_is_not_complete(start: str, missing: int) -> None:
    buffer = TSRequestBuffer()
    buffer.feed(bytes.fromhex(start))
    assert buffer.missing == missing
    assert buffer.next_message() is None


@pytest.mark.parametrize("header", ["3005", "308105", "30820005", "3083000005"])
def test_length_need_not_be_the_shortest_form(header: str) -> None:
    message = bytes.fromhex(header) + MESSAGES[0][2:]
    buffer = TSRequestBuffer()
    buffer.feed(message)
    assert buffer.next_message() == message


@pytest.mark.parametrize(
    ("start", "message", "offset"),
    [
        (b"GET / HTTP/1.0", "first byte 0x47", 0),
        (b"\x00", "first byte 0x00", 0),
        (b"\x31\x05", "first byte 0x31", 0),
        (b"\x30\x80", "indefinite", 1),
        (b"\x30\x84", "length of 4 bytes", 1),
        (b"\x30\xff", "length of 127 bytes", 1),
    ],
)
def test_refused_from_the_header_alone(start: bytes, message: str, offset: int) -> None:
    buffer = TSRequestBuffer()
    with pytest.raises(DecodeError, match=message) as caught:
        buffer.feed(start)
    assert caught.value.offset == offset
    assert caught.value.section == "[MS-CSSP] 2.2.1"
    with pytest.raises(DecodeError, match=message):
        buffer.next_message()
    assert buffer.take_rest() == start


def test_refusal_of_the_second_message_comes_after_the_first() -> None:
    buffer = TSRequestBuffer()
    buffer.feed(MESSAGES[0] + b"HTTP")
    assert buffer.next_message() == MESSAGES[0]
    with pytest.raises(DecodeError, match="first byte 0x48"):
        buffer.next_message()


@pytest.mark.parametrize(
    ("limit", "header"), [(100, "3063"), (100, "308162"), (65536, "3082fffd"), (65536, "30837fffff")]
)
def test_announcement_above_the_limit_is_refused_at_the_header(limit: int, header: str) -> None:
    buffer = TSRequestBuffer(limit)
    octets = bytes.fromhex(header)
    buffer.feed(octets[:-1])
    with pytest.raises(LimitExceededError, match=f"the limit is {limit}"):
        buffer.feed(octets[-1:])
    assert len(buffer) == len(octets)


@pytest.mark.parametrize(
    ("limit", "header", "size"), [(100, "3062", 98), (256, "3081fd", 253), (65536, "3082fffc", 65532)]
)
def test_announcement_of_exactly_the_limit_is_welcome(limit: int, header: str, size: int) -> None:
    buffer = TSRequestBuffer(limit)
    buffer.feed(bytes.fromhex(header))
    assert buffer.missing == size
    assert len(buffer) + buffer.missing == limit


def test_memoryview_and_bytearray_are_fed_too() -> None:
    buffer = TSRequestBuffer()
    buffer.feed(memoryview(MESSAGES[0])[:3])
    buffer.feed(bytearray(MESSAGES[0][3:]))
    assert buffer.next_message() == MESSAGES[0]
    assert type(buffer.take_rest()) is bytes


def test_400_kb_octet_by_octet_takes_linear_time() -> None:
    def feed(size: int) -> Work:
        message = TSRequest(6, auth_info=bytes(size)).encode()
        buffer = TSRequestBuffer(1 << 20)

        def work() -> None:
            for octet in message:
                buffer.feed(bytes((octet,)))
                _ = buffer.missing
            assert buffer.next_message() == message

        return work

    assert_linear(feed, 400_000)
