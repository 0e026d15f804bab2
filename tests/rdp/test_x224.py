"""TPKT, X.224 Connection Request and Confirm: the examples of [MS-RDPBCGR] 4.1, every wrong length, noise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credssp.errors import CredSSPError, DecodeError, LimitExceededError, LocalProtocolError, RemoteProtocolError
from credssp.rdp import (
    ConnectionConfirm,
    ConnectionRequest,
    CorrelationInfo,
    FailureCode,
    NegotiationFailure,
    NegotiationRequest,
    NegotiationResponse,
    Protocol,
    RequestFlags,
    ResponseFlags,
)
from credssp.rdp.tpkt import MAX_SIZE, TPKTBuffer
from credssp.rdp.x224 import mstshash

# [MS-RDPBCGR] 4.1.1, 4.1.2, and what Windows sends since HYBRID_EX exists.
REQUEST_WITH_COOKIE = bytes.fromhex(
    "0300002c27e00000000000436f6f6b69653a206d737473686173683d656c746f6e730d0a0100080000000000"
)
CONFIRM_RDP = bytes.fromhex("030000130ed000001234000200080000000000")
REQUEST = bytes.fromhex("030000130ee00000000000010008000b000000")
CONFIRM_HYBRID_EX = bytes.fromhex("030000130ed00000123400021f080008000000")
CONFIRM_FAILURE = bytes.fromhex("030000130ed000001234000300080005000000")


def tpdu(data: bytes) -> bytes:
    found = TPKTBuffer().feed(data)
    assert found is not None
    return found


def request(variable: bytes, **change: int) -> bytes:
    """A Connection Request TPDU around any variable part, with the bytes at given offsets replaced."""
    data = bytearray(bytes((6 + len(variable), 0xE0)) + bytes(5) + variable)
    for name, value in change.items():
        data[int(name.removeprefix("at"))] = value
    return bytes(data)


# What is written


def test_the_specifications_requests() -> None:
    asked = NegotiationRequest(Protocol.RDP)
    assert ConnectionRequest(cookie="eltons", negotiation=asked).encode() == REQUEST_WITH_COOKIE
    asked = NegotiationRequest(Protocol.SSL | Protocol.HYBRID | Protocol.HYBRID_EX)
    assert ConnectionRequest(negotiation=asked).encode() == REQUEST


def test_the_specifications_confirms() -> None:
    assert ConnectionConfirm(NegotiationResponse(Protocol.RDP)).encode() == CONFIRM_RDP
    all_flags = ResponseFlags(0x1F)
    assert ConnectionConfirm(NegotiationResponse(Protocol.HYBRID_EX, all_flags)).encode() == CONFIRM_HYBRID_EX
    failure = NegotiationFailure(FailureCode.HYBRID_REQUIRED_BY_SERVER)
    assert ConnectionConfirm(failure).encode() == CONFIRM_FAILURE
    assert ConnectionConfirm().encode() == bytes.fromhex("0300000b06d00000123400")


@pytest.mark.parametrize(
    "bad",
    [
        ConnectionRequest(cookie="a", routing_token=b"b"),
        ConnectionRequest(cookie="\N{LATIN SMALL LETTER A WITH DIAERESIS}"),
        ConnectionRequest(cookie="a\r\nb"),
        ConnectionRequest(routing_token=b""),
        ConnectionRequest(routing_token=b"\x01binary"),
        ConnectionRequest(routing_token=b"a\nb"),
        ConnectionRequest(routing_token=b"t" * 300),
        ConnectionRequest(correlation=CorrelationInfo(bytes(range(1, 11)) * 2)),
        ConnectionRequest(negotiation=NegotiationRequest(Protocol.SSL), correlation=CorrelationInfo(b"\x01" * 16)),
        ConnectionRequest(
            negotiation=NegotiationRequest(Protocol.SSL, RequestFlags.CORRELATION_INFO_PRESENT),
        ),
    ],
)
def test_what_must_not_be_sent_is_not(bad: ConnectionRequest) -> None:
    with pytest.raises(LocalProtocolError):
        bad.encode()


@pytest.mark.parametrize("number", [b"\x01" * 15, b"\x00" + b"\x01" * 15, b"\xf4" + b"\x01" * 15, b"\x01" * 15 + b"\r"])
def test_correlation_ids_that_must_not_be_sent(number: bytes) -> None:
    with pytest.raises(LocalProtocolError, match="correlation id"):
        CorrelationInfo(number).encode()


def test_the_cookie_is_cut_as_windows_cuts_it() -> None:
    assert mstshash("administrator") == "administr"
    assert mstshash("j\N{LATIN SMALL LETTER O WITH DIAERESIS}rg\r\n x") == "jrgx"


# What is read


@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_request_split_anywhere(size: int) -> None:
    buffer = TPKTBuffer()
    stream = REQUEST_WITH_COOKIE + b"rest"
    found = None
    for start in range(0, len(stream), size):
        if found is None:
            found = buffer.feed(stream[start : start + size])
            rest = stream[start + size :]
    assert found is not None
    assert buffer.take_rest() + rest == b"rest"
    assert buffer.take_rest() == b""
    decoded = ConnectionRequest.decode(found)
    assert decoded == ConnectionRequest(cookie="eltons", negotiation=NegotiationRequest(Protocol.RDP))


def test_a_request_without_negotiation() -> None:
    assert ConnectionRequest.decode(request(b"")) == ConnectionRequest()
    assert ConnectionRequest.decode(request(b"Cookie: mstshash=x\r\n")).negotiation is None


@pytest.mark.parametrize("token", [b"Cookie: msts=3640205228.15629.0000", b"tsv://MS Terminal Services Plugin.1.x"])
def test_routing_tokens(token: bytes) -> None:
    sent = ConnectionRequest(routing_token=token, negotiation=NegotiationRequest(Protocol.HYBRID))
    assert ConnectionRequest.decode(tpdu(sent.encode())) == sent


@pytest.mark.parametrize(
    "text", [b"Cookie: mstshash=x\r\nCookie: msts=1.2.3\r\n", b"Cookie: msts=1.2.3\r\nCookie: mstshash=x\r\n"]
)
def test_a_cookie_and_a_routing_token_together_are_read(text: bytes) -> None:
    decoded = ConnectionRequest.decode(request(text + NegotiationRequest(Protocol.HYBRID).encode()))
    assert (decoded.cookie, decoded.routing_token) == ("x", b"Cookie: msts=1.2.3")
    assert decoded.negotiation == NegotiationRequest(Protocol.HYBRID)
    with pytest.raises(DecodeError, match="twice"):
        ConnectionRequest.decode(request(text + b"Cookie: msts=4\r\n"))


def test_correlation_info() -> None:
    sent = ConnectionRequest(
        negotiation=NegotiationRequest(Protocol.HYBRID, RequestFlags.CORRELATION_INFO_PRESENT),
        correlation=CorrelationInfo(b"\x01" * 16),
    )
    assert ConnectionRequest.decode(tpdu(sent.encode())) == sent


def test_protocols_and_flags_without_names_are_kept() -> None:
    decoded = ConnectionRequest.decode(request(bytes.fromhex("01f00800ff000000"))).negotiation
    assert decoded is not None
    assert int(decoded.protocols) == 0xFF
    assert decoded.flags == 0xF0


NEG = bytes.fromhex("0100080003000000")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "0 bytes"),
        (request(NEG)[:6], "6 bytes"),
        (request(NEG, at0=13), "length byte says 13"),
        (request(NEG, at0=15), "length byte says 15"),
        (request(NEG, at1=0xD0), "a Connection Confirm where a Connection Request is due"),
        (request(NEG, at1=0x80), "a Disconnect Request where"),
        (request(NEG, at1=0x10), "an unknown TPDU 0x10"),
        (request(NEG, at6=0x20), "class 2"),
        (request(NEG[:7]), "7 bytes where 8"),
        (request(NEG, at7=0x02), "type 2, expected 1"),
        (request(NEG, at9=9), "9, always 8"),
        (request(NEG + b"x"), "1 bytes after rdpNegReq"),
        (request(bytes.fromhex("0108080003000000")), "0 bytes are there"),
        (request(bytes.fromhex("0108080003000000") + b"\x06\0\x24\0" + bytes(31)), "35 bytes are there"),
        (request(bytes.fromhex("0108080003000000") + b"\x07\0\x24\0" + bytes(32)), "36 bytes are there"),
        (request(b"Cookie: mstshash=endless"), "without CR LF"),
        (request(b"Cookie: mstshash=x\n" + NEG), "without CR LF"),
    ],
)
def test_bad_requests(data: bytes, text: str) -> None:
    with pytest.raises(DecodeError, match=text):
        ConnectionRequest.decode(data)


@pytest.mark.parametrize(
    ("confirm", "text"),
    [
        (CONFIRM_RDP[:5] + b"\xe0" + CONFIRM_RDP[6:], "a Connection Request where a Connection Confirm"),
        (bytes.fromhex("030000130ed000001234000400080000000000"), "type 4, expected 2"),
        (bytes.fromhex("030000130ed000001234000200080003000000"), "several protocols"),
        (bytes.fromhex("030000120dd0000012340002000800000000"), "7 bytes where 8"),
    ],
)
def test_bad_confirms(confirm: bytes, text: str) -> None:
    with pytest.raises(DecodeError, match=text):
        ConnectionConfirm.decode(tpdu(confirm))


@pytest.mark.parametrize("code", [0, 1, 6, 7, 0xFFFFFFFF])
def test_failures_have_a_summary_whatever_the_number(code: int) -> None:
    confirm = ConnectionConfirm.decode(tpdu(ConnectionConfirm(NegotiationFailure(code)).encode()))
    assert isinstance(confirm.negotiation, NegotiationFailure)
    assert str(code) in confirm.negotiation.summary


# What is refused from the first bytes on


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"GET / HTTP/1.1\r\n", "HTTP"),
        (b"HTTP/1.1 400 Bad Request\r\n", "HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
        (b"\x16\x03\x01\x02\x00", "TLS"),
        (b"\x15\x03\x01\x00\x02\x02\x28", "TLS, a fatal alert"),
        (b"\xff", "0xFF"),
        (b"\x00", "0x00"),
    ],
)
def test_other_protocols_are_called_by_their_name(data: bytes, text: str) -> None:
    with pytest.raises(RemoteProtocolError, match=text):
        TPKTBuffer().feed(data)


@pytest.mark.parametrize("size", [0, 1, 6])
def test_frames_that_are_too_short(size: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"of {size} bytes, too short"):
        TPKTBuffer().feed(b"\x03\0" + size.to_bytes(2, "big"))


@pytest.mark.parametrize("size", [MAX_SIZE + 1, 0xFFFF])
def test_an_over_long_cookie_is_refused_from_the_header(size: int) -> None:
    with pytest.raises(LimitExceededError, match="over-long cookie"):
        TPKTBuffer().feed(b"\x03\0" + size.to_bytes(2, "big"))


def test_the_longest_frame_is_read_and_no_octet_beyond_it_is_needed() -> None:
    token = b"t" * (MAX_SIZE - 4 - 7 - 2 - 8)
    sent = ConnectionRequest(routing_token=token, negotiation=NegotiationRequest(Protocol.HYBRID))
    assert len(sent.encode()) == MAX_SIZE
    assert ConnectionRequest.decode(tpdu(sent.encode())) == sent


@given(st.binary(max_size=80), st.booleans())
def test_noise_becomes_an_error_of_ours_or_a_request(noise: bytes, framed: bool) -> None:
    try:
        found = TPKTBuffer().feed(b"\x03\0" + (4 + len(noise)).to_bytes(2, "big") + noise if framed else noise)
        if found is not None:
            ConnectionRequest.decode(found)
            ConnectionConfirm.decode(found)
    except CredSSPError:
        pass


@given(
    st.binary(max_size=40).filter(lambda token: b"\r" not in token and b"\n" not in token and token[:1] >= b" "),
    st.integers(0, 0xFFFFFFFF),
    st.integers(0, 0xF7).map(lambda flags: flags & ~8),
)
def test_any_request_survives(token: bytes, protocols: int, flags: int) -> None:
    sent = ConnectionRequest(
        routing_token=token, negotiation=NegotiationRequest(Protocol(protocols), RequestFlags(flags))
    )
    if not token.startswith(b"Cookie: mstshash="):
        assert ConnectionRequest.decode(tpdu(sent.encode())) == sent
