"""Logins over blocking sockets."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

from credssp.drivers.handshake import ConnectError, Handshake, Obstacle, Timeouts, too_late
from credssp.errors import CredSSPError, PeerClosedError

__all__ = ["Session", "log_on", "obstacle_of", "open_socket"]

_READ_SIZE = 65536
_GOODBYE = 1.0
"""Seconds to say goodbye in, to a peer that may not read any more."""

H = TypeVar("H", bound=Handshake)


def open_socket(host: str, port: int, *, timeouts: Timeouts) -> socket.socket:
    """Connect.

    Raises:
        ConnectError: no program listens there, the host does not exist, or it cannot be reached.
    """
    try:
        connection = socket.create_connection((host.strip("[]"), port), timeout=timeouts.connect)
    except TimeoutError:
        text = f"no connection to {host} port {port} within {timeouts.connect:g} s"
        raise ConnectError(text).because_of(Obstacle.SILENT) from None
    except (OSError, UnicodeError, OverflowError) as error:
        text = f"no connection to {host} port {port}: {reason(error)}"
        raise ConnectError(text).because_of(obstacle_of(error)) from None
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


_UNREACHABLE: Final = (
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.EHOSTDOWN,
    errno.EADDRNOTAVAIL,
    errno.EACCES,  # what Linux says of an address that a rule prohibits
    errno.EINVAL,  # and of a black hole among its own routes
)


def obstacle_of(error: Exception) -> Obstacle:
    """Sort what the operating system says about an attempt to connect."""
    if isinstance(error, socket.gaierror | UnicodeError):
        return Obstacle.NAME
    if isinstance(error, ConnectionRefusedError):
        return Obstacle.REFUSED
    if isinstance(error, TimeoutError):
        return Obstacle.SILENT
    number = error.errno if isinstance(error, OSError) else None
    return Obstacle.UNREACHABLE if number in _UNREACHABLE else Obstacle.OTHER


def reason(error: Exception) -> str:
    """Say what is wrong, without the number: ``Connection refused``."""
    if isinstance(error, UnicodeError | OverflowError):
        return "that is not a host name and port"
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)  # asyncio puts a text of its own into strerror
    return getattr(error, "strerror", None) or type(error).__name__


def log_on(
    connection: socket.socket,
    endpoint: H,
    *,
    timeouts: Timeouts,
    on_events: Callable[[Sequence[object]], None] | None = None,
) -> Session[H]:
    """Run a login over a connected socket, which belongs to the session afterwards.

    Args:
        connection: the socket; left open if the login fails.
        endpoint: this side of the login.
        timeouts: `leg` and `login` count here.
        on_events: called with the events of every leg.

    Raises:
        CredSSPError: the login failed; what had still to be sent was sent.
    """
    end = time.monotonic() + timeouts.login
    try:
        endpoint.start()
        while True:
            data = endpoint.data_to_send()
            if data:
                _send(connection, data, endpoint, timeouts, end)
            if endpoint.complete:
                return Session(connection, endpoint)
            events = endpoint.receive(_receive(connection, endpoint, timeouts, end))
            if on_events is not None:
                on_events(events)
    except CredSSPError as error:
        if error.token:
            with contextlib.suppress(OSError):  # the peer is gone, and the error says what happened before
                connection.sendall(error.token)
        raise


def _receive(connection: socket.socket, endpoint: Handshake, timeouts: Timeouts, end: float) -> bytes:
    left = end - time.monotonic()
    try:
        if left <= 0:
            raise TimeoutError
        connection.settimeout(min(timeouts.leg, left))
        data = connection.recv(_READ_SIZE)
    except TimeoutError:
        raise too_late(timeouts, endpoint.awaited, whole=left <= timeouts.leg) from None
    except OSError:
        data = b""  # a reset is an end like others
    if not data:
        endpoint.receive_eof()
        raise PeerClosedError("the peer closed the connection")  # pragma: no cover  # receive_eof raises in a login
    return data


def _send(connection: socket.socket, data: bytes, endpoint: Handshake, timeouts: Timeouts, end: float) -> None:
    left = end - time.monotonic()
    try:
        if left <= 0:
            raise TimeoutError
        connection.settimeout(min(timeouts.leg, left))
        connection.sendall(data)
    except TimeoutError:
        raise too_late(timeouts, endpoint.awaited, whole=left <= timeouts.leg) from None
    except OSError:
        pass  # what the peer said before it went may still be there to read, and is worth more than this error


class Session(Generic[H]):
    """The encrypted stream after a login.

    Threads: full duplex, as a socket. One thread may read while another writes; several readers, or several writers,
    take turns, and what one `sendall` is given stays together. `close` may come from any thread and ends the others.

    Attributes:
        endpoint: this side of the login: what was negotiated, who logged on, what TLS says.
    """

    def __init__(self, connection: socket.socket, endpoint: H) -> None:
        self.endpoint = endpoint
        self._socket = connection
        self._ready = endpoint.unused_data
        self._reading = threading.RLock()
        self._writing = threading.Lock()
        connection.settimeout(None)

    def settimeout(self, seconds: float | None) -> None:
        """Set how long `recv` and `sendall` may wait; at first, forever."""
        self._socket.settimeout(seconds)

    def recv(self, size: int = _READ_SIZE) -> bytes:
        """Return up to `size` bytes, at least one, or none at the end of the stream.

        Bytes that came together with the login's last message come first.

        Raises:
            PeerRefusedError, LoginRefusedError: the server refused the login after all (`NLAClient.accepted`).
            CredSSPError: TLS failed, or the peer sent a fatal alert.
            OSError: the socket failed, or took longer than `settimeout` allows.
        """
        with self._reading:
            while not self._ready:
                if self.endpoint.peer_closed:
                    self.endpoint.receive_eof()
                    return b""
                try:
                    data = self._socket.recv(_READ_SIZE)
                except ConnectionError:
                    self.endpoint.receive_eof()  # says more, where the login was not accepted yet
                    raise
                if not data:
                    self.endpoint.receive_eof()
                    return b""
                self._ready = self.endpoint.unwrap(data)
                self._reply()
            data, self._ready = self._ready[:size], self._ready[size:]
            return data

    def _reply(self) -> None:
        """Send what TLS itself has to say, unless a writer is at it, whose next record brings it along.

        Reading must not wait for writing: where both ends have full buffers, neither would go on.
        """
        if self._writing.acquire(blocking=False):
            try:
                reply = self.endpoint.data_to_send()
                if reply:
                    self._socket.sendall(reply)
            finally:
                self._writing.release()

    def recv_exactly(self, size: int) -> bytes:
        """Return exactly `size` bytes.

        Raises:
            PeerClosedError: the stream ended before.
            CredSSPError, OSError: as `recv`.
        """
        pieces = []
        missing = size
        with self._reading:
            while missing:
                piece = self.recv(missing)
                if not piece:
                    raise PeerClosedError(f"the stream ended {missing} bytes too early")
                pieces.append(piece)
                missing -= len(piece)
        return b"".join(pieces)

    def sendall(self, data: bytes) -> None:
        """Send bytes.

        Raises:
            CredSSPError: the session is closed.
            OSError: the socket failed.
        """
        with self._writing:
            self._socket.sendall(self.endpoint.wrap(data))

    def unread(self, data: bytes) -> None:
        """Put bytes back in front of the stream."""
        with self._reading:
            self._ready = data + self._ready

    def close(self) -> None:
        """Say goodbye (close_notify) and close the socket."""
        with contextlib.suppress(OSError):  # the peer is gone already, or does not read
            self._socket.settimeout(_GOODBYE)
            if self._writing.acquire(timeout=_GOODBYE):
                try:
                    self._socket.sendall(self.endpoint.shutdown())
                finally:
                    self._writing.release()
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes a thread that reads
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
