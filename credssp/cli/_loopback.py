"""A client and a server of our own on one real loopback connection, and a record of every leg.

The client runs in the calling thread and the server in another. They take turns, as the protocol requires, and each leg
is noted before it is sent: so the record has the legs in their order although two threads write it. Every wait has an
end: `_DEADLINE` for one read, accept or connect.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from credssp.context import ClientContext, ServerContext
from credssp.dissect.views import fields_of
from credssp.engine.events import Direction
from credssp.errors import CredSSPError, PeerClosedError
from credssp.status import SecurityStatus
from credssp.tls.record import has_handshake
from credssp.wire.ts_request import TSRequest

__all__ = ["GREETING", "REPLY", "LoopbackLeg", "Recorder", "Transcript", "run_login"]

_DEADLINE: Final = 20.0
"""Seconds; a login over loopback takes some thousandths."""

GREETING: Final = b"hello from the client"
REPLY: Final = b"hello from the server"

Sender = Literal["client", "server"]


@dataclass(frozen=True, slots=True)
class LoopbackLeg:
    """What one side sent in one go.

    Attributes:
        number: counted from 1.
        sender: who sent it.
        size: its bytes on the wire, TLS included.
        content: what is in it.
        status: what the sender's `step` (or `wrap`, `shutdown`) came to.
    """

    number: int
    sender: Sender
    size: int
    content: tuple[str, ...]
    status: SecurityStatus


class Recorder:
    """Notes what one side sends; an `Observer` for its context."""

    def __init__(self, sender: Sender, legs: list[LoopbackLeg]) -> None:
        self._sender = sender
        self._legs = legs
        self._fields: list[str] = []

    def __call__(self, direction: Direction, message: TSRequest, data: bytes) -> None:  # noqa: ARG002  # an Observer
        """Note a TSRequest; it goes into the leg that is sent next."""
        if direction is Direction.SENT:
            fields = ", ".join(fields_of(message))
            self._fields.append(f"TSRequest: {fields}")

    def leg(self, token: bytes, status: SecurityStatus, content: str = "") -> None:
        """Note a leg."""
        parts = [content] if content else ["TLS handshake"] * has_handshake(token) + self._fields
        self._fields = []
        self._legs.append(
            LoopbackLeg(len(self._legs) + 1, self._sender, len(token), tuple(parts) or ("TLS alert",), status)
        )


@dataclass(slots=True)
class Transcript:
    """What came of a login.

    Attributes:
        client_status: where the client's context ended.
        server_status: where the server's context ended.
        server_received: application data that the server decrypted.
        client_received: application data that the client decrypted.
        closed: whether both sides saw the other's close_notify.
        failures: what went wrong, in the order in which it did.
    """

    client_status: SecurityStatus = SecurityStatus.SEC_I_CONTINUE_NEEDED
    server_status: SecurityStatus = SecurityStatus.SEC_I_CONTINUE_NEEDED
    server_received: bytes = b""
    client_received: bytes = b""
    closed: bool = False
    failures: list[CredSSPError] = field(default_factory=list)


def run_login(
    client: ClientContext, server: ServerContext, client_recorder: Recorder, server_recorder: Recorder
) -> Transcript:
    """Log on, exchange a message each way, close."""
    transcript = Transcript()
    with _listen() as listener:
        listener.settimeout(_DEADLINE)

        def serve() -> None:
            try:
                with listener.accept()[0] as connection:
                    _serve(_Side(server, connection, server_recorder), transcript)
            except (CredSSPError, OSError) as error:
                transcript.failures.append(_ours(error, "server"))

        thread = threading.Thread(target=serve, name="credssp demo server", daemon=True)
        thread.start()
        try:
            with socket.create_connection(listener.getsockname()[:2], timeout=_DEADLINE) as connection:
                _connect(_Side(client, connection, client_recorder), transcript)
        except (CredSSPError, OSError) as error:
            transcript.failures.append(_ours(error, "client"))
        # Not on Ctrl-C: the thread is a daemon and nobody has to wait for its deadline.
        thread.join(_DEADLINE)
    transcript.closed = client.peer_closed and server.peer_closed
    return transcript


def _listen() -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", 0))
    except OSError:  # a machine with IPv6 alone
        return socket.create_server(("::1", 0), family=socket.AF_INET6)


class _Side:
    """One side: a context on a socket."""

    def __init__(self, context: ClientContext | ServerContext, connection: socket.socket, recorder: Recorder) -> None:
        self._context = context
        self._socket = connection
        self._recorder = recorder
        connection.settimeout(_DEADLINE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log_on(self) -> SecurityStatus:
        """Run the exchange to its end and return the last status."""
        context = self._context
        try:
            result = context.step()
            while True:
                if result.token:
                    self._recorder.leg(result.token, result.status)
                    self._socket.sendall(result.token)
                if context.complete:
                    return result.status
                result = context.step(self._receive())
        except CredSSPError as error:
            if error.token:
                self._recorder.leg(error.token, error.status)
                self._socket.sendall(error.token)
            raise

    def send(self, data: bytes) -> None:
        """Send application data."""
        records = self._context.wrap(data)
        self._recorder.leg(records, SecurityStatus.SEC_E_OK, f"application data of {len(data)} bytes")
        self._socket.sendall(records)

    def messages(self, size: int) -> Iterator[bytes]:
        """Yield application data until there are `size` bytes."""
        data = self._context.unused_data
        while True:
            size -= len(data)
            yield data
            if size <= 0:
                return
            data = self._context.unwrap(self._receive())

    def close(self) -> None:
        """Say goodbye."""
        records = self._context.shutdown()
        self._recorder.leg(records, SecurityStatus.SEC_E_OK, "TLS close_notify")
        self._socket.sendall(records)

    def wait_for_close(self) -> None:
        """Read until the peer said goodbye."""
        while not self._context.peer_closed:
            self._context.unwrap(self._receive())

    def _receive(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            self._context.receive_eof()
            raise PeerClosedError("the connection ended without a TLS close_notify")
        return data


def _connect(side: _Side, transcript: Transcript) -> None:
    transcript.client_status = side.log_on()
    side.send(GREETING)
    transcript.client_received = b"".join(side.messages(len(REPLY)))
    side.close()
    side.wait_for_close()


def _serve(side: _Side, transcript: Transcript) -> None:
    transcript.server_status = side.log_on()
    transcript.server_received = b"".join(side.messages(len(GREETING)))
    side.send(REPLY)
    side.wait_for_close()
    side.close()


def _ours(error: CredSSPError | OSError, side: str) -> CredSSPError:
    if isinstance(error, CredSSPError):
        return error
    reason = error.strerror or type(error).__name__
    return PeerClosedError(f"the loopback connection of the {side} failed: {reason}")
