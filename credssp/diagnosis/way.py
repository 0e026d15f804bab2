"""Why a server was not reached, or is not the one that was asked for, from the error of a probe."""

from __future__ import annotations

from typing import Final

from credssp.diagnosis.catalogue import finding
from credssp.drivers.handshake import ConnectError, DeadlineError, Obstacle
from credssp.errors import CredSSPError, LocalRestrictionError, PeerClosedError, RemoteProtocolError
from credssp.finding import ServerFinding

__all__ = ["protocol_of", "way_finding"]

_STARTS: Final = (
    (b"HTTP/", "HTTP"),
    (b"<html", "HTTP"),
    (b"<HTML", "HTTP"),
    (b"<!DOC", "HTTP"),
    (b"<!doc", "HTTP"),
    (b"SSH-", "SSH"),
    (b"RFB ", "VNC"),
    (b"220", "SMTP or FTP"),
    (b"* OK", "IMAP"),
    (b"+OK", "POP3"),
    (b"\xffSMB", "SMB"),
    (b"\xfeSMB", "SMB"),
    (b"\x15\x03", "TLS"),
    (b"\x16\x03", "TLS"),
    (b"\x03\x00", "RDP"),
)


def protocol_of(greeting: bytes) -> str:
    """Return the name of the protocol that first bytes are of; empty where it is not known."""
    return next((name for start, name in _STARTS if greeting.startswith(start)), "")


def way_finding(error: CredSSPError, where: str, *, wanted: str, greeting: bytes = b"") -> ServerFinding:
    """Return the finding that an error of a probe is.

    Args:
        error: what ended the probe.
        where: host and port, for people.
        wanted: the protocol that was asked for, such as ``RDP``.
        greeting: the first bytes that came.
    """
    if isinstance(error, ConnectError):
        return _no_connection(error, where)
    if isinstance(error, LocalRestrictionError):
        return finding("openssl-restricted", f"OpenSSL on this machine does not take part: {error.message}.")
    if isinstance(error, DeadlineError):
        return finding("silent", f"{where} takes the connection and does not answer in time.")
    if isinstance(error, PeerClosedError):
        return finding("closed-early", f"{where} closed the connection without an answer.")
    if isinstance(error, RemoteProtocolError):
        other = protocol_of(greeting)
        if other and other != wanted:
            return finding("other-protocol", f"{where} speaks {other}, not {wanted}.")
        return finding("other-protocol", f"{where} does not speak {wanted}: {error.message}.")
    return finding("no-connection", f"{where}: {error.message}.")


def _no_connection(error: ConnectError, where: str) -> ServerFinding:
    host = where.rpartition(" port ")[0]
    if error.obstacle is Obstacle.NAME:
        return finding("name-unknown", f"The name {host} has no address.")
    if error.obstacle is Obstacle.REFUSED:
        return finding("port-closed", f"Nothing listens on {where}: the connection was refused.")
    if error.obstacle is Obstacle.SILENT:
        return finding("no-answer", f"Nothing came back from {where}: packets are dropped, or the machine is off.")
    if error.obstacle is Obstacle.MUTE:
        return finding("silent", f"{where} takes the connection and does not answer TLS in time.")
    if error.obstacle is Obstacle.TLS:
        why = _last(error.message)
        return finding("tls-failed", f"{where} takes the connection, and the TLS handshake of https fails: {why}.")
    if error.obstacle is Obstacle.UNREACHABLE:
        return finding("unreachable", f"There is no way to {where}: {_last(error.message)}.")
    return finding("no-connection", f"There is no connection to {where}: {_last(error.message)}.")


def _last(message: str) -> str:
    return message.rpartition(": ")[2].rstrip(".")
