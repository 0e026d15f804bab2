"""The user-mode half of Negotiate, NTLM and Kerberos: TOKEN and DATA, sealed or signed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from credssp.errors import CredSSPError
from credssp.security_context import SecurityContext
from credssp.sspi.attributes import SECPKG_ATTR_SIZES, SecPkgContext_Sizes
from credssp.sspi.buffers import (
    SECBUFFER_ATTRMASK,
    SECBUFFER_DATA,
    SECBUFFER_EMPTY,
    SECBUFFER_PADDING,
    SECBUFFER_TOKEN,
    SecBuffer,
    buffer_type_name,
)
from credssp.sspi.errors import SSPIError, refuse
from credssp.sspi.support import DllFunctions
from credssp.sspi.tables import SecpkgUserFunctionTable
from credssp.status import SecurityStatus

__all__ = ["InnerMessages", "Protection"]

_S = SecurityStatus


class Protection(Protocol):
    """What protects messages: a mechanism, or NTLM's session."""

    def wrap(self, data: bytes) -> bytes:
        """Return signature and ciphertext."""

    def unwrap(self, data: bytes) -> bytes:
        """Return the plaintext."""

    def sign(self, data: bytes) -> bytes:
        """Return a signature."""

    def verify(self, data: bytes, signature: bytes) -> None:
        """Check a signature."""


class InnerMessages:
    """SECPKG_USER_FUNCTION_TABLE.

    Args:
        sizes: what SECPKG_ATTR_SIZES says.
    """

    def __init__(self, sizes: SecPkgContext_Sizes) -> None:
        self._sizes = sizes
        self._functions: DllFunctions | None = None
        self._contexts: dict[int, Protection] = {}

    def table(self) -> SecpkgUserFunctionTable:
        """Return the table."""
        return SecpkgUserFunctionTable(
            instance_init=self.instance_init,
            init_user_mode_context=self.init_user_mode_context,
            make_signature=self.make_signature,
            verify_signature=self.verify_signature,
            seal_message=self.seal_message,
            unseal_message=self.unseal_message,
            query_context_attributes=self.query_context_attributes,
            delete_user_mode_context=self.delete_user_mode_context,
        )

    def instance_init(self, version: int, functions: DllFunctions) -> None:  # noqa: ARG002 - one version only
        """SpInstanceInit."""
        self._functions = functions

    def init_user_mode_context(self, context: int, packed: bytearray) -> None:
        """SpInitUserModeContext."""
        self._contexts[context] = self.unpack(packed)

    def unpack(self, packed: bytearray) -> Protection:
        """Return what protects the messages of a context."""
        protection = self._functions.claim(packed) if self._functions is not None else None
        if not isinstance(protection, SecurityContext):
            raise SSPIError("no context data of this package", status=_S.SEC_E_INVALID_TOKEN)
        return protection

    def delete_user_mode_context(self, context: int) -> None:
        """SpDeleteUserModeContext."""
        self._contexts.pop(context, None)

    def query_context_attributes(self, context: int, attribute: int) -> object:  # noqa: ARG002 - all alike
        """SpQueryContextAttributes, for the sizes."""
        if attribute == SECPKG_ATTR_SIZES:
            return self._sizes
        raise refuse("ulAttribute", f"{attribute:#x} is not known here", _S.SEC_E_UNSUPPORTED_FUNCTION)

    def seal_message(self, context: int, qop: int, buffers: Sequence[SecBuffer], sequence: int) -> SecurityStatus:  # noqa: ARG002
        """SpSealMessage: the signature goes into TOKEN, the ciphertext over DATA. The mechanism counts by itself."""
        token, data = _pair(buffers, qop)
        room = self._room(token, self._sizes.security_trailer, "cbSecurityTrailer")
        octets = data.writable("DATA")
        sealed = self._contexts[context].wrap(bytes(octets))
        head = len(sealed) - len(octets)
        if head > len(room):
            raise SSPIError(f"a trailer of {head} octets does not fit", status=_S.SEC_E_ENCRYPT_FAILURE)
        room[:head] = sealed[:head]
        octets[:] = sealed[head:]
        token.size = head
        return _S.SEC_E_OK

    def unseal_message(
        self,
        context: int,
        buffers: Sequence[SecBuffer],
        sequence: int,  # noqa: ARG002
    ) -> tuple[SecurityStatus, int]:
        """SpUnsealMessage."""
        token, data = _pair(buffers, 0)
        octets = data.writable("DATA")
        plain = self._contexts[context].unwrap(token.data + bytes(octets))
        octets[: len(plain)] = plain
        data.size = len(plain)
        return _S.SEC_E_OK, 0

    def make_signature(self, context: int, qop: int, buffers: Sequence[SecBuffer], sequence: int) -> None:  # noqa: ARG002
        """SpMakeSignature."""
        token, data = _pair(buffers, qop)
        room = self._room(token, self._sizes.max_signature, "cbMaxSignature")
        signature = self._contexts[context].sign(data.data)
        if len(signature) > len(room):
            raise SSPIError(f"a signature of {len(signature)} octets does not fit", status=_S.SEC_E_BUFFER_TOO_SMALL)
        room[: len(signature)] = signature
        token.size = len(signature)

    def verify_signature(self, context: int, buffers: Sequence[SecBuffer], sequence: int) -> int:  # noqa: ARG002
        """SpVerifySignature."""
        token, data = _pair(buffers, 0)
        try:
            self._contexts[context].verify(data.data, token.data)
        except CredSSPError as error:
            if error.status is _S.SEC_E_INVALID_TOKEN:  # too short, or not a signature at all
                raise SSPIError(error.message, status=_S.SEC_E_MESSAGE_ALTERED) from error
            raise
        return 0

    @staticmethod
    def _room(token: SecBuffer, needed: int, name: str) -> memoryview:
        room = token.writable("TOKEN")
        if len(room) < needed:
            raise refuse("pMessage", f"TOKEN has {len(room)} octets, {name} is {needed}", _S.SEC_E_BUFFER_TOO_SMALL)
        return room


def _pair(buffers: Sequence[SecBuffer], qop: int) -> tuple[SecBuffer, SecBuffer]:
    """Return TOKEN and DATA, in any order; others must be EMPTY or PADDING."""
    if qop:
        raise refuse("fQOP", "0: messages are encrypted and signed", _S.SEC_E_QOP_NOT_SUPPORTED)
    found: dict[int, SecBuffer] = {}
    for number, buffer in enumerate(buffers):
        kind = buffer.buffer_type & ~SECBUFFER_ATTRMASK
        if kind in (SECBUFFER_EMPTY, SECBUFFER_PADDING):
            continue
        if kind in found or kind not in (SECBUFFER_TOKEN, SECBUFFER_DATA):
            raise refuse(
                f"pMessage[{number}]",
                f"one TOKEN and one DATA belong here, not {buffer_type_name(kind)}",
                _S.SEC_E_INVALID_TOKEN,
            )
        found[kind] = buffer
    if len(found) != 2:
        raise refuse("pMessage", "one TOKEN and one DATA are needed", _S.SEC_E_INVALID_TOKEN)
    return found[SECBUFFER_TOKEN], found[SECBUFFER_DATA]
