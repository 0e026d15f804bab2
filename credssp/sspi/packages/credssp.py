"""CREDSSP: TLS and TSRequest as one stream package (credssp.dll)."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from credssp.config import CbtHardening, ClientConfig, ServerConfig
from credssp.context import ClientContext, ServerContext
from credssp.sspi import constants as c
from credssp.sspi.errors import refuse, unsupported
from credssp.sspi.packages.agents import application_data_of, with_agent
from credssp.sspi.packages.credential import CredSSPCredential, CredSSPLogon, policy_for
from credssp.sspi.packages.identities import accounts_for
from credssp.sspi.packages.inputs import check_target
from credssp.sspi.packages.lsa_mode import EITHER_BINDINGS, Opening, demand_of, lsa_mode_entry
from credssp.sspi.packages.stream_messages import StreamMessages
from credssp.sspi.packages.tls_context import TLSContext
from credssp.sspi.packages.tls_package import TLSPackage
from credssp.sspi.packages.user_mode import user_mode_entry
from credssp.sspi.tables import SecPkgInfo
from credssp.status import SecurityStatus

__all__ = ["sp_lsa_mode_initialize", "sp_user_mode_initialize"]

INFO = SecPkgInfo(
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


class CredSSPContext(TLSContext):
    """A context in LSA mode: TLS, and who logged on."""

    __slots__ = ()

    def note_end(self) -> None:
        """Note who logged on, how, and what was delegated."""
        inner = self.inner
        self.mechanism_name = inner.mechanism
        if self.client:
            self.server_authentication = inner.server_authentication
        else:
            self.identity, self.received = inner.identity, inner.delegated_credentials

    @property
    def earned(self) -> int:
        """Which of MUTUAL_AUTH and DELEGATE hold."""
        if self.client:
            # MUTUAL_AUTH was demanded, so the exchange is not over without it; nor is it without the policy's yes.
            return c.ISC_RET_MUTUAL_AUTH | c.ISC_RET_DELEGATE
        return super().earned | (c.ASC_RET_DELEGATE if self.delegated is not None else 0)


class CredSSPPackage(TLSPackage[CredSSPCredential], CredSSPLogon[TLSContext]):
    """The LSA-mode half."""

    info: ClassVar[SecPkgInfo] = INFO
    isc_flags: ClassVar[int] = TLSPackage.isc_flags | c.ISC_REQ_DELEGATE
    # The page calls ASC_REQ_DELEGATE allowed in one place and unsupported in another; Windows' own test server sets it.
    asc_flags: ClassVar[int] = TLSPackage.asc_flags | c.ASC_REQ_DELEGATE | EITHER_BINDINGS
    context: ClassVar[type[TLSContext]] = CredSSPContext

    def _client(self, opening: Opening[CredSSPCredential]) -> ClientConfig:
        """Return the options of a client.

        Raises:
            SSPIError: SEC_E_TARGET_UNKNOWN, SEC_E_DELEGATION_POLICY.
        """
        credential, logon, target, request = opening.credential, opening.logon, opening.target, opening.request
        check_target(target)
        delegate = bool(request & c.ISC_REQ_DELEGATE)
        if target is None and delegate:
            raise refuse(
                "pszTargetName",
                "the policy lets credentials go to a named server only",
                SecurityStatus.SEC_E_DELEGATION_POLICY,
            )
        machine = self.support.machine
        policy = policy_for(machine, logon)
        client = with_agent(machine, logon)
        if opening.bindings is not None:
            client = replace(client, channel_bindings=application_data_of(opening.bindings))
        return replace(
            client,
            credentials=logon.credentials,
            target_name=target,
            mechanism=logon.mechanism,
            delegate=delegate,
            delegated_credentials=logon.delegated,
            policy=policy,
            source=logon.source,
            mutual_auth=bool(request & c.ISC_REQ_MUTUAL_AUTH),
            tls=credential.tls.client(verify=not (request & c.ISC_REQ_MANUAL_CRED_VALIDATION or credential.tls.manual)),
            tls_session=credential.session_for(target),
        )

    def _server(self, opening: Opening[CredSSPCredential]) -> ServerConfig:
        """Return the options of a server."""
        credential, bindings = opening.credential, opening.bindings
        config = self.support.machine.serving(accounts_for(credential.accounts, self.support))
        demand = demand_of(opening.request, bindings)
        if demand == "sent":
            raise unsupported("fContextReq", "PROXY_BINDINGS needs a SECBUFFER_CHANNEL_BINDINGS in CREDSSP")
        if bindings is not None:
            hardening: CbtHardening = "relaxed" if demand == "match_if_sent" else "strict"
            config = replace(config, channel_bindings=application_data_of(bindings), cbt_hardening=hardening)
        return replace(
            config,
            certificate=credential.tls.server_certificate,
            tls=credential.tls.server(demand_certificate=bool(opening.request & c.ASC_REQ_MUTUAL_AUTH)),
        )

    def make_client(self, opening: Opening[CredSSPCredential]) -> ClientContext:
        """Return the inner context of a client."""
        return ClientContext(config=self._client(opening))

    def make_server(self, opening: Opening[CredSSPCredential]) -> ServerContext:
        """Return the inner context of a server."""
        return ServerContext(config=self._server(opening))

    def restart(self, inner: ClientContext | ServerContext, opening: Opening[CredSSPCredential]) -> None:
        """Log on again with the credential, the target and the flags of this call."""
        if isinstance(inner, ClientContext):
            inner.restart(self._client(opening))
        else:
            inner.restart(self._server(opening))

    def answer(self, context: TLSContext) -> bytes:
        """Ask the machine's logon authority."""
        question = context.inner.question
        if question is None:
            return b""
        token: bytes = context.inner.answer(self.support.machine.judge(question)).token
        return token


sp_lsa_mode_initialize = lsa_mode_entry(CredSSPPackage)
sp_user_mode_initialize = user_mode_entry(lambda: StreamMessages(INFO))
