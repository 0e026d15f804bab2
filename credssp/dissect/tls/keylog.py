"""The secrets that open TLS: key logs and a server's RSA key.

A key log (SSLKEYLOGFILE, draft-ietf-tls-keylogfile) has lines ``LABEL client_random secret``, all in hexadecimal. The
client random is that of the ClientHello, by which a connection finds its secrets.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, Final

from credssp.dissect.errors import CaptureError
from credssp.secret import Secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

__all__ = ["MAX_CONNECTIONS", "Secrets"]

MAX_CONNECTIONS: Final = 100_000
"""Connections of a key log that are kept, some 100 MB; a browser's log of a month has a tenth of it."""

_MAX_LINE: Final = 1024
# Editors of Windows put it in front.
_BOM: Final = b"\xef\xbb\xbf"
_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # what ``>`` writes in Windows PowerShell
_CHUNK: Final = 64 * 1024
_LABELS: Final = frozenset(
    (
        "CLIENT_RANDOM",
        "PMS_CLIENT_RANDOM",
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
        "SERVER_HANDSHAKE_TRAFFIC_SECRET",
        "CLIENT_TRAFFIC_SECRET_0",
        "SERVER_TRAFFIC_SECRET_0",
    )
)


class Secrets:
    """All secrets that were given, in any number of key logs, and the RSA key if there is one.

    Attributes:
        rsa_key: the server's private key, or None.
        waiting: bytes that all connections together hold because their key is not there (yet).
        lines: lines that are of a key log.
        odd: files with lines that are not.
        empty: files without a line.
        lines_ignored: lines that are neither a comment nor a line of a key log.
        overflow: whether there were more connections than are kept.
    """

    def __init__(self) -> None:
        self._by_random: dict[bytes, dict[str, bytes]] = {}
        self.rsa_key: RSAPrivateKey | None = None
        self.waiting = 0
        self.lines = 0
        self.lines_ignored = 0
        self.odd: list[str] = []
        self.empty: list[str] = []
        self.overflow = False

    @property
    def count(self) -> int:
        """Of how many connections there are secrets."""
        return len(self._by_random)

    def __repr__(self) -> str:
        return f"Secrets(connections={self.count}, rsa_key={self.rsa_key is not None})"

    def add_log(self, lines: Iterable[bytes]) -> None:
        """Take the lines of a key log; other lines are counted and ignored."""
        for line in lines:
            text = line.removeprefix(_BOM).strip()
            if not text or text.startswith(b"#"):
                continue
            if self._add(text):
                self.lines += 1
            else:
                self.lines_ignored += 1

    def add_file(self, stream: BinaryIO) -> None:
        """Take the lines of a key log from a file; what has no lines is not read into memory at once."""
        before = self.lines_ignored, self.lines
        self._take(stream)
        if name := str(getattr(stream, "name", "")):
            if self.lines_ignored > before[0]:
                self.odd.append(name)
            elif self.lines == before[1]:
                self.empty.append(name)

    def _take(self, stream: BinaryIO) -> None:
        first = stream.readline(_MAX_LINE + 1)
        if first.startswith(_UTF16):
            self.add_log(_utf16_lines(first, stream))
        else:
            self.add_log(chain((first,), iter(lambda: stream.readline(_MAX_LINE + 1), b"")))

    def _add(self, line: bytes) -> bool:
        parts = line.split() if len(line) <= _MAX_LINE else []
        if len(parts) != 3:
            return False
        try:
            label = parts[0].decode("ascii")
            random, secret = (bytes.fromhex(part.decode("ascii")) for part in parts[1:])
        except ValueError:
            return False
        if label not in _LABELS:
            # EXPORTER_SECRET and its like are well-formed and of no use here.
            return label.isupper()
        if len(random) != 32 or not secret:
            return False
        if random not in self._by_random and len(self._by_random) >= MAX_CONNECTIONS:
            self.overflow = True
            return True
        self._by_random.setdefault(random, {})[label] = secret
        return True

    def find(self, client_random: bytes, label: str) -> bytes | None:
        """Return a secret of the connection with this client random, or None."""
        return self._by_random.get(client_random, {}).get(label)

    def knows(self, client_random: bytes) -> bool:
        """Whether there is any secret of this connection."""
        return client_random in self._by_random

    def why_not(self, client_random: bytes) -> str:
        """Say why there is no secret of this connection."""
        if not self.count:
            return "no key was given (--keylog, --rsa-key, or a secrets block in the capture)"
        start = client_random.hex()[:16]
        return f"none of the {self.count} connections of the key log has the client random {start}..."

    def load_rsa_key(self, pem: Secret[bytes]) -> None:
        """Take the server's private key, PEM, not encrypted.

        Raises:
            CaptureError: it is no such key, or none of RSA.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            key = load_pem_private_key(pem.reveal(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise CaptureError("the RSA key cannot be read: an unencrypted private key in PEM is needed") from None
        if not isinstance(key, RSAPrivateKey):
            raise CaptureError("the private key is not an RSA key; a private key decrypts RSA key exchange only")
        self.rsa_key = key


def _utf16_lines(first: bytes, stream: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a UTF-16 file in ASCII; of a line that is too long, enough to see that."""
    decoder = codecs.getincrementaldecoder("utf-16")("replace")
    held = ""
    for chunk in chain((first,), iter(lambda: stream.read(_CHUNK), b"")):
        *lines, held = (held + decoder.decode(chunk)).split("\n")
        for line in lines:
            yield line[: _MAX_LINE + 1].encode("ascii", "replace")
        held = held[: _MAX_LINE + 1]
    if held:
        yield held.encode("ascii", "replace")
