"""Contexts that were packed by the agent (`SecurityContext.pack`), and protect messages in the program."""

from __future__ import annotations

from credssp.errors import DecodeError
from credssp.kerberos.contexts import KERBEROS_CONTEXT, UnpackedKerberos
from credssp.mechanism import SpnegoMechanism
from credssp.ntlm.unpacked import NTLM_SESSION, UnpackedNTLM

__all__ = ["unpack"]


def unpack(packed: bytes) -> SpnegoMechanism:
    """Return a context that is complete.

    Raises:
        DecodeError: it is something else.
        AuthenticationError: GSS-API does not take it.
    """
    kind = packed[:1]
    if kind == NTLM_SESSION:
        return UnpackedNTLM(packed)
    if kind == KERBEROS_CONTEXT:
        return UnpackedKerberos(packed)
    raise DecodeError("a packed context of another kind", field="packed context")
