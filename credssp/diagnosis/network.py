"""The way to a server: its name, its addresses, the TCP connection, and what kind of program answers there."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import threading
import time
from collections.abc import Sequence
from typing import Final

from credssp.diagnosis.request import DiagnosisRequest
from credssp.diagnosis.step import DiagnosisStep, StepState
from credssp.diagnosis.way import protocol_of, way_finding
from credssp.drivers.blocking import open_socket
from credssp.drivers.handshake import ConnectError, Obstacle
from credssp.drivers.proxies import reach
from credssp.errors import CredSSPError
from credssp.rdp.negotiation import NegotiationRequest, Protocol
from credssp.rdp.x224 import ConnectionRequest
from credssp.tls.hello import OLD_SUITES, TLS_1_2, client_hello

__all__ = ["connect", "look_up", "what_answers"]

_ADDRESSES: Final = 4
"""Addresses of a name that are tried: two of each kind are many, and each may take the whole timeout."""

_STRONG_SUITES: Final = (0xC02F, 0xC030, 0xC02B, 0xC02C, 0x1301, 0x1302)


def look_up(request: DiagnosisRequest) -> tuple[DiagnosisStep, list[str]]:
    """Find the addresses of the host; returns the step, and the addresses in the order of the system."""
    begin = time.monotonic()
    if request.proxy is not None:
        text = f"the proxy {request.proxy} looks up the name"
        return DiagnosisStep("name", StepState.SKIPPED, text), [request.host]
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(request.host.partition("%")[0])
        return DiagnosisStep("name", StepState.OK, f"{request.host} is an address"), [request.host]
    found: list[str] = []
    failed: list[Exception] = []

    def ask() -> None:
        try:
            answers = socket.getaddrinfo(request.host, request.port, type=socket.SOCK_STREAM)
            found.extend(dict.fromkeys(str(answer[4][0]) for answer in answers))
        except (OSError, UnicodeError) as error:
            failed.append(error)

    # The system's resolver has a deadline of its own, which may be minutes, and cannot be stopped.
    thread = threading.Thread(target=ask, name="credssp doctor, name", daemon=True)
    thread.start()
    thread.join(2 * request.timeout)
    seconds = time.monotonic() - begin
    if found:
        return DiagnosisStep("name", StepState.OK, f"{request.host} is {', '.join(found)}", seconds), found
    error = ConnectError(f"the name {request.host} has no address").because_of(Obstacle.NAME)
    text = f"{request.host} has no address" if failed else f"no answer about {request.host} in {seconds:.0f} s"
    return DiagnosisStep.judged("name", text, [way_finding(error, request.where, wanted="")], seconds), []


def connect(request: DiagnosisRequest, addresses: Sequence[str]) -> DiagnosisStep:
    """Try a TCP connection to each address until one is there."""
    begin = time.monotonic()
    errors: list[ConnectError] = []
    for address in addresses[:_ADDRESSES]:
        try:
            if request.proxy is not None:
                reach(request.host, request.port, timeouts=request.timeouts, proxy=request.proxy).close()
            else:
                open_socket(address, request.port, timeouts=request.timeouts).close()
        except ConnectError as error:
            errors.append(error)
            continue
        seconds = time.monotonic() - begin
        way = f"through the proxy {request.proxy}" if request.proxy is not None else f"at {address}"
        text = f"port {request.port} takes connections {way}"
        if errors:
            refused = ", ".join(addresses[: len(errors)])
            return DiagnosisStep(
                "tcp",
                StepState.NOTE,
                f"{text}, but not at {refused}",
                seconds,
                advice=f"programs that try {addresses[0]} first wait for it; correct the name's addresses",
            )
        return DiagnosisStep("tcp", StepState.OK, text, seconds)
    # What a machine says counts for more than silence.
    order = (Obstacle.REFUSED, Obstacle.UNREACHABLE, Obstacle.OTHER, Obstacle.NAME)
    worst = min(errors, key=lambda error: order.index(error.obstacle) if error.obstacle in order else len(order))
    seconds = time.monotonic() - begin
    return DiagnosisStep.judged("tcp", worst.message, [way_finding(worst, request.where, wanted="")], seconds)


def what_answers(request: DiagnosisRequest, *, asked: str) -> str:
    """Return the name of the protocol that is spoken there; empty where no question gets an answer that is known.

    Two questions, each over a connection of its own, of one in RDP, one in HTTP, and one in TLS.

    Args:
        request: where.
        asked: the protocol in which a question was asked before, and got no answer in it.
    """
    questions = {
        "RDP": ConnectionRequest(negotiation=NegotiationRequest(Protocol.SSL | Protocol.HYBRID)).encode(),
        "HTTP": f"GET / HTTP/1.1\r\nHost: {_ascii(request.host)}\r\nConnection: close\r\n\r\n".encode("ascii"),
        "TLS": client_hello(TLS_1_2, [*_STRONG_SUITES, *OLD_SUITES]),
    }
    for name, question in questions.items():
        if name != asked and (known := protocol_of(_ask(request, question))):
            return known
    return ""


def _ascii(host: str) -> str:
    return host.encode("idna").decode() if not host.isascii() else host


def _ask(request: DiagnosisRequest, question: bytes) -> bytes:
    """Return the first bytes that come, none where nothing does."""
    try:
        with reach(request.host, request.port, timeouts=request.timeouts, proxy=request.proxy) as connection:
            connection.settimeout(request.timeout)
            connection.sendall(question)
            return connection.recv(64)
    except (CredSSPError, OSError):
        return b""
