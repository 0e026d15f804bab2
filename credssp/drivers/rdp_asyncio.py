"""An RDP server with network level authentication on asyncio."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self, TypeAlias

from credssp.authority import LogonQuestion
from credssp.drivers.aio import AsyncSession, LoginProtocol
from credssp.drivers.authorization import denied
from credssp.drivers.faults import fault
from credssp.drivers.gate import Place
from credssp.drivers.listening import Listener, bind_all, bound_to, send_at_once
from credssp.drivers.rdp_service import (
    Client,
    Closed,
    ServerSettings,
    logger,
)
from credssp.errors import CredSSPError, LimitExceededError, LocalProtocolError, PeerClosedError
from credssp.rdp.early_user_authorization import EarlyUserAuthorization
from credssp.rdp.events import AnswerRequired, AuthorizationRequired, Completed, Negotiated
from credssp.rdp.server import NLAServer

__all__ = ["AsyncServer", "AsyncSessionHandler", "RDPLogin"]

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
            silent=self.settings.silent,
        )
        self._stopped = asyncio.get_running_loop().create_future()
        self._listener.start()

    async def _connect(self, connection: socket.socket, place: Place) -> None:
        login = self.make_login(place)
        try:
            send_at_once(connection)
            await asyncio.get_running_loop().connect_accepted_socket(lambda: login, connection)
        except BaseException:
            login.end(PeerClosedError("the connection was lost before anything was read from it"))
            raise

    def make_login(self, place: Place) -> RDPLogin:
        """Make our side of a connection."""
        return RDPLogin(self, place)

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

    def spawn(self, work: Awaitable[None]) -> asyncio.Future[None]:
        """Run something that `close` waits for."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def serve(
        self, handler: AsyncSessionHandler, client: Client, session: AsyncSession[NLAServer], place: Place
    ) -> None:
        """Let the handler have the session, then close it."""

        def over(task: asyncio.Future[None]) -> None:  # noqa: ARG001  # as the loop calls it
            # Not in a `finally` of the task: one that is cancelled before its first step never gets there.
            try:
                session.close()
            finally:
                client.endpoint.forget_credentials()
                self.left(place)
                self.settings.tell(client, Closed())

        self.spawn(self._handle(handler, client, session)).add_done_callback(over)

    async def _handle(self, handler: AsyncSessionHandler, client: Client, session: AsyncSession[NLAServer]) -> None:
        try:
            await handler(session)
        except (CredSSPError, ConnectionError) as error:
            logger.info("connection %d ended: %s", client.number, type(error).__name__)
        except Exception as error:  # noqa: BLE001  # one bad handler must not end the service of the others
            logger.error("the handler of connection %d failed %s", client.number, fault(error))


class RDPLogin(LoginProtocol[NLAServer]):
    """One connection until its login is over."""

    def __init__(self, server: AsyncServer, place: Place) -> None:
        self._service = server
        self._place = place
        settings = server.settings
        endpoint = settings.endpoint()
        self.client = settings.client(place.address, endpoint)
        self._closed = False
        self._arrived: AuthorizationRequired | None = None  # until it is decided what becomes of it
        super().__init__(
            endpoint,
            timeouts=settings.config.limits.timeouts,
            finished=self._logged_on,
            failed=self._refused,
            on_events=self._take,
            linger=settings.config.limits.linger,
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless its place was needed meanwhile."""
        place = self._place
        super().connection_made(transport)
        place.drop = self.drop
        if self.over:  # it was given up before
            transport.close()
        if place.gone:  # its place was needed meanwhile
            self.drop("too many logins at once")

    def data_received(self, data: bytes) -> None:
        """Go on, and tell the gate once TLS is set up."""
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
            elif isinstance(event, AnswerRequired):
                self.wait()
                self._service.spawn(self._answer_later(event.question))
            elif isinstance(event, AuthorizationRequired):
                self._service.settings.proved(event)
                self._arrived = event
                self._authorize(event)
            elif isinstance(event, Completed):
                self._tell_delegated()

    def _tell_delegated(self) -> None:
        event, self._arrived = self._arrived, None
        if event is not None:
            self._service.settings.delegated(self.client, event)

    async def _answer_later(self, question: LogonQuestion) -> None:
        try:
            answer = await self._service.settings.guard.ask_async(question)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # it ends this login, and no other
            self.fail(LimitExceededError("the login was cancelled") if not isinstance(error, Exception) else error)
            return
        self._go_on(lambda: self._take(self.endpoint.answer(answer)))

    def _authorize(self, event: AuthorizationRequired) -> None:
        settings = self._service.settings
        result = settings.authorizer.ask(settings.authorization(self.client, event))
        if isinstance(result, EarlyUserAuthorization):
            self._decide(result)
        else:
            self.wait()
            self._service.spawn(self._authorize_later(result))

    def _decide(self, result: EarlyUserAuthorization) -> None:
        if result is not EarlyUserAuthorization.AUTHZ_SUCCESS:
            self._tell_delegated()  # what it was that is refused
        self._take(self.endpoint.authorize(result))

    async def _authorize_later(self, awaited: Awaitable[EarlyUserAuthorization]) -> None:
        try:
            result = await awaited
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # whatever it is, it is no yes
            result = denied(error)
        self._go_on(lambda: self._decide(result))

    def _go_on(self, move: Callable[[], None]) -> None:
        """Continue with what the login waited for."""
        self.resume()
        if self.over:
            return
        try:
            move()
            self._flush()
            self.advance()
        except Exception as error:  # noqa: BLE001  # as in data_received
            self.fail(error)

    def _logged_on(self, session: AsyncSession[NLAServer]) -> None:
        service = self._service
        service.settings.gate.opened(self._place)
        if service.handler is not None:
            service.serve(service.handler, self.client, session, self._place)

    def _keeps_stream(self) -> bool:
        """Whether there is a use for the stream after the login."""
        return self._service.handler is not None

    def _hand_over(self, transport: asyncio.Transport) -> None:
        if self._keeps_stream():
            super()._hand_over(transport)
        else:
            # Nobody wants the stream: the last message and the goodbye go out together.
            transport.write(self.endpoint.data_to_send() + self.endpoint.shutdown())
            transport.close()
            self._let_go()
            self.endpoint.forget_credentials()

    def _refused(self, error: Exception) -> None:
        self._arrived = None
        self._service.settings.refused(self.client, error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is gone."""
        super().connection_lost(exc)
        self.end(None)

    def end(self, error: CredSSPError | None) -> None:
        """Say, once, that the connection is closed; `error` is why, where the login does not know."""
        if error is not None:
            self.fail(error)
        if not self._closed:
            self._closed = True
            # A refused connection counts until it is gone, or lingering would be a way around the limit.
            self._service.left(self._place)
            self._service.settings.tell(self.client, Closed())
