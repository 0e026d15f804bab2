"""What the security contexts of this package share: a context that failed stays failed.

After a token that did not verify nothing that the peer sends may bring the context back to life, so the first
exception in an operation, whatever it is, closes the door. `step`, `wrap` and `unwrap` do so themselves, being the hot
path; other operations run through `SecurityContext._run`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

from credssp.authority import LogonAnswer, LogonQuestion
from credssp.channel_bindings import BindingDemand, ChannelBindings
from credssp.errors import LocalProtocolError
from credssp.identity import Identity
from credssp.mechanism import SpnegoMechanism
from credssp.mechanism_name import MechanismName, WireForm
from credssp.message_parts import MessagePart, OpenedMessage, SealedMessage, cut
from credssp.secret import forget_locals
from credssp.server_authentication import ServerAuthentication
from credssp.status import SecurityStatus

__all__ = ["OuterContext", "SecurityContext"]

P = ParamSpec("P")
T = TypeVar("T")


class SecurityContext(ABC):
    """Base of the initiators and acceptors; implements `credssp.mechanism.Mechanism`.

    Threads: one at a time. A context (`credssp.ClientContext`) and the handles of `credssp.sspi` see to that.

    An exception that leaves one of its calls shows no local variables of the frames below (`credssp.secret`).

    Attributes:
        name: the mechanism at work, once known.
        wire_form: how the tokens look on the wire, once known.
        complete: whether no further token is expected.
        can_wrap: whether `wrap` works (and `unwrap`, see there).
        server_authentication: what was proved about the server so far.
        identity: who logged on, for an acceptor that is complete.
        question: what a logon authority has to say before the exchange goes on, for an acceptor; mostly None.
        client_name: for an initiator with Kerberos that is complete, whose tickets it used; else empty.
    """

    def __init__(self) -> None:
        self.name: MechanismName = ""
        self.wire_form: WireForm = ""
        self.complete = False
        self.can_wrap = False
        self.server_authentication = ServerAuthentication.NONE
        self.identity: Identity | None = None
        self.question: LogonQuestion | None = None
        self.client_name = ""
        self._failed = False

    @property
    @abstractmethod
    def session_key(self) -> bytes:
        """The session key. Raises LocalProtocolError before there is one."""

    def bind(self, bindings: ChannelBindings | None, *, demand: BindingDemand = "match") -> None:  # noqa: ARG002
        """Use channel bindings, before the token is made (or taken) that proves them.

        Args:
            bindings: those of the channel around this login; None for an acceptor that knows none.
            demand: what an acceptor demands; for an initiator without effect.

        Raises:
            LocalProtocolError: it is too late, or the mechanism takes none. The context is as it was.
        """
        raise LocalProtocolError("this mechanism takes no channel bindings")

    def distrust_target(self) -> None:  # noqa: B027 - for initiators that can
        """Tell the server that its name comes from a source that may lie, of an initiator that can (NTLM)."""

    def step(self, token: bytes | None) -> bytes | None:
        """Take the peer's token (None for an initiator's first call) and return the one to send, if any.

        Raises:
            AuthenticationError: the authentication failed.
            RemoteProtocolError: the peer broke the protocol (DecodeError: its token does not decode).
            LocalProtocolError: no token is due, or the context failed before.
        """
        if self._failed or self.complete or self.question is not None:
            raise self._out_of_turn()
        try:
            return self._step(token)
        except BaseException as error:
            self._fail()
            forget_locals(error)
            raise

    def wrap(self, data: bytes) -> bytes:
        """Encrypt and sign; returns signature, then ciphertext. Raises LocalProtocolError before `can_wrap`."""
        if not self.can_wrap:
            raise self._out_of_turn()
        try:
            return self._wrap(data)
        except BaseException as error:
            self._fail()
            forget_locals(error)
            raise

    def unwrap(self, data: bytes) -> bytes:
        """Check and decrypt what the peer's `wrap` made. Raises RemoteProtocolError where it does not verify."""
        if not self.can_wrap:
            raise self._out_of_turn()
        try:
            return self._unwrap(data)
        except BaseException as error:
            self._fail()
            forget_locals(error)
            raise

    def wrap_parts(self, parts: Sequence[MessagePart], *, encrypt: bool = True) -> SealedMessage:
        """Protect a message that has several parts.

        Args:
            parts: the message.
            encrypt: False signs the parts that would be encrypted, too, and leaves them as they are.

        Raises:
            LocalProtocolError: before `can_wrap`, or the mechanism cannot do this.
        """
        self._check_can_wrap()
        return self._run(self._wrap_parts, parts, encrypt)

    def unwrap_parts(self, signature: bytes, parts: Sequence[MessagePart], padding: bytes = b"") -> OpenedMessage:
        """Open what the peer's `wrap_parts` or `wrap` made; look at `OpenedMessage.encrypted`.

        Raises:
            RemoteProtocolError: it does not verify.
        """
        self._check_can_wrap()
        return self._run(self._unwrap_parts, signature, parts, padding)

    def sign(self, data: bytes) -> bytes:
        """Return a signature over `data`, which stays readable (GSS_GetMIC, RFC 2743 2.3.1; SSPI's MakeSignature)."""
        self._check_can_wrap()
        return self._run(self._sign, data)

    def verify(self, data: bytes, signature: bytes) -> None:
        """Check what the peer's `sign` made (GSS_VerifyMIC). Raises RemoteProtocolError where it does not match."""
        self._check_can_wrap()
        self._run(self._verify, data, signature)

    def resume(self, answer: LogonAnswer) -> bytes | None:
        """Continue with the answer to `question`, and return the token to send, if any.

        Raises:
            AuthenticationError, RemoteProtocolError: as `step`.
            LocalProtocolError: there is no question.
        """
        if self.question is None:
            raise LocalProtocolError("no question waits for an answer")
        self.question = None
        return self._run(self._resume, answer)

    def pack(self) -> bytes:
        """Return what another process needs to protect messages in this context's place; it holds keys.

        The context is not to be used after that: both would count messages.

        Raises:
            LocalProtocolError: the context is not complete, or its mechanism cannot do this.
        """
        if not self.complete:
            raise LocalProtocolError("a context is packed when it is complete")
        return self._run(self._pack)

    def _pack(self) -> bytes:
        raise LocalProtocolError(
            "contexts of this mechanism cannot be packed", status=SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION
        )

    def finish(self) -> None:
        """Say that the peer sends no further token although one was possible; see the SPNEGO initiator.

        Raises:
            RemoteProtocolError: the exchange may not end here.
            LocalProtocolError: the authentication is not that far.
        """
        self._run(self._finish)

    def _run(self, operation: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run any other operation; an exception is the end of the context."""
        if self._failed:
            raise self._out_of_turn()
        try:
            return operation(*args, **kwargs)
        except BaseException as error:
            self._fail()
            forget_locals(error)
            raise

    def _fail(self) -> None:
        self._failed = True
        self.complete = self.can_wrap = False
        self.server_authentication = ServerAuthentication.NONE
        self.identity = self.question = None

    def _out_of_turn(self) -> LocalProtocolError:
        """Make the error for a call that comes too late, or too early."""
        if self._failed:
            return LocalProtocolError(
                "this security context failed before; make a new one", status=SecurityStatus.SEC_E_INVALID_HANDLE
            )
        if self.complete:
            self._fail()
            return LocalProtocolError("the security context is complete, no token is due")
        if self.question is not None:
            return LocalProtocolError("the question is to be answered first")
        return LocalProtocolError("nothing can be wrapped before the authentication is that far")

    def _check_can_wrap(self) -> None:
        """Raise where there is no session (yet, or any more)."""
        if not self.can_wrap:
            raise self._out_of_turn()

    def _finish(self) -> None:
        if not self.complete:
            raise LocalProtocolError("the authentication is not over")

    @abstractmethod
    def _step(self, token: bytes | None) -> bytes | None: ...

    def _resume(self, answer: LogonAnswer) -> bytes | None:  # noqa: ARG002 - for acceptors that ask
        raise LocalProtocolError("this mechanism asks nothing")

    @abstractmethod
    def _wrap(self, data: bytes) -> bytes: ...

    @abstractmethod
    def _unwrap(self, data: bytes) -> bytes: ...

    def _wrap_parts(self, parts: Sequence[MessagePart], encrypt: bool) -> SealedMessage:
        if not encrypt or not all(part.sealed for part in parts):
            raise LocalProtocolError(
                "this mechanism encrypts the whole of a message", status=SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION
            )
        sealed = self._wrap(b"".join(part.data for part in parts))
        head = len(sealed) - sum(len(part.data) for part in parts)
        return SealedMessage(sealed[:head], cut(sealed[head:], parts))

    def _unwrap_parts(self, signature: bytes, parts: Sequence[MessagePart], padding: bytes) -> OpenedMessage:
        if not all(part.sealed for part in parts):
            raise LocalProtocolError(
                "this mechanism encrypts the whole of a message", status=SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION
            )
        plain = self._unwrap(b"".join((signature, *(part.data for part in parts), padding)))
        return OpenedMessage(cut(plain, parts), True)

    def _sign(self, data: bytes) -> bytes:  # noqa: ARG002 - for mechanisms that can
        raise LocalProtocolError("this mechanism does not sign")

    def _verify(self, data: bytes, signature: bytes) -> None:  # noqa: ARG002
        raise LocalProtocolError("this mechanism does not sign")


class OuterContext(SecurityContext):
    """A context that chooses another one, which then protects the messages: SPNEGO."""

    def __init__(self) -> None:
        super().__init__()
        self._mechanism: SpnegoMechanism | None = None
        self._binding: tuple[ChannelBindings | None, BindingDemand] | None = None
        self._distrusts_target = False

    def bind(self, bindings: ChannelBindings | None, *, demand: BindingDemand = "match") -> None:
        """Use channel bindings in the mechanism that is chosen, or will be; see `SecurityContext.bind`."""
        if self._mechanism is not None:
            self._mechanism.bind(bindings, demand=demand)
        self._binding = bindings, demand

    def distrust_target(self) -> None:
        """Tell the server so in the mechanism that is chosen; before the first step."""
        self._distrusts_target = True

    def _make(self, make: Callable[[], SpnegoMechanism]) -> SpnegoMechanism:
        """Make a mechanism, with the channel bindings of this context."""
        mechanism = make()
        if self._distrusts_target:
            mechanism.distrust_target()
        if self._binding is not None:
            bindings, demand = self._binding
            mechanism.bind(bindings, demand=demand)
        return mechanism

    def _chosen(self) -> SpnegoMechanism:
        if self._mechanism is None:
            raise LocalProtocolError("no mechanism was chosen")
        return self._mechanism

    @property
    def session_key(self) -> bytes:
        """The session key of the mechanism."""
        self._check_can_wrap()
        return self._chosen().session_key

    def _pack(self) -> bytes:
        chosen = self._chosen()
        if not isinstance(chosen, SecurityContext):
            return super()._pack()
        return chosen.pack()

    def _sign(self, data: bytes) -> bytes:
        return self._chosen().sign(data)

    def _verify(self, data: bytes, signature: bytes) -> None:
        self._chosen().verify(data, signature)

    def _wrap(self, data: bytes) -> bytes:
        return self._chosen().wrap(data)

    def _unwrap(self, data: bytes) -> bytes:
        return self._chosen().unwrap(data)

    def _wrap_parts(self, parts: Sequence[MessagePart], encrypt: bool) -> SealedMessage:
        return self._chosen().wrap_parts(parts, encrypt=encrypt)

    def _unwrap_parts(self, signature: bytes, parts: Sequence[MessagePart], padding: bytes) -> OpenedMessage:
        return self._chosen().unwrap_parts(signature, parts, padding)
