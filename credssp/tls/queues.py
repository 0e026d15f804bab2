"""One pair of queues (`ssl.MemoryBIO`) for many channels.

A queue keeps the memory of the most that it ever held, and there is no way to make it smaller: a channel that moved
pieces of 112 KiB and is idle since holds 300 KiB in its two queues, where OpenSSL itself needs 16. But between two
calls of a channel there is next to nothing in them. So channels that take turns anyway, as those of an event loop do,
share a pair. Each puts in what it has, and takes out what is left when its call is over:

* incoming: what a later call is to read, such as application data after the last message of a handshake. A part of a
  record is not left over; OpenSSL keeps it.
* outgoing: what was not collected yet.

Nothing in a queue is plaintext. `threading.local` says whether a channel that is made now shares: an owner of queues
makes its channels inside of ``with queues``.
"""

from __future__ import annotations

import ssl
import threading

__all__ = ["QueueTurn", "SharedQueues", "current_queues"]

_here = threading.local()


def current_queues() -> SharedQueues | None:
    """Return the queues that a channel is to share that this thread makes now; None for its own."""
    stack: list[SharedQueues] | None = getattr(_here, "stack", None)
    return stack[-1] if stack else None


class SharedQueues:
    """A pair of queues; channels that are made inside of ``with queues`` share it.

    Attributes:
        incoming: ciphertext from the network to OpenSSL.
        outgoing: ciphertext from OpenSSL to the network.
        lock: held by whoever has his turn.
        turns: those under way, innermost last: more than one where a finalizer or the handler of a signal interrupts a
            call and makes another one.
    """

    __slots__ = ("__weakref__", "incoming", "lock", "outgoing", "turns")

    def __init__(self) -> None:
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.lock = threading.RLock()
        self.turns: list[QueueTurn] = []

    def __enter__(self) -> None:
        stack = getattr(_here, "stack", None)
        if stack is None:
            stack = _here.stack = []
        stack.append(self)

    def __exit__(self, *error: object) -> None:
        _here.stack.pop()


class QueueTurn:
    """A channel's share: ``with turn`` takes the lock, and the queues hold what is the channel's and nothing else."""

    __slots__ = ("_queues", "_received", "_to_send")

    def __init__(self, queues: SharedQueues) -> None:
        self._queues = queues
        self._received = self._to_send = b""

    def __enter__(self) -> None:
        queues = self._queues
        queues.lock.acquire()
        turns = queues.turns
        if turns:
            if turns[-1] is not self:
                turns[-1]._take_out()
                self._put_in()
        elif self._received or self._to_send:
            self._put_in()
        turns.append(self)

    def __exit__(self, *error: object) -> None:
        queues = self._queues
        turns = queues.turns
        turns.pop()
        if not turns:
            if queues.incoming.pending or queues.outgoing.pending:
                self._take_out()
        elif turns[-1] is not self:
            self._take_out()
            turns[-1]._put_in()
        queues.lock.release()

    def _put_in(self) -> None:
        received, to_send = self._received, self._to_send
        self._received = self._to_send = b""
        self._queues.incoming.write(received)
        self._queues.outgoing.write(to_send)

    def _take_out(self) -> None:
        self._received = self._queues.incoming.read()
        self._to_send = self._queues.outgoing.read()
