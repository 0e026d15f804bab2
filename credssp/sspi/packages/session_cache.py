"""TLS sessions to resume, under the five conditions of the page (InitializeSecurityContext (CredSSP)).

A session is used again only if **all** of these hold: the target's name is the same, the entry has not expired, the
process is the same, the logon session is the same, the credential handle is the same. The last two come for free: each
credential has a cache of its own, and belongs to one logon session; they are checked all the same.

Off unless SCHANNEL_CRED.dwSessionLifespan asks for it: [MS-CSSP] 3.1.5 does not support resumption.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from credssp.tls.channel import TLSSession

__all__ = ["SessionCache"]

_MAX_ENTRIES: Final = 256
"""Targets of one credential that are remembered; the oldest goes first."""


@dataclass(frozen=True, slots=True)
class _Entry:
    session: TLSSession
    expires: float
    process: int
    logon_id: int
    credential: int


class SessionCache:
    """The sessions of one credential, by target name.

    Args:
        lifespan: seconds that an entry lives at most; 0 keeps nothing.
        clock: seconds since 1970.
        process: returns the number of this process.
    """

    def __init__(
        self, lifespan: float, *, clock: Callable[[], float] = time.time, process: Callable[[], int] = os.getpid
    ) -> None:
        self._lifespan = lifespan
        self._clock = clock
        self._process = process
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.Lock()

    def put(self, target: str, session: TLSSession | None, *, logon_id: int, credential: int) -> None:
        """Remember a session, if anything is to be remembered at all."""
        if session is None or not self._lifespan:
            return
        expires = min(self._clock() + self._lifespan, session.expires)
        with self._lock:
            self._entries.pop(target.casefold(), None)
            if len(self._entries) >= _MAX_ENTRIES:
                del self._entries[next(iter(self._entries))]
            self._entries[target.casefold()] = _Entry(session, expires, self._process(), logon_id, credential)

    def get(self, target: str, *, logon_id: int, credential: int) -> TLSSession | None:
        """Return the session for a target if all five conditions hold.

        It is taken out: a ticket of TLS 1.3 should be used once (RFC 8446 C.4), and the new connection brings another.
        """
        with self._lock:
            entry = self._entries.get(target.casefold())
            if entry is None:
                return None
            live = self._clock() < entry.expires
            if live and (entry.process, entry.logon_id, entry.credential) != (self._process(), logon_id, credential):
                return None
            del self._entries[target.casefold()]
            return entry.session if live else None

    def clear(self) -> None:
        """Forget everything: the credential handle is freed."""
        with self._lock:
            self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)
