"""What is forgiven, what is not, and that everything forgiven is reported (rules CSSP-TSREQ-04 to -10, -24)."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyasn1.codec.ber import decoder as ber_decoder

from credssp.errors import CredSSPError, DecodeError
from credssp.secret import Secret
from credssp.wire import tolerant, ts_request
from credssp.wire.der import write_explicit, write_integer, write_octet_string, write_sequence, write_tlv
from credssp.wire.tolerant import Deviation
from credssp.wire.ts_credentials import TSCredentials, TSPasswordCreds, TSSmartCardCreds
from credssp.wire.ts_remote_guard import TSRemoteGuardCreds
from credssp.wire.ts_request import TSRequest
from tests.asn1 import schema

VERSION = write_explicit(0, write_integer(6))


def long_tlv(tag: int, contents: bytes, octets: int) -> bytes:
    """Write a length in this many bytes, whether they are needed or not."""
    return bytes((tag, 0x80 | octets)) + len(contents).to_bytes(octets, "big") + contents


def rdesktop_tlv(tag: int, contents: bytes) -> bytes:
    """Write like rdesktop: ``82 hh ll`` from 128 up."""
    return write_tlv(tag, contents) if len(contents) < 0x80 else long_tlv(tag, contents, 2)


def rdesktop_request(token: bytes, pub_key_auth: bytes) -> bytes:
    tokens = rdesktop_tlv(0x30, rdesktop_tlv(0x30, rdesktop_tlv(0xA0, rdesktop_tlv(0x04, token))))
    return rdesktop_tlv(
        0x30,
        b"\xa0\x04\x02\x02\x00\x02" + rdesktop_tlv(0xA1, tokens) + rdesktop_tlv(0xA3, rdesktop_tlv(0x04, pub_key_auth)),
    )


def test_request_of_rdesktop_is_read() -> None:
    data = rdesktop_request(b"t" * 150, b"k" * 200)
    request = TSRequest.decode(data)
    assert request == TSRequest(2, nego_tokens=(b"t" * 150,), pub_key_auth=b"k" * 200)
    assert Deviation("TSRequest.version", 8, "number written in 2 bytes, not the shortest form") in request.deviations
    offsets = [deviation.offset for deviation in request.deviations]
    assert offsets == sorted(offsets)
    # [1], SEQUENCE OF, SEQUENCE, [0], OCTET STRING; [3], OCTET STRING; and the number
    assert len(request.deviations) == 8
    assert request.encode() != data
    assert TSRequest.decode(request.encode()).deviations == ()


def test_credentials_of_rdesktop_are_read() -> None:
    name = ("x" * 70 + "\0").encode("utf-16-le")
    creds = b"".join(rdesktop_tlv(0xA0 + n, rdesktop_tlv(0x04, name)) for n in range(3))
    inner = rdesktop_tlv(0x30, creds)
    data = rdesktop_tlv(0x30, b"\xa0\x04\x02\x02\x00\x01" + rdesktop_tlv(0xA1, rdesktop_tlv(0x04, inner)))
    message = TSCredentials.decode(data)
    assert message == TSCredentials(TSPasswordCreds("x" * 70 + "\0", "x" * 70 + "\0", Secret("x" * 70 + "\0")))
    fields = {deviation.field for deviation in message.deviations}
    assert fields >= {"TSCredentials.credType", "TSPasswordCreds", "TSPasswordCreds.password"}
    for deviation in message.deviations:
        if "length" in deviation.what:  # the offsets count from the start of TSCredentials, inside and outside
            assert data[deviation.offset + 1] in (0x81, 0x82)


@pytest.mark.parametrize("octets", [1, 2, 3])
def test_outer_length_that_is_too_long(octets: int) -> None:
    request = TSRequest.decode(long_tlv(0x30, VERSION, octets))
    assert request == TSRequest(6)
    what = f"length 5 written in {octets + 1} bytes, not the shortest form"
    assert request.deviations == (Deviation("TSRequest", 0, what),)


@pytest.mark.parametrize(
    ("number", "value"), [(b"\0\6", 6), (b"\0\0\0\0\0\0\0\6", 6), (b"\0\0", 0), (b"\0\0\xff", 255), (b"\0\x7f", 127)]
)
def test_version_that_is_too_long(number: bytes, value: int) -> None:
    request = TSRequest.decode(write_sequence(write_explicit(0, write_tlv(0x02, number))))
    assert request.version == value
    (deviation,) = request.deviations
    assert deviation.field == "TSRequest.version"
    assert deviation.offset == 6


def test_version_behind_nego_tokens() -> None:
    tokens = write_explicit(1, write_sequence(write_sequence(write_explicit(0, write_octet_string(b"tok")))))
    nonce = write_explicit(5, write_octet_string(bytes(32)))
    request = TSRequest.decode(write_sequence(nonce, tokens, VERSION))
    assert request == TSRequest(6, nego_tokens=(b"tok",), client_nonce=bytes(32))
    assert [deviation.what for deviation in request.deviations] == ["member [1] after [5]", "member [0] after [5]"]


def test_empty_list_survives_the_rewriting() -> None:
    request = TSRequest.decode(bytes.fromhex("300ca00402020006a10430820000"))
    assert request == TSRequest(6, nego_tokens=())


@pytest.mark.parametrize("number", [6, 7, 30])
def test_unknown_member_of_a_newer_version_is_passed_over_and_reported(number: int) -> None:
    unknown = write_explicit(number, b"whatever \x30\x80 this is")
    data = write_sequence(VERSION, unknown)
    request = TSRequest.decode(data)
    assert request == TSRequest(6)
    assert request.deviations == (Deviation("TSRequest", 7, f"unknown member [{number}], ignored"),)


@pytest.mark.parametrize(
    "data",
    [
        write_sequence(VERSION, write_explicit(6, b""), write_explicit(6, b"")),
        write_sequence(VERSION, write_explicit(6, b""), VERSION),
        write_sequence(write_explicit(6, b"")),
        write_sequence(VERSION, b"\xa6\x80\x00\x00"),
        write_sequence(VERSION, b"\xa6\x05\x00"),
        write_sequence(VERSION, b"\x86\x00", write_explicit(7, b"")),
        write_sequence(VERSION, b"\xbf\x20\x00"),
    ],
)
def test_unknown_member_excuses_nothing_else(data: bytes) -> None:
    with pytest.raises(DecodeError):
        TSRequest.decode(data)


@pytest.mark.parametrize("cls", [TSPasswordCreds, TSSmartCardCreds, TSRemoteGuardCreds])
def test_credentials_forgive_order_and_unknown_members(
    cls: type[TSPasswordCreds] | type[TSSmartCardCreds] | type[TSRemoteGuardCreds],
) -> None:
    text = write_octet_string(b"x\0")
    package = write_sequence(write_explicit(1, text), write_explicit(0, text))
    members = {
        TSPasswordCreds: (text, text, text),
        TSSmartCardCreds: (text, write_sequence(write_explicit(9, b""), write_explicit(0, b"\2\2\0\1")), text, text),
        TSRemoteGuardCreds: (package, write_sequence(package, package)),
    }[cls]
    shuffled = write_sequence(
        write_explicit(8, b"new"), *(write_explicit(n, member) for n, member in reversed(list(enumerate(members))))
    )
    decoded = cls.decode(shuffled, origin=1000)
    assert all(deviation.offset >= 1000 for deviation in decoded.deviations)
    again = cls.decode(decoded.encode())
    assert again == decoded
    assert not again.deviations


@pytest.mark.parametrize("code", [0x80000000, 0xFFFF8000, 0xFFFFFF80, 0xFF800000, 0, 0x7FFFFFFF])
def test_error_codes_that_pyasn1_would_write_too_long(code: int) -> None:
    request = TSRequest(6, error_code=code)
    assert TSRequest.decode(long_tlv(0x30, request.encode()[2:], 3)) == request


# What the rewriting must not hide


def test_semantic_refusal_after_the_rewriting_keeps_the_first_offset() -> None:
    data = write_sequence(write_explicit(5, write_octet_string(bytes(32))), write_explicit(0, b"\2\2\xff\xff"))
    with pytest.raises(DecodeError, match="negative") as caught:
        TSRequest.decode(data)
    assert caught.value.field == "TSRequest.version"
    assert data[caught.value.offset : caught.value.offset + 2] == b"\2\2"
    assert caught.value.__context__ is None


def test_unsigned_error_code_is_reported_beside_the_rest() -> None:
    data = write_sequence(write_explicit(4, bytes.fromhex("020500c000006d")), VERSION)
    request = TSRequest.decode(data)
    assert request.error_code == 0xC000006D
    order, unsigned = sorted(request.deviations, key=lambda deviation: deviation.what)[::-1]
    assert {order.what, unsigned.what} == {
        "member [0] after [4]",
        "an NTSTATUS written unsigned, in five bytes",
    }
    assert data[next(d for d in request.deviations if "unsigned" in d.what).offset] == 0x02


def test_a_second_refusal_chains_nothing() -> None:
    with pytest.raises(DecodeError, match="tag 0x05 where 0x04 belongs") as caught:
        TSRequest.decode(bytes.fromhex("300aa00402020006a2020500"))
    assert caught.value.offset == 10
    assert caught.value.__context__ is None


def test_a_message_is_read_a_second_time_only_when_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = tolerant.TolerantReader
    monkeypatch.setattr(ts_request, "TolerantReader", lambda data, section: seen.append(data) or real(data, section))
    TSRequest.decode(TSRequest(6).encode())
    assert seen == []
    TSRequest.decode(bytes.fromhex("3006a00402020006"))
    assert len(seen) == 1


@pytest.mark.parametrize(
    "data",
    [
        write_sequence(VERSION, b"\xa2\x02\x24\x00"),  # constructed OCTET STRING
        b"\x30\x80" + VERSION + b"\x00\x00",  # indefinite
        write_sequence(write_explicit(0, write_tlv(0x02, b"\x7f" * 60000))),  # an INTEGER that takes time to print
        b"\xa0\x82\xff\xff" * 10000,  # deep nesting
        write_sequence(VERSION, VERSION),
        write_sequence(write_explicit(0, write_integer(-1))),
    ],
)
def test_hostile_messages_are_refused_by_both_readers(data: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        TSRequest.decode(data)
    assert caught.value.__context__ is None


def test_deep_nesting_inside_an_unknown_member_is_not_walked() -> None:
    nested = b""
    for _ in range(2000):
        nested = write_tlv(0x30, nested)
    assert TSRequest.decode(write_sequence(VERSION, write_explicit(6, nested))).version == 6


def test_pyasn1_is_not_imported_for_der_nor_for_ber() -> None:
    code = (
        "import sys\n"
        "from credssp.wire.ts_request import TSRequest\n"
        "from credssp.wire.ts_credentials import TSCredentials\n"
        "TSRequest.decode(bytes.fromhex('3005a003020106'))\n"
        "TSRequest.decode(bytes.fromhex('3006a00402020006'))\n"
        "assert not [name for name in sys.modules if name.startswith('pyasn1')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# Anything may be written longer than needed, anywhere: the message stays the same

octets = st.none() | st.binary(max_size=200)
requests = st.builds(
    TSRequest,
    st.integers(0, 300),
    nego_tokens=st.none() | st.lists(st.binary(max_size=100), max_size=3).map(tuple),
    auth_info=octets,
    pub_key_auth=octets,
    error_code=st.none() | st.integers(0, 0xFFFFFFFF),
    client_nonce=octets,
)


@settings(max_examples=80, deadline=None)
@given(requests, st.data())
def test_ber_of_any_shape_reads_like_der(request_: TSRequest, data: st.DataObject) -> None:
    def tlv(tag: int, contents: bytes) -> bytes:
        octets = data.draw(st.sampled_from([0, 0, 0, 2, 3]))
        return long_tlv(tag, contents, octets) if octets else write_tlv(tag, contents)

    def integer(value: int) -> bytes:
        contents = write_integer(value)[2:]
        pad = b"\xff" if value < 0 else b"\0"
        return tlv(0x02, pad * data.draw(st.integers(0, 3)) + contents)

    members = {0: tlv(0xA0, integer(request_.version))}
    if request_.nego_tokens is not None:
        items = [tlv(0x30, tlv(0xA0, tlv(0x04, token))) for token in request_.nego_tokens]
        members[1] = tlv(0xA1, tlv(0x30, b"".join(items)))
    for number, value in ((2, request_.auth_info), (3, request_.pub_key_auth), (5, request_.client_nonce)):
        if value is not None:
            members[number] = tlv(0xA0 + number, tlv(0x04, value))
    if request_.error_code is not None:
        code = request_.error_code
        members[4] = tlv(0xA4, integer(code - (1 << 32) if code >> 31 else code))
    # In order and without unknown members it is BER, which pyasn1 reads as we do.
    ordered = tlv(0x30, b"".join(members[number] for number in sorted(members)))
    spec = schema.TSRequest()
    theirs, rest = ber_decoder.decode(ordered, asn1Spec=spec)
    assert (rest, theirs) == (b"", ber_decoder.decode(request_.encode(), asn1Spec=spec)[0])
    assert TSRequest.decode(ordered) == request_
    if data.draw(st.booleans()):
        members[6] = tlv(0xA0 + data.draw(st.integers(6, 30)), b"new")
    encoded = tlv(0x30, b"".join(data.draw(st.permutations(list(members.values())))))
    decoded = TSRequest.decode(encoded)
    assert decoded == request_
    assert bool(decoded.deviations) == (encoded != request_.encode())


# Mutations

SEEDS = [
    TSRequest(6, nego_tokens=(b"t" * 40,), pub_key_auth=b"k" * 48, client_nonce=bytes(32)).encode(),
    TSRequest(6, error_code=0xC000006D).encode(),
    rdesktop_request(b"t" * 130, b"k" * 20),
    TSCredentials(TSPasswordCreds("D", "U", Secret("P"))).encode(),
    write_sequence(
        write_explicit(0, write_integer(2)),
        write_explicit(1, write_octet_string(bytes.fromhex("300fa0040402 3100a107 3005a003020101".replace(" ", "")))),
    ),
    write_sequence(
        write_explicit(0, write_integer(6)),
        write_explicit(1, write_octet_string(bytes.fromhex("300fa00d300ba00404024b00a103040174"))),
    ),
]


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(SEEDS),
    st.lists(
        st.tuples(st.sampled_from(["set", "insert", "delete", "double"]), st.integers(0, 400), st.integers(0, 255)),
        max_size=6,
    ),
)
def test_nothing_but_our_errors_leaves_whatever_comes_in(seed: bytes, changes: list[tuple[str, int, int]]) -> None:
    data = bytearray(seed)
    for kind, position, octet in changes:
        position %= len(data) + 1
        if kind == "set" and position < len(data):
            data[position] = octet
        elif kind == "insert":
            data.insert(position, octet)
        elif kind == "delete":
            del data[position : position + 1 + octet % 4]
        elif kind == "double":
            data[position:position] = data[position : position + octet]
    for decode in (TSRequest.decode, TSCredentials.decode, TSSmartCardCreds.decode, TSRemoteGuardCreds.decode):
        try:
            message = decode(bytes(data))
        except CredSSPError as error:
            assert error.__context__ is None
        else:
            assert decode(message.encode()) == message
