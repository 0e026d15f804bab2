"""An authority that issues certificates for logging on by Kerberos (PKINIT)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID, ObjectIdentifier

from credssp.wire.der import write_explicit, write_integer, write_member, write_sequence, write_tlv

__all__ = ["Authority"]

_PKINIT_NAME = ObjectIdentifier("1.3.6.1.5.2.2")  # id-pkinit-san, RFC 4556 3.2.2
_UPN = ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
_KDC_USAGE = ("1.3.6.1.5.2.3.5", "1.3.6.1.5.5.7.3.1")  # id-pkinit-KPKdc, serverAuth
_USER_USAGE = ("1.3.6.1.4.1.311.20.2.2", "1.3.6.1.5.2.3.4", "1.3.6.1.5.5.7.3.2")  # smart card logon, KPClientAuth

_UTF8_STRING, _GENERAL_STRING = 0x0C, 0x1B


def _principal(realm: str, name: Sequence[str], kind: int) -> x509.OtherName:
    parts = write_sequence(*(write_tlv(_GENERAL_STRING, part.encode()) for part in name))
    principal = write_sequence(write_explicit(0, write_integer(kind)), write_explicit(1, parts))
    realm_name = write_member(0, _GENERAL_STRING, realm.encode())
    return x509.OtherName(_PKINIT_NAME, write_sequence(realm_name, write_explicit(1, principal)))


class Authority:
    """Issues certificates into a folder: ``NAME.crt``, ``NAME.key`` and ``NAME.der``; its own is ``ca.crt``.

    Args:
        folder: must be there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key: rsa.RSAPrivateKey | None = None
        self._subject: x509.Name | None = None
        self._issue("ca", "Test CA", (), (), days=30)

    @property
    def anchors(self) -> str:
        """The authority, as libkrb5 names it."""
        return f"FILE:{self.folder / 'ca.crt'}"

    def identity(self, name: str) -> str:
        """A certificate with its key, as libkrb5 names it."""
        return f"FILE:{self.folder / name}.crt,{self.folder / name}.key"

    def kdc(self, realm: str, host: str) -> None:
        """Issue ``kdc``, for the KDC of a realm."""
        names = [x509.DNSName(host), _principal(realm, ("krbtgt", realm), 2)]
        self._issue("kdc", host, names, _KDC_USAGE, days=30)

    def user(self, name: str, realm: str, *, upn: str = "", file: str = "", days: int = 30) -> None:
        """Issue a certificate for a user; negative `days` for one that expired so long ago."""
        names: list[x509.GeneralName] = [_principal(realm, (name,), 1)]
        if upn:
            names.append(x509.OtherName(_UPN, write_tlv(_UTF8_STRING, upn.encode())))
        self._issue(file or name, name, names, _USER_USAGE, days=days)

    def _issue(
        self, file: str, common_name: str, names: Sequence[x509.GeneralName], usage: Sequence[str], *, days: int
    ) -> None:
        key = rsa.generate_private_key(65537, 2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        authority = self._key is None
        issuer_key, issuer = self._key or key, self._subject or subject
        end = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(end - dt.timedelta(days=31))
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=True,
                    content_commitment=False,
                    key_encipherment=not authority,
                    data_encipherment=False,
                    key_agreement=False,
                    key_cert_sign=authority,
                    crl_sign=authority,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if usage:
            usages = [ObjectIdentifier(each) for each in usage]
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        certificate = builder.sign(issuer_key, hashes.SHA256())
        if authority:
            self._key, self._subject = key, subject
        encoding = serialization.Encoding
        (self.folder / f"{file}.crt").write_bytes(certificate.public_bytes(encoding.PEM))
        (self.folder / f"{file}.der").write_bytes(certificate.public_bytes(encoding.DER))
        path = self.folder / f"{file}.key"
        path.touch(0o600)
        path.write_bytes(
            key.private_bytes(encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
