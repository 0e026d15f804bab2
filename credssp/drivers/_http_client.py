"""What Python's own HTTP client does not do, for the drivers that are built on it: ours, and requests.

It takes an interim response such as 103 (Early Hints) for the answer, though not 100. And it reads no header line of
more than 65,536 bytes, which a server with a certificate of 48 KB needs for its token.
"""

from __future__ import annotations

import http.client
from typing import Any

from credssp.errors import LimitExceededError

__all__ = ["is_interim", "line_too_long", "read_final"]


def is_interim(status: int) -> bool:
    """Whether another response follows this one (RFC 9110 15.2); after 101 it is no longer HTTP."""
    return 100 <= status < 200 and status != 101


def read_final(response: http.client.HTTPResponse) -> None:
    """Make the final response of an interim one.

    Raises:
        OSError, http.client.HTTPException: as `HTTPConnection.getresponse`.
    """
    while is_interim(response.status):
        again: Any = response
        again.headers = again.msg = None  # as before `begin`, which reads once
        response.begin()


def line_too_long(error: BaseException) -> LimitExceededError | None:
    """Return what to raise if a failed request came from a header line that is too long; urllib3 wraps the cause."""
    causes: list[object] = [error]
    for cause in causes:
        if isinstance(cause, http.client.LineTooLong):
            return LimitExceededError(
                "the server answered with a header line of more than 65,536 bytes, which Python's HTTP client does not "
                "read: its token is as long as its certificate and more. Give the server a smaller certificate, or use "
                "httpx, which reads 100 KiB"
            )
        if isinstance(cause, BaseException) and len(causes) < 16:
            causes += cause.args
    return None
