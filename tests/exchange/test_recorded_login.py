"""What a recorded login says: versions, nonce, tokens, and what opens with the account's password."""

from __future__ import annotations

from pathlib import Path

import pytest

from credssp.exchange.account import LogonAccount
from credssp.exchange.binding_check import Key
from credssp.exchange.fixture import Fixture, load_all, login_of
from credssp.exchange.opening import LogonSecrets, open_login
from credssp.exchange.recorded_login import RecordedLogin, Sender, inner_token
from credssp.spnego import OID, NegTokenInit, NegTokenResp
from credssp.wire.ts_request import TSRequest

FIXTURES = load_all(Path(__file__).parents[2] / "fixtures")
NTLM = [
    each
    for each in FIXTURES
    if each.manifest["exchange"]["mechanism"] == "ntlm" and each.manifest["outcome"] == "accepted"
]


def login(*messages: tuple[Sender, TSRequest | bytes]) -> RecordedLogin:
    return RecordedLogin(
        (sender, message if isinstance(message, bytes) else message.encode()) for sender, message in messages
    )


def test_the_effective_version_is_the_lower_one_and_none_before_both_have_spoken() -> None:
    assert login(("client", TSRequest(6))).version is None
    assert login(("client", TSRequest(6)), ("server", TSRequest(4))).version == 4
    assert login(("client", TSRequest(96)), ("server", TSRequest(300))).version == 6


def test_the_nonce_is_that_beside_pub_key_auth_else_the_first() -> None:
    early, late = bytes(32), bytes(range(32))
    first = ("client", TSRequest(6, client_nonce=early))
    assert login(first, ("client", TSRequest(6, client_nonce=late))).nonce == early  # type: ignore[arg-type]
    bound = ("client", TSRequest(6, pub_key_auth=b"x", client_nonce=late))
    assert login(first, bound).nonce == late  # type: ignore[arg-type]
    assert login(("server", TSRequest(6, client_nonce=early))).nonce is None


def test_a_message_that_cannot_be_read_keeps_its_leg() -> None:
    read = login(("client", b"\x30\x03"), ("server", TSRequest(6, error_code=1)))
    assert [(each.leg, each.message is None) for each in read.requests] == [(1, True), (2, False)]
    found = read.with_field("error_code")
    assert found is not None
    assert found.leg == 2
    assert read.of("client") == []
    assert len(read.octets("client")) == 1


def test_inner_tokens_come_out_of_spnego_and_others_are_as_they_are() -> None:
    assert inner_token(NegTokenInit((OID.NTLM,), b"first").encode()) == b"first"
    assert inner_token(NegTokenResp(response_token=b"later").encode()) == b"later"
    assert inner_token(NegTokenInit((OID.NTLM,)).encode()) == b""
    assert inner_token(b"NTLMSSP\0") == b"NTLMSSP\0"


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda each: each.name)
def test_what_is_spoken_is_what_the_manifest_says(fixture: Fixture) -> None:
    found = login_of(fixture)
    exchange = fixture.manifest["exchange"]
    assert (found.mechanism, found.wire_form) == (exchange["mechanism"], exchange["wire_form"])
    assert found.version_of("client") == exchange["client_version"]


@pytest.mark.parametrize("fixture", NTLM, ids=lambda each: each.name)
def test_a_login_that_was_accepted_opens_with_its_password(fixture: Fixture) -> None:
    found = login_of(fixture)
    assert found.account is not None
    key = Key(found.public_key, "the manifest's key")
    opened = open_login(found, LogonSecrets((found.account.password,)), key)
    assert not [check for check in opened.checks if check.verdict == "failed"]
    senders = {request.leg: request.sender for request in found.requests}
    assert {senders[leg] for leg in opened.bindings} == {"client", "server"}
    assert opened.auth_info.keys() == opened.credentials.keys() != set()


def test_another_password_opens_nothing() -> None:
    opened = open_login(login_of(NTLM[0]), LogonSecrets((LogonAccount("x", "wrong").password,)), Key(b"", ""))
    assert opened.session_key is None
    assert opened.bindings == opened.auth_info == {}


def test_an_account_shows_no_password_and_gives_its_credentials() -> None:
    account = LogonAccount("alice", "secret", "LAB")
    assert "secret" not in repr(account)
    assert account.credentials.username == "alice"
    assert account.credentials.password.reveal() == "secret"
