"""Keytabs and credential caches are files that hold keys; `credssp.private_file` says what is done about them.

A user who can write a server's keytab logs on as any user, and one who fills a credential cache makes a client log on
as another user.
"""

from __future__ import annotations

import re
from typing import Final

from credssp import private_file
from credssp.kerberos.gss_errors import failure
from credssp.status import SecurityStatus

__all__ = ["check_private", "open_to_others"]

_TYPE: Final = re.compile(r"([A-Za-z][A-Za-z0-9_]+):(.*)", re.DOTALL)
_FILES: Final = frozenset({"FILE", "WRFILE"})


def check_private(what: str, location: str) -> None:
    """Warn of a file that others can read, and refuse one that they can write.

    Args:
        what: ``keytab`` or ``credential cache``.
        location: ``TYPE:residual`` or a path. Types that are not files are ignored, and so are missing files.

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
        private_file.warn_once("credssp.kerberos", what, path)


def open_to_others(location: str) -> tuple[str, str]:
    """Return the path of a keytab or credential cache, and whether others can have it ``written``, ``read``, or not."""
    found = _TYPE.fullmatch(location)
    if found and found[1].upper() not in _FILES:
        return "", ""
    path = found[2] if found else location
    return path, private_file.open_to_others(path)
