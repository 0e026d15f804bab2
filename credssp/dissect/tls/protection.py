"""Records opened: AEAD ciphers and CBC with HMAC (RFC 5246 6.2.3, RFC 5288, 6655, 7366, 7905, 8446 5.2)."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final, Protocol

from credssp.dissect.tls.schedule import DirectionKeys
from credssp.dissect.tls.suites import Suite

__all__ = ["Opener", "RecordError", "make_opener"]

_TAG: Final = 16
_BLOCK: Final = 16
_TLS13: Final = 0x0304


class RecordError(Exception):
    """A record does not open: wrong keys, bytes missing before it, or altered. Never leaves the package."""


class _AEAD(Protocol):
    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...


class Opener(Protocol):
    """Opens the records of one direction, in order.

    Attributes:
        sequence: number of the next record; may be moved on where records are missing.
    """

    sequence: int

    def open(self, content_type: int, version: int, body: bytes) -> tuple[int, bytes]:
        """Return content type and plaintext of a record.

        Raises:
            RecordError: it does not open; the sequence number is not counted then.
        """


def make_opener(version: int, suite: Suite, keys: DirectionKeys, *, encrypt_then_mac: bool) -> Opener:
    """Return what opens one direction.

    Args:
        version: the negotiated protocol version, such as 0x0303.
        suite: the cipher suite.
        keys: keys of the direction.
        encrypt_then_mac: whether RFC 7366 was negotiated; counts for CBC only.
    """
    if version >= _TLS13:
        return _TLS13Opener(suite, keys)
    if suite.cipher == "cbc":
        return _CBCOpener(version, suite, keys, encrypt_then_mac=encrypt_then_mac)
    return _TLS12Opener(suite, keys)


def _aead(suite: Suite, key: bytes) -> _AEAD:
    from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305

    if suite.cipher == "gcm":
        return AESGCM(key)
    if suite.cipher == "chacha20":
        return ChaCha20Poly1305(key)
    return AESCCM(key, tag_length=8 if suite.cipher == "ccm8" else _TAG)


def _decrypt(aead: _AEAD, nonce: bytes, data: bytes, associated: bytes) -> bytes:
    from cryptography.exceptions import InvalidTag

    try:
        return aead.decrypt(nonce, data, associated)
    except (InvalidTag, ValueError):
        raise RecordError("authentication of the record fails") from None


def _masked(iv: bytes, sequence: int) -> bytes:
    return (int.from_bytes(iv, "big") ^ sequence).to_bytes(len(iv), "big")


class _TLS13Opener:
    """TLSInnerPlaintext out of TLSCiphertext (RFC 8446 5.2, 5.3)."""

    def __init__(self, suite: Suite, keys: DirectionKeys) -> None:
        self._aead = _aead(suite, keys.key)
        self._iv = keys.iv
        self.sequence = 0

    def open(self, content_type: int, version: int, body: bytes) -> tuple[int, bytes]:
        header = bytes((content_type,)) + version.to_bytes(2, "big") + len(body).to_bytes(2, "big")
        inner = _decrypt(self._aead, _masked(self._iv, self.sequence), body, header).rstrip(b"\0")
        if not inner:
            raise RecordError("a record without content type")
        self.sequence += 1
        return inner[-1], inner[:-1]


class _TLS12Opener:
    """GenericAEADCipher (RFC 5246 6.2.3.3); ChaCha20 has no nonce in the record (RFC 7905)."""

    def __init__(self, suite: Suite, keys: DirectionKeys) -> None:
        self._aead = _aead(suite, keys.key)
        self._iv = keys.iv
        self._explicit = 0 if suite.cipher == "chacha20" else 8
        self._tag = 8 if suite.cipher == "ccm8" else _TAG
        self.sequence = 0

    def open(self, content_type: int, version: int, body: bytes) -> tuple[int, bytes]:
        size = len(body) - self._explicit - self._tag
        if size < 0:
            raise RecordError("too short for nonce and tag")
        nonce = self._iv + body[:8] if self._explicit else _masked(self._iv, self.sequence)
        associated = _mac_header(self.sequence, content_type, version, size)
        plain = _decrypt(self._aead, nonce, body[self._explicit :], associated)
        self.sequence += 1
        return content_type, plain


def _mac_header(sequence: int, content_type: int, version: int, size: int) -> bytes:
    return sequence.to_bytes(8, "big") + bytes((content_type,)) + version.to_bytes(2, "big") + size.to_bytes(2, "big")


class _CBCOpener:
    """GenericBlockCipher (RFC 5246 6.2.3.2), MAC first or, with RFC 7366, last.

    No constant time is needed: the records were written by others and are long gone.
    """

    def __init__(self, version: int, suite: Suite, keys: DirectionKeys, *, encrypt_then_mac: bool) -> None:
        self._key = keys.key
        self._mac_key = keys.mac_key
        self._mac = suite.mac
        self._mac_size = hashlib.new(suite.mac, usedforsecurity=False).digest_size
        self._encrypt_then_mac = encrypt_then_mac
        # TLS 1.0 goes on with the last block of the record before.
        self._chained: bytes | None = keys.iv if version < 0x0302 else None
        self.sequence = 0

    def open(self, content_type: int, version: int, body: bytes) -> tuple[int, bytes]:
        protected, mac = body, b""
        if self._encrypt_then_mac:
            protected, mac = body[: -self._mac_size], body[-self._mac_size :]
            self._check(mac, content_type, version, protected)
        iv, ciphertext = (
            (protected[:_BLOCK], protected[_BLOCK:]) if self._chained is None else (self._chained, protected)
        )
        if not ciphertext or len(ciphertext) % _BLOCK or len(iv) != _BLOCK:
            raise RecordError("no whole blocks")
        plain = self._unpad(self._cbc(iv, ciphertext))
        if not self._encrypt_then_mac:
            plain, mac = plain[: -self._mac_size], plain[-self._mac_size :]
            self._check(mac, content_type, version, plain)
        if self._chained is not None:
            self._chained = ciphertext[-_BLOCK:]
        self.sequence += 1
        return content_type, plain

    def _cbc(self, iv: bytes, ciphertext: bytes) -> bytes:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        decryptor = Cipher(algorithms.AES(self._key), modes.CBC(iv)).decryptor()
        return decryptor.update(ciphertext) + decryptor.finalize()

    def _unpad(self, plain: bytes) -> bytes:
        size = plain[-1] + 1
        least = size if self._encrypt_then_mac else size + self._mac_size
        if least > len(plain) or plain[-size:] != bytes((size - 1,)) * size:
            raise RecordError("padding")
        return plain[:-size]

    def _check(self, mac: bytes, content_type: int, version: int, data: bytes) -> None:
        header = _mac_header(self.sequence, content_type, version, len(data))
        if not hmac.compare_digest(mac, hmac.digest(self._mac_key, header + data, self._mac)):
            raise RecordError("the MAC does not match")
