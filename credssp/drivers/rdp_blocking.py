"""An RDP server with network level authentication on blocking sockets, one thread for each connection."""

from __future__ import annotations

import contextlib
import inspect
import socket
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, TypeAlias

from credssp.drivers.blocking import Session, log_on, reason
from credssp.drivers.handshake import NOT_LISTENING, ConnectError
from credssp.drivers.rdp_service import (
    Client,
    Closed,
    Delegated,
    ServerSettings,
    as_result,
    failed_authorize,
    logger,
    refused,
)
from credssp.errors import CredSSPError, LocalProtocolError
from credssp.rdp.early_user_authorization import EarlyUserAuthorization
from credssp.rdp.events import AuthorizationRequired, Negotiated
from credssp.rdp.server import NLAServer

__all__ = ["BlockingServer", "SessionHandler"]

SessionHandler: TypeAlias = Callable[[Session[NLAServer]], None]

_BACKLOG = 1024
_POLL = 0.2
"""Seconds between two looks whether `close` was called."""


class BlockingServer:
    """Accepts logins and hands the streams to a handler; made by `credssp.rdp.serve`.

    Attributes:
        settings: what the connections have in common.
        address: where it listens, with the real port where 0 was asked for.
    """

    def __init__(self, settings: ServerSettings, handler: SessionHandler | None, host: str, port: int) -> None:
        self.settings = settings
        self._handler = handler
        self._lock = threading.Lock()
        self._half_open: dict[socket.socket, None] = {}
        self._threads: set[threading.Thread] = set()
        self._closing = threading.Event()
        try:
            self._listener = socket.create_server(
                (host, port),
                family=socket.AF_INET6 if ":" in host else socket.AF_INET,
                backlog=_BACKLOG,
                reuse_port=settings.config.reuse_port,
            )
        except (OSError, ValueError, OverflowError) as error:
            raise ConnectError(f"cannot listen on {host} port {port}: {reason(error)}", advice=NOT_LISTENING) from None
        self._listener.settimeout(_POLL)
        self.address: tuple[str, int] = self._listener.getsockname()[:2]

    @property
    def half_open(self) -> int:
        """How many connections there are whose login is not over."""
        with self._lock:
            return len(self._half_open)

    def serve_forever(self) -> None:
        """Serve until `close` is called, from another thread or by a signal handler."""
        while not self._closing.is_set():
            try:
                connection, address = self._listener.accept()
            except TimeoutError:
                continue
            except OSError as error:
                if self._closing.is_set():
                    break
                # Out of descriptors, mostly: half-open connections free some within the deadline.
                logger.warning("accept failed: %s", reason(error))
                time.sleep(_POLL)
                continue
            self._accept(connection, address)

    def _accept(self, connection: socket.socket, address: object) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            if len(self._half_open) >= self.settings.config.limits.half_open:
                oldest = next(iter(self._half_open))
                del self._half_open[oldest]
                _wake(oldest)
            thread = threading.Thread(target=self._run, args=(connection, address), daemon=True)
            try:
                # With the lock held: `close` must not find a thread that it cannot wait for.
                thread.start()
            except RuntimeError:  # no more threads to be had
                logger.warning("no thread for a connection; it is closed")
                connection.close()
                return
            self._half_open[connection] = None
            self._threads.add(thread)

    def _run(self, connection: socket.socket, address: object) -> None:
        settings = self.settings
        client = settings.client(address, settings.endpoint())
        try:
            session = self._log_on(connection, client)
            if session is not None:
                self._serve(session, client)
        finally:
            self._forget(connection)
            connection.close()
            client.endpoint.forget_credentials()
            settings.tell(client, Closed())
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _log_on(self, connection: socket.socket, client: Client) -> Session[NLAServer] | None:
        def take(events: Sequence[object]) -> None:
            for event in events:
                if isinstance(event, Negotiated):
                    self.settings.tell(client, event)
                elif isinstance(event, AuthorizationRequired):
                    self.settings.tell(client, Delegated(event.identity, event.credentials))
                    client.endpoint.authorize(self._authorize(event))

        try:
            session = log_on(connection, client.endpoint, timeouts=self.settings.config.limits.timeouts, on_events=take)
        except Exception as error:  # noqa: BLE001  # of an account store, say
            self.settings.tell(client, refused(error))
            if isinstance(error, CredSSPError) and error.token:
                _linger(connection, self.settings.config.limits.linger)
            return None
        self._forget(connection)
        return session

    def _authorize(self, event: AuthorizationRequired) -> EarlyUserAuthorization:
        authorize = self.settings.config.authorize
        if authorize is None:
            return EarlyUserAuthorization.AUTHZ_SUCCESS
        try:
            verdict = authorize(event.identity, event.credentials)
            if inspect.isawaitable(verdict):
                if inspect.iscoroutine(verdict):
                    verdict.close()
                raise LocalProtocolError("an authorize callback that is awaited needs start_server")
            return as_result(verdict)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is no yes
            return failed_authorize(error)

    def _serve(self, session: Session[NLAServer], client: Client) -> None:
        try:
            if self._handler is not None:
                self._handler(session)
        except (CredSSPError, OSError) as error:
            logger.info("connection %d ended: %s", client.number, type(error).__name__)
        except Exception:  # noqa: BLE001  # one bad handler must not end the service of the others
            logger.exception("the handler of connection %d failed", client.number)
        finally:
            session.close()

    def _forget(self, connection: socket.socket) -> None:
        with self._lock:
            self._half_open.pop(connection, None)

    def close(self, *, timeout: float = 5.0) -> None:
        """Stop listening, close half-open connections, and wait for handlers that are still at work.

        Args:
            timeout: seconds to wait for them; their threads do not keep the process alive.
        """
        self._closing.set()
        self._listener.close()
        with self._lock:
            waiting = list(self._threads)
            for connection in self._half_open:
                _wake(connection)
        end = time.monotonic() + timeout
        for thread in waiting:
            if thread is not threading.current_thread():
                thread.join(max(0.0, end - time.monotonic()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _wake(connection: socket.socket) -> None:
    """End a connection whose thread waits for it; closing the descriptor under it would not wake it."""
    with contextlib.suppress(OSError):  # the client was faster
        connection.shutdown(socket.SHUT_RDWR)


def _linger(connection: socket.socket, seconds: float) -> None:
    """Let the client close first, for a while: a reset may overtake what we said last."""
    end = time.monotonic() + seconds
    with contextlib.suppress(OSError):  # gone, or too slow
        connection.shutdown(socket.SHUT_WR)
        while (left := end - time.monotonic()) > 0:
            connection.settimeout(left)
            if not connection.recv(65536):
                break
