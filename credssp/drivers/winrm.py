"""WinRM over one connection of the standard library's HTTP client: for ``credssp login`` and ``credssp probe``.

Programs use `credssp.drivers.winrm_requests` or `credssp.drivers.winrm_httpx`, which pool connections and know proxies.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import http.cookiejar
import socket
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from credssp.config import check_port
from credssp.drivers._http_client import line_too_long, read_final
from credssp.drivers.blocking import obstacle_of, reason
from credssp.drivers.handshake import ConnectError, DeadlineError, Obstacle, Timeouts
from credssp.drivers.proxies import open_tunnel
from credssp.errors import CertificateError, CredSSPError, LimitExceededError, PeerClosedError, RemoteProtocolError
from credssp.next_step import NextStep
from credssp.proxy import Proxy
from credssp.secret import private
from credssp.status import SecurityStatus
from credssp.tls.alerts import old_server, translate
from credssp.tls.settings import CertificateCheck, ClientTLS, client_context
from credssp.winrm.client import ClientLogin, check_offer
from credssp.winrm.encryption import DEFAULT_MAX_BODY, SOAP, Plaintext, decrypt, encrypt, is_encrypted_type
from credssp.winrm.errors import LoginError

__all__ = ["HTTPReply", "WinRMConnection"]

_HEADERS: Final = {"User-Agent": "credssp for Python", "Accept-Encoding": "identity", "Connection": "Keep-Alive"}


@dataclass(frozen=True, slots=True)
class HTTPReply:
    """An HTTP response.

    Attributes:
        status: its status.
        challenges: the values of WWW-Authenticate.
        content_type: its Content-Type, or an empty string.
        server: what the server calls itself, or an empty string.
        body: its body.
    """

    status: int
    challenges: tuple[str, ...]
    content_type: str
    server: str
    body: bytes = field(repr=False)


class WinRMConnection:
    """One TCP connection to a WinRM server; use it in a ``with`` block.

    Attributes:
        certificate: the certificate of https, DER; None over http or before the connection.
        certificate_check: what became of it.
        tls_version: the TLS version of https, or an empty string.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        path: str = "/wsman",
        https: ClientTLS | None = None,
        timeouts: Timeouts | None = None,
        max_body: int = DEFAULT_MAX_BODY,
        proxy: Proxy | None = None,
    ) -> None:
        """Prepare.

        Args:
            host: name or address.
            port: TCP port.
            path: path of the URL.
            https: how to check the certificate of https; None for http.
            timeouts: how long to wait.
            max_body: bytes of one body to take.
            proxy: a proxy to connect through. An HTTP proxy makes a tunnel for https, and passes requests on for http.

        Raises:
            LocalProtocolError: `https` names a file that cannot be read.
        """
        self._address = host, check_port(port)
        self._path = path
        self._https = https
        self._context = None if https is None else client_context(https)
        self._timeouts = timeouts or Timeouts()
        self._max_body = max_body
        self._late = 0.0
        self._whole = contextlib.ExitStack()
        self._tcp: socket.socket | None = None
        self.certificate: bytes | None = None
        self.certificate_check = CertificateCheck.NOT_CHECKED
        self.tls_version = ""
        # A zone is about our interfaces: neither TLS nor the server hears of it (RFC 6874 4).
        self._name = host.partition("%")[0] if ":" in host else host
        self._http = http.client.HTTPConnection(self._name, port)
        name = f"[{self._name}]" if ":" in host else host
        self._url = f"{'http' if https is None else 'https'}://{name}:{port}{path}"
        self._proxy = proxy
        # Passed on by the proxy, whose connection to the server has to be the same for all legs.
        self._relayed = proxy is not None and proxy.scheme == "http" and https is None
        self._cookies = http.cookiejar.CookieJar()

    def __enter__(self) -> Self:
        self._whole.enter_context(self.deadline(self._timeouts.login))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._whole.close()
        self.close()

    @contextlib.contextmanager
    def deadline(self, seconds: float) -> Iterator[None]:
        """End the connection where the block takes longer, even if the server keeps it busy a byte at a time.

        A ``with`` block of the connection has one of `Timeouts.login`.
        """
        self._late = 0.0
        watchdog = threading.Timer(seconds, self._give_up, (seconds,))
        watchdog.daemon = True
        watchdog.start()
        try:
            yield
        finally:
            watchdog.cancel()

    def _give_up(self, seconds: float) -> None:
        self._late = seconds
        if self._tcp is not None:
            with contextlib.suppress(OSError):
                self._tcp.shutdown(socket.SHUT_RDWR)

    @property
    def closed(self) -> bool:
        """Whether there is no connection (any more): the next request opens one."""
        return self._http.sock is None

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._http.close()
        if self._tcp is not None:
            self._tcp.close()
            self._tcp = None

    def connect(self) -> None:
        """Connect.

        Raises:
            ConnectError: there is no connection; its cause is the OSError.
            DeadlineError: it took too long.
            CertificateError: the certificate of https did not pass.
        """
        self.close()
        host, port = self._address
        try:
            tcp = self._reach()
            # TLS takes the socket over; a second descriptor can still end the connection, whatever it waits for.
            self._tcp = tcp.dup()
            tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                tcp = self._context.wrap_socket(tcp, server_hostname=self._name)
        except ssl.SSLCertVerificationError as error:
            why = translate(error, during="TLS handshake")
            raise CertificateError(
                f"the server's https certificate was rejected: {error.verify_message}",
                status=why.status,
                advice=why.advice,
            ) from None
        except OSError as error:
            if self._late:
                raise self._failed(error) from None
            if not isinstance(error, ssl.SSLError):
                text = f"no connection to {host} port {port}: {self._reason(error)}"
                late = self._tcp is not None and isinstance(error, TimeoutError)
                raise ConnectError(text).because_of(Obstacle.MUTE if late else obstacle_of(error)) from error
            by_default = self._context is not None and self._context.minimum_version == ssl.TLSVersion.TLSv1_2
            first = b"" if by_default else None
            advice = translate(error, during="TLS handshake", first=first).advice
            what = old_server(error.reason or "", first) or self._reason(error)
            failed = ConnectError(f"the TLS handshake failed: {what}", advice=advice)
            raise failed.because_of(Obstacle.TLS) from error
        except (ValueError, OverflowError) as error:
            text = f"no connection to {host} port {port}: {reason(error)}"
            raise ConnectError(text).because_of(obstacle_of(error)) from None
        tcp.settimeout(self._timeouts.leg)
        self._http.sock = tcp
        if self._https is not None:
            channel: Any = tcp
            self.certificate = channel.getpeercert(binary_form=True)
            self.tls_version = channel.version() or ""
            self.certificate_check = self._https.check(self.certificate)

    def _reach(self) -> socket.socket:
        if self._proxy is None:
            return socket.create_connection(self._address, self._timeouts.connect)
        if not self._relayed:
            return open_tunnel(*self._address, timeouts=self._timeouts, proxy=self._proxy)
        try:
            return socket.create_connection((self._proxy.host, self._proxy.port), self._timeouts.connect)
        except OSError as error:
            raise ConnectError(
                f"no connection through the proxy {self._proxy}: {reason(error)}", advice=NextStep.PROXY
            ) from error

    @private
    def post(
        self, body: bytes = b"", *, content_type: str | None = None, authorization: str | None = None
    ) -> HTTPReply:
        """Send a request and return the response; connects where there is no connection (any more).

        Raises:
            ConnectError, DeadlineError: the connection failed, or the server took too long.
            CertificateError: as `connect`.
            RemoteProtocolError: what came back is not HTTP, or too much.
        """
        headers = dict(_HEADERS)
        if content_type is not None:
            headers["Content-Type"] = content_type
        if authorization is not None:
            headers["Authorization"] = authorization
        if self._relayed and self._proxy is not None and self._proxy.username:
            login = f"{self._proxy.username}:{self._proxy.password.reveal()}".encode("latin-1")
            headers["Proxy-Authorization"] = "Basic " + base64.b64encode(login).decode("ascii")
        if self.closed:
            self.connect()
        try:
            request = urllib.request.Request(self._url, headers=headers)  # noqa: S310  # for the CookieJar
            self._cookies.add_cookie_header(request)
            where = self._url if self._relayed else self._path
            self._http.request("POST", where, body, dict(request.header_items()))
            response = self._http.getresponse()
            read_final(response)
            self._cookies.extract_cookies(response, request)
            data = response.read(self._max_body + 1)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._failed(error) from None
        if self._late:
            raise self._failed(TimeoutError())  # what was read is what came before the connection was cut
        if len(data) > self._max_body:
            raise LimitExceededError(f"the server sent a body of more than {self._max_body} bytes")
        fields = response.headers
        return HTTPReply(
            response.status,
            tuple(fields.get_all("WWW-Authenticate") or ()),
            fields.get("Content-Type", ""),
            fields.get("Server", ""),
            data,
        )

    def _failed(self, error: Exception) -> CredSSPError:
        """Say what a failed request means."""
        if self._late:
            return DeadlineError(f"the server did not finish within {self._late:g} s")
        if (too_long := line_too_long(error)) is not None:
            return too_long
        if isinstance(error, TimeoutError):
            return DeadlineError(f"the server sent nothing within {self._timeouts.leg:g} s")
        if isinstance(error, OSError):
            return ConnectError(f"the connection failed: {self._reason(error)}")
        return RemoteProtocolError(f"the server did not answer with HTTP ({type(error).__name__})")

    def _reason(self, error: OSError) -> str:
        # OpenSSL's errors have a name of their own, such as WRONG_VERSION_NUMBER: http behind https.
        name = getattr(error, "reason", None)
        return name.lower().replace("_", " ") if isinstance(name, str) else reason(error)

    def offer(self) -> HTTPReply:
        """Ask without credentials and return the answer."""
        return self.post()

    def log_on(self, login: ClientLogin) -> None:
        """Run all legs.

        Raises:
            WinRMError: there is no login.
            ConnectError, DeadlineError, RemoteProtocolError: as `post`.
        """
        reply = self.offer()
        check_offer(reply.status, reply.challenges)
        login.bind(self.certificate)
        header: str | None = login.start()
        while header is not None:
            try:
                reply = self.post(authorization=header)
            except ConnectError as error:
                # There was a connection: name and port are right, and what was sent is spent.
                lost = PeerClosedError(f"the connection ended before the answer: {error.message}")
                raise LoginError.because(lost, leg=login.leg, http_status=None) from lost
            proxy = self._proxy.address if self._relayed and self._proxy is not None else ""
            header = login.receive(reply.status, reply.challenges, proxy=proxy)
            if header is not None and self.closed:
                raise LoginError(
                    "the connection ended with the answer to a leg, and a login counts for one connection",
                    leg=login.leg,
                    http_status=reply.status,
                    status=SecurityStatus.SEC_E_CONTEXT_EXPIRED,
                    advice=NextStep.WINRM_ONE_CONNECTION,
                )

    def send(self, login: ClientLogin, message: bytes) -> tuple[int, Plaintext]:
        """Send an encrypted message and return status and answer.

        Raises:
            CredSSPError: it did not come through.
        """
        sealed = encrypt(login.context, message, SOAP)
        reply = self.post(sealed.body, content_type=sealed.content_type)
        if not is_encrypted_type(reply.content_type):
            return reply.status, Plaintext(reply.content_type, reply.body)
        return reply.status, decrypt(login.context, reply.content_type, reply.body, max_size=self._max_body)
