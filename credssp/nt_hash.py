"""The NT hash of a password, and MD4 for it.

OpenSSL 3 has MD4 only in its legacy provider, so Python's hashlib may not have it at all. This one runs once per
account (about 15 us), and for nothing else.
"""

from __future__ import annotations

import struct
from typing import Final

__all__ = ["md4", "nt_hash"]

# (order of the words, shifts, added constant) of the three rounds, RFC 1320 section 3.4.
_ROUNDS: Final = (
    (tuple(range(16)), (3, 7, 11, 19), 0),
    ((0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), (3, 5, 9, 13), 0x5A827999),
    ((0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15), (3, 9, 11, 15), 0x6ED9EBA1),
)
_MASK: Final = 0xFFFFFFFF


def md4(data: bytes) -> bytes:
    """Return the MD4 digest (RFC 1320)."""
    state = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)
    padded = data + b"\x80" + bytes(-(len(data) + 9) % 64) + struct.pack("<Q", len(data) * 8 & 0xFFFFFFFFFFFFFFFF)
    for start in range(0, len(padded), 64):
        words = struct.unpack_from("<16I", padded, start)
        a, b, c, d = state
        for number, (order, shifts, constant) in enumerate(_ROUNDS):
            for step, index in enumerate(order):
                if number == 0:
                    mixed = (b & c) | (~b & d)
                elif number == 1:
                    mixed = (b & c) | (b & d) | (c & d)
                else:
                    mixed = b ^ c ^ d
                value = (a + mixed + words[index] + constant) & _MASK
                shift = shifts[step & 3]
                a, b, c, d = d, ((value << shift) | (value >> (32 - shift))) & _MASK, b, c
        state = (
            (state[0] + a) & _MASK,
            (state[1] + b) & _MASK,
            (state[2] + c) & _MASK,
            (state[3] + d) & _MASK,
        )
    return struct.pack("<4I", *state)


def nt_hash(password: str) -> bytes:
    """Return NTOWFv1: MD4 over the UTF-16LE password, 16 octets ([MS-NLMP] 3.3.1)."""
    # Windows takes any 16-bit units for a password, so a lone surrogate is none of our business.
    return md4(password.encode("utf-16-le", "surrogatepass"))
