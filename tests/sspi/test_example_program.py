"""docs/examples/sspi_echo.py, a program written against `credssp.sspi` alone: with itself and with pyspnego."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import credssp
from credssp.sspi import SecurityStatus, SSPIError
from tests.modules import load_module
from tests.peers import require_module

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "sspi_echo.py"
ACCOUNTS = credssp.MemoryAccounts({("LAB", "alice"): "secret"})


example: Any = load_module("sspi_echo", EXAMPLE)


def over_loopback(client: Callable[[socket.socket], Any], server: Callable[[socket.socket], Any]) -> tuple[Any, Any]:
    """Run both ends over a real socket; an exception of either end is its result."""
    results: dict[str, Any] = {}

    def guarded(name: str, run: Callable[[socket.socket], Any], connection: socket.socket) -> None:
        with connection:
            connection.settimeout(30)
            try:
                results[name] = run(connection)
            except Exception as error:  # noqa: BLE001
                results[name] = error

    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    thread = threading.Thread(target=guarded, args=("server", server, other))
    thread.start()
    guarded("client", client, one)
    thread.join(30)
    assert not thread.is_alive()
    return results["client"], results["server"]


def test_example_runs_as_a_program() -> None:
    found = subprocess.run([sys.executable, str(EXAMPLE)], capture_output=True, text=True, timeout=60, check=True)
    assert "hello over CredSSP" in found.stdout
    assert "PasswordCredentials(username='alice'" in found.stdout
    assert "'secret'" not in found.stdout


@pytest.mark.parametrize("read_size", [1, 2, 5, 6, 100, 16384])
@pytest.mark.parametrize("length", [1, 40_000])
def test_example_works_with_arbitrary_read_sizes(read_size: int, length: int) -> None:
    if read_size < 100 < length:
        length = 300
    data = bytes(range(256)) * (length // 256 + 1)
    answer, delegated = over_loopback(
        lambda connection: example.talk(connection, "secret", data[:length], read_size=read_size),
        lambda connection: example.serve(connection, ACCOUNTS, read_size=read_size),
    )
    assert answer == data[:length]
    assert "alice" in delegated


def test_example_tells_the_client_of_a_wrong_password() -> None:
    client, server = over_loopback(
        lambda connection: example.talk(connection, "wrong", b"x"),
        lambda connection: example.serve(connection, ACCOUNTS),
    )
    for error in (client, server):
        assert isinstance(error, SSPIError), error
        assert error.status is SecurityStatus.SEC_E_LOGON_DENIED
    assert client.ntstatus == 0xC000006D


# pyspnego's CredSSP, an independent implementation, in both roles


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "users"
    path.write_text("LAB:alice:secret\n")
    monkeypatch.setenv("NTLM_USER_FILE", str(path))


def pyspnego_end(context: Any, connection: socket.socket, *, first: bool) -> None:
    """Drive a context of pyspnego over a socket.

    It wants a token for a token, as over HTTP, and what it has read of the stream already does not count. So at the end
    of TLS 1.3's handshake it gets an empty one: the initiator after its Finished, the acceptor after its tickets.
    """
    token = context.step() if first else None
    sent = 0
    while True:
        if token:
            connection.sendall(token)
            sent += 1
        if context.complete:
            return
        if sent == 2:
            sent += 1
            token = context.step(b"")
            continue
        data = connection.recv(65536)
        if not data:
            raise EOFError
        token = context.step(data)


@pytest.mark.interop
@pytest.mark.usefixtures("users")
def test_client_completes_with_the_acceptor_of_pyspnego() -> None:
    spnego = require_module("spnego")

    def server(connection: socket.socket) -> tuple[str, bytes]:
        context = spnego.server(protocol="credssp")
        pyspnego_end(context, connection, first=False)
        connection.sendall(context.wrap(b"ready").data)
        data = connection.recv(65536)
        plain = context.unwrap(data).data
        connection.sendall(context.wrap(plain.upper()).data)
        connection.recv(65536)  # close_notify
        return context.client_principal, plain

    def client(connection: socket.socket) -> bytes | None:
        stream = example.Stream(connection)
        credential = example.acquire_client("alice", "LAB", "secret")
        context = example.authenticate(stream, credential, server=False)
        # pyspnego takes what comes with the last token for a part of it, so it speaks first.
        assert example.receive(stream, context) == b"ready"
        example.send(stream, context, b"to pyspnego")
        answer: bytes | None = example.receive(stream, context)
        example.shut_down(stream, credential, context, server=False)
        return answer

    answer, found = over_loopback(client, server)
    assert answer == b"TO PYSPNEGO", (answer, found)
    assert found == ("LAB\\alice", b"to pyspnego")


@pytest.mark.interop
def test_server_completes_with_the_initiator_of_pyspnego() -> None:
    spnego = require_module("spnego")

    def client(connection: socket.socket) -> bytes:
        context = spnego.client("LAB\\alice", "secret", hostname="srv.lab.test", service="TERMSRV", protocol="credssp")
        pyspnego_end(context, connection, first=True)
        connection.sendall(context.wrap(b"from pyspnego").data)
        answer: bytes = context.unwrap(connection.recv(65536)).data
        connection.shutdown(socket.SHUT_WR)
        return answer

    def server(connection: socket.socket) -> str:
        try:
            return str(example.serve(connection, ACCOUNTS))
        except EOFError:
            return "the peer left without close_notify, after its data"

    answer, found = over_loopback(client, server)
    assert answer == b"from pyspnego", (answer, found)
    assert "after its data" in found
