"""CREDSSP: TLS and TSRequest as one stream package (credssp.dll)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from credssp.account import AccountStore
from credssp.context import ClientContext, ServerContext
from credssp.credentials import PasswordCredentials, SmartCardCredentials
from credssp.policy import DelegationPolicy
from credssp.server_authentication import ServerAuthentication
from credssp.sspi import attributes as a
from credssp.sspi import constants as c
from credssp.sspi.buffers import ContextBuffer
from credssp.sspi.errors import refuse
from credssp.sspi.packages.identities import (
    Logon,
    LogonSessions,
    accounts_for,
    from_auth_data,
    from_supplied,
)
from credssp.sspi.packages.inner_info import PACKAGE_INFO
from credssp.sspi.packages.stream_messages import StreamMessages
from credssp.sspi.packages.tls_package import TLSContext, TLSPackage, TLSPackageCredential
from credssp.sspi.packages.tls_settings import TLSCredential
from credssp.sspi.packed import pack_auth_identity_ex2, pack_logon
from credssp.sspi.tables import (
    INTERFACE_VERSION,
    NO_EXPIRY,
    SecpkgFunctionTable,
    SecPkgInfo,
    SecpkgUserFunctionTable,
)
from credssp.status import SecurityStatus

__all__ = ["sp_lsa_mode_initialize", "sp_user_mode_initialize"]

_S = SecurityStatus

INFO: Final = SecPkgInfo(
    # INTEGRITY, PRIVACY, CONNECTION, MULTI_REQUIRED, IMPERSONATION, ACCEPT_WIN32_NAME, STREAM, MUTUAL_AUTH,
    # APPCONTAINER_CHECKS: as newer versions of Windows say it.
    capabilities=0x00810733,
    version=1,
    rpc_id=c.SECPKG_ID_NONE,
    # What newer versions of Windows say; a TSRequest of 64 KiB and a TLS flight fit in.
    max_token=90567,
    name=c.CREDSSP_NAME,
    comment="Microsoft CredSSP Security Provider",
)


class _Credential(TLSPackageCredential):
    """A credential of this package.

    Attributes:
        logon: who logs on, of a client.
        accounts: who may log on, of a server; None for the machine's accounts.
    """

    def __init__(
        self, use: int, tls: TLSCredential, logon_id: int, *, logon: Logon, accounts: AccountStore | None
    ) -> None:
        super().__init__(use, tls, logon_id)
        self.logon = logon
        self.accounts = accounts


class CredSSPPackage(TLSPackage):
    """The LSA-mode half."""

    info: ClassVar[SecPkgInfo] = INFO
    isc_flags: ClassVar[int] = TLSPackage.isc_flags | c.ISC_REQ_DELEGATE
    # The page calls ASC_REQ_DELEGATE allowed in one place and unsupported in another; Windows' own test server sets it.
    asc_flags: ClassVar[int] = TLSPackage.asc_flags | c.ASC_REQ_DELEGATE

    def __init__(self) -> None:
        super().__init__()
        self._sessions = LogonSessions()

    def table(self) -> SecpkgFunctionTable:
        """Return the table."""
        return dataclasses.replace(super().table(), accept_credentials=self.accept_credentials)

    def accept_credentials(self, logon_type: int, account_name: str, primary: Any, supplemental: Any) -> None:  # noqa: ARG002
        """SpAcceptCredentials: they become the default credentials."""
        self._sessions.accept(account_name, primary)

    def acquire_credentials_handle(
        self,
        principal: str | None,
        use: int,
        logon_id: Any,
        auth_data: Any,
        get_key_fn: Any,  # noqa: ARG002 - the dispatcher lets None pass only
        get_key_argument: Any,  # noqa: ARG002
    ) -> tuple[object, int]:
        """SpAcquireCredentialsHandle."""
        session = self.support.check_logon_session(logon_id)
        data = from_auth_data(auth_data)
        logon = data.logon
        if logon is None:
            if use & c.SECPKG_CRED_OUTBOUND and use & c.SECPKG_CRED_AUTOLOGON_RESTRICTED:
                raise refuse(
                    "pAuthData",
                    "SECPKG_CRED_AUTOLOGON_RESTRICTED: the default credentials are not to be used",
                    _S.SEC_E_NO_CREDENTIALS,
                )
            logon = self._sessions.find(principal)
        elif principal is not None and principal.casefold() not in (
            logon.user_name.casefold(),
            logon.user_name.rpartition("\\")[2].casefold(),
        ):
            raise refuse("pszPrincipal", "not the user of pAuthData", _S.SEC_E_UNKNOWN_CREDENTIALS)
        tls = TLSCredential(data.schannel, use=use)
        return _Credential(use, tls, session, logon=logon, accounts=data.accounts), NO_EXPIRY

    def user_name(self, credential: _Credential) -> str:
        """Return the name that a credential stands for."""
        return credential.logon.user_name if credential.use & c.SECPKG_CRED_OUTBOUND else ""

    def make_client(self, context: TLSContext, credential: _Credential, supplied: bytes | None) -> ClientContext:
        """Return the inner context of a client."""
        request = context.request
        target = context.target
        logon = credential.logon
        if request & c.ISC_REQ_USE_SUPPLIED_CREDS:
            logon = from_supplied(supplied)
        if target is not None and not _names_a_server(target):
            raise refuse(
                "pszTargetName", f"{target!r} names no server: TERMSRV/host or a host's name", _S.SEC_E_TARGET_UNKNOWN
            )
        delegate = bool(request & c.ISC_REQ_DELEGATE)
        if target is None and delegate:
            raise refuse(
                "pszTargetName", "the policy lets credentials go to a named server only", _S.SEC_E_DELEGATION_POLICY
            )
        policy = self.support.machine.policy
        return ClientContext(
            logon.credentials,
            target_name=target,
            mechanism=logon.mechanism,
            delegate=delegate,
            delegated_credentials=logon.delegated,
            policy=DelegationPolicy.windows_defaults() if policy is None else policy,
            source=logon.source,
            mutual_auth=bool(request & c.ISC_REQ_MUTUAL_AUTH),
            tls=credential.tls.client(verify=not request & c.ISC_REQ_MANUAL_CRED_VALIDATION),
            tls_session=self.session_for(context),
        )

    def make_server(self, context: TLSContext, credential: _Credential) -> ServerContext:
        """Return the inner context of a server."""
        return ServerContext(
            accounts=accounts_for(credential.accounts, self.support),
            certificate=credential.tls.server_certificate,
            policy=self.support.machine.policy,
            tls=credential.tls.server(demand_certificate=bool(context.request & c.ASC_REQ_MUTUAL_AUTH)),
        )

    def earned(self, context: TLSContext) -> int:
        """Return which of MUTUAL_AUTH and DELEGATE hold."""
        if context.client:
            strong = c.ISC_RET_MUTUAL_AUTH if context.inner.server_authentication.is_strong else 0
            return strong | c.ISC_RET_DELEGATE  # the policy let it pass, or the exchange would not be over
        own = c.ASC_RET_DELEGATE if _delegated(context) is not None else 0
        return own | super().earned(context)

    def query_more(self, context: TLSContext, attribute: int) -> object:
        """Answer what goes beyond TLS."""
        inner = context.inner
        if attribute == a.SECPKG_ATTR_NEGOTIATION_PACKAGE:
            return a.SecPkgContext_PackageInfo(PACKAGE_INFO[inner.mechanism])
        if attribute == a.SECPKG_ATTR_NAMES:
            return a.SecPkgContext_Names(self._name(context))
        if attribute == a.SECPKG_ATTR_SERVER_AUTH_FLAGS and context.client:
            return a.SecPkgContext_Flags(_server_auth_flags(inner.server_authentication))
        if attribute in (a.SECPKG_ATTR_CREDS, a.SECPKG_ATTR_CREDS_2) and not context.client:
            return _client_creds(context, attribute)
        return super().query_more(context, attribute)

    @staticmethod
    def _name(context: TLSContext) -> str:
        if context.client:
            name: str = context.credential.logon.user_name  # type: ignore[attr-defined]  # made by this package
            return name
        who = context.inner.identity
        return f"{who.domain}\\{who.username}" if who.domain else str(who.username)


def _names_a_server(target: str) -> bool:
    service, slash, host = target.partition("/")
    return bool(service and host.strip("/")) if slash else bool(target)


def _server_auth_flags(server: ServerAuthentication) -> int:
    """Return the CREDSSP_SERVER_AUTH_... bits. NEGOTIATE says that the inner package authenticated the server."""
    flags = 0
    if server & (ServerAuthentication.NTLM | ServerAuthentication.KERBEROS):
        flags |= a.CREDSSP_SERVER_AUTH_NEGOTIATE
    if server & ServerAuthentication.CERTIFICATE:
        flags |= a.CREDSSP_SERVER_AUTH_CERTIFICATE
    return flags


def _delegated(context: TLSContext) -> PasswordCredentials | SmartCardCredentials | None:
    """Return what the client delegated, if anything and if ASC_REQ_DELEGATE asked for it."""
    received = context.inner.delegated_credentials
    if not context.request & c.ASC_REQ_DELEGATE:
        return None
    if isinstance(received, PasswordCredentials) and not received.is_empty:
        return received
    return received if isinstance(received, SmartCardCredentials) else None


def _client_creds(context: TLSContext, attribute: int) -> a.SecPkgContext_ClientCreds:
    credentials = _delegated(context)
    if credentials is None:
        raise refuse(
            "ulAttribute",
            "the client delegated no password and no PIN, or ASC_REQ_DELEGATE was not given",
            _S.SEC_E_NO_CREDENTIALS,
        )
    if attribute == a.SECPKG_ATTR_CREDS and isinstance(credentials, PasswordCredentials):
        return a.SecPkgContext_ClientCreds(ContextBuffer(pack_auth_identity_ex2(credentials)))
    return a.SecPkgContext_ClientCreds(ContextBuffer(pack_logon(credentials)))


def sp_lsa_mode_initialize(lsa_version: int) -> tuple[int, Sequence[SecpkgFunctionTable]]:  # noqa: ARG001
    """SpLsaModeInitialize."""
    return INTERFACE_VERSION, (CredSSPPackage().table(),)


def sp_user_mode_initialize(lsa_version: int) -> tuple[int, Sequence[SecpkgUserFunctionTable]]:  # noqa: ARG001
    """SpUserModeInitialize."""
    return INTERFACE_VERSION, (StreamMessages().table(),)
