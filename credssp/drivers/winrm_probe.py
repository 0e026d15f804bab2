"""What a WinRM server offers, found out without credentials.

As `credssp.drivers.rdp_probe`, over HTTP: the authentication schemes, the certificate of https, the TLS versions and
the certificate inside, the CredSSP version, the mechanisms and the names that NTLM tells everybody.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final

from credssp.drivers.handshake import ConnectError, Timeouts
from credssp.drivers.rdp_probe import ProbeReport, accepts, first_tokens
from credssp.drivers.winrm import HTTPReply, WinRMConnection
from credssp.errors import CredSSPError, LimitExceededError, PeerClosedError, RemoteProtocolError
from credssp.protocol_version import HIGHEST_VERSION
from credssp.tls.channel import TLSChannel
from credssp.tls.settings import ClientTLS, TLSVersionName, client_context
from credssp.winrm.client import check_offer
from credssp.winrm.errors import NotOfferedError
from credssp.winrm.header import challenge_token, format_token, schemes
from credssp.wire.ts_request import TSRequest

__all__ = ["WinRMReport", "probe"]

_TLS_VERSIONS: Final[tuple[TLSVersionName, ...]] = ("1.2", "1.3")
_MAX_LEGS: Final = 8
_BODY: Final = 64 * 1024


@dataclass(slots=True)
class WinRMReport(ProbeReport):
    """What was found out; `protocols` are the authentication schemes, `tls` and `certificate` are those inside.

    Attributes:
        https_version: TLS version of https, or an empty string.
        https_certificate: its certificate, DER.
        server: what the server calls itself.
    """

    https_version: str = ""
    https_certificate: bytes | None = None
    server: str = ""
    path: str = field(default="/wsman")
    https: bool = False


def probe(host: str, port: int, *, path: str, https: bool, timeouts: Timeouts) -> WinRMReport:
    """Find out what a server offers. Whatever it does, it becomes a report."""
    report = WinRMReport(host, port, path=path, https=https)
    begin = time.monotonic()
    try:
        _probe(report, timeouts)
    except CredSSPError as error:
        report.error = error
    report.seconds = time.monotonic() - begin
    return report


def _connect(report: WinRMReport, timeouts: Timeouts) -> WinRMConnection:
    return WinRMConnection(
        report.host,
        report.port,
        path=report.path,
        https=ClientTLS() if report.https else None,
        timeouts=timeouts,
        max_body=_BODY,
    )


def _probe(report: WinRMReport, timeouts: Timeouts) -> None:
    with _connect(report, timeouts) as connection:
        connection.connect()
        report.https_version = connection.tls_version
        report.https_certificate = connection.certificate
        reply = connection.offer()
    report.server = reply.server
    report.protocols = dict.fromkeys(schemes(reply.challenges), "accepted")
    try:
        check_offer(reply.status, reply.challenges)
    except NotOfferedError:
        report.protocols["CredSSP"] = "not offered"
        return
    for version in _TLS_VERSIONS:
        try:
            with _connect(report, timeouts) as connection:
                channel, _ = _handshake(connection, ClientTLS(minimum=version, maximum=version))
        except (ConnectError, LimitExceededError):
            raise
        except RemoteProtocolError:
            continue  # this version is not taken
        report.tls[channel.protocol] = channel.cipher
        report.certificate = channel.peer_certificate
    if report.tls:
        _credssp(report, timeouts)


def _credssp(report: WinRMReport, timeouts: Timeouts) -> None:
    for name, token in first_tokens().items():
        try:
            with _connect(report, timeouts) as connection:
                channel, plaintext = _handshake(connection, ClientTLS())
                answer = _exchange(connection, channel, plaintext, TSRequest(HIGHEST_VERSION, nego_tokens=(token,)))
            report.credssp_version = answer.version
            if accepts(report, answer):
                report.mechanisms.append(name)
        except ConnectError:
            raise
        except CredSSPError as error:
            # A server that ends the login on a mechanism it does not have has answered.
            report.credssp_error = report.credssp_error or f"{name}: {error.message}"


def _handshake(connection: WinRMConnection, settings: ClientTLS) -> tuple[TLSChannel, bytes]:
    """Shake hands inside HTTP; returns the channel and, mostly empty, plaintext that came with it."""
    channel = TLSChannel(client_context(settings), server_side=False)
    for _ in range(_MAX_LEGS):
        done = channel.handshake()
        token = channel.data_to_send()
        if done and not token:
            return channel, channel.read()
        channel.receive(_token(connection.post(authorization=format_token(token))))
    raise LimitExceededError(f"a TLS handshake of more than {_MAX_LEGS} legs")


def _exchange(connection: WinRMConnection, channel: TLSChannel, plaintext: bytes, message: TSRequest) -> TSRequest:
    channel.write(message.encode())
    channel.receive(_token(connection.post(authorization=format_token(channel.data_to_send()))))
    plaintext += channel.read()
    if not plaintext:
        raise PeerClosedError("the server ended the login without an answer")
    return TSRequest.decode(plaintext)


def _token(reply: HTTPReply) -> bytes:
    token = challenge_token(reply.challenges)
    if reply.status != 401 or token is None:
        raise RemoteProtocolError(f"the server answered HTTP {reply.status} where a leg was due")
    return token
