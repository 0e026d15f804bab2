"""An NTLM context that another process has established: its session, and nothing of its credentials."""

from __future__ import annotations

from typing import Final

from credssp.channel_bindings import BindingDemand, ChannelBindings
from credssp.errors import DecodeError, LocalProtocolError
from credssp.ntlm.context import NTLMContext
from credssp.ntlm.session import NTLMSession
from credssp.server_authentication import ServerAuthentication

__all__ = ["NTLM_SESSION", "UnpackedNTLM"]

NTLM_SESSION: Final = b"\x01"
"""First byte of a packed context."""


class UnpackedNTLM(NTLMContext):
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
    def mech_list_mic_required(self) -> bool:
        """False: that is over."""
        return False

    def bind(self, bindings: ChannelBindings | None, *, demand: BindingDemand = "match") -> None:  # noqa: ARG002
        """Refuse channel bindings: the context is complete."""
        raise LocalProtocolError("the context is complete: it is too late for channel bindings")

    def _step(self, token: bytes | None) -> bytes | None:  # noqa: ARG002
        raise self._out_of_turn()

    def _pack(self) -> bytes:
        return NTLM_SESSION + self._session.pack()
