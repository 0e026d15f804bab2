"""WinRM: tokens in HTTP headers, one leg a request ([MS-WSMV] 3.1.4.1.28); both sides, and a link over each.

What is a TLS record and what a TSRequest is for `credssp.conformance.connection`: here they are base64 in a header.
"""

from __future__ import annotations

import ssl
import time
import urllib.parse
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from credssp.conformance.http_messages import HttpAnswer, HttpRequest
from credssp.conformance.kerberos import TicketSource
from credssp.conformance.links import Link
from credssp.conformance.liveness import await_listener, listener_gone
from credssp.conformance.rule import Evidence, Skipped
from credssp.conformance.setup import Setup
from credssp.drivers.handshake import DeadlineError, Timeouts
from credssp.drivers.winrm import WinRMConnection
from credssp.errors import CredSSPError, LimitExceededError, LocalProtocolError
from credssp.exchange.account import LogonAccount
from credssp.kerberos.tickets import ServiceKey
from credssp.tls.settings import ClientTLS
from credssp.winrm.encryption import SOAP
from credssp.winrm.header import format_token

if TYPE_CHECKING:
    import h11

    from credssp.conformance.server_program import ServerProgram  # which needs programs, and they need this module

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
_MAX_REQUEST = 16 * 1024 * 1024
"""Bytes of a request's body that are read: 32 times the largest envelope of Windows by default."""
MAX_BODY = 4 * 1024 * 1024
"""Bytes of an answer that are read; what is longer has no end."""


def _unnoted(_: Evidence) -> None:
    """Take evidence that is not wanted."""


class HttpConnection:
    """One TCP connection to a server under test.

    Attributes:
        note: takes what goes over, but for the legs of a login, which are evidence themselves.
    """

    note: Callable[[Evidence], None] = staticmethod(_unnoted)

    def __init__(self, url: str, timeout: float) -> None:
        parts = urllib.parse.urlsplit(url)
        # Whose certificate it is does not matter: the account was made up for the test.
        https = ClientTLS() if parts.scheme == "https" else None
        self._timeout = timeout
        self._connected = False
        self._path = parts.path or "/wsman"
        self._connection = WinRMConnection(
            parts.hostname or "localhost",
            parts.port or (5985 if https is None else 5986),
            path=self._path,
            https=https,
            timeouts=Timeouts(connect=timeout, leg=timeout, login=timeout),
            max_body=MAX_BODY,
        )

    def request(self, *, authorization: str = "", content_type: str = "", body: bytes = b"") -> HttpAnswer | None:
        """Send a request; returns None where no answer came in time.

        Raises:
            OSError: no program listens there.
        """
        request = HttpRequest(authorization, content_type or SOAP, body, f"POST {self._path} HTTP/1.1")
        self.note(request.evidence)
        answer = self.exchange(request)
        self.note(Evidence("server", b"", "nothing at all") if answer is None else answer.evidence)
        return answer

    def exchange(self, request: HttpRequest) -> HttpAnswer | None:
        """Send a request as `request` does, and note nothing."""
        try:
            with self._connection.deadline(self._timeout):
                if not self._connected:
                    self._connection.connect()
                    self._connected = True
                reply = self._connection.post(
                    request.body,
                    content_type=request.content_type,
                    authorization=request.authorization or None,
                )
        except CredSSPError as error:
            refused, cause = not self._connected, error.__cause__
            self.close()
            if isinstance(error, DeadlineError | LimitExceededError) or isinstance(cause, TimeoutError):
                return None
            if refused:
                plain = isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError)
                raise (cause if plain and cause else OSError(0, error.message)) from None
            return HttpAnswer(0)
        return HttpAnswer(reply.status, reply.challenges, reply.content_type, reply.body)

    @property
    def certificate(self) -> bytes | None:
        """The certificate of https, DER; None over http or before the connection."""
        return self._connection.certificate

    def close(self) -> None:
        """Close it; the next request opens another."""
        self._connection.close()
        self._connected = False


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
        self._empty: Evidence | None = None
        self._over = False
        self._silent = False

    def send(self, data: bytes) -> None:
        """Send a leg and keep what came back."""
        if self._over or not data:
            return
        request = HttpRequest(format_token(data), SOAP)
        answer = self.connection.exchange(request)
        if answer is None:
            self._silent = True
            return
        offered = answer.status == 401 and answer.offers
        self._empty = answer.evidence if offered and not answer.token else None
        if not (offered or answer.token):
            self.connection.note(answer.evidence)
        self.accepted = 200 <= answer.status < 300
        if answer.token:
            self._queue.append(answer.token)
        # An offer alone is an empty token: the answer to a flight that needs none, or a refusal without words.
        elif not self.accepted and not (offered and not self._queue):
            self._over = True

    def receive(self, timeout: float) -> bytes | None:  # noqa: ARG002  # the answer is there, or will not come
        """Return what came."""
        if self._queue:
            return self._queue.pop(0)
        if self._silent:
            return None
        if self._empty is not None:
            self.connection.note(self._empty)
            self._empty = None
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
        note: takes what goes over, but for the legs of a login, which are evidence themselves.
    """

    note: Callable[[Evidence], None] = staticmethod(_unnoted)

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
            self.note(request.evidence)
            self.finish(HttpAnswer(401, (format_token(b""),)))

    def finish(self, answer: HttpAnswer) -> None:
        """Answer the last leg with something else than 401."""
        if self._pending:
            self._pending = False
            self.answer(answer)

    def next(self, timeout: float) -> HttpRequest | None:
        """Wait for a request that may be anything; None where none comes in time."""
        request = self.source.next(timeout)
        ending = Evidence("client", b"", "closed" if self.source.over else "nothing at all")
        self.note(ending if request is None else request.evidence)
        return request

    def answer(self, answer: HttpAnswer) -> None:
        """Answer the last request."""
        self.note(answer.evidence)
        self.source.answer(answer)

    def close(self) -> None:
        """Close the connection."""
        self._closed = True
        self.source.close()


class SocketRequests:
    """Requests over a socket, read by h11.

    Raises:
        LocalProtocolError: h11 is missing.
    """

    def __init__(self, link: Link) -> None:
        try:
            import h11
        except ModuleNotFoundError:
            raise LocalProtocolError(
                "h11 is missing, which reads HTTP requests: pip install 'credssp[winrm-server]' "
                "(in a clone: '.[winrm-server]')"
            ) from None
        self._h11 = h11
        self._link = link
        self.over = False
        self._await_request()

    def _await_request(self, rest: bytes = b"") -> None:
        """Wait for the next request. Answers are not told to h11: the suite sends what no server should."""
        self._reader = self._h11.Connection(self._h11.SERVER, max_incomplete_event_size=_MAX_HEAD)
        self._head: h11.Request | None = None
        self._body = bytearray()
        if rest:
            self._reader.receive_data(rest)

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
        h11 = self._h11
        end = time.monotonic() + timeout
        while not self.over:
            try:
                event = self._reader.next_event()
            except h11.RemoteProtocolError as error:
                self._refuse(error.error_status_hint)
                return None
            if isinstance(event, h11.Request):
                self._head = event
                headers = dict(event.headers)
                # [MS-WSMV] 2.2.9.1.1.2.1: Content-Length must be there.
                if b"transfer-encoding" in headers:
                    self._refuse(411)
                    return None
                if int(headers.get(b"content-length", b"0")) > _MAX_REQUEST:
                    self._refuse(413)
                    return None
            elif isinstance(event, h11.Data):
                self._body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return self._whole()
            elif not self._more(end):
                return None
        return None

    def _whole(self) -> HttpRequest:
        body = bytes(self._body)
        fields: list[tuple[str, str]] = []
        line = ""
        if (head := self._head) is not None:
            line = b" ".join((head.method, head.target, b"HTTP/" + head.http_version)).decode("latin-1")
            fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers.raw_items()]
        headers = {name.lower(): value for name, value in fields}
        self._await_request(self._reader.trailing_data[0])
        authorization, kind = headers.get("authorization", ""), headers.get("content-type", "")
        request = HttpRequest(authorization, kind, body, line, tuple(fields))
        if request.token:
            self._begun()
        return request

    def _refuse(self, status: int) -> None:
        self.answer(HttpAnswer(status))
        self.over = True

    def _more(self, end: float) -> bool:
        if self._reader.they_are_waiting_for_100_continue:
            interim = self._h11.InformationalResponse(status_code=100, reason=b"Continue", headers=[])
            self._link.send(self._reader.send(interim) or b"")
        piece = self._read(max(0.0, end - time.monotonic()))
        self.over = piece == b""
        if piece:
            self._reader.receive_data(piece)
        return bool(piece)

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
        program: the server, where the suite starts it itself, or None.
        service_keys: the keys of its services, for tickets as a KDC makes them.
    """

    url: str = field(repr=False)
    account: LogonAccount
    name: str = ""
    timeout: float = 5.0
    features: Collection[str] = ("http",)
    target_name: str = ""
    tickets: TicketSource | None = None
    settle: float | None = None
    program: ServerProgram | None = field(default=None, repr=False)
    service_keys: Sequence[ServiceKey] = ()

    def __post_init__(self) -> None:
        if self.tickets is not None:
            self.features = (*self.features, "kerberos", *(("service-keys",) if self.service_keys else ()))
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

    def died(self) -> str:
        """Return how the server ended, or an empty string while it is there."""
        return self.program.died() if self.program is not None else listener_gone(*self._address)

    def revive(self) -> str:
        """Start the server again, or wait for it to come back; returns why it did not, or an empty string."""
        return self.program.start() if self.program is not None else await_listener(*self._address)

    @property
    def _address(self) -> tuple[str, int]:
        parts = urllib.parse.urlsplit(self.url)
        return parts.hostname or "", parts.port or (5986 if parts.scheme == "https" else 5985)
