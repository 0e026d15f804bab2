"""AP-REQ, AP-REP and what is in them: both ways, against impacket's ASN.1, and everything that is none."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from impacket.krb5 import asn1
from pyasn1.codec.der import decoder, encoder

from credssp.errors import CredSSPError, DecodeError, LimitExceededError
from credssp.kerberos.ap import (
    AP_REP,
    AP_REQ,
    KRB_ERROR,
    APRep,
    APReq,
    Authenticator,
    Checksum,
    EncAPRepPart,
    EncTicketPart,
    KrbError,
    Ticket,
    frame,
    unframe,
)
from credssp.kerberos.values import EncryptedData, EncryptionKey, Principal, write_flags, write_key, write_time
from credssp.secret import Secret
from credssp.wire.der import Tag, write_explicit, write_integer, write_octet_string, write_sequence, write_tlv

TIME = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEY = EncryptionKey(18, Secret(bytes(range(32))))
ALICE = Principal(1, ("alice",))
SERVICE = Principal(2, ("TERMSRV", "srv.lab.test"))
TICKET = write_tlv(
    0x61,
    write_sequence(
        write_explicit(0, write_integer(5)),
        write_explicit(1, write_tlv(Tag.GENERAL_STRING, b"LAB.TEST")),
        write_explicit(2, SERVICE.encode()),
        write_explicit(3, EncryptedData(18, b"for the service", 2).encode()),
    ),
)
REQUEST = APReq(APReq.MUTUAL_REQUIRED, TICKET, EncryptedData(18, b"authenticator"))
AUTHENTICATOR = Authenticator(
    crealm="LAB.TEST", cname=ALICE, ctime=TIME, cusec=999_999, checksum=Checksum(Checksum.GSS_API, bytes(24)),
    subkey=KEY, seq_number=0xFFFFFFFF,
)  # fmt: skip
BARE = Authenticator(crealm="LAB.TEST", cname=ALICE, ctime=TIME, cusec=0)
REPLY = EncAPRepPart(ctime=TIME, cusec=1, subkey=KEY, seq_number=2**31)
ERROR = KrbError(37, TIME, "LAB.TEST", SERVICE)


@pytest.mark.parametrize(
    ("value", "decode", "spec"),
    [
        (REQUEST, APReq.decode, asn1.AP_REQ),
        (AUTHENTICATOR, Authenticator.decode, asn1.Authenticator),
        (BARE, Authenticator.decode, asn1.Authenticator),
        (APRep(EncryptedData(17, b"x")), APRep.decode, asn1.AP_REP),
        (REPLY, EncAPRepPart.decode, asn1.EncAPRepPart),
        (EncAPRepPart(ctime=TIME, cusec=0), EncAPRepPart.decode, asn1.EncAPRepPart),
        (ERROR, KrbError.decode, asn1.KRB_ERROR),
    ],
)
def test_both_ways_and_as_another_implementation_has_it(value: Any, decode: Any, spec: Any) -> None:
    data = value.encode()
    assert decode(data) == value
    parsed, rest = decoder.decode(data, asn1Spec=spec())
    assert rest == b""
    if spec is asn1.AP_REQ:
        parsed["authenticator"]["etype"] = 17
        assert APReq.decode(encoder.encode(parsed)).authenticator.etype == 17
    if isinstance(value, Authenticator):
        assert str(parsed["crealm"]) == "LAB.TEST"
        assert int(parsed["cusec"]) == value.cusec
    if isinstance(value, KrbError):
        assert int(parsed["error-code"]) == 37


def test_ticket_and_its_contents() -> None:
    ticket = Ticket.decode(TICKET)
    assert (ticket.realm, ticket.service, ticket.enc_part.kvno) == ("LAB.TEST", "TERMSRV/srv.lab.test", 2)
    contents = EncTicketPart.decode(ticket_contents() + bytes(3))  # some types pad
    assert (contents.key, contents.crealm, contents.cname) == (KEY, "LAB.TEST", ALICE)
    assert (contents.flags, contents.starttime, contents.endtime) == (EncTicketPart.INVALID, TIME, TIME)


def ticket_contents(*authorization: bytes) -> bytes:
    return write_tlv(
        0x63,
        write_sequence(
            write_explicit(0, write_flags(EncTicketPart.INVALID)),
            write_explicit(1, write_key(KEY)),
            write_explicit(2, write_tlv(Tag.GENERAL_STRING, b"LAB.TEST")),
            write_explicit(3, ALICE.encode()),
            write_explicit(4, write_sequence(write_explicit(0, write_integer(1)))),
            write_explicit(5, write_time(TIME) or b""),
            write_explicit(7, write_time(TIME) or b""),
            *(write_explicit(10, each) for each in authorization),
        ),
    )


def authorization_data(*elements: tuple[int, bytes]) -> bytes:
    return write_sequence(
        *(
            write_sequence(write_explicit(0, write_integer(kind)), write_explicit(1, write_octet_string(data)))
            for kind, data in elements
        )
    )


def nested(depth: int) -> bytes:
    data = authorization_data((1000, b"x"))
    for _ in range(depth - 1):
        data = authorization_data((1, data))
    return data


def test_authorization_data_is_bounded() -> None:
    authenticator = AUTHENTICATOR.encode()
    for good in (nested(1), nested(4), authorization_data((1, nested(3)), *[(128, b"")] * 60)):
        EncTicketPart.decode(ticket_contents(good))
    for bad in (
        nested(5),
        nested(900),
        authorization_data(*[(128, b"")] * 65),
        authorization_data(*[(1, nested(1))] * 40),
    ):
        with pytest.raises(LimitExceededError, match="authorization-data"):
            EncTicketPart.decode(ticket_contents(bad))
        inner = authenticator[2:] if authenticator[1] < 0x80 else authenticator[3:]
        start = 2 if inner[1] < 0x80 else 3
        with pytest.raises(LimitExceededError, match="authorization-data"):
            Authenticator.decode(write_tlv(0x62, write_sequence(inner[start:], write_explicit(8, bad))))
    for junk in (write_integer(1), authorization_data((1, b"junk")), write_sequence(write_integer(1))):
        with pytest.raises(DecodeError, match="authorization-data"):
            EncTicketPart.decode(ticket_contents(junk))


def test_negative_sequence_numbers_of_old_implementations() -> None:
    data = REPLY.encode()
    number = write_explicit(3, write_integer(2**31))
    negative = write_explicit(3, write_integer(-(2**31)))
    assert number in data
    shorter = data.replace(number, negative)
    shorter = bytes((shorter[0], shorter[1] - 1, shorter[2], shorter[3] - 1)) + shorter[4:]
    assert EncAPRepPart.decode(shorter).seq_number == 2**31


def padded(message: bytes, member: int, value: int, width: int) -> bytes:
    """An Authenticator with a number of this many bytes in place of the shortest form."""
    short = write_explicit(member, write_integer(value))
    assert message.count(short) == 1
    long = write_explicit(member, write_tlv(Tag.INTEGER, value.to_bytes(width, "big")))
    before, after = message.split(short)
    inner = (before + long + after)[4:]
    return write_tlv(0x62, write_tlv(0x30, inner))


@pytest.mark.parametrize(("member", "name", "value"), [(4, "cusec", 0x1234), (7, "seq_number", 7)])
def test_numbers_of_sspi_rs_have_four_bytes_whatever_they_are(member: int, name: str, value: int) -> None:
    message = replace(BARE, **({"seq_number": 9} | {name: value})).encode()
    assert getattr(Authenticator.decode(padded(message, member, value, 4)), name) == value
    for width in (3, 5, 8):
        with pytest.raises(DecodeError, match="not the shortest form"):
            Authenticator.decode(padded(message, member, value, width))


@pytest.mark.parametrize(
    ("kind", "message"),
    [(AP_REQ, REQUEST.encode()), (AP_REP, APRep(EncryptedData(17, b"x")).encode()), (KRB_ERROR, ERROR.encode())],
)
def test_framing(kind: bytes, message: bytes) -> None:
    assert unframe(frame(kind, message)) == (kind, message)
    assert unframe(message) == (kind, message)


@pytest.mark.parametrize("data", [b"", b"NTLMSSP\0", b"\x60", b"\x60\x02\x06\x00", b"\x60\x00"])
def test_no_framing(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        assert unframe(data)[0] not in (AP_REQ, AP_REP, KRB_ERROR)


@given(st.binary(max_size=80), st.sampled_from([REQUEST.encode(), AUTHENTICATOR.encode(), REPLY.encode(), TICKET]))
def test_nothing_but_our_errors(noise: bytes, message: bytes) -> None:
    for data in (noise, message[: len(noise)], message[:10] + noise + message[10 + len(noise) :]):
        for decode in (
            APReq.decode, Authenticator.decode, APRep.decode, EncAPRepPart.decode, KrbError.decode, Ticket.decode,
            EncTicketPart.decode, unframe,
        ):  # fmt: skip
            with contextlib.suppress(CredSSPError):
                decode(data)


@pytest.mark.parametrize("decode", [APReq.decode, Authenticator.decode, APRep.decode, EncAPRepPart.decode])
def test_another_message(decode: Any) -> None:
    with pytest.raises(DecodeError, match="belongs"):
        decode(TICKET)


def test_a_ticket_without_its_service() -> None:
    with pytest.raises(DecodeError, match="realm"):
        Ticket.decode(write_tlv(0x61, write_sequence()))
