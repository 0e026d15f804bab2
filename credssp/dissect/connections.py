"""The connections of a capture: each packet to its connection, in bounded memory.

A capture holds mostly what is of no interest. A connection whose first bytes say so, or whose login is over, keeps
its entry in the table and nothing else, so that its further packets cost one look-up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from credssp.dissect.conversation import ConversationReader
from credssp.dissect.model import Conversation
from credssp.dissect.packet import FIN, RST, SYN, Segment, endpoint, reverse
from credssp.dissect.streams import Stream
from credssp.dissect.tls.keylog import Secrets

__all__ = ["MAX_ACTIVE", "MAX_KNOWN", "TCPConnections"]

MAX_ACTIVE: Final = 2000
"""Connections that are read at the same time. Each can hold a few hundred KiB at worst; the oldest has to go first."""

MAX_KNOWN: Final = 200_000
"""Directions in the table, those of no interest included: about 40 MB."""


class _Connection:
    def __init__(self, key: bytes, secrets: Secrets, client: int | None) -> None:
        self.keys = (key, reverse(key))
        self.streams = (Stream(), Stream())
        self.reader = ConversationReader((endpoint(self.keys[0]), endpoint(self.keys[1])), secrets, client=client)


Entry = tuple[_Connection, int] | None


class TCPConnections:
    """Sorts segments into connections and reads those that speak a protocol known here."""

    def __init__(self, secrets: Secrets, found: Callable[[Conversation], None]) -> None:
        """Start with none.

        Args:
            secrets: for TLS; may still grow.
            found: is called with each conversation when it is over.
        """
        self._secrets = secrets
        self._found = found
        self._table: dict[bytes, Entry] = {}
        self._active: dict[bytes, _Connection] = {}  # by first key, oldest first
        # Over, but a secrets block further down may still open them; what they hold is bounded by `Secrets.waiting`.
        self._deferred: list[ConversationReader] = []

    def feed(self, segment: Segment, time: int | None) -> None:
        """Take a segment."""
        key = segment.key
        entry = self._table.get(key)
        if key in self._table:
            if segment.flags & SYN and self._is_new(entry, segment):
                self._forget(key, entry)
                entry = self._open(segment)
        elif segment.payload or segment.lost or segment.flags & SYN:
            entry = self._open(segment)
        if entry is not None:
            self._take(*entry, segment, time)

    def finish(self) -> None:
        """Say that the capture is over."""
        for connection in list(self._active.values()):
            self._close(connection)
        for reader in self._deferred:
            self._hand_out(reader)
        self._deferred.clear()

    def _open(self, segment: Segment) -> tuple[_Connection, int]:
        from_client = bool(segment.flags & SYN) and not segment.flags & 0x10
        from_server = bool(segment.flags & SYN) and not from_client
        client = 0 if from_client else 1 if from_server else None
        connection = _Connection(segment.key, self._secrets, client)
        if len(self._table) >= MAX_KNOWN:
            self._table = {key: entry for key, entry in self._table.items() if entry is not None}
        if len(self._active) >= MAX_ACTIVE:
            oldest = next(iter(self._active.values()))
            oldest.reader.conversation.note(f"given up: more than {MAX_ACTIVE} connections at the same time")
            self._close(oldest)
        self._active[connection.keys[0]] = connection
        for direction, key in enumerate(connection.keys):
            self._table[key] = connection, direction
        return connection, 0

    def _is_new(self, entry: Entry, segment: Segment) -> bool:
        """Whether a SYN opens another connection between the same ports; one sent twice does not."""
        if entry is None:
            return not segment.flags & 0x10
        connection, direction = entry
        return connection.streams[direction].offset > 0 or connection.streams[direction].over

    def _forget(self, key: bytes, entry: Entry) -> None:
        if entry is not None:
            self._close(entry[0])
        self._table.pop(key, None)
        self._table.pop(reverse(key), None)

    def _take(self, connection: _Connection, direction: int, segment: Segment, time: int | None) -> None:
        stream, reader = connection.streams[direction], connection.reader
        flags = segment.flags
        seq = segment.seq
        if flags & SYN:
            seq = (seq + 1) & 0xFFFFFFFF
            stream.start(seq)
        if segment.payload or segment.lost:
            for piece in stream.feed(seq, segment.payload, segment.lost, time):
                reader.feed(direction, piece)
        for index, each in enumerate(connection.streams):
            if each.held:
                for piece in each.tick():
                    reader.feed(index, piece)
        behind = seq + len(segment.payload) + segment.lost
        if flags & FIN:
            stream.end(behind)
        # A RST counts where it stands behind all that was sent (RFC 5961 3.2), not one that overtakes data.
        reset = flags & RST and stream.reaches(behind)
        if reset or reader.done or all(each.over for each in connection.streams):
            self._close(connection)

    def _close(self, connection: _Connection) -> None:
        """Read what still waits, hand out what was found, and keep no more than the entries in the table."""
        reader = connection.reader
        for direction, stream in enumerate(connection.streams):
            for piece in stream.flush():
                reader.feed(direction, piece)
        self._active.pop(connection.keys[0], None)
        for key in connection.keys:
            self._table[key] = None
        if reader.waits:
            self._deferred.append(reader)
        else:
            self._hand_out(reader)

    def _hand_out(self, reader: ConversationReader) -> None:
        reader.finish()
        for conversation in reader.conversations:
            self._found(conversation)
