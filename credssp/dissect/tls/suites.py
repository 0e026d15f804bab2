"""Cipher suites by number: their names, and of which parts those that can be opened are made.

Numbers and names are those of the IANA registry of TLS parameters. What TLS peers of today negotiate is here, and with
AES-CBC what old Windows systems do; RC4 and 3DES are known by name only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["Suite", "find_suite", "suite_name"]

Cipher = Literal["gcm", "ccm", "ccm8", "chacha20", "cbc"]


@dataclass(frozen=True, slots=True)
class Suite:
    """What must be known of a suite to open its records.

    Attributes:
        name: name in the registry.
        exchange: key exchange: ``RSA``, ``DHE``, ``ECDHE``, or ``1.3`` where the suite says nothing about it.
        cipher: how records are protected.
        key_size: bytes of the cipher's key.
        digest: hash of the key schedule; of TLS 1.2's PRF.
        mac: hash of the record MAC with CBC, else an empty string.
    """

    name: str
    exchange: str
    cipher: Cipher
    key_size: int
    digest: str
    mac: str = ""


_SUITES: Final[dict[int, Suite]] = {
    0x1301: Suite("TLS_AES_128_GCM_SHA256", "1.3", "gcm", 16, "sha256"),
    0x1302: Suite("TLS_AES_256_GCM_SHA384", "1.3", "gcm", 32, "sha384"),
    0x1303: Suite("TLS_CHACHA20_POLY1305_SHA256", "1.3", "chacha20", 32, "sha256"),
    0x1304: Suite("TLS_AES_128_CCM_SHA256", "1.3", "ccm", 16, "sha256"),
    0x1305: Suite("TLS_AES_128_CCM_8_SHA256", "1.3", "ccm8", 16, "sha256"),
}

# For each way to exchange keys, the numbers of the suites with the protections of `_PROTECTIONS`, in that order.
_PROTECTIONS: Final[tuple[tuple[str, Cipher, int, str, str], ...]] = (
    ("AES_128_CBC_SHA", "cbc", 16, "sha256", "sha1"),
    ("AES_256_CBC_SHA", "cbc", 32, "sha256", "sha1"),
    ("AES_128_CBC_SHA256", "cbc", 16, "sha256", "sha256"),
    ("AES_256_CBC_SHA256", "cbc", 32, "sha256", "sha256"),
    ("AES_256_CBC_SHA384", "cbc", 32, "sha384", "sha384"),
    ("AES_128_GCM_SHA256", "gcm", 16, "sha256", ""),
    ("AES_256_GCM_SHA384", "gcm", 32, "sha384", ""),
    ("AES_128_CCM", "ccm", 16, "sha256", ""),
    ("AES_256_CCM", "ccm", 32, "sha256", ""),
    ("AES_128_CCM_8", "ccm8", 16, "sha256", ""),
    ("AES_256_CCM_8", "ccm8", 32, "sha256", ""),
    ("CHACHA20_POLY1305_SHA256", "chacha20", 32, "sha256", ""),
)
_NUMBERS: Final = {
    "RSA": (0x2F, 0x35, 0x3C, 0x3D, 0, 0x9C, 0x9D, 0xC09C, 0xC09D, 0xC0A0, 0xC0A1, 0),
    "DHE_RSA": (0x33, 0x39, 0x67, 0x6B, 0, 0x9E, 0x9F, 0xC09E, 0xC09F, 0xC0A2, 0xC0A3, 0xCCAA),
    "ECDHE_RSA": (0xC013, 0xC014, 0xC027, 0, 0xC028, 0xC02F, 0xC030, 0, 0, 0, 0, 0xCCA8),
    "ECDHE_ECDSA": (0xC009, 0xC00A, 0xC023, 0, 0xC024, 0xC02B, 0xC02C, 0xC0AC, 0xC0AD, 0xC0AE, 0xC0AF, 0xCCA9),
}
_SUITES.update(
    {
        number: Suite(f"TLS_{exchange}_WITH_{name}", exchange.partition("_")[0], cipher, size, digest, mac)
        for exchange, numbers in _NUMBERS.items()
        for number, (name, cipher, size, digest, mac) in zip(numbers, _PROTECTIONS, strict=True)
        if number
    }
)

_NAMES_ONLY: Final = {
    0x0004: "TLS_RSA_WITH_RC4_128_MD5",
    0x0005: "TLS_RSA_WITH_RC4_128_SHA",
    0x000A: "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    0xC008: "TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA",
    0xC012: "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    0xC011: "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
}


def find_suite(number: int) -> Suite | None:
    """Return what is known of a suite, or None if its records cannot be opened here."""
    return _SUITES.get(number)


def suite_name(number: int) -> str:
    """Return the name of a suite, or its number."""
    suite = _SUITES.get(number)
    return suite.name if suite else _NAMES_ONLY.get(number, f"0x{number:04X}")
