"""The functions of NTLMv2 and of its session security ([MS-NLMP] 3.3.2, 3.4.5, 6).

All of them are MD5, HMAC-MD5 and RC4 because the protocol says so; inside CredSSP, TLS protects the same bytes too.
So MD5 is asked for with ``usedforsecurity=False``, which FIPS mode admits, and where OpenSSL has no RC4 (no legacy
provider, or FIPS mode) the one below takes its place. MD4 is `credssp.nt_hash.md4` everywhere.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Callable
from typing import Final

from credssp.account import upper_case
from credssp.channel_bindings import ChannelBindings
from credssp.errors import LocalRestrictionError

__all__ = [
    "CLIENT_SEALING",
    "CLIENT_SIGNING",
    "SERVER_SEALING",
    "SERVER_SIGNING",
    "KeyStream",
    "channel_bindings_hash",
    "check_md5",
    "derive_key",
    "has_rc4",
    "hmac_md5",
    "md5",
    "ntowfv2",
    "own_rc4",
    "rc4",
    "rc4_stream",
    "upper_forms",
    "xor",
]

# [MS-NLMP] 3.4.5.2, 3.4.5.3: the NUL at the end counts.
CLIENT_SIGNING: Final = b"session key to client-to-server signing key magic constant\0"
SERVER_SIGNING: Final = b"session key to server-to-client signing key magic constant\0"
CLIENT_SEALING: Final = b"session key to client-to-server sealing key magic constant\0"
SERVER_SEALING: Final = b"session key to server-to-client sealing key magic constant\0"

_BLOCK: Final = 64
_INNER: Final = bytes(octet ^ 0x36 for octet in range(256))
_OUTER: Final = bytes(octet ^ 0x5C for octet in range(256))


md5 = functools.partial(hashlib.md5, usedforsecurity=False)
"""MD5 as the protocol requires it, available in FIPS mode."""


def hmac_md5(key: bytes, data: bytes) -> bytes:
    """Return HMAC_MD5(key, data), 16 bytes."""
    # RFC 2104 in so many words: FIPS mode refuses HMAC over MD5, though not MD5 itself, and `hmac.digest` looks its
    # algorithm up anew in each of the nine calls that a side makes.
    if len(key) > _BLOCK:
        key = md5(key).digest()
    key = key.ljust(_BLOCK, b"\0")
    inner = hashlib.md5(key.translate(_INNER) + data, usedforsecurity=False).digest()
    return hashlib.md5(key.translate(_OUTER) + inner, usedforsecurity=False).digest()


@functools.cache
def check_md5() -> None:
    """Find out whether there is MD5.

    Raises:
        LocalRestrictionError: there is none.
    """
    try:
        md5(b"")
    except ValueError:
        raise LocalRestrictionError(
            "NTLM is made of MD5, and Python has none on this machine, not even where it is not used for security",
            restriction="MD5",
            advice="Log on with Kerberos, or use a Python whose hashlib has MD5.",
        ) from None


def has_rc4() -> bool:
    """Whether OpenSSL has RC4; NTLM has its own otherwise."""
    return _arc4() is not own_rc4


def derive_key(exported_session_key: bytes, magic: bytes) -> bytes:
    """Return SIGNKEY or SEALKEY for extended session security and 128 bits ([MS-NLMP] 3.4.5.2, 3.4.5.3)."""
    return md5(exported_session_key + magic).digest()


@functools.cache
def _arc4() -> Callable[[bytes], Callable[[bytes], bytes]]:
    # Loaded at the first login: this brings OpenSSL in, which costs 10 ms that `import credssp` need not pay.
    from cryptography.exceptions import InternalError, UnsupportedAlgorithm
    from cryptography.hazmat.decrepit.ciphers.algorithms import ARC4
    from cryptography.hazmat.primitives.ciphers import Cipher

    try:
        Cipher(ARC4(bytes(16)), None).encryptor().update(b"\0")
    except (UnsupportedAlgorithm, InternalError, ValueError):  # where default_properties ask for FIPS, the second
        return own_rc4
    return lambda key: Cipher(ARC4(key), None).encryptor().update


def own_rc4(key: bytes) -> Callable[[bytes], bytes]:
    """Return an RC4 handle in plain Python, for where OpenSSL has none: 60 us to make, 3 MB/s."""
    state = list(range(256))
    j = 0
    for i, octet in enumerate(itertools.islice(itertools.cycle(key), 256)):
        j = j + state[i] + octet & 255
        state[i], state[j] = state[j], state[i]
    i = j = 0

    def update(data: bytes) -> bytes:
        nonlocal i, j
        stream = bytearray(len(data))
        for position in range(len(data)):
            i = i + 1 & 255
            a = state[i]
            j = j + a & 255
            state[i] = b = state[j]
            state[j] = a
            stream[position] = state[a + b & 255]
        return xor(data, bytes(stream))

    return update


def rc4_stream(key: bytes) -> Callable[[bytes], bytes]:
    """Return an RC4 handle: each call goes on where the last one stopped."""
    return _arc4()(key)


class KeyStream:
    """An RC4 handle that can also look ahead: what `peek` encrypts does not move it on.

    A second handle with the same key would do the same, but each takes 3 us to make, and a login would need four more.
    """

    __slots__ = ("_ahead", "_update")

    def __init__(self, key: bytes) -> None:
        self._update = _arc4()(key)
        self._ahead = b""  # of the key stream, bytes that were peeked at

    def __call__(self, data: bytes) -> bytes:
        """Encrypt or decrypt, and go on."""
        ahead = self._ahead
        if not ahead:
            return self._update(data)
        size = min(len(ahead), len(data))
        self._ahead = ahead[size:]
        return xor(data[:size], ahead[:size]) + self._update(data[size:])

    def peek(self, data: bytes) -> bytes:
        """Encrypt or decrypt without going on."""
        if len(self._ahead) < len(data):
            self._ahead += self._update(bytes(len(data) - len(self._ahead)))
        return xor(data, self._ahead[: len(data)])

    def put_back(self, stream: bytes) -> None:
        """Give key stream back that was used last and turned out not to be due."""
        self._ahead = stream + self._ahead


def xor(left: bytes, right: bytes) -> bytes:
    """Return the bits of two strings of one length that differ."""
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(len(left), "big")


def rc4(key: bytes, data: bytes) -> bytes:
    """Return RC4K(key, data) ([MS-NLMP] 6)."""
    return rc4_stream(key)(data)


def upper_forms(name: str) -> tuple[str, ...]:
    """Return the user name in upper case, in the forms that clients compute; Windows' first (`upper_case`).

    The C library's ``towupper``, which FreeRDP uses, maps more letters one to one than Windows does, and Python (so
    pyspnego and impacket) also applies the mappings that make a name longer (``ß`` to ``SS``). What comes out depends
    on what the client sent alone, never on the accounts.
    """
    if name.isascii():
        return (name.upper(),)
    windows, full = upper_case(name), name.upper()
    simple = "".join(upper if len(upper := char.upper()) == 1 else char for char in name)
    # Windows 7 and later leave the final sigma as it is (RtlUpcaseUnicodeChar), all others make it a capital.
    final_sigma = "ς".join(map(upper_case, name.split("ς")))
    return tuple(dict.fromkeys((windows, final_sigma, simple, full)))


def ntowfv2(nt_hash: bytes, upper_user: str, domain: str) -> bytes:
    """Return NTOWFv2, the key of everything in NTLMv2 ([MS-NLMP] 3.3.2).

    Args:
        nt_hash: NTOWFv1, see `credssp.nt_hash.nt_hash`.
        upper_user: the user name in upper case, see `credssp.account.upper_case` and `upper_forms`.
        domain: the domain as it is sent, not in upper case.
    """
    return hmac_md5(nt_hash, (upper_user + domain).encode("utf-16-le", "surrogatepass"))


def channel_bindings_hash(application_data: bytes) -> bytes:
    """Return MsvAvChannelBindings: MD5 over gss_channel_bindings_struct without addresses ([MS-NLMP] 2.2.2.1).

    Args:
        application_data: ``tls-server-end-point:`` and the hash of the certificate, say (RFC 5929 section 4).
    """
    return md5(ChannelBindings(application_data).encoded).digest()
