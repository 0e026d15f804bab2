"""CREDSSP: TLS and TSRequest as one stream package (credssp.dll)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from credssp.context import ClientContext, ServerContext
from credssp.credentials import DelegatedCredentials
from credssp.policy import DelegationPolicy
from credssp.sspi import attributes as a
from credssp.sspi import constants as c
from credssp.sspi.errors import refuse
from credssp.sspi.packages.credential import CredSSPCredential, acquire
from credssp.sspi.packages.delegated import client_creds, names, server_auth_flags, usable
from credssp.sspi.packages.identities import LogonSessions, accounts_for, from_supplied
from credssp.sspi.packages.inner_info import PACKAGE_INFO
from credssp.sspi.packages.inputs import check_target
from credssp.sspi.packages.stream_messages import StreamMessages
from credssp.sspi.packages.tls_context import TLSContext
from credssp.sspi.packages.tls_package import TLSPackage
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

_WINDOWS: Final = DelegationPolicy.windows_defaults()

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
        return acquire(self.support, self._sessions, principal, use, logon_id, auth_data), NO_EXPIRY

    def user_name(self, credential: CredSSPCredential) -> str:
        """Return the name that a credential stands for."""
        return credential.logon.user_name if credential.use & c.SECPKG_CRED_OUTBOUND else ""

    def make_client(self, context: TLSContext, credential: CredSSPCredential, supplied: bytes | None) -> ClientContext:
        """Return the inner context of a client."""
        request = context.request
        target = context.target
        logon = credential.logon
        if request & c.ISC_REQ_USE_SUPPLIED_CREDS:
            logon = from_supplied(supplied)
        check_target(target)
        context.logon_name = logon.user_name
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
            policy=_WINDOWS if policy is None else policy,
            source=logon.source,
            mutual_auth=bool(request & c.ISC_REQ_MUTUAL_AUTH),
            tls=credential.tls.client(verify=not request & c.ISC_REQ_MANUAL_CRED_VALIDATION),
            tls_session=self.session_for(context),
        )

    def make_server(self, context: TLSContext, credential: CredSSPCredential) -> ServerContext:
        """Return the inner context of a server."""
        return ServerContext(
            accounts=accounts_for(credential.accounts, self.support),
            keytab=self.support.machine.keytab,
            certificate=credential.tls.server_certificate,
            policy=self.support.machine.policy,
            tls=credential.tls.server(demand_certificate=bool(context.request & c.ASC_REQ_MUTUAL_AUTH)),
        )

    def earned(self, context: TLSContext) -> int:
        """Return which of MUTUAL_AUTH and DELEGATE hold."""
        if context.client:
            if context.request & c.ISC_REQ_MUTUAL_AUTH:
                # Demanded, so the exchange is not over without it, and neither is it without the policy's yes.
                return c.ISC_RET_MUTUAL_AUTH | c.ISC_RET_DELEGATE
            return c.ISC_RET_DELEGATE
        own = c.ASC_RET_DELEGATE if _delegated(context) is not None else 0
        return own | super().earned(context)

    def query_more(self, context: TLSContext, attribute: int) -> object:
        """Answer what goes beyond TLS."""
        inner = context.inner
        if attribute == a.SECPKG_ATTR_NEGOTIATION_PACKAGE:
            return a.SecPkgContext_PackageInfo(PACKAGE_INFO[inner.mechanism])
        if attribute == a.SECPKG_ATTR_NAMES:
            if context.client:
                return a.SecPkgContext_Names(context.logon_name)
            return names(inner.identity)
        if attribute == a.SECPKG_ATTR_SERVER_AUTH_FLAGS and context.client:
            return server_auth_flags(inner.server_authentication)
        if attribute in (a.SECPKG_ATTR_CREDS, a.SECPKG_ATTR_CREDS_2) and not context.client:
            return client_creds(_delegated(context), attribute)
        return super().query_more(context, attribute)


def _delegated(context: TLSContext) -> DelegatedCredentials | None:
    return usable(context.inner.delegated_credentials, wanted=bool(context.request & c.ASC_REQ_DELEGATE))


def sp_lsa_mode_initialize(lsa_version: int) -> tuple[int, Sequence[SecpkgFunctionTable]]:  # noqa: ARG001
    """SpLsaModeInitialize."""
    return INTERFACE_VERSION, (CredSSPPackage().table(),)


def sp_user_mode_initialize(lsa_version: int) -> tuple[int, Sequence[SecpkgUserFunctionTable]]:  # noqa: ARG001
    """SpUserModeInitialize."""
    return INTERFACE_VERSION, (StreamMessages().table(),)
