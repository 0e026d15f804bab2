"""The server's key, for the binding."""

from __future__ import annotations

from credssp.binding import subject_public_key
from credssp.dissect.model import Conversation
from credssp.errors import CredSSPError
from credssp.exchange.binding_check import Key

__all__ = ["server_key"]


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
