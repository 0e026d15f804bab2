"""Who is at the other end of a connection to the agent, by the kernel and not by what the program says."""

from __future__ import annotations

import os
import socket
import struct
import sys
from pathlib import Path
from typing import Final

from credssp.errors import LocalProtocolError
from credssp.lsa.caller import Caller

__all__ = ["caller_of"]

_UCRED: Final = struct.Struct("iII")  # socket(7): pid, uid, gid
_LOCAL: Final = 0  # SOL_LOCAL of sys/un.h on macOS and the BSDs, with the two options
_LOCAL_PEERCRED: Final = 1
_LOCAL_PEERPID: Final = 2
_XUCRED: Final = struct.Struct("II")  # version, uid; groups follow


def caller_of(connection: socket.socket) -> Caller:
    """Return who is connected.

    The user is that of the moment of `connect`: a process that changes it later, or hands its connection to another
    one, stays who it was.

    Raises:
        LocalProtocolError: the system does not tell; then no program may be served.
    """
    try:
        if sys.platform == "win32":
            raise LocalProtocolError("Windows does not tell who is connected to a Unix-domain socket")
        if hasattr(socket, "SO_PEERCRED"):
            pid, uid, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        else:  # pragma: no cover  # macOS
            _, uid = _XUCRED.unpack_from(connection.getsockopt(_LOCAL, _LOCAL_PEERCRED, 128))
            pid = int.from_bytes(connection.getsockopt(_LOCAL, _LOCAL_PEERPID, 4), sys.byteorder)
    except (OSError, struct.error) as error:
        raise LocalProtocolError(f"the system does not tell who is connected: {type(error).__name__}") from None
    return Caller(uid, pid, _executable(pid))


def _executable(pid: int) -> str:
    """Return the path of a process's program, or an empty string: that of another user's cannot be read."""
    try:
        return os.fspath(Path(f"/proc/{pid}/exe").readlink()) if pid > 0 else ""
    except OSError:
        return ""
