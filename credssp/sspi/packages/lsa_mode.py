"""The LSA-mode half of the packages that come with this library: what all of them share.

A package says which flags it takes, makes its credentials (`make_credential`) and contexts (`start_client`,
`start_server`), and continues a context that has begun (`go_on`). What its contexts tell is in the table of
`credssp.sspi.attributes`.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Generic, TypeVar

from credssp.account import AccountStore
from credssp.channel_bindings import BindingDemand, ChannelBindings
from credssp.credentials import DelegatedCredentials, PasswordCredentials
from credssp.errors import CredSSPError
from credssp.identity import Identity
from credssp.next_step import NextStep
from credssp.server_authentication import ServerAuthentication
from credssp.sspi import constants as c
from credssp.sspi.attributes import CONTEXT_ATTRIBUTES, CREDENTIAL_ATTRIBUTES, row_of, thunks, unknown
from credssp.sspi.buffers import SecBuffer
from credssp.sspi.channel_bindings import take_bindings
from credssp.sspi.errors import SSPIError, bad_handle, bad_token, normalise, refuse, unsupported
from credssp.sspi.packages.identities import Logon, LogonSessions, from_supplied
from credssp.sspi.packages.inputs import Supplied, split_params, take_flags, token_and_empty
from credssp.sspi.support import LsaSupport
from credssp.sspi.tables import (
    INTERFACE_VERSION,
    NO_EXPIRY,
    LegResult,
    Parameters,
    SecpkgFunctionTable,
    SecPkgInfo,
    table_of,
)
from credssp.status import SecurityStatus

__all__ = [
    "EITHER_BINDINGS",
    "Credential",
    "LogonPackage",
    "LsaContext",
    "LsaModePackage",
    "Opening",
    "demand_of",
    "lsa_mode_entry",
]

_S = SecurityStatus


def demand_of(context_req: int, bindings: ChannelBindings | None) -> BindingDemand:
    """Return what fContextReq of a server demands of the client's channel bindings."""
    if context_req & c.ASC_REQ_PROXY_BINDINGS and bindings is None:
        return "sent"
    return "match_if_sent" if context_req & c.ASC_REQ_ALLOW_MISSING_BINDINGS else "match"


_ISC_REFUSED: Final = c.ISC_REQ_PROMPT_FOR_CREDS
"""What Windows refuses: there is nothing to ask the user with."""

EITHER_BINDINGS: Final = c.ASC_REQ_PROXY_BINDINGS | c.ASC_REQ_ALLOW_MISSING_BINDINGS
"""Both flags of a server about channel bindings; in pfContextAttr they mean that the client sent none."""


@dataclass(slots=True, eq=False, repr=False, kw_only=True)
class Credential:
    """A credential.

    Attributes:
        use: SECPKG_CRED_INBOUND, OUTBOUND or both.
        logon: who logs on, of a client.
        accounts: who may log on, of a server; None for the machine's accounts.
        keytab: keys of a server, for Kerberos; None for the machine's.
    """

    use: int
    logon: Logon = field(default_factory=Logon)
    accounts: AccountStore | None = None
    keytab: str | None = None

    @property
    def user_name(self) -> str:
        """Whom it stands for."""
        return self.logon.user_name


K = TypeVar("K", bound=Credential)
K_co = TypeVar("K_co", bound=Credential, covariant=True)


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class Opening(Generic[K_co]):
    """How an exchange begins.

    Attributes:
        info: the package.
        client: which role.
        credential: phCredential.
        logon: as whom a client logs on.
        target: pszTargetName.
        request: fContextReq.
        bindings: those of the channel around this exchange, if the first call gave any.
        started: seconds since 1970.
    """

    info: SecPkgInfo
    client: bool
    credential: K_co
    logon: Logon
    target: str | None = None
    request: int
    bindings: ChannelBindings | None = None
    started: float = field(default_factory=time.time)


@dataclass(slots=True, eq=False, repr=False)
class LsaContext(ABC):
    """A context in LSA mode.

    Attributes:
        opening: how the exchange began.
        identity: who logged on, to a server.
        mechanism_name: the inner mechanism.
        server_authentication: what proved the server's identity.
        received: what the client delegated.
    """

    opening: Opening[Credential]
    identity: Identity | None = field(init=False, default=None)
    mechanism_name: str = field(init=False, default="")
    server_authentication: ServerAuthentication = field(init=False, default=ServerAuthentication.NONE)
    received: DelegatedCredentials | None = field(init=False, default=None)
    _later_bindings: ChannelBindings | None = field(init=False, default=None)

    @property
    def client(self) -> bool:
        """Which role."""
        return self.opening.client

    @property
    def request(self) -> int:
        """The fContextReq of the first call."""
        return self.opening.request

    @property
    def user_name(self) -> str:
        """Who logged on, on a client as whom."""
        who = self.identity
        if who is None:
            return self.opening.logon.user_name
        return f"{who.domain}\\{who.username}" if who.domain else who.username

    @property
    def package_info(self) -> SecPkgInfo:
        """The package that the context belongs to."""
        return self.opening.info

    @property
    def delegated(self) -> DelegatedCredentials | None:
        """What the client delegated, if it is something, and if ASC_REQ_DELEGATE asked for it."""
        received = self.received
        if not self.request & c.ASC_REQ_DELEGATE or (isinstance(received, PasswordCredentials) and received.is_empty):
            return None
        return received

    @property
    @abstractmethod
    def complete(self) -> bool:
        """Whether the exchange is over."""

    @property
    @abstractmethod
    def granted(self) -> int:
        """The ``ISC_RET_...`` or ``ASC_RET_...`` bits."""

    @property
    def expiry(self) -> int:
        """When the context ends, a TimeStamp."""
        return NO_EXPIRY

    @property
    def bindings(self) -> ChannelBindings | None:
        """The channel bindings that calls gave so far."""
        return self.opening.bindings or self._later_bindings

    @property
    def demand(self) -> BindingDemand:
        """What a server demands of the client's channel bindings."""
        return demand_of(self.request, self.bindings)

    @property
    def without_bindings(self) -> int:
        """ASC_RET_MISSING_BINDINGS where a server allowed that the client sends none, and it sent none."""
        if self.client or self.identity is None or self.identity.channel_bindings:
            return 0
        return self.request & c.ASC_REQ_ALLOW_MISSING_BINDINGS

    def bind(self, bindings: ChannelBindings) -> None:
        """Take the channel bindings of a later call: most programs repeat those of the first, some give them here.

        Raises:
            SSPIError: SEC_E_INVALID_TOKEN, they differ from those before, or it is too late.
        """
        if bindings == self.bindings:
            return
        if self.bindings is not None:
            raise bad_token("pInput", "these are not the channel bindings of the calls before")
        self.bind_late(bindings)
        self._later_bindings = bindings

    def bind_late(self, bindings: ChannelBindings) -> None:  # noqa: ARG002 - for packages that can
        """Use channel bindings that the first call did not have."""
        raise bad_token("pInput", "channel bindings belong into the first call")

    def failure(self, error: CredSSPError, token: bytes = b"") -> SSPIError:
        """Return how a leg fails; without EXTENDED_ERROR the peer is not told what went wrong."""
        failure = normalise(error)
        tell = c.ISC_REQ_EXTENDED_ERROR if self.client else c.ASC_REQ_EXTENDED_ERROR
        failure.token = token + failure.token if self.request & tell else b""
        return failure


X = TypeVar("X", bound=LsaContext)


class LsaModePackage(ABC, Generic[K, X]):
    """SECPKG_FUNCTION_TABLE of a package: its members are the methods of their names.

    Attributes:
        info: what SpGetInfo says.
        isc_flags: which ISC_REQ_... it takes; others are left out of pfContextAttr.
        asc_flags: which ASC_REQ_... it takes, likewise.
        isc_kinds: of which of them a client needs one; 0 for none.
        asc_kinds: the same for a server.
        support: what the LSA offers, from SpInitialize on.
    """

    info: ClassVar[SecPkgInfo]
    isc_flags: ClassVar[int]
    asc_flags: ClassVar[int]
    isc_kinds: ClassVar[int] = 0
    asc_kinds: ClassVar[int] = 0
    support: LsaSupport

    def initialize(self, package_id: int, parameters: Parameters, support: LsaSupport) -> None:  # noqa: ARG002
        """SpInitialize."""
        self.support = support

    def get_info(self) -> SecPkgInfo:
        """SpGetInfo."""
        return self.info

    def get_extended_information(self, information_class: str) -> object:
        """SpGetExtendedInformation: which attributes are answered here (ContextThunks)."""
        if information_class == "ContextThunks":
            return thunks(self.info.name)
        raise SSPIError(
            f"no information of class {information_class}",
            status=_S.SEC_E_UNSUPPORTED_FUNCTION,
            advice=NextStep.SSPI_UNSUPPORTED,
        )

    # Credentials

    def acquire_credentials_handle(
        self,
        principal: str | None,
        use: int,
        logon_id: int | None,
        auth_data: object,
        get_key_fn: None,  # noqa: ARG002 - the dispatcher lets None pass only
        get_key_argument: None,  # noqa: ARG002
    ) -> tuple[K, int]:
        """SpAcquireCredentialsHandle."""
        session = self.support.check_logon_session(logon_id)
        return self.make_credential(principal, use, session, auth_data), NO_EXPIRY

    @abstractmethod
    def make_credential(self, principal: str | None, use: int, logon_id: int, auth_data: object) -> K:
        """Return the credential for pAuthData."""

    def query_credentials_attributes(self, credential: K, attribute: int) -> object:
        """SpQueryCredentialsAttributes."""
        row = row_of(CREDENTIAL_ATTRIBUTES, attribute, self.info.name)
        if row is None:
            raise unknown(repr(attribute))
        return row.answer(credential)

    # Legs

    def init_lsa_mode_context(
        self,
        credential: K,
        context: X | None,
        target_name: str | None,
        context_req: int,
        data_rep: int,  # noqa: ARG002 - the tokens have one representation
        inputs: Sequence[SecBuffer],
    ) -> LegResult:
        """SpInitLsaModeContext."""
        context_req = take_flags(context_req, self.isc_flags, refused=_ISC_REFUSED, need_one_of=self.isc_kinds)
        inputs, bindings = take_bindings(inputs)
        self.check_bindings(bindings)
        supplied = None
        if self.isc_flags & c.ISC_REQ_USE_SUPPLIED_CREDS:
            inputs, supplied = split_params(inputs, wanted=bool(context_req & c.ISC_REQ_USE_SUPPLIED_CREDS))
        if context is None:
            self._check_use(credential, c.SECPKG_CRED_OUTBOUND)
            self.check_first(inputs)
            logon = self.logon(credential, context_req, supplied)
            return self.start_client(self._opening(credential, logon, target_name, context_req, bindings, client=True))
        before = context.opening

        def again() -> Opening[K]:
            own: Any = credential or before.credential
            self._check_use(own, c.SECPKG_CRED_OUTBOUND)
            # The identity of an earlier SECBUFFER_PKG_PARAMS counts until another one comes.
            same = own is before.credential and supplied is None
            logon = before.logon if same else self.logon(own, context_req, supplied)
            target = target_name or before.target
            return self._opening(own, logon, target, context_req, bindings or context.bindings, client=True)

        return self._continue(context, credential, inputs, bindings, again)

    def accept_lsa_mode_context(
        self,
        credential: K,
        context: X | None,
        inputs: Sequence[SecBuffer],
        context_req: int,
        data_rep: int,  # noqa: ARG002
    ) -> LegResult:
        """SpAcceptLsaModeContext."""
        context_req = take_flags(context_req, self.asc_flags, need_one_of=self.asc_kinds, family="ASC_REQ")
        if context_req & EITHER_BINDINGS == EITHER_BINDINGS:
            raise unsupported("fContextReq", "PROXY_BINDINGS and ALLOW_MISSING_BINDINGS exclude each other")
        inputs, bindings = take_bindings(inputs)
        self.check_bindings(bindings)
        before: Any = None if context is None else context.opening.credential
        earlier = None if context is None else context.bindings

        def opening() -> Opening[K]:
            own = credential or before
            self._check_use(own, c.SECPKG_CRED_INBOUND)
            return self._opening(own, own.logon, None, context_req, bindings or earlier, client=False)

        if context is None:
            return self.start_server(opening(), inputs)
        return self._continue(context, credential, inputs, bindings, opening)

    @staticmethod
    def _check_use(credential: K, use: int) -> None:
        if not credential.use & use:
            made_for = "inbound" if use & c.SECPKG_CRED_OUTBOUND else "outbound"
            raise refuse("phCredential", f"made for {made_for} use", _S.SEC_E_NO_CREDENTIALS)

    def _opening(
        self,
        credential: K,
        logon: Logon,
        target: str | None,
        request: int,
        bindings: ChannelBindings | None,
        *,
        client: bool,
    ) -> Opening[K]:
        return Opening(
            info=self.info,
            client=client,
            credential=credential,
            logon=logon,
            target=target,
            request=request,
            bindings=bindings,
        )

    def _continue(
        self,
        context: X,
        credential: K | None,
        inputs: Sequence[SecBuffer],
        bindings: ChannelBindings | None,
        again: Callable[[], Opening[K]],
    ) -> LegResult:
        if context.complete:
            return self.after_end(context, inputs, again)
        if bindings is not None:
            context.bind(bindings)
        return self.go_on(context, credential, inputs)

    def check_bindings(self, bindings: ChannelBindings | None) -> None:
        """Refuse channel bindings where a package has no use for them."""

    def check_first(self, inputs: Sequence[SecBuffer]) -> None:
        """Refuse what does not belong into the first call of a client."""
        if any(buffer.buffer_type for buffer in inputs) and token_and_empty(inputs):  # not EMPTY alone
            raise bad_token("pInput", "the client speaks first: no TOKEN yet")

    def logon(self, credential: K, context_req: int, supplied: Supplied | None) -> Logon:
        """Return as whom a client logs on."""
        return from_supplied(supplied) if context_req & c.ISC_REQ_USE_SUPPLIED_CREDS else credential.logon

    @abstractmethod
    def start_client(self, opening: Opening[K]) -> LegResult:
        """Make a context and its first token."""

    @abstractmethod
    def start_server(self, opening: Opening[K], inputs: Sequence[SecBuffer]) -> LegResult:
        """Make a context and answer the first token."""

    @abstractmethod
    def go_on(self, context: X, credential: K | None, inputs: Sequence[SecBuffer]) -> LegResult:
        """Answer a further token."""

    def after_end(self, context: X, inputs: Sequence[SecBuffer], again: Callable[[], Opening[K]]) -> LegResult:  # noqa: ARG002
        """Continue a context that is complete.

        Args:
            context: the context.
            inputs: the buffers of pInput.
            again: returns how another exchange begins, with the credential, the target and the flags of this call.
        """
        raise refuse("phContext", "the exchange on this context is over", _S.SEC_E_OUT_OF_SEQUENCE)

    def query_context_attributes(self, context: X, attribute: int) -> object:
        """SpQueryContextAttributes."""
        row = row_of(CONTEXT_ATTRIBUTES, attribute, self.info.name)
        if not context.complete and (row is None or not row.early):
            raise bad_handle("phContext", "the exchange on this context is not over")
        if row is None or row.client not in (None, context.client):
            raise unknown(f"{attribute:#x}")
        return row.answer(context)


class LogonPackage(LsaModePackage[K, X]):
    """A package with users: credentials of a logon are its default credentials."""

    def __init__(self) -> None:
        self.sessions = LogonSessions()

    def accept_credentials(self, logon_type: int, account_name: str, primary: Any, supplemental: Any) -> None:  # noqa: ARG002
        """SpAcceptCredentials."""
        self.sessions.accept(account_name, primary)

    def logon_terminated(self, logon_id: int) -> None:
        """LsaApLogonTerminated."""
        self.sessions.forget(logon_id)


def lsa_mode_entry(
    package: Callable[[], LsaModePackage[Any, Any]],
) -> Callable[[int], tuple[int, tuple[SecpkgFunctionTable]]]:
    """Return the SpLsaModeInitialize of a module with one package."""
    return lambda lsa_version: (INTERFACE_VERSION, (table_of(SecpkgFunctionTable, package()),))  # noqa: ARG005
