"""Whether a server under test is still there: after each case, so that the case in which it died is named.

A server that ends shows only as a closed connection, which is what a refusal looks like. So the suite looks whether
somebody still listens, or, for a server that it started itself, whether the program still runs. A server that is gone
is started again where that can be done, and waited for otherwise: something may watch over it.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from typing import Final, Protocol, runtime_checkable

from credssp.conformance.rule import Outcome, Verdict

__all__ = ["Mortal", "Watch", "await_listener", "listener_gone"]

_CONNECT: Final = 2.0
_DYING: Final = 0.1
"""Seconds in which a program that is ending closes its listening socket as well."""
_RETURN: Final = 3.0
"""Seconds to wait once for a server that was not started by the suite to come back."""


@runtime_checkable
class Mortal(Protocol):
    """A target that can say whether its server is still there."""

    def died(self) -> str:
        """Return how the server ended, or an empty string while it is there."""

    def revive(self) -> str:
        """Bring it back; returns why that was not possible, or an empty string."""


class Watch:
    """Looks after the server between cases.

    Args:
        target: the server, or anything else, which never dies then.
    """

    def __init__(self, target: object) -> None:
        self._mortal = target if isinstance(target, Mortal) else None
        self._gone = ""

    def missing(self) -> str:
        """Return why nothing can be tried now, or an empty string."""
        return self._gone

    def look(self, where: str) -> str:
        """Look after it, and bring it back if it is gone; returns how it ended, or an empty string."""
        if self._mortal is None or self._gone:
            return ""
        how = self._mortal.died()
        if how:
            problem = self._mortal.revive()
            self._gone = f"the server is gone since {where}: {problem}" if problem else ""
        return how

    def judge(self, outcome: Outcome, where: str) -> Outcome:
        """Return what a case came to; a crash if the server died in it."""
        how = self.look(where)
        return Outcome(Verdict.CRASH, how, outcome.evidence) if how else outcome


def listener_gone(host: str, port: int) -> str:
    """Return ``"the server ended: ..."`` if no program listens there; an empty string if one does, or if that is open.

    A connection that is closed at once is asked for again: a program that ends closes its sockets one after the other.
    """
    end = time.monotonic() + _DYING
    while True:
        try:
            with socket.create_connection((host, port), timeout=_CONNECT) as probe:
                if not select.select([probe], [], [], max(0.0, end - time.monotonic()))[0]:
                    return ""
        except ConnectionRefusedError:
            return "the server ended: its port takes no connection any more"
        except OSError:
            return ""  # it is busy, or the network is slow: that is for the rules to judge
        if time.monotonic() >= end:
            return ""


def await_listener(host: str, port: int, timeout: float = _RETURN) -> str:
    """Wait until a program listens; returns why none does, or an empty string."""
    end = time.monotonic() + timeout
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection((host, port), timeout=_CONNECT).close()
            return ""
        if time.monotonic() >= end:
            return f"it did not come back within {timeout:g} s, and was not started with --server-exec"
        time.sleep(0.05)
