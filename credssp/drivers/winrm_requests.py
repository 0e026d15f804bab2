r"""CredSSP for requests, pywinrm and pypsrp: a drop-in for requests-credssp.

::

    import requests
    from credssp.drivers.winrm_requests import HTTPCredSSPAuth

    auth = HTTPCredSSPAuth("LAB\\alice", "secret")
    response = requests.post("http://srv.lab.test:5985/wsman", data=soap, auth=auth)

The body is encrypted over http (``encryption="auto"``), and `response` holds the decrypted answer. How to use it in
pywinrm and pypsrp is described in docs/how-to/winrm-clients.md.

A login counts for one TCP connection, and requests does not tell which one of its pool it will use. Threads may share
an auth object and a session nevertheless: a connection is taken out of the pool as long as a login or a message is
under way on it (also where the pool blocks, ``pool_block=True``), and has a login of its own. As long as requests run
side by side, each is preceded by an empty one that finds its connection; a session for each thread saves that.
"""

from __future__ import annotations

import contextlib
import copy
import datetime
import http.client
import io
import queue
import threading
import time
import warnings
from collections.abc import Hashable
from typing import Any, Literal, Unpack, cast
from urllib.parse import urlsplit

try:
    import requests
    from requests.adapters import HTTPAdapter
    from requests.auth import AuthBase
    from requests.cookies import extract_cookies_to_jar, get_cookie_header
    from urllib3 import HTTPConnectionPool, HTTPHeaderDict, HTTPResponse
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"credssp.drivers.winrm_requests needs {error.name}, which is missing: "
        "pip install 'credssp[requests]' (in a clone: '.[requests]')",
        name=error.name,
    ) from None

from credssp.config import ClientConfig, WinRMClientOptions
from credssp.context import ClientContext
from credssp.credentials import LogonCredentials
from credssp.drivers._http_auth import LEG_BODY, logon_config
from credssp.drivers._http_client import is_interim, line_too_long, read_final
from credssp.errors import CredSSPError, LimitExceededError, LocalProtocolError
from credssp.mechanism_name import MechanismChoice
from credssp.secret import Secret, private_methods
from credssp.winrm.encryption import is_encrypted_body, is_encrypted_type, trailer_length
from credssp.winrm.session import ClientSession, Exchange, Incoming, Outgoing, encrypts

__all__ = ["HTTPCredSSPAuth", "HostContext"]

Origin = tuple[str, str, int | None]


@private_methods("__init__")
class HTTPCredSSPAuth(AuthBase):
    """Authenticates requests with CredSSP.

    Threads: any number may share one, and the session too; see the module. `contexts` is for one thread.

    The first five arguments are those of requests-credssp's ``HttpCredSSPAuth``.

    Attributes:
        config: the options.
        contexts: by host name, what pywinrm and pypsrp encrypt and decrypt with.
    """

    def __init__(
        self,
        username: str | LogonCredentials | None = None,
        password: str | Secret[str] | None = None,
        auth_mechanism: MechanismChoice | None = None,
        disable_tlsv1_2: bool = False,
        minimum_version: int | None = None,
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
            auth_mechanism: the option `mechanism` by the name of requests-credssp.
            disable_tlsv1_2: taken for compatibility, without effect; see `ClientTLS.legacy`.
            minimum_version: the option `min_version` by the name of requests-credssp.
            credentials: credentials, in place of user name and password.
            config: the options; None for the defaults.
            options: fields of `credssp.ClientConfig`, in place of those of `config`.

        Raises:
            LocalProtocolError, TypeError: arguments that make no sense.
        """
        if disable_tlsv1_2:
            warnings.warn(
                "disable_tlsv1_2 has no effect: for a server without TLS 1.2 give tls=ClientTLS(legacy=True)",
                UserWarning,
                stacklevel=2,
            )
        if auth_mechanism is not None:
            options["mechanism"] = auth_mechanism
        if minimum_version is not None:
            options["min_version"] = minimum_version
        self.config = logon_config("HTTPCredSSPAuth", username, password, credentials, config, options)
        self.username = username if isinstance(username, str) else None
        self.contexts: dict[str, HostContext] = {}
        self._sessions: dict[Origin, ClientSession] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"HTTPCredSSPAuth({self.username!r})"

    def session(self, url: str) -> ClientSession:
        """Return what is known about the server of this URL."""
        origin = _origin(url)
        scheme, host, _ = origin
        with self._lock:
            session = self._sessions.get(origin)
            if session is None:
                session = ClientSession(self.config, host, encrypt=encrypts(self.config.encryption, scheme))
                self._sessions[origin] = session
            self.contexts[host] = HostContext(session)
            return session

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Prepare a request; called by requests."""
        request.headers["Connection"] = "Keep-Alive"
        exchange = _Exchange(self.session(cast(str, request.url)), request)
        exchange.begin(request)
        request.register_hook("response", exchange.answer)
        return request


class _Exchange:
    """One request of the caller with everything that is sent for it."""

    def __init__(self, session: ClientSession, request: requests.PreparedRequest) -> None:
        self._session = session
        self._origin = _origin(cast(str, request.url))
        self._method = request.method
        self._body = _octets(request.body)
        content_type = request.headers.get("Content-Type")
        self._content_type = content_type.decode("latin-1") if isinstance(content_type, bytes) else content_type
        self._foreign = is_encrypted_body(self._body)
        self._flow: Exchange | None = None
        self._connection: _Connection | None = None

    def begin(self, request: requests.PreparedRequest) -> None:
        """Make the request what it is to be at first."""
        self._flow = self._session.send(self._body, self._content_type, keep=False)
        _apply(request, next(self._flow))

    def answer(self, response: requests.Response, **kwargs: Any) -> requests.Response:
        """Look at the response, send what else is needed, and return the one for the caller; a hook of requests."""
        if _origin(response.url) != self._origin:
            return response  # a redirect to another server, which gets neither a login nor credentials
        begin = time.monotonic()
        sent = response = _final(response)
        incoming = _incoming(response)
        flow, self._flow = self._flow, None
        try:
            if flow is None:
                # A prepared request that is sent a second time, holding what was for the first.
                if (response.request.body or b"") == self._body and response.status_code != 401:
                    return response
                moved = response.request.method != self._method  # a redirect made a GET of it, without the message
                flow = self._session.send(b"" if moved else self._body, self._content_type, keep=False)
                first = next(flow)
                if not moved:
                    sent = self._send(sent, first, kwargs)
                    incoming = _incoming(sent)
            try:
                while True:
                    sent = self._send(sent, flow.send(incoming), kwargs)
                    incoming = _incoming(sent)
            except StopIteration as end:
                context: ClientContext | None = end.value
            answer = sent
            if context is not None and not self._foreign and is_encrypted_type(sent.headers.get("Content-Type")):
                self._hold(sent)
                answer = self._decrypted(sent, context)
            self._session.keep(context, incoming.connection)
        except CredSSPError:
            sent.close()
            raise
        finally:
            if flow is not None:
                flow.close()
            if self._connection is not None:
                self._connection.give_back()
                self._connection = None
        if sent is not response:
            answer.elapsed = response.elapsed + datetime.timedelta(seconds=time.monotonic() - begin)
        return answer

    def _send(self, last: requests.Response, outgoing: Outgoing, kwargs: dict[str, Any]) -> requests.Response:
        adapter = last.connection
        self._hold(last)
        # The response must be read to its end, or its connection does not go back for the next leg.
        _read(last, LEG_BODY)
        last.raw.release_conn()
        request = last.request.copy()
        _take_cookies(request, last)
        _apply(request, outgoing)
        try:
            response = _final((self._connection or adapter).send(request, **kwargs))
        except requests.ConnectionError as error:
            too_long = line_too_long(error)
            if too_long is None:
                raise
            raise too_long from None
        response.request, response.connection = request, adapter
        response.history = [*last.history, last]
        return response

    def _hold(self, response: requests.Response) -> None:
        """Keep the connection of a response, which was not read yet, to ourselves."""
        if self._connection is None:
            self._connection = _Connection.of(response)

    def _decrypted(self, response: requests.Response, context: ClientContext) -> requests.Response:
        """Return the response as it would be without encryption."""
        message = self._session.open(
            context, response.headers["Content-Type"], _read(response, self._session.config.limits.max_body)
        )
        headers = HTTPHeaderDict(response.headers)
        headers["Content-Type"] = message.content_type
        headers["Content-Length"] = str(len(message.data))
        raw = HTTPResponse(
            io.BytesIO(message.data),
            headers=headers,
            status=response.status_code,
            reason=response.reason,
            preload_content=False,
            original_response=getattr(response.raw, "_original_response", None),  # which has the cookies
        )
        result = response.connection.build_response(response.request, raw)
        result.history = response.history
        result.elapsed = response.elapsed
        return result


class _Connection(queue.LifoQueue[Any]):
    """The connection of a response, out of its pool as long as an exchange needs it: other threads cannot get at it.

    It is a pool of one. `give_back` returns the connection, or lets it return to its own pool when what came last on it
    was read.
    """

    def __init__(self, adapter: HTTPAdapter, pool: HTTPConnectionPool) -> None:
        super().__init__(1)
        self._home = pool
        self._over = False
        # The same settings, the same proxy: only where the connections come from is another.
        own = self._pool = copy.copy(pool)
        own.pool = self
        self._adapter = object.__new__(type(adapter))
        self._adapter.__dict__.update(
            adapter.__dict__, get_connection=lambda *_, **__: own, get_connection_with_tls_context=lambda *_, **__: own
        )

    @classmethod
    def of(cls, response: requests.Response) -> _Connection | None:
        """Take the connection of a response that was not read yet; None where it does not come from a pool."""
        pool = getattr(response.raw, "_pool", None)
        if not isinstance(pool, HTTPConnectionPool) or not isinstance(response.connection, HTTPAdapter):
            return None
        made = cls(response.connection, pool)
        response.raw._pool = made._pool  # where it goes once it was read
        return made

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a request over it."""
        return self._adapter.send(request, **kwargs)

    def give_back(self) -> None:
        """End the exchange."""
        self._over = True
        try:
            connection = super().get(block=False)
        except queue.Empty:
            return  # the caller has still to read the last response
        self._home._put_conn(connection)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Return it; called by urllib3."""
        try:
            return super().get(block=False)
        except queue.Empty:  # read and released before our turn
            if self._home.pool is None:
                raise
            return self._home.pool.get(block, timeout)

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Take it back; called by urllib3."""
        if self._over:
            self._home._put_conn(item)
        else:
            super().put(item, block, timeout)


class HostContext:
    """One server as pywinrm and pypsrp see it: they encrypt and decrypt themselves, whatever connection is in use."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session

    def wrap(self, data: bytes) -> bytes:
        """Encrypt; returns TLS records."""
        return self._session.wrap(data)

    def unwrap(self, data: bytes) -> bytes:
        """Decrypt TLS records."""
        return self._session.unwrap(data)

    def wrap_winrm(self, data: bytes) -> tuple[bytes, bytes, int]:
        """Encrypt; returns the first bytes, as many as the trailer has, the others, and the padding, which is 0.

        The three go into the body as in pyspnego: length of the first, the first, the second.
        """
        records = self._session.wrap(data)
        context = self._session.live()
        trailer = trailer_length(records, len(data), context.tls_version, context.tls_cipher)
        return records[:trailer], records[trailer:], 0

    def unwrap_winrm(self, header: bytes, data: bytes) -> bytes:
        """Decrypt what `wrap_winrm` of the other side made."""
        return self._session.unwrap(header + data)

    @property
    def tls_connection(self) -> HostContext:
        """What tells about the TLS session: `get_cipher_name`."""
        return self

    def get_cipher_name(self) -> str:
        """Return the cipher suite in OpenSSL's spelling."""
        context = self._session.context
        return "" if context is None else context.tls_cipher


def _origin(url: str) -> Origin:
    parts = urlsplit(url)
    default: dict[str, Literal[80, 443]] = {"http": 80, "https": 443}
    return parts.scheme, parts.hostname or "", parts.port or default.get(parts.scheme)


def _octets(body: Any) -> bytes:
    """Return the whole body, whatever requests allows it to be."""
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode("utf-8")
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    try:
        if hasattr(body, "read"):
            return _octets(body.read())
        return b"".join(_octets(piece) for piece in body)
    except TypeError:
        raise LocalProtocolError(f"a body of type {type(body).__name__} cannot be sent") from None


def _apply(request: requests.PreparedRequest, outgoing: Outgoing) -> None:
    """Put body and headers into a request."""
    request.headers.pop("Transfer-Encoding", None)
    request.headers.pop("Authorization", None)
    request.body = None  # requests sends an empty body in chunks
    request.headers.pop("Content-Length", None)
    if outgoing.body or request.method not in {"GET", "HEAD"}:
        request.body = outgoing.body
        request.headers["Content-Length"] = str(len(outgoing.body))
    if outgoing.content_type is not None:
        request.headers["Content-Type"] = outgoing.content_type
    if outgoing.authorization is not None:
        request.headers["Authorization"] = outgoing.authorization


def _final(response: requests.Response) -> requests.Response:
    """Return the response that follows an interim one, over the same connection."""
    interim = response.raw
    original = getattr(interim, "_original_response", None)
    if not is_interim(response.status_code) or not isinstance(original, http.client.HTTPResponse):
        return response
    try:
        read_final(original)
    except (OSError, http.client.HTTPException) as error:
        response.close()
        raise requests.ConnectionError(error, request=response.request) from error
    # As urllib3 makes it of the first one.
    raw = HTTPResponse(
        original,
        headers=HTTPHeaderDict(original.getheaders()),
        status=original.status,
        version=original.version,
        reason=original.reason,
        preload_content=False,
        decode_content=False,
        original_response=original,
        pool=interim._pool,
        connection=interim._connection,
        request_method=response.request.method,
        request_url=response.request.url,
    )
    # The first one would close the connection when it is collected.
    interim._fp, interim._connection, interim._pool = io.BytesIO(), None, None
    final: requests.Response = response.connection.build_response(response.request, raw)
    final.history, final.elapsed = response.history, response.elapsed
    return final


def _take_cookies(request: requests.PreparedRequest, response: requests.Response) -> None:
    """Let a request have the cookies of the response before (RFC 6265), unless its caller wrote them into a header."""
    jar = request._cookies
    if jar is None:
        return
    written = request.headers.pop("Cookie", None)
    if written is not None and written != get_cookie_header(jar, request):
        request.headers["Cookie"] = written
        return
    extract_cookies_to_jar(jar, response.request, response.raw)
    cookies = get_cookie_header(jar, request)
    if cookies is not None:
        request.headers["Cookie"] = cookies


def _incoming(response: requests.Response) -> Incoming:
    content_type = response.headers.get("Content-Type", "")
    return Incoming(
        response.status_code,
        _challenges(response),
        _connection(response),
        _certificate(response),
        content_type,
        _proxy(response),
    )


def _proxy(response: requests.Response) -> str:
    """Return the address of the proxy that a request went through without a tunnel, or an empty string."""
    pool = getattr(response.raw, "_pool", None)
    proxy = getattr(pool, "proxy", None)
    if proxy is None or getattr(pool, "scheme", "") != "http" or getattr(proxy, "scheme", "") not in ("http", "https"):
        return ""
    return f"{proxy.host}:{proxy.port}"  # not as it is: it may hold a password


def _challenges(response: requests.Response) -> list[str]:
    # urllib3 keeps header lines apart, which requests joins with commas.
    headers = getattr(response.raw, "headers", None)
    if isinstance(headers, HTTPHeaderDict):
        return headers.getlist("WWW-Authenticate")
    value = response.headers.get("WWW-Authenticate")
    return [] if value is None else [value]


def _connection(response: requests.Response) -> Hashable | None:
    """Return what tells the TCP connection of a response that was not read yet, or None."""
    tcp = _socket(response)
    try:
        return None if tcp is None else (tcp.getsockname(), tcp.getpeername())
    except OSError:
        return None  # reset meanwhile


def _certificate(response: requests.Response) -> bytes | None:
    """Return the server's certificate of https, DER, or None."""
    get = getattr(_socket(response), "getpeercert", None)
    return None if get is None else get(binary_form=True)


def _socket(response: requests.Response) -> Any:
    """Return the socket of a response that was not read yet, or None."""
    tcp = getattr(getattr(response.raw, "connection", None), "sock", None)
    if tcp is None:
        # http.client lets go of a connection that ends with a response; the response still has it.
        with contextlib.suppress(AttributeError):
            tcp = response.raw._fp.fp.raw._sock
    return tcp


def _read(response: requests.Response, limit: int) -> bytes:
    """Read a body to its end."""
    pieces: list[bytes] = []
    size = 0
    for piece in response.iter_content(65536):
        size += len(piece)
        if size > limit:
            response.close()
            raise LimitExceededError(f"the server sent a body of more than {limit} bytes")
        pieces.append(piece)
    return b"".join(pieces)
