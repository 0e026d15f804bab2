"""SECPKG_ATTR_CONNECTION_INFO from the name of a cipher suite (ALG_IDs of wincrypt.h)."""

from __future__ import annotations

from typing import Final

from credssp.sspi import constants as c
from credssp.sspi.structures import SecPkgContext_ConnectionInfo

__all__ = ["connection_info"]

_PROTOCOLS: Final = {
    "TLSv1.2": (c.SP_PROT_TLS1_2_SERVER, c.SP_PROT_TLS1_2_CLIENT),
    "TLSv1.3": (c.SP_PROT_TLS1_3_SERVER, c.SP_PROT_TLS1_3_CLIENT),
}
# Parts of a suite's name, the first that fits.
_CIPHERS: Final = (
    (("AES256", "AES_256"), 0x6610),  # CALG_AES_256
    (("AES128", "AES_128"), 0x660E),  # CALG_AES_128
    (("3DES", "CBC3"), 0x6603),  # CALG_3DES
)
_HASHES: Final = (("SHA384", 0x800D, 384), ("SHA256", 0x800C, 256), ("SHA", 0x8004, 160))
_AEAD: Final = ("GCM", "CCM", "CHACHA20")
_EXCHANGES: Final = (("ECDHE", 0xAE06), ("DHE", 0xAA02))
_RSA_KEYX: Final = 0xA400


def connection_info(protocol: str, suite: str, bits: int, *, client: bool) -> SecPkgContext_ConnectionInfo:
    """Return the structure for a TLS version and a suite in OpenSSL's spelling."""
    tls13 = protocol == "TLSv1.3"
    cipher = next((number for names, number in _CIPHERS if any(name in suite for name in names)), 0)
    hashing, hash_bits = 0, 0
    if not tls13 and not any(mode in suite for mode in _AEAD):
        hashing, hash_bits = next(((number, size) for name, number, size in _HASHES if suite.endswith(name)), (0, 0))
    # TLS 1.3 always agrees on its keys with (EC)DHE.
    exchange = 0xAE06 if tls13 else next((number for name, number in _EXCHANGES if name in suite), _RSA_KEYX)
    return SecPkgContext_ConnectionInfo(
        protocol=_PROTOCOLS.get(protocol, (0, 0))[client],
        cipher=cipher,
        cipher_strength=bits,
        hash=hashing,
        hash_strength=hash_bits,
        exchange=exchange,
        exchange_strength=0,
        suite=suite,
    )
