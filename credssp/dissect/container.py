"""Packets and secrets out of pcap and pcapng files, read as a stream.

The containers are read by scapy (docs/adr/0007), which this module alone imports. scapy reads what it is told to read:
the file it gets is a `_Source`, which bounds every read, so that a block that announces gigabytes is refused and not
loaded, and which notes whether the file ended in the middle of a record.
"""

from __future__ import annotations

import gzip
import logging
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, Protocol

from credssp.dissect.errors import MISSING, CaptureError

__all__ = ["MAX_BLOCK", "Capture", "Packet", "Peekable", "Readable", "is_capture"]

MAX_BLOCK: Final = 16 << 20
"""Bytes of one block: Wireshark's own limit for packets is 256 KiB, and a key log of this size has 80,000 secrets."""

_PCAPNG: Final = b"\x0a\x0d\x0d\x0a"
# Byte order by the four bytes that pcap begins with; the last two are those with times in nanoseconds.
_ORDERS: Final = {
    b"\xa1\xb2\xc3\xd4": ">",
    b"\xd4\xc3\xb2\xa1": "<",
    b"\xa1\xb2\x3c\x4d": ">",
    b"\x4d\x3c\xb2\xa1": "<",
}
_NANOSECONDS: Final = (b"\xa1\xb2\x3c\x4d", b"\x4d\x3c\xb2\xa1")
_GZIP: Final = b"\x1f\x8b"

_INTERFACE: Final = 1
_DECRYPTION_SECRETS: Final = 10
_TLS_KEY_LOG: Final = 0x544C534B
_NS: Final = 1_000_000_000

_RECORD_HEADER: Final = 16
_FILE_HEADER: Final = 24


class Packet(NamedTuple):
    """One packet as it was captured.

    Attributes:
        time: nanoseconds since 1970, or None where the container has no time.
        link_type: LINKTYPE number (https://www.tcpdump.org/linktypes.html).
        data: the bytes that were kept, perhaps fewer than there were on the wire.
    """

    time: int | None
    link_type: int
    data: bytes


def is_capture(head: bytes) -> bool:
    """Tell from the first four bytes whether this is a capture, compressed with gzip or not."""
    return head[:4] == _PCAPNG or head[:4] in _ORDERS or head[:2] == _GZIP


class Readable(Protocol):
    """As much of a binary stream as is needed."""

    def read(self, size: int, /) -> bytes:
        """Return at most so many bytes; none at the end."""


class Peekable:
    """A binary stream that can be looked into before it is read; need not be seekable."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._held = b""

    def peek(self, size: int) -> bytes:
        """Return the next bytes without taking them, fewer at the end."""
        while len(self._held) < size and (data := self._raw(size - len(self._held))):
            self._held += data
        return self._held[:size]

    def read(self, size: int) -> bytes:
        """Return the next bytes, fewer at the end."""
        data, self._held = self._held[:size], self._held[size:]
        # A pipe without a buffer gives what it has.
        while len(data) < size and (more := self._raw(size - len(data))):
            data += more
        return data

    def _raw(self, size: int) -> bytes:
        return self._stream.read(size)


class _Source(Peekable):
    """What scapy reads from: bounds reads and notes how the file ended."""

    def __init__(self, stream: Readable) -> None:
        super().__init__(stream)
        self.name = "capture"
        self.position = 0
        self.ended_early = False
        self.too_large = 0
        self.broken = ""
        self.on_section: Callable[[], None] | None = None
        self.on_record: Callable[[bytes], bytes] | None = None

    def read(self, size: int = -1) -> bytes:
        """Return `size` bytes, fewer at the end; nothing where that is too much."""
        if size < 0 or size > MAX_BLOCK:
            self.too_large = size
            return b""
        data = super().read(size)
        self.position += len(data)
        if data == _PCAPNG and self.on_section is not None:
            # The type of a block, since no length of a block may be that large. scapy goes on with the interfaces of
            # the section before, but each section counts its own.
            self.on_section()
        on_record, self.on_record = self.on_record, None
        if on_record is not None and len(data) == _RECORD_HEADER:
            return on_record(data)
        # scapy asks for 4 bytes at the start of a pcapng block and for 16 at the start of a pcap record.
        if len(data) < size and (data or size not in (4, 16)):
            self.ended_early = True
        return data

    def _raw(self, size: int) -> bytes:
        try:
            return super()._raw(size)
        except (OSError, EOFError, zlib.error) as error:
            self.broken = type(error).__name__
            return b""

    def close(self) -> None:
        """Leave the stream open: the caller opened it."""


class Capture:
    """A capture file that is read once, from beginning to end.

    Attributes:
        problem: what is wrong with the container, known when all of it was read; empty if nothing is.
        secrets: key logs (bytes) found in the file so far; take them out while iterating.
    """

    def __init__(self, stream: Readable) -> None:
        """Look at the beginning.

        Raises:
            CaptureError: it is neither pcap nor pcapng, or scapy is missing.
        """
        source = _Source(stream)
        if source.peek(2) == _GZIP:
            compressed: Any = source
            source = _Source(gzip.GzipFile(fileobj=compressed))
        self._source = source
        self._endian = ""
        self.problem = ""
        self.secrets: list[bytes] = []
        magic = source.peek(4)
        if magic != _PCAPNG and magic not in _ORDERS:
            raise CaptureError("this is neither pcap nor pcapng: " + _what(magic))
        self._is_pcapng = magic == _PCAPNG
        self._reader = self._open()

    def _open(self) -> Any:
        try:
            from scapy.error import Scapy_Exception
            from scapy.utils import RawPcapNgReader, RawPcapReader
        except ImportError:
            raise CaptureError(MISSING.format("scapy", "captures")) from None
        reader: Any
        source: Any = self._source
        with _Quiet():
            try:
                reader = RawPcapNgReader(source) if self._is_pcapng else RawPcapReader(source)
            except (Scapy_Exception, struct.error):
                raise CaptureError("the file header of the capture is damaged or cut off") from None
        if self._is_pcapng:
            reader.blocktypes[_DECRYPTION_SECRETS] = self._take_secrets
            reader.blocktypes[_INTERFACE] = self._take_interface
            self._source.on_section = reader.interfaces.clear
        return reader

    def __iter__(self) -> Iterator[Packet]:
        """Yield the packets in the order of the file."""
        with _Quiet():
            yield from self._pcapng() if self._is_pcapng else self._pcap()
        self.problem = self._find_problem()

    def _pcap(self) -> Iterator[Packet]:
        reader = self._reader
        for data, meta in self._packets():
            unit = 1 if reader.nano else 1000
            # The upper half of the field holds the length of a frame check sequence, where there is one.
            yield Packet(meta.sec * _NS + meta.usec * unit, reader.linktype & 0xFFFF, data)

    def _packets(self) -> Iterator[Any]:
        """Yield what scapy reads. Its own iterator cuts packets at 65,535 bytes; those of loopback have more."""
        try:
            while True:
                # What is read first is the header of a record; a packet may have as many bytes.
                self._source.on_record = None if self._is_pcapng else self._check_record
                yield self._reader._read_packet(MAX_BLOCK)
        except EOFError:
            return

    def _check_record(self, header: bytes) -> bytes:
        """Look at the header of a pcap record before scapy does, and return the one that it is to take."""
        order = _ORDERS.get(header[:4])
        if order is not None and header[4:12] == struct.pack(f"{order}HHI", 2, 4, 0):
            # Not a record: another file was appended. Its link type and byte order count from here on.
            rest = self._source.read(_FILE_HEADER - _RECORD_HEADER)
            if len(rest) < _FILE_HEADER - _RECORD_HEADER:
                return b""
            self._reader.endian, self._reader.nano = order, header[:4] in _NANOSECONDS
            (self._reader.linktype,) = struct.unpack_from(f"{order}I", rest, 4)
            return self._source.read(_RECORD_HEADER)
        (size,) = struct.unpack_from(f"{self._reader.endian}I", header, 8)
        if size > MAX_BLOCK:
            self._source.too_large = size
            return b""
        return header

    def _pcapng(self) -> Iterator[Packet]:
        from scapy.error import Scapy_Exception

        try:
            for data, meta in self._packets():
                time = None
                if meta.tshigh is not None:
                    time = ((meta.tshigh << 32) | meta.tslow) * _NS // meta.tsresol
                yield Packet(time, meta.linktype, data)
        except (Scapy_Exception, struct.error):
            self._source.ended_early = True

    def _take_interface(self, block: bytes, size: int) -> None:
        """Interface Description Block (draft-ietf-opsawg-pcapng 4.2)."""
        self._reader._read_block_idb(block, size)
        link_type, snapshot, options = self._reader.interfaces[-1]
        # Zero is no limit; scapy takes it for one, and the packets of Simple Packet Blocks for empty.
        self._reader.interfaces[-1] = (link_type, snapshot or 0xFFFFFFFF, options)

    def _take_secrets(self, block: bytes, _: int) -> None:
        """Decryption Secrets Block (draft-ietf-opsawg-pcapng 4.7): type, length, the secrets."""
        if len(block) >= 8:
            kind, length = struct.unpack_from(f"{self._reader.endian}II", block)
            if kind == _TLS_KEY_LOG:
                self.secrets.append(block[8 : 8 + length])

    def _find_problem(self) -> str:
        source = self._source
        if source.broken:
            what = "ends early" if source.broken == "EOFError" else f"is damaged ({source.broken})"
            return f"cut off at byte {source.position} of the content: the compressed file {what}"
        if source.too_large:
            return (
                f"damaged at byte {source.position}: it announces a packet or block of {source.too_large} bytes, "
                f"at most {MAX_BLOCK} are read; what follows is lost"
            )
        if source.ended_early:
            return f"cut off in the middle of a packet, at byte {source.position}"
        if source.peek(1):
            return f"damaged at byte {source.position}: no valid block is there; what follows is lost"
        return ""


class _Quiet:
    """Keeps scapy from writing its warnings to standard error: what they are about is in `Capture.problem`."""

    def __enter__(self) -> None:
        logging.getLogger("scapy.runtime").addFilter(self._reject)

    def __exit__(self, *_: object) -> None:
        logging.getLogger("scapy.runtime").removeFilter(self._reject)

    @staticmethod
    def _reject(_: logging.LogRecord) -> bool:
        return False


def _what(magic: bytes) -> str:
    if not magic:
        return "it is empty, or the compressed data in it is cut off"
    if magic[:1] in (b"{", b"["):
        return "it begins like JSON, but not like a transcript of credssp"
    return f"it begins with {magic.hex()}"
