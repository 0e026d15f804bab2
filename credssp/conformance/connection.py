"""The suite's end of a connection: TLS over a link, TSRequests in and out, and every byte noted.

Unlike `credssp.context` it judges nothing: it sends whatever it is given, in the TLS writes it is given, and tells how
the peer reacted. It reads record by record, since one rule is about how messages lie in records ([MS-CSSP] <8>).

What waits for the peer is a generator (`Waiting`). `Connection.wait` runs one over the link; a scripted peer of the
tests is the same generator, resumed by the test that has bytes for it.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

from credssp.conformance.links import Link
from credssp.conformance.rule import MESSAGE_LIMIT, Evidence
from credssp.errors import CredSSPError, DecodeError, RemoteProtocolError, TLSAlertError
from credssp.exchange.recorded_login import Sender
from credssp.status import NTStatus
from credssp.tls.channel import TLSChannel
from credssp.tls.record import measure_record
from credssp.wire.framing import TSRequestBuffer
from credssp.wire.ts_request import TSRequest

__all__ = ["Connection", "End", "Reply", "Sent", "Waiting", "writes_of"]

T = TypeVar("T")
Waiting: TypeAlias = Generator[float, bytes | None, T]
"""Waits for the peer: yields seconds, and is sent bytes, ``b""`` at the end of the stream, None for none in time."""

Sent: TypeAlias = TSRequest | bytes | tuple[bytes, ...] | None
"""What goes out in place of a message: another one, bytes, several TLS writes, or None for nothing."""

_APPLICATION_DATA: Final = 23
_NAMED: Final = frozenset(int(status) for status in NTStatus)
_KEPT: Final = 65536  # bytes of the peer's handshake; a flight is a few thousand


class End(enum.Enum):
    """How a wait for the peer ended."""

    MESSAGE = "message"
    CLOSED = "closed"
    ALERT = "alert"
    SILENT = "silent"
    OTHER = "other"
    """Bytes that are not a TSRequest."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came from the peer.

    Attributes:
        end: what kind.
        data: the TSRequest, or the other bytes.
        alert: name of the TLS alert.
        note: what to say of it, where the bytes alone do not: why the suite could not use it, or what came before.
    """

    end: End
    data: bytes = b""
    alert: str = ""
    note: str = ""

    @classmethod
    def of(cls, data: bytes | None) -> Reply:
        """Return what a link received where no TSRequest is awaited."""
        if not data:
            return cls(End.SILENT if data is None else End.CLOSED)
        if data[:1] == b"\x15":
            return cls(End.ALERT, data, alert=f"{data[6]}" if len(data) > 6 else "")
        return cls(End.OTHER, data)

    @classmethod
    def unusable(cls, data: bytes, error: CredSSPError) -> Reply:
        """Return the end of a login that the suite's own half cannot continue."""
        return cls(End.OTHER, data, note=f"not accepted by the suite: {error.message}")

    @property
    def request(self) -> TSRequest | None:
        """The TSRequest, or None where there is none that decodes."""
        if self.end is not End.MESSAGE:
            return None
        try:
            return TSRequest.decode(self.data, max_size=MESSAGE_LIMIT)
        except CredSSPError:
            return None

    @property
    def error_code(self) -> int | None:
        """Its errorCode, or None."""
        request = self.request
        return None if request is None else request.error_code

    @property
    def refused(self) -> bool:
        """Whether the peer refused: it closed, sent an alert, or an errorCode."""
        return self.end in (End.CLOSED, End.ALERT) or self.error_code is not None

    def __str__(self) -> str:
        if self.note:
            return self.note
        if self.end is End.ALERT:
            return f"TLS alert {self.alert}"
        if self.error_code is not None:
            name = NTStatus(self.error_code).name if self.error_code in _NAMED else ""
            return f"errorCode 0x{self.error_code:08X}" + (f" ({name})" if name else "")
        return {
            End.MESSAGE: "a TSRequest",
            End.CLOSED: "closed",
            End.SILENT: "nothing at all",
            End.OTHER: f"{len(self.data)} bytes that are not a TSRequest",
        }[self.end]


class Connection:
    """A connection to the peer, from TLS on.

    Attributes:
        link: the bytes below.
        channel: our side of TLS.
        evidence: what went over, in order.
        records: sizes of the peer's application-data records that held plaintext.
        messages: the peer's TSRequests with the number of records each came in.
        ended: how the peer ended it, or None.
        handshake_octets: the peer's bytes during the handshake.
    """

    def __init__(self, link: Link, channel: TLSChannel, *, side: Sender, timeout: float) -> None:
        """Take over a link at the point where TLS begins.

        Args:
            link: the link.
            channel: our side of TLS.
            side: ours: ``client`` or ``server``.
            timeout: seconds to wait for any answer of the peer.
        """
        self.link = link
        self.channel = channel
        self.timeout = timeout
        self.evidence: list[Evidence] = []
        self.records: list[int] = []
        self.messages: list[tuple[bytes, int]] = []
        self.ended: Reply | None = None
        self._side = side
        self._other: Sender = "server" if side == "client" else "client"
        self._raw = b""
        self._buffer = TSRequestBuffer(MESSAGE_LIMIT)
        self._record_marks: list[int] = []
        self._read_so_far = 0
        self._plain = b""
        self.handshake_octets = b""
        self._our_handshake = b""
        self._handshake_at = 0

    def wait(self, waiting: Waiting[T]) -> T:
        """Run to its end what waits for the peer."""
        try:
            seconds = next(waiting)
            while True:
                seconds = waiting.send(self.link.receive(seconds))
        except StopIteration as end:
            found: T = end.value
            return found

    @property
    def exchanged(self) -> tuple[tuple[Sender, bytes], ...]:
        """Sender and bytes of what both sides said, but for what its note says is not a TSRequest."""
        return tuple((item.sender, item.data) for item in self.evidence if item.data and not item.note)

    @property
    def evidence_with_handshake(self) -> tuple[Evidence, ...]:
        """What went over, with the bytes of the TLS handshake in their place: those of the client first."""
        both = ((self._side, self._our_handshake), (self._other, self.handshake_octets))
        client_first = both if self._side == "client" else both[::-1]
        handshake = (Evidence(sender, octets, "TLS handshake") for sender, octets in client_first if octets)
        at = self._handshake_at
        return (*self.evidence[:at], *handshake, *self.evidence[at:])

    # Out

    def handshake(self) -> Reply | None:
        """Run the TLS handshake; returns None when it is done, else how the peer ended it."""
        return self.wait(self.handshaking())

    def handshaking(self) -> Waiting[Reply | None]:
        """Run the TLS handshake, as `handshake`."""
        end = time.monotonic() + self.timeout
        while True:
            try:
                # Record by record: what follows the handshake in the same bytes is for `receive`.
                done = self.channel.handshake()
                while not done and (size := measure_record(self._raw)) and size <= len(self._raw):
                    record, self._raw = self._raw[:size], self._raw[size:]
                    self.channel.receive(record)
                    done = self.channel.handshake()
            except CredSSPError as error:
                self._flush()
                return self._over(_end_of(error))
            self._flush()
            if done:
                return None
            data = yield max(0.0, end - time.monotonic())
            if data is None:
                return self._over(Reply(End.SILENT))
            if not data:
                return self._over(Reply(End.CLOSED))
            self._raw += data
            self._begin_handshake()
            self.handshake_octets = (self.handshake_octets + data)[:_KEPT]

    def send(self, *writes: bytes, note: str = "") -> None:
        """Send plaintext, each argument with one TLS write, all in one go."""
        for data in writes:
            try:
                self.channel.write(data)
            except CredSSPError:
                break  # the peer has closed TLS already; what it said waits to be read
        self.evidence.append(Evidence(self._side, b"".join(writes), note))
        self._flush()

    def _flush(self) -> None:
        output = self.channel.data_to_send()
        if output:
            if not self.channel.handshake_complete:
                self._begin_handshake()
                self._our_handshake = (self._our_handshake + output)[:_KEPT]
            self.link.send(output)

    def _begin_handshake(self) -> None:
        if not (self.handshake_octets or self._our_handshake):
            self._handshake_at = len(self.evidence)

    def abort(self) -> None:
        """End TLS with a fatal alert."""
        self.evidence.append(Evidence(self._side, b"", "fatal TLS alert"))
        self.link.send(self.channel.abort())

    def close_notify(self) -> None:
        """End TLS politely."""
        self.evidence.append(Evidence(self._side, b"", "close_notify"))
        self.link.send(self.channel.close())

    def close(self) -> None:
        """Close the link."""
        self.link.close()

    # In

    def receive(self, timeout: float | None = None) -> Reply:
        """Wait for the peer's next TSRequest, or for its end."""
        return self.wait(self.receiving(timeout))

    def receiving(self, timeout: float | None = None) -> Waiting[Reply]:
        """Wait for the peer's next TSRequest, or for its end, as `receive`."""
        limit = self.timeout if timeout is None else timeout
        if self.ended is not None:
            return self.ended
        end = time.monotonic() + limit
        failure = self._take(b"")
        while True:
            reply = self._message()
            if reply is not None:
                return reply
            if failure is not None:
                return self._over(failure)
            if self.channel.peer_closed:
                return self._over(Reply(End.CLOSED))
            data = yield max(0.0, end - time.monotonic())
            if data is None:
                return self._note(Reply(End.SILENT))
            if not data:
                return self._over(Reply(End.CLOSED))
            failure = self._take(data)

    def plaintext(self, size: int, timeout: float | None = None) -> bytes:
        """Wait for this much application data that is not a TSRequest; returns what came, however little."""
        end = time.monotonic() + (self.timeout if timeout is None else timeout)
        self._plain += self._buffer.take_rest()
        while len(self._plain) < size and self.ended is None and not self.channel.peer_closed:
            data = self.link.receive(max(0.0, end - time.monotonic()))
            if not data or self._take(data, plain=True) is not None:
                break
        out, self._plain = self._plain[:size], self._plain[size:]
        if out:
            self.evidence.append(Evidence(self._other, out, "application data"))
        return out

    def unread(self, data: bytes) -> None:
        """Put application data back that `receive` gave out."""
        self._plain = data + self._plain

    def _take(self, data: bytes, *, plain: bool = False) -> Reply | None:
        """Feed whole records one after the other; returns how TLS ended, if it did."""
        self._raw += data
        try:
            while (size := measure_record(self._raw)) and size <= len(self._raw):
                record, self._raw = self._raw[:size], self._raw[size:]
                self.channel.receive(record)
                plaintext = self.channel.read()
                if not plaintext:
                    continue
                if record[0] == _APPLICATION_DATA:
                    self.records.append(len(plaintext))
                if plain or (not len(self._buffer) and plaintext[0] != 0x30):
                    self._plain += plaintext
                    continue
                self._read_so_far += len(plaintext)
                self._record_marks.append(self._read_so_far)
                self._buffer.feed(plaintext)
        except CredSSPError as error:
            return _end_of(error)
        finally:
            self._flush()
        return None

    def _message(self) -> Reply | None:
        if self._plain:
            data, self._plain = self._plain, b""
            return self._note(Reply(End.OTHER, data))
        try:
            message = self._buffer.next_message()
        except CredSSPError:
            return self._note(Reply(End.OTHER, self._buffer.take_rest()))
        if message is None:
            return None
        held = len(self._buffer)
        end = self._read_so_far - held
        begin = end - len(message)
        inside = [mark for mark in self._record_marks if begin < mark <= end]
        # A record that goes on behind the message has its end elsewhere.
        self.messages.append((message, len(inside) + (end not in inside)))
        return self._note(Reply(End.MESSAGE, message))

    def _over(self, reply: Reply) -> Reply:
        self.ended = self._note(reply)
        return reply

    def _note(self, reply: Reply) -> Reply:
        self.evidence.append(Evidence(self._other, reply.data, "" if reply.end is End.MESSAGE else str(reply)))
        return reply


def _end_of(error: CredSSPError) -> Reply:
    if isinstance(error, TLSAlertError):
        return Reply(End.ALERT, alert=error.alert)
    if isinstance(error, DecodeError | RemoteProtocolError) and "TLS" not in type(error).__name__:
        return Reply(End.OTHER)
    return Reply(End.CLOSED)


def writes_of(sent: TSRequest | bytes | tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Return the TLS writes of what is to be sent."""
    return sent if isinstance(sent, tuple) else (sent if isinstance(sent, bytes) else sent.encode(),)


def chunks(data: bytes, size: int) -> Sequence[bytes]:
    """Cut bytes into writes of this size."""
    return [data[at : at + size] for at in range(0, len(data), size)]
