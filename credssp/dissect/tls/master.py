"""The master secret of TLS up to 1.2: out of a key log, or out of ClientKeyExchange with the server's RSA key."""

from __future__ import annotations

from typing import Final

from credssp.dissect.tls.handshake import ClientHello, ServerHello
from credssp.dissect.tls.keylog import Secrets
from credssp.dissect.tls.schedule import extended_master_secret, master_secret
from credssp.dissect.tls.suites import Suite

__all__ = ["find_master_secret"]

_PREMASTER: Final = 48


def find_master_secret(
    secrets: Secrets,
    client: ClientHello,
    server: ServerHello,
    suite: Suite,
    key_exchange: bytes,
    transcript: bytes,
    certificate: bytes | None,
) -> bytes | str:
    """Return the master secret, or the reason why there is none.

    Args:
        secrets: what was given.
        client: the ClientHello.
        server: the ServerHello.
        suite: the suite it chose.
        key_exchange: contents of ClientKeyExchange; empty where it was not seen.
        transcript: the handshake messages up to there.
        certificate: the server's certificate, DER, to tell whether the RSA key is its own.
    """
    master = secrets.find(client.random, "CLIENT_RANDOM")
    if master is not None:
        return master
    premaster: bytes | str | None = secrets.find(client.random, "PMS_CLIENT_RANDOM")
    if premaster is None:
        premaster = _by_rsa(secrets, client, suite, key_exchange, certificate)
    if isinstance(premaster, str):
        return premaster
    if server.extended_master_secret:
        return extended_master_secret(server.version, suite, premaster, transcript)
    return master_secret(server.version, suite, premaster, client.random, server.random)


def _by_rsa(
    secrets: Secrets, client: ClientHello, suite: Suite, key_exchange: bytes, certificate: bytes | None
) -> bytes | str:
    """EncryptedPreMasterSecret (RFC 5246 7.4.7.1)."""
    key = secrets.rsa_key
    if key is None:
        return secrets.why_not(client.random)
    if suite.exchange != "RSA":
        return f"{suite.name} agrees on keys that the server's RSA key does not reveal; a key log is needed"
    if not _belongs_to(key.public_key().public_numbers(), certificate):
        return "the RSA key given is not that of the server's certificate"
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

    encrypted = key_exchange[2:]
    try:
        premaster = key.decrypt(encrypted, PKCS1v15())
    except ValueError:
        return "ClientKeyExchange is missing, or was not encrypted for the RSA key given"
    # OpenSSL returns random bytes instead of an error for bad padding; the version in front tells.
    if len(premaster) != _PREMASTER or int.from_bytes(premaster[:2], "big") != client.version:
        return "ClientKeyExchange was not encrypted for the RSA key given"
    return premaster


def _belongs_to(numbers: object, certificate: bytes | None) -> bool:
    """Whether a public key is that of a certificate; yes where that cannot be told."""
    if certificate is None:
        return True
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.x509 import load_der_x509_certificate

    try:
        key = load_der_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return True
    return isinstance(key, RSAPublicKey) and key.public_numbers() == numbers
