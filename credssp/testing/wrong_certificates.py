"""Certificates of test servers that a client which checks them must refuse, each for one reason alone.

All are issued by an authority that the client is to trust for the test: what is refused then is refused for its fault,
and not because the client does not know who signed it. ``good`` is the control, with nothing wrong.
"""

from __future__ import annotations

import datetime
import functools
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from credssp.errors import LocalProtocolError
from credssp.secret import Secret
from credssp.tls.certificate import ServerCertificate

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import rsa

__all__ = ["CertificateKind", "TrialCertificate", "check_kind", "wrong_certificate"]

CertificateKind: TypeAlias = Literal["good", "expired", "weak", "other-name"]
"""``good``: for localhost, 127.0.0.1 and ::1. ``expired``: the same, until yesterday. ``weak``: the same, with an RSA
key of 1024 bits, which OpenSSL refuses from its security level 2 on. ``other-name``: good, for another host."""

_HOSTS: Final = ("localhost", "127.0.0.1", "::1")
_OTHER: Final = ("another-host.invalid",)  # RFC 2606
_DAY: Final = datetime.timedelta(days=1)
_BITS: Final = 2048
_WEAK_BITS: Final = 1024
"""A hash that is too weak would do as well, but cryptography signs with SHA-1 no more."""


@dataclass(frozen=True, slots=True)
class TrialCertificate:
    """A certificate and who issued it.

    Attributes:
        certificate: the certificate with its key.
        authority: the authority's certificate, PEM.
    """

    certificate: ServerCertificate
    authority: bytes


def check_kind(kind: str) -> None:
    """Raise LocalProtocolError where there is no certificate of this kind."""
    kinds = get_args(CertificateKind)
    if kind not in kinds:
        raise LocalProtocolError(f"certificate {kind!r}: not one of {', '.join(kinds)}")


@functools.cache
def wrong_certificate(kind: CertificateKind) -> TrialCertificate:
    """Return a certificate of this kind, made once.

    Raises:
        LocalProtocolError: there is no such kind.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    check_kind(kind)
    authority, issuer = _authority()
    key = rsa.generate_private_key(65537, _WEAK_BITS if kind == "weak" else _BITS)
    hosts = _OTHER if kind == "other-name" else _HOSTS
    end = datetime.datetime.now(datetime.UTC) + (-_DAY if kind == "expired" else 30 * _DAY)
    leaf = _issue(hosts, key, (authority, issuer), end)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = serialization.Encoding.PEM
    return TrialCertificate(
        ServerCertificate(leaf.public_bytes(pem) + authority.public_bytes(pem), Secret(private)),
        authority.public_bytes(pem),
    )


@functools.cache
def _authority() -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, _BITS)
    return _issue((), key, None, datetime.datetime.now(datetime.UTC) + 30 * _DAY), key


def _issue(
    hosts: tuple[str, ...],
    key: rsa.RSAPrivateKey,
    issuer: tuple[x509.Certificate, rsa.RSAPrivateKey] | None,
    end: datetime.datetime,
) -> x509.Certificate:
    """Issue a certificate for hosts, or without an issuer that of the authority."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, hosts[0] if hosts else "credssp test authority")])
    parent, signer = (name, key) if issuer is None else (issuer[0].subject, issuer[1])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(parent)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # Long enough ago for an expired one to have been valid.
        .not_valid_before(end - 60 * _DAY)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(_usage(signs=issuer is None), critical=True)
    )
    if hosts:
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        purpose = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(names, critical=False).add_extension(purpose, critical=False)
    return builder.sign(signer, hashes.SHA256())


def _usage(*, signs: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=not signs,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
