"""TSSSP: the TSRequest engine without TLS (tspkg.dll), for a program that has TLS already.

Tokens are TSRequests. The program says which certificate its TLS connection has: with the first token of the peer, in a
further buffer of type TOKEN|READONLY, as four bytes of length (little-endian) and the certificate in DER; a server
may leave it to the certificate of its credential. What TSSSP delegates does not hang on ISC_REQ_DELEGATE: mstsc does
not set it, and delegates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from credssp.binding import subject_public_key
from credssp.context.acceptor import create_acceptor
from credssp.context.initiator import create_initiator
from credssp.credentials import AgentCredentials
from credssp.engine.client import ClientEngine
from credssp.engine.driven import RemoteEngine
from credssp.engine.events import Authenticated, CredentialsReceived, Event, Send
from credssp.engine.server import ServerEngine
from credssp.errors import CredSSPError
from credssp.server_authentication import ServerAuthentication
from credssp.sspi import buffers as b
from credssp.sspi import constants as c
from credssp.sspi.buffers import SecBuffer
from credssp.sspi.errors import SSPIError, bad_token
from credssp.sspi.packages.agents import application_data_of, with_agent
from credssp.sspi.packages.credential import CredSSPCredential, CredSSPLogon, policy_for
from credssp.sspi.packages.identities import accounts_for
from credssp.sspi.packages.inputs import check_target, token_and_empty
from credssp.sspi.packages.lsa_mode import EITHER_BINDINGS, LsaContext, Opening, demand_of, lsa_mode_entry
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


@dataclass(slots=True, eq=False, repr=False)
class _Context(LsaContext):
    """A context; one of the two classes below."""

    opening: Opening[CredSSPCredential]
    engine: ClientEngine | ServerEngine | RemoteEngine

    message_sizes: ClassVar[SecPkgContext_Sizes] = SecPkgContext_Sizes(INFO.max_token, 0, 0, 0)

    @property
    def complete(self) -> bool:
        """Whether the exchange is over."""
        return self.engine.complete

    @property
    def granted(self) -> int:
        """What was asked for, and of the things that must be earned what was."""
        granted = self.request & ~_EARNED
        if not self.client:
            granted &= ~EITHER_BINDINGS
        if not self.complete:
            return granted
        if not self.client:
            return granted | self.without_bindings | (c.ASC_RET_DELEGATE if self.delegated is not None else 0)
        if self.server_authentication.is_strong:
            granted |= self.request & c.ISC_RET_MUTUAL_AUTH
        return granted | c.ISC_RET_DELEGATE

    def note(self, event: Event) -> bytes:
        """Note what an event of the engine says; returns what it wants sent."""
        if isinstance(event, Send):
            return event.data
        if isinstance(event, Authenticated):
            self.identity, self.mechanism_name = event.identity, event.mechanism
            self.server_authentication = event.server_authentication
        elif isinstance(event, CredentialsReceived):
            self.received = event.credentials
        return b""


@dataclass(slots=True, eq=False, repr=False)
class _Client(_Context):
    """A client, which learns the server's certificate with its first token."""

    engine: ClientEngine | RemoteEngine
    bound: bool = False


@dataclass(slots=True, eq=False, repr=False)
class _Server(_Context):
    """A server."""

    engine: ServerEngine


class TSSSPPackage(CredSSPLogon[_Context]):
    """The LSA-mode half; there is no other, since it protects no messages."""

    info: ClassVar[SecPkgInfo] = INFO
    isc_flags: ClassVar[int] = STREAM_ISC | c.ISC_REQ_DELEGATE
    asc_flags: ClassVar[int] = STREAM_ASC & ~c.ASC_REQ_MUTUAL_AUTH | c.ASC_REQ_DELEGATE | EITHER_BINDINGS

    def start_client(self, opening: Opening[CredSSPCredential]) -> LegResult:
        """Make a context and the first TSRequest."""
        logon, target_name, context_req = opening.logon, opening.target, opening.request
        check_target(target_name)
        machine = self.support.machine
        config = replace(
            with_agent(machine, logon),
            credentials=logon.credentials,
            delegated_credentials=logon.delegated,
            target_name=target_name,
            mechanism=logon.mechanism,
            policy=policy_for(machine, logon),
            source=logon.source,
            mutual_auth=bool(context_req & c.ISC_REQ_MUTUAL_AUTH),
        )
        agent = config.agent
        if agent is not None and isinstance(logon.credentials, AgentCredentials):
            if opening.bindings is not None:
                config = replace(config, channel_bindings=application_data_of(opening.bindings))
            elsewhere = agent(config, (), ServerAuthentication.NONE)
            return self._leg(_Client(opening, elsewhere), elsewhere.initiate, 0)
        initiator = create_initiator(config=config)
        if opening.bindings is not None:
            initiator.bind(opening.bindings)
        engine = ClientEngine(initiator, public_key=b"", config=config)
        return self._leg(_Client(opening, engine), engine.initiate, 0)

    def start_server(self, opening: Opening[CredSSPCredential], inputs: Sequence[SecBuffer]) -> LegResult:
        """Make a context and answer the first TSRequest."""
        data, certificate = _take_certificate(inputs)
        size, missing = _measure(data)
        if missing:
            return LegResult(status=_S.SEC_E_INCOMPLETE_MESSAGE, missing=missing)
        credential = opening.credential
        config = self.support.machine.serving(accounts_for(credential.accounts, self.support))
        acceptor = create_acceptor(config=config)
        demand = demand_of(opening.request, opening.bindings)
        if opening.bindings is not None or demand == "sent":
            acceptor.bind(opening.bindings, demand=demand)
        engine = ServerEngine(
            acceptor,
            public_key=_key(credential.tls.server_certificate.der if certificate is None else certificate),
            config=config,
        )
        return self._leg(_Server(opening, engine), lambda: self._receive(engine, data[:size]), len(data) - size)

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
            raise bad_token("pInput", "the certificate is known already")
        size, missing = _measure(data)
        if missing:
            return LegResult(status=_S.SEC_E_INCOMPLETE_MESSAGE, context=context, missing=missing)
        if unbound is not None:
            if certificate is None:
                raise bad_token(
                    "pInput", "the first token of the server comes with its TLS certificate, in a buffer TOKEN|READONLY"
                )
            _bind(unbound, certificate)
        return self._leg(context, lambda: self._receive(context.engine, data[:size]), len(data) - size)

    def _receive(self, engine: ClientEngine | ServerEngine | RemoteEngine, message: bytes) -> list[Event]:
        events = engine.receive(message)
        while isinstance(engine, ServerEngine) and engine.question is not None:
            events += engine.answer(self.support.machine.judge(engine.question))
        return events

    @staticmethod
    def _leg(context: _Context, run: Callable[[], list[Event]], extra: int) -> LegResult:
        try:
            events = run()
        except CredSSPError as error:
            failure = context.failure(error)
            raise failure from failure.__cause__
        token = b"".join(map(context.note, events))
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
    host = Target.parse(context.opening.target).host if context.opening.target else ""
    trusted = judge((certificate,), host, context.opening.credential.tls.roots).trusted
    by_tls = ServerAuthentication.CERTIFICATE if trusted else ServerAuthentication.NONE
    if isinstance(context.engine, ClientEngine):
        context.engine.bind_to(key, transport_authentication=by_tls)
    else:
        try:
            context.engine.bind((certificate,), by_tls)
        except CredSSPError as error:
            raise context.failure(error) from None
    context.bound = True


def _take_certificate(inputs: Sequence[SecBuffer]) -> tuple[bytes, bytes | None]:
    """Take the buffer with the certificate out of the inputs; return the token and the certificate."""
    marked = [buffer for buffer in inputs if buffer.buffer_type == b.SECBUFFER_TOKEN | b.SECBUFFER_READONLY]
    rest = [buffer for buffer in inputs if buffer not in marked]
    data = token_and_empty(rest)
    if not marked:
        return data, None
    content = bytes(marked[0].view("pInput"))
    certificate = content[4:]
    if len(marked) > 1 or not certificate or int.from_bytes(content[:4], "little") != len(certificate):
        raise bad_token("pInput", "TOKEN|READONLY holds the length (four bytes) and the certificate")
    return data, certificate


def _key(certificate: bytes) -> bytes:
    try:
        return subject_public_key(certificate)
    except CredSSPError as error:
        raise bad_token("pInput", f"the certificate does not decode: {error.message}") from None


def _measure(data: bytes) -> tuple[int, int]:
    """Return how long the first TSRequest is, and how many bytes it lacks (the length is 0 then).

    Raises:
        SSPIError: SEC_E_INVALID_TOKEN, SEC_E_INSUFFICIENT_MEMORY.
    """
    buffer = TSRequestBuffer()
    try:
        buffer.feed(data)
        message = buffer.next_message()
    except CredSSPError as error:
        raise SSPIError(error.message, status=error.status, advice=error.advice) from error
    if message is None:
        return 0, buffer.missing
    return len(message), 0


sp_lsa_mode_initialize = lsa_mode_entry(TSSSPPackage)
