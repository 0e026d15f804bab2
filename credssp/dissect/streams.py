"""TCP streams out of segments: out of order, sent twice, overlapping or missing, in bounded memory (RFC 9293 3.10.7).

A capture is not a TCP receiver: no peer sends a packet again because the capture missed it. So a stream waits for a
missing segment only for a while (`MAX_WAITING`, `MAX_SEGMENTS`, `PATIENCE`), then says how many bytes are missing and
continues after them.
"""

from __future__ import annotations

import heapq
from typing import Final, NamedTuple

__all__ = ["MAX_SEGMENTS", "MAX_WAITING", "PATIENCE", "Piece", "Stream"]

MAX_WAITING: Final = 256 * 1024
"""Bytes that wait after a missing segment: what a TCP window without scaling holds, four times over."""

MAX_SEGMENTS: Final = 512
"""Segments that wait; bounds what many small ones cost beyond their bytes."""

PATIENCE: Final = 64
"""Further segments of the connection after which a missing one is given up. Retransmissions and multi-queue network
cards displace segments by a handful."""

_MODULUS: Final = 1 << 32
_HALF: Final = 1 << 31


class Piece(NamedTuple):
    """The next bytes of a stream.

    Attributes:
        missing: how many bytes in front of them the capture does not have.
        data: the bytes.
        time: when the packet that carried them was captured.
    """

    missing: int
    data: bytes
    time: int | None


class Stream:
    """One direction of a connection.

    Attributes:
        offset: bytes of the stream so far, those that are missing included.
    """

    __slots__ = ("_end", "_held", "_latest", "_next", "_order", "_started", "_stuck", "_waiting", "offset")

    def __init__(self) -> None:
        self._next = 0
        self._started = False
        self._end: int | None = None
        # By the place in the stream, which unlike the sequence number never begins anew; and the places as a heap.
        self._waiting: dict[int, tuple[bytes, int, int | None]] = {}
        self._order: list[int] = []
        self._held = 0
        self._stuck = 0
        self._latest = 0
        self.offset = 0

    def start(self, seq: int) -> None:
        """Say which sequence number the first byte has (SYN, plus one)."""
        if not self._started:
            self._next = seq % _MODULUS
            self._started = True

    def end(self, seq: int) -> None:
        """Say which sequence number follows the last byte (FIN)."""
        self._end = seq % _MODULUS

    @property
    def over(self) -> bool:
        """Whether all bytes up to the end were there; a FIN that overtakes them does not end the stream."""
        return self._end is not None and self.reaches(self._end)

    def reaches(self, seq: int) -> bool:
        """Whether all bytes in front of a sequence number were there."""
        return not self._waiting and (not self._started or (self._next - seq) % _MODULUS < _HALF)

    @property
    def held(self) -> int:
        """How many bytes wait."""
        return self._held

    def feed(self, seq: int, payload: bytes, lost: int, time: int | None) -> list[Piece]:
        """Take a segment and return what is in order now.

        Args:
            seq: sequence number of its first byte.
            payload: its bytes, at least one, or `lost` is not 0.
            lost: bytes after them that the capture cut off.
            time: when it was captured.
        """
        self.start(seq)  # unless it was: the capture began in the middle of the connection
        ahead = (seq - self._next) % _MODULUS
        if ahead == 0 and not self._waiting:
            return self._deliver([], payload, lost, time)
        if ahead >= _HALF:
            # Sent before, wholly or in part. The bytes that came first stand.
            known = _MODULUS - ahead
            if known >= len(payload) + lost:
                return []
            cut = payload[known:]
            ahead, payload, lost = 0, cut, lost - max(0, known - len(payload))
        self._hold(self.offset + ahead, payload, lost, time)
        pieces = self._in_order()
        while self._held > MAX_WAITING or len(self._waiting) > MAX_SEGMENTS:
            pieces += self._skip()
        return pieces

    def tick(self) -> list[Piece]:
        """Count a segment of the connection; returns what comes free where patience is at its end."""
        if not self._waiting:
            return []
        self._stuck += 1
        return self._skip() if self._stuck > PATIENCE else []

    def flush(self) -> list[Piece]:
        """Return all that waits, with what is missing between; the connection is over."""
        pieces: list[Piece] = []
        while self._waiting:
            pieces += self._skip()
        if self._end is not None and not self.reaches(self._end):
            missing = (self._end - self._next) % _MODULUS
            self._next = self._end
            pieces.append(Piece(missing, b"", None))
        return pieces

    def _hold(self, place: int, payload: bytes, lost: int, time: int | None) -> None:
        older = self._waiting.get(place)
        if older is None:
            heapq.heappush(self._order, place)
        if older is None or len(older[0]) + older[1] < len(payload) + lost:
            self._held += len(payload) - (len(older[0]) if older else 0)
            self._waiting[place] = (payload, lost, time)

    def _deliver(self, pieces: list[Piece], payload: bytes, lost: int, time: int | None) -> list[Piece]:
        if time is not None:
            # Bytes are there when all before them are.
            time = self._latest = max(self._latest, time)
        if payload:
            pieces.append(Piece(0, payload, time))
        if lost:
            pieces.append(Piece(lost, b"", time))
        size = len(payload) + lost
        self._next = (self._next + size) % _MODULUS
        self.offset += size
        self._stuck = 0
        return pieces

    def _in_order(self) -> list[Piece]:
        """Return the waiting segments that follow without a gap."""
        pieces: list[Piece] = []
        while self._order and self._order[0] <= self.offset:
            place = heapq.heappop(self._order)
            payload, lost, time = self._waiting.pop(place)
            self._held -= len(payload)
            known = self.offset - place  # overlaps what was delivered
            if known < len(payload) + lost:
                self._deliver(pieces, payload[known:], lost - max(0, known - len(payload)), time)
        return pieces

    def _skip(self) -> list[Piece]:
        """Give up what is missing in front of the nearest segment."""
        place = self._order[0]
        missing = place - self.offset
        self._next = ((self._next or 0) + missing) % _MODULUS
        self.offset = place
        self._stuck = 0
        return [Piece(missing, b"", self._waiting[place][2]), *self._in_order()]
