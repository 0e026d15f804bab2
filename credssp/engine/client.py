"""The client's side of the exchange ([MS-CSSP] 3.1.5)."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, NoReturn, Unpack

from credssp import binding
from credssp.config import ClientConfig, ClientOptions, client_config, drawn
from credssp.credentials import LogonCredentials
from credssp.engine.base import Engine
from credssp.engine.events import Authenticated, CredentialsDelegated, Event
from credssp.engine.state import Role, State, Step
from credssp.errors import (
    BindingError,
    CredSSPError,
    DecodeError,
    LocalProtocolError,
    PeerRefusedError,
    RemoteProtocolError,
)
from credssp.mechanism import Mechanism
from credssp.policy import DelegationMode
from credssp.policy.configured import decide, delegation_mode, delegation_policy
from credssp.protocol_version import has_hashed_binding
from credssp.server_authentication import ServerAuthentication
from credssp.wire.ts_request import TSRequest

__all__ = ["ClientEngine"]


class ClientEngine(Engine):
    """Logs on and delegates.

    Attributes:
        server_authentication: what proved the server's identity so far.
    """

    role: ClassVar[Role] = Role.CLIENT
    config: ClientConfig

    def __init__(
        self,
        mechanism: Mechanism,
        /,
        credentials: LogonCredentials | None = None,
        *,
        public_key: bytes,
        transport_authentication: ServerAuthentication = ServerAuthentication.NONE,
        config: ClientConfig | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        """Prepare an exchange; `initiate` starts it.

        Args:
            mechanism: an initiator from `credssp.context.initiator`.
            credentials: who logs on, and is delegated; see `ClientConfig.delegation`.
            public_key: SubjectPublicKey of the certificate that the server sent in this TLS connection; empty if
                `bind_to` brings it later.
            transport_authentication: what TLS proved about the server.
            config: the options; None for the defaults.
            options: fields of `ClientConfig`, in place of those of `config`.

        Raises:
            LocalProtocolError: arguments that make no sense.
        """
        config = client_config("ClientEngine", ClientOptions, config, options, credentials)
        super().__init__(mechanism, config, public_key)
        self._credentials = config.delegation
        self._policy = delegation_policy(config)
        self._mode = delegation_mode(config)
        self._transport_authentication = transport_authentication
        self._nonce = b""
        self._last_token: bytes | None = None
        self._own_key_auth = b""

    def bind_to(
        self, public_key: bytes, *, transport_authentication: ServerAuthentication = ServerAuthentication.NONE
    ) -> None:
        """Take the server's SubjectPublicKey after `initiate`, for an owner of TLS that learns it only then (TSSSP).

        Args:
            public_key: the key.
            transport_authentication: what TLS proved about the server.

        Raises:
            LocalProtocolError: the key is known already.
        """
        if self._public_key:
            raise LocalProtocolError("the server's public key is known already")
        self._public_key = public_key
        self._transport_authentication = transport_authentication

    @property
    def server_authentication(self) -> ServerAuthentication:
        """What proved the server's identity: TLS, the mechanism, or both."""
        by_mechanism = self.mechanism.server_authentication
        if self._transport_authentication is ServerAuthentication.NONE:
            return by_mechanism  # most logins; to join two flags takes 0.5 us
        return self._transport_authentication | by_mechanism

    def initiate(self) -> list[Event]:
        """Return the first message.

        Raises:
            CredSSPError: the mechanism cannot start, or this was called before.
        """
        events: list[Event] = []
        try:
            if self._state is not State.SEND_FIRST_TOKEN:
                raise LocalProtocolError("the exchange was initiated before")
            self._decide_early()
            token = self.mechanism.step(None)
            if not token:
                raise LocalProtocolError("the mechanism has no first token")
            self._send(Step.SEND_NEGO, TSRequest(self._own_version, nego_tokens=(token,)), events)
        except CredSSPError as error:
            self._fail(error)
        return events

    def _take(self, message: TSRequest, events: list[Event]) -> None:
        """Drop our own pubKeyAuth beside the token that the mechanism waits for: it says nothing about the server."""
        if (
            self._state is not State.EXPECT_SERVER_KEY
            or message.pub_key_auth != self._own_key_auth
            or not message.nego_tokens
            or message.nego_tokens[0] == self._last_token
            or self.mechanism.complete
        ):
            super()._take(message, events)
            return
        try:
            super()._take(replace(message, pub_key_auth=None), events)
        except DecodeError as error:  # FreeRDP 3 returns zeros instead of a token where it refuses
            raise _returned(f", and no token beside it: {error.message}") from None

    def _receive_nego(self, token: bytes, events: list[Event]) -> None:
        """Step 2 and 3: continue the mechanism; bind as soon as it can protect messages."""
        if self._state is State.REPEAT_KEY:
            self._repeat_key(token, events)
            return
        if not self._public_key:
            raise LocalProtocolError("the server's public key is not known, so nothing can be bound to it")
        if self.mechanism.name == "ntlm":
            # No proof that can be guessed at offline leaves for a login that would be refused in the end.
            self._decide(self._transport_authentication | ServerAuthentication.NTLM)
        answer = self.mechanism.step(token)
        if not self.mechanism.can_wrap:
            if not answer:
                raise RemoteProtocolError("the mechanism waits for a token although the server sent the last one")
            self._send(Step.SEND_NEGO, TSRequest(self._own_version, nego_tokens=(answer,)), events)
            return
        nonce = None
        if has_hashed_binding(self._effective):
            nonce = self._nonce = drawn(self.config.random, binding.NONCE_SIZE)
        value = binding.client_value(self._effective, self._nonce, self._public_key)
        self._own_key_auth = self.mechanism.wrap(value)
        self._last_token = answer
        self._send(
            Step.SEND_NEGO_AND_KEY if answer else Step.SEND_KEY,
            TSRequest(
                self._own_version,
                nego_tokens=(answer,) if answer else None,
                pub_key_auth=self._own_key_auth,
                client_nonce=nonce,
            ),
            events,
        )

    def _repeat_key(self, token: bytes, events: list[Event]) -> None:
        """Take the server's last token, then send pubKeyAuth once more; `credssp.engine.state` says why it is safe.

        The same bytes, not wrapped anew: a server that ignored them has counted no message.
        """
        mechanism = self.mechanism
        waits = not mechanism.complete
        if not waits:
            raise RemoteProtocolError(
                "negoTokens without pubKeyAuth although the mechanism is complete", section="[MS-CSSP] 3.1.5 step 4"
            )
        answer = mechanism.step(token)
        if answer or not mechanism.complete:
            raise RemoteProtocolError(
                "the server continues the negotiation after our last token", section="[MS-CSSP] 3.1.5 step 4"
            )
        self._send(
            Step.SEND_KEY_AGAIN,
            TSRequest(self._own_version, pub_key_auth=self._own_key_auth, client_nonce=self._nonce or None),
            events,
        )

    def _receive_key(self, key: bytes, events: list[Event]) -> None:
        self._finish(None, key, events)

    def _receive_nego_and_key(self, token: bytes, key: bytes, events: list[Event]) -> None:
        self._finish(token, key, events)

    def _receive_auth_info(self, auth_info: bytes, events: list[Event]) -> None:
        """Do nothing: the table has no such step for a client."""

    def _note_nonce(self, nonce: bytes | None) -> None:
        """Do nothing: the nonce is this side's own."""

    def _finish(self, token: bytes | None, key: bytes, events: list[Event]) -> None:
        """Step 5: check the server's binding, ask the policy, delegate."""
        self._finish_mechanism(token)
        self._verify_server(key)
        self._advance(Step.SERVER_KEY_VERIFIED)
        events.append(
            Authenticated(self._effective, self.mechanism.name, server_authentication=self.server_authentication)
        )
        self._decide(self.server_authentication)
        self._advance(Step.DELEGATION_ALLOWED)
        auth_info = self.mechanism.wrap(self._credentials.to_wire().encode())
        self._send(Step.SEND_AUTH_INFO, TSRequest(self._own_version, auth_info=auth_info), events)
        events.append(CredentialsDelegated(empty=self._mode is DelegationMode.NO_DELEGATION))

    def _finish_mechanism(self, token: bytes | None) -> None:
        """Give the mechanism its last token, if it waits for one and one came (SPNEGO's accept-completed)."""
        if self.mechanism.complete:
            return  # some servers repeat our own token beside their pubKeyAuth
        if token and token != self._last_token:
            self.mechanism.step(token)
        else:
            self.mechanism.finish()

    def _verify_server(self, received: bytes) -> None:
        if received == self._own_key_auth:
            raise _returned()
        expected = binding.server_value(self._effective, self._nonce, self._public_key)
        binding.verify(self._unwrap(received), expected, whose="server")

    def _unwrap(self, data: bytes) -> bytes:
        try:
            return self.mechanism.unwrap(data)
        except RemoteProtocolError as error:
            raise BindingError(
                f"pubKeyAuth of the server does not open with the session key: {error.message}", status=error.status
            ) from None

    def _decide_early(self) -> None:
        """Stop before the server learns anything if no authentication of it could make the policy say yes."""
        target, source = self.config.policy_name, self.config.source
        self._policy.decide_before_connecting(target, source=source, mode=self._mode).raise_if_refused(target)

    def _decide(self, server: ServerAuthentication) -> None:
        decide(self.config, server).raise_if_refused(self.config.policy_name)

    def _peer_failed(self, error_code: int) -> NoReturn:
        if not error_code:
            raise RemoteProtocolError("the server sent errorCode 0 and nothing to continue with")
        raise PeerRefusedError(error_code)


def _returned(how: str = "") -> BindingError:
    return BindingError(
        f"the server sent our own pubKeyAuth back{how} (a reflection, or an error reply without errorCode)",
        section="[MS-CSSP] 3.1.5 step 5",
    )
