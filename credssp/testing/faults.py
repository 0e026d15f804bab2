"""Faults of WS-Management by name, with the numbers and texts of Windows (wsmerror.h, winerror.h)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from credssp.errors import LocalProtocolError
from credssp.testing.soap import Fault

__all__ = ["FAULTS", "fault_named"]

_REQUEST: Final = "The WS-Management service cannot process the request."

FAULTS: Final[Mapping[str, tuple[str, int, str]]] = {
    "access-denied": ("w:AccessDenied", 5, "Access is denied. "),
    "aborted": (
        "w:InternalError",
        995,
        "The I/O operation has been aborted because of either a thread exit or an application request. ",
    ),
    "command-not-found": (
        "w:InternalError",
        2147942402,
        "The system cannot find the file specified. ",
    ),
    "envelope-size": (
        "w:EncodingLimit",
        2150858824,
        "The response that the WS-Management service computed exceeds the maximum envelope size in the request. ",
    ),
    "internal-error": ("w:InternalError", 1359, "An internal error occurred. "),
    "operations-quota": (
        "w:QuotaLimit",
        2150859174,
        f"{_REQUEST} The maximum number of concurrent operations for this user has been exceeded. Close existing "
        "operations for this user, or raise the quota for this user. ",
    ),
    "request-size": (
        "w:EncodingLimit",
        2150858823,
        f"{_REQUEST} The request is too large: it exceeds the maximum envelope size. ",
    ),
    "shell-not-found": (
        "w:InvalidSelectors",
        2150858843,
        f"{_REQUEST[:-1]} because the request contained invalid selectors for the resource. ",
    ),
    "shells-quota": (
        "w:QuotaLimit",
        2150859173,
        f"{_REQUEST} The maximum number of concurrent shells for this user has been exceeded. Close existing shells or "
        "raise the quota for this user. ",
    ),
    "timed-out": (
        "w:TimedOut",
        2150858793,
        "The WS-Management service cannot complete the operation within the time specified in OperationTimeout.  ",
    ),
    "users-quota": (
        "w:QuotaLimit",
        2150859179,
        f"{_REQUEST} The maximum number of users who execute shell operations has been exceeded. Retry after sometime "
        "or raise the quota for concurrent shell users. ",
    ),
}
"""By name: the subcode, the number, the text."""


def fault_named(name: str) -> Fault:
    """Return a fault.

    Raises:
        LocalProtocolError: there is none of this name.
    """
    if name not in FAULTS:
        raise LocalProtocolError(f"fault {name!r}: not one of {', '.join(FAULTS)}")
    return Fault(*FAULTS[name])
