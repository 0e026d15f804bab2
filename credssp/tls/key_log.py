"""SSLKEYLOGFILE: the keys of our TLS connections, for Wireshark and ``credssp dissect`` (draft-ietf-tls-keylogfile).

Clients and test endpoints honour the variable, as curl and Python's own contexts do; services never do. Who can read
the file can decrypt the connections, so that it is made for its owner alone, and a warning says once that it is in use.
"""

from __future__ import annotations

import logging
import os
import stat
import sys
from typing import TYPE_CHECKING, Final

from credssp.errors import LocalProtocolError

if TYPE_CHECKING:
    import ssl

__all__ = ["VARIABLE", "key_log_path", "log_keys", "prepare_key_log"]

logger = logging.getLogger("credssp.tls")

VARIABLE: Final = "SSLKEYLOGFILE"

_warned: set[str] = set()


def key_log_path() -> str:
    """Return the file that keys go to, or an empty string."""
    return "" if sys.flags.ignore_environment else os.environ.get(VARIABLE, "")


def prepare_key_log() -> str:
    """Make the file, if the variable names one, before somebody else makes it readable for all; returns its path.

    Raises:
        LocalProtocolError: it cannot be written.
    """
    path = key_log_path()
    if not path:
        return ""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            mode = os.fstat(descriptor).st_mode
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise LocalProtocolError(f"{VARIABLE}: {path} cannot be written: {why}") from None
    if path not in _warned:
        _warned.add(path)
        others = stat.S_ISREG(mode) and bool(mode & (stat.S_IRGRP | stat.S_IROTH))
        logger.warning(
            "the keys of TLS connections are written to %s (%s): who reads that file can decrypt them, delegated "
            "credentials included%s",
            path,
            VARIABLE,
            "; other users of this machine can read it" if others else "",
        )
    return path


def log_keys(context: ssl.SSLContext) -> None:
    """Let a context write its keys, if the variable names a file. Raises LocalProtocolError: it cannot be written."""
    path = prepare_key_log()
    if path:
        context.keylog_filename = path
