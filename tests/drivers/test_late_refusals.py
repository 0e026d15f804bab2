"""A server over HYBRID that says no after the credentials: the first read of a session raises it, on both drivers."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import pytest

import credssp
from credssp import rdp
from credssp.errors import CredSSPError, PeerRefusedError
from credssp.next_step import NextStep
from credssp.rdp import AuthorizationRequired, LoginRefusedError, NLAServer, Protocol
from credssp.rdp.mcs import PROVIDER_INITIATED
from credssp.status import NTStatus
from credssp.wire.ts_request import TSRequest

ALICE = credssp.PasswordCredentials("alice", "secret", domain="LAB")
ACCOUNTS = credssp.MemoryAccounts({("LAB", "alice"): "secret"})
REFUSAL = TSRequest(6, error_code=NTStatus.STATUS_ACCOUNT_DISABLED).encode()

Say: TypeAlias = Callable[[socket.socket, NLAServer], None]


@contextmanager
def a_server(say: Say) -> Iterator[int]:
    """A server that logs one client on as far as the credentials, and then does as told."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            end = NLAServer(accounts=ACCOUNTS, protocols=Protocol.HYBRID)
            while not any(isinstance(event, AuthorizationRequired) for event in end.receive(connection.recv(65536))):
                connection.sendall(end.data_to_send())
            say(connection, end)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


def close(connection: socket.socket, end: NLAServer) -> None:
    """Just go."""


def say_goodbye(connection: socket.socket, end: NLAServer) -> None:
    assert end.context is not None
    connection.sendall(end.context.shutdown())


def reset(connection: socket.socket, end: NLAServer) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def alert(connection: socket.socket, end: NLAServer) -> None:
    assert end.context is not None
    connection.sendall(end.context._channel.abort())


def error_code(connection: socket.socket, end: NLAServer) -> None:
    assert end.context is not None
    connection.sendall(end.context.wrap(REFUSAL))


def error_code_in_pieces(connection: socket.socket, end: NLAServer) -> None:
    assert end.context is not None
    connection.sendall(b"".join(end.context.wrap(REFUSAL[at : at + 1]) for at in range(len(REFUSAL))))


def no_session(connection: socket.socket, end: NLAServer) -> None:
    end.authorize(rdp.EarlyUserAuthorization.AUTHZ_SUCCESS)
    connection.sendall(end.shutdown())


def blocking(port: int) -> tuple[bytes, Any]:
    with rdp.connect("127.0.0.1", port, credentials=ALICE, mechanism="ntlm") as session:
        data = b""
        try:
            while piece := session.recv():
                data += piece
        except CredSSPError as error:
            assert session.endpoint.accepted is False
            return data, error
        return data, session.endpoint.accepted


def on_asyncio(port: int) -> tuple[bytes, Any]:
    async def log_on() -> tuple[bytes, Any]:
        session = await rdp.open_connection("127.0.0.1", port, credentials=ALICE, mechanism="ntlm")
        async with session:
            data = b""
            try:
                while piece := await session.read():
                    data += piece
            except CredSSPError as error:
                assert session.endpoint.accepted is False
                return data, error
            return data, session.endpoint.accepted

    return asyncio.run(log_on())


@pytest.fixture(params=[blocking, on_asyncio], ids=["blocking", "asyncio"])
def read(request: pytest.FixtureRequest) -> Callable[[int], tuple[bytes, Any]]:
    chosen: Callable[[int], tuple[bytes, Any]] = request.param
    return chosen


@pytest.mark.parametrize("say", [close, say_goodbye, reset, alert])
def test_an_end_straight_after_the_credentials_is_a_refusal(read: Callable[[int], Any], say: Say) -> None:
    with a_server(say) as port:
        data, error = read(port)
    assert data == b""
    assert isinstance(error, LoginRefusedError)
    assert error.refused
    assert error.mechanism == "ntlm"


def test_an_error_code_is_raised_by_the_first_read(read: Callable[[int], Any]) -> None:
    with a_server(error_code) as port:
        data, error = read(port)
    assert data == b""
    assert isinstance(error, PeerRefusedError)
    assert error.ntstatus == NTStatus.STATUS_ACCOUNT_DISABLED


def test_an_error_code_in_pieces_is_raised_when_it_is_whole(read: Callable[[int], Any]) -> None:
    with a_server(error_code_in_pieces) as port:
        _, error = read(port)
    assert isinstance(error, PeerRefusedError)
    assert error.ntstatus == NTStatus.STATUS_ACCOUNT_DISABLED


def test_a_server_without_a_session_accepted_nevertheless(read: Callable[[int], Any]) -> None:
    with a_server(no_session) as port:
        assert read(port) == (PROVIDER_INITIATED, True)


@contextmanager
def without_nla() -> Iterator[int]:
    """A server that selects TLS, as xrdp does."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(bytes.fromhex("030000130ed00000123400021f080001000000"))
            connection.recv(4096)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


def test_a_server_without_nla_gets_the_advice_of_that_situation(read: Callable[[int], Any]) -> None:
    with without_nla() as port, pytest.raises(rdp.NegotiationError) as caught:
        read(port)
    assert caught.value.advice == NextStep.RDP_NO_NLA
    assert not caught.value.refused


def wait_for_the_client(connection: socket.socket, end: NLAServer) -> None:
    while connection.recv(65536):
        pass


def test_a_reader_of_a_session_that_its_own_side_closes_sees_an_end() -> None:
    with a_server(wait_for_the_client) as port:
        session = rdp.connect("127.0.0.1", port, credentials=ALICE, mechanism="ntlm")
        seen: list[Any] = []
        reading = threading.Event()

        def reader() -> None:
            reading.set()
            try:
                seen.append(session.recv())
            except OSError as error:  # of the descriptor, closed under it
                seen.append(type(error))

        thread = threading.Thread(target=reader)
        thread.start()
        assert reading.wait(10)
        session.close()
        thread.join(10)
    assert seen in ([b""], [OSError])
