"""TSRequest ([MS-CSSP] 2.2.1)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credssp.errors import DecodeError, LimitExceededError, LocalProtocolError
from credssp.wire.der import write_explicit, write_integer, write_octet_string, write_sequence, write_tlv
from credssp.wire.tolerant import Deviation
from credssp.wire.ts_request import TSRequest
from tests.growth import Work, compared

NONCE = bytes(range(32))
VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "wire.json").read_text("utf-8"))["messages"]

EXAMPLES = [
    (TSRequest(6), "3005a003020106"),
    (TSRequest(6, nego_tokens=(b"NTLMSSP\0",)), "3017a003020106a110300e300ca00a04084e544c4d53535000"),
    (TSRequest(6, error_code=0xC000006D), "300da003020106a4060204c000006d"),
    (
        TSRequest(6, pub_key_auth=b"\x11" * 4, client_nonce=NONCE),
        "3031a003020106a306040411111111a5220420" + NONCE.hex(),
    ),
    (TSRequest(6, nego_tokens=()), "3009a003020106a1023000"),
    (TSRequest(6, nego_tokens=(b"",)), "300fa003020106a108300630 04a0020400".replace(" ", "")),
    (TSRequest(6, nego_tokens=(b"a", b"b")), "3017a003020106a110300e3005a0030401613005a003040162"),
    (TSRequest(2, auth_info=b""), "3009a003020102a2020400"),
]


def message(*members: bytes) -> bytes:
    return write_sequence(*members)


VERSION = write_explicit(0, write_integer(6))
TOKENS = write_explicit(1, write_sequence(write_sequence(write_explicit(0, write_octet_string(b"tok")))))


@pytest.mark.parametrize(("request_", "data"), EXAMPLES)
def test_example_both_ways(request_: TSRequest, data: str) -> None:
    assert request_.encode().hex() == data
    decoded = TSRequest.decode(bytes.fromhex(data))
    assert decoded == request_
    assert decoded.deviations == ()


@pytest.mark.parametrize("vector", [v for v in VECTORS if v["structure"] == "TSRequest"], ids=lambda v: v["name"])
def test_vector_is_read_and_written_again(vector: dict[str, str]) -> None:
    data = bytes.fromhex(vector["hex"])
    request = TSRequest.decode(data)
    assert request.encode() == data
    assert request.deviations == ()


def test_absent_tokens_and_no_tokens_are_two_things() -> None:
    assert TSRequest.decode(TSRequest(6).encode()).nego_tokens is None
    assert TSRequest.decode(TSRequest(6, nego_tokens=()).encode()).nego_tokens == ()
    assert TSRequest(6) != TSRequest(6, nego_tokens=())


@pytest.mark.parametrize("version", [0, 1, 2, 6, 7, 96, 127, 128, 255, 300, 65536, (1 << 63) - 1])
def test_every_version_from_0_up_is_read(version: int) -> None:
    assert TSRequest.decode(TSRequest(version).encode()).version == version


@pytest.mark.parametrize("version", [-1, -128, -129])
def test_negative_version_is_refused(version: int) -> None:
    with pytest.raises(DecodeError, match="negative") as caught:
        TSRequest.decode(message(write_explicit(0, write_integer(version))))
    assert caught.value.field == "TSRequest.version"
    assert caught.value.section == "[MS-CSSP] 2.2.1"
    assert caught.value.offset == 4


def test_negative_version_is_not_written() -> None:
    with pytest.raises(LocalProtocolError):
        TSRequest(-1).encode()


# errorCode


@pytest.mark.parametrize(
    ("code", "octets"),
    [
        (0, "020100"),
        (0x7FFFFFFF, "02047fffffff"),
        (0x80000000, "020480000000"),
        (0x80090308, "020480090308"),
        (0xC000006D, "0204c000006d"),
        (0xD000006D, "0204d000006d"),
        (0xC00700EA, "0204c00700ea"),
        (0xFFFFFFFF, "0201ff"),
    ],
)
def test_error_code_is_a_signed_number_on_the_wire_and_unsigned_here(code: int, octets: str) -> None:
    data = TSRequest(6, error_code=code).encode()
    assert data.hex().endswith(octets)
    decoded = TSRequest.decode(data)
    assert decoded.error_code == code
    assert decoded.deviations == ()


def test_error_code_written_unsigned_is_read_and_reported() -> None:
    decoded = TSRequest.decode(bytes.fromhex("300ea003020106a407020500c000006d"))
    assert decoded.error_code == 0xC000006D
    (deviation,) = decoded.deviations
    assert deviation == Deviation("TSRequest.errorCode", 9, "an NTSTATUS written unsigned, in five bytes")


@pytest.mark.parametrize("value", [1 << 32, -(1 << 31) - 1, (1 << 63) - 1])
def test_error_code_of_more_than_32_bits_is_refused(value: int) -> None:
    with pytest.raises(DecodeError, match="more than 32 bits") as caught:
        TSRequest.decode(message(VERSION, write_explicit(4, write_integer(value))))
    assert caught.value.field == "TSRequest.errorCode"


@pytest.mark.parametrize("code", [-1, 1 << 32])
def test_error_code_out_of_range_is_not_written(code: int) -> None:
    with pytest.raises(LocalProtocolError):
        TSRequest(6, error_code=code).encode()


# Sizes


@pytest.mark.parametrize("size", [0, 1, 12, 32, 126, 127, 128, 255, 256, 257, 65535])
@pytest.mark.parametrize("member", ["nego_tokens", "auth_info", "pub_key_auth", "client_nonce"])
def test_octet_string_of_any_size(member: str, size: int) -> None:
    octets = b"\xa5" * size
    value = (octets,) if member == "nego_tokens" else octets
    request = TSRequest(6, **{member: value})  # type: ignore[arg-type]
    assert TSRequest.decode(request.encode(), max_size=70000) == request


octets = st.none() | st.binary(max_size=400)
requests = st.builds(
    TSRequest,
    st.integers(0, (1 << 63) - 1),
    nego_tokens=st.none() | st.lists(st.binary(max_size=200), max_size=16).map(tuple),
    auth_info=octets,
    pub_key_auth=octets,
    error_code=st.none() | st.integers(0, 0xFFFFFFFF),
    client_nonce=octets,
)


@settings(max_examples=100)
@given(requests)
def test_round_trip(request_: TSRequest) -> None:
    data = request_.encode()
    decoded = TSRequest.decode(data)
    assert decoded == request_
    assert decoded.deviations == ()
    assert TSRequest.decode(bytearray(data)) == request_


@settings(max_examples=20)
@given(requests)
def test_every_prefix_and_every_octet_more_is_refused(request_: TSRequest) -> None:
    data = request_.encode()
    for size in {0, 1, 2, 3, len(data) // 2, len(data) - 1}:
        with pytest.raises(DecodeError):
            TSRequest.decode(data[:size])
    for tail in (b"\0", b"\0\0", b"\x30", data):
        with pytest.raises((DecodeError, LimitExceededError)):
            TSRequest.decode(data + tail, max_size=2 * len(data))


# Refusals, each with field and offset


@pytest.mark.parametrize(
    ("data", "field", "text"),
    [
        (message(), "TSRequest.version", "is missing"),
        (message(TOKENS), "TSRequest.version", "is missing"),
        (message(VERSION, VERSION), "TSRequest.version", "twice"),
        (message(VERSION, TOKENS, TOKENS), "TSRequest.negoTokens", "twice"),
        (message(VERSION, TOKENS, VERSION), "TSRequest.version", "twice"),
        (message(VERSION, write_tlv(0x81, b"")), "TSRequest", "tag 0x81"),
        (message(write_tlv(0x80, b"\x06")), "TSRequest", "tag 0x80"),
        (message(write_integer(6)), "TSRequest", "tag 0x02"),
        (message(VERSION, write_tlv(0x61, b"")), "TSRequest", "tag 0x61"),
        (message(VERSION, write_tlv(0x86, b"")), "TSRequest", "tag 0x86"),
        (message(VERSION, b"\xbf\x21\x00"), "TSRequest", "above 30"),
        (message(VERSION, b"\x00\x00"), "TSRequest", "tag 0x00"),
        (message(write_explicit(0, write_octet_string(b"\6"))), "TSRequest.version", "0x04 where 0x02"),
        (message(write_explicit(0, b"")), "TSRequest.version", "no room"),
        (message(write_explicit(0, b"\x02\x00")), "TSRequest.version", "without bytes"),
        (message(write_explicit(0, write_integer(6) * 2)), "TSRequest.version", "left over"),
        (message(write_explicit(0, write_tlv(2, b"\1" * 9))), "TSRequest.version", "9 bytes"),
        (message(VERSION, write_explicit(1, write_octet_string(b"x"))), "TSRequest.negoTokens", "0x04 where 0x30"),
        (message(VERSION, write_explicit(1, b"\x30\x02\x04\x00")), "TSRequest.negoTokens[0]", "0x04 where 0x30"),
        (
            message(VERSION, write_explicit(1, b"\x30\x02\x30\x00")),
            "TSRequest.negoTokens[0].negoToken",
            "is missing",
        ),
        (
            message(VERSION, write_explicit(1, b"\x30\x06\x30\x04\xa0\x02\x24\x00")),
            "TSRequest.negoTokens[0].negoToken",
            "0x24 where 0x04",
        ),
        (message(VERSION, write_explicit(2, b"\x24\x03\x04\x01x")), "TSRequest.authInfo", "0x24 where 0x04"),
        (message(VERSION, write_explicit(3, b"")), "TSRequest.pubKeyAuth", "no room"),
        (message(VERSION, write_explicit(5, write_integer(1))), "TSRequest.clientNonce", "0x02 where 0x04"),
        (message(VERSION) + b"\0\0", "TSRequest", "2 bytes left over"),
        (b"\x30\x80\xa0\x03\x02\x01\x06\x00\x00", "TSRequest", "indefinite"),
        (message(b"\xa0\x80\x02\x01\x06\x00\x00"), "TSRequest", "indefinite"),
        (message(VERSION, b"\xa2\x04\x24\x80\x00\x00"), "TSRequest.authInfo", "indefinite"),
        (b"\x30\x84\x00\x00\x00\x05\xa0\x03\x02\x01\x06", "TSRequest", "length of 4"),
        (b"\x30\x83\xff\xff\xff\xa0\x03\x02\x01\x06", "TSRequest", "cut short"),
        (b"GET / HTTP/1.0\r\n\r\n", "TSRequest", "cut short|tag 0x47"),
        (b"\x31\x05\xa0\x03\x02\x01\x06", "TSRequest", "tag 0x31"),
        (b"", "TSRequest", "no room"),
    ],
)
def test_malformed_message_is_refused(data: bytes, field: str, text: str) -> None:
    with pytest.raises(DecodeError, match=text) as caught:
        TSRequest.decode(data)
    assert caught.value.field == field
    assert caught.value.section == "[MS-CSSP] 2.2.1"
    assert 0 <= caught.value.offset <= len(data)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_offset_points_at_the_octet() -> None:
    data = message(VERSION, write_explicit(1, b"\x30\x06\x30\x04\xa0\x02\x24\x00"))
    with pytest.raises(DecodeError) as caught:
        TSRequest.decode(data)
    assert data[caught.value.offset] == 0x24


# Limits


def test_message_above_the_limit_is_not_looked_at() -> None:
    with pytest.raises(LimitExceededError, match="65537 bytes, the limit is 65536"):
        TSRequest.decode(b"\xff" * 65537)
    TSRequest.decode(TSRequest(6, auth_info=bytes(65000)).encode())
    with pytest.raises(LimitExceededError):
        TSRequest.decode(TSRequest(6).encode(), max_size=6)
    TSRequest.decode(TSRequest(6).encode(), max_size=7)


def test_number_of_tokens_is_limited() -> None:
    data = TSRequest(6, nego_tokens=(b"t",) * 17).encode()
    with pytest.raises(LimitExceededError, match="more than 16"):
        TSRequest.decode(data)
    with pytest.raises(LimitExceededError, match="more than 2"):
        TSRequest.decode(data, max_nego_tokens=2)
    assert len(TSRequest.decode(data, max_nego_tokens=17).nego_tokens or ()) == 17


def refused(data: bytes) -> Work:
    def work() -> None:
        with pytest.raises(LimitExceededError, match="more than 16"):
            TSRequest.decode(data, max_size=1 << 20)

    return work


@pytest.mark.parametrize("strict", [True, False])
def test_100000_empty_tokens_are_refused_before_they_are_read(strict: bool) -> None:
    item = bytes.fromhex("3004a0020400" if strict else "308104a0020400")
    data = message(VERSION, write_explicit(1, write_sequence(item * 100_000)))
    few = message(VERSION, write_explicit(1, write_sequence(item * 17)))
    # Nothing after the limit is read: with rubbish there, the answer is the same.
    rubbish = message(VERSION, write_explicit(1, write_sequence(item * 17 + b"\xff" * 600_000)))
    for hostile in (data, rubbish):
        with pytest.raises(LimitExceededError):  # by size, before anything else
            TSRequest.decode(hostile)
        # It takes twice as long, for the copy of 600 kB; reading them all would take thousands of times as long.
        assert compared(refused(hostile), refused(few)) < 40


def test_limits_hold_for_the_tolerant_reading_too() -> None:
    tokens = write_explicit(1, write_sequence(bytes.fromhex("3004a0020400") * 17))
    with pytest.raises(LimitExceededError, match="more than 16"):
        TSRequest.decode(message(write_explicit(0, b"\x02\x02\x00\x06"), tokens))


# repr


def test_repr_shows_names_and_sizes_only() -> None:
    request = TSRequest(6, nego_tokens=(b"SECRETTOKEN",), auth_info=b"SECRETAUTH", error_code=0xC000006D)
    assert repr(request) == (
        "TSRequest(version=6, nego_tokens=(<11 bytes>), auth_info=<10 bytes>, error_code=0xC000006D)"
    )
    odd = TSRequest.decode(bytes.fromhex("300ea003020106a407020500c000006d"))
    assert "deviations=(Deviation(field='TSRequest.errorCode'" in repr(odd)


def test_error_text_holds_no_octets_of_the_message() -> None:
    with pytest.raises(DecodeError) as caught:
        TSRequest.decode(message(VERSION, write_explicit(2, write_tlv(0x0C, b"hunter2hunter2"))))
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value)
