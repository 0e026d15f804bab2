"""The loop that every program on SSPI has: from the first leg to a context, over any connection.

`ClientExchange` and `ServerExchange` take what was received, in pieces of any size for packages with a stream, and
return what has to be sent; they read and write nothing. `drive` runs one over a pair of functions, `drive_async` over a
pair of coroutine functions::

    with sspi.acquire_credentials_handle(auth_data=sspi.CredsspCred(spnego_cred=identity)).credential as credential:
        exchange = sspi.ClientExchange(credential, "TERMSRV/srv.lab.test")
        sspi.drive(exchange, connection.sendall, lambda: connection.recv(65536))
        sspi.query_context_attributes(exchange.context, sspi.SECPKG_ATTR_NAMES)
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Self, TypeVar

from credssp.errors import CredSSPError, LocalProtocolError, PeerClosedError
from credssp.sspi import api
from credssp.sspi import buffers as b
from credssp.sspi import constants as c
from credssp.sspi.buffers import SecBuffer, SecBufferDesc
from credssp.sspi.dispatcher import LocalSecurityAuthority
from credssp.sspi.errors import SSPIError
from credssp.sspi.handles import CredHandle, CtxtHandle
from credssp.sspi.records import ContextResult
from credssp.status import SecurityStatus

__all__ = [
    "ASC_REQ_DEFAULT",
    "ISC_REQ_DEFAULT",
    "ClientExchange",
    "SecurityExchange",
    "ServerExchange",
    "drive",
    "drive_async",
]

_S = SecurityStatus

ISC_REQ_DEFAULT: Final = (
    c.ISC_REQ_REPLAY_DETECT
    | c.ISC_REQ_SEQUENCE_DETECT
    | c.ISC_REQ_CONFIDENTIALITY
    | c.ISC_REQ_INTEGRITY
    | c.ISC_REQ_STREAM
    | c.ISC_REQ_EXTENDED_ERROR
)
"""What a `ClientExchange` asks for: protected messages, and to tell the peer of failures. Add ISC_REQ_DELEGATE to send
the credentials with CREDSSP."""
ASC_REQ_DEFAULT: Final = (
    c.ASC_REQ_REPLAY_DETECT
    | c.ASC_REQ_SEQUENCE_DETECT
    | c.ASC_REQ_CONFIDENTIALITY
    | c.ASC_REQ_INTEGRITY
    | c.ASC_REQ_STREAM
    | c.ASC_REQ_EXTENDED_ERROR
)
"""What a `ServerExchange` asks for."""


class SecurityExchange(ABC):
    """One side of an exchange: what `ClientExchange` and `ServerExchange` share.

    Attributes:
        credential: phCredential.
        context_req: fContextReq.
        context: the context, invalid before the first leg; `close`, or ``with``, deletes it.
        complete: whether the context can be used; what the last call returned must still be sent.
        attributes: pfContextAttr of the last leg.
        expiry: ptsExpiry of the last leg.
        rest: received bytes that belong to what comes after the exchange.
    """

    def __init__(
        self,
        credential: CredHandle,
        context_req: int,
        inputs: Sequence[SecBuffer],
        authority: LocalSecurityAuthority | None,
    ) -> None:
        self.credential = credential
        self.context_req = context_req
        self.context = CtxtHandle()
        self.complete = False
        self.attributes = self.expiry = 0
        self.rest = b""
        self._inputs = tuple(inputs)
        self._authority = api.local_security_authority() if authority is None else authority

    @abstractmethod
    def start(self) -> bytes:
        """Begin; returns the bytes to send, which a server has none of."""

    def receive(self, data: bytes) -> bytes:
        """Take bytes from the peer; returns the bytes to send, which may be none.

        Args:
            data: for packages with a stream (CREDSSP, Schannel) any piece of it; for the others one token.

        Raises:
            SSPIError: the exchange failed, and its context was deleted; `.token` has to be sent if there is one.
            LocalProtocolError: the exchange is over.
        """
        if self.complete:
            raise LocalProtocolError("this exchange is complete: what comes now are messages")
        pending, answer = self.rest + data, b""
        while True:
            desc = self._desc(pending)
            result = self._run(desc)
            if result.status is _S.SEC_E_INCOMPLETE_MESSAGE:
                self.rest = pending
                return answer
            answer += result.token
            if result.status is _S.SEC_I_INCOMPLETE_CREDENTIALS:
                continue  # the same input again: the client has no certificate, and says so
            extra = next((buffer.size for buffer in desc if buffer.buffer_type == b.SECBUFFER_EXTRA), 0)
            pending = pending[len(pending) - extra :]
            if self.complete or not pending:
                self.rest = pending
                return answer

    def close(self) -> None:
        """Delete the context; a second time changes nothing."""
        if self.context.is_valid:
            with contextlib.suppress(SSPIError):
                self._authority.delete_security_context(self.context)
        self.context, self.complete = CtxtHandle(), False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'complete' if self.complete else 'not complete'})"

    def _desc(self, token: bytes | None) -> SecBufferDesc:
        """Return pInput; the EMPTY buffer takes EXTRA and MISSING."""
        first = [] if token is None else [SecBuffer(b.SECBUFFER_TOKEN, token), SecBuffer()]
        return SecBufferDesc([*first, *self._inputs])

    @abstractmethod
    def _call(self, desc: SecBufferDesc | None, output: SecBufferDesc) -> ContextResult:
        """Make one leg."""

    def _run(self, desc: SecBufferDesc | None) -> ContextResult:
        output = SecBufferDesc([SecBuffer(b.SECBUFFER_TOKEN)])
        try:
            result = self._call(desc, output)
            if result.status in (_S.SEC_I_COMPLETE_NEEDED, _S.SEC_I_COMPLETE_AND_CONTINUE):
                self._authority.complete_auth_token(self.context, output)
                result = result._replace(token=output[0].data)
        except SSPIError as error:
            error.token = error.token or output[0].data
            self.close()
            raise
        if result.status is not _S.SEC_E_INCOMPLETE_MESSAGE:
            self.complete = result.status in (_S.SEC_E_OK, _S.SEC_I_COMPLETE_NEEDED)
            self.attributes, self.expiry = result.attributes, result.expiry
        return result


class ClientExchange(SecurityExchange):
    """A client's side.

    Args:
        credential: phCredential.
        target_name: pszTargetName, such as ``TERMSRV/host``.
        context_req: fContextReq, ``ISC_REQ_...``; the memory of tokens is always the package's.
        inputs: further buffers of every pInput, such as a SECBUFFER_CHANNEL_BINDINGS.
        authority: the LSA; None for that of the process.
    """

    def __init__(
        self,
        credential: CredHandle,
        target_name: str | None = None,
        *,
        context_req: int = ISC_REQ_DEFAULT,
        inputs: Sequence[SecBuffer] = (),
        authority: LocalSecurityAuthority | None = None,
    ) -> None:
        super().__init__(credential, context_req | c.ISC_REQ_ALLOCATE_MEMORY, inputs, authority)
        self.target_name = target_name

    def start(self) -> bytes:
        """Make the first token.

        Raises:
            SSPIError: the exchange failed.
            LocalProtocolError: it has begun already.
        """
        if self.context.is_valid:
            raise LocalProtocolError("this exchange has begun")
        return self._run(self._desc(None) if self._inputs else None).token

    def _call(self, desc: SecBufferDesc | None, output: SecBufferDesc) -> ContextResult:
        return self._authority.initialize_security_context(
            self.credential,
            self.context if self.context.is_valid else None,
            self.target_name,
            self.context_req,
            input=desc,
            new_context=self.context,
            output=output,
        )


class ServerExchange(SecurityExchange):
    """A server's side.

    Args:
        credential: phCredential.
        context_req: fContextReq, ``ASC_REQ_...``; the memory of tokens is always the package's.
        inputs: further buffers of every pInput, such as a SECBUFFER_CHANNEL_BINDINGS.
        authority: the LSA; None for that of the process.
    """

    def __init__(
        self,
        credential: CredHandle,
        *,
        context_req: int = ASC_REQ_DEFAULT,
        inputs: Sequence[SecBuffer] = (),
        authority: LocalSecurityAuthority | None = None,
    ) -> None:
        super().__init__(credential, context_req | c.ASC_REQ_ALLOCATE_MEMORY, inputs, authority)

    def start(self) -> bytes:
        """Do nothing: the client speaks first."""
        return b""

    def _call(self, desc: SecBufferDesc | None, output: SecBufferDesc) -> ContextResult:
        return self._authority.accept_security_context(
            self.credential,
            self.context if self.context.is_valid else None,
            desc,
            self.context_req,
            new_context=self.context,
            output=output,
        )


E = TypeVar("E", ClientExchange, ServerExchange)


def drive(exchange: E, send: Callable[[bytes], object], receive: Callable[[], bytes]) -> E:
    """Run an exchange to its end.

    Args:
        exchange: one that has not begun.
        send: sends all of its argument.
        receive: returns what has arrived, as `ClientExchange.receive` takes it; nothing where the peer has closed.

    Returns:
        The exchange, which is complete.

    Raises:
        SSPIError: the exchange failed; what the peer is to be told has been sent.
        PeerClosedError: the peer closed the connection before the exchange was over.
    """
    try:
        token = exchange.start()
        while True:
            if token:
                send(token)
            if exchange.complete:
                return exchange
            token = exchange.receive(_checked(receive()))
    except CredSSPError as error:
        exchange.close()
        if error.token:
            with contextlib.suppress(OSError):  # the failure is what counts
                send(error.token)
        raise
    except BaseException:
        exchange.close()
        raise


async def drive_async(
    exchange: E, send: Callable[[bytes], Awaitable[object]], receive: Callable[[], Awaitable[bytes]]
) -> E:
    """Run an exchange to its end, as `drive` does, with coroutine functions.

    Legs that ask a KDC or an authority block the event loop for as long as that takes.
    """
    try:
        token = exchange.start()
        while True:
            if token:
                await send(token)
            if exchange.complete:
                return exchange
            token = exchange.receive(_checked(await receive()))
    except CredSSPError as error:
        exchange.close()
        if error.token:
            with contextlib.suppress(OSError):
                await send(error.token)
        raise
    except BaseException:
        exchange.close()
        raise


def _checked(data: bytes) -> bytes:
    if not data:
        raise PeerClosedError("the peer closed the connection before the exchange was over")
    return data
