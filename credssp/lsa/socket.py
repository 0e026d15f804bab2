"""The agent's socket: where it is, who can reach it, and how it replaces one that a killed agent left.

Who may use which credential is decided by SO_PEERCRED, for each connection. The permissions of the socket are the wall
around that: it is private, 0600 in a folder of 0700, unless the configuration names other users; then it is 0666 in a
folder that they can enter and only its owner can write.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from credssp.errors import LocalProtocolError

__all__ = ["BACKLOG", "Audience", "BoundSocket", "bind", "from_systemd"]

Audience: TypeAlias = Literal["owner", "others"]
"""Who can reach the socket: programs of this user alone, or those of every user."""

BACKLOG: Final = 128
"""Connections that wait to be accepted."""

_FIRST_PASSED: Final = 3  # sd_listen_fds(3)
_MAX_PATH: Final = 107
"""Bytes of a path in sockaddr_un (unix(7)), without the final zero."""


@dataclass(frozen=True, slots=True)
class BoundSocket:
    """A socket that listens, and the file that leads to it.

    Attributes:
        socket: it listens already.
        path: where programs find it.
        inode: device and number of the file; None where systemd owns it.
    """

    socket: socket.socket
    path: Path
    inode: tuple[int, int] | None = None

    def close(self) -> None:
        """Stop listening, and remove the file unless it is another agent's by now."""
        self.socket.close()
        if self.inode is None:
            return
        with contextlib.suppress(OSError), _locked(self.path.parent):
            found = self.path.lstat()
            if (found.st_dev, found.st_ino) == self.inode:
                self.path.unlink()


def bind(path: Path, *, audience: Audience = "owner") -> BoundSocket:
    """Listen on a path. A socket that no process listens on any more is replaced; anything else there is not.

    The folder is made where it is missing. The file appears under its name once it has its mode and
    this process listens.

    Args:
        path: where.
        audience: who can reach it.

    Raises:
        LocalProtocolError: the folder is not safe or cannot be made, the path is too long, an agent listens there, or
            another file is there.
    """
    path = path.absolute()
    # The name under which it is made is as long as the final one, or a little longer.
    made = path.with_name(f".{os.getpid()}")
    if max(len(os.fsencode(name)) for name in (path, made)) > _MAX_PATH:
        raise LocalProtocolError(f"the path of a socket has at most {_MAX_PATH} bytes: {path} is too long")
    try:
        _prepare(path.parent, audience)
        with _locked(path.parent):
            _check_free(path)
            return _make(path, made, audience)
    except OSError as error:
        raise LocalProtocolError(f"the agent cannot listen on {path}: {error.strerror or error}") from None


def _prepare(folder: Path, audience: Audience) -> None:
    """Make the folder, or check the one that is there. Raises OSError, LocalProtocolError."""
    mode = 0o700 if audience == "owner" else 0o755
    try:
        folder.mkdir(mode=mode)
        folder.chmod(mode)  # whatever the umask says
    except FileExistsError:
        pass
    except FileNotFoundError:
        raise LocalProtocolError(f"the folder {folder.parent} does not exist") from None
    found = folder.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise LocalProtocolError(f"{folder} is not a folder")
    if found.st_uid not in (os.geteuid(), 0):
        raise LocalProtocolError(
            f"the folder {folder} of the socket belongs to another user, who could put another socket there"
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise LocalProtocolError(
            f"other users can write to the folder {folder} of the socket, and could put another one there: "
            "use a folder of its own"
        )
    for parent in folder.resolve().parents:
        if parent.stat().st_mode & (stat.S_IWOTH | stat.S_ISVTX) == stat.S_IWOTH:
            raise LocalProtocolError(f"every user can rename what is in {parent}: choose another place for the socket")
    if audience == "owner" and found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise LocalProtocolError(
            f"other users can enter the folder {folder} of the socket: chmod 700, or use a folder of its own"
        )


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one agent at a time work on the sockets of a folder. Raises OSError.

    The lock is a file that other users cannot open, and stays there: they could lock the folder itself for good.
    """
    import fcntl

    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(folder / ".lock", flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _check_free(path: Path) -> None:
    """Raise LocalProtocolError if an agent listens there, or another kind of file is in the way."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise LocalProtocolError(f"{path} is there already and is not a socket; it is left alone")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        trial.setblocking(False)  # an agent whose queue is full must not make us wait
        problem = trial.connect_ex(os.fspath(path))
    if problem not in (errno.ECONNREFUSED, errno.ENOENT):
        raise LocalProtocolError(f"an agent listens on {path} already: end it first, or use another --socket")


def _make(path: Path, made: Path, audience: Audience) -> BoundSocket:
    made.unlink(missing_ok=True)  # of a process that had our number and was killed in here
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(os.fspath(made))
        try:
            # Nobody can connect before `listen`, and the folder keeps strangers away from the name.
            made.chmod(0o600 if audience == "owner" else 0o666)
            listener.listen(BACKLOG)
            made.rename(path)
        except BaseException:
            made.unlink(missing_ok=True)
            raise
        found = path.lstat()
    except BaseException:
        listener.close()
        raise
    return BoundSocket(listener, path, (found.st_dev, found.st_ino))


def from_systemd(environ: MutableMapping[str, str] | None = None) -> BoundSocket | None:
    """Return the socket that systemd passed to this process (sd_listen_fds(3)), or None.

    The variables are taken away, so that no program that is run from here takes them for its own.

    Raises:
        LocalProtocolError: several sockets were passed, or one that is not a listening Unix-domain stream socket.
    """
    variables = os.environ if environ is None else environ
    pid, count = (variables.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS"))
    variables.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdecimal() or int(count) == 0:
        return None
    if int(count) != 1:
        raise LocalProtocolError(f"systemd passed {count} sockets; the agent listens on one")
    try:
        passed = socket.socket(fileno=_FIRST_PASSED)
    except OSError as error:
        raise LocalProtocolError(f"descriptor {_FIRST_PASSED}, which systemd passed, is not a socket") from error
    passed.set_inheritable(False)
    stream = passed.family == socket.AF_UNIX and passed.type == socket.SOCK_STREAM
    if not stream or not passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        passed.close()
        raise LocalProtocolError("systemd passed a socket of another kind: ListenStream= has to be an absolute path")
    return BoundSocket(passed, Path(os.fsdecode(passed.getsockname())))
