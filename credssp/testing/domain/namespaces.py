"""Processes and threads in the namespaces of the domain."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["copy", "descendants", "enter", "frozen", "network_of", "processes_of"]


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Stop a process and all its descendants."""
    stopped = list(descendants(pid))
    for each in stopped:
        os.kill(each, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in (*stopped, pid):  # nsenter stops itself when its child is stopped
            os.kill(each, signal.SIGCONT)


def descendants(pid: int) -> Iterator[int]:
    """Return the children of a process, and theirs."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield int(child)
        yield from descendants(int(child))


def copy(source: Path, target: Path) -> None:
    """Copy a folder with all its owners, modes and extended attributes."""
    subprocess.run(["cp", "-a", "--reflink=auto", "--sparse=always", str(source), str(target)], check=True)


def network_of(pid: int) -> Path:
    """Return the network namespace of a process."""
    return Path(f"/proc/{pid}/ns/net").readlink()


def processes_of(network: Path) -> Iterator[int]:
    """Return the processes in a network namespace, as ``ip netns pids`` does for those that have a name."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended meanwhile
                if network_of(int(entry.name)) == network:
                    yield int(entry.name)


_CLONE_FS: Final = 0x200


def enter(pid: int) -> None:
    """Move this thread to the network and the mounts of a process."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_FS):  # the folder of the process is not ours to move
        raise OSError(ctypes.get_errno(), "unshare")
    here = Path.cwd()
    for kind in ("net", "mnt"):
        with Path(f"/proc/{pid}/ns/{kind}").open("rb") as namespace:
            if libc.setns(namespace.fileno(), 0):
                raise OSError(ctypes.get_errno(), f"setns {kind}")
    os.chdir(here)
