"""Several processes behind one port.

The parent binds one socket for each worker, all to the same address with SO_REUSEPORT, and starts listening **before**
it forks: from then on the kernel takes connections and spreads them, and nobody is turned away while workers start.
Each worker closes the sockets of the others, so that the kernel stops sending it connections when it ends.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from types import FrameType

from credssp.drivers.blocking import reason
from credssp.drivers.handshake import NOT_LISTENING, ConnectError
from credssp.errors import LocalProtocolError

__all__ = ["bind", "run_workers"]

_BACKLOG = 1024


def bind(host: str, port: int, count: int) -> list[socket.socket]:
    """Return `count` listening sockets on one address; port 0 takes one that is free, the same for all.

    Raises:
        ConnectError: the address cannot be listened on.
        LocalProtocolError: more than one, on a platform that cannot share a port.
    """
    if count > 1 and not hasattr(socket, "SO_REUSEPORT"):  # pragma: no cover  # not on the platforms of our tests
        raise LocalProtocolError("this platform has no SO_REUSEPORT: one worker only")
    sockets: list[socket.socket] = []
    try:
        for _ in range(count):
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listener = socket.create_server((host, port), family=family, backlog=_BACKLOG, reuse_port=count > 1)
            sockets.append(listener)
            port = listener.getsockname()[1]
    except (OSError, ValueError, OverflowError) as error:
        for listener in sockets:
            listener.close()
        raise ConnectError(f"cannot listen on {host} port {port}: {reason(error)}", advice=NOT_LISTENING) from None
    return sockets


def run_workers(sockets: list[socket.socket], work: Callable[[socket.socket, int], None]) -> int:
    """Fork a worker for each socket, pass SIGTERM and SIGINT on to them, and wait until all have ended.

    Call it before there are threads or event loops. If a worker dies of itself, the others are ended too: a service at
    half its strength is harder to notice than one that is down.

    Args:
        sockets: as `bind` returns them; they belong to the workers afterwards.
        work: called in each worker with its socket and its number, from 1.

    Returns:
        0, or 1 if a worker failed.
    """
    if not hasattr(os, "fork"):  # pragma: no cover  # as above
        raise LocalProtocolError("this platform has no fork: one worker only")
    sys.stdout.flush()
    sys.stderr.flush()
    pids: set[int] = set()
    for index in range(len(sockets)):
        pid = os.fork()
        if not pid:  # pragma: no cover  # another process
            _work(sockets, index, work)
        pids.add(pid)
    for listener in sockets:
        listener.close()

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # as signal wants it
        for pid in pids:
            os.kill(pid, signal.SIGTERM)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    failed = 0
    try:
        while pids:
            pid, status = os.wait()
            if pid not in pids:
                continue  # somebody else's child
            pids.discard(pid)
            if os.waitstatus_to_exitcode(status):
                failed = 1
                stop(signal.SIGTERM, None)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return failed


def _work(  # pragma: no cover  # another process
    sockets: list[socket.socket], index: int, work: Callable[[socket.socket, int], None]
) -> None:
    """Be a worker; never returns."""
    code = 1
    try:
        for number, listener in enumerate(sockets):
            if number != index:
                listener.close()
        work(sockets[index], index + 1)
        code = 0
    except BaseException:  # noqa: BLE001  # beyond here is the parent's code, which is not ours to run
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
