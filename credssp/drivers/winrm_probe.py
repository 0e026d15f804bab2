"""Runs `credssp.winrm.probe` over the standard library's HTTP client."""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Callable
from typing import Final

from credssp.context.probing import next_old_offer
from credssp.drivers.handshake import ConnectError, Timeouts
from credssp.drivers.proxies import reach
from credssp.drivers.winrm import WinRMConnection
from credssp.errors import CredSSPError
from credssp.proxy import Proxy
from credssp.tls.hello import HelloAnswer, client_hello, read_answer
from credssp.tls.settings import ClientTLS
from credssp.winrm.probe import WinRMReport
from credssp.winrm.probe import probe as probe_posts

__all__ = ["probe"]

_log = logging.getLogger("credssp.probe")

_BODY: Final = 64 * 1024
_HELLO: Final = 20 * 1024
"""Bytes of an answer to a ClientHello that are read: a record has 16 KiB at most."""


def probe(
    host: str,
    port: int,
    *,
    path: str,
    https: bool,
    timeouts: Timeouts,
    proxy: Proxy | None = None,
    pace: Callable[[], float] | None = None,
) -> WinRMReport:
    """Find out what a server offers. Whatever it does, it becomes a report.

    Args:
        host: name or address of the server.
        port: TCP port.
        path: what is posted to, with its slash.
        https: whether HTTP is in TLS.
        timeouts: how long to wait; each connection has its own.
        proxy: a proxy to connect through.
        pace: called before each connection; returns the seconds to wait until it may be made.
    """
    report = WinRMReport(host, port)
    begin = time.monotonic()
    tls = ClientTLS() if https else None

    def wait() -> None:
        nonlocal begin
        if pace is not None and (delay := pace()) > 0:
            begin += delay
            time.sleep(delay)

    def connect() -> socket.socket:
        wait()
        return reach(host, port, timeouts=timeouts, proxy=proxy)

    def make() -> WinRMConnection:
        wait()
        return WinRMConnection(host, port, path=path, https=tls, timeouts=timeouts, max_body=_BODY, proxy=proxy)

    try:
        _run(report, make)
        if https:
            report.begin("old tls")
            _offer_old(report, connect, timeouts)
    except CredSSPError as error:
        report.fail(error)
    report.begin("")
    report.seconds = time.monotonic() - begin
    return report


def _offer_old(report: WinRMReport, connect: Callable[[], socket.socket], timeouts: Timeouts) -> None:
    """Offer https what it should not take any more; connections end after the ServerHello."""
    answers: list[HelloAnswer | None] = []
    while (offer := next_old_offer(answers)) is not None:
        answer: HelloAnswer | None = None
        with contextlib.suppress(CredSSPError, OSError), connect() as connection:
            connection.settimeout(timeouts.leg)
            connection.sendall(client_hello(offer.version, offer.suites))
            data = b""
            while (answer := read_answer(data)) is None and len(data) < _HELLO and (more := connection.recv(4096)):
                data += more
        answers.append(answer)
        report.add_old_https(answer)


def _run(report: WinRMReport, make: Callable[[], WinRMConnection]) -> None:
    where = report.host, report.port
    posts = probe_posts(report)
    with contextlib.ExitStack() as stack, contextlib.suppress(StopIteration):
        post = next(posts)
        while True:
            if post.fresh:
                stack.close()
                connection = stack.enter_context(make())
                connection.connect()
                report.https_version, report.https_certificate = connection.tls_version, connection.certificate
            try:
                if connection.closed:
                    raise ConnectError(
                        "the connection was closed with the answer to a leg: does a proxy close it every time?"
                    )
                reply = connection.post(authorization=post.authorization)
            except ConnectError:
                raise
            except CredSSPError as error:
                post = posts.throw(error)
            else:
                sent = "Authorization" if post.authorization else "no token"
                _log.debug("%s port %d: client ->  POST, %s; <- server  HTTP %d", *where, sent, reply.status)
                post = posts.send(reply)
