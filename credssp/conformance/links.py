"""Streams of bytes to a peer: in memory for implementations without sockets, or over a socket.

A link knows nothing of TLS. What it must tell apart is an end from silence: a peer that refuses closes, a peer that
hangs does neither.
"""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Protocol

from credssp.conformance.rule import Evidence
from credssp.exchange.recorded_login import Sender

__all__ = ["Link", "MemoryLink", "MemoryPeer", "NotedLink", "SocketLink", "without_notes"]

_READ_SIZE: Final = 65536
_CPU_SECONDS: Final = 3.0
"""For one call into a peer without sockets: making an RSA key takes a tenth of it."""


class Link(Protocol):
    """A connection to the peer under test."""

    @property
    def crash(self) -> str:
        """How the peer crashed, or an empty string."""

    @property
    def report(self) -> BaseException | None:
        """The error that the peer told its owner, where that can be known."""

    def send(self, data: bytes) -> None:
        """Send bytes; into a connection that has ended, they are lost."""

    def receive(self, timeout: float) -> bytes | None:
        """Return what came, ``b""`` for the end of the stream, None where nothing came in time."""

    def close(self) -> None:
        """End the stream from our side."""


class MemoryPeer(Protocol):
    """An implementation without sockets, such as `credssp.ServerContext` in an adapter."""

    def start(self) -> bytes:
        """Return the first bytes, for a peer that speaks first."""

    def step(self, data: bytes) -> bytes:
        """Take bytes and return what goes back. An exception ends the exchange; its `.token` still goes out."""

    def eof(self) -> None:
        """Take the end of the stream. May raise, too."""

    @property
    def ended(self) -> bool:
        """Whether the peer closed on its own account, without an exception."""

    @property
    def refusals(self) -> Sequence[type[BaseException]]:
        """The exceptions that this implementation means to raise; any other is a crash."""

    # A peer may also have `idle() -> bytes`: called where the suite waits and the peer's last bytes were answered with
    # nothing, for implementations that take turns and expect an empty token then. And `identity`, a property: who has
    # logged on at a server, ``DOMAIN\\user`` or the user alone; targets with it have the feature ``identity``.


class _EndlessError(BaseException):
    """A call into a peer took too long; no `except Exception` of the peer may catch it."""


@contextlib.contextmanager
def _bounded(seconds: float) -> Iterator[None]:
    """Interrupt the block after this time; only where Python can: in the main thread, not on Windows.

    By the processor's time: that leaves alone the timers of test frameworks, and waits for nothing in a peer that only
    computes. pyspnego 0.12 never returns where a server says close_notify (CSSP-ERR-13).
    """
    if not hasattr(signal, "SIGVTALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise _EndlessError

    before = signal.signal(signal.SIGVTALRM, interrupt)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


class MemoryLink:
    """A link to a `MemoryPeer`. What the peer has to say is there at once, so that nothing ever waits.

    Attributes:
        crash: see `Link`.
        report: see `Link`.
        hung: whether a call into the peer had to be interrupted.
    """

    def __init__(self, peer: MemoryPeer, *, cpu_seconds: float = _CPU_SECONDS) -> None:
        self.peer = peer
        self.crash = ""
        self.report: BaseException | None = None
        self.hung = False
        self._cpu_seconds = cpu_seconds
        self._queue: list[bytes] = []
        self._over = False
        self._run(peer.start)

    def _run(self, function: Callable[..., bytes | None], *arguments: bytes) -> None:
        try:
            with _bounded(self._cpu_seconds):
                output = function(*arguments)
        except _EndlessError:
            self.hung = True
            return
        except Exception as error:  # noqa: BLE001  # whatever a foreign implementation raises is what is to be seen
            self._over = True
            self.report = error
            token = getattr(error, "token", b"")
            if isinstance(token, bytes) and token:
                self._queue.append(token)
            if not isinstance(error, tuple(self.peer.refusals)):
                self.crash = f"{type(error).__name__} in the peer"
            return
        if output:
            self._queue.append(output)
        if self.peer.ended:
            self._over = True

    def send(self, data: bytes) -> None:
        """Let the peer take bytes."""
        if data and not self._over and not self.hung:
            self._run(self.peer.step, data)

    def receive(self, timeout: float) -> bytes | None:  # noqa: ARG002  # nothing waits
        """Return what the peer said; one that works in lock-step is told first that we have nothing to say."""
        idle = getattr(self.peer, "idle", None)
        if not self._queue and idle is not None and not self._over and not self.hung:
            self._run(idle)
        if self._queue:
            return self._queue.pop(0)
        return b"" if self._over else None

    def close(self) -> None:
        """End the stream."""
        if not self._over and not self.hung:
            self._run(self.peer.eof)
            self._over = True


class NotedLink:
    """A link that notes what goes over it before TLS, as evidence.

    Attributes:
        link: the link itself.
        notes: what went over.
    """

    def __init__(self, link: Link, side: Sender, notes: list[Evidence]) -> None:
        self.link = link
        self.notes = notes
        self._side: Sender = side
        self._other: Sender = "server" if side == "client" else "client"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.link, name)

    @property
    def crash(self) -> str:
        """See `Link`."""
        return self.link.crash

    @property
    def report(self) -> BaseException | None:
        """See `Link`."""
        return self.link.report

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.notes.append(Evidence(self._side, data, "before TLS"))
        self.link.send(data)

    def receive(self, timeout: float) -> bytes | None:
        """Return what came."""
        data = self.link.receive(timeout)
        note = "before TLS" if data else "nothing at all" if data is None else "closed"
        self.notes.append(Evidence(self._other, data or b"", note))
        return data

    def close(self) -> None:
        """Close the link."""
        self.link.close()


def without_notes(link: Link) -> Link:
    """Return a link as it is below TLS, where no bytes can be read."""
    return link.link if isinstance(link, NotedLink) else link


class SocketLink:
    """A link over a connected socket, which it owns.

    Attributes:
        crash: see `Link`; a socket cannot know, but the owner of a process may set it.
        report: see `Link`.
        ended: whether the peer's end of the stream was read.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.ended = False
        self.crash = ""
        self.report: BaseException | None = None
        self.socket = connection
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes) -> None:
        """Send bytes."""
        with contextlib.suppress(OSError):  # the peer is gone, and the next read says so
            self.socket.settimeout(5)
            self.socket.sendall(data)

    def receive(self, timeout: float) -> bytes | None:
        """Return what came."""
        end = time.monotonic() + timeout
        while True:
            left = end - time.monotonic()
            try:
                if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                    return None
                self.socket.settimeout(max(left, 0.01))
                data = self.socket.recv(_READ_SIZE)
                self.ended = self.ended or not data
                return data
            except TimeoutError:
                continue
            except (OSError, ValueError):
                self.ended = True
                return b""  # a reset is an end like others

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()
