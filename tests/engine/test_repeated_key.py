"""A client whose server takes pubKeyAuth only after the last token: once more, alone, and never as the server's proof.

The server's part is what freerdp-shadow-cli3 3.10.3 does with NTLM in SPNEGO (fixtures/freerdp-3.10.3-shadow-spnego):
it drops the pubKeyAuth beside the client's last token, answers with its own last token and returns the client's
pubKeyAuth beside it; then it waits for pubKeyAuth, and answers it with its own and with its last token once more.
"""

from __future__ import annotations

import itertools

import pytest

from credssp.accounts import MemoryAccounts
from credssp.binding import client_value, server_value
from credssp.context.acceptor import create_acceptor
from credssp.context.initiator import create_initiator
from credssp.engine import ClientEngine, CredentialsDelegated, Direction, State
from credssp.errors import (
    AuthenticationError,
    BindingError,
    CredSSPError,
    PeerRefusedError,
    PolicyError,
    RemoteProtocolError,
)
from credssp.policy import DelegationPolicy
from credssp.spnego import NegState, NegTokenResp
from credssp.wire.ts_request import TSRequest
from tests.engine.scripted import client_mechanism
from tests.engine.test_exchange import ALICE, KEY, NONCE, TARGET, auth_info, client, request, sent

LAST_TOKEN = b"accept-completed"


def own_key(version: int = 6) -> bytes:
    return b"C:" + client_value(version, NONCE, KEY)


def server_key(version: int = 6) -> bytes:
    return b"S:" + server_value(version, NONCE, KEY)


def client_that_waits(version: int = 6, **more: object) -> ClientEngine:
    """A client that has sent pubKeyAuth, and whose mechanism still waits for the server's last token."""
    c = client(client_mechanism(completes_after=3), min_version=2, **more)
    c.initiate()
    c.receive(request(version, nego_tokens=(b"challenge",)))
    return c


def echo(version: int = 6, **fields: object) -> bytes:
    return request(version, **({"nego_tokens": (LAST_TOKEN,), "pub_key_auth": own_key(version)} | fields))


def client_that_repeated(version: int = 6, **more: object) -> ClientEngine:
    c = client_that_waits(version, **more)
    c.receive(echo(version))
    return c


@pytest.mark.parametrize("version", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("returned", [True, False])
def test_the_same_key_is_sent_again_alone(version: int, returned: bool) -> None:
    c = client_that_waits(version)
    answer = echo(version) if returned else request(version, nego_tokens=(LAST_TOKEN,))
    (message,) = sent(c.receive(answer))
    nonce = NONCE if version >= 5 else None
    assert message == TSRequest(6, pub_key_auth=own_key(version), client_nonce=nonce)
    assert c.state is State.EXPECT_LATE_SERVER_KEY
    assert not c.complete


@pytest.mark.parametrize("version", [2, 4, 5, 6])
@pytest.mark.parametrize("tokens", [None, (LAST_TOKEN,)])
def test_the_servers_key_after_it_completes_the_login(version: int, tokens: tuple[bytes, ...] | None) -> None:
    c = client_that_repeated(version)
    events = c.receive(request(version, nego_tokens=tokens, pub_key_auth=server_key(version)))
    assert sent(events) == [TSRequest(6, auth_info=auth_info())]
    assert isinstance(events[-1], CredentialsDelegated)
    assert c.complete


@pytest.mark.parametrize("tokens", [None, (LAST_TOKEN,), (b"authenticate",)])
def test_a_second_echo_is_not_the_servers_proof(tokens: tuple[bytes, ...] | None) -> None:
    c = client_that_repeated()
    with pytest.raises(BindingError, match="our own pubKeyAuth back") as caught:
        c.receive(request(nego_tokens=tokens, pub_key_auth=own_key()))
    assert c.state is State.FAILED
    assert caught.value.token == b""


def test_there_is_no_second_repetition() -> None:
    c = client_that_repeated()
    with pytest.raises(RemoteProtocolError, match="out of order"):
        c.receive(request(nego_tokens=(LAST_TOKEN,)))
    assert c.state is State.FAILED


@pytest.mark.parametrize("key", [b"S:" + server_value(6, NONCE, KEY + b"x"), b"S:" + client_value(6, NONCE, KEY), b""])
def test_a_wrong_key_after_it_gets_no_credentials(key: bytes) -> None:
    sent_fields: list[TSRequest] = []
    c = client_that_repeated(observer=lambda way, message, _: way is Direction.SENT and sent_fields.append(message))
    with pytest.raises(BindingError):
        c.receive(request(pub_key_auth=key))
    assert len(sent_fields) == 3
    assert all(message.auth_info is None for message in sent_fields)


def test_the_policy_is_asked_after_it_as_always() -> None:
    mechanism = client_mechanism(completes_after=3)
    mechanism.name = "kerberos"  # NTLM would be refused before its proof
    c = client(mechanism, mutual_auth=True)
    c.initiate()
    c.receive(request(nego_tokens=(b"challenge",)))
    c.receive(echo())
    with pytest.raises(PolicyError):
        c.receive(request(pub_key_auth=server_key()))
    assert not c.complete


def test_an_error_code_after_it_is_a_refusal() -> None:
    with pytest.raises(PeerRefusedError):
        client_that_repeated().receive(request(error_code=0xC000006D, pub_key_auth=own_key()))


WITHOUT_PROOF = {
    "its last token": request(nego_tokens=(LAST_TOKEN,)),
    "its last token and our key": echo(),
    "our key": request(pub_key_auth=own_key()),
    "our token and our key": echo(nego_tokens=(b"authenticate",)),
    "our value under its own seal": request(pub_key_auth=b"S:" + client_value(6, NONCE, KEY)),
    "the key of another connection": request(
        nego_tokens=(LAST_TOKEN,), pub_key_auth=b"S:" + server_value(6, NONCE, KEY + b"x")
    ),
}


@pytest.mark.parametrize("first", WITHOUT_PROOF)
def test_no_answers_without_the_servers_proof_get_credentials_or_two_repetitions(first: str) -> None:
    for answers in itertools.product([first], WITHOUT_PROOF, WITHOUT_PROOF):
        seen: list[tuple[Direction, TSRequest]] = []
        c = client_that_waits(observer=lambda way, message, _, seen=seen: seen.append((way, message)))
        with pytest.raises(CredSSPError):
            for answer in answers:
                c.receive(WITHOUT_PROOF[answer])
        said = [message for way, message in seen if way is Direction.SENT]
        assert c.state is State.FAILED, answers
        assert all(message.auth_info is None for message in said), answers
        assert sum(message.pub_key_auth is not None for message in said) <= 2, answers
        assert {message.pub_key_auth for message in said} <= {None, own_key()}, answers


# What is not repeated


def test_an_echo_alone_is_an_error_reply() -> None:
    with pytest.raises(BindingError, match="our own pubKeyAuth back"):
        client_that_waits().receive(request(pub_key_auth=own_key()))


def test_an_echo_beside_our_own_last_token_is_an_error_reply() -> None:
    with pytest.raises(BindingError, match="our own pubKeyAuth back"):
        client_that_waits().receive(echo(nego_tokens=(b"authenticate",)))


def test_an_echo_is_refused_where_the_mechanism_waits_for_no_token() -> None:
    c = client()
    c.initiate()
    c.receive(request(nego_tokens=(b"challenge",)))
    with pytest.raises(BindingError, match="our own pubKeyAuth back"):
        c.receive(echo())


def test_a_token_alone_is_refused_where_the_mechanism_waits_for_none() -> None:
    c = client()
    c.initiate()
    c.receive(request(nego_tokens=(b"challenge",)))
    with pytest.raises(RemoteProtocolError, match="although the mechanism is complete"):
        c.receive(request(nego_tokens=(LAST_TOKEN,)))


def test_a_server_that_goes_on_with_the_negotiation_is_refused() -> None:
    mechanism = client_mechanism(completes_after=4)
    c = client(mechanism)
    c.initiate()
    c.receive(request(nego_tokens=(b"challenge",)))
    with pytest.raises(RemoteProtocolError, match="continues the negotiation"):
        c.receive(echo())


# With the mechanisms themselves


class LateKeyServer:
    """A server that speaks as FreeRDP 3 does."""

    def __init__(self, password: str = "secret") -> None:
        self.acceptor = create_acceptor(MemoryAccounts({("LAB", "alice"): password}), mechanisms=["ntlm"])
        self.public_key = KEY

    def challenge(self, first: TSRequest) -> bytes:
        assert first.nego_tokens
        return request(nego_tokens=(self.acceptor.step(first.nego_tokens[0]),))

    def last_token(self, message: TSRequest) -> bytes:
        assert message.nego_tokens
        token = self.acceptor.step(message.nego_tokens[0])
        assert token
        return token

    def key(self, message: TSRequest) -> bytes:
        assert message.pub_key_auth
        assert message.client_nonce
        assert self.acceptor.unwrap(message.pub_key_auth) == client_value(6, message.client_nonce, KEY)
        return self.acceptor.wrap(server_value(6, message.client_nonce, self.public_key))


def real_client() -> ClientEngine:
    mechanism = create_initiator(ALICE, mechanism="negotiate", target_name="TERMSRV/127.0.0.1")
    return ClientEngine(
        mechanism, ALICE, public_key=KEY, target_name=TARGET, policy=DelegationPolicy.for_target(TARGET)
    )


def proved(c: ClientEngine, server: LateKeyServer) -> TSRequest:
    """Return the client's message with its last token and pubKeyAuth."""
    (first,) = sent(c.initiate())
    (message,) = sent(c.receive(server.challenge(first)))
    return message


def test_ntlm_in_spnego_logs_on_to_such_a_server() -> None:
    c, server = real_client(), LateKeyServer()
    message = proved(c, server)
    token = server.last_token(message)
    (again,) = sent(c.receive(request(nego_tokens=(token,), pub_key_auth=message.pub_key_auth)))
    assert (again.pub_key_auth, again.client_nonce) == (message.pub_key_auth, message.client_nonce)
    (credentials,) = sent(c.receive(request(nego_tokens=(token,), pub_key_auth=server.key(again))))
    assert credentials.auth_info is not None
    assert c.complete


def test_a_man_in_the_middle_without_the_session_key_gets_no_repetition() -> None:
    c, server = real_client(), LateKeyServer()
    message = proved(c, server)
    forged = NegTokenResp(NegState.ACCEPT_COMPLETED, mech_list_mic=bytes.fromhex("01000000") + bytes(12)).encode()
    with pytest.raises(CredSSPError, match="mechListMIC|signature"):
        c.receive(request(nego_tokens=(forged,), pub_key_auth=message.pub_key_auth))
    assert c.state is State.FAILED


def test_a_relayed_server_of_another_tls_connection_gets_no_credentials() -> None:
    """It knows the password and sees another TLS key: what it wraps is not bound to this connection."""
    c, server = real_client(), LateKeyServer()
    server.public_key = KEY + b"x"
    message = proved(c, server)
    (again,) = sent(c.receive(request(nego_tokens=(server.last_token(message),), pub_key_auth=message.pub_key_auth)))
    with pytest.raises(BindingError, match="does not belong to the TLS key"):
        c.receive(request(pub_key_auth=server.key(again)))
    assert c.state is State.FAILED


def test_zeros_in_place_of_a_token_are_called_an_error_reply() -> None:
    """FreeRDP 3 refuses a version 5 client with a buffer that it has not filled, beside the client's pubKeyAuth."""
    c, server = real_client(), LateKeyServer()
    message = proved(c, server)
    with pytest.raises(BindingError, match="error reply without errorCode"):
        c.receive(request(nego_tokens=(bytes(12256),), pub_key_auth=message.pub_key_auth))


def test_negstate_reject_beside_the_echo_is_a_refusal() -> None:
    c, server = real_client(), LateKeyServer()
    message = proved(c, server)
    reject = NegTokenResp(NegState.REJECT).encode()
    with pytest.raises(AuthenticationError, match="reject"):
        c.receive(request(nego_tokens=(reject,), pub_key_auth=message.pub_key_auth))
