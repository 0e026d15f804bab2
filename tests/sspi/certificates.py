"""Certificates that the tests make: an authority, leaves of it, and the ways in which they can be wrong."""

from __future__ import annotations

import datetime
import functools
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from credssp.secret import Secret
from credssp.tls.certificate import ServerCertificate

DAY = datetime.timedelta(days=1)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """A root and what it issues."""

    def __init__(self, name: str = "Test Root", parent: Authority | None = None, *, ca: bool = True) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = _name(name)
        issuer = parent or self
        self.parent = parent
        builder = _builder(self.name, issuer.name, self.key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(usage, critical=True)
        builder = _identified(builder, self.key, issuer.key)
        self.certificate = builder.sign(issuer.key, hashes.SHA256())

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def issue(
        self,
        *names: str,
        server: bool = True,
        expired: bool = False,
        usage: x509.ObjectIdentifier | None = None,
        extra: Any = None,
        forged: bool = False,
    ) -> ServerCertificate:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name("leaf"), self.name, key.public_key(), expired=expired)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names or ("srv.lab.test",)]), critical=False
        )
        default = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage or default]), critical=False)
        if extra is not None:
            builder = builder.add_extension(extra, critical=True)
        builder = _identified(builder, key, self.key)
        signer = ec.generate_private_key(ec.SECP256R1()) if forged else self.key
        leaf = builder.sign(signer, hashes.SHA256())
        pem = leaf.public_bytes(serialization.Encoding.PEM)
        if self.parent is not None:
            pem += self.pem.encode()
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return ServerCertificate(pem, Secret(private))


def _builder(subject: x509.Name, issuer: x509.Name, key: Any, *, expired: bool = False) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    end = now - DAY if expired else now + 30 * DAY
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 10 * DAY)
        .not_valid_after(end)
    )


def _identified(builder: x509.CertificateBuilder, key: Any, issuer: Any) -> x509.CertificateBuilder:
    return builder.add_extension(
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
    ).add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False)


@functools.cache
def root() -> Authority:
    return Authority()


@functools.cache
def server_leaf() -> ServerCertificate:
    return root().issue("srv.lab.test")


@functools.cache
def client_leaf() -> ServerCertificate:
    return root().issue("client.lab.test", server=False)
