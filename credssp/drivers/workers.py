"""Several processes that share one port.

The parent binds one socket for each worker, all to the same address with SO_REUSEPORT, and starts listening **before**
it forks: from then on the kernel takes connections and spreads them, and no client is turned away while workers start.
Each worker closes the sockets of the others. The parent keeps them all: a worker that dies is replaced, and what came
to its socket meanwhile waits for the next one. Workers end when their parent does, however it ended.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any, Final, NoReturn

from credssp.drivers.blocking import reason
from credssp.drivers.handshake import NOT_LISTENING, ConnectError
from credssp.drivers.listening import bind_one
from credssp.errors import LocalProtocolError

__all__ = ["bind", "run_workers"]

logger = logging.getLogger("credssp.drivers")

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 10.0
"""Seconds before a worker that died is replaced: twice as many after each death, from the first to the longest."""

_SETTLED: Final = 30.0
"""Seconds after which a worker's death counts as the first again."""

_MAX_DEATHS: Final = 8
"""Deaths in a row after which the service gives up: what ends every worker at once is not going to stop."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_ORPHAN_GRACE: Final = 10.0


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
            listener = bind_one(host, port, reuse_port=count > 1)
            sockets.append(listener)
            port = listener.getsockname()[1]
    except (OSError, ValueError, OverflowError) as error:
        for listener in sockets:
            listener.close()
        raise ConnectError(f"cannot listen on {host} port {port}: {reason(error)}", advice=NOT_LISTENING) from None
    return sockets


def run_workers(sockets: list[socket.socket], work: Callable[[socket.socket, int], None]) -> int:
    """Fork a worker for each socket, pass SIGTERM, SIGINT and SIGHUP on to them, and wait until all have ended.

    Call it before there are threads or event loops. A worker that dies is replaced after a pause, which grows with each
    death in a row; where one dies too often, all are ended. A worker whose `work` returns is not replaced.

    Args:
        sockets: as `bind` returns them; they are closed at the end.
        work: called in each worker with its socket and its number, from 1.

    Returns:
        0, or 1 if the service gave up, or a worker failed while it was ending.
    """
    if not hasattr(os, "fork"):  # pragma: no cover  # as above
        raise LocalProtocolError("this platform has no fork: one worker only")
    return _Parent(sockets, work).run()


class _Parent:
    """The process that forks."""

    def __init__(self, sockets: list[socket.socket], work: Callable[[socket.socket, int], None]) -> None:
        self._sockets = sockets
        self._work = work
        self._running: dict[int, tuple[int, float]] = {}  # by pid: index, and when it began
        self._due: dict[int, float] = {}  # by index: when to fork it
        self._deaths = [0] * len(sockets)
        self._stopping = False
        self._failed = 0
        # A worker reads the one end of it: the other end closes with this process.
        self._alive = os.pipe()
        self._wake = os.pipe()  # written to by signal handlers, so that no signal is lost between look and wait
        for end in self._wake:
            os.set_blocking(end, False)
        self._before: dict[signal.Signals, Any] = {}

    def run(self) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        self._before |= {number: signal.signal(number, self._on_stop) for number in _SIGNALS}
        self._before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._on_hangup)
        self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, self._on_child)
        self._due = dict.fromkeys(range(len(self._sockets)), 0.0)
        try:
            while self._running or (self._due and not self._stopping):
                self._fork_due()
                self._wait()
                self._reap()
        finally:
            for number, handler in self._before.items():
                signal.signal(number, handler)
            for end in (*self._alive, *self._wake):
                os.close(end)
            for listener in self._sockets:
                listener.close()
        return self._failed

    def _on_stop(self, number: int, frame: FrameType | None) -> None:  # as signal wants it
        self._stop()
        self._on_child(number, frame)

    def _on_hangup(self, number: int, frame: FrameType | None) -> None:
        if callable(self._before.get(signal.SIGHUP)):
            self._signal(signal.SIGHUP)
        else:  # nothing here reads files again: it means the end, as it always does
            self._on_stop(number, frame)

    def _on_child(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  # as above
        with contextlib.suppress(BlockingIOError):  # it is full: we wake up anyway
            os.write(self._wake[1], b"!")

    def _stop(self) -> None:
        self._stopping = True
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _fork_due(self) -> None:
        now = time.monotonic()
        for index in [index for index, due in self._due.items() if due <= now and not self._stopping]:
            del self._due[index]
            # A signal in between would run the parent's handler in the worker, or find a worker that is not noted yet.
            blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
            pid = os.fork()
            if not pid:  # pragma: no cover  # another process
                self._be_worker(index, blocked)
            self._running[pid] = index, now
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def _wait(self) -> None:
        due = None if self._stopping or not self._due else max(0.0, min(self._due.values()) - time.monotonic())
        if select.select([self._wake[0]], [], [], due)[0]:
            os.read(self._wake[0], 4096)

    def _reap(self) -> None:
        for pid in list(self._running):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                index, began = self._running.pop(pid)
                code = os.waitstatus_to_exitcode(status)
                if self._stopping:
                    # SIGTERM is what it was sent, and ends a worker that has not begun to wait for it yet.
                    self._failed |= code not in (0, -signal.SIGTERM)
                elif code:
                    self._replace(index, code, lived=time.monotonic() - began)

    def _replace(self, index: int, code: int, *, lived: float) -> None:
        deaths = self._deaths[index] = 1 if lived >= _SETTLED else self._deaths[index] + 1
        how = f"of signal {-code}" if code < 0 else f"with exit code {code}"
        if deaths >= _MAX_DEATHS:
            logger.error("worker %d died %s, the %dth time in a row; the service ends", index + 1, how, deaths)
            self._failed = 1
            self._stop()
            return
        pause = min(_FIRST_PAUSE * 2 ** (deaths - 1), _LONGEST_PAUSE)
        logger.error("worker %d died %s; it is replaced in %.1f s", index + 1, how, pause)
        self._due[index] = time.monotonic() + pause

    def _be_worker(self, index: int, blocked: Iterable[int]) -> NoReturn:  # pragma: no cover  # another process
        """Be a worker."""
        code = 1
        try:
            for number, handler in self._before.items():
                signal.signal(number, handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            for end in (self._alive[1], *self._wake):
                os.close(end)
            for other, listener in enumerate(self._sockets):
                if other != index:
                    listener.close()
            threading.Thread(target=_end_with_parent, args=(self._alive[0],), name="parent", daemon=True).start()
            self._work(self._sockets[index], index + 1)
            code = 0
        except BaseException:  # noqa: BLE001  # beyond here is the parent's code, which is not ours to run
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def _end_with_parent(alive: int) -> None:  # pragma: no cover  # another process
    os.read(alive, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_ORPHAN_GRACE)
    os._exit(1)
