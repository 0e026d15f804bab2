"""Schannel: TLS alone, the first half of CREDSSP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from credssp.sspi import constants as c
from credssp.sspi.auth_data import SchannelCred
from credssp.sspi.errors import refuse
from credssp.sspi.packages.stream_messages import StreamMessages
from credssp.sspi.packages.tls_context import TLSContext, TLSPackageCredential
from credssp.sspi.packages.tls_only import TLSClient, TLSServer
from credssp.sspi.packages.tls_package import TLSPackage
from credssp.sspi.packages.tls_settings import TLSCredential
from credssp.sspi.tables import INTERFACE_VERSION, NO_EXPIRY, SecpkgFunctionTable, SecPkgInfo, SecpkgUserFunctionTable
from credssp.status import SecurityStatus

__all__ = ["sp_lsa_mode_initialize", "sp_user_mode_initialize"]


class SchannelPackage(TLSPackage):
    """The LSA-mode half. pszTargetName is a host's name here, without a service class."""

    info: ClassVar[SecPkgInfo] = SecPkgInfo(
        capabilities=0x000107B3,
        version=1,
        rpc_id=14,
        max_token=24576,
        name=c.SCHANNEL_NAME,
        comment="Schannel Security Package",
    )
    ends_with_handshake: ClassVar[bool] = True

    def acquire_credentials_handle(
        self,
        principal: str | None,
        use: int,
        logon_id: Any,
        auth_data: Any,
        get_key_fn: Any,  # noqa: ARG002 - the dispatcher lets None pass only
        get_key_argument: Any,  # noqa: ARG002
    ) -> tuple[object, int]:
        """SpAcquireCredentialsHandle: pAuthData is a SCHANNEL_CRED."""
        session = self.support.check_logon_session(logon_id)
        if principal is not None:
            raise refuse("pszPrincipal", "TLS has no users: None", SecurityStatus.SEC_E_UNKNOWN_CREDENTIALS)
        if auth_data is not None and not isinstance(auth_data, SchannelCred):
            raise refuse(
                "pAuthData",
                f"a SchannelCred, not a {type(auth_data).__name__}",
                SecurityStatus.SEC_E_UNKNOWN_CREDENTIALS,
            )
        return TLSPackageCredential(use, TLSCredential(auth_data, use=use), session), NO_EXPIRY

    def make_client(self, context: TLSContext, credential: TLSPackageCredential, supplied: bytes | None) -> TLSClient:
        """Return the inner context of a client. MUTUAL_AUTH is the certificate that verifies."""
        if supplied is not None:
            raise refuse("pInput", "Schannel takes no SECBUFFER_PKG_PARAMS", SecurityStatus.SEC_E_INVALID_TOKEN)
        manual = context.request & c.ISC_REQ_MANUAL_CRED_VALIDATION or credential.tls.manual
        verify = not manual or bool(context.request & c.ISC_REQ_MUTUAL_AUTH)
        return TLSClient(context.target or "", credential.tls.client(verify=verify), self.session_for(context))

    def make_server(self, context: TLSContext, credential: TLSPackageCredential) -> TLSServer:
        """Return the inner context of a server."""
        demand = bool(context.request & c.ASC_REQ_MUTUAL_AUTH)
        return TLSServer(credential.tls.server(demand_certificate=demand), credential.tls.server_certificate)


def sp_lsa_mode_initialize(lsa_version: int) -> tuple[int, Sequence[SecpkgFunctionTable]]:  # noqa: ARG001
    """SpLsaModeInitialize."""
    return INTERFACE_VERSION, (SchannelPackage().table(),)


def sp_user_mode_initialize(lsa_version: int) -> tuple[int, Sequence[SecpkgUserFunctionTable]]:  # noqa: ARG001
    """SpUserModeInitialize."""
    return INTERFACE_VERSION, (StreamMessages().table(),)
