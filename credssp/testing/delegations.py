"""What the test doubles remember of logins, and the assertions about it."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import ClassVar, Final, Generic, Protocol, Self, TypeVar

from credssp.credentials import DelegatedCredentials, PasswordCredentials
from credssp.drivers.gate import Place
from credssp.errors import LocalProtocolError
from credssp.identity import Identity
from credssp.status import describe
from credssp.testing.failure_texts import RefusedClient, login_text, refusals_text

__all__ = ["PATIENCE", "Delegations", "check_loopback"]

PATIENCE: Final = 10.0
"""Seconds that a start, a stop or an assertion waits. A login on loopback takes thousandths."""


def check_loopback(host: str) -> str:
    """Return an address that only this machine can reach, or raise LocalProtocolError."""
    try:
        if ipaddress.IPv4Address(host).is_loopback:
            return host
    except ValueError:
        pass
    raise LocalProtocolError(f"host {host!r}: not an address of 127.0.0.0/8, on which test servers listen")


class _Delegation(Protocol):
    @property
    def identity(self) -> Identity | None: ...

    @property
    def credentials(self) -> DelegatedCredentials | None: ...


D = TypeVar("D", bound=_Delegation)
R = TypeVar("R", bound=RefusedClient)


class Delegations(Generic[D, R]):
    """The part of a test server that remembers; use the server in a ``with`` block, or call `start` and `stop`.

    Attributes:
        delegations: logins that were accepted, in their order.
        refusals: connections or logins that were not, in their order.
    """

    _several: ClassVar[bool] = False
    """Whether a client may log on more than once, for each of its connections: the last login or refusal counts."""

    def __init__(self) -> None:
        self.delegations: list[D] = []
        self.refusals: list[R] = []
        self._changed = threading.Condition()

    def start(self) -> Self:
        """Start it; returns when it listens. Raises what keeps it from listening."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stop it and close what is open. Calling it again does nothing."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def clear(self) -> None:
        """Forget what happened."""
        with self._changed:
            self.delegations.clear()
            self.refusals.clear()

    def _await(self, condition: Callable[[], object], timeout: float) -> bool:
        with self._changed:
            return bool(self._changed.wait_for(condition, 0.0 if self._idle() else timeout))

    def wait(self, *, delegations: int = 0, refusals: int = 0, timeout: float = PATIENCE) -> bool:
        """Wait for so many logins and refusals; returns whether they came.

        ``assert server.wait(delegations=2), server.happened()`` says what happened instead.
        """
        return self._await(lambda: len(self.delegations) >= delegations and len(self.refusals) >= refusals, timeout)

    def assert_delegated(
        self,
        *,
        username: str | None = None,
        domain: str | None = None,
        password: str | None = None,
        empty: bool | None = None,
        several: bool | None = None,
        timeout: float = PATIENCE,
    ) -> D:
        """Assert that a login came and delegated this; returns it.

        RDP: exactly one login. WinRM: the last of one or more, since a client logs on once for each connection.

        Args:
            username: the delegated user name, if it matters; empty for a smart card or Remote Credential Guard.
            domain: the delegated domain, if it matters.
            password: the delegated password, if it matters; never shown in a failure.
            empty: whether an empty set was delegated, if it matters.
            several: whether more logins than one are fine; None as above. Some RDP clients connect again.
            timeout: seconds to wait for it.

        Raises:
            AssertionError: it was otherwise; the text says how, without secrets.
        """
        __tracebackhide__ = True
        several = self._several if several is None else several
        self._await(lambda: self.delegations or (self._refused() and not several), timeout)
        count = len(self.delegations)
        if count == 0:
            raise AssertionError(f"expected a login, and {self._otherwise(timeout)}")
        if count > 1 and not several:
            raise AssertionError(f"expected one login, and there were {count}: {self._logins_text()}")
        found = self.delegations[-1]
        credentials = found.credentials
        plain = credentials if isinstance(credentials, PasswordCredentials) else None
        for name, wanted, got in (
            ("username", username, plain.username if plain else ""),
            ("domain", domain, plain.domain if plain else ""),
            ("empty", empty, plain is not None and plain.is_empty),
        ):
            if wanted is not None and wanted != got:
                raise AssertionError(f"delegated {name} is {got!r}, expected {wanted!r}; {self.happened()}")
        if password is not None:
            if plain is None:
                raise AssertionError(f"no password was delegated but {type(credentials).__name__}")
            if plain.password.reveal() != password:
                raise AssertionError("the delegated password is not the expected one (neither is shown)")
        return found

    def assert_refused(self, ntstatus: int | None = None, *, timeout: float = PATIENCE) -> R:
        """Assert that there was no login but a refusal; returns it.

        RDP: exactly one refusal. WinRM: the last of one or more.

        Args:
            ntstatus: the NTSTATUS of the refusal, such as `NTStatus.STATUS_LOGON_FAILURE`, if it matters.
            timeout: seconds to wait for it.

        Raises:
            AssertionError: it was otherwise.
        """
        __tracebackhide__ = True
        self._await(lambda: self._refused() or (self.delegations and not self._several), timeout)
        refused = self._refused()
        if self.delegations:
            raise AssertionError(f"expected a refusal, and there was a login: {self._logins_text()}")
        if not refused:
            raise AssertionError(f"expected a refusal, and {self._otherwise(timeout)}")
        if len(refused) > 1 and not self._several:
            raise AssertionError(f"expected one refusal, and there were {len(refused)}: {refusals_text(refused)}")
        refusal = self._decisive(refused, ntstatus)
        found = None if refusal.error is None else refusal.error.ntstatus
        if ntstatus is not None and found != ntstatus:
            raise AssertionError(f"expected {describe(ntstatus).summary}, and {refusals_text(refused)}")
        return refusal

    def happened(self) -> str:
        """Say what has happened until now, in words for a failure: logins, refusals, clients that did not go on.

        No secrets are in it.
        """
        with self._changed:
            parts = []
            if self.delegations:
                count = len(self.delegations)
                parts.append(f"there {'was a login' if count == 1 else f'were {count} logins'}: {self._logins_text()}")
            if self.refusals:
                parts.append(refusals_text(self.refusals))
            parts += [
                f"{login_text(found.identity, found.credentials)} is still connected" for found in self._sessions()
            ]
            begun = [place.progress > 0 for place in self._begun()]
        for what, count in (("sent nothing", begun.count(False)), ("did not finish its login", begun.count(True))):
            if count:
                parts.append(f"{'a client' if count == 1 else f'{count} clients'} connected and {what}")
        return "; ".join(parts) or f"no client {'logged on' if self._several else 'connected'}"

    def _refused(self) -> list[R]:
        """Return the refusals of clients that sent something: a port scan, or a wait for the port, is not a login."""
        return [refusal for refusal in self.refusals if not refusal.silent]

    def _begun(self) -> Sequence[Place]:
        """Return the connections whose login is not over."""
        return ()

    def _sessions(self) -> Sequence[D]:
        """Return the logins that do not count yet, since their connection is open."""
        return ()

    def _idle(self) -> str:
        """Say why no client can come; empty while it listens."""
        return ""

    def _otherwise(self, timeout: float) -> str:
        """Say what happened in place of a login or a refusal."""
        if self._refused():
            return self.happened()
        idle = self._idle()
        return f"{self.happened()}: {idle}" if idle else f"{self.happened()} within {timeout:g} s"

    def _logins_text(self) -> str:
        return ", ".join(login_text(found.identity, found.credentials) for found in self.delegations)

    @staticmethod
    def _decisive(refused: Sequence[R], ntstatus: int | None) -> R:
        """Return the last refusal that says most: with this status, else of a named user, else any."""

        def says(refusal: R) -> tuple[bool, bool]:
            error = refusal.error
            if error is None:
                return False, False
            return ntstatus is not None and error.ntstatus == ntstatus, error.claim is not None

        return max(reversed(refused), key=says)
