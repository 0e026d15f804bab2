"""The program's half of Negotiate, NTLM and Kerberos through the agent: tokens pass; the context comes over packed."""

from __future__ import annotations

from credssp.channel_bindings import BindingDemand, ChannelBindings
from credssp.config import ClientConfig
from credssp.credentials import AgentCredentials
from credssp.errors import LocalProtocolError
from credssp.lsa.address import agent_socket
from credssp.lsa.channel import AgentChannel, AgentError
from credssp.lsa.faults import raised
from credssp.lsa.messages import AgentMessage, Failed, Open, Progress, Token
from credssp.lsa.packed import unpack
from credssp.security_context import OuterContext
from credssp.server_authentication import ServerAuthentication

__all__ = ["AgentInitiator"]


class AgentInitiator(OuterContext):
    """An initiator whose steps are the agent's; a `credssp.mechanism.Mechanism`.

    Threads: one at a time. `step` waits for the agent, which may ask a KDC or a person.
    """

    def __init__(self, config: ClientConfig, package: str) -> None:
        """Prepare.

        Args:
            config: the options, with `AgentCredentials`.
            package: ``Negotiate``, ``NTLM`` or ``Kerberos``.

        Raises:
            LocalProtocolError: the credentials are not an agent's, or no target is named.
        """
        super().__init__()
        if not isinstance(config.credentials, AgentCredentials):
            raise LocalProtocolError("the option agent goes with AgentCredentials only")
        if config.target_name is None:
            raise LocalProtocolError("an agent logs on to a named server only: give target_name")
        self._config = config
        self._credentials = config.credentials
        self._package = package
        self._channel: AgentChannel | None = None
        self._number = self._leg = 0

    def bind(self, bindings: ChannelBindings | None, *, demand: BindingDemand = "match") -> None:
        """Use channel bindings; before the first step, and without addresses."""
        if self._channel is not None or self.complete:
            raise LocalProtocolError("channel bindings come before the first token")
        if bindings is not None and ChannelBindings(bindings.application_data) != bindings:
            raise LocalProtocolError("the agent takes channel bindings without addresses")
        super().bind(bindings, demand=demand)

    def _step(self, token: bytes | None) -> bytes | None:
        if self._channel is None:
            return self._begin()
        self._leg += 1
        return self._take(self._channel.call(Token(self._number, self._leg, token or b"")))

    def _begin(self) -> bytes | None:
        config = self._config
        bindings = b"" if self._binding is None or self._binding[0] is None else self._binding[0].application_data
        request = Open(
            credential=self._credentials.name,
            package=self._package,
            target=config.target_name or "",
            mechanism=config.mechanism,
            workstation=config.workstation,
            channel_bindings=bindings or config.channel_bindings or b"",
        )
        self._channel = AgentChannel(agent_socket(self._credentials.socket), timeout=config.timeouts.login)
        return self._take(self._channel.call(request))

    def _take(self, answer: AgentMessage) -> bytes | None:
        if isinstance(answer, Failed):
            error = raised(answer)
            raise error
        if not isinstance(answer, Progress) or len(answer.messages) > 1:
            raise AgentError(f"the agent answered a login with {type(answer).__name__}")
        self._number = answer.context
        self.name = "ntlm" if answer.mechanism == "ntlm" else "kerberos" if answer.mechanism == "kerberos" else ""
        self.server_authentication = ServerAuthentication(answer.proved)
        self.client_name = answer.client_name
        if answer.complete:
            self._mechanism = unpack(answer.packed)
            self.complete = self.can_wrap = True
            self._close()
        return answer.messages[0] if answer.messages else None

    def _fail(self) -> None:
        super()._fail()
        self._close()

    def _close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()
