"""The handshake messages that matter here (RFC 5246 7.4, RFC 8446 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from credssp.errors import DecodeError

__all__ = [
    "CERTIFICATE",
    "CLIENT_HELLO",
    "CLIENT_KEY_EXCHANGE",
    "FINISHED",
    "KEY_UPDATE",
    "SERVER_HELLO",
    "ClientHello",
    "HandshakeBuffer",
    "ServerHello",
    "client_hello_random",
    "message_name",
    "read_certificate",
    "version_name",
]

CLIENT_HELLO: Final = 1
SERVER_HELLO: Final = 2
CERTIFICATE: Final = 11
CLIENT_KEY_EXCHANGE: Final = 16
FINISHED: Final = 20
KEY_UPDATE: Final = 24

MAX_MESSAGE: Final = 128 * 1024
"""Bytes of one handshake message; certificate chains have 10 KiB, and OpenSSL takes 100."""

_NAMES: Final = {
    0: "HelloRequest",
    1: "ClientHello",
    2: "ServerHello",
    4: "NewSessionTicket",
    5: "EndOfEarlyData",
    8: "EncryptedExtensions",
    11: "Certificate",
    12: "ServerKeyExchange",
    13: "CertificateRequest",
    14: "ServerHelloDone",
    15: "CertificateVerify",
    16: "ClientKeyExchange",
    20: "Finished",
    22: "CertificateStatus",
    24: "KeyUpdate",
    25: "CompressedCertificate",
}
_VERSIONS: Final = {0x0300: "SSL 3.0", 0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2", 0x0304: "TLS 1.3"}

_SERVER_NAME: Final = 0
_ENCRYPT_THEN_MAC: Final = 22
_EXTENDED_MASTER_SECRET: Final = 23
_SUPPORTED_VERSIONS: Final = 43
# SHA-256 of "HelloRetryRequest" (RFC 8446 4.1.3).
_RETRY: Final = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


def message_name(kind: int) -> str:
    """Return the name of a handshake message."""
    return _NAMES.get(kind, f"handshake message {kind}")


def version_name(version: int) -> str:
    """Return the name of a protocol version, such as ``TLS 1.3``."""
    return _VERSIONS.get(version, f"TLS version 0x{version:04X}")


class HandshakeBuffer:
    """Cuts the handshake bytes of one direction into messages."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take bytes and return the messages that are whole: type and the message with its header.

        Raises:
            DecodeError: a message is larger than `MAX_MESSAGE`.
        """
        self._data += data
        messages = []
        while len(self._data) >= 4:
            size = 4 + int.from_bytes(self._data[1:4], "big")
            if size > MAX_MESSAGE:
                raise DecodeError(f"{size} bytes announced", field=message_name(self._data[0]), section="RFC 8446 4")
            if len(self._data) < size:
                break
            messages.append((self._data[0], self._data[:size]))
            self._data = self._data[size:]
        return messages


class _Cursor:
    """Takes a message apart from front to back."""

    def __init__(self, data: bytes, name: str, position: int = 0) -> None:
        self._data = data
        self._name = name
        self._position = position

    def take(self, size: int) -> bytes:
        end = self._position + size
        if end > len(self._data):
            raise DecodeError(
                f"{size} bytes wanted, {len(self._data) - self._position} are there",
                field=self._name,
                offset=self._position,
                section="RFC 8446 4",
            )
        data, self._position = self._data[self._position : end], end
        return data

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        """Take bytes that are preceded by their length in `size` bytes."""
        return self.take(self.number(size))

    @property
    def at_end(self) -> bool:
        return self._position >= len(self._data)

    def extensions(self) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        if not self.at_end:
            inner = _Cursor(self.vector(2), f"{self._name}.extensions")
            while not inner.at_end:
                kind = inner.number(2)
                found[kind] = inner.vector(2)
        return found


@dataclass(frozen=True, slots=True)
class ClientHello:
    """ClientHello.

    Attributes:
        random: the client random, by which key logs name the connection.
        version: legacy_version; the first two bytes of an RSA premaster secret repeat it.
        server_name: the host name of the SNI extension, or an empty string.
    """

    random: bytes
    version: int
    server_name: str

    @classmethod
    def decode(cls, message: bytes) -> ClientHello:
        """Read one, header included. Raises DecodeError."""
        cursor = _Cursor(message, "ClientHello", 4)
        version, random = cursor.number(2), cursor.take(32)
        for size in (1, 2, 1):  # session id, cipher suites, compression methods
            cursor.vector(size)
        name = b""
        body = cursor.extensions().get(_SERVER_NAME)
        if body:
            names = _Cursor(_Cursor(body, "server_name").vector(2), "server_name")
            if names.number(1) == 0:
                name = names.vector(2)
        return cls(random, version, name.decode("ascii", "replace"))


@dataclass(frozen=True, slots=True)
class ServerHello:
    """ServerHello.

    Attributes:
        random: the server random.
        version: the protocol version that was chosen.
        suite: number of the cipher suite.
        extended_master_secret: whether RFC 7627 was negotiated.
        encrypt_then_mac: whether RFC 7366 was negotiated.
        is_retry: whether this is a HelloRetryRequest.
    """

    random: bytes
    version: int
    suite: int
    extended_master_secret: bool
    encrypt_then_mac: bool
    is_retry: bool

    @classmethod
    def decode(cls, message: bytes) -> ServerHello:
        """Read one, header included. Raises DecodeError."""
        cursor = _Cursor(message, "ServerHello", 4)
        version, random = cursor.number(2), cursor.take(32)
        cursor.vector(1)
        suite = cursor.number(2)
        cursor.take(1)
        extensions = cursor.extensions()
        chosen = extensions.get(_SUPPORTED_VERSIONS)
        if chosen is not None:
            version = _Cursor(chosen, "supported_versions").number(2)
        return cls(
            random,
            version,
            suite,
            _EXTENDED_MASTER_SECRET in extensions,
            _ENCRYPT_THEN_MAC in extensions,
            random == _RETRY,
        )


def client_hello_random(records: bytes) -> bytes:
    """Return the client random if TLS records begin with a ClientHello in clear, else nothing."""
    # Record: type, version, length; message: type, length, legacy_version, random. Encrypted, it has no such lengths.
    whole = int.from_bytes(records[3:5], "big") == 4 + int.from_bytes(records[6:9], "big")
    if records[:2] != b"\x16\x03" or records[5:6] != b"\x01" or records[9:10] != b"\x03" or not whole:
        return b""
    return records[11:43]


def read_certificate(message: bytes, version: int) -> bytes | None:
    """Return the leaf certificate of a Certificate message, DER; None if its list is empty. Raises DecodeError."""
    cursor = _Cursor(message, "Certificate", 4)
    if version >= 0x0304:
        cursor.vector(1)  # certificate_request_context
    entries = _Cursor(cursor.vector(3), "Certificate.certificate_list")
    return None if entries.at_end else entries.vector(3)
