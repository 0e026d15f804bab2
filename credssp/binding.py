"""Binding the login to the TLS key: SubjectPublicKey and what pubKeyAuth carries ([MS-CSSP] 2.2.1, 3.1.5 steps 3 to 5).

Versions 5 and 6 send a hash over a nonce of the client and the key. Versions 2 to 4 send the key itself, which lets a
rogue server have bytes of its choice encrypted under the session key: CVE-2018-0886, the reason for the default
minimum version 5. **The negotiated version chooses the form**, never what fields a message has: a peer that says 6
and leaves the nonce out must not get the old form.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
from typing import Final

from credssp.errors import BindingError, DecodeError, LocalProtocolError
from credssp.protocol_version import has_hashed_binding
from credssp.wire import der

__all__ = ["NONCE_SIZE", "client_value", "server_value", "subject_public_key", "verify"]

NONCE_SIZE: Final = 32
"""Bytes of TSRequest.clientNonce ([MS-CSSP] 2.2.1)."""

# The terminating NUL belongs to the hashed text.
_CLIENT_MAGIC: Final = b"CredSSP Client-To-Server Binding Hash\x00"
_SERVER_MAGIC: Final = b"CredSSP Server-To-Client Binding Hash\x00"


def client_value(version: int, nonce: bytes, public_key: bytes) -> bytes:
    """Return what the client's pubKeyAuth holds before encryption.

    Args:
        version: the effective version of the exchange.
        nonce: clientNonce, 32 bytes; not used below version 5.
        public_key: SubjectPublicKey of the server's certificate.
    """
    if has_hashed_binding(version):
        return hashlib.sha256(_CLIENT_MAGIC + nonce + public_key).digest()
    return public_key


def server_value(version: int, nonce: bytes, public_key: bytes) -> bytes:
    """Return what the server's pubKeyAuth holds before encryption; arguments as in `client_value`."""
    if has_hashed_binding(version):
        return hashlib.sha256(_SERVER_MAGIC + nonce + public_key).digest()
    return _incremented(public_key)


def _incremented(public_key: bytes) -> bytes:
    """Add 1 to the first byte, so that a reflected pubKeyAuth is not an answer (3.1.5 step 4).

    The text does not say what 0xFF becomes, and no real key starts with it; FreeRDP carries into the next byte, and
    so do we.
    """
    key = bytearray(public_key)
    for index, octet in enumerate(key):
        key[index] = (octet + 1) & 0xFF
        if key[index]:
            break
    return bytes(key)


def verify(received: bytes, expected: bytes, *, whose: str) -> None:
    """Compare a decrypted pubKeyAuth in constant time.

    Raises:
        BindingError: they differ.
    """
    if not hmac.compare_digest(received, expected):
        raise BindingError(
            f"pubKeyAuth of the {whose} does not belong to the TLS key of this connection: somebody in the middle, a "
            "TLS proxy, or an implementation that binds to something else",
            section="[MS-CSSP] 3.1.5",
        )


@functools.lru_cache(maxsize=128)
def subject_public_key(certificate: bytes) -> bytes:
    """Return SubjectPublicKey: the contents of subjectPublicKey in the certificate, without the unused-bits byte.

    RSA: a DER RSAPublicKey (PKCS#1). EC: the uncompressed point. Ed25519: 32 bytes. Not the SubjectPublicKeyInfo.

    Args:
        certificate: the leaf certificate, DER.

    Raises:
        LocalProtocolError: it is not an X.509 certificate in DER.
    """
    try:
        return _subject_public_key(certificate)
    except DecodeError:
        raise LocalProtocolError("the TLS certificate is not DER: no SubjectPublicKey to bind to") from None


def _subject_public_key(certificate: bytes) -> bytes:
    """Walk Certificate.tbsCertificate.subjectPublicKeyInfo.subjectPublicKey (RFC 5280 4.1).

    With our own code, because the bytes are needed as they are, for every algorithm, known or not.
    """
    reader = der.Reader(certificate, "RFC 5280 4.1")
    position, stop = reader.only(reader.whole, der.Tag.SEQUENCE, "Certificate")
    _, position, stop = reader.tlv(position, stop, "Certificate.tbsCertificate")
    tag, _, end = reader.tlv(position, stop, "tbsCertificate.version")
    if tag == der.Tag.CONTEXT_0:
        position = end
    for name in ("serialNumber", "signature", "issuer", "validity", "subject"):
        _, _, position = reader.tlv(position, stop, f"tbsCertificate.{name}")
    _, position, stop = reader.tlv(position, stop, "tbsCertificate.subjectPublicKeyInfo")
    _, _, position = reader.tlv(position, stop, "subjectPublicKeyInfo.algorithm")
    start, stop = reader.only((position, stop), der.Tag.BIT_STRING, "subjectPublicKeyInfo.subjectPublicKey")
    return certificate[start + 1 : stop]
