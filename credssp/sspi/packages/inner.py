"""What Negotiate, NTLM and Kerberos share: tokens until the mechanism is complete, then sealing and signing.

The LSA-mode half is a thin layer over `credssp.nego`. The user-mode half gets what protects messages: NTLM hands over
its key as bytes, the others the mechanism itself (`credssp.sspi.support.SharedMemory`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from credssp.channel_bindings import ChannelBindings
from credssp.config import ServerConfig
from credssp.credentials import AgentCredentials, KeytabCredentials
from credssp.errors import CredSSPError
from credssp.mechanism import Mechanism
from credssp.policy import CredentialSource
from credssp.server_authentication import ServerAuthentication
from credssp.sspi import constants as c
from credssp.sspi.auth_data import Identity
from credssp.sspi.buffers import SecBuffer
from credssp.sspi.errors import bad_auth_data, bad_token, refuse
from credssp.sspi.packages.agents import agent_of, logon_of_agent, with_agent
from credssp.sspi.packages.identities import Logon, accounts_for, from_identity
from credssp.sspi.packages.inner_info import PACKAGE_INFO
from credssp.sspi.packages.inputs import check_target, peer_token, token_only
from credssp.sspi.packages.lsa_mode import (
    EITHER_BINDINGS,
    Credential,
    LogonPackage,
    LsaContext,
    Opening,
    demand_of,
)
from credssp.sspi.structures import SecPkgContext_KeyInfo
from credssp.sspi.tables import NO_EXPIRY, LegResult, SecPkgInfo
from credssp.status import SecurityStatus

__all__ = ["InnerContext", "InnerPackage"]

_S = SecurityStatus

_CALG_RC4: Final = 0x6801

_FLAGS: Final = (
    c.ISC_REQ_MUTUAL_AUTH
    | c.ISC_REQ_REPLAY_DETECT
    | c.ISC_REQ_SEQUENCE_DETECT
    | c.ISC_REQ_CONFIDENTIALITY
    | c.ISC_REQ_USE_SESSION_KEY
    | c.ISC_REQ_ALLOCATE_MEMORY
    | c.ISC_REQ_CONNECTION
)
# CredSSP cannot do without them, so every session has them, whatever was asked for.
_ALWAYS: Final = c.ISC_RET_REPLAY_DETECT | c.ISC_RET_SEQUENCE_DETECT | c.ISC_RET_CONFIDENTIALITY


@dataclass(slots=True, eq=False, repr=False)
class InnerContext(LsaContext):
    """A context in LSA mode.

    Attributes:
        mechanism: the mechanism.
        complete: whether the exchange is over. It stays so when a message does not verify: who logged on is known,
            although the mechanism protects nothing any more.
    """

    mechanism: Mechanism
    complete: bool = False

    @property
    def granted(self) -> int:
        """What was asked for, and what every session has; MUTUAL_AUTH if the mechanism did it."""
        if not self.complete:
            return self.request & c.ISC_REQ_ALLOCATE_MEMORY
        silent = c.ISC_REQ_MUTUAL_AUTH | (c.ISC_REQ_UNVERIFIED_TARGET_NAME if self.client else EITHER_BINDINGS)
        granted = (self.request & ~silent) | _ALWAYS | self.without_bindings
        granted |= c.ISC_RET_INTEGRITY if self.client else c.ASC_RET_INTEGRITY
        if self.server_authentication & ServerAuthentication.KERBEROS:
            granted |= self.request & c.ISC_REQ_MUTUAL_AUTH
        return granted

    def bind_late(self, bindings: ChannelBindings) -> None:
        """Use channel bindings that come before the token that proves them."""
        try:
            self.mechanism.bind(bindings, demand=demand_of(self.request, bindings))
        except CredSSPError as error:
            raise bad_token("pInput", error.message) from None

    def begin(self) -> None:
        """Use the channel bindings of the first call, if it gave any or a server demands them, and flags."""
        if self.client and self.request & c.ISC_REQ_UNVERIFIED_TARGET_NAME:
            self.mechanism.distrust_target()
        if self.bindings is not None or self.demand == "sent":
            self.mechanism.bind(self.bindings, demand=self.demand)

    @property
    def package_info(self) -> SecPkgInfo:
        """The package at work: that which Negotiate chose, as on Windows, once the exchange is over."""
        return PACKAGE_INFO[self.mechanism_name] if self.complete else self.opening.info

    @property
    def session_key(self) -> bytes:
        """The session key."""
        return self.mechanism.session_key

    @property
    def key_info(self) -> SecPkgContext_KeyInfo:
        """What protects the messages; GSS-API does not tell which encryption type Kerberos uses."""
        bits = 8 * len(self.session_key)
        if self.mechanism_name == "ntlm":
            return SecPkgContext_KeyInfo("HMAC-MD5", "RC4", bits, 0, _CALG_RC4)
        return SecPkgContext_KeyInfo("Kerberos", "Kerberos", bits, 0, 0)


class InnerPackage(LogonPackage[Credential, InnerContext]):
    """SECPKG_FUNCTION_TABLE of such a package."""

    isc_flags: ClassVar[int] = _FLAGS | c.ISC_REQ_INTEGRITY | c.ISC_REQ_USE_SUPPLIED_CREDS
    asc_flags: ClassVar[int] = _FLAGS | c.ASC_REQ_INTEGRITY | EITHER_BINDINGS

    @abstractmethod
    def initiator(self, logon: Logon, target: str) -> Mechanism:
        """Return the mechanism of a client."""

    @abstractmethod
    def acceptor(self, config: ServerConfig) -> Mechanism:
        """Return the mechanism of a server with these options."""

    def context_data(self, context: InnerContext) -> bytearray:
        """Return what the user-mode half needs."""
        return self.support.share(context.mechanism)

    def make_credential(self, principal: str | None, use: int, logon_id: int, auth_data: object) -> Credential:
        """Return a credential: pAuthData is a SEC_WINNT_AUTH_IDENTITY, or tickets or keys of Kerberos."""
        if auth_data is not None and not isinstance(auth_data, Identity):
            raise bad_auth_data(f"a SecWinntAuthIdentity, not a {type(auth_data).__name__}")
        logon = from_identity(auth_data, CredentialSource.FRESH)
        chosen = self.sessions.choose(
            logon,
            principal,
            use=use,
            logon_id=logon_id,
            agent=logon_of_agent(self.support.machine, principal),
        )
        keytab = auth_data.keytab if isinstance(auth_data, KeytabCredentials) else None
        return Credential(use=use & c.SECPKG_CRED_BOTH, logon=chosen, keytab=keytab)

    def add_credentials(
        self,
        credential: Credential,
        principal: str | None,
        package: str,  # noqa: ARG002 - the dispatcher lets this one pass only
        use: int,
        auth_data: object,
        get_key_fn: None,  # noqa: ARG002
        get_key_argument: None,  # noqa: ARG002
    ) -> int:
        """SpAddCredentials: the role is added; a user takes the place of the one before."""
        added = self.make_credential(principal, use, self.support.check_logon_session(None), auth_data)
        if added.use & c.SECPKG_CRED_OUTBOUND:
            credential.logon = added.logon
        if added.use & c.SECPKG_CRED_INBOUND:
            credential.keytab = added.keytab
        credential.use |= added.use
        return NO_EXPIRY

    def check_first(self, inputs: Sequence[SecBuffer]) -> None:
        """Refuse what is not a token; a token is ignored, since the client speaks first."""
        token_only(inputs)

    def start_client(self, opening: Opening[Credential]) -> LegResult:
        """Make a context and the first token."""
        check_target(opening.target)
        if opening.logon.chosen.unusable:
            raise refuse(
                "phCredential",
                f"its PackageList {opening.logon.chosen.unusable!r} leaves neither ntlm nor kerberos",
                _S.SEC_E_NO_CREDENTIALS,
            )
        logon, machine = opening.logon, self.support.machine
        if isinstance(logon.credentials, AgentCredentials) and (agent := agent_of(machine)) is not None:
            config = replace(with_agent(machine, logon), target_name=opening.target, mechanism=logon.mechanism)
            try:
                mechanism = agent.initiator(config, self.info.name)
            except CredSSPError as error:
                raise refuse("pszTargetName", error.message, _S.SEC_E_TARGET_UNKNOWN) from None
        else:
            mechanism = self.initiator(logon, opening.target or "host/unspecified")
        return self._begin(InnerContext(opening, mechanism), None)

    def start_server(self, opening: Opening[Credential], inputs: Sequence[SecBuffer]) -> LegResult:
        """Make a context and answer the first token."""
        token = peer_token(inputs)
        credential = opening.credential
        config = self.support.machine.serving(accounts_for(credential.accounts, self.support))
        if credential.keytab is not None:
            config = replace(config, keytab=credential.keytab)
        mechanism = self.acceptor(config)
        return self._begin(InnerContext(opening, mechanism), token)

    def go_on(
        self,
        context: InnerContext,
        credential: Credential | None,  # noqa: ARG002 - that of the first call is kept
        inputs: Sequence[SecBuffer],
    ) -> LegResult:
        """Answer a further token."""
        return self._step(context, peer_token(inputs))

    def refusal(self, context: InnerContext) -> bytes:  # noqa: ARG002 - for packages that have one
        """Return the token that tells the peer of a failure (EXTENDED_ERROR); empty where there is none."""
        return b""

    def _begin(self, context: InnerContext, token: bytes | None) -> LegResult:
        context.begin()
        return self._step(context, token)

    def _step(self, context: InnerContext, token: bytes | None) -> LegResult:
        mechanism = context.mechanism
        try:
            reply = mechanism.step(token) or b""
            if mechanism.question is not None:
                reply = mechanism.resume(self.support.machine.judge(mechanism.question)) or b""
        except CredSSPError as error:
            failure = context.failure(error, self.refusal(context))
            raise failure from failure.__cause__
        context.complete = complete = mechanism.complete
        context.identity, context.mechanism_name = mechanism.identity, mechanism.name
        context.server_authentication = mechanism.server_authentication
        return LegResult(
            status=_S.SEC_E_OK if complete else _S.SEC_I_CONTINUE_NEEDED,
            context=context,
            token=reply,
            attributes=context.granted,
            mapped=complete,
            context_data=self.context_data(context) if complete else None,
        )
