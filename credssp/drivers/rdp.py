"""RDP logins over sockets; what is public here is called as ``credssp.rdp.connect`` and so on."""

from __future__ import annotations

import asyncio
import socket
from typing import Unpack

from credssp.context.options import ClientOptions
from credssp.credentials import LogonCredentials
from credssp.drivers import aio, blocking
from credssp.drivers.handshake import NOT_LISTENING, ConnectError, Timeouts
from credssp.drivers.rdp_asyncio import AsyncServer, AsyncSessionHandler
from credssp.drivers.rdp_blocking import BlockingServer, SessionHandler
from credssp.drivers.rdp_service import Authorize, OnEvent, ServeOptions, ServerLimits, ServerSettings
from credssp.engine.events import Observer
from credssp.errors import CredSSPError, LocalProtocolError
from credssp.kerberos.contexts import kerberos_obstacle
from credssp.rdp.client import NLAClient
from credssp.rdp.events import Approach
from credssp.rdp.negotiation import Protocol
from credssp.target import Target

__all__ = ["DEFAULT_PORT", "NLAOptions", "ServeOptions", "connect", "open_connection", "serve", "start_server"]

DEFAULT_PORT = 3389


class NLAOptions(ClientOptions, total=False):
    """Keywords of `credssp.rdp.NLAClient`."""

    protocols: Protocol
    approach: Approach
    restricted_admin: bool
    cookie: str | None
    routing_token: bytes | None
    correlation_id: bytes | None
    target_name: str | None
    observer: Observer | None


def connect(
    host: str,
    port: int = DEFAULT_PORT,
    *,
    credentials: LogonCredentials | None = None,
    timeouts: Timeouts | None = None,
    **options: Unpack[NLAOptions],
) -> blocking.Session[NLAClient]:
    """Log on over a blocking socket.

    Args:
        host: name or address of the server; also names it for TLS, Kerberos and the delegation policy.
        port: TCP port.
        credentials: what to authenticate with and to delegate; None for the Kerberos credential cache.
        timeouts: how long to wait.
        options: see `credssp.rdp.NLAClient` and `credssp.ClientContext`.

    Returns:
        The encrypted stream. What the server sent together with its last message is read from it first.

    Raises:
        ConnectError: no connection.
        DeadlineError: the server took too long.
        CredSSPError: everything else.
    """
    endpoint = _client(credentials, host, port, options)
    timeouts = timeouts or Timeouts()
    connection = blocking.open_socket(host, port, timeouts=timeouts)
    try:
        return blocking.log_on(connection, endpoint, timeouts=timeouts)
    except BaseException:
        connection.close()
        raise


async def open_connection(
    host: str,
    port: int = DEFAULT_PORT,
    *,
    credentials: LogonCredentials | None = None,
    timeouts: Timeouts | None = None,
    **options: Unpack[NLAOptions],
) -> aio.AsyncSession[NLAClient]:
    """Log on over asyncio; arguments, result and errors as `connect`."""
    endpoint = _client(credentials, host, port, options)
    return await log_on(endpoint, host, port, timeouts=timeouts or Timeouts(), in_thread=may_block(endpoint, **options))


async def log_on(
    endpoint: NLAClient, host: str, port: int, *, timeouts: Timeouts, in_thread: bool
) -> aio.AsyncSession[NLAClient]:
    """Connect and run a login that is set up already; as `open_connection`."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[aio.AsyncSession[NLAClient]] = loop.create_future()

    def finished(session: aio.AsyncSession[NLAClient]) -> None:
        if result.done():  # the caller gave up
            session.abort()
        else:
            result.set_result(session)

    def failed(error: CredSSPError) -> None:
        if not result.done():
            result.set_exception(error)

    def make() -> aio.LoginProtocol[NLAClient]:
        return aio.LoginProtocol(endpoint, timeouts=timeouts, finished=finished, failed=failed, in_thread=in_thread)

    try:
        async with asyncio.timeout(timeouts.connect):
            transport, _ = await loop.create_connection(make, host, port)
    except TimeoutError:
        raise ConnectError(f"no connection to {host} port {port} within {timeouts.connect:g} s") from None
    except (OSError, UnicodeError, OverflowError) as error:
        raise ConnectError(f"no connection to {host} port {port}: {blocking.reason(error)}") from None
    try:
        return await result
    except BaseException:
        transport.abort() if not result.done() else transport.close()
        raise


def _client(credentials: LogonCredentials | None, host: str, port: int, options: NLAOptions) -> NLAClient:
    if not 0 < port < 65536:
        raise LocalProtocolError(f"{port} is no TCP port")  # some resolvers take it modulo 65536
    return NLAClient(credentials, host=host, **options)


def may_block(endpoint: NLAClient, **options: Unpack[NLAOptions]) -> bool:
    """Whether a leg may ask a KDC, and so has to run in a thread."""
    choice = options.get("mechanism", "auto")
    if choice == "ntlm":
        return False
    target = Target.parse(endpoint.context.target_name)
    return kerberos_obstacle(endpoint.credentials, target) is None


def serve(
    handler: SessionHandler | None,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    *,
    authorize: Authorize | None = None,
    on_event: OnEvent | None = None,
    limits: ServerLimits | None = None,
    reuse_port: bool = False,
    **options: Unpack[ServeOptions],
) -> BlockingServer:
    """Listen for logins on blocking sockets; `BlockingServer.serve_forever` serves them, each in a thread.

    Args:
        handler: called with the session after each login; the session is closed when it returns. None closes at once.
        host: address to listen on.
        port: TCP port, 0 for any that is free.
        authorize: called with who logged on and what was delegated; returns whether the user may log on. It must not
            take long: the client waits.
        on_event: is told what happens on each connection.
        limits: what clients may cost. A thread is more than a half-open connection of `start_server`, so take fewer.
        reuse_port: let other processes listen on the same port (SO_REUSEPORT).
        options: see `credssp.rdp.NLAServer` and `credssp.ServerContext`.

    Raises:
        LocalProtocolError: settings that make no sense, a certificate that cannot be used.
        ConnectError: the address cannot be listened on.
    """
    settings = _settings(authorize, on_event, limits, options)
    return BlockingServer(settings, handler, host, port, reuse_port=reuse_port)


async def start_server(
    handler: AsyncSessionHandler | None,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    *,
    authorize: Authorize | None = None,
    on_event: OnEvent | None = None,
    limits: ServerLimits | None = None,
    reuse_port: bool = False,
    sock: socket.socket | None = None,
    **options: Unpack[ServeOptions],
) -> AsyncServer:
    """Listen for logins on asyncio and serve them from now on; arguments as `serve`.

    Args:
        handler: a coroutine function, called with the session after each login.
        host: address to listen on.
        port: TCP port, 0 for any that is free.
        authorize: as in `serve`; may be a coroutine function.
        on_event: as in `serve`.
        limits: as in `serve`.
        reuse_port: as in `serve`.
        sock: a socket that is bound already, in place of host and port.
        options: as in `serve`.

    Raises:
        LocalProtocolError, ConnectError: as `serve`.
    """
    server = AsyncServer(_settings(authorize, on_event, limits, options), handler)
    try:
        await server.start(host, port, reuse_port=reuse_port, sock=sock)
    except (OSError, ValueError, OverflowError) as error:
        raise ConnectError(
            f"cannot listen on {host} port {port}: {blocking.reason(error)}", advice=NOT_LISTENING
        ) from None
    return server


def _settings(
    authorize: Authorize | None, on_event: OnEvent | None, limits: ServerLimits | None, options: ServeOptions
) -> ServerSettings:
    return ServerSettings(options=options, authorize=authorize, on_event=on_event, limits=limits or ServerLimits())
