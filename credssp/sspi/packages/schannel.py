"""Schannel: TLS alone, the first half of CREDSSP."""

from __future__ import annotations

from typing import ClassVar

from credssp.channel_bindings import ChannelBindings
from credssp.sspi import constants as c
from credssp.sspi.auth_data import SchannelCred
from credssp.sspi.errors import bad_auth_data, bad_token, refuse
from credssp.sspi.packages.identities import Logon
from credssp.sspi.packages.inputs import Supplied, check_target
from credssp.sspi.packages.lsa_mode import Opening, lsa_mode_entry
from credssp.sspi.packages.stream_messages import StreamMessages
from credssp.sspi.packages.tls_context import TLSPackageCredential
from credssp.sspi.packages.tls_only import TLSClient, TLSServer
from credssp.sspi.packages.tls_package import TLSPackage
from credssp.sspi.packages.tls_settings import TLSCredential
from credssp.sspi.packages.user_mode import user_mode_entry
from credssp.sspi.tables import SecPkgInfo
from credssp.status import SecurityStatus

__all__ = ["sp_lsa_mode_initialize", "sp_user_mode_initialize"]


INFO = SecPkgInfo(
    capabilities=0x000107B3,
    version=1,
    rpc_id=14,
    max_token=24576,
    name=c.SCHANNEL_NAME,
    comment="Schannel Security Package",
)


class SchannelPackage(TLSPackage[TLSPackageCredential]):
    """The LSA-mode half. pszTargetName is a host's name here, without a service class."""

    info: ClassVar[SecPkgInfo] = INFO
    ends_with_handshake: ClassVar[bool] = True

    def make_credential(
        self, principal: str | None, use: int, logon_id: int, auth_data: object
    ) -> TLSPackageCredential:
        """Return a credential: pAuthData is a SCHANNEL_CRED."""
        if principal is not None:
            raise refuse("pszPrincipal", "TLS has no users: None", SecurityStatus.SEC_E_UNKNOWN_CREDENTIALS)
        if auth_data is not None and not isinstance(auth_data, SchannelCred):
            raise bad_auth_data(f"a SchannelCred, not a {type(auth_data).__name__}")
        tls = TLSCredential(auth_data, use=use)
        return TLSPackageCredential(use=use & c.SECPKG_CRED_BOTH, tls=tls, logon_id=logon_id)

    def logon(self, credential: TLSPackageCredential, context_req: int, supplied: Supplied | None) -> Logon:  # noqa: ARG002
        """Return the empty logon: TLS has no users."""
        if supplied is not None:
            raise bad_token("pInput", "Schannel takes no SECBUFFER_PKG_PARAMS")
        return credential.logon

    def check_bindings(self, bindings: ChannelBindings | None) -> None:
        """Refuse channel bindings: TLS makes them, and takes none."""
        if bindings is not None:
            raise bad_token(
                "pInput", "Schannel takes no SECBUFFER_CHANNEL_BINDINGS; SECPKG_ATTR_ENDPOINT_BINDINGS makes some"
            )

    def make_client(self, opening: Opening[TLSPackageCredential]) -> TLSClient:
        """Return the inner context of a client. MUTUAL_AUTH is the certificate that verifies."""
        tls, target, request = opening.credential.tls, opening.target, opening.request
        check_target(target or None)
        manual = request & c.ISC_REQ_MANUAL_CRED_VALIDATION or tls.manual
        verify = not manual or bool(request & c.ISC_REQ_MUTUAL_AUTH)
        return TLSClient(target or "", tls.client(verify=verify), opening.credential.session_for(target))

    def make_server(self, opening: Opening[TLSPackageCredential]) -> TLSServer:
        """Return the inner context of a server."""
        tls = opening.credential.tls
        demand = bool(opening.request & c.ASC_REQ_MUTUAL_AUTH)
        return TLSServer(tls.server(demand_certificate=demand), tls.server_certificate)

    def restart(self, inner: TLSClient | TLSServer, opening: Opening[TLSPackageCredential]) -> None:  # noqa: ARG002
        """Raise: TLS has no second exchange."""
        inner.restart()


sp_lsa_mode_initialize = lsa_mode_entry(SchannelPackage)
sp_user_mode_initialize = user_mode_entry(lambda: StreamMessages(INFO))
