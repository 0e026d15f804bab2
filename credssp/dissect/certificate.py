"""The server's certificate, for people, and its key, for the binding."""

from __future__ import annotations

import hashlib
from typing import Any

from credssp.binding import subject_public_key
from credssp.dissect.model import Conversation
from credssp.errors import CredSSPError
from credssp.exchange.binding_check import Key
from credssp.tls.parsing import UnreadableCertificateError, reading

__all__ = ["certificate_tree", "server_key"]


def server_key(conversation: Conversation) -> Key:
    """Return the key that CredSSP binds to, or why it is not known."""
    certificate = conversation.certificate
    if certificate is not None:
        try:
            return Key(subject_public_key(certificate), "the key of the server's certificate")
        except CredSSPError:
            return Key(b"", "the server's certificate does not decode")
    if conversation.public_key:
        return Key(conversation.public_key, "the server's key in the transcript")
    if conversation.transport == "transcript":
        return Key(b"", "the transcript does not have the server's key")
    return Key(b"", "the server's certificate is not in the part of the capture that could be decrypted")


def certificate_tree(certificate: bytes) -> dict[str, Any]:
    """Return what a certificate says; the fingerprint at least."""
    tree: dict[str, Any] = {"type": "X.509 certificate", "octets": len(certificate)}
    tree["sha256"] = hashlib.sha256(certificate).hexdigest()
    from cryptography import x509

    try:
        with reading():
            parsed = x509.load_der_x509_certificate(certificate)
            return tree | {
                "subject": parsed.subject.rfc4514_string(),
                "issuer": parsed.issuer.rfc4514_string(),
                "notBefore": parsed.not_valid_before_utc.isoformat(),
                "notAfter": parsed.not_valid_after_utc.isoformat(),
                "key": _key_name(parsed.public_key()),
            }
    except UnreadableCertificateError as error:
        return tree | {"remark": f"cannot be read further ({error})"}


def _key_name(key: object) -> str:
    size = getattr(key, "key_size", None)
    curve = getattr(getattr(key, "curve", None), "name", None)
    name = type(key).__name__.removesuffix("PublicKey").lstrip("_")
    if curve:
        return f"EC {curve}"
    return f"{name} {size} bits" if size else name
