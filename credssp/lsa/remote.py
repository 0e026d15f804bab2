"""The program's half of a login through the agent: the interface of `ClientEngine`, and no credentials.

The program runs TLS and passes the server's messages on; the agent has the engine, judges the server's certificate and
decides what is delegated. What the program's own options say counts in addition: a policy of its own, mutual
authentication, versions.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from credssp.binding import subject_public_key
from credssp.config import ClientConfig
from credssp.credentials import AgentCredentials
from credssp.engine.events import (
    Authenticated,
    CredentialsDelegated,
    Direction,
    Event,
    ExchangeObserver,
    Send,
)
from credssp.errors import CredSSPError, LocalProtocolError
from credssp.lsa.address import agent_socket
from credssp.lsa.channel import AgentChannel, AgentError
from credssp.lsa.faults import raised, unpack_skipped
from credssp.lsa.messages import AgentMessage, Bind, Failed, Open, Progress, Token
from credssp.lsa.remote_mechanism import AgentInitiator
from credssp.policy.configured import decide, delegation_mode, delegation_policy, lowest_version
from credssp.server_authentication import ServerAuthentication
from credssp.spnego import SkippedCandidate
from credssp.wire.framing import TSRequestBuffer
from credssp.wire.ts_request import TSRequest

__all__ = ["Agent", "AgentEngine", "AgentError", "AgentMechanism"]


@dataclass(slots=True)
class AgentMechanism:
    """What is known here of the mechanism that the agent runs.

    Attributes:
        name: ``ntlm`` or ``kerberos``; empty as long as it is not known.
        wire_form: stays empty: the agent does not say what its tokens look like.
        server_authentication: what it proved about the server so far.
    """

    name: str = ""
    wire_form: str = ""
    server_authentication: ServerAuthentication = ServerAuthentication.NONE


class Agent:
    """The option `agent` of `credssp.ClientConfig`: begins a login with the agent that `AgentCredentials` name.

    Threads: any number may share one; each login has a connection of its own.
    """

    def __call__(
        self, config: ClientConfig, chain: tuple[bytes, ...], transport_authentication: ServerAuthentication
    ) -> AgentEngine:
        """Return an exchange that has not begun.

        Args:
            config: the options.
            chain: the server's certificates (DER), leaf first.
            transport_authentication: what TLS proved about the server to the program.

        Raises:
            LocalProtocolError: the credentials are not an agent's, or no target is named.
        """
        return AgentEngine(config, chain, transport_authentication)

    def initiator(self, config: ClientConfig, package: str) -> AgentInitiator:
        """Return a mechanism whose steps are the agent's.

        Args:
            config: the options.
            package: ``Negotiate``, ``NTLM`` or ``Kerberos``.

        Raises:
            LocalProtocolError: the credentials are not an agent's, or no target is named.
        """
        return AgentInitiator(config, package)


class AgentEngine:
    """One CredSSP exchange above TLS that the agent runs; used as `credssp.engine.ClientEngine`.

    Threads: one at a time. `initiate` and `receive` wait for the agent, which may ask a KDC or a person.

    Attributes:
        config: the options.
        mechanism: what is known of the inner authentication.
        peer_version: the version that the peer says it has, or None before its first message.
        version: the effective protocol version, or None before the peer's first message.
        complete: whether the exchange is over and went well.
        unused_data: what followed the last message of the exchange in the stream.
        skipped: mechanisms that were not used although they could have been, and why.
        client_name: whose Kerberos tickets are used; empty with NTLM.
    """

    def __init__(
        self, config: ClientConfig, chain: tuple[bytes, ...], transport_authentication: ServerAuthentication
    ) -> None:
        """Prepare; arguments and errors as `Agent`."""
        credentials = config.credentials
        if not isinstance(credentials, AgentCredentials):
            raise LocalProtocolError("the option agent goes with AgentCredentials only")
        if config.target_name is None:
            raise LocalProtocolError("an agent logs on to a named server only: give target_name")
        self.config = config
        self._path = agent_socket(credentials.socket)
        self._open = Open(
            credential=credentials.name,
            package="CREDSSP" if chain else "TSSSP",
            target=config.target_name,
            policy_target=config.policy_target or "",
            mechanism=config.mechanism,
            wire_form=config.wire_form,
            delegate=int(config.delegates),
            lowest_version=lowest_version(config),
            highest_version=config.max_version,
            workstation=config.workstation,
            channel_bindings=config.channel_bindings or b"",
            chain=chain,
            outer=() if config.outer_certificate is None else (config.outer_certificate,),
        )
        self.mechanism = AgentMechanism()
        self.peer_version: int | None = None
        self.version: int | None = None
        self.complete = False
        self.unused_data = b""
        self.skipped: Sequence[SkippedCandidate] = ()
        self.client_name = ""
        self._by_tls = transport_authentication
        observer = config.observer
        if observer is not None and isinstance(observer, ExchangeObserver):
            observer = observer.for_exchange(subject_public_key(chain[0]) if chain else b"")
        self._observer = observer
        self._buffer = TSRequestBuffer(config.limits.max_message_size)
        self._channel: AgentChannel | None = None
        self._begun = self._failed = False
        self._context = 0
        self._leg = 0

    @property
    def missing(self) -> int:
        """Bytes still needed for a message that has begun; 0 between messages."""
        return self._buffer.missing if len(self._buffer) else 0

    @property
    def server_authentication(self) -> ServerAuthentication:
        """What proved the server's identity, to the agent or to TLS here."""
        return self._by_tls | self.mechanism.server_authentication

    def initiate(self) -> list[Event]:
        """Connect to the agent and return the first message.

        Raises:
            AgentError: there is no agent.
            AgentRefusedError: its rules say no.
            CredSSPError: the mechanism cannot start, or this was called before.
        """
        if self._begun:
            raise LocalProtocolError("the exchange was initiated before")
        self._begun = True
        try:
            config = self.config
            delegation_policy(config).decide_before_connecting(
                config.policy_name, source=config.source, mode=delegation_mode(config)
            ).raise_if_refused(config.policy_name)
            self._channel = AgentChannel(self._path, timeout=config.timeouts.login)
            return self._call(self._open)
        except BaseException:
            self.close()
            raise

    def receive(self, data: bytes) -> list[Event]:
        """Take plaintext from the peer, split anywhere, and return what follows from it.

        Raises:
            AgentError: the agent went away, or does not answer.
            CredSSPError: the exchange failed, here or there.
        """
        if self.complete:
            self.unused_data += data
            return []
        if self._failed or self._channel is None:
            raise LocalProtocolError("this exchange has failed already, or was not initiated")
        events: list[Event] = []
        try:
            self._buffer.feed(data)
            self._consume(events)
        except BaseException:
            self.close()
            raise
        return events

    def _consume(self, events: list[Event]) -> None:
        while not self.complete and (message := self._buffer.next_message()) is not None:
            self._leg += 1
            self._observe(Direction.RECEIVED, message)
            events += self._call(Token(self._context, self._leg, message))
        if self.complete:
            self.unused_data = self._buffer.take_rest()

    def bind(self, chain: tuple[bytes, ...], transport_authentication: ServerAuthentication) -> None:
        """Give the server's certificates after `initiate`, for an owner of TLS that learns them only then (TSSSP).

        Args:
            chain: DER, leaf first.
            transport_authentication: what TLS proved about the server to the program.

        Raises:
            AgentError, CredSSPError: as `receive`.
        """
        channel = self._channel
        if channel is None:
            raise LocalProtocolError("this exchange has failed already, or was not initiated")
        try:
            answer = channel.call(Bind(self._context, chain))
            if isinstance(answer, Failed):
                error = raised(answer)
                raise error
        except BaseException:
            self.close()
            raise
        self._by_tls = transport_authentication

    def close(self) -> None:
        """Let go of the agent; an exchange that is not complete has failed then."""
        self._failed = not self.complete
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def _call(self, message: AgentMessage) -> list[Event]:
        channel = self._channel
        if channel is None:
            raise LocalProtocolError("this exchange has failed already")
        answer = channel.call(message)
        if isinstance(answer, Failed):
            error = raised(answer)
            raise error
        if not isinstance(answer, Progress):
            raise AgentError(f"the agent at {channel.path} answered a login with {type(answer).__name__}")
        return self._took(answer)

    def _took(self, step: Progress) -> list[Event]:
        self._context = step.context
        self.peer_version = step.peer_version or None
        self.version = step.version or None
        self.client_name = step.client_name
        self.mechanism.name = step.mechanism
        self.mechanism.server_authentication = ServerAuthentication(step.proved)
        if step.skipped:
            self.skipped = unpack_skipped(step.skipped)
        events: list[Event] = []
        if step.authenticated:
            server = self.server_authentication
            events.append(Authenticated(step.version, step.mechanism, server_authentication=server))
            decide(self.config, server).raise_if_refused(self.config.policy_name)
        for data in step.messages:
            self._observe(Direction.SENT, data)
            events.append(Send(data))
        if step.delegated:
            events.append(CredentialsDelegated(empty=step.delegated == 2))
        if step.complete:
            self.complete = True
            self.close()
        return events

    def _observe(self, direction: Direction, data: bytes) -> None:
        if self._observer is not None:
            with contextlib.suppress(CredSSPError):  # the agent says what is wrong with it
                self._observer(direction, TSRequest.decode(data, max_size=self.config.limits.max_message_size), data)
