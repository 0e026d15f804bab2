"""How far a server's certificate can be trusted, without failing anything: CERT_TRUST_STATUS.

Under ISC_REQ_MANUAL_CRED_VALIDATION the handshake must go on whatever the certificate is like, and the caller asks
afterwards (SECPKG_ATTR_CERT_TRUST_STATUS). OpenSSL in Python either refuses in the handshake or tells nothing, so the
chain is judged here a second time:

* The bits come from our own walk from the leaf to a root: dates, signatures, basic constraints, key usage.
* **Trusted** is decided by the verifier of `cryptography` (RFC 5280, name constraints and all), never by the walk
  alone. If it refuses what the walk let pass, CERT_TRUST_INVALID_EXTENSION says that there is something.
* A leaf that is itself among the roots is trusted as pinned, if dates and name fit.

The name is judged apart, because CERT_TRUST_STATUS has no bit for it (CERT_E_CN_NO_MATCH in Windows). Revocation is not
looked up, as Windows does not either unless it is asked to.
"""

from __future__ import annotations

import datetime
import enum
import functools
import ipaddress
import os
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from credssp.errors import LocalProtocolError
from credssp.tls.parsing import UnreadableCertificateError, reading
from credssp.watched_file import WatchedFile

if TYPE_CHECKING:
    from os import PathLike

    from cryptography.x509 import Certificate

__all__ = [
    "CertificateTrust",
    "TrustError",
    "TrustInfo",
    "expiry_of",
    "judge",
    "read_roots",
    "roots_of",
    "stamp_of",
    "system_signature",
]

_MAX_CHAIN: Final = 10


class TrustError(enum.IntFlag):
    """CERT_TRUST_STATUS.dwErrorStatus (wincrypt.h), as far as anything here sets it."""

    NO_ERROR = 0
    IS_NOT_TIME_VALID = 0x1
    IS_NOT_SIGNATURE_VALID = 0x8
    IS_NOT_VALID_FOR_USAGE = 0x10
    IS_UNTRUSTED_ROOT = 0x20
    INVALID_EXTENSION = 0x100
    INVALID_BASIC_CONSTRAINTS = 0x400
    IS_PARTIAL_CHAIN = 0x10000


class TrustInfo(enum.IntFlag):
    """CERT_TRUST_STATUS.dwInfoStatus (wincrypt.h), as far as anything here sets it."""

    NONE = 0
    HAS_EXACT_MATCH_ISSUER = 0x1
    HAS_KEY_MATCH_ISSUER = 0x2
    HAS_NAME_MATCH_ISSUER = 0x4
    IS_SELF_SIGNED = 0x8
    HAS_PREFERRED_ISSUER = 0x100


@dataclass(frozen=True, slots=True)
class CertificateTrust:
    """What was found.

    Attributes:
        errors: what is wrong with the chain.
        info: how the leaf's issuer was found.
        name_matches: whether the leaf names the host.
    """

    errors: TrustError
    info: TrustInfo
    name_matches: bool

    @property
    def trusted(self) -> bool:
        """Whether the certificate authenticates the server."""
        return not self.errors and self.name_matches


def judge(chain: tuple[bytes, ...], host: str, roots: tuple[bytes, ...] | None = None) -> CertificateTrust:
    """Judge a chain (DER, leaf first) for a host.

    Args:
        chain: what the server sent.
        host: the name or address the client wanted.
        roots: what to trust (DER); None for the system's store.
    """
    # A verdict holds for a minute: one login does not ask twice. A date is looked at again before it refuses anybody: a
    # certificate that was made a moment ago is valid, although it was not in the middle of this minute.
    now = int(time.time())
    system = system_signature() if roots is None else None
    found = _judge(chain, host, roots, now // 60 * 60 + 30, system)
    return _judge(chain, host, roots, now, system) if found.errors & TrustError.IS_NOT_TIME_VALID else found


@functools.lru_cache(maxsize=256)
def _judge(
    chain: tuple[bytes, ...], host: str, roots: tuple[bytes, ...] | None, at: int, system: object
) -> CertificateTrust:
    from cryptography import x509

    host = host.lower().rstrip(".")
    now = datetime.datetime.fromtimestamp(at, datetime.UTC)
    anchors = _system_roots(system) if roots is None else roots
    try:
        with reading():
            certificates = [x509.load_der_x509_certificate(der) for der in chain]
            matches = _names(certificates[0], host)
            errors, info = _walk(certificates, frozenset(anchors), now)
            if not errors and matches and chain[0] not in anchors and not _verifies(certificates, host, anchors, now):
                errors |= TrustError.INVALID_EXTENSION
    except (UnreadableCertificateError, IndexError):
        # A certificate that OpenSSL could use and this parser refuses, in part or whole.
        return CertificateTrust(TrustError.INVALID_EXTENSION, TrustInfo.NONE, name_matches=False)
    return CertificateTrust(errors, info, matches)


def _walk(chain: list[Certificate], anchors: frozenset[bytes], now: datetime.datetime) -> tuple[TrustError, TrustInfo]:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    leaf = chain[0]
    errors = _usage(leaf)
    info = TrustInfo.IS_SELF_SIGNED if leaf.issuer == leaf.subject else TrustInfo.HAS_NAME_MATCH_ISSUER
    pool = chain[1:] + [x509.load_der_x509_certificate(der) for der in _by_subject(anchors, leaf, chain)]
    current = leaf
    for _ in range(_MAX_CHAIN):
        if not current.not_valid_before_utc <= now <= current.not_valid_after_utc:
            errors |= TrustError.IS_NOT_TIME_VALID
        if current.public_bytes(Encoding.DER) in anchors:
            return errors, info
        if current.issuer == current.subject:
            return errors | _signed(current, current) | TrustError.IS_UNTRUSTED_ROOT, info
        candidates = [issuer for issuer in pool if issuer.subject == current.issuer]
        if not candidates:
            return errors | TrustError.IS_PARTIAL_CHAIN, info
        good = [issuer for issuer in candidates if not _signed(current, issuer)]
        if not good:
            return errors | TrustError.IS_NOT_SIGNATURE_VALID, info
        current = good[0]
        if not _is_authority(current):
            errors |= TrustError.INVALID_BASIC_CONSTRAINTS
    return errors | TrustError.IS_PARTIAL_CHAIN, info


def _by_subject(anchors: frozenset[bytes], leaf: Certificate, chain: list[Certificate]) -> list[bytes]:
    """Return the roots that can matter: parsing a whole system store would take longer than the login."""
    from cryptography.hazmat.primitives.serialization import Encoding

    wanted = {certificate.issuer.public_bytes() for certificate in [leaf, *chain]}
    own = {certificate.public_bytes(Encoding.DER) for certificate in chain}
    return [der for der in anchors if der not in own and any(name in der for name in wanted)]


def _signed(certificate: Certificate, issuer: Certificate) -> TrustError:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return TrustError.IS_NOT_SIGNATURE_VALID
    return TrustError.NO_ERROR


def _usage(leaf: Certificate) -> TrustError:
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    try:
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return TrustError.NO_ERROR
    fits = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(usage)
    return TrustError.NO_ERROR if fits else TrustError.IS_NOT_VALID_FOR_USAGE


def _is_authority(certificate: Certificate) -> bool:
    from cryptography import x509

    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _names(leaf: Certificate, host: str) -> bool:
    """Whether subjectAltName means the host (RFC 9525: no common name, a wildcard is the whole left-most label)."""
    from cryptography import x509

    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    try:
        return ipaddress.ip_address(host) in names.get_values_for_type(x509.IPAddress)
    except ValueError:
        wanted = host
    for name in names.get_values_for_type(x509.DNSName):
        pattern = name.lower()
        if pattern == wanted:
            return True
        if pattern.startswith("*.") and pattern.count(".") > 1 and wanted.partition(".")[2] == pattern[2:]:
            return True
    return False


def _verifies(chain: list[Certificate], host: str, anchors: tuple[bytes, ...], now: datetime.datetime) -> bool:
    from cryptography import x509
    from cryptography.x509 import verification

    found = _by_subject(frozenset(anchors), chain[0], chain)
    roots = [x509.load_der_x509_certificate(der) for der in found]
    subject: verification.Subject
    try:
        subject = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        subject = x509.DNSName(host)
    try:
        verifier = (
            verification.PolicyBuilder().store(verification.Store(roots)).time(now).build_server_verifier(subject)
        )
        verifier.verify(chain[0], chain[1:])
    except (verification.VerificationError, ValueError):
        return False
    return True


def system_signature() -> object:
    """Return what changes with the system's store."""
    paths = ssl.get_default_verify_paths()
    return tuple((path, stamp_of(path)) for path in (paths.cafile, paths.capath) if path is not None)


def stamp_of(path: str | PathLike[str]) -> tuple[int, ...] | None:
    """Return what changes with a file; None where it cannot be read."""
    try:
        found = os.stat(path)  # noqa: PTH116  # half the time of Path.stat
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


@functools.lru_cache(maxsize=1)
def _system_roots(signature: object) -> tuple[bytes, ...]:  # noqa: ARG001  # for the cache
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return tuple(context.get_ca_certs(binary_form=True))


def roots_of(cafile: str | PathLike[str] | None, cadata: str | None) -> tuple[bytes, ...] | None:
    """Return the roots (DER) of a PEM file and a PEM text; None, which stands for the system's, where neither is given.

    Raises:
        LocalProtocolError: they cannot be read.
    """
    if cafile is None and cadata is None:
        return None
    return _roots_in(f"{read_roots(cafile)}\n{cadata or ''}")


@functools.lru_cache(maxsize=64)
def _roots_in(pem: str) -> tuple[bytes, ...]:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        found = x509.load_pem_x509_certificates(pem.encode())
        return tuple(certificate.public_bytes(Encoding.DER) for certificate in found)
    except ValueError:
        raise LocalProtocolError("the certificates to trust cannot be read; they must be PEM") from None


def read_roots(cafile: str | PathLike[str] | None) -> str:
    """Return what a PEM file with roots holds now; an empty text for None.

    A file that cannot be read any more, or holds no certificates, keeps what it held before (`WatchedFile`).

    Raises:
        LocalProtocolError: it could never be read.
    """
    if cafile is None:
        return ""
    try:
        return _watched_roots(os.fspath(cafile)).current()
    except OSError as error:  # OpenSSL's errors are of this kind
        why = getattr(error, "reason", None) or error.strerror or type(error).__name__
        raise LocalProtocolError(f"the certificates to trust in {cafile!s} cannot be read: {why}") from None
    except ValueError:  # what Python says of an empty file
        raise LocalProtocolError(f"{cafile!s} has no certificates to trust; they must be PEM") from None


@functools.lru_cache(maxsize=64)
def _watched_roots(cafile: str) -> WatchedFile[str]:
    def load(data: bytes) -> str:
        pem = data.decode("ascii", "ignore")  # what is between the certificates may be anything
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
        return pem

    return WatchedFile(cafile, load=load, interval=0, what="file with roots")


@functools.lru_cache(maxsize=256)
def expiry_of(certificate: bytes) -> float | None:
    """Return when a certificate (DER) ends, in seconds since 1970, or None if it cannot be read."""
    from cryptography import x509

    try:
        with reading():
            return x509.load_der_x509_certificate(certificate).not_valid_after_utc.timestamp()
    except UnreadableCertificateError:
        return None
