"""WinRM: tokens in HTTP headers, one leg a request ([MS-WSMV] 3.1.4.1.28); both sides, and a link over each.

What is a TLS record and what a TSRequest is for `credssp.conformance.connection`: here they are base64 in a header.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol

from credssp.conformance.kerberos import TicketSource
from credssp.conformance.links import Link
from credssp.conformance.rule import Skipped
from credssp.conformance.setup import Setup
from credssp.errors import CredSSPError
from credssp.exchange.account import LogonAccount
from credssp.winrm.header import challenge_token, format_token, request_token

__all__ = [
    "HttpAnswer",
    "HttpClientLink",
    "HttpConnection",
    "HttpRequest",
    "HttpServerLink",
    "HttpServerTarget",
    "RequestSource",
    "SocketRequests",
]

_MAX_HEAD = 256 * 1024
_DIGITS = 10  # of a Content-Length; nobody sends a gigabyte
MAX_BODY = 4 * 1024 * 1024
"""Octets of an answer that are read; what is longer has no end."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A response.

    Attributes:
        status: its status; 0 where the connection ended.
        challenges: values of WWW-Authenticate.
        content_type: Content-Type.
        body: the body.
    """

    status: int
    challenges: tuple[str, ...] = ()
    content_type: str = ""
    body: bytes = field(default=b"", repr=False)

    @property
    def token(self) -> bytes | None:
        """The CredSSP token; None without one, and for a scheme that stands alone."""
        try:
            return challenge_token(self.challenges) or None
        except CredSSPError:
            return None

    @property
    def offers(self) -> bool:
        """Whether the CredSSP scheme is there."""
        try:
            return challenge_token(self.challenges) is not None
        except CredSSPError:
            return False


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request of a client under test.

    Attributes:
        authorization: value of Authorization, or empty.
        content_type: Content-Type.
        body: the body.
    """

    authorization: str = ""
    content_type: str = ""
    body: bytes = field(default=b"", repr=False)

    @property
    def token(self) -> bytes:
        """The CredSSP token, empty without one."""
        try:
            return request_token([self.authorization] if self.authorization else []) or b""
        except CredSSPError:
            return b""


class HttpConnection:
    """One TCP connection to a server under test."""

    def __init__(self, url: str, timeout: float) -> None:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname or "localhost", parts.port
        self._timeout = timeout
        self._tcp: socket.socket | None = None
        self._path = parts.path or "/wsman"
        self._connection: http.client.HTTPConnection
        if parts.scheme == "https":
            # Whose certificate it is does not matter: the account was made up for the test.
            context = ssl._create_unverified_context()  # noqa: S323
            self._connection = http.client.HTTPSConnection(host, port or 5986, timeout=timeout, context=context)
        else:
            self._connection = http.client.HTTPConnection(host, port or 5985, timeout=timeout)
        self._connection._create_connection = self._connect  # type: ignore[attr-defined]

    def request(self, *, authorization: str = "", content_type: str = "", body: bytes = b"") -> HttpAnswer | None:
        """Send a request; returns None where no answer came in time.

        Raises:
            OSError: nobody listens.
        """
        headers = {"Connection": "Keep-Alive", "Content-Type": content_type or "application/soap+xml;charset=UTF-8"}
        if authorization:
            headers["Authorization"] = authorization
        # The library's timeout is for each read; a server may send an octet now and then, and never end.
        overdue = threading.Event()
        watch = threading.Timer(self._timeout, self._cut, (overdue,))
        watch.daemon = True
        watch.start()
        try:
            self._connection.request("POST", self._path, body=body, headers=headers)
            response = self._connection.getresponse()
            data = response.read(MAX_BODY + 1)
        except (http.client.HTTPException, OSError, ValueError) as error:
            refused = self._tcp is None and not isinstance(error, TimeoutError)
            self.close()
            if overdue.is_set() or isinstance(error, TimeoutError):
                return None
            if isinstance(error, ssl.SSLError):
                raise OSError(0, f"no TLS to be had: {error.reason or error}") from None
            if refused:
                raise
            return HttpAnswer(0)
        finally:
            watch.cancel()
        if overdue.is_set() or len(data) > MAX_BODY:
            self.close()
            return None
        challenges = tuple(response.headers.get_all("WWW-Authenticate") or ())
        return HttpAnswer(response.status, challenges, response.headers.get("Content-Type") or "", data)

    def _connect(self, address: tuple[str, int], timeout: float, source: object = None) -> socket.socket:  # noqa: ARG002
        connection = socket.create_connection(address, timeout)
        # TLS takes the socket over; a second descriptor can still end the connection, whatever it waits for.
        self._tcp = connection.dup()
        return connection

    def _cut(self, overdue: threading.Event) -> None:
        overdue.set()
        if self._tcp is not None:
            with contextlib.suppress(OSError):
                self._tcp.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it."""
        self._connection.close()
        if self._tcp is not None:
            self._tcp.close()
            self._tcp = None


class HttpClientLink:
    """A link to a server: every `send` is a leg.

    Attributes:
        connection: the connection.
        accepted: whether the server let the last leg in; None before.
    """

    def __init__(self, connection: HttpConnection) -> None:
        self.connection = connection
        self.accepted: bool | None = None
        self.crash = ""
        self.report: BaseException | None = None
        self._queue: list[bytes] = []
        self._over = False
        self._silent = False

    def send(self, data: bytes) -> None:
        """Send a leg and keep what came back."""
        if self._over or not data:
            return
        answer = self.connection.request(authorization=format_token(data))
        if answer is None:
            self._silent = True
            return
        self.accepted = 200 <= answer.status < 300
        if answer.token:
            self._queue.append(answer.token)
        # An offer alone is an empty token: the answer to a flight that needs none, or a refusal without words.
        elif not self.accepted and not (answer.status == 401 and answer.offers and not self._queue):
            self._over = True

    def receive(self, timeout: float) -> bytes | None:  # noqa: ARG002  # the answer is there, or will not come
        """Return what came."""
        if self._queue:
            return self._queue.pop(0)
        if self._silent:
            return None
        return b""

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


class RequestSource(Protocol):
    """Where requests of a client under test come from."""

    @property
    def crash(self) -> str:
        """How the client crashed, or an empty string."""

    @property
    def report(self) -> BaseException | None:
        """The error that the client told its caller."""

    def next(self, timeout: float) -> HttpRequest | None:
        """Return the next request; None where there is none in time."""

    def answer(self, answer: HttpAnswer) -> None:
        """Answer the last one."""

    @property
    def over(self) -> bool:
        """Whether no further request can come."""

    def close(self) -> None:
        """Close the connection."""


class HttpServerLink:
    """A link to a client under test: what it sends in `Authorization`, and what goes back with 401.

    Attributes:
        source: the requests.
        requests: those that came.
    """

    def __init__(self, source: RequestSource) -> None:
        self.source = source
        self.requests: list[HttpRequest] = []
        self._pending = False
        self._closed = False

    @property
    def crash(self) -> str:
        """How the client crashed."""
        return self.source.crash

    @property
    def report(self) -> BaseException | None:
        """What the client told its caller."""
        return self.source.report

    def send(self, data: bytes) -> None:
        """Answer the leg under way."""
        if self._pending:
            self._pending = False
            self.source.answer(HttpAnswer(401, (format_token(data),)))

    def receive(self, timeout: float) -> bytes | None:
        """Wait for the next leg; the one before is answered with an empty token if nothing else was there."""
        if self._closed:
            return b""
        if self._pending:
            self.send(b"")
        while True:
            request = self.source.next(timeout)
            if request is None:
                return b"" if self.source.over else None
            self.requests.append(request)
            self._pending = True
            if request.token:
                return request.token
            self._pending = False
            self.source.answer(HttpAnswer(401, (format_token(b""),)))

    def finish(self, answer: HttpAnswer) -> None:
        """Answer the last leg with something else than 401."""
        if self._pending:
            self._pending = False
            self.source.answer(answer)

    def close(self) -> None:
        """Close the connection."""
        self._closed = True
        self.source.close()


class SocketRequests:
    """Requests over a socket: just enough HTTP/1.1 for what WinRM clients send."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._data = b""
        self.over = False

    @property
    def crash(self) -> str:
        """How the client crashed, where that can be known."""
        return self._link.crash

    @property
    def report(self) -> BaseException | None:
        """What the client told its caller, where that can be known."""
        return self._link.report

    def next(self, timeout: float) -> HttpRequest | None:
        """Read one request."""
        end = time.monotonic() + timeout
        while b"\r\n\r\n" not in self._data:
            if not self._more(end):
                return None
        head, _, rest = self._data.partition(b"\r\n\r\n")
        headers: dict[str, str] = {}
        for line in head.decode("latin-1").split("\r\n")[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        self._data = rest
        length = headers.get("content-length") or "0"
        if "transfer-encoding" in headers or not (length.isascii() and length.isdigit() and len(length) < _DIGITS):
            # [MS-WSMV] 2.2.9.1.1.2.1: Content-Length must be there.
            self.answer(HttpAnswer(411))
            self.over = True
            return None
        size = int(length)
        if headers.get("expect", "").lower() == "100-continue" and len(rest) < size:
            self._link.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        while len(self._data) < size:
            if not self._more(end):
                return None
        body, self._data = self._data[:size], self._data[size:]
        request = HttpRequest(headers.get("authorization", ""), headers.get("content-type", ""), body)
        if request.token:
            self._begun()
        return request

    def _more(self, end: float) -> bool:
        piece = self._read(max(0.0, end - time.monotonic()))
        if not piece or len(self._data) > _MAX_HEAD * 64:
            self.over = piece == b"" or bool(piece)
            return False
        self._data += piece
        return True

    def _read(self, timeout: float) -> bytes | None:
        return self._link.receive(timeout)

    def _begun(self) -> None:
        """Take note of the first leg of a login; called for every leg."""

    def answer(self, answer: HttpAnswer) -> None:
        """Send one response."""
        lines = [f"HTTP/1.1 {answer.status} Answer", f"Content-Length: {len(answer.body)}", "Connection: Keep-Alive"]
        lines += [f"WWW-Authenticate: {value}" for value in answer.challenges]
        if answer.content_type:
            lines.append(f"Content-Type: {answer.content_type}")
        self._link.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + answer.body)

    def close(self) -> None:
        """Close the socket."""
        self._link.close()


@dataclass
class HttpServerTarget:
    """A WinRM server.

    Attributes:
        url: where it is.
        account: an account it knows.
        name: for reports.
        timeout: seconds to wait for an answer.
        features: what it offers.
        target_name: the SPN.
        tickets: gives out Kerberos tickets for it, or None.
        settle: has no effect: the status of an answer says what the server made of a login.
    """

    url: str = field(repr=False)
    account: LogonAccount
    name: str = ""
    timeout: float = 5.0
    features: Collection[str] = ("http",)
    target_name: str = ""
    tickets: TicketSource | None = None
    settle: float | None = None

    def __post_init__(self) -> None:
        if self.tickets is not None:
            self.features = (*self.features, "kerberos")
        parts = urllib.parse.urlsplit(self.url)
        # Without user and password, should somebody have put them there: the name stands in reports.
        self.name = self.name or parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        self.target_name = self.target_name or f"HTTP/{urllib.parse.urlsplit(self.url).hostname}"

    def open(self, setup: Setup) -> Link:
        """Connect."""
        if setup not in (Setup(), Setup(min_version=2)):
            raise Skipped("this server is judged as it is set up")
        return HttpClientLink(HttpConnection(self.url, self.timeout))

    def obstacle(self) -> str:
        """Ask without a token, and say why a login cannot work with what is there; empty where that does not show."""
        connection = HttpConnection(self.url, self.timeout)
        try:
            answer = connection.request()
        finally:
            connection.close()
        if answer is None:
            return f"no (whole) HTTP answer within {self.timeout:g} s"
        if not answer.status:
            return "what answers there is no HTTP server, or it closed the connection"
        if not answer.offers:
            offered = ", ".join(challenge.split(" ")[0] for challenge in answer.challenges) or "nothing"
            return f"the server answers {answer.status} and offers {offered} in WWW-Authenticate, not CredSSP"
        return ""

    def open_raw(self, setup: Setup) -> Link:
        """HTTP has nothing in front of TLS."""
        return self.open(setup)

    def accepted(self, link: Link) -> bool | None:
        """Whether the last leg was answered with success."""
        return getattr(link, "accepted", None)
