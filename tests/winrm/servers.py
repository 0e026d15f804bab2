"""Servers for the tests of WinRM: ours on uvicorn, and one on pyspnego's acceptor that shares no code with it."""

from __future__ import annotations

import base64
import hashlib
import http.server
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import spnego
import spnego.tls

from credssp import MemoryAccounts, generate_certificate
from credssp.drivers.winrm_asgi import WinRMApplication
from credssp.drivers.winrm_serving import serving
from credssp.testing.wsman import WSManResponder

USER, DOMAIN, PASSWORD = "alice", "LAB", "correct horse battery staple"
ACCOUNTS = MemoryAccounts({(DOMAIN, USER): PASSWORD, ("", "bob"): "hunter2"})
SOAP_TYPE = "application/soap+xml;charset=UTF-8"
IDENTIFY = (
    b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
    b'xmlns:wsmid="http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"><s:Header/><s:Body>'
    b"<wsmid:Identify/></s:Body></s:Envelope>"
)


def application(handler: Any = None, **options: Any) -> WinRMApplication:
    options.setdefault("accounts", ACCOUNTS)
    return WinRMApplication(handler or WSManResponder(hostname="srv"), **options)


def outer_certificate(folder: Path) -> Path:
    """Write a certificate for https outside."""
    certificate = generate_certificate("p256", common_name="localhost", dns_names=("localhost", "127.0.0.1"))
    path = folder / "outer.pem"
    path.write_bytes(certificate.private_key.reveal() + certificate.chain)
    return path


@contextmanager
def running(app: Any, certificate: Path | None = None) -> Iterator[str]:
    """Serve an application; yields its URL."""
    with serving(app, certfile=certificate) as port:
        yield f"{'http' if certificate is None else 'https'}://127.0.0.1:{port}/wsman"


class Altered:
    """An application on uvicorn whose answers are altered, as a proxy in between would.

    Attributes:
        requests: the headers of every request.
    """

    def __init__(self, app: Any, alter: Callable[[int, dict[str, str], dict[str, Any]], None]) -> None:
        """Args are the application, and a function of the requests so far, the headers of this one and the answer."""
        self._app = app
        self._alter = alter
        self.requests: list[dict[str, str]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self.requests.append(headers)

        async def altered(message: Any) -> None:
            if message["type"] == "http.response.start":
                self._alter(len(self.requests), headers, message)
            await send(message)

        await self._app(scope, receive, altered)


def add_header(answer: dict[str, Any], name: bytes, value: bytes) -> None:
    answer["headers"] = [*answer["headers"], (name, value)]


class _SpnegoHandler(http.server.BaseHTTPRequestHandler):
    """One connection: pyspnego's acceptor, and an echo inside."""

    protocol_version = "HTTP/1.1"
    context: Any = None
    tls_context: Any = None
    seen: list[Any]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        scheme, _, token = (self.headers.get("Authorization") or "").partition(" ")
        if scheme.lower() == "credssp":
            self._leg(base64.b64decode(token))
        elif self.context is None or not self.context.complete:
            self._answer(401, challenge="Negotiate, CredSSP")
        else:
            self._echo(body)

    def _leg(self, token: bytes) -> None:
        if self.context is None:
            self.context = spnego.server(protocol="credssp", credssp_tls_context=self.tls_context)
        try:
            answer = self.context.step(token)
        except spnego.exceptions.SpnegoError:
            self._answer(401, challenge="CredSSP")
            return
        if self.context.complete:
            self.seen.append(self.context.get_extra_info("client_credential"))
            self._answer(200)
        else:
            self._answer(401, challenge=f"CredSSP {base64.b64encode(answer or b'').decode()}")

    def _echo(self, body: bytes) -> None:
        # As pypsrp reads it: the length field, then everything up to the next boundary.
        plain = b""
        for part in body.split(b"\tContent-Type: application/octet-stream\r\n")[1:]:
            records = part[4:].partition(b"--Encrypted Boundary")[0]
            plain += self.context.unwrap(records).data
        out = b""
        for start in range(0, len(plain), 16384):
            chunk = plain[start : start + 16384]
            header, data, _ = self.context.wrap_winrm(chunk)
            out += (
                b"--Encrypted Boundary\r\n\tContent-Type: application/HTTP-CredSSP-session-encrypted\r\n"
                b"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=%d\r\n"
                b"--Encrypted Boundary\r\n\tContent-Type: application/octet-stream\r\n" % len(chunk)
            )
            out += len(header).to_bytes(4, "little") + header + data
        kind = "encrypted" if len(plain) <= 16384 else "x-multi-encrypted"
        self._answer(
            200,
            out + b"--Encrypted Boundary--\r\n",
            f'multipart/{kind};protocol="application/HTTP-CredSSP-session-encrypted";boundary="Encrypted Boundary"',
        )

    def _answer(self, status: int, body: bytes = b"", content_type: str = "", challenge: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if content_type:
            self.send_header("Content-Type", content_type)
        if challenge:
            self.send_header("WWW-Authenticate", challenge)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


@contextmanager
def spnego_server(folder: Path, tls: str) -> Iterator[tuple[str, list[Any]]]:
    """Serve with pyspnego's acceptor; yields the URL and the list of delegated credentials."""
    import ssl

    users = folder / "users"
    users.write_text(f"{DOMAIN}:{USER}:{PASSWORD}\n")
    context = spnego.tls.default_tls_context(usage="accept")
    version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[tls]
    context.context.minimum_version = context.context.maximum_version = version
    certificate, key, context.public_key = spnego.tls.generate_tls_certificate()
    pem = folder / "inner.pem"
    pem.write_bytes(certificate + key)
    context.context.load_cert_chain(pem)
    seen: list[Any] = []
    handler = type("Handler", (_SpnegoHandler,), {"tls_context": context, "seen": seen})
    before = os.environ.get("NTLM_USER_FILE")
    os.environ["NTLM_USER_FILE"] = str(users)
    try:
        with _Server(("127.0.0.1", 0), handler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_port}/wsman", seen
            finally:
                server.shutdown()
                thread.join(5)
    finally:
        if before is None:
            del os.environ["NTLM_USER_FILE"]
        else:
            os.environ["NTLM_USER_FILE"] = before


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
