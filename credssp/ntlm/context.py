"""What every complete NTLM context does with its session: protect messages, and sign SPNEGO's MechTypeList."""

from __future__ import annotations

from collections.abc import Sequence

from credssp.message_parts import MessagePart, OpenedMessage, SealedMessage
from credssp.ntlm.session import NTLMSession
from credssp.security_context import SecurityContext

__all__ = ["NTLMContext"]


class NTLMContext(SecurityContext):
    """Base of the NTLM contexts."""

    _session: NTLMSession  # set when it can wrap; every use comes after that is looked at

    @property
    def session_key(self) -> bytes:
        """ExportedSessionKey, 16 bytes."""
        self._check_can_wrap()
        return self._session.exported_session_key

    def make_mech_list_mic(self, mech_types: bytes) -> bytes:
        """Sign SPNEGO's MechTypeList; see `NTLMSession.make_mech_list_mic`."""
        self._check_can_wrap()
        return self._run(self._session.make_mech_list_mic, mech_types)

    def verify_mech_list_mic(self, mech_types: bytes, mic: bytes) -> None:
        """Check the peer's signature over it; see `NTLMSession.verify_mech_list_mic`."""
        self._check_can_wrap()
        self._run(self._session.verify_mech_list_mic, mech_types, mic)

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
