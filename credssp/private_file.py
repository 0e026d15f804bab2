"""Files that hold secrets: who else can read or write them?

A file that others can **write** is refused: such a user could log on under any name, or let others do so. A file
that others can **read** is used with a warning, once for each file: it may be meant, as in a container with one user,
and a refusal would come too late for the secret. Others are those who are neither the owner nor in the file's group.
Windows has no such permissions, and pipes and devices are ignored.
"""

from __future__ import annotations

import functools
import logging
import os
import stat
import sys
from os import PathLike
from pathlib import Path
from typing import BinaryIO, Final, Literal

from credssp.errors import LocalProtocolError
from credssp.secret import Secret

__all__ = ["FILES", "check_private_file", "decoded_line", "first_line", "open_to_others", "read_line", "warn_once"]

FILES: Final = "credssp.files"
"""Name of the logger."""

_MAX_LINE: Final = 64 * 1024


def first_line(what: str, path: str | PathLike[str]) -> Secret[str]:
    """Return the first line of a file that holds a secret, without its end.

    Args:
        what: what it is, for people: ``password file``.
        path: the file.

    Raises:
        LocalProtocolError: others can write it, it cannot be read, or it is not UTF-8.
    """
    check_private_file(what, path)
    try:
        with Path(path).open("rb") as stream:
            secret = read_line(stream)
    except OSError as error:
        raise LocalProtocolError(f"the {what} {os.fspath(path)} cannot be read: {error.strerror}") from None
    if secret is None:
        raise LocalProtocolError(f"the {what} {os.fspath(path)} is not UTF-8 text")
    return secret


def read_line(stream: BinaryIO) -> Secret[str] | None:
    """Return the next line of a stream, as `decoded_line` does. Raises OSError."""
    return decoded_line(Secret(stream.readline(_MAX_LINE)))


def decoded_line(line: Secret[bytes]) -> Secret[str] | None:
    """Return a line of UTF-8 text without its end and without a byte order mark; None for anything else."""
    try:
        return Secret(line.reveal().decode("utf-8-sig").rstrip("\r\n"))
    except UnicodeDecodeError:
        return None


def check_private_file(what: str, path: str | PathLike[str]) -> None:
    """Warn of a file that others can read, and refuse one that they can write.

    Args:
        what: what it is, for people: ``account file``.
        path: the file; nothing happens where it is missing.

    Raises:
        LocalProtocolError: others can write it.
    """
    how = open_to_others(path)
    if how == "written":
        raise LocalProtocolError(
            f"the {what} {os.fspath(path)} can be written by every user of this machine",
            advice="Find out who wrote it, replace what is in it, and take the permission away (chmod o-rw).",
        )
    if how == "read":
        warn_once(FILES, what, os.fspath(path))


def open_to_others(path: str | PathLike[str]) -> Literal["written", "read", ""]:
    """Return whether others can have a file ``written``, ``read``, or neither."""
    if sys.platform == "win32":
        return ""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  # a path may be bytes
    except (OSError, ValueError):
        return ""  # whoever reads it says what is wrong with it
    if not stat.S_ISREG(mode):
        return ""
    return "written" if mode & stat.S_IWOTH else "read" if mode & stat.S_IROTH else ""


@functools.lru_cache(256)
def warn_once(logger: str, what: str, path: str) -> None:
    """Log that others can read a file."""
    logging.getLogger(logger).warning("the %s %s can be read by every user of this machine: chmod o-r", what, path)
