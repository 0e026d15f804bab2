"""TSCredentials and what is inside ([MS-CSSP] 2.2.1.2 to 2.2.1.2.3.1)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credssp.errors import DecodeError, LimitExceededError, LocalProtocolError
from credssp.secret import Secret
from credssp.wire.der import write_explicit, write_integer, write_octet_string, write_sequence, write_tlv
from credssp.wire.ts_credentials import CredType, TSCredentials, TSCspDataDetail, TSPasswordCreds, TSSmartCardCreds
from credssp.wire.ts_remote_guard import MAX_SUPPLEMENTAL_CREDS, TSRemoteGuardCreds, TSRemoteGuardPackageCred

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "wire.json").read_text("utf-8"))["messages"]
SAMPLE = bytes.fromhex(next(v["hex"] for v in VECTORS if v["source"] == "published"))


def octets(number: int, value: bytes) -> bytes:
    return write_explicit(number, write_octet_string(value))


def wrap(cred_type: int, inner: bytes) -> bytes:
    return write_sequence(write_explicit(0, write_integer(cred_type)), octets(1, inner))


def password(domain: str = "D", user: str = "U", secret: str = "P") -> TSPasswordCreds:
    return TSPasswordCreds(domain, user, Secret(secret))


def package(name: str = "Kerberos", buffer: bytes = b"ticket") -> TSRemoteGuardPackageCred:
    return TSRemoteGuardPackageCred(name, Secret(buffer))


# Examples


@pytest.mark.parametrize(
    ("creds", "data"),
    [
        (
            password("Domain", "User", "Password"),
            "303ba003020101a13404323030a00e040c44006f006d00610069006e00"
            "a10a04085500730065007200a2120410500061007300730077006f0072006400",
        ),
        (password("", "", ""), "3017a003020101a110040e300ca0020400a1020400a2020400"),
    ],
)
def test_password_example_both_ways(creds: TSPasswordCreds, data: str) -> None:
    message = TSCredentials(creds)
    assert message.encode().hex() == data
    decoded = TSCredentials.decode(bytes.fromhex(data))
    assert decoded == message
    assert decoded.cred_type is CredType.PASSWORD
    assert decoded.deviations == ()


def test_smart_card_sample_of_section_4_is_written_octet_by_octet() -> None:
    message = TSCredentials(
        TSSmartCardCreds(
            pin=Secret("b" * 12),
            csp_data=TSCspDataDetail(
                key_spec=1,
                reader_name="OMNIKEY CardMan 3x21 0",
                container_name="le-MSSmartcardUser-8bda019f-1266--53268",
                csp_name="Microsoft Base Smart Card Crypto Provider",
            ),
        )
    )
    data = message.encode()
    assert len(data) == 275
    assert hashlib.sha256(data).hexdigest() == "c9cae7dccaa453359aee420eb59f4d4fe6e70b92f7bf1cf2429b6ac661cd1e0b"
    assert data == SAMPLE
    decoded = TSCredentials.decode(SAMPLE)
    assert decoded == message
    assert decoded.cred_type is CredType.SMART_CARD


@pytest.mark.parametrize("count", [None, 0, 1, 3, MAX_SUPPLEMENTAL_CREDS])
def test_remote_guard_with_any_number_of_supplemental_packages(count: int | None) -> None:
    extra = None if count is None else tuple(package("NTLM", bytes((n,))) for n in range(count))
    message = TSCredentials(TSRemoteGuardCreds(package(), extra))
    assert message.cred_type is CredType.REMOTE_GUARD
    decoded = TSCredentials.decode(message.encode())
    assert decoded == message
    assert isinstance(decoded.credentials, TSRemoteGuardCreds)
    assert decoded.credentials.supplemental_creds == extra


def test_remote_guard_example() -> None:
    data = TSRemoteGuardCreds(package("K", b"t"), (package("N", b""),)).encode()
    assert data.hex() == "301fa00d300ba00404024b00a103040174a10e300c300aa00404024e00a1020400"


def test_more_supplemental_packages_than_there_are_packages_are_refused() -> None:
    data = TSCredentials(TSRemoteGuardCreds(package(), (package(),) * (MAX_SUPPLEMENTAL_CREDS + 1))).encode()
    with pytest.raises(LimitExceededError, match="more than 16"):
        TSCredentials.decode(data)


# Text


@pytest.mark.parametrize(
    "text",
    ["", "ü", "пароль", "日本語", "\U0001f511", "p" * 512, "a\0", "\0", "\ud800", "\udfffx", "\ufeffx", "p\ud83d"],
)
def test_text_stays_what_it_was(text: str) -> None:
    creds = password(text, text, text)
    decoded = TSPasswordCreds.decode(creds.encode())
    assert decoded == creds
    assert decoded.password.reveal() == text


def test_terminating_nul_of_rdesktop_is_kept() -> None:
    data = write_sequence(octets(0, b"D\0\0\0"), octets(1, b"U\0\0\0"), octets(2, b"P\0\0\0"))
    decoded = TSPasswordCreds.decode(data)
    assert (decoded.domain_name, decoded.user_name, decoded.password.reveal()) == ("D\0", "U\0", "P\0")


@given(st.binary(max_size=40).filter(lambda data: len(data) % 2 == 0))
def test_every_sequence_of_16_bit_units_survives(data: bytes) -> None:
    message = write_sequence(octets(0, data), octets(1, data), octets(2, data))
    assert TSPasswordCreds.decode(message).encode() == message


@pytest.mark.parametrize(
    ("number", "field"),
    [(0, "domainName"), (1, "userName"), (2, "password")],
)
def test_odd_number_of_octets_is_no_text(number: int, field: str) -> None:
    members = [octets(n, b"hunter2" if n == number else b"") for n in range(3)]
    data = write_sequence(*members)
    with pytest.raises(DecodeError, match="7 bytes are not UTF-16 text") as caught:
        TSCredentials.decode(wrap(1, data))
    assert caught.value.field == f"TSPasswordCreds.{field}"
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert "hunter2" not in repr(caught.value) + str(caught.value)


@pytest.mark.parametrize("size", [0, 126, 127, 128, 255, 256, 257, 65535])
def test_octet_strings_of_any_size(size: int) -> None:
    message = TSCredentials(TSRemoteGuardCreds(package(buffer=bytes(size))))
    assert TSCredentials.decode(message.encode(), max_size=70000) == message
    text = password(secret="p" * (size // 2))
    assert TSPasswordCreds.decode(text.encode(), max_size=70000) == text


# Round trips

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
maybe = st.none() | text
packages = st.builds(TSRemoteGuardPackageCred, text, st.binary(max_size=200).map(Secret))
everything = st.one_of(
    st.builds(TSPasswordCreds, text, text, text.map(Secret)),
    st.builds(
        TSSmartCardCreds,
        pin=text.map(Secret),
        csp_data=st.builds(
            TSCspDataDetail,
            key_spec=st.integers(0, 0xFFFFFFFF),
            card_name=maybe,
            reader_name=maybe,
            container_name=maybe,
            csp_name=maybe,
        ),
        user_hint=maybe,
        domain_hint=maybe,
    ),
    st.builds(TSRemoteGuardCreds, packages, st.none() | st.lists(packages, max_size=4).map(tuple)),
)


@settings(max_examples=100)
@given(everything)
def test_round_trip(creds: Any) -> None:
    message = TSCredentials(creds)
    data = message.encode()
    decoded = TSCredentials.decode(data)
    assert decoded == message
    assert decoded.deviations == ()
    assert type(creds).decode(creds.encode()) == creds
    for wrong in (data[:-1], data + b"\0", data[: len(data) // 2], b""):
        with pytest.raises(DecodeError):
            TSCredentials.decode(wrong)


# Refusals

PIN = octets(0, b"1\0")
CSP = write_sequence(write_explicit(0, write_integer(1)))
PACKAGE = write_sequence(octets(0, b"K\0"), octets(1, b"t"))


@pytest.mark.parametrize(
    ("data", "field", "text"),
    [
        (wrap(0, b""), "TSCredentials.credType", "0 is not one of 1, 2 and 6"),
        (wrap(3, password().encode()), "TSCredentials.credType", "3 is not one of"),
        (wrap(7, password().encode()), "TSCredentials.credType", "7 is not one of"),
        (wrap(-1, password().encode()), "TSCredentials.credType", "-1 is not one of"),
        (wrap(257, password().encode()), "TSCredentials.credType", "257 is not one of"),
        (write_sequence(octets(1, password().encode())), "TSCredentials.credType", "is missing"),
        (write_sequence(write_explicit(0, write_integer(1))), "TSCredentials.credentials", "is missing"),
        (wrap(1, b""), "TSPasswordCreds", "no room"),
        (wrap(1, write_sequence(octets(0, b""), octets(1, b""))), "TSPasswordCreds.password", "is missing"),
        (wrap(1, password().encode() * 2), "TSPasswordCreds", "left over"),
        (wrap(1, password().encode()) + b"\0\0", "TSCredentials", "2 bytes left over"),
        (wrap(2, write_sequence(PIN)), "TSSmartCardCreds.cspData", "is missing"),
        (wrap(2, write_sequence(write_explicit(1, CSP))), "TSSmartCardCreds.pin", "is missing"),
        (
            wrap(2, write_sequence(PIN, write_explicit(1, write_sequence()))),
            "TSSmartCardCreds.cspData.keySpec",
            "is missing",
        ),
        (
            wrap(2, write_sequence(PIN, write_explicit(1, write_sequence(write_explicit(0, write_integer(-1)))))),
            "TSSmartCardCreds.cspData.keySpec",
            "not an unsigned number of 32 bits",
        ),
        (
            wrap(2, write_sequence(PIN, write_explicit(1, write_sequence(write_explicit(0, write_integer(1 << 32)))))),
            "TSSmartCardCreds.cspData.keySpec",
            "not an unsigned number of 32 bits",
        ),
        (wrap(6, write_sequence()), "TSRemoteGuardCreds.logonCred", "is missing"),
        (
            wrap(6, write_sequence(write_explicit(1, write_sequence(PACKAGE)))),
            "TSRemoteGuardCreds.logonCred",
            "is missing",
        ),
        (
            wrap(6, write_sequence(write_explicit(0, write_sequence(octets(0, b"K\0"))))),
            "TSRemoteGuardCreds.logonCred.credBuffer",
            "is missing",
        ),
        (
            wrap(6, write_sequence(write_explicit(0, PACKAGE), write_explicit(1, write_sequence(PACKAGE, b"\x30\0")))),
            "TSRemoteGuardCreds.supplementalCreds[1].packageName",
            "is missing",
        ),
        # credType says one thing, credentials holds another
        (wrap(1, TSRemoteGuardCreds(package()).encode()), "TSPasswordCreds.domainName", "0x30 where 0x04"),
        (wrap(2, password().encode()), "TSSmartCardCreds.cspData", "0x04 where 0x30"),
        (
            wrap(6, password().encode()),
            "TSRemoteGuardCreds.logonCred",
            "0x04 where 0x30",
        ),
    ],
)
def test_malformed_credentials_are_refused(data: bytes, field: str, text: str) -> None:
    with pytest.raises(DecodeError, match=text) as caught:
        TSCredentials.decode(data)
    assert caught.value.field == field
    assert caught.value.section is not None
    assert caught.value.section.startswith("[MS-CSSP] 2.2.1.2")
    assert 0 <= caught.value.offset <= len(data)
    assert caught.value.__context__ is None


def test_offset_counts_from_the_start_of_ts_credentials() -> None:
    data = wrap(1, write_sequence(octets(0, b""), octets(1, b""), write_explicit(2, write_tlv(0x0C, b"x"))))
    with pytest.raises(DecodeError) as caught:
        TSCredentials.decode(data)
    assert data[caught.value.offset] == 0x0C


def test_limit_on_the_size() -> None:
    data = TSCredentials(password()).encode()
    assert TSCredentials.decode(data, max_size=len(data))
    with pytest.raises(LimitExceededError, match="the limit is"):
        TSCredentials.decode(data, max_size=len(data) - 1)
    for kind in (TSPasswordCreds, TSSmartCardCreds, TSRemoteGuardCreds):
        with pytest.raises(LimitExceededError, match="the limit is 3"):
            kind.decode(data, max_size=3)


@pytest.mark.parametrize("key_spec", [-1, 1 << 32])
def test_key_spec_out_of_range_is_not_written(key_spec: int) -> None:
    with pytest.raises(LocalProtocolError):
        TSCspDataDetail(key_spec=key_spec).encode()


def test_repr_shows_no_contents() -> None:
    texts = [
        repr(TSCredentials(password("DOMAINX", "USERX", "hunter2"))),
        repr(TSCredentials(TSRemoteGuardCreds(package("PACKX", b"hunter2"), (package("PACKX", b"hunter2"),)))),
        repr(
            TSSmartCardCreds(
                pin=Secret("hunter2"), csp_data=TSCspDataDetail(key_spec=1, card_name="CARDX"), user_hint="USERX"
            )
        ),
    ]
    assert not [text for text in texts if "hunter2" in text or "X" in text.replace("<", "")]
    assert texts[0] == (
        "TSCredentials(credentials=TSPasswordCreds(domain_name=<7 characters>, user_name=<5 characters>, "
        "password=Secret('********')))"
    )
