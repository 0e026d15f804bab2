"""NTLM without SPNEGO. Its user-mode half lives on the session key alone, so its contexts can be exported."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Final, Literal

from credssp.account import AccountStore
from credssp.context.initiator import create_initiator
from credssp.mechanism import Mechanism
from credssp.ntlm.acceptor import NTLMAcceptor
from credssp.ntlm.session import SIGNATURE_SIZE, NTLMSession
from credssp.sspi import constants as c
from credssp.sspi.attributes import SecPkgContext_Sizes
from credssp.sspi.errors import SSPIError, refuse
from credssp.sspi.packages.inner import InnerContext, InnerCredential, InnerPackage
from credssp.sspi.packages.inner_info import NTLM
from credssp.sspi.packages.inner_messages import InnerMessages, Protection
from credssp.sspi.tables import INTERFACE_VERSION, SecpkgFunctionTable, SecPkgInfo, SecpkgUserFunctionTable
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

    def initiator(self, credential: InnerCredential, target: str) -> Mechanism:
        """Return the mechanism of a client."""
        return create_initiator(credential.logon.credentials, target_name=target, mechanism="ntlm")

    def acceptor(self, accounts: AccountStore) -> Mechanism:
        """Return the mechanism of a server."""
        return NTLMAcceptor(accounts)

    def context_data(self, context: InnerContext) -> bytearray:
        """Return role and session key."""
        return bytearray((_INITIATOR if context.client else _ACCEPTOR) + context.mechanism.session_key)


class _Session:
    """NTLM's session, made from nothing but its key."""

    def __init__(self, data: bytes) -> None:
        role: Literal["initiator", "acceptor"] = "initiator" if data[:1] == _INITIATOR else "acceptor"
        self.data = data
        self.used = False
        self._session = NTLMSession(data[1:], role=role)

    def wrap(self, data: bytes) -> bytes:
        self.used = True
        return self._session.wrap(data)

    def unwrap(self, data: bytes) -> bytes:
        self.used = True
        return self._session.unwrap(data)

    def sign(self, data: bytes) -> bytes:
        self.used = True
        return self._session.get_mic(data)

    def verify(self, data: bytes, signature: bytes) -> None:
        self.used = True
        self._session.verify_mic(data, signature)


class NTLMMessages(InnerMessages):
    """The user-mode half."""

    def __init__(self) -> None:
        # No padding: RC4 is a stream cipher.
        super().__init__(SecPkgContext_Sizes(NTLM.max_token, SIGNATURE_SIZE, 0, SIGNATURE_SIZE))

    def table(self) -> SecpkgUserFunctionTable:
        """Return the table."""
        return dataclasses.replace(
            super().table(), export_context=self.export_context, import_context=self.import_context
        )

    def unpack(self, packed: bytes | bytearray) -> Protection:
        """Return the session."""
        if len(packed) != 1 + _KEY_SIZE or packed[:1] not in (_INITIATOR, _ACCEPTOR):
            raise refuse("pPackedContext", "no packed NTLM context", _S.SEC_E_INVALID_TOKEN)
        return _Session(bytes(packed))

    def export_context(self, context: int, flags: int) -> bytes:
        """SpExportSecurityContext.

        Raises:
            SSPIError: SEC_E_UNSUPPORTED_FUNCTION, messages have been protected already: the state of RC4 cannot be
                written down, so only SECPKG_CONTEXT_EXPORT_RESET_NEW is possible then.
        """
        session = self._contexts[context]
        assert isinstance(session, _Session)  # noqa: S101  # unpack makes no others
        if session.used and not flags & c.SECPKG_CONTEXT_EXPORT_RESET_NEW:
            raise SSPIError(
                "messages were protected already: only with SECPKG_CONTEXT_EXPORT_RESET_NEW",
                status=_S.SEC_E_UNSUPPORTED_FUNCTION,
                parameter="fFlags",
            )
        return _PACKED + session.data

    def import_context(self, context: int, packed: bytes) -> None:
        """SpImportSecurityContext."""
        if not packed.startswith(_PACKED):
            raise refuse("pPackedContext", "no packed NTLM context", _S.SEC_E_INVALID_TOKEN)
        self._contexts[context] = self.unpack(packed[len(_PACKED) :])


def sp_lsa_mode_initialize(lsa_version: int) -> tuple[int, Sequence[SecpkgFunctionTable]]:  # noqa: ARG001
    """SpLsaModeInitialize."""
    return INTERFACE_VERSION, (NTLMPackage().table(),)


def sp_user_mode_initialize(lsa_version: int) -> tuple[int, Sequence[SecpkgUserFunctionTable]]:  # noqa: ARG001
    """SpUserModeInitialize."""
    return INTERFACE_VERSION, (NTLMMessages().table(),)
