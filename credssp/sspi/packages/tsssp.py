"""TSSSP: the TSRequest engine without TLS (tspkg.dll), for a program that has TLS already.

Tokens are TSRequests. The program says which certificate its TLS connection has: with the first token of the peer, in a
further buffer of type TOKEN|READONLY, as four octets of length (little-endian) and the certificate in DER; a server
may leave it to the certificate of its credential. What TSSSP delegates does not hang on ISC_REQ_DELEGATE: mstsc does
not set it, and delegates.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from credssp.accounts import MemoryAccounts
from credssp.binding import subject_public_key
from credssp.context.acceptor import create_acceptor
from credssp.context.initiator import create_initiator
from credssp.credentials import PasswordCredentials
from credssp.engine.client import ClientEngine
from credssp.engine.events import Authenticated, CredentialsReceived, Event, Send
from credssp.engine.server import ServerEngine
from credssp.errors import CredSSPError
from credssp.policy import DEFAULT_ENCRYPTION_ORACLE, DelegationPolicy, EncryptionOracle, PolicySettings
from credssp.server_authentication import ServerAuthentication
from credssp.sspi import attributes as a
from credssp.sspi import constants as c
from credssp.sspi.buffers import SECBUFFER_READONLY, SECBUFFER_TOKEN, SecBuffer
from credssp.sspi.errors import SSPIError, normalise, refuse
from credssp.sspi.packages.credential import CredSSPCredential, acquire
from credssp.sspi.packages.delegated import client_creds, names, server_auth_flags, usable
from credssp.sspi.packages.identities import Logon, LogonSessions, accounts_for, from_supplied
from credssp.sspi.packages.inner_info import PACKAGE_INFO
from credssp.sspi.packages.inputs import check_flags, check_target, split_params, token_and_empty
from credssp.sspi.packages.shipped import ShippedPackage
from credssp.sspi.tables import INTERFACE_VERSION, NO_EXPIRY, LegResult, SecpkgFunctionTable, SecPkgInfo
from credssp.sspi.timestamps import timestamp
from credssp.status import SecurityStatus
from credssp.target import Target
from credssp.tls.trust import judge
from credssp.wire.framing import TSRequestBuffer

__all__ = ["sp_lsa_mode_initialize"]

_S = SecurityStatus

_ISC: Final = (
    c.ISC_REQ_DELEGATE
    | c.ISC_REQ_MUTUAL_AUTH
    | c.ISC_REQ_REPLAY_DETECT
    | c.ISC_REQ_SEQUENCE_DETECT
    | c.ISC_REQ_CONFIDENTIALITY
    | c.ISC_REQ_USE_SUPPLIED_CREDS
    | c.ISC_REQ_ALLOCATE_MEMORY
    | c.ISC_REQ_CONNECTION
    | c.ISC_REQ_EXTENDED_ERROR
    | c.ISC_REQ_STREAM
    | c.ISC_REQ_INTEGRITY
    | c.ISC_REQ_MANUAL_CRED_VALIDATION
)
_ASC: Final = (
    c.ASC_REQ_DELEGATE
    | c.ASC_REQ_REPLAY_DETECT
    | c.ASC_REQ_SEQUENCE_DETECT
    | c.ASC_REQ_CONFIDENTIALITY
    | c.ASC_REQ_ALLOCATE_MEMORY
    | c.ASC_REQ_CONNECTION
    | c.ASC_REQ_EXTENDED_ERROR
    | c.ASC_REQ_STREAM
    | c.ASC_REQ_INTEGRITY
)
_WINDOWS: Final = DelegationPolicy.windows_defaults()

_EARNED: Final = c.ISC_RET_MUTUAL_AUTH | c.ISC_RET_DELEGATE


@dataclasses.dataclass(slots=True, eq=False, kw_only=True)
class _Context:
    engine: ClientEngine | ServerEngine
    credential: CredSSPCredential
    logon: Logon
    target: str | None
    request: int
    bound: bool
    done: Authenticated | None = None
    received: Any = None
    started: float = dataclasses.field(default_factory=time.time)

    @property
    def client(self) -> bool:
        return isinstance(self.engine, ClientEngine)


class TSSSPPackage(ShippedPackage):
    """The LSA-mode half; there is no other, since it protects no messages."""

    info: ClassVar[SecPkgInfo] = SecPkgInfo(
        capabilities=0x00010230,
        version=1,
        rpc_id=0x16,
        max_token=13000,
        name=c.TS_SSP_NAME,
        comment="TS Service Security Package",
    )

    def __init__(self) -> None:
        super().__init__()
        self._sessions = LogonSessions()

    def table(self) -> SecpkgFunctionTable:
        """Return the table."""
        return SecpkgFunctionTable(
            initialize=self.initialize,
            get_info=self.get_info,
            accept_credentials=self.accept_credentials,
            acquire_credentials_handle=self.acquire_credentials_handle,
            query_credentials_attributes=self.query_credentials_attributes,
            init_lsa_mode_context=self.init_lsa_mode_context,
            accept_lsa_mode_context=self.accept_lsa_mode_context,
            query_context_attributes=self.query_context_attributes,
        )

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

    def query_credentials_attributes(self, credential: CredSSPCredential, attribute: int) -> object:
        """SpQueryCredentialsAttributes."""
        if attribute == a.SECPKG_CRED_ATTR_NAMES:
            return a.SecPkgCredentials_Names(credential.logon.user_name)
        raise refuse("ulAttribute", f"{attribute!r} is not known here", _S.SEC_E_UNSUPPORTED_FUNCTION)

    # Legs

    def init_lsa_mode_context(
        self,
        credential: CredSSPCredential,
        context: _Context | None,
        target_name: str | None,
        context_req: int,
        data_rep: int,  # noqa: ARG002 - DER has one representation
        inputs: Sequence[SecBuffer],
    ) -> LegResult:
        """SpInitLsaModeContext."""
        check_flags(context_req, _ISC)
        rest, supplied = split_params(inputs, wanted=bool(context_req & c.ISC_REQ_USE_SUPPLIED_CREDS))
        if context is not None:
            return self._go_on(context, rest, client=True)
        if not credential.use & c.SECPKG_CRED_OUTBOUND:
            raise refuse("phCredential", "made for inbound use", _S.SEC_E_NO_CREDENTIALS)
        if rest and token_and_empty(rest):
            raise refuse("pInput", "the client speaks first: no TOKEN yet", _S.SEC_E_INVALID_TOKEN)
        check_target(target_name)
        logon = from_supplied(supplied) if context_req & c.ISC_REQ_USE_SUPPLIED_CREDS else credential.logon
        delegated = logon.delegated
        if delegated is None and isinstance(logon.credentials, PasswordCredentials):
            delegated = logon.credentials
        policy, oracle = self._policy()
        engine = ClientEngine(
            create_initiator(
                logon.credentials, target_name=target_name or "host/unspecified", mechanism=logon.mechanism
            ),
            public_key=b"",
            credentials=PasswordCredentials.empty() if delegated is None else delegated,
            policy=policy,
            target_name=target_name,
            source=logon.source,
            mutual_auth=bool(context_req & c.ISC_REQ_MUTUAL_AUTH),
            min_version=oracle.client_min_version,
        )
        context = _Context(
            engine=engine, credential=credential, logon=logon, target=target_name, request=context_req, bound=False
        )
        return self._run(context, b"", 0)

    def accept_lsa_mode_context(
        self,
        credential: CredSSPCredential,
        context: _Context | None,
        inputs: Sequence[SecBuffer],
        context_req: int,
        data_rep: int,  # noqa: ARG002
    ) -> LegResult:
        """SpAcceptLsaModeContext."""
        check_flags(context_req, _ASC, family="ASC_REQ")
        if context is not None:
            return self._go_on(context, inputs, client=False)
        if not credential.use & c.SECPKG_CRED_INBOUND:
            raise refuse("phCredential", "made for outbound use", _S.SEC_E_NO_CREDENTIALS)
        data, certificate = _take_certificate(inputs)
        size, missing = _measure(data)
        if missing:
            return LegResult(status=_S.SEC_E_INCOMPLETE_MESSAGE, missing=missing)
        accounts = accounts_for(credential.accounts, self.support)
        _, oracle = self._policy()
        engine = ServerEngine(
            create_acceptor(MemoryAccounts({}) if accounts is None else accounts, keytab=self.support.machine.keytab),
            public_key=_key(credential.tls.server_certificate.der if certificate is None else certificate),
            min_version=oracle.server_min_version,
        )
        context = _Context(
            engine=engine, credential=credential, logon=credential.logon, target=None, request=context_req, bound=True
        )
        return self._run(context, data[:size], len(data) - size)

    def _policy(self) -> tuple[DelegationPolicy, EncryptionOracle]:
        policy = self.support.machine.policy
        oracle = DEFAULT_ENCRYPTION_ORACLE
        if isinstance(policy, PolicySettings):
            oracle = policy.encryption_oracle or oracle
            policy = policy.delegation
        return (_WINDOWS if policy is None else policy), oracle

    def _go_on(self, context: _Context, inputs: Sequence[SecBuffer], *, client: bool) -> LegResult:
        if context.client is not client:
            raise refuse("phContext", "this context belongs to the other role", _S.SEC_E_INVALID_HANDLE)
        if context.engine.complete:
            raise refuse("phContext", "the exchange on this context is over", _S.SEC_E_OUT_OF_SEQUENCE)
        data, certificate = _take_certificate(inputs)
        if certificate is not None and context.bound:
            raise refuse("pInput", "the certificate is known already", _S.SEC_E_INVALID_TOKEN)
        size, missing = _measure(data)
        if missing:
            return LegResult(status=_S.SEC_E_INCOMPLETE_MESSAGE, context=context, missing=missing)
        if not context.bound:
            if certificate is None:
                raise refuse(
                    "pInput",
                    "the first token of the server comes with its TLS certificate, in a buffer TOKEN|READONLY",
                    _S.SEC_E_INVALID_TOKEN,
                )
            self._bind(context, certificate)
        return self._run(context, data[:size], len(data) - size)

    @staticmethod
    def _bind(context: _Context, certificate: bytes) -> None:
        engine = context.engine
        assert isinstance(engine, ClientEngine)  # noqa: S101  # a server is bound from the start
        key = _key(certificate)
        host = Target.parse(context.target).host if context.target else ""
        trusted = judge((certificate,), host, context.credential.tls.roots).trusted
        engine.bind_to(
            key,
            transport_authentication=ServerAuthentication.CERTIFICATE if trusted else ServerAuthentication.NONE,
        )
        context.bound = True

    def _run(self, context: _Context, message: bytes, extra: int) -> LegResult:
        engine = context.engine
        try:
            first = isinstance(engine, ClientEngine) and not message
            events = engine.initiate() if first else engine.receive(message)  # type: ignore[union-attr]
        except CredSSPError as error:
            failure = normalise(error)
            tell = c.ISC_REQ_EXTENDED_ERROR if context.client else c.ASC_REQ_EXTENDED_ERROR
            if not context.request & tell:
                failure.token = b""
            raise failure from failure.__cause__
        token = b"".join(self._note(context, event) for event in events)
        return LegResult(
            status=_S.SEC_E_OK if engine.complete else _S.SEC_I_CONTINUE_NEEDED,
            context=context,
            token=token,
            attributes=self._attributes(context),
            extra=extra,
        )

    @staticmethod
    def _note(context: _Context, event: Event) -> bytes:
        if isinstance(event, Send):
            return event.data
        if isinstance(event, Authenticated):
            context.done = event
        elif isinstance(event, CredentialsReceived):
            context.received = event.credentials
        return b""

    def _attributes(self, context: _Context) -> int:
        granted = context.request & ~_EARNED
        if context.engine.complete and context.done is not None:
            if not context.client:
                return granted | (c.ASC_RET_DELEGATE if self._usable(context) is not None else 0)
            if context.done.server_authentication.is_strong:
                granted |= context.request & c.ISC_RET_MUTUAL_AUTH
            granted |= c.ISC_RET_DELEGATE
        return granted

    @staticmethod
    def _usable(context: _Context) -> Any:
        return usable(context.received, wanted=bool(context.request & c.ASC_REQ_DELEGATE))

    def query_context_attributes(self, context: _Context, attribute: int) -> object:
        """SpQueryContextAttributes."""
        if attribute == a.SECPKG_ATTR_PACKAGE_INFO:
            return a.SecPkgContext_PackageInfo(self.info)
        done = context.done
        if not context.engine.complete or done is None:
            raise refuse("phContext", "the exchange on this context is not over", _S.SEC_E_INVALID_HANDLE)
        if attribute == a.SECPKG_ATTR_SIZES:
            return a.SecPkgContext_Sizes(self.info.max_token, 0, 0, 0)
        if attribute == a.SECPKG_ATTR_NEGOTIATION_PACKAGE:
            return a.SecPkgContext_PackageInfo(PACKAGE_INFO[done.mechanism])
        if attribute == a.SECPKG_ATTR_NAMES:
            if done.identity is not None:
                return names(done.identity)
            return a.SecPkgContext_Names(context.logon.user_name)
        if attribute == a.SECPKG_ATTR_FLAGS:
            return a.SecPkgContext_Flags(self._attributes(context))
        if attribute == a.SECPKG_ATTR_LIFESPAN:
            return a.SecPkgContext_Lifespan(timestamp(context.started), NO_EXPIRY)
        if attribute == a.SECPKG_ATTR_SERVER_AUTH_FLAGS and context.client:
            return server_auth_flags(done.server_authentication)
        if attribute in (a.SECPKG_ATTR_CREDS, a.SECPKG_ATTR_CREDS_2) and not context.client:
            return client_creds(self._usable(context), attribute)
        raise refuse("ulAttribute", f"{attribute:#x} is not known here", _S.SEC_E_UNSUPPORTED_FUNCTION)


def _take_certificate(inputs: Sequence[SecBuffer]) -> tuple[bytes, bytes | None]:
    """Take the buffer with the certificate out of the inputs; return the token and the certificate."""
    marked = [buffer for buffer in inputs if buffer.buffer_type == SECBUFFER_TOKEN | SECBUFFER_READONLY]
    rest = [buffer for buffer in inputs if buffer not in marked]
    data = token_and_empty(rest)
    if not marked:
        return data, None
    content = bytes(marked[0].view("pInput"))
    certificate = content[4:]
    if len(marked) > 1 or not certificate or int.from_bytes(content[:4], "little") != len(certificate):
        raise refuse(
            "pInput", "TOKEN|READONLY holds the length (four octets) and the certificate", _S.SEC_E_INVALID_TOKEN
        )
    return data, certificate


def _key(certificate: bytes) -> bytes:
    try:
        return subject_public_key(certificate)
    except CredSSPError as error:
        raise refuse("pInput", f"the certificate does not decode: {error.message}", _S.SEC_E_INVALID_TOKEN) from None


def _measure(data: bytes) -> tuple[int, int]:
    """Return how long the first TSRequest is, and how many octets it lacks (the length is 0 then).

    Raises:
        SSPIError: SEC_E_INVALID_TOKEN, SEC_E_INSUFFICIENT_MEMORY.
    """
    buffer = TSRequestBuffer()
    try:
        buffer.feed(data)
        message = buffer.next_message()
    except CredSSPError as error:
        raise SSPIError(error.message, status=error.status) from error
    if message is None:
        return 0, buffer.missing
    return len(message), 0


def sp_lsa_mode_initialize(lsa_version: int) -> tuple[int, Sequence[SecpkgFunctionTable]]:  # noqa: ARG001
    """SpLsaModeInitialize."""
    return INTERFACE_VERSION, (TSSSPPackage().table(),)
