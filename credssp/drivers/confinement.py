"""A service gives up its privileges once everything that needs them is open: ``credssp serve --uid``."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from typing import Final

from credssp.errors import LocalProtocolError
from credssp.watched_file import restrict_all

__all__ = ["User", "confine", "find_user"]

_PR_SET_NO_NEW_PRIVS: Final = 38  # linux/prctl.h


@dataclass(frozen=True, slots=True)
class User:
    """Whom a service runs as.

    Attributes:
        name: the name, or the number where it has none.
        uid: the user's number.
        gid: the number of the user's group.
        groups: the other groups.
    """

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...] = ()


def find_user(name: str) -> User:
    """Find a user by name or number.

    Raises:
        LocalProtocolError: there is no such user, it is root, or this process may not become that user.
    """
    import pwd

    try:
        entry = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except (KeyError, OverflowError):
        raise LocalProtocolError(f"there is no user {name!r}") from None
    if entry.pw_uid == 0:
        raise LocalProtocolError("the user to become is root, who has all the privileges that are to be given up")
    if os.geteuid() not in (0, entry.pw_uid):
        raise LocalProtocolError(f"only root can become {name!r}: start as root, or as that user without --uid")
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid, tuple(os.getgrouplist(entry.pw_name, entry.pw_gid)))


def confine(user: User) -> list[str]:
    """Become a user for good, and let no program that is run get privileges back (no-new-privileges).

    Call it before there are threads. Sockets and files that are open stay so. Watched files that the user cannot read
    keep what they hold (`credssp.watched_file`).

    Returns:
        Those files.

    Raises:
        LocalProtocolError: the system does not allow it, or has no such thing.
    """
    try:
        if os.geteuid() == 0:
            os.setgroups(user.groups)
            os.setresgid(user.gid, user.gid, user.gid)
            os.setresuid(user.uid, user.uid, user.uid)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    except (OSError, AttributeError) as error:
        why = getattr(error, "strerror", None) or "this platform has no prctl"
        raise LocalProtocolError(f"privileges cannot be given up: {why}") from None
    if 0 in (*os.getresuid(), *os.getresgid()):
        raise LocalProtocolError("privileges cannot be given up: the system kept some of them")
    return restrict_all(f"user {user.name} may not read it; restart the service instead")
