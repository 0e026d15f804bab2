"""A server's certificate: what it says, and what is wrong with it."""

from __future__ import annotations

import functools
import hashlib
import ipaddress
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from credssp.diagnosis.catalogue import finding
from credssp.finding import ServerFinding
from credssp.tls.parsing import UnreadableCertificateError, reading

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

__all__ = ["CertificateFacts", "judge_certificate", "names_host", "read_certificate"]

_EXPIRING: Final = timedelta(days=30)
"""How long before its end a certificate should have been renewed: ACME clients renew at 30 days."""

_RSA_BITS: Final = 2048
_EC_BITS: Final = 224
"""Smallest keys that NIST SP 800-57 part 1 allows (112 bits of security)."""

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


def names_host(names: Collection[str], host: str) -> bool:
    """Whether one of the names means the host (RFC 9525: a wildcard is the whole left-most label)."""
    host = host.lower().rstrip(".").partition("%")[0]
    try:
        return str(ipaddress.ip_address(host)) in names
    except ValueError:
        parent = host.partition(".")[2]
        patterns = {name.lower() for name in names}
        return host in patterns or (parent.count(".") > 0 and f"*.{parent}" in patterns)


def judge_certificate(
    facts: CertificateFacts, host: str, *, also: Collection[str] = (), now: datetime | None = None
) -> Iterator[ServerFinding]:
    """Say what is wrong with a certificate.

    Args:
        facts: what it says.
        host: the name or address that was asked for.
        also: names that the server itself says it has. They count where an address was asked for, as a range of
            addresses is probed: a certificate for the server's own name is not wrong then.
        now: the time, by default now.
    """
    now = datetime.now(UTC) if now is None else now
    if facts.not_after is None or facts.not_before is None or facts.self_signed is None:
        yield finding("cert-unreadable", "The certificate cannot be read in whole.")
    if facts.not_after is not None and facts.not_before is not None:
        yield from _dates(datetime.fromisoformat(facts.not_before), datetime.fromisoformat(facts.not_after), now)
    yield from _strength(facts)
    if facts.self_signed is None:
        return
    if not _fits(facts, host, also):
        listed = ", ".join(facts.names[:5]) or f"no subjectAltName, subject {facts.subject}"
        yield finding("cert-name", f"The certificate is not for {host}: {listed}.")
    if facts.default_rdp:
        yield finding("cert-default-rdp", f"{facts.subject}, self-signed, {facts.key_type}, made by Windows itself.")
    elif facts.self_signed:
        yield finding("cert-self-signed", f"{facts.subject} is its own issuer.")


def _dates(begin: datetime, end: datetime, now: datetime) -> Iterator[ServerFinding]:
    day = f"{end:%Y-%m-%d}"
    if end < now:
        ago = (now - end).days
        yield finding("cert-expired", f"The certificate expired on {day}{f', {_days(ago)} ago' if ago else ''}.")
    elif begin > now:
        yield finding("cert-not-yet-valid", f"The certificate is valid from {begin:%Y-%m-%d %H:%M} UTC on.")
    elif end - now < _EXPIRING and end - begin > 2 * _EXPIRING:
        # Certificates that live for days are renewed by a program, whose business this is.
        yield finding("cert-expiring", f"The certificate expires on {day}, in {_days((end - now).days)}.")


def _days(count: int) -> str:
    return f"{count} day{'' if count == 1 else 's'}"


def _strength(facts: CertificateFacts) -> Iterator[ServerFinding]:
    kind = (facts.key_type or "").partition(" ")[0]
    least = {"RSA": _RSA_BITS, "DSA": _RSA_BITS, "EC": _EC_BITS}.get(kind)
    if least is not None and facts.key_size is not None and facts.key_size < least:
        yield finding("cert-weak-key", f"The certificate's key has {facts.key_size} bits ({facts.key_type}).")
    # A signature of a certificate by itself proves nothing, whatever its hash.
    if facts.signature in ("md5", "sha1") and not facts.self_signed:
        yield finding("cert-weak-signature", f"The certificate is signed with {facts.signature.upper()}.")


def _fits(facts: CertificateFacts, host: str, also: Collection[str]) -> bool:
    names = facts.names or _common_name(facts.subject or "")
    if names_host(names, host):
        return True
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return any(names_host(names, other) for other in also if other)


def _common_name(subject: str) -> tuple[str, ...]:
    """Return the common name, which RDP clients take where there is no subjectAltName: Windows' own certificate."""
    found = [part[3:] for part in subject.split(",") if part.startswith("CN=")]
    return tuple(found[:1])
