"""WinRM over one connection of the standard library's HTTP client: for ``credssp login`` and ``credssp probe``.

Programs use `credssp.drivers.winrm_requests` or `credssp.drivers.winrm_httpx`, which pool connections and know proxies.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from types import TracebackType
from typing import Any, Final, Self

from credssp.drivers.blocking import reason
from credssp.drivers.handshake import ConnectError, DeadlineError, Timeouts
from credssp.errors import CertificateError, CredSSPError, LimitExceededError, RemoteProtocolError
from credssp.tls.settings import CertificateCheck, ClientTLS, client_context
from credssp.winrm.client import ClientLogin, check_offer
from credssp.winrm.encryption import DEFAULT_MAX_BODY, SOAP, Plaintext, decrypt, encrypt, is_encrypted_type

__all__ = ["Reply", "WinRMConnection"]

_HEADERS: Final = {"User-Agent": "credssp for Python", "Accept-Encoding": "identity", "Connection": "Keep-Alive"}


class Reply:
    """An HTTP response.

    Attributes:
        status: its status.
        challenges: the values of WWW-Authenticate.
        content_type: its Content-Type, or an empty string.
        server: what the server calls itself, or an empty string.
        body: its body.
    """

    def __init__(self, response: http.client.HTTPResponse, body: bytes) -> None:
        self.status = response.status
        self.challenges: list[str] = response.headers.get_all("WWW-Authenticate") or []
        self.content_type: str = response.headers.get("Content-Type", "")
        self.server: str = response.headers.get("Server", "")
        self.body = body


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
    ) -> None:
        """Prepare.

        Args:
            host: name or address.
            port: TCP port.
            path: path of the URL.
            https: how to check the certificate of https; None for http.
            timeouts: how long to wait.
            max_body: octets of one body to take.

        Raises:
            LocalProtocolError: `https` names a file that cannot be read.
        """
        self._host = host
        self._path = path
        self._https = https
        self._timeouts = timeouts or Timeouts()
        self._max_body = max_body
        self._end = 0.0
        self._late = False
        self.certificate: bytes | None = None
        self.certificate_check = CertificateCheck.NOT_CHECKED
        self.tls_version = ""
        if https is None:
            self._http = http.client.HTTPConnection(host, port, timeout=self._timeouts.connect)
        else:
            self._http = http.client.HTTPSConnection(
                host, port, timeout=self._timeouts.connect, context=client_context(https)
            )
        # Whatever a server does to keep us waiting, a line at a time, ends with the connection.
        self._watchdog = threading.Timer(self._timeouts.login, self._give_up)
        self._watchdog.daemon = True

    def __enter__(self) -> Self:
        self._watchdog.start()
        self._end = time.monotonic() + self._timeouts.login
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._watchdog.cancel()
        self._http.close()

    def _give_up(self) -> None:
        self._late = True
        sock = self._http.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def connect(self) -> None:
        """Connect.

        Raises:
            ConnectError: there is no connection.
            CertificateError: the certificate of https did not pass.
        """
        try:
            self._http.connect()
        except OSError as error:
            verify_message = getattr(error, "verify_message", None)
            if verify_message is not None:
                raise CertificateError(f"the certificate of https was refused: {verify_message}") from None
            raise ConnectError(f"no connection: {self._reason(error)}") from None
        except (UnicodeError, OverflowError) as error:
            raise ConnectError(f"no connection: {reason(error)}") from None
        self._http.sock.settimeout(self._timeouts.leg)
        if self._https is not None:
            sock: Any = self._http.sock
            self.certificate = sock.getpeercert(binary_form=True)
            self.tls_version = sock.version() or ""
            self.certificate_check = self._https.check(self.certificate)

    def post(self, body: bytes = b"", *, content_type: str | None = None, authorization: str | None = None) -> Reply:
        """Send a request and return the response.

        Raises:
            ConnectError, DeadlineError: the connection failed, or the server took too long.
            RemoteProtocolError: what came back is no HTTP, or too much.
        """
        headers = dict(_HEADERS)
        if content_type is not None:
            headers["Content-Type"] = content_type
        if authorization is not None:
            headers["Authorization"] = authorization
        try:
            self._http.request("POST", self._path, body, headers)
            response = self._http.getresponse()
            data = response.read(self._max_body + 1)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._failed(error) from None
        if len(data) > self._max_body:
            raise LimitExceededError(f"the server sent a body of more than {self._max_body} octets")
        return Reply(response, data)

    def _failed(self, error: Exception) -> CredSSPError:
        """Say what a failed request means."""
        if self._late:
            return DeadlineError(f"the server was not done within {self._timeouts.login:g} s")
        if isinstance(error, TimeoutError):
            return DeadlineError(f"the server said nothing within {self._timeouts.leg:g} s")
        if isinstance(error, OSError):
            return ConnectError(f"the connection failed: {self._reason(error)}")
        return RemoteProtocolError(f"the server does not answer with HTTP ({type(error).__name__})")

    def _reason(self, error: OSError) -> str:
        # OpenSSL's errors have a name of their own, such as WRONG_VERSION_NUMBER: http behind https.
        name = getattr(error, "reason", None)
        return name.lower().replace("_", " ") if isinstance(name, str) else reason(error)

    def offer(self) -> Reply:
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
        header: str | None = login.start()
        while header is not None:
            reply = self.post(authorization=header)
            header = login.receive(reply.status, reply.challenges)

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
