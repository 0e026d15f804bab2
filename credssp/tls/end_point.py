"""Channel bindings of a TLS channel that is around another one (RFC 5929 section 4, ``tls-server-end-point``)."""

from __future__ import annotations

from typing import Final

__all__ = ["end_point_bindings"]

_PREFIX: Final = b"tls-server-end-point:"


def end_point_bindings(certificate: bytes) -> bytes | None:
    """Return the application data of the bindings to a server's certificate.

    The hash is that of the certificate's signature, with SHA-256 in place of MD5 and SHA-1 (RFC 5929 section 4.1).

    Args:
        certificate: the certificate, DER.

    Returns:
        The data; None where RFC 5929 defines none, for a signature without a hash of its own (Ed25519), or where the
        certificate does not parse.
    """
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes

    try:
        parsed = x509.load_der_x509_certificate(certificate)
        algorithm = parsed.signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm):
        return None
    if algorithm is None:
        return None
    if isinstance(algorithm, hashes.MD5 | hashes.SHA1):
        algorithm = hashes.SHA256()
    return _PREFIX + parsed.fingerprint(algorithm)
