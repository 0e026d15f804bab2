"""Captures of FreeRDP's client and server: our side comes out of a replay byte for byte, X.224 included."""

from __future__ import annotations

from pathlib import Path

import pytest

from credssp.accounts import MemoryAccounts
from credssp.context.acceptor import create_acceptor
from credssp.context.initiator import create_initiator
from credssp.credentials import PasswordCredentials
from credssp.engine import ClientEngine, CredentialsReceived, Send, ServerEngine
from credssp.errors import AuthenticationError, PeerRefusedError
from credssp.exchange.fixture import Fixture, load_all
from credssp.ntlm.challenge import NTLMTarget
from credssp.policy import DelegationPolicy
from credssp.rdp import (
    ConnectionConfirm,
    ConnectionRequest,
    NegotiationResponse,
    NLAClient,
    NLAServer,
    Protocol,
    RDPState,
)
from credssp.rdp.tpkt import TPKTBuffer
from credssp.secret import Secret

FIXTURES = [f for f in load_all(Path(__file__).parents[2] / "fixtures") if f.name.startswith("freerdp-")]
OUR_SERVER = [f for f in FIXTURES if f.manifest["programs"]["server"].startswith("credssp ")]
OUR_CLIENT = [f for f in FIXTURES if f.manifest["programs"]["client"].startswith("credssp ")]
# What the servers of the captures knew; a refused client used another.
PASSWORD = "Made-up for this capture 1"


class Draws:
    """Plays back what was drawn."""

    def __init__(self, fixture: Fixture) -> None:
        self.left = fixture.draws

    def __call__(self, size: int) -> bytes:
        draw = self.left.pop(0)
        assert len(draw) == size
        return draw


def name(fixture: Fixture) -> str:
    return fixture.name


def x224(fixture: Fixture) -> tuple[bytes, bytes]:
    request, confirm = (message.data for message in fixture.messages if message.layer == "x224")
    return request, confirm


def account(fixture: Fixture) -> PasswordCredentials:
    table = fixture.manifest["account"]
    return PasswordCredentials(table["username"], table["password"], domain=table["domain"])


def test_the_captures_are_there() -> None:
    assert len(OUR_SERVER) >= 5
    assert len(OUR_CLIENT) >= 3
    for fixtures in (OUR_SERVER, OUR_CLIENT):
        assert {f.manifest["outcome"] for f in fixtures} == {"accepted", "refused"}
        assert {f.manifest["exchange"]["tls"] for f in fixtures} == {"TLSv1.2", "TLSv1.3"}


@pytest.mark.parametrize("fixture", OUR_SERVER, ids=name)
def test_our_confirm_replayed(fixture: Fixture) -> None:
    request, confirm = x224(fixture)
    server = NLAServer()
    server.receive(request)
    assert server.data_to_send() == confirm
    assert server.state is RDPState.EXPECT_CREDSSP
    assert server.request is not None
    assert server.request.cookie == "alice"


@pytest.mark.parametrize("fixture", OUR_CLIENT, ids=name)
def test_our_request_replayed(fixture: Fixture) -> None:
    request, confirm = x224(fixture)
    client = NLAClient(account(fixture), host="127.0.0.1")
    client.start()
    assert client.data_to_send() == request
    client.receive(confirm)
    assert client.selected_protocol is Protocol.HYBRID
    assert client.data_to_send()[:1] == b"\x16"


@pytest.mark.parametrize("fixture", FIXTURES, ids=name)
def test_every_clear_message_is_read_and_written_back(fixture: Fixture) -> None:
    request, confirm = x224(fixture)
    for data, kind in ((request, ConnectionRequest), (confirm, ConnectionConfirm)):
        tpdu = TPKTBuffer().feed(data)
        assert tpdu is not None
        decoded = kind.decode(tpdu)
        assert decoded.encode()[-8:] == data[-8:]
    assert isinstance(decoded.negotiation, NegotiationResponse)


@pytest.mark.parametrize("fixture", OUR_SERVER, ids=name)
def test_our_server_replayed(fixture: Fixture) -> None:
    draws = Draws(fixture)
    engine = ServerEngine(
        create_acceptor(
            MemoryAccounts({("LABDOM", "alice"): PASSWORD}),
            target=NTLMTarget(**fixture.manifest["server"]["names"]),
            random=draws,
            clock=lambda: fixture.manifest["randomness"]["clock"],
        ),
        public_key=fixture.public_key,
        min_version=2,
        max_version=fixture.manifest["exchange"]["server_version"],
    )
    sent: list[bytes] = []
    received = []
    try:
        for request in fixture.requests("client"):
            for event in engine.receive(request):
                if isinstance(event, Send):
                    sent.append(event.data)
                elif isinstance(event, CredentialsReceived):
                    received.append(event.credentials)
    except AuthenticationError as error:
        sent.append(error.token)
        assert fixture.manifest["outcome"] == "refused"
    else:
        table = fixture.manifest["delegated"]
        assert received == [PasswordCredentials.received(table["username"], Secret(table["password"]), table["domain"])]
        # FreeRDP goes straight on to MCS Connect Initial.
        assert fixture.messages[-1].layer == "application"
        assert fixture.messages[-1].data[4:9] == bytes.fromhex("02f0807f65")
    assert sent == fixture.requests("server")
    assert draws.left == []


@pytest.mark.parametrize("fixture", OUR_CLIENT, ids=name)
def test_our_client_replayed(fixture: Fixture) -> None:
    draws = Draws(fixture)
    target = fixture.manifest["exchange"]["target_name"]
    engine = ClientEngine(
        create_initiator(
            account(fixture),
            target_name=target,
            mechanism="negotiate" if fixture.manifest["exchange"]["wire_form"] == "spnego" else "ntlm",
            workstation=fixture.manifest["account"]["workstation"],
            random=draws,
        ),
        public_key=fixture.public_key,
        credentials=account(fixture),
        policy=DelegationPolicy.for_target(target),
        target_name=target,
        random=draws,
    )
    sent = [event.data for event in engine.initiate() if isinstance(event, Send)]
    try:
        for request in fixture.requests("server"):
            sent += [event.data for event in engine.receive(request) if isinstance(event, Send)]
    except PeerRefusedError as error:
        assert error.ntstatus == 0xC00700EA
        assert fixture.manifest["outcome"] == "refused"
    assert sent == fixture.requests("client")
    assert engine.complete is (fixture.manifest["outcome"] == "accepted")
    assert draws.left == []
