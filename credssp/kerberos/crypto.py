"""Kerberos encryption with AES: RFC 3962 (types 17, 18) and RFC 8009 (types 19, 20); RC4 (type 23) is read only.

libkrb5 does all of it for logins. What it does not do from Python is to open what a client sent, which a server does
before libkrb5 sees it (`credssp.kerberos.admission`) and Remote Credential Guard needs, and to get messages wrong,
which the conformance suite needs. Nothing is written with RC4: some accounts of Active Directory have no other key, and
their tickets have to be examined too (RFC 4757). DES, 3DES and Camellia are not read.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from credssp.errors import LocalRestrictionError, RemoteProtocolError
from credssp.secret import Secret
from credssp.status import SecurityStatus

__all__ = ["RC4_HMAC", "READABLE", "KeyUsage", "checksum", "checksum_size", "decrypt", "encrypt", "generate_key"]

_BLOCK: Final = 16
_RC4_MAC: Final = 16
_RC4_CONFOUNDER: Final = 8

RC4_HMAC: Final = 23

# What a derived key is for (RFC 3961 5.3).
_CHECKSUM: Final = b"\x99"
_ENCRYPTION: Final = b"\xaa"
_INTEGRITY: Final = b"\x55"


class KeyUsage:
    """Key usage numbers (RFC 4120 7.5.1; RFC 4121 2)."""

    TICKET: Final = 2
    AP_REQ_AUTHENTICATOR: Final = 11
    AP_REP: Final = 12
    PAC: Final = 17
    KRB_CRED: Final = 14
    ACCEPTOR_SEAL: Final = 22
    ACCEPTOR_SIGN: Final = 23
    INITIATOR_SEAL: Final = 24
    INITIATOR_SIGN: Final = 25


@dataclass(frozen=True, slots=True)
class _Profile:
    """One encryption type: size of the key, of the checksum, and the hash."""

    key_size: int
    mac_size: int
    digest: str
    sha2: bool


_PROFILES: Final = {
    17: _Profile(16, 12, "sha1", sha2=False),
    18: _Profile(32, 12, "sha1", sha2=False),
    19: _Profile(16, 16, "sha256", sha2=True),
    20: _Profile(32, 24, "sha384", sha2=True),
}


READABLE: Final = frozenset({*_PROFILES, RC4_HMAC})
"""Encryption types that `decrypt` knows."""


def encrypt(
    etype: int, key: Secret[bytes], usage: int, plain: bytes, *, random: Callable[[int], bytes] = os.urandom
) -> bytes:
    """Encrypt and authenticate.

    Args:
        etype: encryption type, 17 to 20.
        key: the key of that type.
        usage: what for, see `KeyUsage`.
        plain: what.
        random: n random bytes, as `os.urandom`.

    Raises:
        RemoteProtocolError: a type that is not known here, or a key that is not of it.
    """
    profile = _profile(etype, key)
    enc_key, mac_key = _derive(profile, key, usage, _ENCRYPTION), _derive(profile, key, usage, _INTEGRITY)
    data = random(_BLOCK) + plain
    cipher = _cts_encrypt(enc_key, data)
    return cipher + _mac(profile, mac_key, data, cipher)


def decrypt(etype: int, key: Secret[bytes], usage: int, data: bytes) -> bytes:
    """Check and decrypt; arguments as `encrypt`.

    Raises:
        RemoteProtocolError: it does not verify, or the type is not known here.
        LocalRestrictionError: OpenSSL does not allow the type.
    """
    if etype == RC4_HMAC:
        return _rc4_decrypt(key.reveal(), usage, data)
    profile = _profile(etype, key)
    enc_key, mac_key = _derive(profile, key, usage, _ENCRYPTION), _derive(profile, key, usage, _INTEGRITY)
    cipher, mac = data[: -profile.mac_size], data[-profile.mac_size :]
    if len(cipher) < _BLOCK:
        raise _bad("shorter than its checksum")
    plain = _cts_decrypt(enc_key, cipher)
    if not hmac.compare_digest(mac, _mac(profile, mac_key, plain, cipher)):
        raise _bad("the checksum does not match: another key, or somebody changed it")
    return plain[_BLOCK:]


def _rc4_decrypt(key: bytes, usage: int, data: bytes) -> bytes:
    """Open what RC4 encrypted (RFC 4757 4); the usages of `KeyUsage` that are opened here are not translated there."""
    from cryptography.exceptions import InternalError, UnsupportedAlgorithm
    from cryptography.hazmat.decrepit.ciphers.algorithms import ARC4

    mac, cipher = data[:_RC4_MAC], data[_RC4_MAC:]
    if len(cipher) < _RC4_CONFOUNDER or len(key) != 16:
        raise _bad("shorter than its checksum, or a key of another type")
    try:
        base = hmac.digest(key, usage.to_bytes(4, "little"), "md5")
        plain = Cipher(ARC4(hmac.digest(base, mac, "md5")), None).decryptor().update(cipher)
        right = hmac.compare_digest(mac, hmac.digest(base, plain, "md5"))
    except (ValueError, UnsupportedAlgorithm, InternalError):
        raise LocalRestrictionError(
            "Kerberos data has an RC4 key (type 23), and OpenSSL has no RC4 or MD5 on this machine (no legacy "
            "provider, or FIPS mode)",
            restriction="RC4",
            advice="Give the account keys of AES: change its password, and export the keytab anew.",
        ) from None
    if not right:
        raise _bad("the checksum does not match: another key, or somebody changed it")
    return plain[_RC4_CONFOUNDER:]


def checksum(etype: int, key: Secret[bytes], usage: int, data: bytes) -> bytes:
    """Return the keyed checksum that belongs to an encryption type (RFC 3961 5.4, RFC 8009 5, RFC 4757 4).

    Errors are those of `encrypt`.
    """
    if etype == RC4_HMAC:
        return _rc4_checksum(key.reveal(), usage, data)
    profile = _profile(etype, key)
    return hmac.digest(_derive(profile, key, usage, _CHECKSUM), data, profile.digest)[: profile.mac_size]


def _rc4_checksum(key: bytes, usage: int, data: bytes) -> bytes:
    try:
        signing = hmac.digest(key, b"signaturekey\0", "md5")
        return hmac.digest(signing, hashlib.md5(usage.to_bytes(4, "little") + data).digest(), "md5")  # noqa: S324
    except ValueError:
        raise _bad("OpenSSL has no MD5 here") from None


def checksum_size(etype: int, key: Secret[bytes]) -> int:
    """Return how many bytes `checksum` has; errors as `encrypt`."""
    return _profile(etype, key).mac_size


def generate_key(etype: int, *, random: Callable[[int], bytes] = os.urandom) -> Secret[bytes]:
    """Make a key of a type, 17 to 20."""
    return Secret(random(_PROFILES[etype].key_size))


def _bad(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(
        f"Kerberos data does not decrypt: {what}", status=SecurityStatus.SEC_E_MESSAGE_ALTERED, section="RFC 3961 3"
    )


def _mac(profile: _Profile, key: bytes, plain: bytes, cipher: bytes) -> bytes:
    # RFC 3962 authenticates the plaintext, RFC 8009 the cipher state (zero) and the ciphertext.
    covered = bytes(_BLOCK) + cipher if profile.sha2 else plain
    return hmac.digest(key, covered, profile.digest)[: profile.mac_size]


def _profile(etype: int, key: Secret[bytes]) -> _Profile:
    profile = _PROFILES.get(etype)
    size = len(key.reveal())
    if profile is None or size != profile.key_size:
        raise RemoteProtocolError(
            f"Kerberos encryption type {etype} with a key of {size} bytes is not known here (AES: 17 to 20)",
            status=SecurityStatus.SEC_E_KDC_UNKNOWN_ETYPE,
            section="RFC 3962 7; RFC 8009 6",
        )
    return profile


def _derive(profile: _Profile, key: Secret[bytes], usage: int, purpose: bytes) -> bytes:
    """Return the key for one usage and purpose (RFC 3961 5.3, RFC 8009 3)."""
    octets = key.reveal()
    constant = usage.to_bytes(4, "big") + purpose
    if not profile.sha2:
        return _dk(octets, constant)
    size = profile.key_size if purpose == _ENCRYPTION else profile.mac_size
    text = b"\0\0\0\1" + constant + b"\0" + (8 * size).to_bytes(4, "big")
    return hmac.digest(octets, text, profile.digest)[:size]


def _dk(key: bytes, constant: bytes) -> bytes:
    """Derive a key (RFC 3961 5.1; random-to-key of AES changes nothing)."""
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305  # of single blocks, as DR has it
    block = _nfold(constant, _BLOCK)
    out = b""
    while len(out) < len(key):
        block = encryptor.update(block)
        out += block
    return out[: len(key)]


def _nfold(data: bytes, size: int) -> bytes:
    """Stretch bytes to a size (RFC 3961 5.1): copies, each turned right by 13 bits, added in one's complement."""
    bits = 8 * len(data)
    number = int.from_bytes(data, "big")
    whole = b""
    turn = 0
    while len(whole) % size or not whole:
        shift = 13 * turn % bits
        whole += ((number >> shift | number << (bits - shift)) & ((1 << bits) - 1)).to_bytes(len(data), "big")
        turn += 1
    total = sum(int.from_bytes(whole[start : start + size], "big") for start in range(0, len(whole), size))
    top = 8 * size
    while total >> top:
        total = (total >> top) + (total & ((1 << top) - 1))
    return total.to_bytes(size, "big")


def _cts_encrypt(key: bytes, data: bytes) -> bytes:
    """AES-CBC with ciphertext stealing, last two blocks swapped always (RFC 3962 5), from a zero state."""
    encryptor = Cipher(algorithms.AES(key), modes.CBC(bytes(_BLOCK))).encryptor()
    cipher = encryptor.update(data + bytes(-len(data) % _BLOCK))
    if len(cipher) == _BLOCK:
        return cipher
    last = len(data) - (len(cipher) - _BLOCK)
    return cipher[: -2 * _BLOCK] + cipher[-_BLOCK:] + cipher[-2 * _BLOCK :][:last]


def _cts_decrypt(key: bytes, data: bytes) -> bytes:
    if len(data) == _BLOCK:
        return Cipher(algorithms.AES(key), modes.CBC(bytes(_BLOCK))).decryptor().update(data)
    last = len(data) % _BLOCK or _BLOCK
    head, swapped, tail = data[: -_BLOCK - last], data[-_BLOCK - last : -last], data[-last:]
    # The block before the last one, decrypted alone, ends with the bytes that were stolen.
    ecb = Cipher(algorithms.AES(key), modes.ECB()).decryptor()  # noqa: S305  # one block of CBC
    stolen = ecb.update(swapped)
    cipher = head + tail + stolen[last:] + swapped
    return Cipher(algorithms.AES(key), modes.CBC(bytes(_BLOCK))).decryptor().update(cipher)[: len(data)]
