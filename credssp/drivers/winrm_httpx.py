r"""CredSSP for httpx, sync and async.

::

    import httpx
    from credssp import PasswordCredentials
    from credssp.drivers.winrm_httpx import CredSSPAuth

    auth = CredSSPAuth(PasswordCredentials("alice", "secret", domain="LAB"))
    with httpx.Client(auth=auth) as client:
        response = client.post("http://srv.lab.test:5985/wsman", content=soap)

A login counts for one TCP connection, so one `CredSSPAuth` sends one request at a time: threads and tasks may share
it, and wait for each other. For more at a time, use more of them, each with a client of its own.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncGenerator, Generator, Hashable
from typing import Any, Unpack, cast

try:
    import anyio
    import anyio.to_thread
    import httpx
    from anyio.lowlevel import RunVar
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"credssp.drivers.winrm_httpx needs {error.name}, which is missing: "
        "pip install 'credssp[httpx]' (in a clone: '.[httpx]')",
        name=error.name,
    ) from None

from credssp.config import ClientConfig, WinRMClientOptions
from credssp.context import ClientContext
from credssp.credentials import LogonCredentials
from credssp.drivers._http_auth import LEG_BODY, logon_config
from credssp.drivers.agent import uses_agent
from credssp.errors import LimitExceededError
from credssp.secret import Secret, private_methods
from credssp.winrm.encryption import is_encrypted_body, is_encrypted_type
from credssp.winrm.errors import HTTPStatusError, WinRMError
from credssp.winrm.session import ClientSession, Incoming, Outgoing, encrypts

__all__ = ["CredSSPAuth"]

Origin = tuple[str, str, int | None]


@private_methods("__init__")
class CredSSPAuth(httpx.Auth):
    """Authenticates requests of httpx with CredSSP.

    Threads: any number of threads and event loops may share one. The requests of all threads wait for each other, and
    so do those of the tasks of one event loop, which has logins of its own.

    Attributes:
        config: the options.
    """

    requires_request_body = True

    def __init__(
        self,
        username: str | LogonCredentials | None = None,
        password: str | Secret[str] | None = None,
        *,
        credentials: LogonCredentials | None = None,
        config: ClientConfig | None = None,
        **options: Unpack[WinRMClientOptions],
    ) -> None:
        r"""Prepare; nothing is sent before the first request.

        Args:
            username: ``DOMAIN\user`` or ``user@realm``, with `password`; or credentials of any kind. None for those of
                `config`, or else the Kerberos credential cache.
            password: the password.
            credentials: credentials, in place of user name and password.
            config: the options; None for the defaults.
            options: fields of `credssp.ClientConfig`, in place of those of `config`.

        Raises:
            LocalProtocolError, TypeError: arguments that make no sense.
        """
        self.config = logon_config("CredSSPAuth", username, password, credentials, config, options)
        self._sessions: dict[Origin, ClientSession] = {}
        self._lock = threading.Lock()
        # For each event loop: `asyncio.run` may be called again and again with the same object.
        self._of_loop: RunVar[tuple[anyio.Lock, dict[Origin, ClientSession]]] = RunVar(
            f"credssp.drivers.winrm_httpx {id(self)}"
        )

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send a request with everything it needs; called by `httpx.Client`."""
        request.read()
        with self._lock, contextlib.closing(self._exchange(self._sessions, request)) as exchange:
            outgoing = exchange.begin()
            while outgoing is not None:
                response = yield outgoing
                limit = exchange.limit(response)
                body = None if limit is None else _joined(response, limit)
                outgoing = exchange.answer(response, body)

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Send a request with everything it needs; called by `httpx.AsyncClient`."""
        await request.aread()
        try:
            lock, sessions = self._of_loop.get()
        except LookupError:
            lock, sessions = anyio.Lock(), {}
            self._of_loop.set((lock, sessions))
        waits = uses_agent(self.config)
        async with lock:
            with contextlib.closing(self._exchange(sessions, request)) as exchange:
                outgoing = exchange.begin()
                while outgoing is not None:
                    response = yield outgoing
                    limit = exchange.limit(response)
                    body = None if limit is None else await _ajoined(response, limit)
                    if waits:
                        outgoing = await anyio.to_thread.run_sync(exchange.answer, response, body)
                    else:
                        outgoing = exchange.answer(response, body)

    def _exchange(self, sessions: dict[Origin, ClientSession], request: httpx.Request) -> _Exchange:
        url = request.url
        origin = _origin(url)
        session = sessions.get(origin)
        if session is None:
            session = sessions[origin] = ClientSession(
                self.config, url.host, encrypt=encrypts(self.config.encryption, url.scheme)
            )
        return _Exchange(session, request)


class _Exchange:
    """One request of the caller with everything that is sent for it."""

    def __init__(self, session: ClientSession, request: httpx.Request) -> None:
        self._session = session
        self._request = request
        self._flow = session.send(request.content, request.headers.get("Content-Type"), keep=False)
        self._foreign = is_encrypted_body(request.content)
        self._connection: Hashable | None = None
        self._certificate: bytes | None = None
        self._proxy = ""
        self._sent: httpx.Request | None = None
        self._direct = False  # whether there was an answer to what we sent, and not to a redirect of it
        self._cookies = httpx.Cookies()
        self._written = [pair for pair in request.headers.get("Cookie", "").split("; ") if pair]

    def close(self) -> None:
        """End it, whether it came to its end or not."""
        self._flow.close()

    def begin(self) -> httpx.Request | None:
        """Return the first request."""
        return self._made(next(self._flow))

    def limit(self, response: httpx.Response) -> int | None:
        """Return how much of a response to read now, or None where that is for the caller."""
        # Once it was read, it may be closed.
        self._connection, self._certificate = _connection(response), _certificate(response)
        self._proxy = _proxy(response)
        if response.status_code == 401:
            return LEG_BODY
        return self._session.config.limits.max_body if self._is_encrypted(response) else None

    def _is_encrypted(self, response: httpx.Response) -> bool:
        return not self._foreign and is_encrypted_type(response.headers.get("Content-Type"))

    def answer(self, response: httpx.Response, body: bytes | None) -> httpx.Request | None:
        """Look at a response and return the next request, or None: the response is the caller's."""
        if body is not None:
            # Before anything else: httpx reads what the caller does not get, too.
            response.stream = httpx.ByteStream(body)
        if _origin(response.request.url) != _origin(self._request.url):
            return None  # a redirect to another server, which gets neither a login nor credentials
        self._take_cookies(response)
        incoming = Incoming(
            response.status_code,
            response.headers.get_list("WWW-Authenticate"),
            self._connection,
            self._certificate,
            response.headers.get("Content-Type", ""),
            self._proxy,
        )
        followed = response.request is not self._sent  # `history` has the legs before, too
        moved = self._direct and followed
        self._direct = self._direct or not followed
        try:
            return self._made(self._flow.send(incoming))
        except WinRMError as error:
            if not moved:
                raise
            # httpx followed, and the answer is one to a leg that another URL does not know.
            status = response.history[-1].status_code
            raise HTTPStatusError.of(status, "the server gave up the login", leg=error.leg) from error
        except StopIteration as end:
            context: ClientContext | None = end.value
        if body is not None and context is not None and self._is_encrypted(response):
            message = self._session.open(context, response.headers["Content-Type"], body)
            response.stream = httpx.ByteStream(message.data)
            response.headers["Content-Type"] = message.content_type
            response.headers["Content-Length"] = str(len(message.data))
        self._session.keep(context, incoming.connection)
        return None

    def _take_cookies(self, response: httpx.Response) -> None:
        """Take the cookies of a response, for the requests that follow (RFC 6265)."""
        self._cookies.extract_cookies(response)
        names = {line.partition("=")[0].strip() for line in response.headers.get_list("Set-Cookie")}
        self._written = [pair for pair in self._written if pair.partition("=")[0] not in names]

    def _made(self, outgoing: Outgoing) -> httpx.Request:
        original = self._request
        headers = original.headers.copy()
        for name in ("Content-Length", "Transfer-Encoding", "Authorization"):
            headers.pop(name, None)
        if self._cookies:
            headers.pop("Cookie", None)
            made = httpx.Request("GET", original.url)
            self._cookies.set_cookie_header(made)
            headers["Cookie"] = "; ".join([*self._written, made.headers.get("Cookie", "")]).rstrip("; ")
        headers["Connection"] = "keep-alive"
        # What is encrypted cannot be read by whoever would compress it, but what stands beside it could be.
        headers["Accept-Encoding"] = "identity"
        if outgoing.content_type is not None:
            headers["Content-Type"] = outgoing.content_type
        if outgoing.authorization is not None:
            headers["Authorization"] = outgoing.authorization
        self._sent = httpx.Request(
            original.method, original.url, headers=headers, content=outgoing.body, extensions=original.extensions
        )
        return self._sent


def _origin(url: httpx.URL) -> Origin:
    return url.scheme, url.host, url.port


def _connection(response: httpx.Response) -> tuple[tuple[Any, ...], ...] | None:
    """Return what tells the TCP connection of a response that was not read yet, or None."""
    stream = response.extensions.get("network_stream")
    if stream is None:
        return None
    try:
        ends = stream.get_extra_info("client_addr"), stream.get_extra_info("server_addr")
    except OSError:
        return None  # reset meanwhile
    return None if ends[0] is None or ends[1] is None else tuple(map(tuple, ends))


def _certificate(response: httpx.Response) -> bytes | None:
    """Return the server's certificate of https, DER, or None."""
    stream = response.extensions.get("network_stream")
    channel = None if stream is None else stream.get_extra_info("ssl_object")
    return None if channel is None else channel.getpeercert(True)  # the class of OpenSSL knows no names


def _proxy(response: httpx.Response) -> str:
    """Return the address of the proxy that a request went through without a tunnel, or an empty string."""
    connection, url = _connection(response), response.request.url
    if connection is None or url.scheme != "http":
        return ""
    # httpx does not tell, so that a proxy is recognised by its port.
    host, port, *_ = connection[1]
    return "" if port == (url.port or 80) else f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _joined(response: httpx.Response, limit: int) -> bytes:
    """Read the body, as it is on the wire, to its end."""
    stream = cast(httpx.SyncByteStream, response.stream)
    pieces = _Pieces(limit)
    try:
        for piece in stream:
            pieces.add(piece)
    finally:
        stream.close()
    return bytes(pieces.data)


async def _ajoined(response: httpx.Response, limit: int) -> bytes:
    stream = cast(httpx.AsyncByteStream, response.stream)
    pieces = _Pieces(limit)
    try:
        async for piece in stream:
            pieces.add(piece)
    finally:
        await stream.aclose()
    return bytes(pieces.data)


class _Pieces:
    def __init__(self, limit: int) -> None:
        self.data = bytearray()
        self._limit = limit

    def add(self, piece: bytes) -> None:
        self.data += piece
        if len(self.data) > self._limit:
            raise LimitExceededError(f"the server sent a body of more than {self._limit} bytes")
