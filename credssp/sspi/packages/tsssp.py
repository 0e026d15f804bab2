"""TSSSP: the TSRequest engine without TLS (tspkg.dll), for a program that has TLS already.

Tokens are TSRequests. The program says which certificate its TLS connection has: with the first token of the peer, in a
further buffer of type TOKEN|READONLY, as four octets of length (little-endian) and the certificate in DER; a server
may leave it to the certificate of its credential. What TSSSP delegates does not hang on ISC_REQ_DELEGATE: mstsc does
not set it, and delegates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from credssp.accounts import MemoryAccounts
from credssp.binding import subject_public_key
from credssp.context.acceptor import create_acceptor
from credssp.context.initiator import create_initiator
from credssp.credentials import DelegatedCredentials, PasswordCredentials
from credssp.engine.client import ClientEngine
from credssp.engine.events import Authenticated, CredentialsReceived, Event, Send
from credssp.engine.server import ServerEngine
from credssp.errors import CredSSPError
from credssp.policy import DEFAULT_ENCRYPTION_ORACLE, DelegationPolicy, EncryptionOracle, PolicySettings
from credssp.server_authentication import ServerAuthentication
from credssp.sspi import constants as c
from credssp.sspi.buffers import SECBUFFER_READONLY, SECBUFFER_TOKEN, SecBuffer
from credssp.sspi.errors import SSPIError, refuse
from credssp.sspi.packages.credential import WINDOWS_POLICY, CredSSPCredential, CredSSPLogon, full_name, usable
from credssp.sspi.packages.identities import Logon, accounts_for
from credssp.sspi.packages.inputs import check_target, token_and_empty
from credssp.sspi.packages.lsa_mode import LsaContext, lsa_mode_entry
from credssp.sspi.packages.tls_package import STREAM_ASC, STREAM_ISC
from credssp.sspi.structures import SecPkgContext_Sizes
from credssp.sspi.tables import LegResult, SecPkgInfo
from credssp.status import SecurityStatus
from credssp.target import Target
from credssp.tls.trust import judge
from credssp.wire.framing import TSRequestBuffer

__all__ = ["sp_lsa_mode_initialize"]

_S = SecurityStatus

INFO: Final = SecPkgInfo(
    capabilities=0x00010230,
    version=1,
    rpc_id=0x16,
    max_token=13000,
    name=c.TS_SSP_NAME,
    comment="TS Service Security Package",
)

_EARNED: Final = c.ISC_RET_MUTUAL_AUTH | c.ISC_RET_DELEGATE


@dataclass(slots=True, eq=False, repr=False, kw_only=True)
class _Context(LsaContext):
    """A context; one of the two classes below."""

    credential: CredSSPCredential
    engine: ClientEngine | ServerEngine
    done: Authenticated | None = None
    received: DelegatedCredentials | None = None

    @property
    def complete(self) -> bool:
        """Whether the exchange is over."""
        return self.engine.complete

    @property
    def granted(self) -> int:
        """What was asked for, and of the things that must be earned what was."""
        granted = self.request & ~_EARNED
        if not self.complete or self.done is None:
            return granted
        if not self.client:
            return granted | (c.ASC_RET_DELEGATE if self.delegated is not None else 0)
        if self.done.server_authentication.is_strong:
            granted |= self.request & c.ISC_RET_MUTUAL_AUTH
        return granted | c.ISC_RET_DELEGATE

    @property
    def user_name(self) -> str:
        """Who logged on, on a client as whom."""
        identity = None if self.done is None else self.done.identity
        return self.logon.user_name if identity is None else full_name(identity)

    @property
    def mechanism_name(self) -> str:
        """The inner mechanism."""
        return "" if self.done is None else self.done.mechanism

    @property
    def server_authentication(self) -> ServerAuthentication:
        """What proved the server's identity."""
        return ServerAuthentication.NONE if self.done is None else self.done.server_authentication

    @property
    def delegated(self) -> DelegatedCredentials | None:
        """What the client delegated to a server that wants it."""
        return usable(self.received, wanted=bool(self.request & c.ASC_REQ_DELEGATE))

    @property
    def message_sizes(self) -> SecPkgContext_Sizes:
        """Sizes without messages."""
        return SecPkgContext_Sizes(INFO.max_token, 0, 0, 0)


@dataclass(slots=True, eq=False, repr=False, kw_only=True)
class _Client(_Context):
    """A client, which learns the server's certificate with its first token."""

    engine: ClientEngine
    bound: bool = False


@dataclass(slots=True, eq=False, repr=False, kw_only=True)
class _Server(_Context):
    """A server."""

    engine: ServerEngine


class TSSSPPackage(CredSSPLogon[_Context]):
    """The LSA-mode half; there is no other, since it protects no messages."""

    info: ClassVar[SecPkgInfo] = INFO
    isc_flags: ClassVar[int] = STREAM_ISC | c.ISC_REQ_DELEGATE
    asc_flags: ClassVar[int] = STREAM_ASC & ~c.ASC_REQ_MUTUAL_AUTH | c.ASC_REQ_DELEGATE

    def start_client(
        self, credential: CredSSPCredential, logon: Logon, target_name: str | None, context_req: int
    ) -> LegResult:
        """Make a context and the first TSRequest."""
        check_target(target_name)
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
        context = _Client(
            info=INFO,
            client=True,
            credential=credential,
            logon=logon,
            target=target_name,
            request=context_req,
            engine=engine,
        )
        return self._leg(context, engine.initiate, 0)

    def start_server(self, credential: CredSSPCredential, context_req: int, inputs: Sequence[SecBuffer]) -> LegResult:
        """Make a context and answer the first TSRequest."""
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
        context = _Server(
            info=INFO,
            client=False,
            credential=credential,
            logon=credential.logon,
            request=context_req,
            engine=engine,
        )
        return self._leg(context, lambda: engine.receive(data[:size]), len(data) - size)

    def _policy(self) -> tuple[DelegationPolicy, EncryptionOracle]:
        policy = self.support.machine.policy
        oracle = DEFAULT_ENCRYPTION_ORACLE
        if isinstance(policy, PolicySettings):
            oracle = policy.encryption_oracle or oracle
            policy = policy.delegation
        return (WINDOWS_POLICY if policy is None else policy), oracle

    def go_on(
        self,
        context: _Context,
        credential: CredSSPCredential | None,  # noqa: ARG002 - that of the first call is kept
        inputs: Sequence[SecBuffer],
    ) -> LegResult:
        """Answer a further TSRequest."""
        data, certificate = _take_certificate(inputs)
        unbound = context if isinstance(context, _Client) and not context.bound else None
        if certificate is not None and unbound is None:
            raise refuse("pInput", "the certificate is known already", _S.SEC_E_INVALID_TOKEN)
        size, missing = _measure(data)
        if missing:
            return LegResult(status=_S.SEC_E_INCOMPLETE_MESSAGE, context=context, missing=missing)
        if unbound is not None:
            if certificate is None:
                raise refuse(
                    "pInput",
                    "the first token of the server comes with its TLS certificate, in a buffer TOKEN|READONLY",
                    _S.SEC_E_INVALID_TOKEN,
                )
            _bind(unbound, certificate)
        return self._leg(context, lambda: context.engine.receive(data[:size]), len(data) - size)

    @staticmethod
    def _leg(context: _Context, run: Callable[[], list[Event]], extra: int) -> LegResult:
        try:
            events = run()
        except CredSSPError as error:
            failure = context.failure(error)
            raise failure from failure.__cause__
        token = b""
        for event in events:
            if isinstance(event, Send):
                token += event.data
            elif isinstance(event, Authenticated):
                context.done = event
            elif isinstance(event, CredentialsReceived):
                context.received = event.credentials
        return LegResult(
            status=_S.SEC_E_OK if context.complete else _S.SEC_I_CONTINUE_NEEDED,
            context=context,
            token=token,
            attributes=context.granted,
            extra=extra,
        )


def _bind(context: _Client, certificate: bytes) -> None:
    """Bind a client to the certificate that its program saw."""
    key = _key(certificate)
    host = Target.parse(context.target).host if context.target else ""
    trusted = judge((certificate,), host, context.credential.tls.roots).trusted
    context.engine.bind_to(
        key,
        transport_authentication=ServerAuthentication.CERTIFICATE if trusted else ServerAuthentication.NONE,
    )
    context.bound = True


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


sp_lsa_mode_initialize = lsa_mode_entry(TSSSPPackage)
