"""An RDP server with network level authentication on asyncio."""

from __future__ import annotations

import asyncio
import inspect
import socket
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self, TypeAlias

from credssp.drivers.aio import AsyncSession, LoginProtocol
from credssp.drivers.gate import Place
from credssp.drivers.handshake import too_late
from credssp.drivers.listening import Listener, bind_all, bound_to
from credssp.drivers.rdp_service import (
    Client,
    Closed,
    ServerSettings,
    Verdict,
    as_result,
    failed_authorize,
    logger,
)
from credssp.errors import CredSSPError, LimitExceededError, LocalProtocolError
from credssp.rdp.early_user_authorization import EarlyUserAuthorization
from credssp.rdp.events import AuthorizationRequired, Negotiated
from credssp.rdp.server import NLAServer

__all__ = ["AsyncServer", "AsyncSessionHandler"]

AsyncSessionHandler: TypeAlias = Callable[[AsyncSession[NLAServer]], Awaitable[None]]


class AsyncServer:
    """Accepts logins and hands the streams to a handler; made by `credssp.rdp.start_server`.

    Attributes:
        settings: what the connections have in common.
        handler: gets the session after each login; None closes it.
    """

    def __init__(self, settings: ServerSettings, handler: AsyncSessionHandler | None) -> None:
        self.settings = settings
        self.handler = handler
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: Listener | None = None
        self._stopped: asyncio.Future[None] | None = None

    @property
    def half_open(self) -> Sequence[Place]:
        """Connections whose login is not over."""
        return self.settings.gate.half_open

    async def start(self, host: str | None, port: int, *, sock: socket.socket | None) -> None:
        """Begin to listen."""
        sockets = [sock] if sock is not None else None
        if sockets is None:
            sockets = await bind_all(host, port, reuse_port=self.settings.config.reuse_port)
        self._listener = Listener(
            sockets,
            self.settings.gate,
            self._connect,
            first_byte=self.settings.config.limits.leg,
            silent=self._silent,
        )
        self._stopped = asyncio.get_running_loop().create_future()
        self._listener.start()

    async def _connect(self, connection: socket.socket, place: Place) -> None:
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: _Login(self, place), connection)

    def _silent(self, place: Place, error: CredSSPError | None) -> None:
        settings = self.settings
        client = settings.client(place.address, settings.endpoint(), silent=True)
        if error is None:
            error = too_late(settings.config.limits.timeouts, client.endpoint.awaited, whole=False)
        settings.refused(client, error)
        settings.tell(client, Closed())

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, with the real port where 0 was asked for."""
        return bound_to(self._listening().sockets[0])

    async def serve_forever(self) -> None:
        """Serve until cancelled, or until `close` is called."""
        self._listening()
        if self._stopped is not None:
            await asyncio.shield(self._stopped)

    def _listening(self) -> Listener:
        if self._listener is None:
            raise LocalProtocolError("this server was not started")
        return self._listener

    def left(self, place: Place) -> None:
        """Say that a connection is closed."""
        self.settings.gate.leave(place)
        self._listening().note_room()

    async def close(self) -> None:
        """Stop listening, close half-open connections, cancel handlers and wait for them."""
        if self._listener is not None:
            self._listener.close()
        if self._stopped is not None and not self._stopped.done():
            self._stopped.set_result(None)
        for place in self.half_open:
            place.drop("the server is shutting down")
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports report their end in the loop's next turn

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def spawn(self, work: Awaitable[None]) -> None:
        """Run something that `close` waits for."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def serve(
        self, handler: AsyncSessionHandler, client: Client, session: AsyncSession[NLAServer], place: Place
    ) -> None:
        """Let the handler have the session, then close it."""
        try:
            await handler(session)
        except (CredSSPError, ConnectionError) as error:
            logger.info("connection %d ended: %s", client.number, type(error).__name__)
        except Exception:  # noqa: BLE001  # one bad handler must not end the service of the others
            logger.exception("the handler of connection %d failed", client.number)
        finally:
            session.close()
            client.endpoint.forget_credentials()
            self.left(place)
            self.settings.tell(client, Closed())


class _Login(LoginProtocol[NLAServer]):
    """One connection until its login is over."""

    def __init__(self, server: AsyncServer, place: Place) -> None:
        self._service = server
        self._place = place
        settings = server.settings
        self.client: Client  # from connection_made on, before which nothing happens
        super().__init__(
            settings.endpoint(),
            timeouts=settings.config.limits.timeouts,
            finished=self._logged_on,
            failed=self._refused,
            on_events=self._take,
            linger=settings.config.limits.linger,
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        place = self._place
        self.client = self._service.settings.client(place.address, self.endpoint)
        super().connection_made(transport)
        place.drop = self.drop
        if place.gone:  # its place was needed meanwhile
            self.drop("too many logins at once")

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._place.progress < 2 and (context := self.endpoint.context) is not None and context.tls_cipher:
            self._service.settings.gate.advance(self._place, 2)

    def drop(self, why: str) -> None:
        """End it at once."""
        self.abort(LimitExceededError(why))

    def _take(self, events: Sequence[object]) -> None:
        for event in events:
            if isinstance(event, Negotiated):
                self._service.settings.tell(self.client, event)
            elif isinstance(event, AuthorizationRequired):
                self._service.settings.delegated(self.client, event)
                self._authorize(event)

    def _authorize(self, event: AuthorizationRequired) -> None:
        authorize = self._service.settings.config.authorize
        if authorize is None:
            self.endpoint.authorize(EarlyUserAuthorization.AUTHZ_SUCCESS)
            return
        try:
            verdict = authorize(event.identity, event.credentials)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is no yes
            self.endpoint.authorize(failed_authorize(error))
            return
        if inspect.isawaitable(verdict):
            self.wait()
            self._service.spawn(self._authorize_later(verdict))
        else:
            self.endpoint.authorize(as_result(verdict))

    async def _authorize_later(self, verdict: Awaitable[Verdict]) -> None:
        try:
            result = as_result(await verdict)
        except Exception as error:  # noqa: BLE001  # as above
            result = failed_authorize(error)
        self.resume()
        if self.over:
            return
        try:
            self._take(self.endpoint.authorize(result))
            self.advance()
        except Exception as error:  # noqa: BLE001  # as in data_received
            self.fail(error)

    def _logged_on(self, session: AsyncSession[NLAServer]) -> None:
        service = self._service
        service.settings.gate.opened(self._place)
        if service.handler is not None:
            service.spawn(service.serve(service.handler, self.client, session, self._place))

    def _hand_over(self, transport: asyncio.Transport) -> None:
        if self._service.handler is not None:
            super()._hand_over(transport)
        else:
            # Nobody wants the stream: the last message and the goodbye go out together.
            transport.write(self.endpoint.data_to_send() + self.endpoint.shutdown())
            transport.close()
            self._let_go()
            self.endpoint.forget_credentials()

    def _refused(self, error: Exception) -> None:
        self._service.settings.refused(self.client, error)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        # A refused connection counts until it is gone, or lingering would be a way around the limit.
        self._service.left(self._place)
        self._service.settings.tell(self.client, Closed())
