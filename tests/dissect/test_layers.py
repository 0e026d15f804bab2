"""Each layer where its input is not as it should be."""

from __future__ import annotations

import pytest

from credssp.dissect.conversation import ConversationReader
from credssp.dissect.credssp_layer import MAX_MESSAGE, CredSSPLayer
from credssp.dissect.model import Conversation, Sender
from credssp.dissect.streams import Piece
from credssp.dissect.tls.handshake import ClientHello, ServerHello
from credssp.dissect.tls.keylog import Secrets
from credssp.dissect.tls.master import find_master_secret
from credssp.dissect.tls.protection import RecordError, make_opener
from credssp.dissect.tls.schedule import DirectionKeys
from credssp.dissect.tls.suites import find_suite
from credssp.dissect.views import Views
from credssp.dissect.x224_layer import X224Layer
from credssp.rdp.negotiation import (
    NegotiationFailure,
    NegotiationRequest,
    NegotiationResponse,
    Protocol,
    RequestFlags,
)
from credssp.rdp.x224 import ConnectionConfirm, ConnectionRequest
from credssp.wire.ts_request import TSRequest
from tests.dissect.captures import Said
from tests.dissect.logins import certificate, log_on


def x224(*said: Said) -> tuple[Conversation, list[bytes], X224Layer]:
    conversation = Conversation("c", "s", "rdp")
    passed: list[bytes] = []
    layer = X224Layer(conversation, lambda _sender, data, _time: passed.append(data))
    for sender, data in said:
        layer.feed(sender, data, None)
    return conversation, passed, layer


def confirm(negotiation: NegotiationResponse | NegotiationFailure | None) -> Said:
    return "server", ConnectionConfirm(negotiation).encode()


def test_what_follows_the_negotiation_is_passed_on() -> None:
    request = ConnectionRequest(negotiation=NegotiationRequest(Protocol.HYBRID)).encode()
    _, passed, layer = x224(("client", request[:5]), ("client", request[5:] + b"\x16rest"), ("client", b"more"))
    assert passed == [b"\x16rest", b"more"]
    layer.gap("server")
    layer.feed("server", b"later", None)
    assert passed[-1] == b"later"


@pytest.mark.parametrize(
    ("negotiation", "refused", "what"),
    [
        (None, True, "no negotiation"),
        (NegotiationFailure(5), True, "HYBRID_REQUIRED_BY_SERVER"),
        (NegotiationResponse(Protocol.RDP), True, "not network level authentication"),
        (NegotiationResponse(Protocol.SSL), False, "not network level authentication"),
    ],
)
def test_negotiations_without_credssp(negotiation: NegotiationResponse | None, refused: bool, what: str) -> None:
    conversation, _, layer = x224(confirm(negotiation))
    assert layer.refused == refused
    assert what in conversation.problems[0]
    # The reader stops there, and reports it.
    reader = ConversationReader(("a", "b"), Secrets(), client=0)
    reader.feed(1, Piece(0, confirm(negotiation)[1], 1))
    assert reader.done == refused


def test_requests_of_all_kinds() -> None:
    requests = [
        ConnectionRequest(routing_token=b"Cookie: msts=1.2.3"),
        ConnectionRequest(negotiation=NegotiationRequest(Protocol.SSL, RequestFlags.RESTRICTED_ADMIN_MODE_REQUIRED)),
    ]
    shown = [x224(("client", request.encode()))[0] for request in requests]
    assert shown[0].events[0].summary.endswith("routing token, no negotiation (standard RDP security)")
    assert shown[1].events[0].summary.endswith("requests SSL, RESTRICTED_ADMIN_MODE_REQUIRED")
    assert shown[1].restricted_admin


def test_negotiations_that_do_not_decode() -> None:
    conversation, _, _ = x224(("client", b"\x03\0\0\x0b\x06\xd0\0\0\0\0\0"))
    assert "Connection Confirm where a Connection Request is due" in conversation.events[0].error
    conversation, passed, _ = x224(("client", b"\x03\0\xff\xff"), ("client", b"x"))
    assert "cannot be read" in conversation.problems[0]
    assert passed == [b"x"]
    assert x224(("client", b"\x16\x03"))[1] == [b"\x16\x03"]


def credssp(*said: Said) -> tuple[Conversation, CredSSPLayer]:
    conversation = Conversation("c", "s", "rdp")
    layer = CredSSPLayer(conversation)
    for sender, data in said:
        layer.feed(sender, data, 5)
    return conversation, layer


def test_requests_in_pieces_and_together() -> None:
    first, last = TSRequest(6, nego_tokens=(b"x" * 200,)).encode(), TSRequest(6, auth_info=b"y").encode()
    conversation, _ = credssp(("client", first[:3]), ("client", first[3:] + last + b"\x03\0\0\x0c\x02\xf0\x80"))
    assert [(event.layer, event.size, event.pieces) for event in conversation.events] == [
        ("tsrequest", len(first), 2),
        ("tsrequest", len(last), 1),
        ("application", 7, 0),
    ]
    assert conversation.events[-1].summary == "application data: MCS in X.224"


def test_application_data_by_name() -> None:
    conversation, layer = credssp(
        ("server", b"\5\0\0\0"), ("server", b"\3\0\0\x13\x0e\xd0"), ("client", b"x"), ("client", b"x"), ("client", b"x")
    )
    assert [event.summary for event in conversation.events] == [
        "Early User Authorization Result: access denied",
        "application data: X.224 inside TLS",
        "application data",
        "application data",
    ]
    assert layer.complete


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x30\x80junk", "indefinite length"),
        (b"\x30\x83\x7f\xff\xff", "announced"),
        (b"\x30\x03\x02\x01\x06", "TSRequest"),
    ],
)
def test_requests_that_cannot_be_read(data: bytes, what: str) -> None:
    conversation, _ = credssp(("client", data), ("client", b"and more"))
    assert what in conversation.events[0].error
    assert len(conversation.events) == 2
    assert MAX_MESSAGE == 1 << 20


def test_requests_that_are_cut_off() -> None:
    whole = TSRequest(6, nego_tokens=(b"x" * 200,)).encode()
    conversation, layer = credssp(("server", whole[:50]))
    layer.finish()
    assert conversation.events[0].error == f"cut off: at least {len(whole) - 50} bytes are missing"
    conversation, layer = credssp(("server", whole[:50]))
    layer.gap("server")
    layer.gap("server")
    layer.feed("server", whole, None)
    assert [bool(event.error) for event in conversation.events] == [True, False]


def reader_of(
    *said: tuple[int, bytes], client: int | None = None, secrets: Secrets | None = None
) -> ConversationReader:
    reader = ConversationReader(("a:1", "b:2"), secrets or Secrets(), client=client)
    for direction, data in said:
        reader.feed(direction, Piece(0, data, 1))
    return reader


def test_roles_are_told_by_content_and_else_by_who_speaks_first() -> None:
    hello = log_on().said[0][1]
    assert reader_of((1, hello), client=0).conversation.client == "b:2"
    assert reader_of((1, b"\x17\x03\x03\0\x05hello")).conversation.client == "b:2"
    assert reader_of((1, b"\x17\x03\x03\0\x05hello"), client=0).conversation.client == "a:1"
    assert reader_of((0, b"HTTP/1.1 200 OK\r\n\r\n")).conversation.server == "a:1"


def test_one_octet_at_a_time_decides_too() -> None:
    reader = reader_of(*((0, b"POST / HTTP/1.1"[n : n + 1]) for n in range(8)), client=0)
    assert not reader.done
    assert reader_of(*((0, b"\x16") for _ in range(8)), client=0).done


def inside_tls(*plain: tuple[Sender, bytes], transport: str = "tls") -> ConversationReader:
    """Put plaintext where a TLS session would deliver it."""
    reader = reader_of((0, log_on().said[0][1]), client=0)
    reader.conversation.transport = transport  # type: ignore[assignment]
    for sender, data in plain:
        reader._take_plaintext(sender, data, 1)
        reader._judge_end()
    return reader


def test_other_protocols_inside_tls_are_left_alone() -> None:
    reader = inside_tls(*([("client", b"something else")] * 70))
    assert reader.done
    assert not reader.conversation.is_credssp
    reader = inside_tls(("client", b"something else"), ("server", b"x"), ("client", b"y"), transport="rdp")
    assert [event.summary for event in reader.conversation.events[1:]] == ["application data, no TSRequest"] * 2


def test_winrm_over_https_is_found_inside() -> None:
    login = log_on()
    outer: list[tuple[Sender, bytes]] = [(sender, data) for sender, data in login.winrm()]
    secrets = Secrets()
    secrets.add_log(login.keylog.splitlines())
    reader = reader_of((0, log_on(tls="1.2").said[0][1]), client=0, secrets=secrets)
    for sender, data in outer:
        reader._take_plaintext(sender, data, 1)
    reader.finish()
    assert reader.conversation.transport == "winrm"
    assert len(reader.conversation.tls) == 2
    assert len(reader.conversation.requests) == 5
    assert reader.conversation.certificate == login.certificate


CBC = find_suite(0x2F)
GCM = find_suite(0x9C)


def test_records_that_are_too_short_or_padded_wrong() -> None:
    assert CBC is not None
    assert GCM is not None
    keys = DirectionKeys(bytes(16), bytes(4), bytes(20))
    with pytest.raises(RecordError, match="too short"):
        make_opener(0x0303, GCM, keys, encrypt_then_mac=False).open(23, 0x0303, bytes(10))
    for body in (b"", bytes(20), bytes(33), bytes(48)):
        with pytest.raises(RecordError):
            make_opener(0x0303, CBC, keys, encrypt_then_mac=False).open(23, 0x0303, body)
        with pytest.raises(RecordError):
            make_opener(0x0303, CBC, keys, encrypt_then_mac=True).open(23, 0x0303, body)
    suite = find_suite(0x1301)
    assert suite is not None
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    header = b"\x17\x03\x03\x00\x14"
    zeros = AESGCM(bytes(16)).encrypt(bytes(12), bytes(4), header)
    opener = make_opener(0x0304, suite, DirectionKeys(bytes(16), bytes(12)), encrypt_then_mac=False)
    with pytest.raises(RecordError, match="without content type"):
        opener.open(23, 0x0303, zeros)


def test_an_rsa_key_without_what_it_needs() -> None:
    assert CBC is not None
    secrets = Secrets()
    secrets.load_rsa_key(certificate().private_key)
    client, server = ClientHello(bytes(32), 0x0303, ""), ServerHello(bytes(32), 0x0303, 0x2F, False, False, False)

    def find(key_exchange: bytes, der: bytes | None) -> bytes | str:
        return find_master_secret(secrets, client, server, CBC, key_exchange, b"", der)  # type: ignore[arg-type]

    assert "ClientKeyExchange is missing" in find(b"", None)  # type: ignore[operator]
    assert "ClientKeyExchange is missing" in find(b"\0\5short", b"no certificate")  # type: ignore[operator]
    assert "not that of the server's certificate" in find(b"", certificate("p256").der)  # type: ignore[operator]
    assert "was not encrypted for" in find(b"\1\0" + bytes(255) + b"\1", certificate().der)  # type: ignore[operator]


def test_views_of_tokens_that_do_not_decode() -> None:
    tree = Views().ts_request(TSRequest(6, nego_tokens=(b"what is this",)), 20)
    assert tree["negoTokens"][0]["type"] == "undecodable token"
