"""From a secret to the keys of both directions (RFC 5246 5, 6.3, 8.1; RFC 7627; RFC 8446 7)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from credssp.dissect.tls.suites import Suite

__all__ = ["DirectionKeys", "extended_master_secret", "key_block", "master_secret", "next_secret", "traffic_keys"]

TLS11: Final = 0x0302
TLS12: Final = 0x0303
_MASTER_SIZE: Final = 48

Prf = Callable[[bytes, bytes, int], bytes]


@dataclass(frozen=True, slots=True)
class DirectionKeys:
    """What protects the records of one direction.

    Attributes:
        key: the cipher's key.
        iv: the implicit part of the nonce; of CBC in TLS 1.0, the first initialisation vector.
        mac_key: the key of the record MAC with CBC, else empty.
    """

    key: bytes = field(repr=False)
    iv: bytes = field(repr=False)
    mac_key: bytes = field(default=b"", repr=False)


def _p_hash(secret: bytes, seed: bytes, size: int, digest: str) -> bytes:
    output, a = b"", seed
    while len(output) < size:
        a = hmac.digest(secret, a, digest)
        output += hmac.digest(secret, a + seed, digest)
    return output[:size]


def _prf(version: int, suite: Suite) -> Prf:
    """Return PRF(secret, label + seed, size) of the protocol version."""
    if version >= TLS12:
        return lambda secret, seed, size: _p_hash(secret, seed, size, suite.digest)

    def legacy(secret: bytes, seed: bytes, size: int) -> bytes:
        # RFC 2246 5: each half of the secret with its own hash.
        half = (len(secret) + 1) // 2
        md5 = _p_hash(secret[:half], seed, size, "md5")
        sha1 = _p_hash(secret[-half:], seed, size, "sha1")
        return bytes(x ^ y for x, y in zip(md5, sha1, strict=True))

    return legacy


def master_secret(version: int, suite: Suite, premaster: bytes, client_random: bytes, server_random: bytes) -> bytes:
    """Return the master secret (RFC 5246 8.1)."""
    return _prf(version, suite)(premaster, b"master secret" + client_random + server_random, _MASTER_SIZE)


def extended_master_secret(version: int, suite: Suite, premaster: bytes, handshake: bytes) -> bytes:
    """Return the master secret that is bound to the handshake (RFC 7627 4).

    Args:
        version: the protocol version.
        suite: the cipher suite.
        premaster: the premaster secret.
        handshake: all handshake messages up to ClientKeyExchange, with their headers.
    """
    if version >= TLS12:
        session_hash = hashlib.new(suite.digest, handshake).digest()
    else:
        md5, sha1 = (hashlib.new(name, handshake, usedforsecurity=False) for name in ("md5", "sha1"))
        session_hash = md5.digest() + sha1.digest()
    return _prf(version, suite)(premaster, b"extended master secret" + session_hash, _MASTER_SIZE)


def key_block(
    version: int, suite: Suite, master: bytes, client_random: bytes, server_random: bytes
) -> tuple[DirectionKeys, DirectionKeys]:
    """Return the keys of client and server up to TLS 1.2 (RFC 5246 6.3)."""
    mac_size = hashlib.new(suite.mac, usedforsecurity=False).digest_size if suite.mac else 0
    iv_size = {"cbc": 0, "chacha20": 12}.get(suite.cipher, 4)
    if suite.cipher == "cbc" and version < TLS11:
        iv_size = 16  # since TLS 1.1 it stands in every record
    sizes = (mac_size, mac_size, suite.key_size, suite.key_size, iv_size, iv_size)
    block = _prf(version, suite)(master, b"key expansion" + server_random + client_random, sum(sizes))
    parts, position = [], 0
    for size in sizes:
        parts.append(block[position : position + size])
        position += size
    return DirectionKeys(parts[2], parts[4], parts[0]), DirectionKeys(parts[3], parts[5], parts[1])


def _expand_label(secret: bytes, label: bytes, size: int, digest: str) -> bytes:
    """HKDF-Expand-Label with an empty context (RFC 8446 7.1); one block is enough for what is asked for here."""
    name = b"tls13 " + label
    info = size.to_bytes(2, "big") + bytes((len(name),)) + name + b"\0"
    return hmac.digest(secret, info + b"\x01", digest)[:size]


def traffic_keys(suite: Suite, secret: bytes) -> DirectionKeys:
    """Return the keys of one direction in TLS 1.3 (RFC 8446 7.3)."""
    return DirectionKeys(
        _expand_label(secret, b"key", suite.key_size, suite.digest), _expand_label(secret, b"iv", 12, suite.digest)
    )


def next_secret(suite: Suite, secret: bytes) -> bytes:
    """Return the traffic secret after a KeyUpdate (RFC 8446 7.2)."""
    return _expand_label(secret, b"traffic upd", len(secret), suite.digest)
