"""Runs `credssp.drivers.winrm_asgi.WinRMApplication` on uvicorn with the limits that a public server needs."""

from __future__ import annotations

import asyncio
import math
import re
import socket
import ssl
import threading
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike, fspath
from typing import Any, Final, TypeAlias

try:
    import h11
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"credssp.drivers.winrm_serving needs {error.name}, which is missing: "
        "pip install 'credssp[winrm-server]' (in a clone: '.[winrm-server]')",
        name=error.name,
    ) from None

from credssp.config import Limits, check_port
from credssp.drivers.gate import Gate, Place
from credssp.drivers.handshake import DeadlineError
from credssp.drivers.listening import BACKLOG, Listener, bind_one, send_at_once
from credssp.drivers.winrm_asgi import WinRMApplication
from credssp.errors import CredSSPError, LimitExceededError, LocalProtocolError, RemoteProtocolError
from credssp.tls.alerts import translate
from credssp.tls.end_point import end_point_bindings
from credssp.tls.key_log import log_keys
from credssp.tls.restrictions import certificate_refused, security_level
from credssp.watched_file import WatchedFile
from credssp.winrm.header import MAX_TOKEN_SIZE
from credssp.winrm.server import ServerConnection

__all__ = ["BoundedProtocol", "listen", "serve", "serving", "uvicorn_server"]

_HEADERS_SIZE: Final = MAX_TOKEN_SIZE * 4 // 3 + 16 * 1024
"""Bytes of all headers of a request: the largest token in base64, and what http.sys allows for the others."""

_START: Final = 10.0


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP with bounds: on the time for headers and for a login, and on what headers may hold.

    Attributes:
        place: the connection in the books of the server, if it has some.
        channel_bindings: those of the certificate of https.
        drop: ends the connection.
        why: why we ended the connection, if we did.
        begun: whether there is a transport: with https, after the TLS handshake.
    """

    place: Place | None = None
    channel_bindings: bytes | None = None
    drop: Callable[[str], None]
    why: CredSSPError | None = None
    begun = False
    _header_timer: asyncio.TimerHandle | None = None
    _login_timer: asyncio.TimerHandle | None = None
    _checked = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self.begun = True
        self._head = bytearray()
        self._app = self.config.app if isinstance(self.config.app, WinRMApplication) else None
        self._limits = _limits(self.config.app)
        if self._app is not None:
            self.timeout_keep_alive = self._limits.keep_alive_before_login
            self._time_login()
        self._wait()

    def _time_login(self) -> None:
        seconds = self._limits.deadline
        late = DeadlineError(f"the login did not end within {seconds:g} s")
        self._login_timer = self.loop.call_later(seconds, self.end, late)

    def end(self, why: CredSSPError) -> None:
        """End the connection at once."""
        self.why = self.why or why
        self.transport.abort()

    def timeout_keep_alive_handler(self) -> None:
        """End a connection over which no request comes any more."""
        self.why = self.why or DeadlineError(f"no request came within {self.timeout_keep_alive:g} s")
        super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP."""
        self.why = self.why or RemoteProtocolError(f"the client sent a request that is not taken for HTTP: {msg}")
        super().send_400_response(msg)

    def note_login(self, connection: ServerConnection) -> None:
        """Take notice of how far a login is; called by the application with every answer."""
        app, place = self._app, self.place
        if app is None or self.transport.is_closing():
            return
        if connection.ready:
            self.timeout_keep_alive = self._limits.keep_alive
            if self._login_timer is not None:
                self._login_timer.cancel()
                self._login_timer = None
            if place is not None:
                app.gate.opened(place)
            return
        # Between two legs a client may have to find its KDC, and a resolver alone waits 5 s for a name server.
        self.timeout_keep_alive = (
            math.ceil(self._limits.deadline) if connection.under_way else self._limits.keep_alive_before_login
        )
        if self._login_timer is None:
            self._time_login()
        if place is not None:
            app.gate.reopened(place, self.drop)
            if place.progress < 2 and connection.in_tls:
                app.gate.advance(place, 2)

    def data_received(self, data: bytes) -> None:
        """Pass headers on when they are whole, and bodies as they come; no request before the answer to the last."""
        if self.conn.their_state is h11.IDLE:
            self._take_head(data)
        else:
            super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop()
            if self.conn.trailing_data[0]:
                self.end(RemoteProtocolError("the client sent a request before the answer to the last one"))
        elif self._header_timer is None and not self.transport.is_closing():
            self._wait()

    def _take_head(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self._count(len(data))
        self._head += data
        end = self._head.find(b"\r\n\r\n", max(0, self._checked - 3))
        if end < 0 and len(self._head) > _HEADERS_SIZE:
            self._refuse("The headers are too long.")
        elif _has_bad_line(self._head, max(0, self._checked - 2), end + 4 if end >= 0 else len(self._head)):
            self._refuse("A line of the headers ends in another way than CR LF, or goes on in the next.")
        elif end >= 0:
            head = bytes(self._head)
            self._forget()
            super().data_received(head)
        else:
            self._checked = len(self._head)

    def _refuse(self, why: str) -> None:
        self._forget()
        self.send_400_response(why)

    def _count(self, size: int) -> None:
        """Count what headers hold; the connection that holds most is closed when it is too much."""
        if self._app is None:
            return
        heads = self._app.heads
        heads.held += size
        if heads.held > heads.size:
            most = max((each for each in self.connections if isinstance(each, BoundedProtocol)), key=_held)
            most._forget()
            most.end(LimitExceededError("the headers of all clients are too long, and this one's are the longest"))

    def _forget(self) -> None:
        if self._app is not None:
            self._app.heads.give_back(len(self._head))
        self._head.clear()
        self._checked = 0

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop()
        if self._login_timer is not None:
            self._login_timer.cancel()
        self._forget()
        super().connection_lost(exc)
        if self._app is not None:
            self._app.connections.lost(self, self.why, None if self.place is None else self.place.address)

    def _wait(self) -> None:
        self._header_timer = self.loop.call_later(self._limits.header_timeout, self._give_up)

    def _give_up(self) -> None:
        self.why = self.why or DeadlineError(f"the headers did not end within {self._limits.header_timeout:g} s")
        self.transport.close()

    def _stop(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None


def _has_bad_line(head: bytearray, start: int, stop: int) -> bool:
    """Whether a line there ends in LF or CR alone, or goes on in the next (obs-fold).

    Proxies and servers read such lines in different ways, so that one of them sees a request that the other does not
    (RFC 9112 section 2.2 and 5.2). Counting costs a tenth of what a regular expression does.
    """
    text = bytes(head[start:stop])
    if start and text[:1] == b"\n":  # its CR is in front, and was looked at before
        text = text[1:]
    lines = text.count(b"\r\n")
    bare = text.count(b"\n") != lines or text.count(b"\r") - text.endswith(b"\r") > lines
    return bare or b"\r\n " in text or b"\r\n\t" in text


def _held(protocol: BoundedProtocol) -> int:
    return len(protocol._head)


_Outer: TypeAlias = tuple[ssl.SSLContext, bytes | None]
"""TLS settings of https, and the channel bindings of their certificate."""


class _TLS(SSLProtocol):
    """asyncio's TLS with a smaller buffer than 256 KiB: every stranger has one."""

    max_size = 8 * 1024


def _outer_failure(error: BaseException | None) -> CredSSPError | None:
    """Return what a failed TLS handshake of https means; None where the client closed."""
    if isinstance(error, ssl.SSLError):
        return translate(error, during="TLS handshake of https", whose="the client's certificate")
    if isinstance(error, ConnectionAbortedError):  # asyncio's, of its timer
        return DeadlineError("the TLS handshake of https did not end in time")
    return None


class _Server(uvicorn.Server):
    """Listens with `credssp.drivers.listening.Listener`, and leaves no connection open.

    Over https, a close waits for that of the client.
    """

    certificate: WatchedFile[_Outer] | None = None
    channel_bindings: bytes | None = None

    async def on_tick(self, counter: int) -> bool:
        """Ten times in a second: let new connections have the certificate that is in the file now."""
        self._look()
        return await super().on_tick(counter)

    def _look(self) -> None:
        if self.certificate is not None:
            self.config.ssl, self.channel_bindings = self.certificate.current()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        if sockets is None:
            await super().startup()
            return
        await self.lifespan.startup()
        self._look()
        application = self.config.app
        limits = _limits(application)
        self._gate = application.gate if isinstance(application, WinRMApplication) else Gate(limits)
        silent = application.outcomes.silent if isinstance(application, WinRMApplication) else None
        self._listener = Listener(sockets, self._gate, self._connect, first_byte=limits.header_timeout, silent=silent)
        self._listener.start()
        self.servers = [self._listener]  # type: ignore[list-item]  # all of an asyncio.Server that is used
        self.started = True

    async def _connect(self, connection: socket.socket, place: Place) -> None:
        loop, limits, config = asyncio.get_running_loop(), _limits(self.config.app), self.config
        protocol: Any = config.http_protocol_class(  # type: ignore[call-arg]
            config=config, server_state=self.server_state, app_state=self.lifespan.state
        )
        inner = protocol
        protocol.place = place
        protocol.channel_bindings = self.channel_bindings
        if config.ssl is not None:
            protocol = _TLS(
                loop,
                inner,
                config.ssl,
                None,  # type: ignore[arg-type]  # nobody waits
                server_side=True,
                ssl_handshake_timeout=limits.tls_handshake,  # type: ignore[arg-type]  # a float, too
                ssl_shutdown_timeout=limits.linger,
            )
        lost = protocol.connection_lost

        def left(error: Exception | None) -> None:
            self._gate.leave(place)
            self._listener.note_room()
            lost(error)
            if not inner.begun:  # TLS did not work out, or there was no time for it
                self._lost(inner, place, inner.why or _outer_failure(error))

        protocol.connection_lost = left
        try:
            send_at_once(connection)
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection)
        except BaseException:
            self._lost(inner, place, inner.why)
            raise

        def drop(why: str) -> None:
            inner.why = inner.why or LimitExceededError(why)
            transport.abort()

        inner.drop = place.drop = drop
        if place.gone:  # its place was needed meanwhile
            drop("too many logins at once")
        elif not isinstance(config.app, WinRMApplication):
            self._gate.opened(place)

    def _lost(self, protocol: BoundedProtocol, place: Place, why: CredSSPError | None) -> None:
        if isinstance(self.config.app, WinRMApplication):
            self.config.app.connections.lost(protocol, why, place.address)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop."""
        for connection in self.server_state.connections:
            if isinstance(connection, BoundedProtocol):
                connection.why = connection.why or LimitExceededError("the server is shutting down")
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
    ciphers: str | None = None,
    connections: int | None = None,
    grace: int = 2,
    key_log: bool = False,
) -> uvicorn.Server:
    """Return a uvicorn server for an application.

    Args:
        application: the ASGI application.
        certfile: PEM file with the certificate for https outside, read again after it changed; None for http.
        keyfile: PEM file with its key, if that is not in `certfile`.
        ciphers: OpenSSL cipher string of https for TLS 1.2; by default uvicorn's.
        connections: connections at one time; one more gets 503.
        grace: seconds for what is under way when it stops.
        key_log: write the keys of https to the file that SSLKEYLOGFILE names: for test endpoints.

    Raises:
        LocalProtocolError: the certificate cannot be used.
    """
    config = uvicorn.Config(
        application,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        # Strangers could fill the log with warnings.
        log_level="error",
        access_log=False,
        # A header that a client writes must not say where it comes from.
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_limits(application).keep_alive,
        timeout_graceful_shutdown=grace,
        limit_concurrency=connections,
        h11_max_incomplete_event_size=_HEADERS_SIZE,
    )
    config.load()
    server = _Server(config)
    if certfile is None:
        return server
    paths = (certfile,) if keyfile is None else (certfile, keyfile)
    try:
        server.certificate = _watch(*paths, ciphers=ciphers, key_log=key_log)
    except OSError as error:  # OpenSSL's errors are of this kind
        why = getattr(error, "reason", None) or error.strerror or type(error).__name__
        refused = certificate_refused(why, security_level(), whose="the certificate of https")
        if refused is not None:
            raise refused from None
        files = " with ".join(fspath(each) for each in (certfile, keyfile) if each is not None)
        raise LocalProtocolError(f"the certificate of https ({files}) cannot be used: {why}") from None
    # Before it listens, too: nobody may get plain HTTP from whatever way this server is started in.
    config.ssl, server.channel_bindings = server.certificate.current()
    return server


def _https_context(certfile: str, keyfile: str, ciphers: str | None) -> ssl.SSLContext:
    """Make what uvicorn would make, but set the ciphers first: they have the security level for the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if ciphers is not None:
        context.set_ciphers(ciphers)
    context.load_cert_chain(certfile, keyfile)
    return context


def _watch(*paths: str | PathLike[str], ciphers: str | None, key_log: bool) -> WatchedFile[_Outer]:
    def load(chain: bytes, *_: bytes) -> _Outer:
        # A new one: loading a chain and a key that do not belong together would leave the old one without a key.
        context = _https_context(fspath(paths[0]), fspath(paths[-1]), ciphers)
        if key_log:
            log_keys(context)
        found = re.search(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", chain, re.DOTALL)
        leaf = b"" if found is None else ssl.PEM_cert_to_DER_cert(found[0].decode("ascii", "replace"))
        return context, end_point_bindings(leaf)

    return WatchedFile(*paths, load=load, what="certificate of https")


def _limits(application: object) -> Limits:
    return application.config.limits if isinstance(application, WinRMApplication) else Limits()


def listen(host: str, port: int, *, backlog: int = BACKLOG) -> socket.socket:
    """Return a listening socket.

    Raises:
        LocalProtocolError: the address cannot be used.
    """
    try:
        return bind_one(host, check_port(port, lowest=0), backlog=backlog)
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
    ciphers: str | None = None,
) -> Iterator[int]:
    """Serve from another thread while the block runs; for tests, so that SSLKEYLOGFILE is honoured.

    Args:
        application: the ASGI application.
        host: the address to listen on.
        port: the port, 0 for any.
        certfile: as for `uvicorn_server`.
        keyfile: as for `uvicorn_server`.
        ciphers: as for `uvicorn_server`.

    Yields:
        The port.
    """
    server = uvicorn_server(application, certfile=certfile, keyfile=keyfile, ciphers=ciphers, grace=1, key_log=True)
    with listen(host, port) as listener:
        thread = threading.Thread(target=serve, args=(server, listener), name="credssp winrm server", daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(_START)
