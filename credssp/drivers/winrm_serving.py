"""Runs `credssp.drivers.winrm_asgi.WinRMApplication` on uvicorn with the limits that a public server needs."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike, fspath
from typing import Any, Final

try:
    import h11
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"credssp.drivers.winrm_serving needs {error.name}, which is missing: pip install 'credssp[winrm-server]'",
        name=error.name,
    ) from None

from credssp.config import Limits, check_port
from credssp.drivers.winrm_asgi import WinRMApplication
from credssp.errors import LocalProtocolError
from credssp.winrm.header import MAX_TOKEN_SIZE

__all__ = ["BoundedProtocol", "listen", "serve", "serving", "uvicorn_server"]

_HEADERS_SIZE: Final = MAX_TOKEN_SIZE * 4 // 3 + 16 * 1024
"""Octets of all headers of a request: the largest token in base64, and what http.sys allows for the others."""

_START: Final = 10.0


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP, with an end to waiting for headers: uvicorn itself waits forever for a client's first octet."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Look whether the headers are whole."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop()
        elif self._deadline is None and not self.transport.is_closing():
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(_limits(self.config.app).header_timeout, self.transport.close)

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _Server(uvicorn.Server):
    """Leaves no connection behind: over https, a close waits for that of the client."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop."""
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            transport: asyncio.Transport | None = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()
        await asyncio.sleep(0.01)  # for the event loop to close them


def uvicorn_server(
    application: Any,
    *,
    certfile: str | PathLike[str] | None = None,
    keyfile: str | PathLike[str] | None = None,
    connections: int | None = None,
    grace: int = 2,
) -> uvicorn.Server:
    """Return a uvicorn server for an application.

    Args:
        application: the ASGI application.
        certfile: PEM file with the certificate for https outside; None for http.
        keyfile: PEM file with its key, if that is not in `certfile`.
        connections: connections at one time; one more gets 503.
        grace: seconds for what is under way when it stops.

    Raises:
        LocalProtocolError: the certificate cannot be used.
    """
    config = uvicorn.Config(
        application,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        # A header that a client writes must not say where it comes from.
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_limits(application).keep_alive,
        timeout_graceful_shutdown=grace,
        limit_concurrency=connections,
        h11_max_incomplete_event_size=_HEADERS_SIZE,
        ssl_certfile=None if certfile is None else fspath(certfile),
        ssl_keyfile=None if keyfile is None else fspath(keyfile),
    )
    try:
        config.load()
    except OSError as error:  # OpenSSL's errors are of this kind
        why = getattr(error, "reason", None) or error.strerror or type(error).__name__
        raise LocalProtocolError(f"the certificate of https cannot be used: {why}") from None
    return _Server(config)


def _limits(application: object) -> Limits:
    return application.config.limits if isinstance(application, WinRMApplication) else Limits()


def listen(host: str, port: int, *, backlog: int = 512) -> socket.socket:
    """Return a listening socket.

    Raises:
        LocalProtocolError: the address cannot be used.
    """
    try:
        return socket.create_server(
            (host, check_port(port, lowest=0)),
            family=socket.AF_INET6 if ":" in host else socket.AF_INET,
            backlog=backlog,
        )
    except OSError as error:
        raise LocalProtocolError(f"cannot listen on {host} port {port}: {error.strerror or error}") from None


def serve(server: uvicorn.Server, listener: socket.socket) -> None:
    """Serve until a signal."""
    server.run(sockets=[listener])


@contextmanager
def serving(
    application: Any,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    certfile: str | PathLike[str] | None = None,
    keyfile: str | PathLike[str] | None = None,
) -> Iterator[int]:
    """Serve from another thread while the block runs; for tests.

    Args:
        application: the ASGI application.
        host: the address to listen on.
        port: the port, 0 for any.
        certfile: as for `uvicorn_server`.
        keyfile: as for `uvicorn_server`.

    Yields:
        The port.
    """
    server = uvicorn_server(application, certfile=certfile, keyfile=keyfile, grace=1)
    with listen(host, port) as listener:
        thread = threading.Thread(target=serve, args=(server, listener), name="credssp winrm server", daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(_START)
