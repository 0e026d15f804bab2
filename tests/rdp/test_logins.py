"""Both ends against one another, without a socket: every way through, everything glued or torn, every way out."""

from __future__ import annotations

from typing import Any

import pytest

import credssp
from credssp import rdp
from credssp.errors import (
    CredSSPError,
    DecodeError,
    LimitExceededError,
    LocalProtocolError,
    PeerClosedError,
    PeerRefusedError,
    RemoteProtocolError,
    TLSAlertError,
    TLSError,
    VersionError,
)
from credssp.kerberos.remote_guard_buffers import KerbTicketLogon
from credssp.rdp import (
    Approach,
    AuthorizationDeniedError,
    AuthorizationRequired,
    Completed,
    EarlyUserAuthorization,
    LoginRefusedError,
    Negotiated,
    NegotiationError,
    NLAClient,
    NLAServer,
    Protocol,
    RDPState,
    RequestFlags,
    ResponseFlags,
)
from credssp.spnego import SpnegoAcceptor
from credssp.status import NTStatus, SecurityStatus
from credssp.wire.ts_request import TSRequest

ACCOUNTS = credssp.MemoryAccounts({("LAB", "alice"): "secret"})
ALICE = credssp.PasswordCredentials("alice", "secret", domain="LAB")
WRONG = credssp.PasswordCredentials("alice", "wrong", domain="LAB")
TICKET = KerbTicketLogon(service_ticket=credssp.Secret(b"ticket"), ticket_granting_ticket=credssp.Secret(b""))
GUARD = credssp.RemoteGuardCredentials(package_name="Kerberos", buffer=TICKET.encode())
SUCCESS = EarlyUserAuthorization.AUTHZ_SUCCESS
DENIED = EarlyUserAuthorization.AUTHZ_ACCESS_DENIED
EX_ONLY = Protocol.HYBRID_EX


def client(credentials: Any = ALICE, **options: Any) -> NLAClient:
    return NLAClient(credentials, **{"host": "srv.lab.test", "mechanism": "ntlm"} | options)


def server(**options: Any) -> NLAServer:
    return NLAServer(**{"accounts": ACCOUNTS} | options)


def exchange(
    c: NLAClient, s: NLAServer, *, piece: int = 1 << 20, verdict: EarlyUserAuthorization = SUCCESS
) -> tuple[list[Any], list[Any]]:
    """Run a login; returns the events of both. Errors of the server reach the client before they are raised."""
    to_client: list[Any] = []
    to_server: list[Any] = []
    c.start()
    s.start()
    for _ in range(20):
        deliver(c.data_to_send(), s, to_server, piece, c, verdict)
        deliver(s.data_to_send(), c, to_client, piece, s, verdict)
        if c.complete and s.complete:
            break
    return to_client, to_server


def deliver(data: bytes, end: Any, events: list[Any], piece: int, other: Any, verdict: EarlyUserAuthorization) -> None:
    for start in range(0, len(data), piece):
        try:
            new = end.receive(data[start : start + piece])
            events += new
            if any(isinstance(event, AuthorizationRequired) for event in new):
                events += end.authorize(verdict)
        except CredSSPError as error:
            if error.token and other.state not in (RDPState.COMPLETE, RDPState.FAILED):
                with pytest.raises(CredSSPError) as caught:
                    other.receive(error.token)
                error.other = caught.value  # type: ignore[attr-defined]
            raise


# Logins


def test_there_is_no_selected_protocol_before_the_negotiation() -> None:
    with pytest.raises(LocalProtocolError, match="no protocol"):
        _ = server().selected_protocol


@pytest.mark.parametrize("piece", [1 << 20, 7, 1])
@pytest.mark.parametrize("approach", Approach)
@pytest.mark.parametrize("protocols", [Protocol.HYBRID, EX_ONLY | Protocol.HYBRID])
def test_login(protocols: Protocol, approach: Approach, piece: int) -> None:
    c, s = client(approach=approach), server(protocols=protocols)
    to_client, to_server = exchange(c, s, piece=piece)
    assert c.complete
    assert s.complete
    expected = EX_ONLY if EX_ONLY in protocols and approach is Approach.NEGOTIATED else Protocol.HYBRID
    assert c.selected_protocol is s.selected_protocol is expected
    assert c.authorization is s.authorization is (SUCCESS if expected is EX_ONLY else None)
    assert c.negotiated is not None
    assert c.negotiated.approach is approach
    assert [type(event) for event in to_client] == [Negotiated, Completed]
    assert [type(event) for event in to_server] == [Negotiated, AuthorizationRequired, Completed]
    required = to_server[1]
    assert required.credentials == ALICE
    assert required.identity.username == "alice"
    assert c.delegated
    assert s.request is not None
    assert s.request.cookie == "alice"
    assert s.unwrap(c.wrap(b"MCS")) == b"MCS"
    assert c.unwrap(s.wrap(b"answer")) == b"answer"
    assert (c.unused_data, s.unused_data) == (b"", b"")


@pytest.mark.parametrize("mechanism", ["auto", "negotiate", "ntlm"])
@pytest.mark.parametrize("version", [2, 4, 5, 6])
def test_every_mechanism_and_version(mechanism: str, version: int) -> None:
    c = client(mechanism=mechanism, max_version=version, min_version=2)
    s = server(min_version=2)
    exchange(c, s)
    assert s.complete
    assert s.context is not None
    assert s.context.version == version


@pytest.mark.parametrize("protocols", [Protocol.HYBRID, EX_ONLY])
def test_octets_glued_to_the_last_message_belong_to_the_application(protocols: Protocol) -> None:
    c, s = client(), server(protocols=protocols)
    c.start()
    glued = False
    while not (c.complete and s.complete):
        data = c.data_to_send()
        if c.complete and not glued:
            # HYBRID: the client goes straight on to MCS, in the flight of authInfo.
            data += c.wrap(b"early MCS")
            glued = True
        events = s.receive(data) if data else []
        for event in events:
            if isinstance(event, AuthorizationRequired):
                s.authorize(SUCCESS)
        reply = s.data_to_send()
        if s.complete and not c.complete:
            # HYBRID_EX: a server that goes on without waiting.
            reply += s.wrap(b"early server data")
        if reply:
            c.receive(reply)
    if protocols is EX_ONLY:
        assert c.unused_data == b"early server data"
        assert s.unused_data == b""
        assert s.unwrap(c.wrap(b"late")) == b"late"
    else:
        assert s.unused_data == b"early MCS"
        assert s.unwrap(c.wrap(b" and more")) == b" and more"


def test_octets_that_come_while_authorization_is_decided_are_kept() -> None:
    c, s = client(), server(protocols=Protocol.HYBRID)
    c.start()
    required: list[Any] = []
    while not required:
        required = [event for event in s.receive(c.data_to_send()) if isinstance(event, AuthorizationRequired)]
        reply = s.data_to_send()
        if reply:
            c.receive(reply)
    assert s.receive(c.wrap(b"impatient")) == []
    s.authorize(SUCCESS)
    assert s.unused_data == b"impatient"


def test_octets_that_come_while_authorization_is_decided_are_bounded() -> None:
    c, s = client(protocols=Protocol.HYBRID), server()
    c.start()
    while not c.complete:
        s.receive(c.data_to_send())
        c.receive(s.data_to_send())
    s.receive(c.data_to_send())
    for _ in range(4):
        assert s.receive(c.wrap(bytes(16384))) == []
    with pytest.raises(LimitExceededError, match="before the authorization") as caught:
        s.receive(c.wrap(b"x"))
    assert c.unwrap(caught.value.token) == b""
    assert c.peer_closed
    with pytest.raises(LocalProtocolError):
        s.authorize(SUCCESS)


def test_glued_to_the_confirm_inside_tls() -> None:
    c, s = client(approach=Approach.DIRECT), server()
    c.start()
    while not s.complete:
        for event in s.receive(c.data_to_send()):
            if isinstance(event, AuthorizationRequired):
                s.authorize(SUCCESS)
        if not s.complete:
            c.receive(s.data_to_send())
    c.receive(s.data_to_send() + s.wrap(b"server first"))
    assert c.complete
    assert c.unused_data == b"server first"


# Modes


def test_restricted_admin_is_offered_echoed_and_empty() -> None:
    c, s = client(restricted_admin=True), server()
    _, to_server = exchange(c, s)
    assert to_server[1].credentials.is_empty
    assert to_server[1].identity.username == "alice"
    assert not c.delegated
    assert s.request is not None
    assert s.request.negotiation is not None
    assert s.request.negotiation.flags == RequestFlags.RESTRICTED_ADMIN_MODE_REQUIRED
    assert c.negotiated is not None
    assert ResponseFlags.RESTRICTED_ADMIN_MODE_SUPPORTED in c.negotiated.flags


def test_restricted_admin_that_is_not_echoed_gets_nothing() -> None:
    c, s = client(restricted_admin=True), server(restricted_admin=False)
    with pytest.raises(NegotiationError, match="does not support Restricted Admin"):
        exchange(c, s)
    assert not c.delegated
    assert c.data_to_send() == b""


@pytest.fixture
def as_kerberos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the servers take NTLM for Kerberos, which needs a KDC; tests/kerberos has the real one."""
    monkeypatch.setattr(SpnegoAcceptor, "name", property(lambda _: "kerberos", lambda *_: None), raising=False)


@pytest.mark.usefixtures("as_kerberos")
def test_remote_credential_guard() -> None:
    c = client(delegated_credentials=GUARD, policy=permissive())
    s = server(remote_guard=True)
    _, to_server = exchange(c, s)
    assert to_server[1].credentials == GUARD
    assert c.delegated


def test_remote_credential_guard_needs_kerberos() -> None:
    c, s = client(delegated_credentials=GUARD, policy=permissive()), server(remote_guard=True)
    with pytest.raises(RemoteProtocolError, match="needs a login with Kerberos"):
        exchange(c, s)
    assert s.context is not None
    assert s.context.delegated_credentials is None


def test_remote_credential_guard_that_is_not_echoed_gets_nothing() -> None:
    c, s = client(delegated_credentials=GUARD, policy=permissive()), server()
    with pytest.raises(NegotiationError, match="does not support Remote Credential Guard"):
        exchange(c, s)


@pytest.mark.usefixtures("as_kerberos")
@pytest.mark.parametrize("supported", [False, True])
def test_remote_guard_buffers_that_nobody_agreed_on_are_refused(supported: bool) -> None:
    c = client(delegated_credentials=GUARD, policy=permissive(), approach=Approach.DIRECT)
    s = server(remote_guard=supported)
    with pytest.raises(RemoteProtocolError, match="that mode was not agreed on"):
        exchange(c, s)
    assert s.context is not None
    assert s.context.delegated_credentials is None


@pytest.mark.usefixtures("as_kerberos")
def test_remote_guard_buffers_of_a_client_that_did_not_ask_for_the_mode_are_refused() -> None:
    c, s = client(delegated_credentials=Unannounced(), policy=permissive()), server(remote_guard=True)
    with pytest.raises(RemoteProtocolError, match="that mode was not agreed on"):
        exchange(c, s)


class Unannounced:
    """Remote Credential Guard buffers that the client does not know for such."""

    def to_wire(self) -> Any:
        return GUARD.to_wire()


class Permissive:
    """A policy that lets Remote Credential Guard go over NTLM, which the real one never does."""

    def decide(self, *question: Any, **facts: Any) -> credssp.PolicyDecision:
        return credssp.PolicyDecision(True, SecurityStatus.SEC_E_OK, "a test", None, None)

    decide_before_connecting = decide


def permissive() -> Any:
    return Permissive()


def test_no_delegation_and_hashes_delegate_an_empty_set() -> None:
    for c in (client(delegate=False), client(credssp.NTHashCredentials("alice", HASH, domain="LAB"))):
        _, to_server = exchange(c, server())
        assert to_server[1].credentials.is_empty
        assert not c.delegated


HASH = "878d8014606cda29677a44efa1353fc7"


def test_smart_cards_are_delegated() -> None:
    card = credssp.SmartCardCredentials(pin=credssp.Secret("0000"))
    c = client(delegated_credentials=card)
    _, to_server = exchange(c, server())
    assert to_server[1].credentials == card
    assert c.delegated


def test_cookie_token_and_correlation_id() -> None:
    for options, expected in (
        ({"cookie": "x"}, ("x", None)),
        ({"cookie": ""}, (None, None)),
        ({"routing_token": b"Cookie: msts=1.2.0000"}, (None, b"Cookie: msts=1.2.0000")),
    ):
        c, s = client(**options, correlation_id=b"\x01" * 16), server()
        exchange(c, s)
        assert s.request is c.request or s.request == c.request
        assert s.request is not None
        assert (s.request.cookie, s.request.routing_token) == expected
        assert s.request.correlation is not None


# Refusals


def test_wrong_password_with_error_code() -> None:
    c, s = client(WRONG), server()
    with pytest.raises(credssp.AuthenticationError) as caught:
        exchange(c, s)
    assert caught.value.ntstatus == NTStatus.STATUS_LOGON_FAILURE
    told = caught.value.other  # type: ignore[attr-defined]
    assert isinstance(told, PeerRefusedError)
    assert told.ntstatus == NTStatus.STATUS_LOGON_FAILURE
    assert (c.state, s.state) == (RDPState.FAILED, RDPState.FAILED)


@pytest.mark.parametrize("version", [2, 5])
def test_wrong_password_without_error_code_is_called_a_refusal(version: int) -> None:
    c, s = client(WRONG, max_version=version, min_version=2), server(min_version=2)
    with pytest.raises(credssp.AuthenticationError) as caught:
        exchange(c, s)
    told = caught.value.other  # type: ignore[attr-defined]
    assert isinstance(told, LoginRefusedError)
    assert "TLS alert" in told.message
    assert told.status is SecurityStatus.SEC_E_LOGON_DENIED


def test_a_server_that_closes_after_the_proof_refused_the_login() -> None:
    c, s = client(WRONG), server(protocols=Protocol.HYBRID)
    c.start()
    with pytest.raises(credssp.AuthenticationError):
        while True:
            s.receive(c.data_to_send())
            c.receive(s.data_to_send())
    with pytest.raises(LoginRefusedError, match="without an errorCode") as caught:
        c.receive_eof()
    assert caught.value.ntstatus is None
    assert "password" in caught.value.message


def test_early_user_authorization_denied() -> None:
    c, s = client(), server()
    with pytest.raises(AuthorizationDeniedError) as caught:
        exchange(c, s, verdict=DENIED)
    told = caught.value.other  # type: ignore[attr-defined]
    assert isinstance(told, AuthorizationDeniedError)
    assert "Remote Desktop Users" in told.message
    assert told.ntstatus == NTStatus.STATUS_ACCESS_DENIED
    assert c.authorization is s.authorization is DENIED


def test_denied_where_there_is_no_result_to_send() -> None:
    c, s = client(), server(protocols=Protocol.HYBRID)
    with pytest.raises(AuthorizationDeniedError) as caught:
        exchange(c, s, verdict=DENIED)
    assert caught.value.token  # close_notify
    assert s.authorization is None


@pytest.mark.parametrize("asked", [Protocol.SSL, Protocol.RDP, Protocol.RDSTLS])
def test_a_client_without_credssp_is_told_what_is_demanded(asked: Protocol) -> None:
    s = server()
    request = rdp.ConnectionRequest(negotiation=rdp.NegotiationRequest(asked)).encode()
    with pytest.raises(NegotiationError, match="this server takes HYBRID") as caught:
        s.receive(request)
    assert caught.value.token == bytes.fromhex("030000130ed000001234000300080005000000")
    assert caught.value.failure == 5


def test_a_client_that_knows_no_negotiation_is_told_nothing() -> None:
    with pytest.raises(NegotiationError) as caught:
        server().receive(rdp.ConnectionRequest(cookie="old").encode())
    assert caught.value.token == b""


@pytest.mark.parametrize(
    ("confirm", "text"),
    [
        (rdp.ConnectionConfirm(), "nothing but standard RDP security"),
        (rdp.ConnectionConfirm(rdp.NegotiationResponse(Protocol.RDP)), "it selected RDP"),
        (rdp.ConnectionConfirm(rdp.NegotiationResponse(Protocol.SSL)), "it selected SSL"),
        (rdp.ConnectionConfirm(rdp.NegotiationResponse(Protocol.RDSTLS)), "RDSTLS, which was not requested"),
        (rdp.ConnectionConfirm(rdp.NegotiationResponse(Protocol(0x40))), "0x40, which was not requested"),
        (rdp.ConnectionConfirm(rdp.NegotiationFailure(2)), "SSL_NOT_ALLOWED_BY_SERVER, 2"),
        (rdp.ConnectionConfirm(rdp.NegotiationFailure(77)), "failure code 77"),
    ],
)
def test_servers_without_credssp(confirm: rdp.ConnectionConfirm, text: str) -> None:
    c = client()
    c.start()
    c.data_to_send()
    with pytest.raises(NegotiationError, match=text):
        c.receive(confirm.encode())
    assert c.data_to_send() == b""


def test_direct_approach_without_hybrid_in_the_request() -> None:
    c, s = client(approach=Approach.DIRECT), server()
    c._encoded_request = rdp.ConnectionRequest(negotiation=rdp.NegotiationRequest(Protocol.SSL)).encode()
    with pytest.raises(NegotiationError, match="does not ask for HYBRID") as caught:
        exchange(c, s)
    assert caught.value.failure == rdp.FailureCode.INCONSISTENT_FLAGS
    told = caught.value.other  # type: ignore[attr-defined]
    assert isinstance(told, NegotiationError)
    assert told.failure == rdp.FailureCode.INCONSISTENT_FLAGS


def test_direct_approach_can_be_switched_off() -> None:
    c = client(approach=Approach.DIRECT)
    c.start()
    with pytest.raises(RemoteProtocolError, match="TLS"):
        server(direct=False).receive(c.data_to_send())


def test_old_versions_are_refused() -> None:
    with pytest.raises(VersionError):
        exchange(client(max_version=2, min_version=2), server())


# Bad input


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.0\r\n\r\n", b"\0" * 10, b"\x80" * 70000, b"A" * 70000])
@pytest.mark.parametrize("piece", [1, 1 << 20])
def test_noise_ends_at_the_first_octet(noise: bytes, piece: int) -> None:
    c, s = client(), server()
    c.start()
    for end in (c, s):
        with pytest.raises(RemoteProtocolError, match="does not speak RDP"):
            end.receive(noise[:piece])
        assert end.state is RDPState.FAILED


@pytest.mark.parametrize("tail", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 100, b"\x15\x03\x03\x00\x02\x02\x28"])
def test_noise_behind_the_confirm_is_no_tls(tail: bytes) -> None:
    c = client()
    c.start()
    with pytest.raises(TLSError):
        c.receive(rdp.ConnectionConfirm(rdp.NegotiationResponse(Protocol.HYBRID)).encode() + tail)


def test_a_tls_alert_is_called_by_its_name() -> None:
    c = client()
    c.start()
    c.receive(rdp.ConnectionConfirm(rdp.NegotiationResponse(Protocol.HYBRID)).encode())
    with pytest.raises(TLSAlertError, match="handshake_failure"):
        c.receive(b"\x15\x03\x03\x00\x02\x02\x28")


def test_a_login_cut_anywhere_says_what_was_awaited() -> None:
    """Both ends, closed in front of each byte that the other would have sent (every 97th, and the borders)."""
    sizes = []
    c, s = client(), server()
    c.start()
    while not (c.complete and s.complete):
        data = c.data_to_send()
        sizes.append(len(data))
        for event in s.receive(data) if data else []:
            if isinstance(event, AuthorizationRequired):
                s.authorize(SUCCESS)
        reply = s.data_to_send()
        sizes.append(len(reply))
        if reply:
            c.receive(reply)
    texts = set()
    for legs in range(len(sizes)):
        for cut in {0, 1, sizes[legs] // 2}:
            texts.add(cut_login(legs, cut))
    assert any("X.224" in text for text in texts)
    assert any("TLS or CredSSP" in text for text in texts)
    assert any("Early User Authorization" in text or "after the credentials" in text for text in texts)


def cut_login(legs: int, cut: int) -> str:
    c, s = client(), server()
    c.start()
    ends: tuple[Any, Any] = (c, s)
    for leg in range(legs + 1):
        sender, receiver = ends if leg % 2 == 0 else ends[::-1]
        data = sender.data_to_send()
        if leg == legs:
            data = data[:cut]
        if data:
            for event in receiver.receive(data):
                if isinstance(event, AuthorizationRequired):
                    receiver.authorize(SUCCESS)
    if receiver.complete:
        receiver.receive_eof()  # legal now
        return ""
    with pytest.raises(PeerClosedError) as caught:
        receiver.receive_eof()
    with pytest.raises(LocalProtocolError, match="failed"):
        receiver.receive(b"x")
    return caught.value.message


def test_a_bad_authorization_result() -> None:
    c, s = client(), server()
    with pytest.raises(DecodeError, match="0x00000007"):
        exchange_with_result(c, s, b"\7\0\0\0")


def test_a_close_in_place_of_the_authorization_result_is_a_refusal() -> None:
    c, s = client(), server()
    with pytest.raises(LoginRefusedError, match="after the credentials were delegated"):
        exchange_with_result(c, s, None)


def exchange_with_result(c: NLAClient, s: NLAServer, result: bytes | None) -> None:
    c.start()
    while True:
        required = [event for event in s.receive(c.data_to_send()) if isinstance(event, AuthorizationRequired)]
        if required:
            assert s.context is not None
            c.receive(s.context.shutdown() if result is None else s.context.wrap(result))
            return
        c.receive(s.data_to_send())


def test_a_client_that_closes_before_its_request_inside_tls() -> None:
    c, s = client(approach=Approach.DIRECT), server()
    c._encoded_request = b""
    exchange(c, s)
    assert s.state is RDPState.EXPECT_X224_INSIDE
    with pytest.raises(PeerClosedError, match="before its Connection Request"):
        s.receive(c.context.shutdown())


# Calls out of turn


def test_protocols_that_are_no_credssp() -> None:
    with pytest.raises(LocalProtocolError):
        client(protocols=Protocol.SSL)
    for protocols in (Protocol.SSL, Protocol.RDP, Protocol.SSL | Protocol.HYBRID):
        with pytest.raises(LocalProtocolError):
            server(protocols=protocols)


def test_calls_out_of_turn() -> None:
    c, s = client(), server()
    for end in (c, s):
        for call in (end.wrap, end.unwrap):
            with pytest.raises(LocalProtocolError, match="not complete"):
                call(b"x")
    with pytest.raises(LocalProtocolError, match="nothing can be received"):
        c.receive(b"x")
    with pytest.raises(LocalProtocolError, match="not due"):
        s.authorize(SUCCESS)
    assert s.shutdown() == b""
    assert not s.peer_closed
    c.start()
    with pytest.raises(LocalProtocolError, match="started before"):
        c.start()
    assert s.awaited == "expect the X.224 Connection Request or Confirm"


def test_goodbye() -> None:
    c, s = client(), server()
    exchange(c, s)
    s.unwrap(c.shutdown())
    assert s.peer_closed
    s.receive_eof()


def test_an_observer_sees_every_message() -> None:
    seen: list[Any] = []
    c = client(observer=lambda direction, message, data: seen.append((direction.value, message)))
    exchange(c, server())
    assert [direction for direction, _ in seen] == ["sent", "received", "sent", "received", "sent"]


# What comes after the credentials


def test_late_refusals() -> None:
    refusal = rdp.late_refusal(TSRequest(6, error_code=NTStatus.STATUS_LOGON_FAILURE).encode())
    assert refusal is not None
    assert refusal.ntstatus == NTStatus.STATUS_LOGON_FAILURE
    for data in (b"", b"\x03\0\0\x0b", b"\x30", b"\x30\x80", b"\x30\x03\x02\x01\x06", TSRequest(6).encode()):
        assert rdp.late_refusal(data) is None
