"""The client's end of network level authentication, as mstsc does it ([MS-RDPBCGR] 1.3.1.1, 5.4.2).

===================== ===================================================================================
state                 what happens
===================== ===================================================================================
START                 `start`: Connection Request (or ClientHello in the direct approach)
EXPECT_X224           Connection Confirm; anything but HYBRID or HYBRID_EX ends it, then TLS begins
EXPECT_CREDSSP        TLS and CredSSP, `credssp.ClientContext`
EXPECT_AUTHORIZATION  HYBRID_EX only: four bytes
EXPECT_X224_INSIDE    direct approach only: Connection Request and Confirm inside TLS
COMPLETE              the stream is the application's
===================== ===================================================================================
"""

from __future__ import annotations

from typing import Final, Unpack

from credssp.config import ClientConfig, RDPClientOptions, client_config
from credssp.context import ClientContext
from credssp.credentials import LogonCredentials, NTHashCredentials, PasswordCredentials, RemoteGuardCredentials
from credssp.engine.events import Direction
from credssp.errors import (
    CredSSPError,
    DecodeError,
    LocalProtocolError,
    PeerClosedError,
    PeerRefusedError,
    RemoteProtocolError,
    TLSAlertError,
)
from credssp.rdp.early_user_authorization import SIZE, AuthorizationDeniedError, EarlyUserAuthorization
from credssp.rdp.endpoint import Endpoint
from credssp.rdp.events import Approach, Event, Negotiated, RDPState
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
from credssp.wire.framing import TSRequestBuffer
from credssp.wire.ts_request import TSRequest

__all__ = ["DEFAULT_PROTOCOLS", "LoginRefusedError", "NLAClient", "late_refusal"]

DEFAULT_PROTOCOLS: Final = Protocol.SSL | Protocol.HYBRID | Protocol.HYBRID_EX
"""What mstsc asks for. SSL is in it because HYBRID SHOULD come with it (2.2.1.1.1); selecting it ends the login."""

# What the server must echo if the client asked for it (2.2.1.2.1).
_ECHOES: Final = {
    RequestFlags.RESTRICTED_ADMIN_MODE_REQUIRED: (
        ResponseFlags.RESTRICTED_ADMIN_MODE_SUPPORTED,
        "Restricted Admin mode",
    ),
    RequestFlags.REDIRECTED_AUTHENTICATION_MODE_REQUIRED: (
        ResponseFlags.REDIRECTED_AUTHENTICATION_MODE_SUPPORTED,
        "Remote Credential Guard",
    ),
}


class LoginRefusedError(PeerClosedError):
    """The server ended the connection after our proof, without errorCode: so some servers refuse a login.

    FreeRDP's shadow server does, and every server does to versions 2 and 5, which have no errorCode.
    """

    default_status = SecurityStatus.SEC_E_LOGON_DENIED


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
        self._proof_sent = False
        self._delegated = False
        flags = RequestFlags.NONE
        if config.restricted_admin:
            flags |= RequestFlags.RESTRICTED_ADMIN_MODE_REQUIRED
        elif isinstance(config.delegated_credentials, RemoteGuardCredentials):
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
            observer=self._observe,
        )

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
        return self._delegated and self.config.delegates

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
        if direction is Direction.SENT and message.pub_key_auth is not None:
            self._proof_sent = True
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
        if self._state is RDPState.EXPECT_AUTHORIZATION and len(early) >= SIZE:
            self.authorization = EarlyUserAuthorization.decode(early[:SIZE])
            if self.authorization is EarlyUserAuthorization.AUTHZ_ACCESS_DENIED:
                raise AuthorizationDeniedError(
                    "the server knows the user, but the user may not log on there (AUTHZ_ACCESS_DENIED); look at the "
                    "group Remote Desktop Users and the right to log on through Remote Desktop Services",
                    section="[MS-RDPBCGR] 2.2.10.2",
                    token=self._context.shutdown(),
                )
            self._complete(early[SIZE:], events)
        elif self._state is RDPState.EXPECT_X224_INSIDE:
            self._early = b""
            tpdu = self._buffer.feed(early)
            if tpdu is not None:
                self._confirmed(tpdu, events)
                self._complete(self._buffer.take_rest(), events)
        if plaintext is None and not self.complete:
            raise PeerClosedError(f"the peer closed the TLS channel; the next step was to {self._state.value}")

    def _confirmed(self, tpdu: bytes, events: list[Event]) -> None:
        """Check the server's choice ([MS-RDPBCGR] 3.2.5.3.2)."""
        answer = ConnectionConfirm.decode(tpdu).negotiation
        if isinstance(answer, NegotiationFailure):
            raise NegotiationError.from_failure(answer)
        if answer is None:
            raise NegotiationError(
                "the server knows nothing but standard RDP security (it sent no negotiation response)",
                selected=Protocol.RDP,
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
            )
        if not selected & CREDSSP_PROTOCOLS:
            raise NegotiationError(
                f"the server offers no CredSSP (network level authentication): it selected {protocol_names(selected)}",
                selected=selected,
            )
        for asked, (echo, name) in _ECHOES.items():
            if asked in request.flags and echo not in answer.flags:
                raise NegotiationError(
                    f"the server does not support {name}; nothing is sent to it that depends on that mode",
                    selected=selected,
                )

    def _explain(self, error: CredSSPError) -> CredSSPError:
        """Call a refusal a refusal: servers without errorCode just go away after a bad proof."""
        if not self._proof_sent or self._state not in (RDPState.EXPECT_CREDSSP, RDPState.EXPECT_AUTHORIZATION):
            return error
        if isinstance(error, TLSAlertError):
            how = f"ended the connection with the TLS alert {error.alert}"
        elif isinstance(error, PeerClosedError):
            how = "closed the connection"
        else:
            return error
        when = "the credentials were delegated" if self._delegated else "our proof of the password"
        return LoginRefusedError(
            f"the server refused the login: it {how} after {when}, without an errorCode that says why; usually user "
            "name or password is wrong, or the account is locked, disabled or expired",
            ntstatus=error.ntstatus,
        )


def late_refusal(data: bytes) -> PeerRefusedError | None:
    """Look whether the first bytes after a HYBRID login are an errorCode: the server judged what was delegated.

    Args:
        data: plaintext after the login.

    Returns:
        The refusal, or None where the bytes are something else or not whole.
    """
    if data[:1] != b"\x30":  # an RDP session begins with 03, TPKT
        return None
    buffer = TSRequestBuffer()
    try:
        buffer.feed(data)
        message = buffer.next_message()
        code = None if message is None else TSRequest.decode(message).error_code
    except (DecodeError, RemoteProtocolError):
        return None
    return PeerRefusedError(code) if code else None
