"""The key that secure strings are encrypted with ([MS-PSRP] 2.2.2.3, 2.2.2.4), in the blobs of Windows' CryptoAPI.

Clients that send a secure string want such a key first. The double makes one for each that asks, and forgets it: it
does not open secure strings, whose text is ``System.Security.SecureString`` in PowerShell, too.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import struct
from typing import Final

from cryptography.hazmat.primitives.asymmetric import padding, rsa

from credssp.errors import DecodeError

__all__ = ["encrypted_session_key"]

_BITS: Final = 2048
_KEY_SIZE: Final = 32  # AES-256
_PUBLIC: Final = struct.Struct("<4s4s4sII")
# PUBLICKEYSTRUC of a PUBLICKEYBLOB and of a SIMPLEBLOB ([MS-MQQB] names the fields; wincrypt.h): type, version,
# reserved; then the algorithm of the key: CALG_RSA_KEYX, CALG_AES_256.
_PUBLIC_KEY_BLOB: Final = b"\x06\x02\0\0"
_SIMPLE_BLOB: Final = b"\x01\x02\0\0"
_RSA: Final = b"\x00\xa4\0\0"
_AES: Final = b"\x10\x66\0\0"
_MAX_TEXT: Final = 4096


def encrypted_session_key(public_key: str) -> str:
    """Return a new key for a client, encrypted with its public key, in base64.

    Args:
        public_key: the PublicKey of its PUBLIC_KEY message: base64 of a PUBLICKEYBLOB with an RSA key of 2048 bits.

    Raises:
        DecodeError: it is not that.
    """
    try:
        blob = base64.b64decode(public_key if len(public_key) <= _MAX_TEXT else "", validate=True)
        kind, algorithm, magic, bits, exponent = _PUBLIC.unpack_from(blob)
        modulus = blob[_PUBLIC.size :]
        if (kind, algorithm, magic, bits) != (_PUBLIC_KEY_BLOB, _RSA, b"RSA1", _BITS) or len(modulus) != _BITS // 8:
            raise ValueError
        key = rsa.RSAPublicNumbers(exponent, int.from_bytes(modulus, "little")).public_key()
        encrypted = key.encrypt(secrets.token_bytes(_KEY_SIZE), padding.PKCS1v15())
    except (binascii.Error, ValueError, struct.error):
        raise DecodeError(f"not the blob of an RSA key of {_BITS} bits", field="PublicKey") from None
    return base64.b64encode(_SIMPLE_BLOB + _AES + _RSA + encrypted[::-1]).decode("ascii")
