"""Both engines with a scripted mechanism: what is legal, what is refused, and what the peer is told."""

from __future__ import annotations

import pytest

from credssp.authority import LogonQuestion, LogonRefusal, LogonVerdict
from credssp.binding import client_value, server_value
from credssp.credentials import PasswordCredentials, RemoteGuardCredentials
from credssp.engine import (
    AnswerRequired,
    Authenticated,
    ClientEngine,
    CredentialsDelegated,
    CredentialsReceived,
    Direction,
    Send,
    ServerEngine,
    State,
)
from credssp.errors import (
    AuthenticationError,
    BindingError,
    CredSSPError,
    DecodeError,
    LimitExceededError,
    LocalProtocolError,
    PeerRefusedError,
    PolicyError,
    RemoteProtocolError,
    VersionError,
)
from credssp.policy import CredentialSource, DelegationPolicy
from credssp.secret import Secret
from credssp.server_authentication import ServerAuthentication
from credssp.status import NTStatus, SecurityStatus
from credssp.wire.ts_request import TSRequest
from tests.engine.scripted import ScriptedMechanism, client_mechanism, server_mechanism

KEY = bytes.fromhex("300602010b020103")
NONCE = bytes(range(32))
ALICE = PasswordCredentials("alice", "secret", domain="LAB")
TARGET = "TERMSRV/srv.lab.test"


def client(mechanism: ScriptedMechanism | None = None, **more: object) -> ClientEngine:
    settings: dict[str, object] = {
        "public_key": KEY,
        "credentials": ALICE,
        "policy": DelegationPolicy.for_target(TARGET),
        "target_name": TARGET,
        "random": lambda size: NONCE[:size],
    }
    return ClientEngine(mechanism or client_mechanism(), **(settings | more))  # type: ignore[arg-type]


def server(mechanism: ScriptedMechanism | None = None, **more: object) -> ServerEngine:
    return ServerEngine(mechanism or server_mechanism(), **({"public_key": KEY} | more))  # type: ignore[arg-type]


def sent(events: list[object]) -> list[TSRequest]:
    return [TSRequest.decode(event.data) for event in events if isinstance(event, Send)]


def request(version: int = 6, **fields: object) -> bytes:
    return TSRequest(version, **fields).encode()  # type: ignore[arg-type]


def bound(version: int = 6, nonce: bytes | None = NONCE, **fields: object) -> bytes:
    """The client's last token with its pubKeyAuth."""
    value = client_value(version, nonce or b"", KEY)
    return request(
        version,
        **({"nego_tokens": (b"authenticate",), "pub_key_auth": b"C:" + value, "client_nonce": nonce} | fields),
    )


def server_after_challenge(version: int = 6, **more: object) -> ServerEngine:
    engine = server(**more)
    engine.receive(request(version, nego_tokens=(b"negotiate",)))
    return engine


def server_after_binding(version: int = 6, **more: object) -> ServerEngine:
    engine = server_after_challenge(version, **more)
    engine.receive(bound(version))
    return engine


def client_after_binding(version: int = 6, **more: object) -> ClientEngine:
    engine = client(**more)
    engine.initiate()
    engine.receive(request(version, nego_tokens=(b"challenge",)))
    return engine


def auth_info() -> bytes:
    return b"C:" + ALICE.to_wire().encode()


# The exchange as it should be


@pytest.mark.parametrize("version", [2, 3, 4, 5, 6])
def test_client_and_server_complete_in_every_version(version: int) -> None:
    c = client(min_version=2, max_version=version)
    s = server(min_version=2)
    events = c.initiate()
    while not s.complete:
        for event in events:
            if isinstance(event, Send):
                replies = s.receive(event.data)
                events = [e for r in replies if isinstance(r, Send) for e in c.receive(r.data)]
    assert c.complete
    assert c.version == s.version == version
    assert (c.peer_version, s.peer_version) == (6, version)
    received = [e for e in replies if isinstance(e, CredentialsReceived)]
    assert received == [CredentialsReceived(ALICE)]


def test_the_clients_messages_leg_by_leg() -> None:
    c = client()
    assert sent(c.initiate()) == [TSRequest(6, nego_tokens=(b"negotiate",))]
    assert c.state is State.EXPECT_NEGO_TOKEN
    (message,) = sent(c.receive(request(nego_tokens=(b"challenge",))))
    assert message == TSRequest(
        6, nego_tokens=(b"authenticate",), pub_key_auth=b"C:" + client_value(6, NONCE, KEY), client_nonce=NONCE
    )
    events = c.receive(request(pub_key_auth=b"S:" + server_value(6, NONCE, KEY)))
    assert sent(events) == [TSRequest(6, auth_info=auth_info())]
    assert [type(e) for e in events] == [Authenticated, Send, CredentialsDelegated]
    assert c.complete
    assert events[2] == CredentialsDelegated(empty=False)


def test_the_servers_messages_leg_by_leg() -> None:
    s = server()
    assert sent(s.receive(request(nego_tokens=(b"negotiate",)))) == [TSRequest(6, nego_tokens=(b"challenge",))]
    events = s.receive(bound())
    assert sent(events) == [TSRequest(6, pub_key_auth=b"S:" + server_value(6, NONCE, KEY))]
    assert isinstance(events[0], Authenticated)
    assert events[0].identity is not None
    assert s.receive(request(auth_info=auth_info())) == [CredentialsReceived(ALICE)]
    assert s.complete


@pytest.mark.parametrize("peer", [7, 96, 255, 300])
def test_a_higher_version_counts_as_ours(peer: int) -> None:
    s = server_after_challenge(peer)
    assert s.version == 6
    s.receive(request(peer, nego_tokens=(b"a",), pub_key_auth=b"C:" + client_value(6, NONCE, KEY), client_nonce=NONCE))
    assert s.state is State.EXPECT_CREDENTIALS


def test_the_last_token_of_the_server_rides_beside_its_key() -> None:
    s = server(ScriptedMechanism([b"challenge", b"accepted"], wraps_after=2, server=True))
    s.receive(request(nego_tokens=(b"negotiate",)))
    (message,) = sent(s.receive(bound()))
    assert message.nego_tokens == (b"accepted",)
    mechanism = client_mechanism(completes_after=3)
    c = client(mechanism)
    c.initiate()
    c.receive(request(nego_tokens=(b"challenge",)))
    c.receive(message.encode())
    assert c.complete
    assert mechanism.received[-1] == b"accepted"


def test_a_client_finishes_its_mechanism_where_no_last_token_comes() -> None:
    mechanism = client_mechanism(completes_after=3)
    c = client(mechanism)
    c.initiate()
    c.receive(request(nego_tokens=(b"challenge",)))
    c.receive(request(pub_key_auth=b"S:" + server_value(6, NONCE, KEY)))
    assert c.complete
    assert mechanism.finished


@pytest.mark.parametrize("echo", [b"authenticate", b"whatever"])
def test_a_client_ignores_tokens_beside_the_key_when_its_mechanism_is_complete(echo: bytes) -> None:
    c = client_after_binding()
    c.receive(request(nego_tokens=(echo,), pub_key_auth=b"S:" + server_value(6, NONCE, KEY)))
    assert c.complete


def test_a_client_does_not_feed_its_own_token_back_to_a_waiting_mechanism() -> None:
    mechanism = client_mechanism(completes_after=3)
    c = client(mechanism)
    c.initiate()
    c.receive(request(nego_tokens=(b"challenge",)))
    c.receive(request(nego_tokens=(b"authenticate",), pub_key_auth=b"S:" + server_value(6, NONCE, KEY)))
    assert c.complete
    assert mechanism.received == [None, b"challenge"]


def test_a_mechanism_that_ends_with_the_servers_token_sends_its_key_alone() -> None:
    c = client(ScriptedMechanism([b"ap-req", None], wraps_after=2, server=False))
    c.initiate()
    (message,) = sent(c.receive(request(nego_tokens=(b"ap-rep",))))
    assert message.nego_tokens is None
    assert message.pub_key_auth is not None
    s = server(ScriptedMechanism([b"ap-rep"], wraps_after=1, server=True))
    s.receive(request(nego_tokens=(b"ap-req",)))
    assert s.state is State.EXPECT_CLIENT_KEY
    s.receive(message.encode())
    assert s.state is State.EXPECT_CREDENTIALS


def test_a_server_takes_the_key_in_the_message_after_the_last_token() -> None:
    s = server_after_challenge()
    assert s.receive(request(nego_tokens=(b"authenticate",))) == []
    s.receive(request(pub_key_auth=b"C:" + client_value(6, NONCE, KEY), client_nonce=NONCE))
    assert s.state is State.EXPECT_CREDENTIALS


def test_a_server_ignores_a_token_beside_a_late_key() -> None:
    s = server_after_challenge()
    s.receive(request(nego_tokens=(b"authenticate",)))
    s.receive(bound())
    assert s.state is State.EXPECT_CREDENTIALS


def test_a_nonce_in_every_message_is_fine_as_freerdp_does() -> None:
    s = server()
    s.receive(request(nego_tokens=(b"negotiate",), client_nonce=NONCE))
    s.receive(bound())
    s.receive(request(auth_info=auth_info(), client_nonce=NONCE))
    assert s.complete


def test_a_nonce_sent_early_only_is_used() -> None:
    s = server()
    s.receive(request(nego_tokens=(b"negotiate",), client_nonce=NONCE))
    s.receive(bound(client_nonce=None))
    assert s.state is State.EXPECT_CREDENTIALS


@pytest.mark.parametrize("split", ["whole", "octets"])
def test_a_stream_is_read_in_any_split_and_the_rest_handed_back(split: str) -> None:
    s = server_after_challenge()
    stream = bound() + request(auth_info=auth_info()) + b"\x03\x00\x00\x0bapplication"
    events = []
    for piece in [stream] if split == "whole" else [stream[i : i + 1] for i in range(len(stream))]:
        events += s.receive(piece)
    assert s.complete
    assert s.unused_data == b"\x03\x00\x00\x0bapplication"
    assert s.receive(b" more") == []
    assert s.unused_data == b"\x03\x00\x00\x0bapplication more"
    assert sum(isinstance(event, CredentialsReceived) for event in events) == 1


def test_missing_counts_the_octets_of_a_message_that_has_begun() -> None:
    s = server()
    assert s.missing == 0
    whole = request(nego_tokens=(b"negotiate",))
    s.receive(whole[:10])
    assert s.missing == len(whole) - 10


def test_an_observer_sees_every_message() -> None:
    seen: list[tuple[Direction, int]] = []
    c = client(observer=lambda direction, message, data: seen.append((direction, len(data))))
    c.initiate()
    c.receive(request(nego_tokens=(b"challenge",)))
    assert [direction for direction, _ in seen] == [Direction.SENT, Direction.RECEIVED, Direction.SENT]
    assert all(size > 10 for _, size in seen)


# Versions


@pytest.mark.parametrize("version", [0, 1])
def test_versions_that_do_not_exist_are_refused(version: int) -> None:
    with pytest.raises(VersionError, match="does not exist"):
        server(min_version=2).receive(request(version, nego_tokens=(b"negotiate",)))


@pytest.mark.parametrize("version", [2, 3, 4])
def test_a_server_refuses_versions_open_to_cve_2018_0886_by_default(version: int) -> None:
    with pytest.raises(VersionError, match="CVE-2018-0886") as caught:
        server().receive(request(version, nego_tokens=(b"negotiate",)))
    assert caught.value.ntstatus == NTStatus.STATUS_NOT_SUPPORTED
    assert caught.value.status is SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION
    if version == 2:
        assert caught.value.token == b""
    else:
        assert TSRequest.decode(caught.value.token) == TSRequest(6, error_code=0xC00000BB)


def test_a_client_stops_before_it_proves_anything_to_an_old_server() -> None:
    mechanism = client_mechanism()
    c = client(mechanism)
    c.initiate()
    with pytest.raises(VersionError, match="at least 5"):
        c.receive(request(2, nego_tokens=(b"challenge",)))
    assert mechanism.received == [None]
    assert c.state is State.FAILED


@pytest.mark.parametrize(("first", "second"), [(6, 5), (6, 7), (5, 6), (2, 6)])
def test_a_version_must_not_change(first: int, second: int) -> None:
    s = server_after_challenge(first, min_version=2)
    with pytest.raises(VersionError, match=f"from {first} to {second}"):
        s.receive(bound(second))


def test_a_version_change_in_the_last_message_delegates_nothing() -> None:
    s = server_after_binding()
    with pytest.raises(VersionError):
        s.receive(request(5, auth_info=auth_info()))
    assert not s.complete


@pytest.mark.parametrize(("low", "high"), [(1, 6), (2, 7), (6, 5), (0, 0)])
def test_impossible_versions_asked_for(low: int, high: int) -> None:
    with pytest.raises(LocalProtocolError, match="versions go from 2 to 6"):
        server(min_version=low, max_version=high)


# Nonce


def test_a_hashing_version_without_a_nonce_is_refused() -> None:
    """Choosing the form by the presence of the nonce would let a version-6 peer downgrade itself."""
    s = server_after_challenge(min_version=2)
    with pytest.raises(RemoteProtocolError, match="without clientNonce") as caught:
        s.receive(request(nego_tokens=(b"authenticate",), pub_key_auth=b"C:" + KEY))
    assert TSRequest.decode(caught.value.token).error_code == 0x80090308


@pytest.mark.parametrize("size", [0, 12, 31, 33])
def test_a_nonce_has_32_octets(size: int) -> None:
    s = server_after_challenge()
    with pytest.raises(RemoteProtocolError, match=f"clientNonce has {size} bytes"):
        s.receive(bound(nonce=bytes(size)))


def test_a_nonce_must_not_change() -> None:
    s = server()
    s.receive(request(nego_tokens=(b"negotiate",), client_nonce=bytes(32)))
    with pytest.raises(RemoteProtocolError, match="clientNonce changed"):
        s.receive(bound())


def test_versions_without_hash_ignore_a_nonce() -> None:
    s = server_after_challenge(4, min_version=2)
    s.receive(bound(4, client_nonce=b"short"))
    assert s.state is State.EXPECT_CREDENTIALS


def test_a_client_sends_no_nonce_to_an_old_server() -> None:
    c = client(min_version=2)
    c.initiate()
    (message,) = sent(c.receive(request(4, nego_tokens=(b"challenge",))))
    assert message.client_nonce is None
    assert message.pub_key_auth == b"C:" + KEY


# Order and contents


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (request(pub_key_auth=b"C:x", client_nonce=NONCE), "out of order"),
        (request(auth_info=b"C:x"), "out of order"),
        (request(), "without negoTokens, pubKeyAuth, authInfo or errorCode"),
        (request(client_nonce=NONCE), "without negoTokens, pubKeyAuth, authInfo or errorCode"),
        (request(nego_tokens=()), "holds no token"),
        (request(nego_tokens=(b"n",), pub_key_auth=b"C:x", client_nonce=NONCE), "before the mechanism is ready"),
        (request(nego_tokens=(b"n",), auth_info=b"C:x"), "authInfo together with"),
        (request(pub_key_auth=b"n", auth_info=b"C:x"), "authInfo together with"),
    ],
)
def test_a_server_refuses_as_first_message(message: bytes, text: str) -> None:
    s = server()
    with pytest.raises(RemoteProtocolError, match=text) as caught:
        s.receive(message)
    assert s.state is State.FAILED
    assert caught.value.token == b"" or TSRequest.decode(caught.value.token).error_code == 0x80090308


def test_credentials_before_the_key_are_refused() -> None:
    s = server_after_challenge()
    with pytest.raises(RemoteProtocolError, match="out of order"):
        s.receive(request(auth_info=auth_info()))


def test_a_second_key_is_refused() -> None:
    s = server_after_binding()
    with pytest.raises(RemoteProtocolError, match="out of order"):
        s.receive(bound())


def test_a_key_out_of_order_is_refused_by_a_client() -> None:
    c = client()
    c.initiate()
    with pytest.raises(RemoteProtocolError, match="out of order"):
        c.receive(request(pub_key_auth=b"S:x"))


def test_credentials_from_a_server_are_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="out of order"):
        client_after_binding().receive(request(auth_info=b"S:x"))


def test_a_client_whose_mechanism_ran_dry() -> None:
    c = client(ScriptedMechanism([b"one", None], wraps_after=3, server=False))
    c.initiate()
    with pytest.raises(RemoteProtocolError, match="waits for a token"):
        c.receive(request(nego_tokens=(b"x",)))


def test_a_server_whose_mechanism_ran_dry() -> None:
    s = server(ScriptedMechanism([None], wraps_after=2, server=True))
    with pytest.raises(RemoteProtocolError, match="no answer and is not complete"):
        s.receive(request(nego_tokens=(b"x",)))


def test_a_mechanism_without_a_first_token() -> None:
    c = client(ScriptedMechanism([None], wraps_after=2, server=False))
    with pytest.raises(LocalProtocolError, match="no first token"):
        c.initiate()


def test_an_endless_exchange_is_cut() -> None:
    c = client(ScriptedMechanism([b"x"] * 99, wraps_after=100, server=False))
    c.initiate()
    with pytest.raises(LimitExceededError, match="more than 10 messages"):
        for _ in range(20):
            c.receive(request(nego_tokens=(b"again",)))


def test_a_message_above_the_limit_is_refused_from_its_header() -> None:
    with pytest.raises(LimitExceededError):
        server(max_message_size=1000).receive(bytes.fromhex("308203e8"))


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\n", b"\x03\x00\x00\x13", b"\x30\x80", b"\x30\x84\x7f\xff\xff\xff"])
def test_other_protocols_are_refused_at_once(junk: bytes) -> None:
    with pytest.raises(DecodeError):
        server().receive(junk)


def test_initiate_twice() -> None:
    c = client()
    c.initiate()
    with pytest.raises(LocalProtocolError, match="initiated before"):
        c.initiate()


def test_a_client_that_was_not_initiated() -> None:
    with pytest.raises(RemoteProtocolError, match="out of order"):
        client().receive(request(nego_tokens=(b"challenge",)))


# Binding


def test_a_key_of_another_connection_is_refused_by_the_server() -> None:
    s = server_after_challenge()
    with pytest.raises(BindingError, match="pubKeyAuth of the client") as caught:
        s.receive(bound(pub_key_auth=b"C:" + client_value(6, NONCE, KEY + b"x")))
    assert TSRequest.decode(caught.value.token) == TSRequest(6, error_code=0x8009030F)


def test_a_key_of_another_connection_is_refused_by_the_client() -> None:
    c = client_after_binding()
    with pytest.raises(BindingError, match="pubKeyAuth of the server"):
        c.receive(request(pub_key_auth=b"S:" + server_value(6, NONCE, KEY + b"x")))
    assert not c.complete


@pytest.mark.parametrize("version", [2, 6])
def test_the_clients_value_is_no_answer(version: int) -> None:
    c = client_after_binding(version, min_version=2)
    with pytest.raises(BindingError):
        c.receive(request(version, pub_key_auth=b"S:" + client_value(version, NONCE, KEY)))


def test_a_reflection_is_called_by_its_name() -> None:
    c = client_after_binding()
    with pytest.raises(BindingError, match="our own pubKeyAuth back"):
        c.receive(request(pub_key_auth=b"C:" + client_value(6, NONCE, KEY)))


def test_a_key_that_does_not_decrypt() -> None:
    with pytest.raises(BindingError, match="does not open with the session key"):
        server_after_challenge().receive(bound(pub_key_auth=b"garbage"))
    with pytest.raises(BindingError, match="does not open with the session key"):
        client_after_binding().receive(request(pub_key_auth=b"garbage"))


def test_an_empty_key() -> None:
    with pytest.raises(BindingError):
        server_after_challenge().receive(bound(pub_key_auth=b""))


def test_a_hash_where_the_version_wants_the_key() -> None:
    s = server_after_challenge(4, min_version=2)
    with pytest.raises(BindingError):
        s.receive(request(4, nego_tokens=(b"a",), pub_key_auth=b"C:" + client_value(6, NONCE, KEY), client_nonce=NONCE))


# errorCode


@pytest.mark.parametrize(("version", "told"), [(2, False), (3, True), (4, True), (5, False), (6, True), (7, True)])
def test_which_versions_are_told(version: int, told: bool) -> None:
    s = server(
        server_mechanism(fails_at=1, error=AuthenticationError("no", ntstatus=NTStatus.STATUS_LOGON_FAILURE)),
        min_version=2,
    )
    s.receive(request(version, nego_tokens=(b"negotiate",)))
    with pytest.raises(AuthenticationError) as caught:
        s.receive(bound(version))
    expected = TSRequest(6, error_code=0xC000006D).encode() if told else b""
    assert caught.value.token == expected


def test_the_error_reply_holds_nothing_of_the_client() -> None:
    s = server(server_mechanism(fails_at=1))
    s.receive(request(nego_tokens=(b"negotiate",), client_nonce=NONCE))
    with pytest.raises(AuthenticationError) as caught:
        s.receive(bound())
    assert caught.value.token.hex() == "300da003020106a4060204c000006d"


@pytest.mark.parametrize("code", [0xC000006D, 0xC0000234, 0xC0000072, 0x8009030F, 0xDEADBEEF])
def test_an_error_code_ends_the_client_at_once(code: int) -> None:
    c = client_after_binding()
    with pytest.raises(PeerRefusedError) as caught:
        c.receive(request(error_code=code))
    assert caught.value.ntstatus == code
    assert f"0x{code:08X}" in str(caught.value)
    assert c.state is State.FAILED


def test_an_error_code_wins_over_echoed_fields_and_versions() -> None:
    c = client_after_binding()
    with pytest.raises(PeerRefusedError):
        c.receive(request(2, nego_tokens=(b"x",), pub_key_auth=b"C:", auth_info=b"y", error_code=0xC000006D))


def test_error_code_zero_is_no_success() -> None:
    c = client_after_binding()
    with pytest.raises(RemoteProtocolError, match="errorCode 0"):
        c.receive(request(error_code=0))


def test_a_client_that_gives_up_with_an_error_code() -> None:
    s = server_after_binding()
    with pytest.raises(RemoteProtocolError, match="0xC000006D"):
        s.receive(request(error_code=0xC000006D))
    assert s.state is State.FAILED


# Credentials and policy


def test_no_credentials_where_the_policy_says_no() -> None:
    mechanism = client_mechanism()
    c = client(mechanism, policy=DelegationPolicy.deny_all())
    with pytest.raises(PolicyError) as caught:
        c.initiate()
    assert caught.value.status is SecurityStatus.SEC_E_DELEGATION_POLICY
    assert caught.value.spn == TARGET
    assert mechanism.received == []


def test_ntlm_only_is_decided_after_the_server_was_seen() -> None:
    policy = DelegationPolicy(
        allow_fresh_credentials=DelegationPolicy.for_target(TARGET).allow_fresh_credentials, os_defaults=()
    )
    c = client(policy=policy)
    c.initiate()
    with pytest.raises(PolicyError) as caught:  # before any proof of the password is made
        c.receive(request(nego_tokens=(b"challenge",)))
    assert caught.value.status is SecurityStatus.SEC_E_POLICY_NLTM_ONLY
    trusted = client_after_binding(policy=policy, transport_authentication=ServerAuthentication.CERTIFICATE)
    trusted.receive(request(pub_key_auth=b"S:" + server_value(6, NONCE, KEY)))
    assert trusted.complete
    assert trusted.server_authentication == ServerAuthentication.CERTIFICATE | ServerAuthentication.NTLM


def test_mutual_authentication_is_demanded() -> None:
    c = client(mutual_auth=True)
    c.initiate()
    with pytest.raises(PolicyError) as caught:
        c.receive(request(nego_tokens=(b"challenge",)))
    assert caught.value.status is SecurityStatus.SEC_E_MUTUAL_AUTH_FAILED
    mechanism = client_mechanism(authentication=ServerAuthentication.KERBEROS)
    mechanism.name = "kerberos"
    kerberos = client_after_binding(mechanism=mechanism, mutual_auth=True)
    kerberos.receive(request(pub_key_auth=b"S:" + server_value(6, NONCE, KEY)))
    assert kerberos.complete


def test_empty_credentials_need_no_permission() -> None:
    c = client_after_binding(delegate=False, policy=DelegationPolicy.deny_all())
    events = c.receive(request(pub_key_auth=b"S:" + server_value(6, NONCE, KEY)))
    assert events[-1] == CredentialsDelegated(empty=True)
    (message,) = sent(events)
    assert message.auth_info == b"C:" + bytes.fromhex("3017a003020101a110040e300ca0020400a1020400a2020400")


def test_saved_credentials_ask_another_list() -> None:
    c = client(source=CredentialSource.SAVED)
    with pytest.raises(PolicyError):
        c.initiate()


def test_remote_guard_is_its_own_mode() -> None:
    c = client(delegated_credentials=RemoteGuardCredentials(package_name="Kerberos", buffer=Secret(b"ticket")))
    c.initiate()
    with pytest.raises(PolicyError):  # NTLM does not do for Remote Credential Guard
        c.receive(request(nego_tokens=(b"challenge",)))


@pytest.mark.parametrize(
    "plain",
    [b"", b"garbage", bytes.fromhex("3009a003020109a102040000"), bytes.fromhex("3017a003020101a110040e300ca0020400")],
)
def test_credentials_that_do_not_decode(plain: bytes) -> None:
    s = server_after_binding()
    with pytest.raises(DecodeError) as caught:
        s.receive(request(auth_info=b"C:" + plain))
    assert not s.complete
    assert TSRequest.decode(caught.value.token).error_code == 0x80090308


def test_credentials_that_do_not_decrypt() -> None:
    s = server_after_binding()
    with pytest.raises(RemoteProtocolError):
        s.receive(request(auth_info=b"garbage"))


# A failed exchange stays failed


def test_a_failed_engine_stays_failed() -> None:
    s = server()
    with pytest.raises(CredSSPError):
        s.receive(b"junk")
    with pytest.raises(LocalProtocolError, match="failed already"):
        s.receive(request(nego_tokens=(b"negotiate",)))
    assert s.state is State.FAILED


def test_a_failed_client_stays_failed() -> None:
    c = client(client_mechanism(fails_at=0))
    with pytest.raises(AuthenticationError):
        c.initiate()
    with pytest.raises(LocalProtocolError):
        c.initiate()
    with pytest.raises(LocalProtocolError):
        c.receive(b"")


# A server that has to ask


QUESTION = LogonQuestion(
    domain="LAB", username="alice", workstation="", server_challenge=bytes(8), nt_response=bytes(44)
)
YES = LogonVerdict(domain="LAB", username="alice", session_base_key=Secret(bytes(16)))


class Asking(ScriptedMechanism):
    """Asks about the second token."""

    def step(self, token: bytes | None) -> bytes | None:
        reply = super().step(token)
        if len(self.received) == 2:
            self.question = QUESTION
        return reply


def asking_server(**more: object) -> ServerEngine:
    mechanism = Asking([b"challenge", None], wraps_after=2, server=True)
    return server_after_challenge(mechanism=mechanism, **more)


def test_a_server_stops_with_the_question_and_goes_on_with_the_answer() -> None:
    s = asking_server()
    assert s.receive(bound()) == [AnswerRequired(QUESTION)]
    assert (s.state, s.question) == (State.AWAIT_ANSWER_WITH_KEY, QUESTION)
    events = s.answer(YES)
    assert [type(event) for event in events] == [Authenticated, Send]
    assert (s.state, s.question) == (State.EXPECT_CREDENTIALS, None)
    with pytest.raises(LocalProtocolError, match="no question"):
        s.answer(YES)


def test_a_question_about_a_token_without_key() -> None:
    s = asking_server()
    assert s.receive(request(nego_tokens=(b"authenticate",))) == [AnswerRequired(QUESTION)]
    assert s.state is State.AWAIT_ANSWER
    assert s.answer(YES) == []
    assert s.state is State.EXPECT_CLIENT_KEY


@pytest.mark.parametrize("together", [True, False])
def test_what_comes_before_the_answer_waits(together: bool) -> None:
    s = asking_server()
    early = request(auth_info=auth_info())
    for data in (bound() + early,) if together else (bound(), early):
        assert not any(isinstance(event, Send) for event in s.receive(data))
    assert s.state is State.AWAIT_ANSWER_WITH_KEY
    assert s.answer(YES)[-1] == CredentialsReceived(ALICE)
    assert s.complete


def test_what_comes_before_the_answer_is_bounded() -> None:
    s = asking_server(max_message_size=4096)
    s.receive(bound())
    early = request(auth_info=bytes(2000))
    s.receive(early + early)
    with pytest.raises(LimitExceededError, match="not answered"):
        s.receive(early)
    assert s.question is None
    with pytest.raises(LocalProtocolError):
        s.answer(YES)


def test_a_refusal_is_told_to_the_client() -> None:
    s = asking_server()
    s.receive(bound())
    with pytest.raises(AuthenticationError) as error:
        s.answer(LogonRefusal(NTStatus.STATUS_ACCOUNT_DISABLED))
    assert TSRequest.decode(error.value.token).error_code == NTStatus.STATUS_ACCOUNT_DISABLED
    assert s.state is State.FAILED
