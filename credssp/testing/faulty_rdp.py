"""An RDP server with faults: late answers, connections that it closes itself, a wrong key."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast
from weakref import WeakSet

from credssp.config import ServerConfig
from credssp.context import ServerContext, StepResult
from credssp.drivers.blocking import reason
from credssp.drivers.gate import Place
from credssp.drivers.handshake import NOT_LISTENING, ConnectError
from credssp.drivers.rdp_asyncio import AsyncServer, AsyncSessionHandler, RDPLogin
from credssp.drivers.rdp_service import ServerSettings
from credssp.rdp.early_user_authorization import EarlyUserAuthorization
from credssp.rdp.events import Event
from credssp.rdp.server import NLAServer
from credssp.testing.faulty_context import FaultyContext
from credssp.testing.server_faults import RDP_LEGS, ClosedOnPurposeError, ServerFaults

__all__ = ["FaultyEndpoint", "LateTransport", "start_faulty_server"]


class FaultyEndpoint(NLAServer):
    """Lets one client log on, with faults."""

    def __init__(self, faults: ServerFaults, *, config: ServerConfig) -> None:
        super().__init__(config=config)
        self._faults = faults

    def _make_context(self) -> ServerContext:
        return FaultyContext(self._faults, config=self.config)

    def _requested(self, tpdu: bytes, events: list[Event]) -> None:
        super()._requested(tpdu, events)
        if self._faults.close_at == "negotiation":
            self._close("negotiation")

    def _credssp(self, context: ServerContext, result: StepResult, events: list[Event]) -> None:
        if result.token and not context.complete and isinstance(context, FaultyContext) and context.closes:
            self._close(self._faults.close_at or 0)
        super()._credssp(context, result, events)

    def authorize(self, result: EarlyUserAuthorization) -> list[Event]:
        """Say whether the user may log on, unless the server closes here."""
        if result is EarlyUserAuthorization.AUTHZ_SUCCESS and self.closes_at_credentials:
            raise self._failed(ClosedOnPurposeError(self._faults.close_at or 0))
        return super().authorize(result)

    @property
    def closes_at_credentials(self) -> bool:
        """Whether the server closes in place of its answer to authInfo, which came."""
        context = self.context
        return isinstance(context, FaultyContext) and context.complete and context.closes

    def _close(self, leg: str | int) -> None:
        self._output.clear()
        raise ClosedOnPurposeError(leg)


class _FaultySettings(ServerSettings):
    def __init__(self, faults: ServerFaults, config: ServerConfig) -> None:
        self.faults = faults
        super().__init__(config)

    def endpoint(self) -> NLAServer:
        return FaultyEndpoint(self.faults, config=self._guarded)


class _FaultyServer(AsyncServer):
    def __init__(self, settings: _FaultySettings, handler: AsyncSessionHandler | None) -> None:
        super().__init__(settings, handler)
        self._delay = settings.faults.delay
        self._late: WeakSet[LateTransport] = WeakSet()

    def make_login(self, place: Place) -> RDPLogin:
        return _FaultyLogin(self, place)

    def late(self, transport: asyncio.Transport) -> asyncio.Transport:
        """Return a transport that is as slow as the server is to be."""
        if not self._delay:
            return transport
        late = LateTransport(transport, self._delay)
        self._late.add(late)
        return late

    async def close(self) -> None:
        await super().close()
        for transport in list(self._late):  # what was to be sent, or closed, later
            transport.abort()
        await asyncio.sleep(0)


class _FaultyLogin(RDPLogin):
    _delegated = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        service = self._service
        if isinstance(service, _FaultyServer):
            transport = service.late(cast(asyncio.Transport, transport))
        super().connection_made(transport)

    def _decide(self, result: EarlyUserAuthorization) -> None:
        endpoint = self.endpoint
        if isinstance(endpoint, FaultyEndpoint) and endpoint.closes_at_credentials:
            # The client has delegated, whatever it hears of that.
            self._delegated = True
            self._tell_delegated()
        super()._decide(result)

    def _refused(self, error: Exception) -> None:
        if not (self._delegated and isinstance(error, ClosedOnPurposeError)):
            super()._refused(error)


class LateTransport(asyncio.Transport):
    """A transport that sends everything, and its end, some seconds later than it was told."""

    def __init__(self, inner: asyncio.Transport, delay: float) -> None:
        """Wrap a transport; `delay` is in seconds."""
        super().__init__()
        self._inner: Final = inner
        self._delay = delay
        self._due: deque[Callable[[], object]] = deque()
        self._loop = asyncio.get_running_loop()
        self._closing = False

    def _later(self, work: Callable[[], object]) -> None:
        self._due.append(work)
        # Timers of one moment may fire in any order; what they do stays in its own.
        self._loop.call_later(self._delay, self._next)

    def _next(self) -> None:
        if not self._due:
            return
        work = self._due.popleft()
        if not self._inner.is_closing():  # the client may have gone meanwhile
            work()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send later."""
        copy = bytes(data)
        self._later(lambda: self._inner.write(copy))

    def write_eof(self) -> None:
        """End the sending, after what is still to be sent."""
        self._later(self._inner.write_eof)

    def close(self) -> None:
        """Close, after what is still to be sent."""
        self._closing = True
        self._later(self._inner.close)

    def abort(self) -> None:
        """Close now."""
        self._closing = True
        self._due.clear()
        self._inner.abort()

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self._closing or self._inner.is_closing()

    def can_write_eof(self) -> bool:
        """Whether the transport can end the sending alone."""
        return self._inner.can_write_eof()

    def pause_reading(self) -> None:
        """Read nothing until `resume_reading`."""
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        self._inner.resume_reading()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Give what comes to another protocol."""
        self._inner.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol that gets what comes."""
        return self._inner.get_protocol()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what the transport knows of itself."""
        return self._inner.get_extra_info(name, default)


async def start_faulty_server(
    faults: ServerFaults,
    handler: AsyncSessionHandler | None,
    host: str | None = "127.0.0.1",
    port: int = 0,
    *,
    config: ServerConfig,
    sock: socket.socket | None = None,
) -> AsyncServer:
    """Listen for logins, with faults; as `credssp.rdp.start_server`.

    Args:
        faults: what the server does wrong.
        handler: called with the session after each login; None closes it.
        host: address to listen on.
        port: TCP port, 0 for any that is free.
        config: the options.
        sock: a socket that is bound already, in place of host and port.

    Raises:
        LocalProtocolError: settings that make no sense, or a leg that RDP does not have.
        ConnectError: the address cannot be listened on.
    """
    faults.check_legs(RDP_LEGS)
    server = _FaultyServer(_FaultySettings(faults, faults.prepare(config)), handler)
    try:
        await server.start(host, port, sock=sock)
    except (OSError, ValueError, OverflowError) as error:
        raise ConnectError(f"cannot listen on {host} port {port}: {reason(error)}", advice=NOT_LISTENING) from None
    return server
