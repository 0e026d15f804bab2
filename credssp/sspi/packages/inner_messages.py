"""The user-mode half of Negotiate, NTLM and Kerberos: TOKEN and DATA, sealed or signed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from credssp.errors import CredSSPError
from credssp.next_step import NextStep
from credssp.security_context import SecurityContext
from credssp.sspi import buffers as b
from credssp.sspi.buffers import SecBuffer, buffer_type_name
from credssp.sspi.errors import SSPIError, bad_token, refuse
from credssp.sspi.packages.user_mode import UserModePackage
from credssp.sspi.structures import SecPkgContext_Sizes
from credssp.sspi.tables import SecPkgInfo
from credssp.status import SecurityStatus

__all__ = ["InnerMessages", "InnerSession"]

_S = SecurityStatus


@dataclass(slots=True, eq=False, repr=False, kw_only=True)
class InnerSession:
    """What protects the messages of a context: functions of a mechanism, or of NTLM's session.

    Attributes:
        message_sizes: what SECPKG_ATTR_SIZES says.
        wrap: returns signature and ciphertext.
        unwrap: returns the plaintext.
        sign: returns a signature.
        verify: checks a signature.
        packed: what a packed context holds; empty if it cannot be packed.
        used: whether messages were protected.
    """

    message_sizes: SecPkgContext_Sizes
    wrap: Callable[[bytes], bytes]
    unwrap: Callable[[bytes], bytes]
    sign: Callable[[bytes], bytes]
    verify: Callable[[bytes, bytes], None]
    packed: bytes = b""
    used: bool = False


class InnerMessages(UserModePackage[InnerSession]):
    """SECPKG_USER_FUNCTION_TABLE.

    Args:
        info: the package.
        signature: bytes of a signature (cbMaxSignature).
        trailer: bytes that sealing adds (cbSecurityTrailer).
        block: what messages are padded to (cbBlockSize).
    """

    def __init__(self, info: SecPkgInfo, *, signature: int, trailer: int, block: int) -> None:
        super().__init__(info)
        self.sizes = SecPkgContext_Sizes(info.max_token, signature, block, trailer)

    def unpack(self, packed: bytes | bytearray) -> InnerSession:
        """Return what protects the messages of a context."""
        mechanism = self.functions.claim(packed)
        if not isinstance(mechanism, SecurityContext):
            raise self.not_ours()
        return InnerSession(
            message_sizes=self.sizes,
            wrap=mechanism.wrap,
            unwrap=mechanism.unwrap,
            sign=mechanism.sign,
            verify=mechanism.verify,
        )

    def _session(self, context: int) -> InnerSession:
        """Return a session that is about to be used."""
        session = self.contexts[context]
        session.used = True
        return session

    def seal_message(self, context: int, qop: int, buffers: Sequence[SecBuffer], sequence: int) -> SecurityStatus:  # noqa: ARG002
        """SpSealMessage: the signature goes into TOKEN, the ciphertext over DATA. The mechanism counts by itself."""
        token, data = _pair(buffers, qop)
        room = self._room(token, self.sizes.security_trailer, "cbSecurityTrailer")
        content = data.writable("DATA")
        sealed = self._session(context).wrap(bytes(content))
        head = len(sealed) - len(content)
        if head > len(room):
            raise SSPIError(f"a trailer of {head} bytes does not fit", status=_S.SEC_E_ENCRYPT_FAILURE)
        room[:head] = sealed[:head]
        content[:] = sealed[head:]
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
        content = data.writable("DATA")
        plain = self._session(context).unwrap(token.data + bytes(content))
        content[: len(plain)] = plain
        data.size = len(plain)
        return _S.SEC_E_OK, 0

    def make_signature(self, context: int, qop: int, buffers: Sequence[SecBuffer], sequence: int) -> None:  # noqa: ARG002
        """SpMakeSignature."""
        token, data = _pair(buffers, qop)
        room = self._room(token, self.sizes.max_signature, "cbMaxSignature")
        signature = self._session(context).sign(data.data)
        if len(signature) > len(room):
            raise SSPIError(f"a signature of {len(signature)} bytes does not fit", status=_S.SEC_E_BUFFER_TOO_SMALL)
        room[: len(signature)] = signature
        token.size = len(signature)

    def verify_signature(self, context: int, buffers: Sequence[SecBuffer], sequence: int) -> int:  # noqa: ARG002
        """SpVerifySignature."""
        token, data = _pair(buffers, 0)
        try:
            self._session(context).verify(data.data, token.data)
        except CredSSPError as error:
            if error.status is _S.SEC_E_INVALID_TOKEN:  # too short, or not a signature at all
                raise SSPIError(error.message, status=_S.SEC_E_MESSAGE_ALTERED, advice=NextStep.TLS_DAMAGED) from error
            raise
        return 0

    @staticmethod
    def _room(token: SecBuffer, needed: int, name: str) -> memoryview:
        room = token.writable("TOKEN")
        if len(room) < needed:
            raise refuse("pMessage", f"TOKEN has {len(room)} bytes, {name} is {needed}", _S.SEC_E_BUFFER_TOO_SMALL)
        return room


def _pair(buffers: Sequence[SecBuffer], qop: int) -> tuple[SecBuffer, SecBuffer]:
    """Return TOKEN and DATA, in any order; others must be EMPTY or PADDING."""
    if qop:
        raise refuse("fQOP", "0: messages are encrypted and signed", _S.SEC_E_QOP_NOT_SUPPORTED)
    found: dict[int, SecBuffer] = {}
    for number, buffer in enumerate(buffers):
        kind = buffer.kind
        if kind in (b.SECBUFFER_EMPTY, b.SECBUFFER_PADDING):
            continue
        if kind in found or kind not in (b.SECBUFFER_TOKEN, b.SECBUFFER_DATA):
            raise bad_token(f"pMessage[{number}]", f"one TOKEN and one DATA belong here, not {buffer_type_name(kind)}")
        found[kind] = buffer
    if len(found) != 2:
        raise bad_token("pMessage", "one TOKEN and one DATA are needed")
    return found[b.SECBUFFER_TOKEN], found[b.SECBUFFER_DATA]
