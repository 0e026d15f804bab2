"""Signing and sealing after an NTLM login ([MS-NLMP] 3.4).

Only extended session security with 128-bit keys and key exchange: CredSSP needs confidentiality, and a peer that can do
that has been able to do this since Windows 2000. Each direction has its own keys, RC4 state and sequence number,
so a message sent back to its sender never verifies.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Callable, Sequence
from typing import Final, Literal

from credssp.errors import DecodeError, LocalProtocolError, RemoteProtocolError
from credssp.message_parts import MessagePart, OpenedMessage, SealedMessage
from credssp.ntlm import crypto
from credssp.status import SecurityStatus

__all__ = ["SESSION_FLAGS", "SIGNATURE_SIZE", "NTLMSession"]

SIGNATURE_SIZE: Final = 16
"""Bytes of NTLMSSP_MESSAGE_SIGNATURE, SSPI's cbSecurityTrailer and cbMaxSignature."""

SESSION_FLAGS: Final = 0x60080030
"""KEY_EXCH, 128, EXTENDED_SESSIONSECURITY, SEAL, SIGN: what a session must have negotiated ([MS-NLMP] 2.2.2.5)."""

_VERSION: Final = b"\x01\0\0\0"
_SECTION: Final = "[MS-NLMP] 3.4.4.2"
_U32: Final = struct.Struct("<I")
_PACKED: Final = struct.Struct(">B16sIBB")
_ROLES: Final[tuple[Literal["initiator", "acceptor"], ...]] = ("initiator", "acceptor")


class _Direction:
    """Keys, RC4 state and sequence number of one direction."""

    __slots__ = ("_signing_key", "sequence", "stream", "used")

    def __init__(self, signing_key: bytes, sealing_key: bytes) -> None:
        self._signing_key = signing_key
        self.stream = crypto.KeyStream(sealing_key)
        self.sequence = 0
        self.used = False

    def signature(self, data: bytes, seal: Callable[[bytes], bytes]) -> bytes:
        """Return the signature over `data` at this sequence number and count it ([MS-NLMP] 3.4.4.2)."""
        number = self.sequence
        self.used = True
        self.sequence = (number + 1) & 0xFFFFFFFF
        return self.at(number, data, seal)

    def at(self, number: int, data: bytes, seal: Callable[[bytes], bytes]) -> bytes:
        """Return the signature over `data` at a sequence number."""
        return _VERSION + seal(self.checksum(data, number)) + _U32.pack(number)

    def checksum(self, data: bytes, number: int) -> bytes:
        """Return what a signature holds before it is encrypted, 8 bytes."""
        return crypto.hmac_md5(self._signing_key, _U32.pack(number) + data)[:8]

    def mech_list_signature(self, data: bytes) -> bytes:
        """Return the mechListMIC, which leaves the RC4 state where it was while the number goes on.

        [MS-SPNG] 3.2.5.1 saves the state before the mechListMIC and restores it afterwards. A mechListMIC always is
        the first use of a direction.
        """
        if self.used:
            raise LocalProtocolError("a mechListMIC comes before anything else that is signed or sealed")
        return self.signature(data, self.stream.peek)


class NTLMSession:
    """One side of an established session.

    Args:
        exported_session_key: ExportedSessionKey, 16 bytes ([MS-NLMP] 3.1.1.1).
        flags: the NegotiateFlags both sides agreed on; must hold all of `SESSION_FLAGS`.
        role: ``initiator`` (client) or ``acceptor`` (server).

    Any message that does not verify ends the session: every later call raises LocalProtocolError.
    """

    __slots__ = ("_failed", "_incoming", "_outgoing", "_role", "exported_session_key", "flags")

    def __init__(
        self, exported_session_key: bytes, flags: int = SESSION_FLAGS, *, role: Literal["initiator", "acceptor"]
    ) -> None:
        if len(exported_session_key) != 16:
            raise LocalProtocolError("ExportedSessionKey is 16 bytes")
        if flags & SESSION_FLAGS != SESSION_FLAGS:
            raise LocalProtocolError(
                f"no session without SIGN, SEAL, EXTENDED_SESSIONSECURITY, 128 and KEY_EXCH (flags 0x{flags:08X})",
                status=SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION,
            )
        derive = crypto.derive_key
        key = exported_session_key
        client = _Direction(derive(key, crypto.CLIENT_SIGNING), derive(key, crypto.CLIENT_SEALING))
        server = _Direction(derive(key, crypto.SERVER_SIGNING), derive(key, crypto.SERVER_SEALING))
        self.exported_session_key = exported_session_key
        self.flags = flags
        self._outgoing, self._incoming = (client, server) if role == "initiator" else (server, client)
        self._role = role
        self._failed = False

    def wrap(self, data: bytes) -> bytes:
        """Return signature, then ciphertext (GSS_WrapEx as CredSSP puts it on the wire, [MS-NLMP] 3.4.6)."""
        self._check_alive()
        direction = self._outgoing
        ciphertext = direction.stream(data)  # before the checksum: both run on the same key stream ([MS-NLMP] 3.4.3)
        return direction.signature(data, direction.stream) + ciphertext

    def unwrap(self, data: bytes) -> bytes:
        """Return the plaintext of what the peer's `wrap` made.

        Raises:
            DecodeError: shorter than a signature.
            RemoteProtocolError: SEC_E_OUT_OF_SEQUENCE or SEC_E_MESSAGE_ALTERED.
        """
        signature = self._open(data)
        direction = self._incoming
        plain = direction.stream(data[SIGNATURE_SIZE:])
        self._compare(direction.signature(plain, direction.stream), signature)
        return plain

    def wrap_parts(self, parts: Sequence[MessagePart], *, encrypt: bool = True) -> SealedMessage:
        """Protect a message in parts: the signature covers all of them (GSS_WrapEx, [MS-NLMP] 3.4.6).

        With `encrypt` False the result is what `get_mic` makes, beside the parts as they are.
        """
        self._check_alive()
        direction = self._outgoing
        contents = tuple(direction.stream(part.data) if part.sealed and encrypt else part.data for part in parts)
        return SealedMessage(direction.signature(b"".join(part.data for part in parts), direction.stream), contents)

    def unwrap_parts(self, signature: bytes, parts: Sequence[MessagePart], padding: bytes = b"") -> OpenedMessage:  # noqa: ARG002 - a stream cipher has none
        """Open what the peer's `wrap_parts` made (GSS_UnwrapEx, [MS-NLMP] 3.4.7).

        A message does not tell whether it is encrypted, so one that does not verify as such is tried as one that is
        signed alone. Only who has the keys can make either.

        Raises:
            DecodeError, RemoteProtocolError: as `unwrap`.
        """
        received = self._open(signature, exact=True)
        direction = self._incoming
        number = direction.sequence
        opened = tuple(direction.stream(part.data) if part.sealed else part.data for part in parts)
        expected = direction.signature(b"".join(opened), direction.stream)
        if hmac.compare_digest(expected, received):
            return OpenedMessage(opened, True)
        plain = tuple(part.data for part in parts)
        # The key stream that was used, of which eight bytes were due, if the message is signed alone.
        used = crypto.xor(
            b"".join(part.data for part in parts if part.sealed),
            b"".join(text for text, part in zip(opened, parts, strict=True) if part.sealed),
        )
        used += crypto.xor(expected[4:12], direction.checksum(b"".join(opened), number))
        signed = direction.at(number, b"".join(plain), lambda checksum: crypto.xor(checksum, used[:8]))
        self._compare(signed, received)
        direction.stream.put_back(used[8:])
        return OpenedMessage(plain, False)

    def get_mic(self, data: bytes) -> bytes:
        """Return the signature over `data` (GSS_GetMIC)."""
        self._check_alive()
        return self._outgoing.signature(data, self._outgoing.stream)

    def verify_mic(self, data: bytes, mic: bytes) -> None:
        """Check the peer's signature over `data` (GSS_VerifyMIC). Raises as `unwrap` does."""
        signature = self._open(mic, exact=True)
        self._compare(self._incoming.signature(data, self._incoming.stream), signature)

    def make_mech_list_mic(self, mech_types: bytes) -> bytes:
        """Sign SPNEGO's MechTypeList without moving the RC4 state on ([MS-SPNG] 3.2.5.1, 3.3.5.1)."""
        self._check_alive()
        return self._outgoing.mech_list_signature(mech_types)

    def verify_mech_list_mic(self, mech_types: bytes, mic: bytes) -> None:
        """Check the peer's signature over MechTypeList likewise. Raises as `unwrap` does."""
        signature = self._open(mic, exact=True)
        self._compare(self._incoming.mech_list_signature(mech_types), signature)

    def pack(self) -> bytes:
        """Return role, key, flags and sequence numbers; `unpack` makes the same session of them elsewhere.

        Raises:
            LocalProtocolError: messages were protected already. The state of RC4 cannot be written down; a mechListMIC
                leaves it where it was.
        """
        self._check_alive()
        if self._outgoing.sequence > 1 or self._incoming.sequence > 1:
            raise LocalProtocolError(
                "messages were protected already, and the state of RC4 cannot be written down",
                status=SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION,
            )
        return _PACKED.pack(
            _ROLES.index(self._role),
            self.exported_session_key,
            self.flags,
            self._outgoing.sequence,
            self._incoming.sequence,
        )

    @classmethod
    def unpack(cls, packed: bytes) -> NTLMSession:
        """Return the session that `pack` packed.

        Raises:
            DecodeError: it is something else.
        """
        if len(packed) != _PACKED.size:
            raise DecodeError(f"{len(packed)} bytes, {_PACKED.size} are due", field="packed NTLM session")
        role, key, flags, sent, received = _PACKED.unpack(packed)
        if role >= len(_ROLES) or max(sent, received) > 1 or flags & SESSION_FLAGS != SESSION_FLAGS:
            raise DecodeError("role, flags or sequence numbers that no session has", field="packed NTLM session")
        session = cls(key, flags, role=_ROLES[role])
        session._outgoing.sequence, session._incoming.sequence = sent, received
        session._outgoing.used, session._incoming.used = bool(sent), bool(received)
        return session

    def _check_alive(self) -> None:
        if self._failed:
            raise LocalProtocolError(
                "a message of this NTLM session did not verify; it cannot be used any more",
                status=SecurityStatus.SEC_E_INVALID_HANDLE,
            )

    def _open(self, data: bytes, *, exact: bool = False) -> bytes:
        """Return the signature at the start after what can be checked without keys."""
        self._check_alive()
        if len(data) < SIGNATURE_SIZE or (exact and len(data) != SIGNATURE_SIZE):
            self._failed = True
            raise DecodeError(
                f"{len(data)} bytes, a signature has {SIGNATURE_SIZE}",
                field="NTLMSSP_MESSAGE_SIGNATURE",
                section="[MS-NLMP] 2.2.2.9",
            )
        expected = self._incoming.sequence
        (received,) = _U32.unpack_from(data, 12)
        if received != expected:
            self._failed = True
            raise RemoteProtocolError(
                f"message {received} of an NTLM session where {expected} was due: repeated, lost or reordered",
                status=SecurityStatus.SEC_E_OUT_OF_SEQUENCE,
                section=_SECTION,
            )
        return data[:SIGNATURE_SIZE]

    def _compare(self, expected: bytes, received: bytes) -> None:
        if not hmac.compare_digest(expected, received):
            self._failed = True
            raise RemoteProtocolError(
                "the signature of a message does not match: altered on the way, or made with other keys",
                status=SecurityStatus.SEC_E_MESSAGE_ALTERED,
                section=_SECTION,
            )

    def __repr__(self) -> str:
        return f"NTLMSession(sent={self._outgoing.sequence}, received={self._incoming.sequence})"
