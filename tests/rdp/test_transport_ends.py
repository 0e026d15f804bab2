"""Ends without NLA, and the end that is asked what its client gets."""

from __future__ import annotations

from typing import Any

import pytest

import credssp
from credssp import ClientConfig, ClientTLS, PasswordCredentials, ServerConfig
from credssp.errors import (
    CertificateError,
    CredSSPError,
    LimitExceededError,
    LocalProtocolError,
    PeerClosedError,
    TLSError,
)
from credssp.rdp import (
    AuthorizationRequired,
    EarlyUserAuthorization,
    FailureCode,
    NegotiationError,
    NLAClient,
    Protocol,
    ResponseFlags,
)
from credssp.rdp.front import ConnectionRequested, FrontServer
from credssp.rdp.preconnection import PreconnectionPDU
from credssp.rdp.transport import TransportClient
from credssp.rdp.x224 import ConnectionRequest
from credssp.tls.certificate import process_certificate

ALICE = PasswordCredentials("alice", "secret", domain="LAB")
CONFIG = ServerConfig(accounts=credssp.MemoryAccounts({("LAB", "alice"): "secret"}), certificate=process_certificate())
CHAIN = process_certificate().chain.decode()


def client(protocol: Protocol = Protocol.SSL, **options: Any) -> TransportClient:
    return TransportClient(host="localhost", protocol=protocol, config=ClientConfig(**options))


def meet(
    one: Any, front: FrontServer, protocol: Protocol | None, *, step: int = 1 << 20, flags: ResponseFlags | None = None
) -> list[Any]:
    """Let a client log on, with the stream cut into pieces; returns the events of both."""
    events: list[Any] = []
    one.start()
    front.start()
    for _ in range(20):
        if one.complete and front.complete:
            break
        data = one.data_to_send()
        for start in range(0, len(data), step):
            for event in front.receive(data[start : start + step]):
                events.append(event)
                if isinstance(event, ConnectionRequested):
                    assert protocol is not None
                    events += front.select(protocol, flags=flags)
        if any(isinstance(event, AuthorizationRequired) for event in events):
            events += front.authorize(EarlyUserAuthorization.AUTHZ_SUCCESS)
            events = [event for event in events if not isinstance(event, AuthorizationRequired)]
        data = front.data_to_send()
        for start in range(0, len(data), step):
            events += one.receive(data[start : start + step])
    return events


@pytest.mark.parametrize("step", [1, 100, 1 << 20])
@pytest.mark.parametrize("protocol", [Protocol.SSL, Protocol.RDP])
def test_both_ends_meet_without_nla(protocol: Protocol, step: int) -> None:
    one, front = client(protocol), FrontServer(config=CONFIG)
    meet(one, front, protocol, step=step)
    assert one.complete
    assert front.complete
    assert one.selected_protocol == front.selected_protocol == protocol
    assert front.unwrap(one.wrap(b"ping")) == b"ping"
    assert one.unwrap(front.wrap(b"pong")) == b"pong"
    assert one.tls_version == ("TLSv1.3" if protocol else None)
    goodbye = one.shutdown()
    assert bool(goodbye) == bool(protocol)
    if protocol:
        assert front.unwrap(goodbye) == b""
        assert front.peer_closed


@pytest.mark.parametrize("step", [1, 1 << 20])
def test_a_front_that_selects_nla_is_a_server_with_nla(step: int) -> None:
    nla = NLAClient(ALICE, host="localhost", mechanism="ntlm")
    front = FrontServer(config=CONFIG)
    meet(nla, front, Protocol.HYBRID | Protocol.HYBRID_EX, step=step)
    assert nla.complete
    assert front.complete
    assert front.selected_protocol is Protocol.HYBRID_EX
    assert front.context.identity.username == "alice"
    assert front.unwrap(nla.wrap(b"ping")) == b"ping"


def test_flags_of_the_server_behind_are_passed_on() -> None:
    one, front = client(), FrontServer(config=CONFIG)
    flags = ResponseFlags.EXTENDED_CLIENT_DATA_SUPPORTED | ResponseFlags.DYNVC_GFX_PROTOCOL_SUPPORTED
    meet(one, front, Protocol.SSL, flags=flags)
    assert one.negotiated is not None
    assert one.negotiated.flags == flags


def test_routing_is_by_preconnection_blob_then_token_then_cookie() -> None:
    def token(request: ConnectionRequest, *, before: bytes = b"") -> str:
        front = FrontServer(config=CONFIG)
        (event,) = front.receive(before + request.encode())
        assert isinstance(event, ConnectionRequested)
        return event.token

    assert token(ConnectionRequest()) == ""
    assert token(ConnectionRequest(cookie="alice")) == "alice"
    assert token(ConnectionRequest(routing_token=b"Cookie: msts=1.2.3")) == "Cookie: msts=1.2.3"
    blob = PreconnectionPDU(0, "vm-42").encode()
    assert token(ConnectionRequest(cookie="alice"), before=blob) == "vm-42"
    assert token(ConnectionRequest(cookie="alice"), before=PreconnectionPDU(3).encode()) == "alice"


@pytest.mark.parametrize("size", [1, 3, 20])
def test_a_preconnection_pdu_may_be_split(size: int) -> None:
    front = FrontServer(config=CONFIG)
    data = PreconnectionPDU(9, "vm").encode() + ConnectionRequest().encode()
    events = [event for at in range(0, len(data), size) for event in front.receive(data[at : at + size])]
    assert [event.preconnection for event in events if isinstance(event, ConnectionRequested)] == [
        PreconnectionPDU(9, "vm")
    ]


@pytest.mark.parametrize(
    ("asked", "given", "code"),
    [
        (Protocol.SSL, Protocol.HYBRID, FailureCode.HYBRID_REQUIRED_BY_SERVER),
        (Protocol.RDP, Protocol.SSL, FailureCode.SSL_REQUIRED_BY_SERVER),
    ],
)
def test_a_client_that_cannot_have_it_is_told(asked: Protocol, given: Protocol, code: FailureCode) -> None:
    one, front = client(asked), FrontServer(config=CONFIG)
    one.start()
    front.receive(one.data_to_send())
    with pytest.raises(NegotiationError) as refused:
        front.select(given)
    assert refused.value.failure == code
    with pytest.raises(NegotiationError) as told:
        one.receive(refused.value.token)
    assert told.value.failure == code
    with pytest.raises(LocalProtocolError):
        front.select(given)


def test_a_client_that_knows_no_negotiation_gets_nothing_else() -> None:
    front = FrontServer(config=CONFIG)
    front.receive(ConnectionRequest().encode())
    with pytest.raises(NegotiationError) as refused:
        front.select(Protocol.SSL)
    assert refused.value.token == b""


def test_the_front_may_refuse() -> None:
    front = FrontServer(config=CONFIG)
    with pytest.raises(LocalProtocolError):
        front.refuse(FailureCode.HYBRID_REQUIRED_BY_SERVER)
    one = client()
    one.start()
    front.receive(one.data_to_send())
    with pytest.raises(NegotiationError):
        front.refuse(FailureCode.SSL_CERT_NOT_ON_SERVER)
    with pytest.raises(LocalProtocolError):
        front.receive(b"more")


def test_what_comes_too_early_is_bounded() -> None:
    front = FrontServer(config=CONFIG)
    front.receive(ConnectionRequest().encode() + bytes(16000))
    with pytest.raises(LimitExceededError):
        front.receive(bytes(1000))


def test_a_server_that_selects_something_else_is_refused() -> None:
    one, front = client(Protocol.RDP), FrontServer(config=CONFIG)
    ssl = client(Protocol.SSL)
    ssl.start()
    front.receive(ssl.data_to_send())
    front.select(Protocol.SSL)
    one.start()
    with pytest.raises(NegotiationError, match="the server selected SSL, and RDP is what it must"):
        one.receive(front.data_to_send())


@pytest.mark.parametrize("protocol", [Protocol.HYBRID_EX, Protocol.SSL | Protocol.HYBRID, Protocol.RDSTLS])
def test_other_protocols_are_refused_where_they_are_given(protocol: Protocol) -> None:
    with pytest.raises(LocalProtocolError, match="protocol is SSL, RDP or HYBRID"):
        TransportClient(host="localhost", protocol=protocol)


def test_the_certificate_is_checked() -> None:
    import hashlib

    digest = hashlib.sha256(process_certificate().der).hexdigest()
    one = client(tls=ClientTLS(fingerprint=digest))
    meet(one, FrontServer(config=CONFIG), Protocol.SSL)
    assert one.certificate_check.value == "pinned"
    with pytest.raises(CertificateError, match="not the pinned one"):
        meet(client(tls=ClientTLS(fingerprint="00" * 32)), FrontServer(config=CONFIG), Protocol.SSL)
    with pytest.raises(CredSSPError):
        other = credssp.generate_certificate("p256").chain.decode()
        meet(client(tls=ClientTLS(cadata=other)), FrontServer(config=CONFIG), Protocol.SSL)


@pytest.mark.parametrize("data", [b"\x03\0\0\x0b\x06\xd0\0\0\0\0\0", b"HTTP/1.1 400", b"\x03\0\0\x13" + bytes(15)])
def test_nonsense_from_a_server_is_refused(data: bytes) -> None:
    one = client()
    one.start()
    with pytest.raises(CredSSPError):
        one.receive(data)
    with pytest.raises(LocalProtocolError):
        one.receive(data)


def test_an_end_before_the_end_is_told() -> None:
    one, front = client(), FrontServer(config=CONFIG)
    with pytest.raises(PeerClosedError, match="Connection Request"):
        front.receive_eof()
    one.start()
    with pytest.raises(PeerClosedError):
        one.receive_eof()
    with pytest.raises(LocalProtocolError):
        one.wrap(b"x")
    with pytest.raises(LocalProtocolError):
        one.start()


def test_tls_that_breaks_is_told_to_both() -> None:
    one, front = client(), FrontServer(config=CONFIG)
    one.start()
    front.receive(one.data_to_send())
    front.select(Protocol.SSL)
    one.receive(front.data_to_send())
    one.data_to_send()
    with pytest.raises(TLSError) as broken:
        front.receive(b"\x16\x03\x01\x00\x05hello")
    assert broken.value.token[:1] == b"\x15"
