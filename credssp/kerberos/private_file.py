"""Keytabs and credential caches are files that hold keys: who else can read or write them?

A file that others can **write** is refused: a user who puts a key into a server's keytab logs on as anybody, and one
who fills a credential cache makes a client log on as somebody else. A file that others can **read** is used with a
warning (logger ``credssp.kerberos``, once for each file): it may be meant, as in a container with one user, and a
refusal would come too late for the key. Others are those who are neither the owner nor in the file's group.
"""

from __future__ import annotations

import functools
import logging
import re
import stat
import sys
from pathlib import Path
from typing import Final

from credssp.kerberos.gss_errors import failure
from credssp.status import SecurityStatus

__all__ = ["check_private", "open_to_others"]

_log: Final = logging.getLogger("credssp.kerberos")
_TYPE: Final = re.compile(r"([A-Za-z][A-Za-z0-9_]+):(.*)", re.DOTALL)
_FILES: Final = frozenset({"FILE", "WRFILE"})


def check_private(what: str, location: str) -> None:
    """Warn of a file that others can read, and refuse one that they can write.

    Args:
        what: ``keytab`` or ``credential cache``.
        location: ``TYPE:residual`` or a path. Types that are not files are passed over, and files that are missing.

    Raises:
        AuthenticationError: others can write it.
    """
    path, how = open_to_others(location)
    if how == "written":
        raise failure(
            f"the {what} {path} can be written by every user of this machine",
            SecurityStatus.SEC_E_NO_CREDENTIALS,
            advice="Find out who wrote it, get new keys or tickets, and take the permission away (chmod o-rw).",
        )
    if how == "read":
        _warn(what, path)


def open_to_others(location: str) -> tuple[str, str]:
    """Return the path of a keytab or credential cache, and whether others can have it ``written``, ``read``, or not."""
    found = _TYPE.fullmatch(location)
    if sys.platform == "win32" or (found and found[1].upper() not in _FILES):
        return "", ""
    path = found[2] if found else location
    try:
        mode = Path(path).stat().st_mode
    except OSError:
        return path, ""  # libkrb5 says what is wrong with it
    return path, "written" if mode & stat.S_IWOTH else "read" if mode & stat.S_IROTH else ""


@functools.lru_cache(256)
def _warn(what: str, path: str) -> None:
    _log.warning("the %s %s can be read by every user of this machine: chmod o-r", what, path)
