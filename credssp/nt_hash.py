"""The NT hash of a password, and MD4 for it.

OpenSSL 3 has MD4 only in its legacy provider, so Python's hashlib may not have it at all. This one runs once per
account and login of a client (about 10 us), and for nothing else.
"""

from __future__ import annotations

import struct
from typing import Final

__all__ = ["md4", "nt_hash"]

_WORDS: Final = struct.Struct("<16I")


def md4(data: bytes) -> bytes:
    """Return the MD4 digest (RFC 1320 section 3.4).

    Four steps of a round are written out, which takes a third less than one loop over all 48: a client pays for this
    at every login. The Boolean functions are the usual shorter forms of the RFC's: z ^ x & (y ^ z) for its F, and
    x & y | z & (x | y) for its G. A rotated word keeps bits above its 32: nothing moves them down before the next mask.
    """
    m = 0xFFFFFFFF
    a, b, c, d = 0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476
    padded = data + b"\x80" + bytes(-(len(data) + 9) % 64) + struct.pack("<Q", len(data) * 8 & 0xFFFFFFFFFFFFFFFF)
    for start in range(0, len(padded), 64):
        x = _WORDS.unpack_from(padded, start)
        before = a, b, c, d
        for k in (0, 4, 8, 12):
            a = a + (d ^ b & (c ^ d)) + x[k] & m
            a = a << 3 | a >> 29
            d = d + (c ^ a & (b ^ c)) + x[k + 1] & m
            d = d << 7 | d >> 25
            c = c + (b ^ d & (a ^ b)) + x[k + 2] & m
            c = c << 11 | c >> 21
            b = b + (a ^ c & (d ^ a)) + x[k + 3] & m
            b = b << 19 | b >> 13
        for k in (0, 1, 2, 3):
            a = a + (b & c | d & (b | c)) + x[k] + 0x5A827999 & m
            a = a << 3 | a >> 29
            d = d + (a & b | c & (a | b)) + x[k + 4] + 0x5A827999 & m
            d = d << 5 | d >> 27
            c = c + (d & a | b & (d | a)) + x[k + 8] + 0x5A827999 & m
            c = c << 9 | c >> 23
            b = b + (c & d | a & (c | d)) + x[k + 12] + 0x5A827999 & m
            b = b << 13 | b >> 19
        for k in (0, 2, 1, 3):
            a = a + (b ^ c ^ d) + x[k] + 0x6ED9EBA1 & m
            a = a << 3 | a >> 29
            d = d + (a ^ b ^ c) + x[k + 8] + 0x6ED9EBA1 & m
            d = d << 9 | d >> 23
            c = c + (d ^ a ^ b) + x[k + 4] + 0x6ED9EBA1 & m
            c = c << 11 | c >> 21
            b = b + (c ^ d ^ a) + x[k + 12] + 0x6ED9EBA1 & m
            b = b << 15 | b >> 17
        a, b, c, d = a + before[0] & m, b + before[1] & m, c + before[2] & m, d + before[3] & m
    return struct.pack("<4I", a, b, c, d)


def nt_hash(password: str) -> bytes:
    """Return NTOWFv1: MD4 over the UTF-16LE password, 16 bytes ([MS-NLMP] 3.3.1)."""
    # Windows takes any 16-bit units for a password, so a lone surrogate is none of our business.
    return md4(password.encode("utf-16-le", "surrogatepass"))
