"""Whatever a peer sends: only CredSSPError leaves, nothing is delegated, nothing hangs.

Mutations of real exchanges, at three depths: the TLS stream, the plaintext inside TLS, and single messages in any
order.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import credssp
from credssp.context.acceptor import create_acceptor
from credssp.context.initiator import create_initiator
from credssp.credentials import PasswordCredentials
from credssp.engine import ClientEngine, CredentialsReceived, ServerEngine
from credssp.exchange.fixture import load_all
from credssp.policy import DelegationPolicy
from credssp.wire.ts_request import TSRequest

FIXTURES = load_all(Path(__file__).parent.parent.parent / "fixtures")
REQUESTS = sorted({data for fixture in FIXTURES for data in fixture.requests()})
ACCOUNTS = credssp.MemoryAccounts({("LAB", "alice"): "secret"})
ALICE = PasswordCredentials("alice", "secret", domain="LAB")
TARGET = "TERMSRV/srv.lab.test"


def mutate(data: bytes, source: random.Random) -> bytes:
    """Damage octets as parsers hate it: flips, cuts, repeats, lengths, swaps."""
    octets = bytearray(data)
    for _ in range(source.randint(1, 4)):
        if not octets:
            return bytes(source.randbytes(source.randint(0, 8)))
        at = source.randrange(len(octets))
        kind = source.randrange(7)
        if kind == 0:
            octets[at] ^= 1 << source.randrange(8)
        elif kind == 1:
            octets[at] = source.choice([0, 1, 0x7F, 0x80, 0x81, 0x82, 0x83, 0x84, 0xFF, 0x30, 0xA0])
        elif kind == 2:
            del octets[at : at + source.randint(1, 40)]
        elif kind == 3:
            octets[at:at] = source.randbytes(source.randint(1, 40))
        elif kind == 4:
            octets[at:at] = octets[at : at + source.randint(1, 60)]
        elif kind == 5:
            del octets[at:]
        else:
            octets += source.randbytes(source.randint(1, 10))
    return bytes(octets)


def make_server() -> ServerEngine:
    return ServerEngine(create_acceptor(ACCOUNTS), public_key=b"key of the fuzzer", min_version=2)


def make_client(mechanism: str) -> ClientEngine:
    engine = ClientEngine(
        create_initiator(ALICE, target_name=TARGET, mechanism=mechanism),  # type: ignore[arg-type]
        public_key=b"key of the fuzzer",
        credentials=ALICE,
        policy=DelegationPolicy.for_target(TARGET),
        target_name=TARGET,
        min_version=2,
    )
    engine.initiate()
    return engine


@given(st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_damaged_messages_in_any_order(messages: list[bytes], source: random.Random) -> None:
    for engine in (make_server(), make_client("ntlm"), make_client("negotiate")):
        try:
            for message in messages:
                data = mutate(message, source) if source.random() < 0.7 else message
                for event in engine.receive(data):
                    assert not isinstance(event, CredentialsReceived)
        except credssp.CredSSPError as error:
            if error.token:
                assert TSRequest.decode(error.token).error_code is not None
        assert not engine.complete


@given(st.integers(0, 4), st.sampled_from(["ntlm", "negotiate"]), st.randoms(use_true_random=False))
def test_one_damaged_message_in_a_login(leg: int, mechanism: str, source: random.Random) -> None:
    """A damaged message may still mean the same (a deviation that is forgiven), but never more than that."""
    server, client = make_server(), None
    client = ClientEngine(
        create_initiator(ALICE, target_name=TARGET, mechanism=mechanism),  # type: ignore[arg-type]
        public_key=b"key of the fuzzer",
        credentials=ALICE,
        policy=DelegationPolicy.for_target(TARGET),
        target_name=TARGET,
    )
    received: list[object] = []
    number = 0
    try:
        data = b"".join(event.data for event in client.initiate() if hasattr(event, "data"))
        while data:
            for side in (server, client):
                if number == leg:
                    data = mutate(data, source)
                number += 1
                events = side.receive(data)
                received += [event for event in events if isinstance(event, CredentialsReceived)]
                data = b"".join(event.data for event in events if hasattr(event, "data"))
                if not data:
                    break
    except credssp.CredSSPError:
        pass
    assert received in ([], [CredentialsReceived(ALICE)])


@given(st.integers(0, 8), st.randoms(use_true_random=False))
def test_damaged_tls_streams(leg: int, source: random.Random) -> None:
    client = credssp.ClientContext(ALICE, target_name=TARGET, mechanism="ntlm")
    server = credssp.ServerContext(accounts=ACCOUNTS)
    number = 0
    try:
        token = client.step().token
        for _ in range(8):
            for side in (server, client):
                if number == leg:
                    token = mutate(token, source)
                number += 1
                token = side.step(token).token
            if server.complete:
                break
    except credssp.CredSSPError as error:
        with pytest.raises(credssp.CredSSPError):
            side.step()
        assert isinstance(error.token, bytes)
    if server.delegated_credentials is not None:
        assert server.delegated_credentials == ALICE


@given(st.binary(max_size=300))
def test_plain_junk(junk: bytes) -> None:
    for context in (
        credssp.ServerContext(accounts=ACCOUNTS),
        credssp.ClientContext(ALICE, target_name=TARGET, mechanism="ntlm"),
    ):
        context.step()
        try:
            context.step(junk)
        except credssp.CredSSPError:
            continue
        assert not context.complete


@given(st.randoms(use_true_random=False))
def test_damaged_application_data(source: random.Random) -> None:
    client = credssp.ClientContext(ALICE, target_name=TARGET, mechanism="ntlm")
    server = credssp.ServerContext(accounts=ACCOUNTS)
    token = client.step().token
    while not server.complete:
        token = client.step(server.step(token).token).token if not client.complete else token
        if client.complete:
            server.step(token)
    stream = client.wrap(b"one") + client.wrap(b"two" * 100)
    try:
        got = server.unwrap(mutate(stream, source))
    except credssp.CredSSPError:
        return
    assert (b"one" + b"two" * 100).startswith(got)
