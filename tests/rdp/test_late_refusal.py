"""What comes after the credentials: an errorCode however it is split, a close, and what is neither."""

from __future__ import annotations

import pytest

from credssp.errors import CredSSPError, PeerClosedError, PeerRefusedError
from credssp.rdp import Approach, AuthorizationRequired, EarlyUserAuthorization, LoginRefusedError, NLAClient, NLAServer
from credssp.rdp.late_refusal import LateRefusal
from credssp.rdp.mcs import PROVIDER_INITIATED
from credssp.rdp.negotiation import Protocol
from credssp.status import NTStatus
from credssp.wire.ts_request import TSRequest
from tests.rdp.test_logins import client, exchange, server

HYBRID = Protocol.HYBRID
EXPIRED = NTStatus.STATUS_PASSWORD_EXPIRED
REFUSAL = TSRequest(6, error_code=EXPIRED).encode()
TPKT = b"\x03\0\0\x09\x02\xf0\x80\x7f\x66"


def authenticated(c: NLAClient, s: NLAServer) -> NLAServer:
    """Go on until the server has the credentials and has not said anything about them."""
    c.start()
    while not any(isinstance(event, AuthorizationRequired) for event in s.receive(c.data_to_send())):
        c.receive(s.data_to_send())
    return s


def say(s: NLAServer, data: bytes) -> bytes:
    assert s.context is not None
    return s.context.wrap(data)


# The reader alone


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 1 << 10])
def test_an_error_code_is_found_however_it_is_split(piece: int) -> None:
    late = LateRefusal()
    found = [late.feed(REFUSAL[at : at + piece]) for at in range(0, len(REFUSAL), piece)]
    assert [refusal is not None for refusal in found] == [False] * (len(found) - 1) + [True]
    assert found[-1] is not None
    assert found[-1].ntstatus == EXPIRED
    assert late.decided


def test_a_length_that_is_not_the_shortest_is_read() -> None:
    body = REFUSAL[2:]
    refusal = LateRefusal().feed(b"\x30\x82" + len(body).to_bytes(2, "big") + body)
    assert refusal is not None
    assert refusal.ntstatus == EXPIRED


@pytest.mark.parametrize(
    "data",
    [TPKT, b"\0\0\0\0", b"0123456789", b"\x30\x80", TSRequest(6).encode(), TSRequest(6, error_code=0).encode()],
)
def test_anything_else_is_not_a_refusal_and_is_known_at_once(data: bytes) -> None:
    late = LateRefusal()
    assert late.feed(data) is None
    assert late.decided


def test_a_message_over_the_limit_is_not_waited_for() -> None:
    late = LateRefusal(64)
    assert late.feed(b"\x30\x82\x10\x00\xa0\x03\x02\x01\x06") is None
    assert late.decided


# Where the Early User Authorization Result is due


@pytest.mark.parametrize("piece", [1, 5, 1 << 10])
def test_error_code_in_place_of_the_authorization_result(piece: int) -> None:
    c = client()
    s = authenticated(c, server())
    with pytest.raises(PeerRefusedError) as caught:
        for at in range(0, len(REFUSAL), piece):
            c.receive(say(s, REFUSAL[at : at + piece]))
    assert caught.value.ntstatus == EXPIRED
    assert caught.value.mechanism == "ntlm"
    assert c.accepted is False
    assert c.context.mechanism == "ntlm"


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 9])
def test_a_close_inside_the_error_code_is_a_refusal_too(cut: int) -> None:
    c = client()
    s = authenticated(c, server())
    c.receive(say(s, REFUSAL[:cut]))
    with pytest.raises(LoginRefusedError):
        c.receive_eof()


def test_the_authorization_result_is_read_byte_by_byte() -> None:
    c = client()
    s = authenticated(c, server())
    for byte in EarlyUserAuthorization.AUTHZ_SUCCESS.encode():
        assert not c.complete
        c.receive(say(s, bytes((byte,))))
    assert c.accepted is True


def test_error_code_in_place_of_the_confirm_inside_tls() -> None:
    c = client(approach=Approach.DIRECT)
    s = authenticated(c, server())
    with pytest.raises(PeerRefusedError) as caught:
        for byte in REFUSAL:
            c.receive(say(s, bytes((byte,))))
    assert caught.value.ntstatus == EXPIRED


def test_a_close_in_place_of_the_confirm_inside_tls_is_a_refusal() -> None:
    c = client(approach=Approach.DIRECT)
    authenticated(c, server())
    with pytest.raises(LoginRefusedError):
        c.receive_eof()


# HYBRID: the login is complete, and nobody has said yes


def hybrid() -> tuple[NLAClient, NLAServer]:
    c, s = client(protocols=HYBRID), server(protocols=HYBRID)
    exchange(c, s)
    assert c.complete
    return c, s


def test_a_login_over_hybrid_is_accepted_when_the_server_says_something() -> None:
    c, s = hybrid()
    assert c.accepted is None
    assert c.unwrap(s.wrap(TPKT)) == TPKT
    assert c.accepted is True
    c.receive_eof()  # the end of a session


def test_a_close_straight_after_the_credentials_is_a_refusal() -> None:
    c, _ = hybrid()
    with pytest.raises(LoginRefusedError, match="the password is right") as caught:
        c.receive_eof()
    assert caught.value.refused
    assert caught.value.ntstatus is None
    assert caught.value.mechanism == "ntlm"
    assert c.accepted is False
    c.receive_eof()  # told once


def test_an_alert_straight_after_the_credentials_is_a_refusal() -> None:
    c, s = hybrid()
    assert s.context is not None
    with pytest.raises(LoginRefusedError, match="TLS alert"):
        c.unwrap(s.context._channel.abort())
    assert c.accepted is False


@pytest.mark.parametrize("piece", [1, 1 << 10])
def test_an_error_code_straight_after_the_credentials_is_a_refusal(piece: int) -> None:
    c, s = hybrid()
    with pytest.raises(PeerRefusedError) as caught:
        for at in range(0, len(REFUSAL), piece):
            c.unwrap(s.wrap(REFUSAL[at : at + piece]))
    assert caught.value.ntstatus == EXPIRED
    assert c.accepted is False


def test_what_the_session_yields_is_never_held_back() -> None:
    c, s = hybrid()
    assert b"".join(c.unwrap(s.wrap(bytes((byte,)))) for byte in b"0123") == b"0123"
    assert c.accepted is True


def test_a_client_that_left_first_was_not_refused() -> None:
    c, _ = hybrid()
    c.shutdown()
    c.receive_eof()
    assert c.accepted is None


def test_a_server_that_has_nothing_to_say_says_so_before_it_closes() -> None:
    c, s = hybrid()
    assert c.unwrap(s.shutdown()) == PROVIDER_INITIATED
    assert c.peer_closed
    assert c.accepted is True


def spoken(s: NLAServer) -> bytes:
    return s.wrap(TPKT) + s.shutdown()


def refusing(s: NLAServer) -> bytes:
    with pytest.raises(CredSSPError) as caught:
        s.authorize(EarlyUserAuthorization.AUTHZ_ACCESS_DENIED)
    return caught.value.token


def test_a_server_that_spoke_just_closes() -> None:
    c, s = hybrid()
    assert c.unwrap(spoken(s)) == TPKT


def test_a_server_that_refuses_just_closes() -> None:
    c, s = client(protocols=HYBRID), server(protocols=HYBRID)
    authenticated(c, s)
    closing = refusing(s)
    assert c.unwrap(closing) == b""
    with pytest.raises(LoginRefusedError):
        c.receive_eof()


def test_a_server_whose_channel_failed_still_shuts_down() -> None:
    c, s = hybrid()
    damaged = bytearray(c.wrap(b"x"))
    damaged[-1] ^= 1
    with pytest.raises(CredSSPError):
        s.unwrap(bytes(damaged))
    assert s.shutdown() == b""


# The mechanism and who said no, after failures of every kind


def test_a_check_of_ours_is_not_a_refusal_and_names_the_mechanism() -> None:
    c, s = client(protocols=HYBRID, min_version=6), server(max_version=5, protocols=HYBRID)
    with pytest.raises(CredSSPError) as caught:
        exchange(c, s)
    assert not caught.value.refused
    assert caught.value.mechanism == "ntlm"
    assert c.accepted is None


def test_a_close_after_the_first_token_is_not_a_refusal() -> None:
    c, s = client(), server()
    c.start()
    while c.context.version is None and not c._begun:
        s.receive(c.data_to_send())
        c.receive(s.data_to_send())
    with pytest.raises(PeerClosedError) as caught:
        c.receive_eof()
    assert not caught.value.refused
    assert caught.value.mechanism == "ntlm"
