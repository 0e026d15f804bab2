"""What OpenSSL, as it is set up on this machine, does not allow: a peer is not to blame for it.

openssl.cnf has a minimum and a maximum of the TLS version (MinProtocol, MaxProtocol), and a security level
(``CipherString = DEFAULT@SECLEVEL=3``) that says how strong keys and hashes of certificates are at least. The Python of
Linux distributions follows it; those of python.org and pyenv take a minimum of TLS 1.2 and level 2 whatever it says. In
FIPS mode there are fewer algorithms.
"""

from __future__ import annotations

import functools
import ssl
from typing import Final

from credssp.errors import LocalRestrictionError, TLSError
from credssp.next_step import NextStep
from credssp.status import SecurityStatus

__all__ = [
    "RSA_BITS",
    "base_context",
    "certificate_refused",
    "check_memory",
    "handshake_refused",
    "peer_certificate_refused",
    "rsa_bits",
    "security_level",
]

RSA_BITS: Final = {0: 0, 1: 1024, 2: 2048, 3: 3072, 4: 7680, 5: 15360}
"""The smallest RSA key of each security level (SSL_CTX_set_security_level(3))."""


def rsa_bits(level: int) -> int:
    """Return the size of an RSA key that is made here: what every peer takes, or what the security level wants."""
    return max(2048, RSA_BITS.get(level, 0))


_TOO_WEAK: Final = {
    "EE_KEY_TOO_SMALL": "its key is too small",
    "CA_KEY_TOO_SMALL": "the key of an issuer is too small",
    "CA_MD_TOO_WEAK": "it is signed with a hash that is too weak",
}
"""What is wrong with a certificate, by OpenSSL's reason; the level decides."""

_HANDSHAKE: Final = {
    "DH_KEY_TOO_SMALL": "the peer's Diffie-Hellman group is too small",
    "NO_CIPHERS_AVAILABLE": "no cipher is left for these TLS versions (CipherString, Ciphersuites, FIPS mode)",
    "NO_PROTOCOLS_AVAILABLE": "no TLS version is left (MinProtocol, MaxProtocol)",
}
"""The same for handshakes."""

_ADVICE: Final = "See CipherString, MinProtocol and MaxProtocol in openssl.cnf; credssp doctor shows what is in force."


def check_memory(error: BaseException, *, during: str) -> None:
    """Raise TLSError (SEC_E_INSUFFICIENT_MEMORY) if OpenSSL failed since it got no memory.

    Python has no name for that reason; the text is OpenSSL's (ERR_R_MALLOC_FAILURE). Often OpenSSL adds an "internal
    error" to it, and Python shows the last one alone: then OpenSSL is asked for memory once more.

    Args:
        error: what the ssl module raised.
        during: what was going on, for the text, such as ``TLS handshake``.
    """
    text = str(error).lower().replace("_", " ") if isinstance(error, ssl.SSLError) else ""
    if "malloc failure" in text or ("internal error" in text and not _gets_memory()):
        raise TLSError(
            f"the {during} failed: OpenSSL got no memory",
            reason="MALLOC_FAILURE",
            status=SecurityStatus.SEC_E_INSUFFICIENT_MEMORY,
            advice=NextStep.MEMORY,
        ) from None


def _gets_memory() -> bool:
    """Whether OpenSSL gets a little memory."""
    try:
        ssl.MemoryBIO().write(b"-" * 4096)
    except (MemoryError, ssl.SSLError):
        return False
    return True


def base_context(protocol: int) -> ssl.SSLContext:
    """Return a context as the system wants it.

    Raises:
        LocalRestrictionError: OpenSSL has no ciphers at all.
    """
    try:
        return ssl.SSLContext(protocol)
    except ssl.SSLError as error:
        check_memory(error, during="TLS setup")
        raise LocalRestrictionError(
            f"OpenSSL cannot be used as it is set up on this machine: {_words(error.reason)}",
            restriction=error.reason or "OpenSSL",
            advice="See providers and default_properties in openssl.cnf; a provider may be missing (FIPS mode).",
        ) from None


@functools.cache  # OpenSSL reads its configuration once
def security_level() -> int:
    """Return the security level that the system wants, 0 to 5.

    Raises:
        LocalRestrictionError: as `base_context`.
    """
    return base_context(ssl.PROTOCOL_TLS_SERVER).security_level


def certificate_refused(reason: str, level: int, *, whose: str) -> LocalRestrictionError | None:
    """Return the error for a certificate that is too weak for a level; None where something else is wrong with it.

    Args:
        reason: OpenSSL's.
        level: the security level.
        whose: which certificate, for the text.
    """
    what = _TOO_WEAK.get(reason)
    if what is None:
        return None
    return LocalRestrictionError(
        f"{whose} is not allowed at security level {level} of OpenSSL, which is in force here: {what} ({reason})",
        restriction=f"security level {level}",
        advice=f"Use a key of RSA with {RSA_BITS.get(level, 0)} bits or more, or an elliptic curve, and SHA-256 or "
        "better; the level is in CipherString of openssl.cnf, or in the ciphers that were asked for.",
    )


def peer_certificate_refused(reason: str, level: int, *, whose: str) -> LocalRestrictionError | None:
    """Return the same for a peer's certificate, which has to be replaced: nothing is to be allowed here for it."""
    refused = certificate_refused(reason, level, whose=whose)
    if refused is not None:
        refused.advice = (
            f"Have that certificate replaced: it needs an RSA key of {RSA_BITS.get(level, 0)} bits or more, or an "
            "elliptic curve, and SHA-256 or better. CipherString of openssl.cnf has the level; do not lower it for one "
            "peer."
        )
    return refused


def handshake_refused(reason: str, level: int) -> LocalRestrictionError | None:
    """Return the error for a handshake that failed because of this machine; None where that is not the cause."""
    refused = peer_certificate_refused(reason, level, whose="the peer's certificate")
    what = _HANDSHAKE.get(reason)
    if refused is not None or what is None:
        return refused
    return LocalRestrictionError(
        f"OpenSSL does not allow this TLS handshake on this machine (security level {level}): {what}",
        restriction=reason,
        advice=_ADVICE,
    )


def _words(reason: str | None) -> str:
    return (reason or "unknown reason").lower().replace("_", " ")
