"""Asks a KDC for its time, and what it says to a realm."""

from __future__ import annotations

import socket
from datetime import datetime
from typing import Final

from credssp.drivers.handshake import ConnectError
from credssp.errors import LimitExceededError, PeerClosedError
from credssp.kerberos.kdc_time import KDCAnswer, kdc_question, read_kdc_answer
from credssp.next_step import NextStep

__all__ = ["ask", "ask_time"]

_MAX_ANSWER: Final = 65536


def ask_time(host: str, port: int, realm: str, *, timeout: float) -> datetime | None:
    """Return the KDC's time, or None where it answers without one; as `ask`."""
    return ask(host, port, realm, timeout=timeout).time


def ask(host: str, port: int, realm: str, *, timeout: float) -> KDCAnswer:
    """Return what the KDC answers to a client that does not exist.

    Args:
        host: the KDC.
        port: TCP port, 88 mostly.
        realm: a realm of it.
        timeout: seconds for each step.

    Raises:
        ConnectError: it is not there, or does not answer in time.
        CredSSPError: what answers is not a KDC.
    """
    try:
        with socket.create_connection((host, port), timeout=timeout) as connection:
            connection.sendall(kdc_question(realm))
            size = int.from_bytes(_read(connection, 4), "big")
            if size > _MAX_ANSWER:
                raise LimitExceededError(f"an answer of {size} bytes is too long for a KDC", section="RFC 4120 7.2.2")
            return read_kdc_answer(_read(connection, size))
    except TimeoutError:
        raise ConnectError(f"no answer from {host} port {port} within {timeout:g} s", advice=NextStep.KDC) from None
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ConnectError(f"no connection to {host} port {port}: {reason}", advice=NextStep.KDC) from None


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise PeerClosedError("the KDC closed the connection without an answer", advice=NextStep.KDC)
        data += part
    return data
