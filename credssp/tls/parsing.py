"""Certificates of peers in the hands of `cryptography`: everything it raises about them, in one place.

It reads a certificate lazily, so that any attribute may raise, and much of what it raises is not a ValueError. A
hostile server sends what it likes: OpenSSL takes a version of 5, an extension twice or an ediPartyName in
subjectAltName where it was not asked to verify.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["UnreadableCertificateError", "reading"]


class UnreadableCertificateError(ValueError):
    """`cryptography` cannot make sense of a certificate, in whole or in part; its text is the name of what it raised.

    Not for callers of the library: the code that reads a certificate turns it into an answer.
    """


@contextmanager
def reading() -> Iterator[None]:
    """Read certificates of a peer in the block.

    Raises:
        UnreadableCertificateError: whatever `cryptography` raised about one.
    """
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        yield
    except (
        ValueError,
        TypeError,
        OverflowError,
        x509.InvalidVersion,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
        UnsupportedAlgorithm,
        UserWarning,  # where the program made errors of warnings: a serial number below zero, a country of five letters
    ) as error:
        raise UnreadableCertificateError(type(error).__name__) from None
