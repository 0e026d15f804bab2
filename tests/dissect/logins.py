"""Logins in memory: what both sides would have sent over the wire, with the key log of their TLS connection."""

from __future__ import annotations

import base64
import functools
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from credssp import ClientContext, MemoryAccounts, PasswordCredentials, ServerContext
from credssp.errors import CredSSPError
from credssp.ntlm.challenge import NTLMTarget
from credssp.rdp.negotiation import NegotiationRequest, NegotiationResponse, Protocol
from credssp.rdp.x224 import ConnectionConfirm, ConnectionRequest
from credssp.secret import Secret
from credssp.tls.certificate import ServerCertificate, generate_certificate
from credssp.tls.settings import ClientTLS, ServerTLS, client_context
from tests.dissect.captures import Said

USER, DOMAIN, PASSWORD = "alice", "LAB", "correct horse"
TARGET = "TERMSRV/srv.lab.test"
NAMES = NTLMTarget("SRV", "LAB", "srv.lab.test", "lab.test")


def certificate(kind: str = "rsa") -> ServerCertificate:
    return _certificate(kind)


@functools.cache
def _certificate(kind: str) -> ServerCertificate:
    return generate_certificate(kind, common_name="srv.lab.test")  # type: ignore[arg-type]


@dataclass(frozen=True)
class Login:
    """What was said, with the key log, and what the server was told."""

    said: tuple[Said, ...]
    keylog: bytes
    certificate: bytes
    requests: tuple[bytes, ...]

    def rdp(self) -> list[Said]:
        """The same behind an RDP negotiation."""
        request = ConnectionRequest(cookie="alice", negotiation=NegotiationRequest(Protocol.SSL | Protocol.HYBRID))
        confirm = ConnectionConfirm(NegotiationResponse(Protocol.HYBRID))
        return [("client", request.encode()), ("server", confirm.encode()), *self.said]

    def winrm(self) -> list[Said]:
        """The same in HTTP headers: 401 until the credentials are there."""
        head = b"POST /wsman HTTP/1.1\r\nHost: srv.lab.test:5985\r\nContent-Length: 0\r\n"
        offer = b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Negotiate\r\nWWW-Authenticate: CredSSP\r\n"
        said: list[Said] = [("client", head + b"\r\n"), ("server", offer + b"Content-Length: 4\r\n\r\nbody")]
        last = max(index for index, (sender, _) in enumerate(self.said) if sender == "client")
        for index, (sender, data) in enumerate(self.said):
            token = base64.b64encode(data)
            if sender == "client":
                said.append((sender, head + b"Authorization: CredSSP " + token + b"\r\n\r\n"))
                if index == last:
                    said.append(
                        ("server", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
                    )
                    break
            else:
                answer = b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: CredSSP " + token
                said.append((sender, answer + b"\r\nContent-Length: 0\r\n\r\n"))
        return said


@functools.cache
def log_on(
    *,
    tls: Any = "1.3",
    ciphers: str | None = None,
    key: str = "rsa",
    version: int = 6,
    mechanism: Any = "ntlm",
    password: str = PASSWORD,
    options: int = 0,
    user: str = USER,
    domain: str = DOMAIN,
) -> Login:
    """Log on with our client to our server. `options` are set on the client's SSLContext."""
    # A host name of its own gives each login an SSLContext of its own, for its own key log.
    name = f"srv{ciphers or ''}{options}{version}".lower().replace(":", "").replace("@", "").replace("=", "")[:60]
    settings = ClientTLS(minimum=tls, maximum=tls, ciphers=ciphers, server_hostname=f"{name}.lab.test")
    context = client_context(settings)
    context.options |= options
    said: list[Said] = []
    requests: list[bytes] = []
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "keys")
        context.keylog_filename = str(log)
        client = ClientContext(
            PasswordCredentials.received(user, Secret(password), domain),  # any name, as a peer may send it
            target_name=TARGET,
            mechanism=mechanism,
            min_version=2,
            max_version=version,
            tls=settings,
            observer=lambda direction, message, data: requests.append(data),
        )
        server = ServerContext(
            accounts=MemoryAccounts({(domain, user): PASSWORD}),
            certificate=certificate(key),
            target=NAMES,
            min_version=2,
            max_version=version,
            tls=ServerTLS(minimum=tls, maximum=tls, ciphers=ciphers),
        )
        try:
            token = client.step().token
            while True:
                said.append(("client", token))
                if client.complete:
                    server.step(token)
                    break
                answer = server.step(token).token
                said.append(("server", answer))
                token = client.step(answer).token
            said += [("client", client.wrap(b"\x03\0\0\x0c\x02\xf0\x80hello")), ("server", server.wrap(b"welcome"))]
            said += [("client", client.shutdown()), ("server", server.shutdown())]
        except CredSSPError as error:
            said.append(("server", error.token))
            try:
                client.step(error.token)
            except CredSSPError as refusal:
                said.append(("client", refusal.token))
        keylog = log.read_bytes()
        # Python has no way to turn it off again.
        context.keylog_filename = os.devnull
    return Login(tuple(entry for entry in said if entry[1]), keylog, certificate(key).der, tuple(requests))
