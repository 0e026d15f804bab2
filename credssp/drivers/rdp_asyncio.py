"""An RDP server with network level authentication on asyncio."""

from __future__ import annotations

import asyncio
import inspect
import socket
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeAlias

from credssp.drivers.aio import AsyncSession, LoginProtocol
from credssp.drivers.rdp_service import (
    Client,
    Closed,
    Delegated,
    ServerSettings,
    Verdict,
    as_result,
    failed_authorize,
    logger,
    refused,
)
from credssp.errors import CredSSPError, LimitExceededError, LocalProtocolError
from credssp.rdp.early_user_authorization import EarlyUserAuthorization
from credssp.rdp.events import AuthorizationRequired, Negotiated
from credssp.rdp.server import NLAServer

__all__ = ["AsyncServer", "AsyncSessionHandler"]

AsyncSessionHandler: TypeAlias = Callable[[AsyncSession[NLAServer]], Awaitable[None]]

_BACKLOG = 1024
"""Connections that the kernel may hold for us; asyncio's 100 overflow when a few hundred clients come at once."""


class AsyncServer:
    """Accepts logins and hands the streams to a handler; made by `credssp.rdp.start_server`.

    Attributes:
        settings: what the connections have in common.
        handler: gets the session after each login; None closes it.
        half_open: connections whose login is not over, the oldest first.
    """

    def __init__(self, settings: ServerSettings, handler: AsyncSessionHandler | None) -> None:
        self.settings = settings
        self.half_open: dict[_Login, None] = {}
        self.handler = handler
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str | None, port: int, *, sock: socket.socket | None) -> None:
        """Begin to listen."""
        loop = asyncio.get_running_loop()

        def make() -> _Login:
            return _Login(self)

        if sock is not None:
            self._server = await loop.create_server(make, sock=sock, backlog=_BACKLOG)
        else:
            # None, not False: platforms without the option refuse even that.
            more: dict[str, Any] = {"reuse_port": True} if self.settings.config.reuse_port else {}
            self._server = await loop.create_server(make, host, port, backlog=_BACKLOG, **more)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, with the real port where 0 was asked for."""
        host, port = self._listening().sockets[0].getsockname()[:2]
        return host, port

    async def serve_forever(self) -> None:
        """Serve until cancelled."""
        await self._listening().serve_forever()

    def _listening(self) -> asyncio.Server:
        if self._server is None:
            raise LocalProtocolError("this server was not started")
        return self._server

    async def close(self) -> None:
        """Stop listening, close half-open connections, cancel handlers and wait for them."""
        if self._server is not None:
            self._server.close()
        for login in list(self.half_open):
            login.drop("the server is shutting down")
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

    async def serve(self, handler: AsyncSessionHandler, client: Client, session: AsyncSession[NLAServer]) -> None:
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
            self.settings.tell(client, Closed())


class _Login(LoginProtocol[NLAServer]):
    """One connection until its login is over."""

    def __init__(self, server: AsyncServer) -> None:
        self._service = server
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
        service = self._service
        half_open = service.half_open
        if len(half_open) >= service.settings.config.limits.half_open:
            oldest = next(iter(half_open))
            del half_open[oldest]  # now: its transport reports the end later, and others may come before that
            oldest.drop("too many logins at once, and this was the oldest")
        half_open[self] = None
        self.client = service.settings.client(transport.get_extra_info("peername"), self.endpoint)
        super().connection_made(transport)

    def drop(self, why: str) -> None:
        """End it at once."""
        self.abort(LimitExceededError(why))

    def _take(self, events: Sequence[object]) -> None:
        for event in events:
            if isinstance(event, Negotiated):
                self._service.settings.tell(self.client, event)
            elif isinstance(event, AuthorizationRequired):
                self._service.settings.tell(self.client, Delegated(event.identity, event.credentials))
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
        service.half_open.pop(self, None)
        if service.handler is not None:
            service.spawn(service.serve(service.handler, self.client, session))

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
        self._service.settings.tell(self.client, refused(error))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        # A refused connection counts until it is gone, or lingering would be a way around the limit.
        self._service.half_open.pop(self, None)
        self._service.settings.tell(self.client, Closed())
