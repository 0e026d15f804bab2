"""KRB-CRED both ways, against impacket's ASN.1, and everything that is no KRB-CRED."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from impacket.krb5 import asn1
from pyasn1.codec.der import decoder

from credssp.errors import CredSSPError, DecodeError, LimitExceededError
from credssp.kerberos.cred import EncKrbCredPart, KrbCred, KrbCredInfo
from credssp.kerberos.values import EncryptedData, Principal
from credssp.secret import Secret
from credssp.wire.der import Tag, write_explicit, write_integer, write_sequence, write_tlv

TICKET = b"\x61\x04\x30\x02\x05\x00"
TIME = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
INFO = KrbCredInfo(
    key_type=18,
    key=Secret(bytes(range(32))),
    prealm="EXAMPLE.TEST",
    pname=Principal(1, ("alice",)),
    flags=0x60A10000,
    authtime=TIME,
    starttime=TIME,
    endtime=TIME,
    renew_till=TIME,
    srealm="EXAMPLE.TEST",
    sname=Principal(2, ("krbtgt", "EXAMPLE.TEST")),
)
CRED = KrbCred((TICKET, TICKET), EncryptedData(18, b"cipher"))


def test_krb_cred_both_ways() -> None:
    data = CRED.encode()
    assert data[0] == 0x76
    assert KrbCred.decode(data) == CRED
    with_kvno = KrbCred((), EncryptedData(17, b"", 3))
    assert KrbCred.decode(with_kvno.encode()) == with_kvno
    assert "cipher" not in repr(CRED).replace("cipher=<6 bytes>", "")


@pytest.mark.parametrize("info", [INFO, KrbCredInfo(key_type=18, key=Secret(b"k"))])
def test_encrypted_part_both_ways(info: KrbCredInfo) -> None:
    part = EncKrbCredPart((info,))
    assert EncKrbCredPart.decode(part.encode()) == part
    assert EncKrbCredPart.decode(part.encode() + bytes(7)) == part  # padding
    assert "********" in repr(part)


def test_impacket_reads_what_we_write() -> None:
    part, rest = decoder.decode(EncKrbCredPart((INFO,)).encode(), asn1Spec=asn1.EncKrbCredPart())
    assert not rest
    info = part["ticket-info"][0]
    assert bytes(info["key"]["keyvalue"]) == bytes(range(32))
    assert [str(name) for name in info["sname"]["name-string"]] == ["krbtgt", "EXAMPLE.TEST"]
    assert str(info["endtime"]) == "20260102030405Z"
    assert info["flags"].asInteger() == 0x60A10000
    empty, rest = decoder.decode(KrbCred((), CRED.enc_part).encode(), asn1Spec=asn1.KRB_CRED())
    assert not rest
    assert (int(empty["pvno"]), int(empty["msg-type"]), int(empty["enc-part"]["etype"])) == (5, 22, 18)


def test_name_is_shown_with_slashes() -> None:
    assert str(INFO.sname) == "krbtgt/EXAMPLE.TEST"


GOOD = CRED.encode()
PART = EncKrbCredPart((INFO,)).encode()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "KRB-CRED at byte 0: cut short"),
        (b"\x61" + GOOD[1:], "tag 0x61 where 0x76 belongs"),
        (GOOD + b"\0", "1 bytes left over"),
        (GOOD.replace(b"\xa0\x03\x02\x01\x05", b"\xa0\x03\x02\x01\x04"), r"KRB-CRED.pvno at byte \d+: 4 where 5"),
        (GOOD.replace(b"\x02\x01\x16", b"\x02\x01\x0e"), "KRB-CRED.msg-type .*14 where 22"),
        (GOOD.replace(TICKET, b"\x30" + TICKET[1:]), r"KRB-CRED.tickets\[0\]"),
    ],
)
def test_what_is_no_krb_cred(data: bytes, text: str) -> None:
    with pytest.raises(DecodeError, match=text) as caught:
        KrbCred.decode(data)
    assert caught.value.section == "RFC 4120 5.8.1"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x76" + PART[1:], "tag 0x76 where 0x7D belongs"),
        (PART.replace(b"20260102030405Z", b"20261302030405Z"), "authtime .*not a KerberosTime"),
        (PART.replace(b"20260102030405Z", b"2026010203040Z0"), "authtime .*not a KerberosTime"),
        (PART.replace(b"\xa3\x07\x03\x05", b"\xa3\x07\x04\x05"), "flags .*tag 0x04"),
    ],
)
def test_what_is_no_encrypted_part(data: bytes, text: str) -> None:
    with pytest.raises(DecodeError, match=text):
        EncKrbCredPart.decode(data)


def part_with_flags(contents: bytes) -> bytes:
    flags = write_explicit(3, write_tlv(Tag.BIT_STRING, contents))
    key = write_explicit(0, write_sequence(write_explicit(0, write_integer(18)), write_explicit(1, b"\x04\0")))
    return write_tlv(0x7D, write_sequence(write_explicit(0, write_sequence(write_sequence(key, flags)))))


@pytest.mark.parametrize(
    ("contents", "flags"),
    [
        (b"\0\x60\0\0\0", 0x60000000),
        (b"\x05\x60", 0x60000000),  # as many bits as are needed: minikerberos
        (b"\0", 0),  # none is
        (b"\x07\x80\0\0\x01\x80", 0x80000001),  # the 33rd has no meaning
    ],
)
def test_flags_of_another_size(contents: bytes, flags: int) -> None:
    (info,) = EncKrbCredPart.decode(part_with_flags(contents)).ticket_info
    assert info.flags == flags


@pytest.mark.parametrize("contents", [b"", b"\x08\0\0\0\0", b"\x05\x61", b"\x05"])
def test_flags_that_are_no_bit_string(contents: bytes) -> None:
    with pytest.raises(DecodeError, match="flags .*not a BIT STRING"):
        EncKrbCredPart.decode(part_with_flags(contents))


def test_too_many_tickets() -> None:
    with pytest.raises(LimitExceededError):
        KrbCred.decode(KrbCred((TICKET,) * 17, CRED.enc_part).encode())


@given(st.binary(max_size=80), st.integers(0, 300))
def test_noise_raises_our_errors_only(noise: bytes, cut: int) -> None:
    for decode in (KrbCred.decode, EncKrbCredPart.decode):
        for data in (noise, GOOD[: cut % len(GOOD)] + noise, PART[: cut % len(PART)] + noise):
            with contextlib.suppress(CredSSPError):
                decode(data)
