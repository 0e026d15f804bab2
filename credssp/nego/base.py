"""What the security contexts of this package share: a context that failed stays failed.

After a token that did not verify nothing that the peer sends may bring the context back to life, so every public
operation runs through `SecurityContext._run`, which closes the door on the first exception, whatever it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from credssp.errors import LocalProtocolError
from credssp.nego.mechanism import Identity, MechanismName, WireForm
from credssp.server_authentication import ServerAuthentication

__all__ = ["SecurityContext"]

P = ParamSpec("P")
T = TypeVar("T")


class SecurityContext(ABC):
    """Base of the initiators and acceptors; implements `credssp.nego.mechanism.Mechanism`.

    Attributes:
        name: the mechanism at work, once known.
        wire_form: how the tokens look on the wire, once known.
        complete: whether no further token is expected.
        can_wrap: whether `wrap` works (and `unwrap`, see there).
        server_authentication: what was proved about the server so far.
        identity: who logged on, for an acceptor that is complete.
    """

    def __init__(self) -> None:
        self.name: MechanismName = ""
        self.wire_form: WireForm = ""
        self.complete = False
        self.can_wrap = False
        self.server_authentication = ServerAuthentication.NONE
        self.identity: Identity | None = None
        self._failed = False

    @property
    @abstractmethod
    def session_key(self) -> bytes:
        """The session key. Raises LocalProtocolError before there is one."""

    def step(self, token: bytes | None) -> bytes | None:
        """Take the peer's token (None for an initiator's first call) and return the one to send, if any.

        Raises:
            AuthenticationError: the authentication failed.
            RemoteProtocolError: the peer broke the protocol (DecodeError: its token does not decode).
            LocalProtocolError: no token is due, or the context failed before.
        """
        return self._run(self._checked_step, token)

    def wrap(self, data: bytes) -> bytes:
        """Encrypt and sign; returns signature, then ciphertext. Raises LocalProtocolError before `can_wrap`."""
        self._check_can_wrap()
        return self._run(self._wrap, data)

    def unwrap(self, data: bytes) -> bytes:
        """Check and decrypt what the peer's `wrap` made. Raises RemoteProtocolError where it does not verify."""
        self._check_can_wrap()
        return self._run(self._unwrap, data)

    def finish(self) -> None:
        """Say that the peer sends no further token although one was possible; see the SPNEGO initiator.

        Raises:
            RemoteProtocolError: the exchange may not end here.
            LocalProtocolError: the authentication is not that far.
        """
        self._run(self._finish)

    def _run(self, operation: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run an operation; an exception is the end of the context."""
        if self._failed:
            raise LocalProtocolError("this security context failed before; make a new one")
        try:
            return operation(*args, **kwargs)
        except BaseException:
            self._failed = True
            self.complete = self.can_wrap = False
            self.server_authentication = ServerAuthentication.NONE
            self.identity = None
            raise

    def _checked_step(self, token: bytes | None) -> bytes | None:
        if self.complete:
            raise LocalProtocolError("the security context is complete, no token is due")
        return self._step(token)

    def _check_can_wrap(self) -> None:
        if not self.can_wrap and not self._failed:
            raise LocalProtocolError("nothing can be wrapped before the authentication is that far")

    def _finish(self) -> None:
        if not self.complete:
            raise LocalProtocolError("the authentication is not over")

    @abstractmethod
    def _step(self, token: bytes | None) -> bytes | None: ...

    @abstractmethod
    def _wrap(self, data: bytes) -> bytes: ...

    @abstractmethod
    def _unwrap(self, data: bytes) -> bytes: ...
