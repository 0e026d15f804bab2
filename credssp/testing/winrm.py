"""A WinRM endpoint for the tests of clients and of programs that hand credentials on.

::

    with WinRMServer({("LAB", "alice"): "secret"}) as server:
        my_client.connect(server.url, user="LAB\\\\alice", password="secret")
        server.assert_delegated(username="alice", domain="LAB", password="secret")

`credssp.pytest_plugin` makes fixtures of it. It listens on loopback only.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, Unpack

from credssp.accounts import MemoryAccounts
from credssp.context.options import ServerOptions
from credssp.credentials import PasswordCredentials
from credssp.drivers.winrm_asgi import Authorize, Login, WinRMApplication, WinRMLimits
from credssp.drivers.winrm_serving import serving
from credssp.errors import LocalProtocolError
from credssp.status import describe
from credssp.testing.wsman import WSManResponder
from credssp.tls.certificate import generate_certificate
from credssp.winrm.handler import Handler
from credssp.winrm.session import Encryption

__all__ = ["WinRMServer"]

_PATIENCE: Final = 10.0
"""Seconds that an assertion waits for what a client is still doing. A login on loopback takes thousandths."""


class WinRMServer:
    """A WinRM endpoint, for tests; it remembers who logged on and with what.

    Attributes:
        logins: logins that were accepted, in their order.
        refusals: logins that were not.
        certificate: with https, the PEM file with the certificate that clients have to trust.
    """

    def __init__(
        self,
        who: Mapping[tuple[str, str], Any] | None = None,
        /,
        *,
        handler: Handler | None = None,
        https: bool = False,
        port: int = 0,
        encryption: Encryption = "auto",
        authorize: Authorize | None = None,
        limits: WinRMLimits | None = None,
        **options: Unpack[ServerOptions],
    ) -> None:
        """Prepare; `start` or ``with`` starts it.

        Args:
            who: accounts, as `credssp.MemoryAccounts` takes them; or `accounts` among the options.
            handler: answers messages; by default `credssp.testing.wsman.WSManResponder`, with a shell.
            https: serve https, with a certificate made for it; http otherwise.
            port: TCP port on 127.0.0.1; 0 for any that is free.
            encryption: as for `WinRMApplication`; so are the others.
            authorize: says whether a user may use the service.
            limits: what clients may cost.
            options: for `credssp.ServerContext`.
        """
        if who is not None:
            options["accounts"] = MemoryAccounts(who)
        self.logins: list[Login] = []
        self.refusals: list[Login] = []
        self.certificate: Path | None = None
        self.responder = WSManResponder()
        self._handler = handler or self.responder
        self._https = https
        self._wanted = port
        self._port: int | None = None
        self._changed = threading.Condition()
        self._running = contextlib.ExitStack()
        self._application = WinRMApplication(
            self._handler,
            encryption=encryption,
            authorize=authorize,
            limits=limits,
            on_login=self._note,
            **options,
        )

    def _note(self, login: Login) -> None:
        with self._changed:
            (self.logins if login.error is None else self.refusals).append(login)
            self._changed.notify_all()

    # Running

    def start(self) -> Self:
        """Start it; returns when it listens. Raises what keeps it from listening."""
        with contextlib.ExitStack() as stack:
            if self._https:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="credssp-")))
                made = generate_certificate("p256", common_name="localhost", dns_names=("localhost", "127.0.0.1"))
                self.certificate = folder / "certificate.pem"
                self.certificate.write_bytes(made.chain)
                key = folder / "key.pem"
                key.touch(mode=0o600)
                key.write_bytes(made.private_key.reveal())
                self._port = stack.enter_context(
                    serving(self._application, port=self._wanted, certfile=self.certificate, keyfile=key)
                )
            else:
                self._port = stack.enter_context(serving(self._application, port=self._wanted))
            self._running = stack.pop_all()
        return self

    def stop(self) -> None:
        """Stop it and close what is open. Calling it again does nothing."""
        self._running.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """Its TCP port on 127.0.0.1."""
        if self._port is None:
            raise LocalProtocolError("the test server was not started")
        return self._port

    @property
    def url(self) -> str:
        """URL of the service."""
        return f"{'https' if self._https else 'http'}://127.0.0.1:{self.port}/wsman"

    def clear(self) -> None:
        """Forget what happened."""
        with self._changed:
            self.logins.clear()
            self.refusals.clear()

    # Asking

    def wait(self, *, logins: int = 0, refusals: int = 0, timeout: float = _PATIENCE) -> bool:
        """Wait for so many logins and refusals; returns whether they came."""
        with self._changed:
            return self._changed.wait_for(
                lambda: len(self.logins) >= logins and len(self.refusals) >= refusals, timeout
            )

    def assert_delegated(
        self,
        *,
        username: str | None = None,
        domain: str | None = None,
        password: str | None = None,
        empty: bool | None = None,
        timeout: float = _PATIENCE,
    ) -> Login:
        """Assert that somebody logged on, and that the last who did delegated this; returns that login.

        Clients of WinRM open connections as they like, and each of them is a login: so more than one is fine.

        Args:
            username: the delegated user name, if it matters.
            domain: the delegated domain, if it matters.
            password: the delegated password, if it matters; never shown in a failure.
            empty: whether an empty set was delegated, if it matters.
            timeout: seconds to wait for it.

        Raises:
            AssertionError: it was otherwise; the text says how, without secrets.
        """
        __tracebackhide__ = True
        self.wait(logins=1, timeout=timeout)
        if not self.logins:
            raise AssertionError(f"nobody logged on; {self._refused_text()}")
        login = self.logins[-1]
        credentials = login.credentials
        if not isinstance(credentials, PasswordCredentials):
            raise AssertionError(f"no password was delegated but {type(credentials).__name__}")
        for name, wanted, got in (
            ("username", username, credentials.username),
            ("domain", domain, credentials.domain),
            ("empty", empty, credentials.is_empty),
        ):
            if wanted is not None and wanted != got:
                raise AssertionError(f"delegated {name} is {got!r}, expected {wanted!r}")
        if password is not None and credentials.password.reveal() != password:
            raise AssertionError("the delegated password is not the expected one (neither is shown)")
        return login

    def assert_refused(self, ntstatus: int | None = None, *, timeout: float = _PATIENCE) -> Login:
        """Assert that a login was refused and none accepted; returns the last refusal.

        Args:
            ntstatus: the NTSTATUS of the refusal, such as `NTStatus.STATUS_LOGON_FAILURE`, if it matters.
            timeout: seconds to wait for it.

        Raises:
            AssertionError: it was otherwise.
        """
        __tracebackhide__ = True
        self.wait(refusals=1, timeout=timeout)
        if self.logins or not self.refusals:
            raise AssertionError(f"expected a refusal; there are {len(self.logins)} logins; {self._refused_text()}")
        refusal = self.refusals[-1]
        found = None if refusal.error is None else refusal.error.ntstatus
        if ntstatus is not None and found != ntstatus:
            raise AssertionError(f"{self._refused_text()}, expected {describe(ntstatus).summary}")
        return refusal

    def _refused_text(self) -> str:
        if not self.refusals:
            return "nothing was refused"
        return "refused: " + "; ".join(str(refusal.error) for refusal in self.refusals)
