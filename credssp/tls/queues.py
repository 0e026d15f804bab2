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

What keeps channels apart, whatever happens in between (a finalizer, the handler of a signal or an exception may come
after any instruction):

* A turn begins with queues that are empty. What it finds there belongs to a call that it interrupts: it is set aside
  as it is, and is there again when the turn is over. Bytes without an owner are thrown away.
* A channel whose bytes could not be kept, for want of memory, is lost: its calls fail from then on.
"""

from __future__ import annotations

import ssl
import threading
from typing import Final, TypeAlias

from credssp.errors import TLSError
from credssp.next_step import NextStep
from credssp.status import SecurityStatus

__all__ = ["QueueTurn", "SharedQueues", "current_queues"]

_SMALL: Final = 256
"""Bytes that are thrown away at a time. Where there is no memory, Python has that much of its own."""

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
        lock: held by the call whose turn it is.
        owner: whose bytes are in the queues; None where they are empty.
        turns: what each turn under way found, innermost last; None for one that continues with what its channel has
            there already. More than one where a finalizer or the handler of a signal interrupts a call
            and makes another.
    """

    __slots__ = ("__weakref__", "incoming", "lock", "outgoing", "owner", "turns")

    def __init__(self) -> None:
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.lock = threading.RLock()
        self.owner: QueueTurn | None = None
        self.turns: list[_Found | None] = []

    def __enter__(self) -> None:
        stack = getattr(_here, "stack", None)
        if stack is None:
            stack = _here.stack = []
        stack.append(self)

    def __exit__(self, *error: object) -> None:
        _here.stack.pop()

    def discard(self) -> None:
        """Empty both queues."""
        while self.incoming.pending:
            self.incoming.read(_SMALL)
        while self.outgoing.pending:
            self.outgoing.read(_SMALL)


class QueueTurn:
    """A channel's share: ``with turn`` takes the lock, and the queues hold what is the channel's and nothing else."""

    __slots__ = ("_lost", "_queues", "_received", "_to_send")

    def __init__(self, queues: SharedQueues) -> None:
        self._queues = queues
        self._received = self._to_send = b""
        self._lost = False

    def __enter__(self) -> None:
        queues = self._queues
        queues.lock.acquire()
        try:
            self._begin(queues)
        except BaseException as error:
            queues.lock.release()
            if isinstance(error, MemoryError | ssl.SSLError):
                raise _no_memory() from None
            raise

    def __exit__(self, *error: object) -> None:
        queues = self._queues
        turns = queues.turns
        try:
            found = turns[-1]
            if found is not None:
                if queues.incoming.pending or queues.outgoing.pending:
                    self._take_out(queues)
                queues.owner = found[0]
                if found is not _NOTHING:
                    _put_back(queues, *found)
        except (MemoryError, ssl.SSLError):
            raise _no_memory() from None
        finally:
            # Not before: as long as this turn is among them, whoever interrupts it puts back what he finds.
            turns.pop()
            queues.lock.release()

    def _begin(self, queues: SharedQueues) -> None:
        owner = queues.owner
        if owner is not None and not queues.turns:  # its last turn was ended by an exception, half-way
            owner._take_out(queues)
            queues.owner = owner = None
        if owner is self:
            queues.turns.append(None)
            return
        if self._lost:
            raise _no_memory()
        if queues.turns:
            found = _set_aside(queues, owner)
        else:
            found = _NOTHING
            if queues.incoming.pending or queues.outgoing.pending:
                queues.discard()  # of nobody: a turn ended where even that failed
        queues.turns.append(found)
        try:
            queues.owner = self
            if self._received or self._to_send:
                self._put_in(queues)
        except BaseException:
            try:
                self._lose(queues)
                queues.owner = owner
                _put_back(queues, *found)
            finally:
                queues.turns.pop()
            raise

    def _put_in(self, queues: SharedQueues) -> None:
        received, to_send = self._received, self._to_send
        self._received = self._to_send = b""
        queues.incoming.write(received)
        queues.outgoing.write(to_send)

    def _take_out(self, queues: SharedQueues) -> None:
        try:
            self._received = queues.incoming.read()
            self._to_send = queues.outgoing.read()
        except BaseException:
            self._lose(queues)
            raise

    def _lose(self, queues: SharedQueues) -> None:
        """Do without what the queues hold, which is this channel's."""
        self._lost = True
        self._received = self._to_send = b""
        queues.discard()


_Found: TypeAlias = tuple[QueueTurn | None, bytes, bytes]
"""Whose bytes a turn found in the queues, and which they are: incoming, outgoing."""

_NOTHING: Final[_Found] = (None, b"", b"")


def _set_aside(queues: SharedQueues, owner: QueueTurn | None) -> _Found:
    try:
        return owner, queues.incoming.read(), queues.outgoing.read()
    except BaseException:
        if owner is not None:
            owner._lose(queues)
        raise


def _put_back(queues: SharedQueues, owner: QueueTurn | None, received: bytes, to_send: bytes) -> None:
    try:
        queues.incoming.write(received)
        queues.outgoing.write(to_send)
    except BaseException:
        if owner is not None:
            owner._lose(queues)
        raise


def _no_memory() -> TLSError:
    return TLSError(
        "the TLS session failed: there was no memory for what was on its way",
        reason="MALLOC_FAILURE",
        status=SecurityStatus.SEC_E_INSUFFICIENT_MEMORY,
        advice=NextStep.MEMORY,
    )
