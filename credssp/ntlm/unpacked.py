"""An NTLM context that another process has established: its session, and nothing of its credentials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from credssp.channel_bindings import BindingDemand, ChannelBindings
from credssp.errors import DecodeError, LocalProtocolError
from credssp.message_parts import MessagePart, OpenedMessage, SealedMessage
from credssp.ntlm.session import NTLMSession
from credssp.security_context import SecurityContext
from credssp.server_authentication import ServerAuthentication

__all__ = ["NTLM_SESSION", "UnpackedNTLM"]

NTLM_SESSION: Final = b"\x01"
"""First byte of a packed context."""


class UnpackedNTLM(SecurityContext):
    """An initiator's context, from what `SecurityContext.pack` returned.

    Raises:
        DecodeError: it is something else.
    """

    def __init__(self, packed: bytes) -> None:
        super().__init__()
        if packed[:1] != NTLM_SESSION:
            raise DecodeError("not a packed NTLM context", field="packed context")
        self.name = self.wire_form = "ntlm"
        self.complete = self.can_wrap = True
        self.server_authentication = ServerAuthentication.NTLM
        self._session = NTLMSession.unpack(packed[1:])

    @property
    def session_key(self) -> bytes:
        """ExportedSessionKey, 16 bytes."""
        self._check_can_wrap()
        return self._session.exported_session_key

    @property
    def mech_list_mic_required(self) -> bool:
        """False: that is over."""
        return False

    def bind(self, bindings: ChannelBindings | None, *, demand: BindingDemand = "match") -> None:  # noqa: ARG002
        """Refuse channel bindings: the context is complete."""
        raise LocalProtocolError("the context is complete: it is too late for channel bindings")

    def make_mech_list_mic(self, mech_types: bytes) -> bytes:
        """Sign SPNEGO's MechTypeList."""
        return self._run(self._session.make_mech_list_mic, mech_types)

    def verify_mech_list_mic(self, mech_types: bytes, mic: bytes) -> None:
        """Check the peer's signature over it."""
        self._run(self._session.verify_mech_list_mic, mech_types, mic)

    def _step(self, token: bytes | None) -> bytes | None:  # noqa: ARG002
        raise self._out_of_turn()

    def _pack(self) -> bytes:
        return NTLM_SESSION + self._session.pack()

    def _sign(self, data: bytes) -> bytes:
        return self._session.get_mic(data)

    def _verify(self, data: bytes, signature: bytes) -> None:
        self._session.verify_mic(data, signature)

    def _wrap(self, data: bytes) -> bytes:
        return self._session.wrap(data)

    def _unwrap(self, data: bytes) -> bytes:
        return self._session.unwrap(data)

    def _wrap_parts(self, parts: Sequence[MessagePart], encrypt: bool) -> SealedMessage:
        return self._session.wrap_parts(parts, encrypt=encrypt)

    def _unwrap_parts(self, signature: bytes, parts: Sequence[MessagePart], padding: bytes) -> OpenedMessage:
        return self._session.unwrap_parts(signature, parts, padding)
