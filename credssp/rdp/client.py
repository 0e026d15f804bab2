"""The client's end of network level authentication, as mstsc does it ([MS-RDPBCGR] 1.3.1.1, 5.4.2).

===================== ===================================================================================
state                 what happens
===================== ===================================================================================
START                 `start`: Connection Request (or ClientHello in the direct approach)
EXPECT_X224           Connection Confirm; anything but HYBRID or HYBRID_EX ends it, then TLS begins
EXPECT_CREDSSP        TLS and CredSSP, `credssp.ClientContext`
EXPECT_AUTHORIZATION  HYBRID_EX only: four bytes, or an errorCode
EXPECT_X224_INSIDE    direct approach only: Connection Request and Confirm inside TLS
COMPLETE              the stream is the application's
===================== ===================================================================================

With HYBRID the server says nothing that means yes: it stays silent until the client begins the session, and one that
refuses closes, or sends an errorCode or an alert. So the login is complete before it is known to be accepted
(`NLAClient.accepted`), and a refusal is raised where the session's first bytes are read.
"""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import Final, Unpack

from credssp.config import ClientConfig, RDPClientOptions, client_config
from credssp.context import ClientContext
from credssp.credentials import (
    AgentCredentials,
    LogonCredentials,
    NTHashCredentials,
    PasswordCredentials,
    RemoteGuardCredentials,
)
from credssp.engine.events import Direction, Observer
from credssp.errors import CredSSPError, LocalProtocolError, PeerClosedError, TLSAlertError
from credssp.next_step import NextStep
from credssp.rdp.early_user_authorization import SIZE, AuthorizationDeniedError, EarlyUserAuthorization
from credssp.rdp.endpoint import Endpoint
from credssp.rdp.events import Approach, Event, Negotiated, RDPState
from credssp.rdp.late_refusal import LateRefusal, late_refusal
from credssp.rdp.negotiation import (
    CREDSSP_PROTOCOLS,
    CorrelationInfo,
    NegotiationError,
    NegotiationFailure,
    NegotiationRequest,
    NegotiationResponse,
    Protocol,
    RequestFlags,
    ResponseFlags,
    protocol_names,
)
from credssp.rdp.x224 import ConnectionConfirm, ConnectionRequest, mstshash
from credssp.status import SecurityStatus
from credssp.tls.channel import TLSChannel
from credssp.wire.ts_request import TSRequest

__all__ = ["DEFAULT_PROTOCOLS", "LoginRefusedError", "NLAClient", "late_refusal"]

DEFAULT_PROTOCOLS: Final = Protocol.SSL | Protocol.HYBRID | Protocol.HYBRID_EX
"""What mstsc asks for. SSL is in it because HYBRID SHOULD come with it (2.2.1.1.1); selecting it ends the login."""

# What the server must echo if the client asked for it (2.2.1.2.1).
_ECHOES: Final = {
    RequestFlags.RESTRICTED_ADMIN_MODE_REQUIRED: (
        ResponseFlags.RESTRICTED_ADMIN_MODE_SUPPORTED,
        "Restricted Admin mode",
        NextStep.RDP_RESTRICTED_ADMIN,
    ),
    RequestFlags.REDIRECTED_AUTHENTICATION_MODE_REQUIRED: (
        ResponseFlags.REDIRECTED_AUTHENTICATION_MODE_SUPPORTED,
        "Remote Credential Guard",
        NextStep.RDP_REMOTE_GUARD,
    ),
}

_AFTER_PROOF: Final = (
    RDPState.EXPECT_CREDSSP,
    RDPState.EXPECT_AUTHORIZATION,
    RDPState.EXPECT_X224_INSIDE,
    RDPState.COMPLETE,
)


class LoginRefusedError(PeerClosedError):
    """The server ended the connection after our proof, without errorCode: so some servers refuse a login.

    FreeRDP's shadow server does, and every server does to versions 2 and 5, which have no errorCode. A server that ends
    it after the credentials, before it has sent anything, refuses as well: one that accepts waits for the session.
    """

    default_status = SecurityStatus.SEC_E_LOGON_DENIED
    default_advice = NextStep.REFUSED
    refused = True


def _is_guarded(credentials: LogonCredentials | None) -> bool:
    """Whether an agent will delegate by Remote Credential Guard."""
    return isinstance(credentials, AgentCredentials) and credentials.mode == "remote-guard"


class NLAClient(Endpoint[ClientContext]):
    """Logs on to an RDP server.

    Attributes:
        config: the options.
        host: the server as the user typed it; the target name is ``TERMSRV/host`` ([MS-RDPBCGR] 5.4.5.2).
    """

    def __init__(
        self,
        credentials: LogonCredentials | None = None,
        *,
        host: str,
        config: ClientConfig | None = None,
        **options: Unpack[RDPClientOptions],
    ) -> None:
        """Prepare a login; nothing happens before `start`.

        Args:
            credentials: what to authenticate with; None for those of `config`, or else the Kerberos credential cache.
            host: name or address of the server, as the user typed it.
            config: the options; None for the defaults.
            options: fields of `credssp.ClientConfig`, in place of those of `config`.

        Raises:
            LocalProtocolError, TypeError: arguments that make no sense.
        """
        super().__init__()
        self.config = config = client_config("NLAClient", RDPClientOptions, config, options, credentials)
        protocols = DEFAULT_PROTOCOLS if config.protocols is None else config.protocols
        if not protocols & CREDSSP_PROTOCOLS:
            raise LocalProtocolError("protocols must hold HYBRID or HYBRID_EX: this client does nothing else")
        self.host = host
        self._approach = Approach.NEGOTIATED if config.approach is None else config.approach
        self._begun = False
        self._proof_sent = False
        self._delegated = False
        self._late = LateRefusal(config.limits.max_message_size)
        self._refused = False
        self._left = False
        flags = RequestFlags.NONE
        if config.restricted_admin:
            flags |= RequestFlags.RESTRICTED_ADMIN_MODE_REQUIRED
        elif isinstance(config.delegated_credentials, RemoteGuardCredentials) or _is_guarded(config.credentials):
            flags |= RequestFlags.REDIRECTED_AUTHENTICATION_MODE_REQUIRED
        if config.correlation_id is not None:
            flags |= RequestFlags.CORRELATION_INFO_PRESENT
        cookie = config.cookie
        if (
            cookie is None
            and config.routing_token is None
            and isinstance(config.credentials, PasswordCredentials | NTHashCredentials)
        ):
            cookie = mstshash(config.credentials.username)
        if self._approach is Approach.DIRECT:
            # No Early User Authorization Result there (5.4.2.2), so HYBRID_EX makes no sense.
            protocols = protocols & ~Protocol.HYBRID_EX | Protocol.HYBRID
        self._asked = NegotiationRequest(protocols, flags)
        self._request = ConnectionRequest(
            cookie=cookie or None,
            routing_token=config.routing_token,
            negotiation=self._asked,
            correlation=None if config.correlation_id is None else CorrelationInfo(config.correlation_id),
        )
        self._encoded_request = self._request.encode()
        self._context = ClientContext(
            config=config,
            target_name=config.target_name or f"TERMSRV/{host}",
            carrier="stream",
            observer=_weakly(weakref.WeakMethod(self._observe)),
        )

    def forget_credentials(self) -> None:
        """Let go of what the login was made with.

        A relay calls this once it is logged on, since it keeps the stream for hours. `delegated` is false from then on.
        """
        self.config = replace(self.config, credentials=None, delegated_credentials=None)
        self._context.forget_credentials()

    @property
    def context(self) -> ClientContext:
        """The CredSSP context: TLS facts, mechanism, versions."""
        return self._context

    @property
    def request(self) -> ConnectionRequest:
        """The Connection Request."""
        return self._request

    @property
    def delegated(self) -> bool:
        """Whether credentials were sent; False before, and where it was an empty set."""
        return self._delegated and self.config.delegates and self._context.delegated

    @property
    def accepted(self) -> bool | None:
        """Whether the server accepted the login; None as long as it has not shown that.

        With HYBRID it shows it with the first bytes of the session, which begins when the client sends MCS Connect
        Initial; with HYBRID_EX, and in the direct approach, a login that is complete was accepted.
        """
        if self._refused:
            return False
        return True if self.complete and (self._late.decided or not self._unconfirmed) else None

    @property
    def proof_sent(self) -> bool:
        """Whether what was sent may hold a proof of the password: it was not the first message."""
        return self._proof_sent

    @property
    def _unconfirmed(self) -> bool:
        return self._approach is Approach.NEGOTIATED and self.authorization is None

    def start(self) -> None:
        """Begin; `data_to_send` has the first bytes.

        Raises:
            LocalProtocolError: it has begun before.
        """
        if self._state is not RDPState.START:
            raise LocalProtocolError("this login was started before")
        if self._approach is Approach.DIRECT:
            self._state = RDPState.EXPECT_CREDSSP
            self.negotiated = Negotiated(Protocol.HYBRID, Approach.DIRECT)
            self._output.append(self._context.step().token)
        else:
            self._state = RDPState.EXPECT_X224
            self._output.append(self._encoded_request)

    def _observe(self, direction: Direction, message: TSRequest, data: bytes) -> None:
        if direction is Direction.SENT:
            # The first message proves nothing; with SPNEGO the proof may come before pubKeyAuth.
            self._proof_sent = self._begun
            self._begun = True
        if self.config.observer is not None:
            self.config.observer(direction, message, data)

    def _receive(self, data: bytes, events: list[Event]) -> None:
        if self._state is RDPState.EXPECT_X224:
            tpdu = self._buffer.feed(data)
            if tpdu is None:
                return
            self._confirmed(tpdu, events)
            self._state = RDPState.EXPECT_CREDSSP
            data = self._buffer.take_rest()
        if self._state is RDPState.EXPECT_CREDSSP:
            if not self._credssp(data, events):
                return
            data = b""
        self._after_credssp(data, events)

    def _credssp(self, data: bytes, events: list[Event]) -> bool:
        """Continue with TLS and CredSSP; returns whether there is more to do after them."""
        context = self._context
        self._output.append(context.step(data).token)
        if not context.complete:
            return False
        self._delegated = True
        self._early = context.unused_data
        if self._approach is Approach.DIRECT:
            self._output.append(context.wrap(self._encoded_request))
            self._state = RDPState.EXPECT_X224_INSIDE
        elif self.selected_protocol is Protocol.HYBRID_EX:
            self._state = RDPState.EXPECT_AUTHORIZATION
        else:
            self._complete(self._early, events)
            return False
        return True

    def _after_credssp(self, data: bytes, events: list[Event]) -> None:
        plaintext = self._inside_tls(self._context, data)
        early = self._early
        known = self._is_no_refusal(early)
        if known and self._state is RDPState.EXPECT_AUTHORIZATION and len(early) >= SIZE:
            self.authorization = EarlyUserAuthorization.decode(early[:SIZE])
            if self.authorization is EarlyUserAuthorization.AUTHZ_ACCESS_DENIED:
                raise AuthorizationDeniedError(
                    "the server knows the user, but the user may not log on there (AUTHZ_ACCESS_DENIED). "
                    f"{NextStep.NOT_AUTHORIZED}",
                    section="[MS-RDPBCGR] 2.2.10.2",
                    token=self._context.shutdown(),
                )
            self._complete(early[SIZE:], events)
        elif known and self._state is RDPState.EXPECT_X224_INSIDE:
            self._early = b""
            tpdu = self._buffer.feed(early)
            if tpdu is not None:
                self._confirmed(tpdu, events)
                self._complete(self._buffer.take_rest(), events)
        if plaintext is None and not self.complete:
            raise PeerClosedError(
                f"the peer closed the TLS channel; the next step was to {self._state.value}",
                advice=NextStep.RDP_BEFORE_PROOF,
            )

    def _is_no_refusal(self, early: bytes) -> bool:
        """Whether what came after the credentials is known to be something else than an errorCode, which is raised."""
        if not self._late.decided:
            late = self._late = LateRefusal(self.config.limits.max_message_size)
            if (refusal := late.feed(early)) is not None:
                refusal.token = self._context.shutdown()
                raise refusal
        return self._late.decided

    def _complete(self, unused: bytes, events: list[Event]) -> None:
        if self._unconfirmed and (refusal := self._late.feed(unused)) is not None:
            raise refusal
        super()._complete(unused, events)

    def unwrap(self, data: bytes) -> bytes:
        """Decrypt what was received after the login; may return nothing.

        Raises:
            PeerRefusedError: with HYBRID, the server answered the credentials with an errorCode.
            LoginRefusedError: with HYBRID, it answered them with a fatal alert.
            CredSSPError: as `credssp.ClientContext.unwrap`.
        """
        if self._late.decided or not self._unconfirmed:
            return super().unwrap(data)
        try:
            plaintext = super().unwrap(data)
        except TLSAlertError as error:
            raise self._failed(error) from None
        refusal = self._late.feed(plaintext)
        if refusal is not None:
            raise self._failed(refusal)
        return plaintext

    def take_channel(self) -> TLSChannel | None:
        """Give away the TLS channel to a relay; None as long as the server may still refuse the credentials."""
        return super().take_channel() if self._late.decided or not self._unconfirmed else None

    def shutdown(self) -> bytes:
        """Return close_notify, or nothing where there is no TLS to close."""
        self._left = True
        return super().shutdown()

    def receive_eof(self) -> None:
        """Say that the transport ended.

        Raises:
            LoginRefusedError: after the proof; with HYBRID also after the credentials, before the server sent anything.
            PeerClosedError: before; the text says how far the login was.
        """
        if self._state is RDPState.FAILED:
            return
        super().receive_eof()
        if self.accepted is None and not self._left:
            raise self._failed(PeerClosedError("the server closed the connection"))

    def _failed(self, error: CredSSPError) -> CredSSPError:
        better = super()._failed(error)
        self._refused = better.refused
        return better

    @property
    def requested_protocols(self) -> Protocol:
        """What the Connection Request asks for."""
        return self._asked.protocols

    def _confirmed(self, tpdu: bytes, events: list[Event]) -> None:
        """Check the server's choice ([MS-RDPBCGR] 3.2.5.3.2)."""
        answer = ConnectionConfirm.decode(tpdu).negotiation
        if isinstance(answer, NegotiationFailure):
            raise NegotiationError.from_failure(answer)
        if answer is None:
            raise NegotiationError(
                "the server knows nothing but standard RDP security (it sent no negotiation response)",
                selected=Protocol.RDP,
                advice=NextStep.RDP_NO_NLA,
            )
        self._check(answer)
        self.negotiated = Negotiated(answer.selected, self._approach, answer.flags)
        events.append(self.negotiated)

    def _check(self, answer: NegotiationResponse) -> None:
        request = self._asked
        selected = answer.selected
        if selected not in request.protocols and selected is not Protocol.RDP:
            raise NegotiationError(
                f"the server selected {protocol_names(selected)}, which was not requested "
                f"({protocol_names(request.protocols)} was)",
                selected=selected,
                advice=NextStep.RDP_UNASKED,
            )
        if not selected & CREDSSP_PROTOCOLS:
            raise NegotiationError(
                f"the server offers no CredSSP (network level authentication): it selected {protocol_names(selected)}",
                selected=selected,
                advice=NextStep.RDP_NO_NLA,
            )
        for asked, (echo, name, advice) in _ECHOES.items():
            if asked in request.flags and echo not in answer.flags:
                raise NegotiationError(
                    f"the server does not support {name}; nothing is sent to it that depends on that mode",
                    selected=selected,
                    advice=advice,
                )

    @property
    def _closed(self) -> str:  # type: ignore[override]  # it changes with the state
        return NextStep.RDP_NO_ANSWER if self._state is RDPState.EXPECT_X224 else NextStep.RDP_BEFORE_PROOF

    def _explain(self, error: CredSSPError) -> CredSSPError:
        """Call a refusal a refusal: servers without errorCode just go away after a bad proof."""
        if not self._proof_sent or self._state not in _AFTER_PROOF:
            return error
        if isinstance(error, TLSAlertError):
            how = f"ended the connection with the TLS alert {error.alert}"
        elif isinstance(error, PeerClosedError):
            how = "closed the connection"
        else:
            return error
        if self._delegated:
            why = (
                "after the credentials were delegated, before it sent anything: the password is right, but the account "
                "may not log on there, or not with these credentials"
            )
        else:
            why = (
                "after our proof of the password, without an errorCode that says why; usually user name or password is "
                "wrong, or the account is locked, disabled or expired"
            )
        advice = NextStep.REFUSED_CREDENTIALS if self._delegated else NextStep.REFUSED
        ntstatus = None if self._delegated else error.ntstatus
        return LoginRefusedError(f"the server refused the login: it {how} {why}", ntstatus=ntstatus, advice=advice)


def _weakly(observe: weakref.WeakMethod[Observer]) -> Observer:
    """Return an observer that does not keep its owner, which has credentials, alive in a cycle."""

    def call(direction: Direction, message: TSRequest, data: bytes) -> None:
        observer = observe()
        if observer is not None:
            observer(direction, message, data)

    return call
