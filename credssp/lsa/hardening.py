"""Keeps other processes of the same user out of the agent's memory, and its memory out of files.

Sources: prctl(2) PR_SET_DUMPABLE, mlockall(2), setrlimit(2) RLIMIT_CORE. A process that is not dumpable writes no core
file, and no other process without CAP_SYS_PTRACE attaches to it or reads ``/proc/PID/mem``: the files there belong to
root. A program that is run later is dumpable again (execve(2)), so nothing of this concerns the programs that the agent
starts.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from credssp.errors import LocalProtocolError

__all__ = ["Hardening", "harden", "hide_memory", "more_descriptors"]

_PR_GET_DUMPABLE: Final = 3  # linux/prctl.h
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38

_MCL_CURRENT: Final = 1  # asm-generic/mman.h
_MCL_FUTURE: Final = 2
_MCL_ONFAULT: Final = 4
"""Pages are locked when they are used; else every thread would have its whole stack in memory (Linux 4.4)."""

_CAP_IPC_LOCK: Final = 14  # linux/capability.h


@dataclass(frozen=True, slots=True)
class Hardening:
    """What is in force.

    Attributes:
        not_dumpable: whether other processes of this user are kept out of the memory, and no core file is written.
        locked: whether the memory stays out of swap space.
        problem: why something is not in force, for people; empty if everything is.
    """

    not_dumpable: bool
    locked: bool
    problem: str = ""


def harden() -> Hardening:
    """Protect the memory of this process as far as the system allows; call it before there are secrets.

    Memory is locked only where there is no limit to it (RLIMIT_MEMLOCK, or CAP_IPC_LOCK): under a limit the process
    would be refused memory once it has grown up to it.

    Raises:
        LocalProtocolError: Linux refuses what any process may do, so that the agent would not be safe.
    """
    if not sys.platform.startswith("linux"):
        _no_core_files()
        return Hardening(
            not_dumpable=False,
            locked=False,
            problem=f"on {sys.platform} nothing keeps other processes of this user out of the agent's memory",
        )
    # PKCS#11 modules that a program of this user has registered are not loaded into this process by p11-kit, which a
    # smart card may be reached through (pkcs11.conf(5)).
    os.environ["P11_KIT_NO_USER_CONFIG"] = "1"
    libc = hide_memory()
    _must(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS")
    problem = _lock(libc)
    return Hardening(not_dumpable=True, locked=not problem, problem=problem)


def hide_memory() -> Any:
    """Keep other processes of this user out of the memory, where the system can do that; returns the C library.

    For programs that have a secret for a moment, such as ``credssp agent add``.

    Raises:
        LocalProtocolError: as `harden`.
    """
    _no_core_files()
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    _must(libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0), "PR_SET_DUMPABLE")
    if libc.prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise LocalProtocolError("the agent's memory cannot be protected: the process is dumpable still")
    return libc


def more_descriptors(wanted: int) -> None:
    """Raise this process's own limit of open files towards `wanted`, as far as the hard limit permits.

    Args:
        wanted: how many descriptors are of use; each program that is connected takes one.
    """
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        best = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if soft != resource.RLIM_INFINITY and soft < best:
            resource.setrlimit(resource.RLIMIT_NOFILE, (best, hard))


def _must(result: int, what: str) -> None:
    if result:
        why = os.strerror(ctypes.get_errno())
        raise LocalProtocolError(f"the agent's memory cannot be protected: {what} failed: {why}")


def _no_core_files() -> None:
    """Refuse core files, also those of programs that are run from here."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # Windows; not dumpable is enough on Linux
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _lock(libc: Any) -> str:
    """Lock what is in memory, and what will be; returns why not."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if hard == resource.RLIM_INFINITY != soft:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard, hard))
        soft = hard
    if soft != resource.RLIM_INFINITY and not _may_lock():
        return (
            f"the memory is not locked and may reach swap space: RLIMIT_MEMLOCK is {soft // 1024} KiB; "
            "set LimitMEMLOCK=infinity in the unit, or encrypt the swap space"
        )
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT):
        return f"the memory is not locked and may reach swap space: {os.strerror(ctypes.get_errno())}"
    return ""


def _may_lock() -> bool:
    """Whether this process has CAP_IPC_LOCK."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return False
    effective = next((line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), "0")
    return bool(int(effective, 16) >> _CAP_IPC_LOCK & 1)
