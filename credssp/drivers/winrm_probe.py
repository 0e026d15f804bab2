"""Runs `credssp.winrm.probe` over the standard library's HTTP client."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from typing import Final

from credssp.drivers.handshake import ConnectError, Timeouts
from credssp.drivers.winrm import WinRMConnection
from credssp.errors import CredSSPError
from credssp.proxy import Proxy
from credssp.tls.settings import ClientTLS
from credssp.winrm.probe import WinRMReport
from credssp.winrm.probe import probe as probe_posts

__all__ = ["probe"]

_log = logging.getLogger("credssp.probe")

_BODY: Final = 64 * 1024


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

    def make() -> WinRMConnection:
        nonlocal begin
        if pace is not None and (delay := pace()) > 0:
            begin += delay
            time.sleep(delay)
        return WinRMConnection(host, port, path=path, https=tls, timeouts=timeouts, max_body=_BODY, proxy=proxy)

    try:
        _run(report, make)
    except CredSSPError as error:
        report.error = error
    report.begin("")
    report.seconds = time.monotonic() - begin
    return report


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
