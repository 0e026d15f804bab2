r"""Encrypted messages ([MS-WSMV] 2.2.9.1.3): SOAP inside the TLS session that the login set up.

A message is cut into chunks of at most 16384 bytes, one TLS record each, and every chunk is a pair of MIME parts::

    --Encrypted Boundary\r\n
    \tContent-Type: application/HTTP-CredSSP-session-encrypted\r\n
    \tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=<bytes of plaintext>\r\n
    --Encrypted Boundary\r\n
    \tContent-Type: application/octet-stream\r\n
    <u32 little-endian: trailer length><TLS records>--Encrypted Boundary\r\n     and so on, then
    --Encrypted Boundary--\r\n

Nothing is between the records and the next boundary, and ciphertext may hold any bytes, the boundary too. So
the reader never searches: it walks from record to record by their own lengths. A record begins with a byte from 20
to 24, a boundary with ``-`` (45); there is no third possibility.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from credssp.config import Limits
from credssp.errors import DecodeError, LimitExceededError, LocalProtocolError, PeerClosedError, RemoteProtocolError
from credssp.tls.record import HEADER_SIZE, MAX_PLAINTEXT, measure_record
from credssp.tls.sizes import StreamSizes

__all__ = [
    "DEFAULT_MAX_BODY",
    "ENCRYPTED",
    "SOAP",
    "ContentType",
    "Encrypted",
    "Part",
    "Plaintext",
    "decrypt",
    "encrypt",
    "encrypted_parts",
    "is_encrypted_body",
    "is_encrypted_type",
    "trailer_length",
]

SOAP: Final = "application/soap+xml;charset=UTF-8"
"""Content type of a WS-Management message."""

PROTOCOL: Final = "application/HTTP-CredSSP-session-encrypted"

DEFAULT_MAX_BODY: Final = Limits().max_body
"""Bytes of one HTTP body: eight times the largest envelope of Windows by default (MaxEnvelopeSizekb 500)."""

_BOUNDARY: Final = "Encrypted Boundary"
_SINGLE: Final = "multipart/encrypted"
_MULTI: Final = "multipart/x-multi-encrypted"
_PARAMETERS: Final = f';protocol="{PROTOCOL}";boundary="{_BOUNDARY}"'
_SECTION: Final = "[MS-WSMV] 2.2.9.1.3"

ENCRYPTED: Final = _SINGLE + _PARAMETERS
"""Content type of an encrypted message in one part."""

_PARAMETER: Final = re.compile(r';[ \t]*([A-Za-z]+)[ \t]*=[ \t]*(?:"([^"]*)"|([^;"\s]+))[ \t]*')
# Lines are bounded and blanks are never given back (``*+``), so that a part without line ends is not searched to its
# end again and again: 4 MiB of blanks took nine seconds. The type becomes a Content-Type header of HTTP, where a byte
# beyond ASCII (or a control character) is an exception of the HTTP library.
_ORIGINAL: Final = re.compile(
    rb"[ \t]*+Content-Type:[ \t]*+([^\r\n]{1,100})\r\n"
    rb"[ \t]*+OriginalContent:[ \t]*+type=([ -~]{1,200});[ \t]*+Length=([0-9]{1,10})[ \t]*+\r\n",
    re.IGNORECASE,
)
_OCTETS: Final = re.compile(rb"[ \t]*+Content-Type:[ \t]*+application/octet-stream[ \t]*+\r\n", re.IGNORECASE)


class Protector(Protocol):
    """What of a context is needed here: `credssp.ClientContext` or `credssp.ServerContext`, once complete."""

    @property
    def tls_version(self) -> str:
        """``TLSv1.2`` or ``TLSv1.3``."""

    @property
    def tls_cipher(self) -> str:
        """The cipher suite in OpenSSL's spelling."""

    @property
    def peer_closed(self) -> bool:
        """Whether the peer sent close_notify."""

    def wrap(self, data: bytes) -> bytes:
        """Encrypt."""

    def unwrap(self, data: bytes) -> bytes:
        """Decrypt."""


@dataclass(frozen=True, slots=True)
class Encrypted:
    """A body ready to be sent.

    Attributes:
        content_type: value of the Content-Type header.
        body: the bytes.
    """

    content_type: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Plaintext:
    """A message that was decrypted.

    Attributes:
        content_type: what OriginalContent says, such as ``application/soap+xml;charset=UTF-8``.
        data: the bytes.
    """

    content_type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Part:
    """One pair of MIME parts.

    Attributes:
        content_type: type of the plaintext.
        length: bytes of plaintext, as announced.
        records: the TLS records.
    """

    content_type: str
    length: int
    records: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ContentType:
    """A Content-Type header, parsed.

    Attributes:
        media: its media type in lower case, such as ``application/soap+xml``.
        boundary: what separates the parts of a message encrypted with CredSSP; None for any other message.
    """

    media: str
    boundary: str | None = None

    @classmethod
    def parse(cls, value: str) -> ContentType:
        """Parse the value of the header; nothing that it may hold is an error."""
        media = value.partition(";")[0]
        parameters = {
            found.group(1).lower(): found.group(2) if found.group(2) is not None else found.group(3)
            for found in _PARAMETER.finditer(value[:1024], len(media))
        }
        media = media.strip().lower()
        encrypted = media in {_SINGLE, _MULTI} and parameters.get("protocol", "").lower() == PROTOCOL.lower()
        return cls(media, parameters.get("boundary", _BOUNDARY) if encrypted else None)


def is_encrypted_type(content_type: str | None) -> bool:
    """Whether a Content-Type announces a message encrypted with CredSSP."""
    return ContentType.parse(content_type or "").boundary is not None


def is_encrypted_body(body: bytes) -> bool:
    """Whether a body looks encrypted with CredSSP; for callers who learn of its Content-Type too late."""
    return body.startswith(b"--") and PROTOCOL.lower().encode() in body[:512].lower()


def encrypt(context: Protector, data: bytes, content_type: str = SOAP) -> Encrypted:
    """Encrypt a message.

    Args:
        context: a complete context.
        data: the plaintext, of any length.
        content_type: its type.

    Raises:
        LocalProtocolError: the context cannot encrypt (any more), or `content_type` is not printable ASCII.
    """
    if not (content_type.isascii() and content_type.isprintable()):
        raise LocalProtocolError(f"content_type: expected printable ASCII, not {content_type!r}")
    out = bytearray()
    for start in range(0, len(data), MAX_PLAINTEXT) or (0,):
        chunk = data[start : start + MAX_PLAINTEXT]
        # An empty message has no record at all: TLS sends none for nothing.
        records = context.wrap(chunk)
        trailer = trailer_length(records, len(chunk), context.tls_version, context.tls_cipher)
        out += (
            f"--{_BOUNDARY}\r\n"
            f"\tContent-Type: {PROTOCOL}\r\n"
            f"\tOriginalContent: type={content_type};Length={len(chunk)}\r\n"
            f"--{_BOUNDARY}\r\n"
            "\tContent-Type: application/octet-stream\r\n"
        ).encode("ascii")
        out += trailer.to_bytes(4, "little")
        out += records
    out += f"--{_BOUNDARY}--\r\n".encode("ascii")
    media = _SINGLE if len(data) <= MAX_PLAINTEXT else _MULTI
    return Encrypted(media + _PARAMETERS, bytes(out))


def trailer_length(records: bytes, plaintext_length: int, tls_version: str, tls_cipher: str) -> int:
    """Return the bytes after the ciphertext in the last of the records ([MS-WSMV] 2.2.9.1.3.1.2.2).

    It is measured, not derived from the suite: what the record has beyond its header, explicit nonce and plaintext is
    trailer. (Padding and MAC change places with encrypt-then-MAC, which no name of a suite tells.)

    Args:
        records: whole TLS records; a handshake message, such as the answer to a key update, may precede them.
        plaintext_length: bytes of plaintext in the last one.
        tls_version: ``TLSv1.2`` or ``TLSv1.3``.
        tls_cipher: the suite in OpenSSL's spelling.
    """
    last = 0
    position = 0
    while position < len(records):
        last = measure_record(records, position)
        position += last
    return max(0, last - StreamSizes.of(tls_version, tls_cipher).header - plaintext_length)


def decrypt(
    context: Protector, content_type: str | ContentType, body: bytes, *, max_size: int = DEFAULT_MAX_BODY
) -> Plaintext:
    """Decrypt a message.

    Args:
        context: the complete context of the connection that it came on.
        content_type: value of the Content-Type header, parsed or not.
        body: the whole body.
        max_size: bytes of body to look at.

    Raises:
        RemoteProtocolError: the body is not what [MS-WSMV] says, a length lies, the peer closed TLS inside it.
        TLSError: a record does not decrypt.
    """
    pieces: list[bytes] = []
    original = SOAP
    for part in encrypted_parts(content_type, body, max_size=max_size):
        data = context.unwrap(part.records)
        if len(data) != part.length:
            if context.peer_closed:
                raise PeerClosedError("the peer closed the TLS channel inside a message")
            raise RemoteProtocolError(f"a part says Length={part.length} and holds {len(data)} bytes", section=_SECTION)
        pieces.append(data)
        original = part.content_type
    return Plaintext(original, b"".join(pieces))


def encrypted_parts(
    content_type: str | ContentType, body: bytes, *, max_size: int = DEFAULT_MAX_BODY
) -> Iterator[Part]:
    """Yield the pairs of an encrypted body, which is checked as far as the pairs were taken.

    Raises:
        RemoteProtocolError: as `decrypt`.
    """
    if len(body) > max_size:
        raise LimitExceededError(f"an encrypted body of {len(body)} bytes; at most {max_size} are taken")
    boundary = (ContentType.parse(content_type) if isinstance(content_type, str) else content_type).boundary
    if boundary is None:
        raise RemoteProtocolError("the Content-Type announces no message encrypted with CredSSP", section=_SECTION)
    walker = _Walker(body, boundary)
    walker.delimiter()
    while True:
        found = walker.take(_ORIGINAL, "OriginalContent")
        if found.group(1).strip().lower() != PROTOCOL.lower().encode():
            raise walker.error("a part is of another protocol", "Content-Type")
        length = int(found.group(3))
        if length > max_size:
            raise LimitExceededError(f"a part says Length={length}; at most {max_size} bytes are taken")
        walker.delimiter()
        walker.take(_OCTETS, "Content-Type of the second part")
        records = walker.records()
        yield Part(found.group(2).decode("ascii").strip(), length, records)
        if walker.delimiter():
            return


class _Walker:
    """Where in a body we are."""

    def __init__(self, body: bytes, boundary: str) -> None:
        self._body = body
        self._position = 0
        # Exchange servers write a space behind the two hyphens (pypsrp knows them).
        self._delimiter = re.compile(
            rb"--[ \t]?" + re.escape(boundary.encode("latin-1", "replace")) + rb"(?:(--)(?:\r\n|\Z)|\r\n)"
        )

    def error(self, what: str, field: str) -> DecodeError:
        return DecodeError(what, field=f"encrypted body, {field}", offset=self._position, section=_SECTION)

    def take(self, pattern: re.Pattern[bytes], field: str) -> re.Match[bytes]:
        found = pattern.match(self._body, self._position)
        if found is None:
            raise self.error("missing or malformed", field)
        self._position = found.end()
        return found

    def delimiter(self) -> bool:
        """Step over a boundary; returns whether it was the last."""
        last = self.take(self._delimiter, "boundary").group(1) is not None
        if last and self._position < len(self._body):
            raise self.error(f"{len(self._body) - self._position} bytes after the last boundary", "end")
        return last

    def records(self) -> bytes:
        """Step over the trailer length and the records, and return the records."""
        # The trailer length is not looked at: pywinrm 0.5.0 writes a wrong one for TLS 1.3, and TLS knows it anyway.
        start = self._position = self._position + 4
        end = len(self._body)
        while self._position < end and self._body[self._position] != 0x2D:
            size = measure_record(self._body, self._position)
            if size < HEADER_SIZE or self._position + size > end:
                raise self.error("a TLS record is longer than what is left of the body", "records")
            self._position += size
        return self._body[start : self._position]
