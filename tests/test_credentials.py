"""Credentials as callers see them, and their way to TSCredentials and back ([MS-CSSP] 2.2.1.2)."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credssp.credentials import (
    CCacheCredentials,
    DelegatedCredentials,
    KeytabCredentials,
    NTHashCredentials,
    PasswordCredentials,
    RemoteGuardCredentials,
    SmartCardCredentials,
    from_wire,
)
from credssp.errors import LocalProtocolError
from credssp.secret import Secret
from credssp.wire.ts_credentials import CredType, TSCredentials, TSPasswordCreds
from credssp.wire.ts_remote_guard import TSRemoteGuardCreds, TSRemoteGuardPackageCred

HASH = bytes(range(16))
CARD = SmartCardCredentials(
    pin=Secret("4711"),
    key_spec=2,
    card_name="card",
    reader_name="reader",
    container_name="container",
    csp_name="csp",
    user_hint="alice",
    domain_hint="LAB",
)
GUARD = RemoteGuardCredentials(
    package_name="Kerberos", buffer=Secret(b"ticket"), supplemental=(("NTLM", Secret(b"supplement")),)
)


@pytest.mark.parametrize(
    ("username", "domain", "expected"),
    [
        ("alice", "", ("alice", "")),
        ("alice", "LAB", ("alice", "LAB")),
        ("LAB\\alice", "", ("alice", "LAB")),
        (".\\alice", "", ("alice", ".")),
        ("\\alice", "", ("alice", "")),
        ("LAB\\a\\b", "", ("a\\b", "LAB")),
        ("alice@lab.example", "", ("alice@lab.example", "")),
    ],
)
def test_the_domain_is_split_off_where_none_is_given(username: str, domain: str, expected: tuple[str, str]) -> None:
    for creds in (
        PasswordCredentials(username, "x", domain=domain),
        NTHashCredentials(username, HASH, domain=domain),
    ):
        assert (creds.username, creds.domain) == expected


@pytest.mark.parametrize("password", ["hunter2", Secret("hunter2")])
def test_a_password_is_boxed(password: str | Secret[str]) -> None:
    creds = PasswordCredentials("alice", password)
    assert isinstance(creds.password, Secret)
    assert creds.password.reveal() == "hunter2"


@pytest.mark.parametrize(
    "creds",
    [
        PasswordCredentials("alice", "hunter2"),
        PasswordCredentials("alice", "hunter2").to_wire(),
        NTHashCredentials("alice", b"hunter2hunter2hu"),
        SmartCardCredentials(pin="hunter2"),  # type: ignore[arg-type]
        SmartCardCredentials(pin=Secret("hunter2")).to_wire(),
        RemoteGuardCredentials(package_name="NTLM", buffer=b"hunter2"),  # type: ignore[arg-type]
        RemoteGuardCredentials(
            package_name="NTLM", buffer=Secret(b""), supplemental=(("NTLM", b"hunter2"),)  # type: ignore[arg-type]
        ),
        RemoteGuardCredentials(package_name="NTLM", buffer=Secret(b"hunter2")).to_wire(),
    ],
    ids=lambda creds: type(creds).__name__,
)  # fmt: skip
def test_no_repr_shows_a_secret(creds: object) -> None:
    assert "hunter2" not in repr(creds)


def test_empty_credentials_are_empty() -> None:
    assert PasswordCredentials.empty().is_empty
    assert PasswordCredentials.empty() == PasswordCredentials.received("", Secret(""), "")


@pytest.mark.parametrize(("username", "password", "domain"), [("a", "", ""), ("", "a", ""), ("", "", "a")])
def test_credentials_with_any_part_are_not_empty(username: str, password: str, domain: str) -> None:
    assert not PasswordCredentials.received(username, Secret(password), domain).is_empty


@pytest.mark.parametrize(
    "nt_hash",
    [
        HASH,
        Secret(HASH),
        "000102030405060708090a0b0c0d0e0f",
        "000102030405060708090A0B0C0D0E0F\n",
        "aad3b435b51404eeaad3b435b51404ee:000102030405060708090a0b0c0d0e0f",
        ":000102030405060708090a0b0c0d0e0f",
    ],
)
def test_an_nt_hash_is_octets_or_hexadecimal_digits(nt_hash: bytes | str | Secret[bytes]) -> None:
    creds = NTHashCredentials("alice", nt_hash)
    assert isinstance(creds.nt_hash, Secret)
    assert creds.nt_hash.reveal() == HASH


@pytest.mark.parametrize(
    "nt_hash", [b"", HASH[:15], HASH + b"x", "", "00", "hunter2", HASH.hex() + "0", HASH.hex() + ":", Secret(b"x")]
)
def test_something_else_is_no_nt_hash(nt_hash: bytes | str | Secret[bytes]) -> None:
    with pytest.raises(LocalProtocolError, match="16 bytes") as caught:
        NTHashCredentials("alice", nt_hash)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None


def test_credentials_do_not_change() -> None:
    for creds, name in ((PasswordCredentials("a", "b"), "password"), (CARD, "pin"), (GUARD, "buffer")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(creds, name, Secret("x"))


def test_equal_credentials_are_equal() -> None:
    assert PasswordCredentials("LAB\\alice", "x") == PasswordCredentials("alice", Secret("x"), domain="LAB")
    assert PasswordCredentials("alice", "x") != PasswordCredentials("alice", "y")
    assert NTHashCredentials("alice", HASH) == NTHashCredentials("alice", HASH.hex())


@pytest.mark.parametrize(
    ("creds", "cred_type"),
    [
        (PasswordCredentials("alice", "hunter2", domain="LAB"), CredType.PASSWORD),
        (PasswordCredentials("alice@lab.example", "pässwörd \N{KEY}"), CredType.PASSWORD),
        (PasswordCredentials.empty(), CredType.PASSWORD),
        (CARD, CredType.SMART_CARD),
        (SmartCardCredentials(pin=Secret("0")), CredType.SMART_CARD),
        (SmartCardCredentials(pin=Secret(""), card_name="", user_hint=""), CredType.SMART_CARD),
        (GUARD, CredType.REMOTE_GUARD),
        (RemoteGuardCredentials(package_name="Kerberos", buffer=Secret(b"")), CredType.REMOTE_GUARD),
    ],
)
def test_credentials_survive_the_wire(creds: DelegatedCredentials, cred_type: CredType) -> None:
    message = creds.to_wire()
    assert message.cred_type is cred_type
    assert from_wire(TSCredentials.decode(message.encode())) == creds


# One U+0000 at the end is taken for a terminator, see below.
TEXT = st.text().filter(lambda text: not text.endswith("\0"))


@given(TEXT, TEXT, TEXT)
def test_any_password_credentials_survive_the_wire(username: str, password: str, domain: str) -> None:
    sent = PasswordCredentials.received(username, Secret(password), domain)
    received = from_wire(TSCredentials.decode(sent.to_wire().encode()))
    assert received == sent


def test_the_octets_of_a_password_are_those_of_the_specification() -> None:
    """Typed from [MS-CSSP] 2.2.1.2 by hand: credType 1, domain L, user a, password p in UTF-16LE."""
    message = PasswordCredentials("a", "p", domain="L").to_wire().encode()
    assert message.hex() == "301da003020101a1160414" + "3012" + "a00404024c00" + "a10404026100" + "a20404027000"


def test_a_backslash_in_a_user_name_from_the_wire_stays() -> None:
    message = TSCredentials(TSPasswordCreds("", "LAB\\alice", Secret("x")))
    received = from_wire(message)
    assert isinstance(received, PasswordCredentials)
    assert (received.username, received.domain) == ("LAB\\alice", "")
    assert received.to_wire() == message


def test_an_empty_list_of_supplemental_credentials_reads_as_none_of_them() -> None:
    message = TSCredentials(TSRemoteGuardCreds(TSRemoteGuardPackageCred("Kerberos", Secret(b"t")), ()))
    received = from_wire(message)
    assert isinstance(received, RemoteGuardCredentials)
    assert received.supplemental == ()


def test_strings_that_end_in_nul_are_received_without_it() -> None:
    sent = TSCredentials(TSPasswordCreds("LAB\0", "alice\0", Secret("secret\0")))
    received = from_wire(sent)
    assert isinstance(received, PasswordCredentials)
    assert (received.domain, received.username, received.password.reveal()) == ("LAB", "alice", "secret")


@pytest.mark.parametrize("name", ["a\0b", "a\nb", "\x7f"])
@pytest.mark.parametrize(
    "make",
    [
        lambda name: PasswordCredentials(name, "secret"),
        lambda name: PasswordCredentials("alice", "secret", domain=name),
        lambda name: PasswordCredentials("alice", name),
        lambda name: NTHashCredentials(name, bytes(16)),
        lambda name: CCacheCredentials(name),
        lambda name: CCacheCredentials("c", name),
        lambda name: KeytabCredentials("k", name),
    ],
)
def test_control_characters_are_refused_where_they_are_given(make, name):
    with pytest.raises(LocalProtocolError, match="control character"):
        make(name)


@pytest.mark.parametrize(("user", "domain", "what"), [("a" * 1025, "LAB", "username"), ("alice", "a" * 1025, "domain")])
def test_names_have_at_most_1024_characters(user, domain, what):
    with pytest.raises(LocalProtocolError, match=f"the {what} has 1025 characters; at most 1024"):
        PasswordCredentials(user, "secret", domain=domain)
    assert PasswordCredentials(user[:1024], "secret", domain=domain[:1024])


def test_name_that_the_locale_cannot_write_is_refused_and_says_so():
    for make in (PasswordCredentials, NTHashCredentials):
        with pytest.raises(LocalProtocolError, match="encoding of this locale"):
            make("j\udcfcrgen", "00" * 16)


def test_random_password_of_a_computer_is_taken_as_it_is():
    password = b"\x01\x00\xd8\x00\x41\x00".decode("utf-16-be", "surrogatepass") + "\ud800\x01"
    assert PasswordCredentials("PC$", password).password.reveal() == password
