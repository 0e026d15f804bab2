"""How much room a TLS record needs around its plaintext, for each kind of cipher.

SECPKG_ATTR_STREAM_SIZES promises it before anything is encrypted. What a record looks like follows from the version
and the suite (RFC 8446 section 5.2, RFC 5246 section 6.2.3):

=====================  ===============================  ==========================================
suite                  before                           after
=====================  ===============================  ==========================================
TLS 1.3, any           header 5                         content type 1, tag 16 (8 for CCM_8)
1.2 GCM, CCM, ARIA     header 5, explicit nonce 8       tag 16 (8 for CCM8)
1.2 ChaCha20           header 5                         tag 16
1.1, 1.2 CBC           header 5, IV of one block        MAC, and padding of up to one block
1.0 CBC                header 5                         MAC, and padding of up to one block
=====================  ===============================  ==========================================

`TLSChannel.stream_sizes` compares this with the records that the session itself has produced.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final

from credssp.tls.record import HEADER_SIZE, MAX_PLAINTEXT

__all__ = ["StreamSizes"]

_EXPLICIT_NONCE: Final = 8
_TAG: Final = 16
_SHORT_TAG: Final = 8
_CONTENT_TYPE: Final = 1

# HMAC at the end of the suite's name; "-SHA" alone is SHA-1.
_MACS: Final = {"SHA": 20, "SHA256": 32, "SHA384": 48, "MD5": 16}


@dataclass(frozen=True, slots=True)
class StreamSizes:
    """Bytes around the plaintext of one record.

    Attributes:
        header: in front of the plaintext.
        trailer: after it, at most.
        block: block size of the cipher, 1 for a stream cipher or an AEAD.
        maximum: plaintext that one record takes.
    """

    header: int
    trailer: int
    block: int
    maximum: int = MAX_PLAINTEXT

    @classmethod
    @functools.cache
    def of(cls, protocol: str, cipher: str) -> StreamSizes:
        """Return the sizes for a version (``TLSv1.3``) and a suite in OpenSSL's spelling."""
        short = cipher.endswith(("CCM8", "CCM_8_SHA256"))
        tag = _SHORT_TAG if short else _TAG
        if protocol == "TLSv1.3":
            return cls(HEADER_SIZE, _CONTENT_TYPE + tag, 1)
        if "CHACHA20" in cipher:
            return cls(HEADER_SIZE, tag, 1)
        if "GCM" in cipher or "CCM" in cipher:
            return cls(HEADER_SIZE + _EXPLICIT_NONCE, tag, 1)
        mac = _MACS.get(cipher.rpartition("-")[2], max(_MACS.values()))
        if "NULL" in cipher:
            return cls(HEADER_SIZE, mac, 1)
        block = 8 if "CBC3" in cipher or "3DES" in cipher else 16
        # TLS 1.0 continues with the last block of the record before in place of an IV.
        return cls(HEADER_SIZE if protocol == "TLSv1" else HEADER_SIZE + block, mac + block, block)

    def covering(self, overhead: int) -> StreamSizes:
        """Return sizes that also cover a record that was seen with this many bytes around its plaintext."""
        missing = overhead - self.header - self.trailer
        return self if missing <= 0 else StreamSizes(self.header, self.trailer + missing, self.block, self.maximum)
