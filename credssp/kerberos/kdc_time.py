"""The shortest question that makes a KDC send its time: an AS-REQ without client, answered by KRB-ERROR (RFC 4120)."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from credssp.kerberos.values import Principal, read_time
from credssp.wire.der import Reader, Tag, write_explicit, write_integer, write_sequence, write_tlv

__all__ = ["KDCAnswer", "kdc_question", "read_kdc_answer", "read_kdc_time"]

_AS_REQ: Final = 0x6A
_AS_REP: Final = 0x6B
_KRB_ERROR: Final = 0x7E
_TIME: Final = 0x18
_AES: Final = (18, 17)


class KDCAnswer(NamedTuple):
    """What a KDC answered to the question.

    Attributes:
        time: its time, or None where it answers without one.
        code: error-code of its KRB-ERROR (RFC 4120 7.5.9), or None.
    """

    time: datetime | None = None
    code: int | None = None


def kdc_question(realm: str) -> bytes:
    """Return the AS-REQ, with its length in front as over TCP (RFC 4120 7.2.2)."""
    body = write_sequence(
        write_explicit(0, write_tlv(Tag.BIT_STRING, bytes(5))),
        write_explicit(1, Principal(1, ("credssp-doctor",)).encode()),
        write_explicit(2, write_tlv(Tag.GENERAL_STRING, realm.encode("utf-8"))),
        write_explicit(3, Principal(2, ("krbtgt", realm)).encode()),
        write_explicit(5, write_tlv(_TIME, b"20370913024805Z")),
        write_explicit(7, write_integer(1)),
        write_explicit(8, write_sequence(*map(write_integer, _AES))),
    )
    request = write_tlv(
        _AS_REQ,
        write_sequence(
            write_explicit(1, write_integer(5)), write_explicit(2, write_integer(10)), write_explicit(4, body)
        ),
    )
    return len(request).to_bytes(4, "big") + request


def read_kdc_answer(answer: bytes) -> KDCAnswer:
    """Return the KDC's time, and why it refused.

    Raises:
        DecodeError: this is not an answer of a KDC.
    """
    reader = Reader(answer, "RFC 4120 5.9.1")
    path = "KRB-ERROR"
    tag, start, stop = reader.tlv(0, len(answer), path)
    if tag == _AS_REP:
        return KDCAnswer()  # somebody has that name, and needs no proof
    if tag != _KRB_ERROR:
        raise reader.error(f"tag 0x{tag:02X} where 0x{_KRB_ERROR:02X} belongs", path, 0)
    names = ("pvno", "msg-type", "ctime", "cusec", "stime", "susec", "error-code", "crealm", "cname", "realm", "sname")
    fields = reader.sequence((start, stop), (*names, "e-text", "e-data"), path)
    time = read_time(reader, fields[4], f"{path}.stime")
    code = None if fields[6] is None else reader.integer(fields[6], f"{path}.error-code")
    return KDCAnswer(time, code)


def read_kdc_time(answer: bytes) -> datetime | None:
    """Return the KDC's time, or None where it answers without one.

    Raises:
        DecodeError: this is not an answer of a KDC.
    """
    return read_kdc_answer(answer).time
