"""The server's end of network level authentication ([MS-RDPBCGR] 3.3.5.3, 5.4.2).

===================== ===================================================================================
state                 what happens
===================== ===================================================================================
EXPECT_X224           Connection Request, answered with the choice; a first byte 0x16 is TLS: direct approach
EXPECT_CREDSSP        TLS and CredSSP, `credssp.ServerContext`
AWAIT_ANSWER          `answer`: a logon authority has to be asked, then back to EXPECT_CREDSSP
DECIDE_AUTHORIZATION  `authorize`: four bytes to the client, if HYBRID_EX was selected
EXPECT_X224_INSIDE    direct approach only: Connection Request and Confirm inside TLS
COMPLETE              the stream is the application's
===================== ===================================================================================

With HYBRID a client takes a bare close for a refusal. So a server that ends a session in which it has sent nothing
sends MCS Disconnect Provider Ultimatum first (`shutdown`); one that refuses does not.

Nothing is set up for a client before its Connection Request is whole and asks for CredSSP: a connection that only
stays open costs a few hundred bytes here.
"""

from __future__ import annotations

from typing import Final, NoReturn, Unpack

from credssp.authority import LogonAnswer
from credssp.config import RDPServerOptions, ServerConfig, server_config
from credssp.context import ServerContext, StepResult
from credssp.context.server import loaded_once
from credssp.credentials import RemoteGuardCredentials
from credssp.errors import (
    CredSSPError,
    LimitExceededError,
    LocalProtocolError,
    PeerClosedError,
    RemoteProtocolError,
)
from credssp.next_step import NextStep
from credssp.rdp.early_user_authorization import AuthorizationDeniedError, EarlyUserAuthorization
from credssp.rdp.endpoint import Endpoint
from credssp.rdp.events import AnswerRequired, Approach, AuthorizationRequired, Event, Negotiated, RDPState
from credssp.rdp.mcs import PROVIDER_INITIATED
from credssp.rdp.negotiation import (
    CREDSSP_PROTOCOLS,
    FailureCode,
    NegotiationError,
    NegotiationFailure,
    NegotiationResponse,
    Protocol,
    RequestFlags,
    ResponseFlags,
    choose_protocol,
    protocol_names,
)
from credssp.rdp.x224 import ConnectionConfirm, ConnectionRequest
from credssp.tls.certificate import ServerCertificate
from credssp.tls.channel import TLSChannel

__all__ = ["NLAServer"]

_TLS_HANDSHAKE: Final = 0x16


class NLAServer(Endpoint[ServerContext]):
    """Lets one client log on.

    Attributes:
        config: the options.
        request: the client's Connection Request, or None before.
    """

    def __init__(self, *, config: ServerConfig | None = None, **options: Unpack[RDPServerOptions]) -> None:
        """Prepare to serve one client.

        Args:
            protocols: HYBRID, HYBRID_EX or both. A server that takes anything else as well decides that with
                `choose_protocol` before it makes one of these.
            restricted_admin: tell clients that ask that Restricted Admin mode is supported. They then delegate an
                empty set, as any client may without asking.
            remote_guard: the same for Remote Credential Guard. Its buffers are refused where the mode was not agreed
                on, and after a login that was not with Kerberos.
            direct: take clients that begin with TLS.
            response_flags: further RDP_NEG_RSP.flags, which are about the session after the login.
            options: see `credssp.ServerContext`.

        Raises:
            LocalProtocolError, TypeError: arguments that make no sense, such as protocols without CredSSP.
        """
        super().__init__()
        config = server_config("NLAServer", RDPServerOptions, config, options)
        if config.certificate is not None and not isinstance(config.certificate, ServerCertificate):
            config = loaded_once(config)  # a file that cannot be read is found before a client comes
        self.config = config
        protocols = self._protocols = CREDSSP_PROTOCOLS if config.protocols is None else config.protocols
        if not protocols & CREDSSP_PROTOCOLS or protocols & ~CREDSSP_PROTOCOLS:
            raise LocalProtocolError("protocols are HYBRID, HYBRID_EX or both: this server authenticates everybody")
        self.request: ConnectionRequest | None = None
        self._context: ServerContext | None = None
        self._spoke = False
        self._state = RDPState.EXPECT_X224

    @property
    def context(self) -> ServerContext | None:
        """The CredSSP context; None before the Connection Request."""
        return self._context

    def _make_context(self) -> ServerContext:
        return ServerContext(config=self.config)

    def forget_credentials(self) -> None:
        """Let go of what the client delegated (`credssp.ServerContext.forget_credentials`)."""
        if self._context is not None:
            self._context.forget_credentials()

    def start(self) -> None:
        """Do nothing: the client speaks first."""

    def wrap(self, data: bytes) -> bytes:
        """Encrypt application data. Raises LocalProtocolError before the end of the login."""
        self._spoke = True
        return super().wrap(data)

    def take_channel(self) -> TLSChannel | None:
        """Give away the TLS channel to a relay; as `Endpoint.take_channel`."""
        self._spoke = True
        return super().take_channel()

    def shutdown(self) -> bytes:
        """Return close_notify, or nothing where there is no TLS to close.

        With HYBRID, after a login and before any application data, MCS Disconnect Provider Ultimatum comes first.
        """
        context = self._context
        silent = not self._spoke and self.authorization is None and self._approach is Approach.NEGOTIATED
        if context is None or not self.complete or not silent or context.peer_closed:
            return super().shutdown()
        try:
            goodbye = self.wrap(PROVIDER_INITIATED)
        except LocalProtocolError:  # the TLS channel failed, or was closed before
            goodbye = b""
        return goodbye + super().shutdown()

    def _receive(self, data: bytes, events: list[Event]) -> None:
        context = self._context
        if context is None:
            if data[:1] == b"\x16" and self.config.direct and not len(self._buffer):
                self._approach = Approach.DIRECT
                self._negotiated(Negotiated(Protocol.HYBRID, Approach.DIRECT), events)
            else:
                tpdu = self._buffer.feed(data)
                if tpdu is None:
                    return
                self._requested(tpdu, events)
                data = self._buffer.take_rest()
            context = self._context = self._make_context()
            self._state = RDPState.EXPECT_CREDSSP
            if not data:
                return
        if self._state in (RDPState.EXPECT_CREDSSP, RDPState.AWAIT_ANSWER):
            self._credssp(context, context.step(data), events)
        elif self._state is RDPState.DECIDE_AUTHORIZATION:
            self._wait(context, data)
        else:
            self._request_inside(context, data, events)

    def _requested(self, tpdu: bytes, events: list[Event]) -> None:
        """Answer the Connection Request (3.3.5.3.1, 3.3.5.3.2)."""
        request = self.request = ConnectionRequest.decode(tpdu)
        asked = request.negotiation
        choice = choose_protocol(None if asked is None else asked.protocols, self._protocols)
        if isinstance(choice, NegotiationFailure):
            # A client that sent no RDP_NEG_REQ is told nothing: it would not understand (3.3.5.3.2).
            self._refuse(None if asked is None else choice, asked.protocols if asked else Protocol.RDP)
        flags = self._flags(asked.flags if asked else RequestFlags.NONE)
        self._output.append(ConnectionConfirm(NegotiationResponse(choice, flags)).encode())
        self._negotiated(Negotiated(choice, Approach.NEGOTIATED, flags, request), events)

    def _refuse(self, failure: NegotiationFailure | None, asked: Protocol) -> NoReturn:
        raise NegotiationError(
            f"the client asked for {protocol_names(asked)}; this server takes {protocol_names(self._protocols)}",
            failure=None if failure is None else failure.code,
            advice=NextStep.RDP_CLIENT,
            token=b"" if failure is None else ConnectionConfirm(failure).encode(),
        )

    def _flags(self, asked: RequestFlags) -> ResponseFlags:
        flags = self.config.response_flags
        if flags is None:
            flags = ResponseFlags.EXTENDED_CLIENT_DATA_SUPPORTED
        if not asked:
            return flags
        if self.config.restricted_admin and RequestFlags.RESTRICTED_ADMIN_MODE_REQUIRED in asked:
            flags |= ResponseFlags.RESTRICTED_ADMIN_MODE_SUPPORTED
        if self.config.remote_guard and RequestFlags.REDIRECTED_AUTHENTICATION_MODE_REQUIRED in asked:
            flags |= ResponseFlags.REDIRECTED_AUTHENTICATION_MODE_SUPPORTED
        return flags

    def _negotiated(self, negotiated: Negotiated, events: list[Event]) -> None:
        self.negotiated = negotiated
        events.append(negotiated)

    def answer(self, answer: LogonAnswer) -> list[Event]:
        """Continue with the answer of the logon authority; due after `AnswerRequired`. Returns and raises as `receive`.

        Raises:
            LocalProtocolError: it is not due.
        """
        context = self._context
        if self._state is not RDPState.AWAIT_ANSWER or context is None:
            raise LocalProtocolError(f"answer() is not due: this end is to {self._state.value}")
        self._state = RDPState.EXPECT_CREDSSP
        events: list[Event] = []
        try:
            self._credssp(context, context.answer(answer), events)
        except CredSSPError as error:
            raise self._failed(error) from None
        return events

    def _credssp(self, context: ServerContext, result: StepResult, events: list[Event]) -> None:
        if result.token:
            self._output.append(result.token)
        question = context.question
        if question is not None:
            if self._state is not RDPState.AWAIT_ANSWER:
                self._state = RDPState.AWAIT_ANSWER
                events.append(AnswerRequired(question))
            return
        credentials, identity = context.delegated_credentials, context.identity
        if credentials is None or identity is None:  # both are there once the context is complete
            return
        self._early = context.unused_data
        agreed = self.negotiated.flags if self.negotiated is not None else ResponseFlags.NONE
        if (
            isinstance(credentials, RemoteGuardCredentials)
            and ResponseFlags.REDIRECTED_AUTHENTICATION_MODE_SUPPORTED not in agreed
        ):
            context.delegated_credentials = None
            raise RemoteProtocolError(
                "the client delegated Remote Credential Guard buffers although that mode was not agreed on",
                section="[MS-RDPBCGR] 2.2.1.2.1",
                token=context.shutdown(),
            )
        self._state = RDPState.DECIDE_AUTHORIZATION
        events.append(AuthorizationRequired(identity, credentials))

    def _wait(self, context: ServerContext, data: bytes) -> None:
        """Keep what the client sends before it knows whether it may log on."""
        self._inside_tls(context, data)
        limit = self.config.limits.max_early_data
        if len(self._early) > limit:
            raise LimitExceededError(
                f"more than {limit} bytes before the authorization was decided",
                token=context.shutdown(),
            )

    def authorize(self, result: EarlyUserAuthorization) -> list[Event]:
        """Say whether the user may log on; due after `AuthorizationRequired`.

        Raises:
            AuthorizationDeniedError: always for AUTHZ_ACCESS_DENIED; its `.token` tells the client.
            LocalProtocolError: it is not due.
        """
        context = self._context
        if self._state is not RDPState.DECIDE_AUTHORIZATION or context is None:
            raise LocalProtocolError(f"authorize() is not due: this end is to {self._state.value}")
        events: list[Event] = []
        try:
            if self.selected_protocol is Protocol.HYBRID_EX:
                self.authorization = result
                # A record of its own, in front of every other PDU (2.2.10.2).
                self._output.append(context.wrap(result.encode()))
            if result is EarlyUserAuthorization.AUTHZ_ACCESS_DENIED:
                raise AuthorizationDeniedError(
                    "the user was authenticated, but is not authorized to log on", token=context.shutdown()
                )
            if self._approach is Approach.DIRECT:
                self._state = RDPState.EXPECT_X224_INSIDE
                self._request_inside(context, b"", events)
            else:
                self._complete(self._early, events)
        except CredSSPError as error:
            raise self._failed(error) from None
        return events

    def _request_inside(self, context: ServerContext, data: bytes, events: list[Event]) -> None:
        """Direct approach: the Connection Request must ask for HYBRID (5.4.2.2)."""
        plaintext = self._inside_tls(context, data)
        early, self._early = self._early, b""
        tpdu = self._buffer.feed(early)
        if tpdu is None:
            if plaintext is None:
                raise PeerClosedError("the client closed the TLS channel before its Connection Request")
            return
        request = self.request = ConnectionRequest.decode(tpdu)
        asked = request.negotiation
        if asked is None or Protocol.HYBRID not in asked.protocols:
            failure = NegotiationFailure(FailureCode.INCONSISTENT_FLAGS)
            raise NegotiationError(
                "the client began with TLS and CredSSP, but its Connection Request does not ask for HYBRID",
                failure=failure.code,
                advice=NextStep.RDP_CLIENT,
                token=context.wrap(ConnectionConfirm(failure).encode()) + context.shutdown(),
            )
        flags = self._flags(asked.flags)
        self._output.append(context.wrap(ConnectionConfirm(NegotiationResponse(Protocol.HYBRID, flags)).encode()))
        self.negotiated = Negotiated(Protocol.HYBRID, Approach.DIRECT, flags, request)
        self._complete(self._buffer.take_rest(), events)
