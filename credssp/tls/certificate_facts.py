"""What a server's certificate says, as every command shows it."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from credssp.tls.parsing import UnreadableCertificateError, reading

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

__all__ = ["CertificateFacts", "read_certificate"]

_DEFAULT_LIFE: Final = timedelta(days=200)
"""The certificate that Windows makes for RDP is valid for six months."""


@dataclass(slots=True)
class CertificateFacts:
    """What a certificate says; None and empty where it cannot be read.

    Attributes:
        subject: its subject (RFC 4514).
        issuer: its issuer.
        not_before: ISO 8601, UTC.
        not_after: ISO 8601, UTC.
        sha256: SHA-256 of the DER, 64 hexadecimal digits.
        key_type: kind and size of its key, such as ``RSA 2048``.
        sha1: SHA-1 of the DER, as Windows shows it as the thumbprint; 40 hexadecimal digits. For comparing only.
        serial: serial number, hexadecimal, two digits for each byte.
        names: DNS names and addresses of subjectAltName.
        key_size: bits of the key, or None.
        signature: its signature's hash, such as ``sha256``; empty where the algorithm has none of its own.
        self_signed: whether subject and issuer are the same.
        default_rdp: whether it looks like the one that Windows makes for RDP.
    """

    sha256: str
    sha1: str
    subject: str | None = None
    issuer: str | None = None
    not_before: str | None = None
    not_after: str | None = None
    key_type: str | None = None
    key_size: int | None = None
    serial: str | None = None
    names: tuple[str, ...] = ()
    signature: str | None = None
    self_signed: bool | None = None
    default_rdp: bool | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self) | {"names": list(self.names)}


@functools.lru_cache(maxsize=64)
def read_certificate(certificate: bytes) -> CertificateFacts:
    """Read a certificate in DER; certificates in the wild have names and dates that no standard knows.

    The facts are shared by all who ask for this certificate: not to be changed.
    """
    from cryptography import x509

    facts = CertificateFacts(
        hashlib.sha256(certificate).hexdigest(), hashlib.sha1(certificate, usedforsecurity=False).hexdigest()
    )
    try:
        with reading():
            _read(facts, x509.load_der_x509_certificate(certificate))
    except UnreadableCertificateError:
        pass
    return facts


def _read(facts: CertificateFacts, parsed: Certificate) -> None:
    """Read one by one, so that what comes before something unreadable is there."""
    from cryptography import x509

    facts.key_type, facts.key_size = _key(parsed)
    facts.not_before = parsed.not_valid_before_utc.isoformat()
    facts.not_after = parsed.not_valid_after_utc.isoformat()
    digits = f"{parsed.serial_number:x}"
    facts.serial = digits.zfill(len(digits) + len(digits) % 2)  # whole bytes, as openssl and Windows show it
    facts.subject = parsed.subject.rfc4514_string()
    facts.issuer = parsed.issuer.rfc4514_string()
    facts.self_signed = parsed.issuer == parsed.subject
    digest = parsed.signature_hash_algorithm
    facts.signature = "" if digest is None else digest.name
    try:
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        facts.names = tuple(
            map(str, [*names.get_values_for_type(x509.DNSName), *names.get_values_for_type(x509.IPAddress)])
        )
    except x509.ExtensionNotFound:
        pass
    facts.default_rdp = facts.self_signed and not facts.names and _like_windows(parsed)


def _key(parsed: Certificate) -> tuple[str, int | None]:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    key = parsed.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}", key.key_size
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {key.curve.name}", key.key_size
    return type(key).__name__.removesuffix("PublicKey").lstrip("_"), getattr(key, "key_size", None)


def _like_windows(parsed: Certificate) -> bool:
    """Whether a self-signed certificate without subjectAltName is what termsrv makes: half a year, for key exchange."""
    from cryptography import x509

    if parsed.not_valid_after_utc - parsed.not_valid_before_utc > _DEFAULT_LIFE:
        return False
    try:
        usage = parsed.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return usage.key_encipherment and usage.data_encipherment and not usage.digital_signature
