"""Listening on a Unix-domain socket: a file that is in the way is not lost, and the socket is removed at the end."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from credssp.drivers.blocking import reason
from credssp.drivers.handshake import NOT_LISTENING, ConnectError
from credssp.drivers.listening import BACKLOG

__all__ = ["listening_on"]


@contextmanager
def listening_on(path: str, *, mode: int) -> Iterator[socket.socket]:
    """Listen on a path while the block runs.

    A socket on which no process listens any more is replaced: an earlier process was killed. Everything else that has
    the path is left alone. At the end the socket is removed, unless another one has its place then.

    Args:
        path: where to listen.
        mode: permissions of the socket, which it has before the first client can connect.

    Raises:
        ConnectError: another process listens there, or the path cannot be used.
    """
    try:
        listener = _bind(path, mode)
    except OSError as error:
        raise ConnectError(f"cannot listen on {path}: {reason(error)}", advice=NOT_LISTENING) from None
    with listener:
        own = os.stat(path, follow_symlinks=False)  # noqa: PTH116  # a path may be a link by now
        try:
            yield listener
        finally:
            with suppress(OSError):
                if os.path.samestat(os.stat(path, follow_symlinks=False), own):  # noqa: PTH116  # as above
                    Path(path).unlink()


def _bind(path: str, mode: int) -> socket.socket:
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(path)
        # Until it listens, connections are refused.
        Path(path).chmod(mode)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _remove_stale(path: str) -> None:
    """Remove a socket on which no process listens. Raises ConnectError or OSError for everything else."""
    try:
        found = os.stat(path, follow_symlinks=False)  # noqa: PTH116  # a link is not followed
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ConnectError(
            f"cannot listen on {path}: a file that is not a socket has this path", advice="Choose another path."
        )
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(1.0)
        try:
            caller.connect(path)
        except ConnectionRefusedError:
            pass
        except (TimeoutError, BlockingIOError):  # its queue is full
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE)) from None
        else:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    if os.path.samestat(os.stat(path, follow_symlinks=False), found):  # noqa: PTH116  # it may be a new one by now
        Path(path).unlink()
