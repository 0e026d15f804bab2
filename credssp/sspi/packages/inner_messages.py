"""The user-mode half of Negotiate, NTLM and Kerberos: messages, sealed or signed; see `inner_buffers` for theirs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from credssp.errors import CredSSPError
from credssp.message_parts import MessagePart, OpenedMessage, SealedMessage
from credssp.next_step import NextStep
from credssp.ntlm.session import SIGNATURE_SIZE
from credssp.security_context import SecurityContext
from credssp.sspi import buffers as b
from credssp.sspi import constants as c
from credssp.sspi.buffers import SecBuffer
from credssp.sspi.errors import SSPIError, refuse
from credssp.sspi.packages.inner_buffers import MessageBuffers, sort_buffers
from credssp.sspi.packages.inner_info import NTLM
from credssp.sspi.packages.user_mode import UserModePackage
from credssp.sspi.structures import SecPkgContext_Sizes
from credssp.sspi.tables import SecPkgInfo
from credssp.status import SecurityStatus

__all__ = ["NTLM_SIZES", "InnerMessages", "InnerSession"]

_S = SecurityStatus

# No padding: RC4 is a stream cipher.
NTLM_SIZES: Final = SecPkgContext_Sizes(NTLM.max_token, SIGNATURE_SIZE, 0, SIGNATURE_SIZE)
"""Sizes of messages with NTLM."""


class WrapParts(Protocol):
    """`SecurityContext.wrap_parts`."""

    def __call__(self, parts: Sequence[MessagePart], *, encrypt: bool = True) -> SealedMessage:
        """Protect a message."""


class UnwrapParts(Protocol):
    """`SecurityContext.unwrap_parts`."""

    def __call__(self, signature: bytes, parts: Sequence[MessagePart], padding: bytes = b"") -> OpenedMessage:
        """Open a message."""


@dataclass(slots=True, eq=False, repr=False, kw_only=True)
class InnerSession:
    """What protects the messages of a context: functions of a mechanism, or of NTLM's session.

    Attributes:
        message_sizes: what SECPKG_ATTR_SIZES says.
        wrap_parts: protects a message, as `SecurityContext.wrap_parts`.
        unwrap_parts: opens one, as `SecurityContext.unwrap_parts`.
        sign: returns a signature.
        verify: checks a signature.
        signs_readonly: whether DATA with SECBUFFER_READONLY is signed.
        packed: what a packed context holds; empty if it cannot be packed.
        used: whether messages were protected.
    """

    message_sizes: SecPkgContext_Sizes
    wrap_parts: WrapParts
    unwrap_parts: UnwrapParts
    sign: Callable[[bytes], bytes]
    verify: Callable[[bytes, bytes], None]
    signs_readonly: bool
    packed: bytes = b""
    used: bool = False


class InnerMessages(UserModePackage[InnerSession]):
    """SECPKG_USER_FUNCTION_TABLE.

    Args:
        info: the package.
        signature: bytes of a signature (cbMaxSignature).
        trailer: bytes that sealing adds (cbSecurityTrailer).
        block: what messages are padded to (cbBlockSize).

    Where Negotiate chose NTLM, the sizes are those of NTLM, as on Windows.
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
            message_sizes=NTLM_SIZES if mechanism.name == "ntlm" else self.sizes,
            wrap_parts=mechanism.wrap_parts,
            unwrap_parts=mechanism.unwrap_parts,
            sign=mechanism.sign,
            verify=mechanism.verify,
            signs_readonly=mechanism.name == "ntlm",
        )

    def seal_message(self, context: int, qop: int, buffers: Sequence[SecBuffer], sequence: int) -> SecurityStatus:  # noqa: ARG002
        """SpSealMessage: the signature goes into TOKEN, the ciphertext over DATA. The mechanism counts by itself."""
        if qop not in (0, c.SECQOP_WRAP_NO_ENCRYPT):
            raise refuse("fQOP", "0 or SECQOP_WRAP_NO_ENCRYPT", _S.SEC_E_QOP_NOT_SUPPORTED)
        session = self.contexts[context]
        message = sort_buffers(buffers, signs_readonly=session.signs_readonly, writes=not qop)
        room = self._room(message, session.message_sizes.security_trailer, "cbSecurityTrailer")
        padding = message.padding
        end = memoryview(b"") if padding is None else padding.writable(message.padding_name)
        session.used = True
        sealed = session.wrap_parts(message.parts, encrypt=not qop)
        head, filler = sealed.signature, sealed.padding
        if len(head) > len(room):
            raise SSPIError(f"a trailer of {len(head)} bytes does not fit", status=_S.SEC_E_ENCRYPT_FAILURE)
        if len(filler) > len(end):
            raise SSPIError(
                f"the encryption type of this context pads: give a PADDING of {len(filler)} bytes, not {len(end)}",
                status=_S.SEC_E_BUFFER_TOO_SMALL,
            )
        room[: len(head)] = head
        message.token.size = len(head)
        if not qop:
            message.replace(sealed.parts)
        if padding is not None:
            end[: len(filler)] = filler
            padding.size = len(filler)
        return _S.SEC_E_OK

    def unseal_message(
        self,
        context: int,
        buffers: Sequence[SecBuffer],
        sequence: int,  # noqa: ARG002
    ) -> tuple[SecurityStatus, int]:
        """SpUnsealMessage; pfQOP says SECQOP_WRAP_NO_ENCRYPT where the message was signed alone."""
        session = self.contexts[context]
        message = sort_buffers(buffers, signs_readonly=session.signs_readonly, writes=True, stream=True)
        session.used = True
        if message.stream:
            whole = message.token.writable(message.token_name)
            # Where the token ends is the mechanism's business: NTLM's has this size, Kerberos takes both as one.
            opened = session.unwrap_parts(bytes(whole[:SIGNATURE_SIZE]), [MessagePart(bytes(whole[SIGNATURE_SIZE:]))])
            (plain,) = opened.parts
            place = whole[len(whole) - len(plain) :]
            place[:] = plain
            message.data[0].fill(b.SECBUFFER_DATA, place)
        else:
            filler = b"" if message.padding is None else message.padding.octets(message.padding_name)
            opened = session.unwrap_parts(message.token.octets(message.token_name), message.parts, filler)
            message.replace(opened.parts)
        return _S.SEC_E_OK, 0 if opened.encrypted else c.SECQOP_WRAP_NO_ENCRYPT

    def make_signature(self, context: int, qop: int, buffers: Sequence[SecBuffer], sequence: int) -> None:  # noqa: ARG002
        """SpMakeSignature."""
        if qop:
            raise refuse("fQOP", "0: there is one kind of signature", _S.SEC_E_QOP_NOT_SUPPORTED)
        session = self.contexts[context]
        message = sort_buffers(buffers, signs_readonly=session.signs_readonly, writes=False)
        room = self._room(message, session.message_sizes.max_signature, "cbMaxSignature")
        session.used = True
        signature = session.sign(message.message)
        if len(signature) > len(room):
            raise SSPIError(f"a signature of {len(signature)} bytes does not fit", status=_S.SEC_E_BUFFER_TOO_SMALL)
        room[: len(signature)] = signature
        message.token.size = len(signature)
        if message.padding is not None:
            message.padding.size = 0

    def verify_signature(self, context: int, buffers: Sequence[SecBuffer], sequence: int) -> int:  # noqa: ARG002
        """SpVerifySignature."""
        session = self.contexts[context]
        message = sort_buffers(buffers, signs_readonly=session.signs_readonly, writes=False)
        session.used = True
        try:
            session.verify(message.message, message.token.octets(message.token_name))
        except CredSSPError as error:
            if error.status is _S.SEC_E_INVALID_TOKEN:  # too short, or not a signature at all
                raise SSPIError(error.message, status=_S.SEC_E_MESSAGE_ALTERED, advice=NextStep.TLS_DAMAGED) from error
            raise
        return 0

    @staticmethod
    def _room(message: MessageBuffers, needed: int, name: str) -> memoryview:
        room = message.token.writable(message.token_name)
        if len(room) < needed:
            raise refuse("pMessage", f"TOKEN has {len(room)} bytes, {name} is {needed}", _S.SEC_E_BUFFER_TOO_SMALL)
        return room
