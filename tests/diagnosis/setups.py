"""Servers that are broken in one way each, for ``credssp doctor`` and ``credssp probe``."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.server
import ipaddress
import json
import secrets
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from credssp.cli import main
from credssp.rdp import ConnectionConfirm, NegotiationFailure, NegotiationResponse, Protocol
from credssp.rdp.negotiation import FailureCode

__all__ = ["certificate", "closed_port", "doctor", "no_nla", "probe", "web_server"]


def doctor(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    """Return the exit code and the report."""
    code = main(["doctor", "--json", *arguments])
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert report["fit"] is (code == 0)
    assert report["conclusion"]["exit_code"] == code
    return code, report


def probe(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, Any]]:
    """Return the findings of one server by their ids."""
    main(["probe", "--json", *arguments])
    (line,) = capsys.readouterr().out.splitlines()
    return {found["id"]: found for found in json.loads(line)["findings"]}


def closed_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def certificate(
    folder: Path,
    *,
    days: tuple[float, float] = (-1, 300),
    names: Sequence[str] = ("localhost", "127.0.0.1"),
    bits: int = 2048,
    windows: bool = False,
    issuer: bool = False,
    digest: type[hashes.SHA256] | type[hashes.SHA384] = hashes.SHA256,
) -> Path:
    """Make a certificate with its key in one PEM file.

    Args:
        folder: where.
        days: from when to when it is valid, from now.
        names: subjectAltName; none leaves it out.
        bits: of its RSA key, or 0 for P-256.
        windows: with the usage that Windows gives the one that it makes for RDP.
        issuer: issued by an authority, whose certificate is ``ca.pem`` in the folder.
        digest: of its signature.
    """
    key: Any = rsa.generate_private_key(65537, bits) if bits else ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0] if names else "localhost")])
    signer, parent = key, subject
    now = dt.datetime.now(dt.UTC)
    if issuer:
        signer = ec.generate_private_key(ec.SECP256R1())
        parent = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Test authority")])
        authority = (
            _builder(parent, parent, signer, now - dt.timedelta(days=400), now + dt.timedelta(days=400))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(signer.public_key()), critical=False)
            .sign(signer, hashes.SHA256())
        )
        (folder / "ca.pem").write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    begin, end = (now + dt.timedelta(days=number) for number in days)
    builder = _builder(subject, parent, key, begin, end)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), critical=False)
    if windows:
        builder = builder.add_extension(_usage(signs=False), critical=False)
    if issuer:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        builder = builder.add_extension(identifier, critical=False)
    pem = builder.sign(signer, digest()).public_bytes(serialization.Encoding.PEM)
    path = folder / "server.pem"
    path.touch(0o600)
    path.write_bytes(
        pem
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Any, begin: dt.datetime, end: dt.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(1 << 152 | secrets.randbits(152))  # whose first digit is 0 where bytes are shown
        .not_valid_before(begin)
        .not_valid_after(end)
    )


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs: bool) -> x509.KeyUsage:
    """That of an authority, or of Windows' own certificate for RDP."""
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=not signs,
        data_encipherment=not signs,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


@contextlib.contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Give each connection to a function in a thread; yields the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(10)
                answer(connection)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(20)


@contextlib.contextmanager
def no_nla(pem: Path, *, rdp_too: bool = False) -> Iterator[int]:
    """A server that takes TLS and no CredSSP, as xrdp does; with `rdp_too`, standard RDP security as well."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    def answer(connection: socket.socket) -> None:
        request = connection.recv(4096)
        if not request:  # one that only looks whether the port takes connections
            return
        asked = request[-4]
        if asked & Protocol.SSL:
            connection.sendall(ConnectionConfirm(NegotiationResponse(Protocol.SSL)).encode())
            with context.wrap_socket(connection, server_side=True) as channel:
                channel.recv(1)
        elif rdp_too and asked == 0:
            connection.sendall(ConnectionConfirm(NegotiationResponse(Protocol.RDP)).encode())
        else:
            code = FailureCode.SSL_REQUIRED_BY_SERVER
            connection.sendall(ConnectionConfirm(NegotiationFailure(code)).encode())

    with listening(answer) as port:
        yield port


class _Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(404)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Say nothing."""


@contextlib.contextmanager
def web_server() -> Iterator[int]:
    """A web server of the standard library, which takes no POST."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Pages)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join(20)
