"""Whether a program waits for a name server: that is neither an answer nor a hang of the protocol under test.

Clients look for names that the suite has nothing to do with, such as a KDC of the account's domain, and wait for a name
server that does not answer for longer than for any server. Linux says which sockets a process has and to what they are
connected. Resolvers that ask a service over a local socket (systemd-resolved's own module) do not show.
"""

from __future__ import annotations

import contextlib
import ipaddress
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["NAME_SERVER_PORTS", "name_server_of"]

NAME_SERVER_PORTS: Final = frozenset({53})
_PROC: Final = Path("/proc")
_TABLES: Final = ("udp", "udp6", "tcp", "tcp6")
_SESSION: Final = 3
"""Place of the session's number in /proc/PID/stat, counted after the program's name (proc(5))."""


def name_server_of(session: int, *, ports: frozenset[int] = NAME_SERVER_PORTS) -> str:
    """Return the name server that a program of this session is connected to, or an empty string.

    Args:
        session: number of the session, the pid of its first program.
        ports: what name servers listen on.
    """
    if not sys.platform.startswith("linux"):
        return ""
    sockets = {inode for process in _processes(session) for inode in _sockets(process)}
    if not sockets:
        return ""
    for name in _TABLES:
        with contextlib.suppress(OSError):
            for line in (_PROC / "net" / name).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                host, _, port = fields[2].partition(":")
                if int(port, 16) in ports and fields[9] in sockets:
                    return f"{_address(host)}:{int(port, 16)}"
    return ""


def _processes(session: int) -> Iterator[Path]:
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                if int((folder / "stat").read_text().rpartition(")")[2].split()[_SESSION]) == session:
                    yield folder


def _sockets(process: Path) -> Iterator[str]:
    with contextlib.suppress(OSError):
        for entry in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                target = str(entry.readlink())
                if target.startswith("socket:["):
                    yield target[len("socket:[") : -1]


def _address(text: str) -> str:
    """Read an address of /proc/net: words of four bytes in the order of this machine."""
    words = bytes.fromhex(text)
    step = -1 if sys.byteorder == "little" else 1
    data = b"".join(words[at : at + 4][::step] for at in range(0, len(words), 4))
    return str(ipaddress.ip_address(data))
