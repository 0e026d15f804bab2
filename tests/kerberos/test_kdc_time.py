from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from impacket.krb5.asn1 import AS_REQ
from pyasn1.codec.der import decoder

from credssp.errors import CredSSPError, DecodeError
from credssp.kerberos.kdc_time import kdc_question, read_kdc_time
from credssp.wire.der import Tag, write_explicit, write_integer, write_sequence, write_tlv


def krb_error(time: bytes, *, tag: int = 0x7E) -> bytes:
    return write_tlv(
        tag,
        write_sequence(
            write_explicit(0, write_integer(5)),
            write_explicit(1, write_integer(30)),
            write_explicit(4, write_tlv(0x18, time)),
            write_explicit(5, write_integer(0)),
            write_explicit(6, write_integer(6)),
            write_explicit(9, write_tlv(Tag.GENERAL_STRING, b"LAB.TEST")),
        ),
    )


def test_impacket_reads_the_question() -> None:
    question = kdc_question("LAB.TEST")
    assert int.from_bytes(question[:4], "big") == len(question) - 4
    message, rest = decoder.decode(question[4:], asn1Spec=AS_REQ())
    assert rest == b""
    assert str(message["req-body"]["realm"]) == "LAB.TEST"
    assert [int(etype) for etype in message["req-body"]["etype"]] == [18, 17]


def test_time_in_the_answer() -> None:
    assert read_kdc_time(krb_error(b"20260102030405Z")) == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert read_kdc_time(b"\x6b\0") is None


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400", krb_error(b"now"), krb_error(b"20260102030405Z", tag=0x7C)])
def test_what_is_no_answer(answer: bytes) -> None:
    with pytest.raises(DecodeError, match="KRB-ERROR"):
        read_kdc_time(answer)


@given(st.binary(max_size=60))
def test_noise_raises_our_errors_only(noise: bytes) -> None:
    good = krb_error(b"20260102030405Z")
    for data in (noise, good[: len(noise)] + noise):
        with contextlib.suppress(CredSSPError):
            read_kdc_time(data)
