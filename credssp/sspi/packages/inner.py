"""What Negotiate, NTLM and Kerberos share: tokens until the mechanism is complete, then sealing and signing.

The LSA-mode half is a thin layer over `credssp.nego`. The user-mode half gets what protects messages: NTLM hands over
its key as octets, the others the mechanism itself (`credssp.sspi.support.SharedMemory`).
"""

from __future__ import annotations

import dataclasses
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final

from credssp.account import AccountStore
from credssp.accounts import MemoryAccounts
from credssp.mechanism import Mechanism
from credssp.policy import CredentialSource
from credssp.server_authentication import ServerAuthentication
from credssp.sspi import attributes as a
from credssp.sspi import constants as c
from credssp.sspi.auth_data import SecWinntAuthIdentity
from credssp.sspi.buffers import ContextBuffer, SecBuffer
from credssp.sspi.errors import SSPIError, refuse
from credssp.sspi.packages.credential import default_logon
from credssp.sspi.packages.delegated import names
from credssp.sspi.packages.identities import Logon, LogonSessions, accounts_for, from_identity
from credssp.sspi.packages.inner_info import PACKAGE_INFO
from credssp.sspi.packages.inputs import check_flags, check_target, token_only
from credssp.sspi.packages.shipped import ShippedPackage
from credssp.sspi.tables import NO_EXPIRY, LegResult, SecpkgFunctionTable
from credssp.sspi.timestamps import timestamp
from credssp.status import SecurityStatus

__all__ = ["InnerContext", "InnerCredential", "InnerPackage"]

_S = SecurityStatus

_FLAGS: Final = (
    c.ISC_REQ_MUTUAL_AUTH
    | c.ISC_REQ_REPLAY_DETECT
    | c.ISC_REQ_SEQUENCE_DETECT
    | c.ISC_REQ_CONFIDENTIALITY
    | c.ISC_REQ_USE_SESSION_KEY
    | c.ISC_REQ_ALLOCATE_MEMORY
    | c.ISC_REQ_CONNECTION
)
_ISC: Final = _FLAGS | c.ISC_REQ_INTEGRITY | c.ISC_REQ_EXTENDED_ERROR
_ASC: Final = _FLAGS | c.ASC_REQ_INTEGRITY | c.ASC_REQ_EXTENDED_ERROR
# CredSSP cannot do without them, so every session has them, whatever was asked for.
_ALWAYS: Final = c.ISC_RET_REPLAY_DETECT | c.ISC_RET_SEQUENCE_DETECT | c.ISC_RET_CONFIDENTIALITY


@dataclasses.dataclass(slots=True, eq=False, kw_only=True)
class InnerCredential:
    """A credential: who logs on, or who may.

    Attributes:
        use: SECPKG_CRED_INBOUND, OUTBOUND or both.
        logon: who logs on.
        accounts: who may log on; None for the machine's accounts.
    """

    use: int
    logon: Logon
    accounts: AccountStore | None = None


@dataclasses.dataclass(slots=True, eq=False, kw_only=True)
class InnerContext:
    """A context in LSA mode.

    Attributes:
        mechanism: the mechanism.
        client: which role.
        credential: with which it was started.
        request: fContextReq of the first call.
        started: seconds since 1970.
    """

    mechanism: Mechanism
    client: bool
    credential: InnerCredential
    request: int
    started: float = dataclasses.field(default_factory=time.time)


class InnerPackage(ShippedPackage, ABC):
    """SECPKG_FUNCTION_TABLE of such a package."""

    def __init__(self) -> None:
        super().__init__()
        self._sessions = LogonSessions()

    def table(self) -> SecpkgFunctionTable:
        """Return the table."""
        return SecpkgFunctionTable(
            initialize=self.initialize,
            shutdown=self.shutdown,
            get_info=self.get_info,
            accept_credentials=self.accept_credentials,
            acquire_credentials_handle=self.acquire_credentials_handle,
            query_credentials_attributes=self.query_credentials_attributes,
            init_lsa_mode_context=self.init_lsa_mode_context,
            accept_lsa_mode_context=self.accept_lsa_mode_context,
            get_extended_information=self.get_extended_information,
            query_context_attributes=self.query_context_attributes,
        )

    def accept_credentials(self, logon_type: int, account_name: str, primary: Any, supplemental: Any) -> None:  # noqa: ARG002
        """SpAcceptCredentials: they become the default credentials."""
        self._sessions.accept(account_name, primary)

    def get_extended_information(self, information_class: str) -> object:
        """SpGetExtendedInformation: all but the sizes is answered here (ContextThunks)."""
        if information_class == "ContextThunks":
            return _THUNKS
        raise SSPIError(f"no information of class {information_class}", status=_S.SEC_E_UNSUPPORTED_FUNCTION)

    # Credentials

    def acquire_credentials_handle(
        self,
        principal: str | None,
        use: int,
        logon_id: Any,
        auth_data: Any,
        get_key_fn: Any,  # noqa: ARG002 - the dispatcher lets None pass only
        get_key_argument: Any,  # noqa: ARG002
    ) -> tuple[object, int]:
        """SpAcquireCredentialsHandle: pAuthData is a SEC_WINNT_AUTH_IDENTITY."""
        self.support.check_logon_session(logon_id)
        if auth_data is not None and not isinstance(auth_data, SecWinntAuthIdentity):
            raise refuse(
                "pAuthData",
                f"a SecWinntAuthIdentity, not a {type(auth_data).__name__}",
                _S.SEC_E_UNKNOWN_CREDENTIALS,
            )
        logon = from_identity(auth_data, CredentialSource.FRESH)
        return InnerCredential(
            use=use & c.SECPKG_CRED_BOTH, logon=default_logon(logon, principal, use, self._sessions)
        ), NO_EXPIRY

    def query_credentials_attributes(self, credential: InnerCredential, attribute: int) -> object:
        """SpQueryCredentialsAttributes."""
        if attribute == a.SECPKG_CRED_ATTR_NAMES:
            return a.SecPkgCredentials_Names(credential.logon.user_name)
        raise refuse("ulAttribute", f"{attribute!r} is not known here", _S.SEC_E_UNSUPPORTED_FUNCTION)

    # Legs

    @abstractmethod
    def initiator(self, credential: InnerCredential, target: str) -> Mechanism:
        """Return the mechanism of a client."""

    @abstractmethod
    def acceptor(self, accounts: AccountStore) -> Mechanism:
        """Return the mechanism of a server."""

    def context_data(self, context: InnerContext) -> bytearray:
        """Return what the user-mode half needs."""
        return self.support.share(context.mechanism)

    def init_lsa_mode_context(
        self,
        credential: InnerCredential,
        context: InnerContext | None,
        target_name: str | None,
        context_req: int,
        data_rep: int,  # noqa: ARG002 - the tokens have one representation
        inputs: Sequence[SecBuffer],
    ) -> LegResult:
        """SpInitLsaModeContext."""
        check_flags(context_req, _ISC)
        token = token_only(inputs)
        if context is None:
            if not credential.use & c.SECPKG_CRED_OUTBOUND:
                raise refuse("phCredential", "made for inbound use", _S.SEC_E_NO_CREDENTIALS)
            check_target(target_name)
            mechanism = self.initiator(credential, target_name or "host/unspecified")
            context = InnerContext(mechanism=mechanism, client=True, credential=credential, request=context_req)
            return self._step(context, None)
        return self._go_on(context, token, client=True)

    def accept_lsa_mode_context(
        self,
        credential: InnerCredential,
        context: InnerContext | None,
        inputs: Sequence[SecBuffer],
        context_req: int,
        data_rep: int,  # noqa: ARG002
    ) -> LegResult:
        """SpAcceptLsaModeContext."""
        check_flags(context_req, _ASC, family="ASC_REQ")
        token = token_only(inputs)
        if context is not None:
            return self._go_on(context, token, client=False)
        if not credential.use & c.SECPKG_CRED_INBOUND:
            raise refuse("phCredential", "made for outbound use", _S.SEC_E_NO_CREDENTIALS)
        accounts = accounts_for(credential.accounts, self.support)
        mechanism = self.acceptor(MemoryAccounts({}) if accounts is None else accounts)
        context = InnerContext(mechanism=mechanism, client=False, credential=credential, request=context_req)
        return self._step(context, token)

    def _go_on(self, context: InnerContext, token: bytes, *, client: bool) -> LegResult:
        if context.client is not client:
            raise refuse("phContext", "this context belongs to the other role", _S.SEC_E_INVALID_HANDLE)
        if context.mechanism.complete:
            raise refuse("phContext", "the exchange on this context is over", _S.SEC_E_OUT_OF_SEQUENCE)
        return self._step(context, token)

    def _step(self, context: InnerContext, token: bytes | None) -> LegResult:
        mechanism = context.mechanism
        reply = mechanism.step(token) or b""
        result = LegResult(status=_S.SEC_I_CONTINUE_NEEDED, context=context, token=reply)
        if mechanism.complete:
            result.status = _S.SEC_E_OK
            result.mapped = True
            result.context_data = self.context_data(context)
            result.attributes = self._attributes(context)
        else:
            result.attributes = context.request & c.ISC_REQ_ALLOCATE_MEMORY
        return result

    @staticmethod
    def _attributes(context: InnerContext) -> int:
        granted = (context.request & ~c.ISC_REQ_MUTUAL_AUTH) | _ALWAYS
        granted |= c.ISC_RET_INTEGRITY if context.client else c.ASC_RET_INTEGRITY
        if context.mechanism.server_authentication & ServerAuthentication.KERBEROS:
            granted |= context.request & c.ISC_REQ_MUTUAL_AUTH
        return granted

    def query_context_attributes(self, context: InnerContext, attribute: int) -> object:
        """SpQueryContextAttributes."""
        mechanism = context.mechanism
        if attribute == a.SECPKG_ATTR_PACKAGE_INFO:
            return a.SecPkgContext_PackageInfo(self.info)
        if not mechanism.complete:
            raise refuse("phContext", "the exchange on this context is not over", _S.SEC_E_INVALID_HANDLE)
        if attribute == a.SECPKG_ATTR_NEGOTIATION_PACKAGE:
            return a.SecPkgContext_PackageInfo(PACKAGE_INFO[mechanism.name])
        if attribute == a.SECPKG_ATTR_NAMES:
            identity = mechanism.identity
            if identity is not None:
                return names(identity)
            return a.SecPkgContext_Names(context.credential.logon.user_name)
        if attribute == a.SECPKG_ATTR_SESSION_KEY:
            return a.SecPkgContext_SessionKey(ContextBuffer(mechanism.session_key))
        if attribute == a.SECPKG_ATTR_FLAGS:
            return a.SecPkgContext_Flags(self._attributes(context))
        if attribute == a.SECPKG_ATTR_LIFESPAN:
            return a.SecPkgContext_Lifespan(timestamp(context.started), NO_EXPIRY)
        raise refuse("ulAttribute", f"{attribute:#x} is not known here", _S.SEC_E_UNSUPPORTED_FUNCTION)


_THUNKS: Final = (
    a.SECPKG_ATTR_PACKAGE_INFO,
    a.SECPKG_ATTR_NEGOTIATION_PACKAGE,
    a.SECPKG_ATTR_NAMES,
    a.SECPKG_ATTR_SESSION_KEY,
    a.SECPKG_ATTR_FLAGS,
    a.SECPKG_ATTR_LIFESPAN,
)
