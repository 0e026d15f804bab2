"""The server's certificate: loading one, making one, and the key bytes that CredSSP binds to."""

from __future__ import annotations

import binascii
import datetime
import functools
import ipaddress
import os
import platform
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from credssp.errors import LocalProtocolError
from credssp.memory_file import named_file
from credssp.private_file import check_private_file
from credssp.secret import Secret, private_methods
from credssp.tls.parsing import UnreadableCertificateError, reading
from credssp.tls.restrictions import certificate_refused, check_memory, rsa_bits, security_level
from credssp.watched_file import WatchedFile

if TYPE_CHECKING:
    from os import PathLike

    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
    from cryptography.x509 import GeneralName

__all__ = [
    "KeyType",
    "ServerCertificate",
    "generate_certificate",
    "load_certificate",
    "process_certificate",
    "watch_certificate",
]

KeyType = Literal["rsa", "p256", "p384", "ed25519"]

# As long as a WSMan service's own certificate lives; nobody checks it unless they pinned it.
_VALID_DAYS: Final = 365


@private_methods("load_into")
@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """A certificate chain with its private key, as PEM.

    Attributes:
        chain: the leaf certificate, then its issuers, PEM.
        private_key: the leaf's private key, unencrypted PEM.
    """

    chain: bytes
    private_key: Secret[bytes] = field(hash=False)

    @property
    def der(self) -> bytes:
        """The leaf certificate in DER."""
        return _leaf_der(self.chain)

    @property
    def authorities(self) -> tuple[bytes, ...]:
        """The names of those who issued the leaf and the other certificates of the chain, DER."""
        return _authorities(self.chain)

    def load_into(self, context: ssl.SSLContext) -> None:
        """Give chain and key to an SSLContext.

        Raises:
            LocalProtocolError: certificate and key do not parse or do not belong together.
            LocalRestrictionError: the context's security level does not allow them.
        """
        # ssl reads files only.
        with named_file(self.private_key.reveal().rstrip() + b"\n" + self.chain) as path:
            try:
                # The password callback keeps OpenSSL from asking the terminal for one.
                context.load_cert_chain(path, password=_no_password)
            except (ssl.SSLError, ValueError, OSError) as error:
                check_memory(error, during="TLS setup")
                reason = getattr(error, "reason", None) or type(error).__name__
                refused = certificate_refused(reason, context.security_level, whose="the server certificate")
                if refused is not None:
                    raise refused from None
                raise LocalProtocolError(
                    f"the server certificate cannot be used ({reason}): chain and unencrypted key must be PEM and "
                    "belong together"
                ) from None


def _no_password() -> str:
    raise ValueError("the private key is encrypted")


@functools.lru_cache(maxsize=32)
def _leaf_der(chain: bytes) -> bytes:
    begin, end = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"
    start = chain.find(begin)
    stop = chain.find(end, start)
    if start < 0 or stop < 0:
        raise LocalProtocolError("the server certificate is not PEM: no CERTIFICATE block")
    try:
        return binascii.a2b_base64(b"".join(chain[start + len(begin) : stop].split()), strict_mode=True)
    except ValueError:
        raise LocalProtocolError("the server certificate is not PEM: bad base64") from None


@functools.lru_cache(maxsize=32)
def _authorities(chain: bytes) -> tuple[bytes, ...]:
    from cryptography import x509

    try:
        with reading():
            return tuple(certificate.issuer.public_bytes() for certificate in x509.load_pem_x509_certificates(chain))
    except UnreadableCertificateError:
        return ()


def load_certificate(
    source: str | Path | tuple[bytes, bytes] | ServerCertificate | WatchedFile[ServerCertificate],
) -> ServerCertificate:
    """Take a certificate in any of the forms that `credssp.ServerContext` accepts.

    Args:
        source: the path of a PEM file with chain and key; or a pair of PEM bytes (chain, key); or one already loaded,
            or watched.

    Raises:
        LocalProtocolError: the file cannot be read or holds no certificate and key.
    """
    if isinstance(source, ServerCertificate):
        return source
    if isinstance(source, WatchedFile):
        return source.current()
    if isinstance(source, tuple):
        if len(source) != 2:
            raise LocalProtocolError("certificate takes a pair (chain, key) of PEM bytes, or one file's path")
        chain, key = source
        return ServerCertificate(bytes(chain), Secret(bytes(key)))
    check_private_file("file with the server's key", source)
    try:
        pem = Path(source).read_bytes()
    except OSError as error:
        raise LocalProtocolError(f"the server certificate {source} cannot be read: {error.strerror}") from None
    if b"PRIVATE KEY-----" not in pem:
        raise _without_key(source)
    return ServerCertificate(pem, Secret(pem))


def watch_certificate(
    chain: str | PathLike[str], key: str | PathLike[str] | None = None
) -> WatchedFile[ServerCertificate]:
    """Return a certificate that is read again after its files changed, for `ServerConfig.certificate`.

    New connections take the new certificate once chain and key belong together; until then they take the old one.

    Args:
        chain: PEM file with the chain, and the key where there is no other file for that.
        key: PEM file with the unencrypted key.

    Raises:
        LocalProtocolError: a file cannot be read, or they do not belong together.
    """

    def load(*pem: bytes) -> ServerCertificate:
        check_private_file("file with the server's key", chain if key is None else key)
        if b"PRIVATE KEY-----" not in pem[-1]:
            raise _without_key(chain if key is None else key)
        certificate = ServerCertificate(pem[0], Secret(pem[-1]))
        try:
            certificate.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        except LocalProtocolError as error:
            raise LocalProtocolError(f"{os.fspath(chain)}: {error.message}") from None
        return certificate

    try:
        return WatchedFile(*((chain,) if key is None else (chain, key)), load=load, what="certificate")
    except OSError as error:
        name = error.filename or os.fspath(chain)
        raise LocalProtocolError(f"the server certificate {name} cannot be read: {error.strerror}") from None


def _without_key(path: str | PathLike[str]) -> LocalProtocolError:
    return LocalProtocolError(f"{os.fspath(path)} holds no private key; put chain and key into one PEM")


def generate_certificate(
    key_type: KeyType = "rsa",
    *,
    common_name: str | None = None,
    dns_names: tuple[str, ...] = (),
    level: int | None = None,
) -> ServerCertificate:
    """Make a self-signed server certificate, valid for a year from now.

    Args:
        key_type: ``rsa`` (2048 bits, what every peer takes, or as many as the security level wants), ``p256``, ``p384``
            or ``ed25519``.
        common_name: subject and issuer; by default ``CREDSSP-<host>`` as Windows' WSMan names its own.
        dns_names: names and addresses for subjectAltName; by default the common name's host and loopback.
        level: OpenSSL's security level to satisfy; by default that of this machine.
    """
    # Loaded here: a client, or a server with a certificate of its own, never pays for it.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    key: CertificateIssuerPrivateKeyTypes
    if level is None:
        level = security_level()
    # A hash of 256 bits counts half of them, and level 4 wants 192.
    digest: hashes.SHA256 | hashes.SHA512 | None = hashes.SHA256() if level < 4 else hashes.SHA512()
    if key_type == "rsa":
        key = rsa.generate_private_key(65537, rsa_bits(level))
    elif key_type == "p256":
        key = ec.generate_private_key(ec.SECP256R1())
    elif key_type == "p384":
        key = ec.generate_private_key(ec.SECP384R1())
    elif key_type == "ed25519":
        key = ed25519.Ed25519PrivateKey.generate()
        digest = None
    else:
        raise LocalProtocolError(f"unknown key type {key_type!r}: rsa, p256, p384 or ed25519")

    host = platform.node() or "localhost"
    # X.520 allows 64 characters for a common name.
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, (common_name or f"CREDSSP-{host}")[:64])])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=_VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName([_general_name(n) for n in dns_names or _own_names(host)]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, digest)
    )
    return ServerCertificate(
        certificate.public_bytes(serialization.Encoding.PEM),
        Secret(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        ),
    )


def _own_names(host: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((host, "localhost", "127.0.0.1", "::1")))


def _general_name(name: str) -> GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def process_certificate(level: int | None = None) -> ServerCertificate:
    """Return the certificate of servers that were given none: made on first use, one for the whole process.

    It has RSA-2048, or what the security level wants (3072 bits at level 3; from level 4 on P-384, since an RSA key of
    that size takes minutes to make).

    Args:
        level: OpenSSL's security level; by default that of this machine.

    Raises:
        LocalRestrictionError: OpenSSL cannot be used.
    """
    return _process_certificate(max(2, security_level() if level is None else level))


@functools.cache
def _process_certificate(level: int) -> ServerCertificate:
    return generate_certificate("rsa" if level < 4 else "p384", level=level)
