"""A WinRM endpoint for the tests of clients and of programs that hand credentials on.

::

    with WinRMServer({("LAB", "alice"): "secret"}) as server:
        my_client.connect(server.url, user="LAB\\\\alice", password="secret")
        server.assert_delegated(username="alice", domain="LAB", password="secret")

With ``commands=`` the shell answers what the client under test runs (`credssp.testing.answers`); no process is started.
`credssp.pytest_plugin` makes fixtures of it. It listens on loopback only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, Unpack

from credssp.accounts import MemoryAccounts
from credssp.config import ServerConfig, WinRMServiceOptions, server_config
from credssp.drivers.gate import Place
from credssp.drivers.winrm_asgi import Login
from credssp.drivers.winrm_serving import serving
from credssp.errors import LocalProtocolError
from credssp.memory_file import named_file
from credssp.testing.answers import Answers, CommandCall, Commands
from credssp.testing.delegations import Delegations, check_loopback
from credssp.testing.faulty_winrm import FaultyApplication, https_certificate, https_ciphers, inside
from credssp.testing.server_faults import ServerFaults
from credssp.testing.wsman import WSManResponder
from credssp.tls.settings import ServerTLS
from credssp.winrm.handler import Handler

__all__ = ["WinRMServer"]


class WinRMServer(Delegations[Login, Login]):
    """A WinRM endpoint, for tests; it remembers who logged on and with what.

    Attributes:
        certificate: with https, the PEM file with the certificate that clients have to trust.
        host: the address that it listens on.
        faults: what it does wrong.
    """

    _several = True

    def __init__(
        self,
        who: Mapping[tuple[str, str], Any] | None = None,
        /,
        *,
        handler: Handler | None = None,
        commands: Commands | Answers | None = None,
        hostname: str = "localhost",
        https: bool = False,
        host: str = "127.0.0.1",
        faults: ServerFaults | None = None,
        port: int = 0,
        config: ServerConfig | None = None,
        **options: Unpack[WinRMServiceOptions],
    ) -> None:
        """Prepare; `start` or ``with`` starts it.

        Args:
            who: accounts, as `credssp.MemoryAccounts` takes them; or `accounts` among the options.
            handler: answers messages; by default `credssp.testing.wsman.WSManResponder`, with a shell.
            commands: what the shell answers to commands, as `credssp.testing.answers.answers_of` takes it.
            hostname: the name that the shell has for this server.
            https: serve https, with a certificate made for it; http otherwise.
            host: a loopback address of IPv4.
            faults: what it does wrong, to see what the client does then. Its certificate is that of https; with http,
                the one inside CredSSP.
            port: TCP port; 0 for any that is free.
            config: as for `WinRMApplication`.
            options: as for `WinRMApplication`.

        Raises:
            LocalProtocolError, TypeError: arguments that make no sense.
        """
        config = server_config("WinRMServer", WinRMServiceOptions, config, options)
        if who is not None:
            config = replace(config, accounts=MemoryAccounts(who))
        super().__init__()
        self._listen = config.on_login
        self.certificate: Path | None = None
        if handler is not None and commands is not None:
            raise LocalProtocolError("WinRMServer: handler and commands exclude each other")
        self.responder = WSManResponder(hostname=hostname, commands=() if commands is None else commands)
        self._handler = handler or self.responder.respond
        self._https = https
        self.host = check_loopback(host)
        self.faults = faults or ServerFaults()
        self._wanted = port
        self._port: int | None = None
        self._stopped = False
        self._running = contextlib.ExitStack()
        config = replace(config, on_login=self._note, tls=replace(config.tls or ServerTLS(), key_log=True))
        self._application = FaultyApplication(inside(self.faults, https=https), self._handler, config=config)

    @property
    def logins(self) -> list[Login]:
        """The same as `delegations`."""
        return self.delegations

    def _note(self, login: Login) -> None:
        with self._changed:
            (self.delegations if login.error is None else self.refusals).append(login)
            self._changed.notify_all()
        if self._listen is not None:
            self._listen(login)

    def _begun(self) -> Sequence[Place]:
        # The books of the server say later than its events that a login is over.
        over = {login.client for login in (*self.delegations, *self.refusals)}
        return [place for place in self._application.gate.half_open if place.address not in over]

    def _idle(self) -> str:
        if self._port is None:
            return "the server was not started"
        return "the server was stopped" if self._stopped else ""

    @property
    def calls(self) -> list[CommandCall]:
        """The commands that the shell answered, in their order."""
        return self.responder.calls

    # Running

    def clear(self) -> None:
        """Forget what happened."""
        super().clear()
        self.responder.calls.clear()

    def start(self) -> Self:
        """Start it; returns when it listens. Raises what keeps it from listening."""
        with contextlib.ExitStack() as stack:
            if self._https:
                made, trusted = https_certificate(self.faults, self.host)
                self.certificate = Path(stack.enter_context(named_file(trusted)))
                chain = stack.enter_context(named_file(made.chain))
                key = stack.enter_context(named_file(made.private_key.reveal()))
                ciphers = https_ciphers(self.faults)
                self._port = stack.enter_context(
                    serving(
                        self._application,
                        host=self.host,
                        port=self._wanted,
                        certfile=chain,
                        keyfile=key,
                        ciphers=ciphers,
                    )
                )
            else:
                self._port = stack.enter_context(serving(self._application, host=self.host, port=self._wanted))
            self._running = stack.pop_all()
            self._stopped = False
        return self

    def stop(self) -> None:
        """Stop it and close what is open. Calling it again does nothing."""
        self._running.close()
        self._stopped = True

    @property
    def port(self) -> int:
        """Its TCP port."""
        if self._port is None:
            raise LocalProtocolError("the test server was not started")
        return self._port

    @property
    def url(self) -> str:
        """URL of the service."""
        return f"{'https' if self._https else 'http'}://{self.host}:{self.port}/wsman"
