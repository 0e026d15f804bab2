"""An RDP server with network level authentication on blocking sockets.

Each connection has a thread from its first byte on; those that have sent nothing wait in one selector.
"""

from __future__ import annotations

import contextlib
import functools
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Self, TypeAlias

from credssp.drivers.blocking import Session, log_on, reason
from credssp.drivers.faults import fault
from credssp.drivers.gate import NO_PLACE, Place, host_and_port
from credssp.drivers.handshake import NOT_LISTENING, ConnectError
from credssp.drivers.listening import BATCH, Complaint, bind_one, bound_to, send_at_once
from credssp.drivers.rdp_service import (
    Client,
    Closed,
    ServerSettings,
    logger,
)
from credssp.errors import CredSSPError, LimitExceededError, PeerClosedError
from credssp.rdp.early_user_authorization import EarlyUserAuthorization
from credssp.rdp.events import AnswerRequired, AuthorizationRequired, Completed, Negotiated
from credssp.rdp.server import NLAServer

__all__ = ["BlockingServer", "SessionHandler"]

SessionHandler: TypeAlias = Callable[[Session[NLAServer]], None]

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
        self._waiting: dict[Place, tuple[socket.socket, float]] = {}
        self._complaint = Complaint()
        self._threads: dict[threading.Thread, socket.socket] = {}
        self._closing = threading.Event()
        try:
            self._listener = bind_one(host, port, reuse_port=settings.config.reuse_port)
        except (OSError, ValueError, OverflowError) as error:
            raise ConnectError(f"cannot listen on {host} port {port}: {reason(error)}", advice=NOT_LISTENING) from None
        self._listener.setblocking(False)  # as socket has it
        self.address = bound_to(self._listener)

    @property
    def half_open(self) -> int:
        """How many connections there are whose login is not over."""
        return len(self.settings.gate.half_open)

    def serve_forever(self) -> None:
        """Serve until `close` is called, from another thread or by a signal handler."""
        with selectors.DefaultSelector() as selector:
            try:
                selector.register(self._listener, selectors.EVENT_READ)
                while not self._closing.is_set():
                    for key, _ in selector.select(_POLL):
                        if key.data is None:
                            self._accept(selector)
                        else:
                            self._look(selector, key.data)
                    self._sweep(selector)
            except (OSError, ValueError):
                if not self._closing.is_set():  # else it is the listener, which was closed
                    raise
            finally:
                for place in list(self._waiting):
                    self._end(selector, place, LimitExceededError("the server is shutting down"))

    def _accept(self, selector: selectors.BaseSelector) -> None:
        for _ in range(BATCH):
            try:
                connection, address = self._listener.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError as error:
                if not self._closing.is_set():
                    self._complaint.say(error, time.monotonic())
                    time.sleep(_POLL)
                return
            place = self.settings.gate.enter(address, lambda why: None)  # noqa: ARG005  # the next but two
            if place is None:
                connection.close()
                self.settings.silent(host_and_port(address), LimitExceededError(NO_PLACE))
                continue
            place.drop = functools.partial(self._drop, selector, place)
            connection.setblocking(False)  # as above
            send_at_once(connection)
            self._waiting[place] = connection, time.monotonic()
            if not place.hold:
                selector.register(connection, selectors.EVENT_READ, place)

    def _drop(self, selector: selectors.BaseSelector, place: Place, why: str) -> None:
        self._end(selector, place, LimitExceededError(why))

    def _sweep(self, selector: selectors.BaseSelector) -> None:
        """Listen to those whose time to wait is over, and end those that say nothing."""
        now = time.monotonic()
        for place, (connection, since) in list(self._waiting.items()):
            due = since + place.hold
            if now < due:
                continue
            if place.hold:
                place.hold = 0.0
                self._waiting[place] = connection, now
                selector.register(connection, selectors.EVENT_READ, place)
            elif now >= due + self.settings.config.limits.leg:
                self._end(selector, place, None)

    def _end(self, selector: selectors.BaseSelector, place: Place, error: CredSSPError | None) -> None:
        """Close a connection that has sent nothing."""
        found = self._waiting.pop(place, None)
        if found is None:
            return
        with contextlib.suppress(KeyError, ValueError):
            selector.unregister(found[0])
        found[0].close()
        self.settings.gate.leave(place)
        self.settings.silent(place.address, error)

    def _look(self, selector: selectors.BaseSelector, place: Place) -> None:
        """Give a connection that has sent something a thread."""
        found = self._waiting.get(place)
        if found is None:
            return
        connection, _ = found
        try:
            first = connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            first = b""
        if not first:
            self._end(selector, place, PeerClosedError("the peer closed the connection"))
            return
        del self._waiting[place]
        selector.unregister(connection)
        connection.setblocking(True)  # as above
        self.settings.gate.advance(place, 1)
        dropped: list[str] = []

        def drop(why: str) -> None:
            dropped.append(why)
            _wake(connection)  # its thread sees an end

        place.drop = drop
        with self._lock:
            thread = threading.Thread(target=self._run, args=(connection, place, dropped), daemon=True)
            try:
                # With the lock held: `close` must not find a thread that it cannot wait for.
                thread.start()
                self._threads[thread] = connection
                return
            except RuntimeError:  # no more threads to be had
                logger.warning("no thread for a connection; it is closed")
        connection.close()
        self.settings.gate.leave(place)
        self.settings.silent(place.address, LimitExceededError("the server has no thread for another connection"))

    def _run(self, connection: socket.socket, place: Place, dropped: Sequence[str]) -> None:
        settings = self.settings
        client = settings.client(place.address, settings.endpoint())
        try:
            session = self._log_on(connection, client, place, dropped)
            if session is not None:
                self._serve(session, client)
        finally:
            connection.close()
            client.endpoint.forget_credentials()
            settings.gate.leave(place)
            settings.tell(client, Closed())
            with self._lock:
                self._threads.pop(threading.current_thread(), None)

    def _log_on(
        self, connection: socket.socket, client: Client, place: Place, dropped: Sequence[str]
    ) -> Session[NLAServer] | None:
        arrived: list[AuthorizationRequired] = []  # until it is decided what becomes of it

        def take(events: Sequence[object]) -> None:
            if place.progress < 2 and (context := client.endpoint.context) is not None and context.tls_cipher:
                self.settings.gate.advance(place, 2)
            for event in events:
                if isinstance(event, Negotiated):
                    self.settings.tell(client, event)
                elif isinstance(event, AnswerRequired):
                    take(client.endpoint.answer(self.settings.guard.ask(event.question)))
                elif isinstance(event, AuthorizationRequired):
                    self.settings.proved(event)
                    arrived.append(event)
                    result = self.settings.authorizer.decide(self.settings.authorization(client, event))
                    if result is not EarlyUserAuthorization.AUTHZ_SUCCESS:
                        self.settings.delegated(client, arrived.pop())  # what it was that is refused
                    take(client.endpoint.authorize(result))
                elif isinstance(event, Completed):
                    self.settings.delegated(client, arrived.pop())

        try:
            session = log_on(connection, client.endpoint, timeouts=self.settings.config.limits.timeouts, on_events=take)
        except BaseException as error:  # noqa: BLE001  # of an account store, say, even if it wants to end the thread
            self.settings.refused(client, LimitExceededError(dropped[0]) if dropped else error)
            if isinstance(error, CredSSPError) and error.token and not dropped:
                _linger(connection, self.settings.config.limits.linger)
            return None
        self.settings.gate.opened(place)
        return session

    def _serve(self, session: Session[NLAServer], client: Client) -> None:
        try:
            if self._handler is not None:
                self._handler(session)
        except (CredSSPError, OSError) as error:
            logger.info("connection %d ended: %s", client.number, type(error).__name__)
        except Exception as error:  # noqa: BLE001  # one bad handler must not end the service of the others
            logger.error("the handler of connection %d failed %s", client.number, fault(error))
        finally:
            session.close()

    def close(self, *, timeout: float = 5.0) -> None:
        """Stop listening, close half-open connections, and wait for handlers that are still at work.

        Args:
            timeout: seconds to wait for them. Then their connections are closed, which ends those that read; threads
                of others do not keep the process alive.
        """
        self._closing.set()
        self._listener.close()
        with self._lock:
            waiting = dict(self._threads)
        for place in self.settings.gate.half_open:
            if place.progress:  # others are closed by the thread that accepts
                place.drop("the server is shutting down")
        waiting.pop(threading.current_thread(), None)
        self._join(waiting, timeout)
        for thread, connection in waiting.items():
            if thread.is_alive():
                _wake(connection)
        self._join(waiting, _POLL)

    def _join(self, threads: Iterable[threading.Thread], timeout: float) -> None:
        end = time.monotonic() + timeout
        for thread in threads:
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
