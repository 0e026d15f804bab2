"""NTLM without SPNEGO. Its user-mode half lives on the session key alone, so its contexts can be exported."""

from __future__ import annotations

from typing import ClassVar, Final

from credssp.config import ServerConfig
from credssp.context.acceptor import ntlm_acceptor
from credssp.context.initiator import create_initiator
from credssp.mechanism import Mechanism
from credssp.ntlm.session import NTLMSession
from credssp.sspi import constants as c
from credssp.sspi.errors import bad_token, unsupported
from credssp.sspi.packages.identities import Logon
from credssp.sspi.packages.inner import InnerContext, InnerPackage
from credssp.sspi.packages.inner_info import NTLM
from credssp.sspi.packages.inner_messages import NTLM_SIZES, InnerMessages, InnerSession
from credssp.sspi.packages.lsa_mode import lsa_mode_entry
from credssp.sspi.packages.user_mode import user_mode_entry
from credssp.sspi.tables import SecPkgInfo
from credssp.status import SecurityStatus

__all__ = ["sp_lsa_mode_initialize", "sp_user_mode_initialize"]

_S = SecurityStatus

# ContextData, and the body of a packed context: who we are, and ExportedSessionKey.
_INITIATOR: Final = b"\x01"
_ACCEPTOR: Final = b"\x02"
_PACKED: Final = b"NTLM\x01"
_KEY_SIZE: Final = 16


class NTLMPackage(InnerPackage):
    """The LSA-mode half."""

    info: ClassVar[SecPkgInfo] = NTLM
    isc_flags: ClassVar[int] = InnerPackage.isc_flags | c.ISC_REQ_UNVERIFIED_TARGET_NAME

    def initiator(self, logon: Logon, target: str) -> Mechanism:
        """Return the mechanism of a client."""
        return create_initiator(
            logon.credentials, config=self.support.machine.client, target_name=target, mechanism="ntlm"
        )

    def acceptor(self, config: ServerConfig) -> Mechanism:
        """Return the mechanism of a server with these options."""
        return ntlm_acceptor(config)

    def context_data(self, context: InnerContext) -> bytearray:
        """Return role and session key."""
        return bytearray((_INITIATOR if context.client else _ACCEPTOR) + context.mechanism.session_key)


class NTLMInnerMessages(InnerMessages):
    """The user-mode half: a session made from nothing but its key."""

    def unpack(self, packed: bytes | bytearray) -> InnerSession:
        """Return the session."""
        if len(packed) != 1 + _KEY_SIZE or packed[:1] not in (_INITIATOR, _ACCEPTOR):
            raise bad_token("pPackedContext", "no packed NTLM context")
        data = bytes(packed)
        session = NTLMSession(data[1:], role="initiator" if data[:1] == _INITIATOR else "acceptor")
        return InnerSession(
            message_sizes=self.sizes,
            wrap_parts=session.wrap_parts,
            unwrap_parts=session.unwrap_parts,
            sign=session.get_mic,
            verify=session.verify_mic,
            signs_readonly=True,
            packed=_PACKED + data,
        )

    def export_context(self, context: int, flags: int) -> bytes:
        """SpExportSecurityContext.

        Raises:
            SSPIError: SEC_E_UNSUPPORTED_FUNCTION, messages have been protected already: the state of RC4 cannot be
                written down, so only SECPKG_CONTEXT_EXPORT_RESET_NEW is possible then.
        """
        session = self.contexts[context]
        if session.used and not flags & c.SECPKG_CONTEXT_EXPORT_RESET_NEW:
            raise unsupported("fFlags", "messages were protected already: only with SECPKG_CONTEXT_EXPORT_RESET_NEW")
        return session.packed

    def import_context(self, context: int, packed: bytes) -> None:
        """SpImportSecurityContext."""
        if not packed.startswith(_PACKED):
            raise bad_token("pPackedContext", "no packed NTLM context")
        self.contexts[context] = self.unpack(packed[len(_PACKED) :])


def _messages() -> NTLMInnerMessages:
    return NTLMInnerMessages(
        NTLM, signature=NTLM_SIZES.max_signature, trailer=NTLM_SIZES.security_trailer, block=NTLM_SIZES.block_size
    )


sp_lsa_mode_initialize = lsa_mode_entry(NTLMPackage)
sp_user_mode_initialize = user_mode_entry(_messages)
