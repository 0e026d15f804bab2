"""RDP logins over sockets; what is public here is called as ``credssp.rdp.connect`` and so on."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TypeVar, Unpack

from credssp.config import (
    ClientConfig,
    RDPClientOptions,
    RDPConnectOptions,
    RDPServiceOptions,
    ServerConfig,
    Timeouts,
    check_port,
    client_config,
    server_config,
)
from credssp.credentials import LogonCredentials
from credssp.drivers import aio, blocking
from credssp.drivers.agent import uses_agent, with_agent
from credssp.drivers.handshake import NOT_LISTENING, ConnectError, Handshake
from credssp.drivers.proxies import as_stream, reach, reach_async
from credssp.drivers.rdp_asyncio import AsyncServer, AsyncSessionHandler
from credssp.drivers.rdp_blocking import BlockingServer, SessionHandler
from credssp.drivers.rdp_service import ServeOptions, ServerSettings
from credssp.drivers.reading import loop_queues
from credssp.errors import LocalProtocolError
from credssp.kerberos.logon import kerberos_obstacle
from credssp.rdp.client import NLAClient
from credssp.target import Target

__all__ = ["DEFAULT_PORT", "NLAOptions", "ServeOptions", "connect", "open_connection", "serve", "start_server"]

DEFAULT_PORT = 3389

H = TypeVar("H", bound=Handshake)


NLAOptions = RDPClientOptions
"""The name of release 0.1.0."""


def connect(
    host: str,
    port: int = DEFAULT_PORT,
    *,
    sock: socket.socket | None = None,
    credentials: LogonCredentials | None = None,
    config: ClientConfig | None = None,
    **options: Unpack[RDPConnectOptions],
) -> blocking.Session[NLAClient]:
    """Log on over a blocking socket.

    Args:
        host: name or address of the server; also names it for TLS, Kerberos and the delegation policy, unless
            `target_name` is given.
        port: TCP port.
        sock: a stream socket that is connected to the server already, by whatever way. Then nothing is looked up or
            connected, and `host` is only the name. It belongs to the session, and is closed if the login fails.
        credentials: what to authenticate with and to delegate; None for those of `config`, or else the Kerberos
            credential cache.
        config: the options; None for the defaults.
        options: fields of `credssp.ClientConfig`, in place of those of `config`.

    Returns:
        The encrypted stream. What the server sent together with its last message is read from it first.

    Raises:
        LocalProtocolError, TypeError: arguments that make no sense.
        ConnectError: no connection.
        DeadlineError: the server took too long.
        CredSSPError: everything else.
    """
    config = with_agent(client_config("connect", RDPConnectOptions, config, options, credentials))
    check_port(port)
    endpoint = NLAClient(host=host, config=config)
    if sock is None:
        connection = reach(host, port, timeouts=config.timeouts, proxy=config.proxy)
    else:
        connection = _given(sock, config)
    try:
        return blocking.log_on(connection, endpoint, timeouts=config.timeouts)
    except BaseException:
        connection.close()
        raise


def _given(sock: socket.socket, config: ClientConfig) -> socket.socket:
    if config.proxy is not None:
        raise LocalProtocolError("sock and proxy exclude each other: the socket is connected already")
    return as_stream(sock)


async def open_connection(
    host: str,
    port: int = DEFAULT_PORT,
    *,
    sock: socket.socket | None = None,
    credentials: LogonCredentials | None = None,
    config: ClientConfig | None = None,
    **options: Unpack[RDPConnectOptions],
) -> aio.AsyncSession[NLAClient]:
    """Log on over asyncio; arguments, result and errors as `connect`."""
    config = with_agent(client_config("open_connection", RDPConnectOptions, config, options, credentials))
    check_port(port)
    with loop_queues():
        endpoint = NLAClient(host=host, config=config)
    if sock is not None:
        _given(sock, config).setblocking(False)  # as socket has it
        if isinstance(sock, ssl.SSLSocket):
            raise LocalProtocolError("sock takes a plain socket on asyncio, which reads none with TLS of its own")
    elif config.proxy is not None:
        sock = await reach_async(host, port, timeouts=config.timeouts, proxy=config.proxy)
    in_thread = may_block(endpoint)
    return await log_on(endpoint, host, port, timeouts=config.timeouts, in_thread=in_thread, sock=sock)


async def log_on(
    endpoint: H,
    host: str,
    port: int,
    *,
    timeouts: Timeouts,
    in_thread: bool,
    sock: socket.socket | None = None,
) -> aio.AsyncSession[H]:
    """Connect, unless there is a socket, and run a login that is set up already; as `open_connection`."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[aio.AsyncSession[H]] = loop.create_future()

    def finished(session: aio.AsyncSession[H]) -> None:
        if result.done():  # the caller gave up
            session.abort()
        else:
            result.set_result(session)

    def failed(error: Exception) -> None:
        if not result.done():
            result.set_exception(error)

    def make() -> aio.LoginProtocol[H]:
        return aio.LoginProtocol(endpoint, timeouts=timeouts, finished=finished, failed=failed, in_thread=in_thread)

    try:
        async with asyncio.timeout(timeouts.connect):
            if sock is None:
                transport, _ = await loop.create_connection(make, host.strip("[]"), port)
            else:
                transport, _ = await loop.create_connection(make, sock=sock)
    except BaseException as error:
        _retrieve(result)
        if sock is not None:
            sock.close()
        if isinstance(error, TimeoutError):
            raise ConnectError(f"no connection to {host} port {port} within {timeouts.connect:g} s") from None
        if isinstance(error, OSError | UnicodeError | OverflowError):
            raise ConnectError(f"no connection to {host} port {port}: {blocking.reason(error)}") from None
        raise
    try:
        return await result
    except BaseException:
        _retrieve(result)
        transport.abort() if not result.done() else transport.close()
        raise


def _retrieve(result: asyncio.Future[aio.AsyncSession[H]]) -> None:
    """Give a login up: asyncio logs a future whose error was never asked for, and a cancelled task cannot ask."""
    if not result.cancel() and not result.cancelled():
        result.exception()


def may_block(endpoint: NLAClient) -> bool:
    """Whether a leg may ask a KDC or an agent, and so has to run in a thread."""
    config = endpoint.context.config
    if uses_agent(config):
        return True
    if config.mechanism == "ntlm":
        return False
    return kerberos_obstacle(config.credentials, Target.parse(endpoint.context.target_name)) is None


def serve(
    handler: SessionHandler | None,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    *,
    config: ServerConfig | None = None,
    **options: Unpack[RDPServiceOptions],
) -> BlockingServer:
    """Listen for logins on blocking sockets; `BlockingServer.serve_forever` serves them, each in a thread.

    Args:
        handler: called with the session after each login; the session is closed when it returns. None closes at once.
        host: address to listen on.
        port: TCP port, 0 for any that is free.
        config: the options; None for the defaults. A thread is more than a half-open connection of `start_server`, so
            take fewer.
        options: fields of `credssp.ServerConfig`, in place of those of `config`.

    Raises:
        LocalProtocolError, TypeError: settings that make no sense, a certificate that cannot be used.
        ConnectError: the address cannot be listened on.
    """
    settings = ServerSettings(server_config("serve", RDPServiceOptions, config, options))
    return BlockingServer(settings, handler, host, check_port(port, lowest=0))


async def start_server(
    handler: AsyncSessionHandler | None,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    *,
    sock: socket.socket | None = None,
    config: ServerConfig | None = None,
    **options: Unpack[RDPServiceOptions],
) -> AsyncServer:
    """Listen for logins on asyncio and serve them from now on; arguments as `serve`.

    Args:
        handler: a coroutine function, called with the session after each login.
        host: address to listen on.
        port: TCP port, 0 for any that is free.
        sock: a socket that is bound already, in place of host and port.
        config: as in `serve`.
        options: as in `serve`; `authorize` may be a coroutine function.

    Raises:
        LocalProtocolError, ConnectError, TypeError: as `serve`.
    """
    settings = ServerSettings(server_config("start_server", RDPServiceOptions, config, options))
    server = AsyncServer(settings, handler)
    try:
        await server.start(host, check_port(port, lowest=0), sock=sock)
    except (OSError, ValueError, OverflowError) as error:
        raise ConnectError(
            f"cannot listen on {host} port {port}: {blocking.reason(error)}", advice=NOT_LISTENING
        ) from None
    return server
