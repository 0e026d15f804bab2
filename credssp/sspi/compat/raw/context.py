"""Contexts as `sspilib.raw` has them."""

from __future__ import annotations

import contextlib
import enum
from typing import Final, NamedTuple

import credssp.sspi as sspi
from credssp.sspi import constants
from credssp.sspi.compat.failures import argument
from credssp.sspi.compat.families import enumeration, flags, numbers
from credssp.sspi.compat.raw.buffers import SecBufferDesc
from credssp.sspi.compat.raw.credential import CredHandle
from credssp.sspi.compat.raw.results import NtStatus, check_leg, windows_errors

__all__ = [
    "AcceptContextResult",
    "AscReq",
    "AscRet",
    "CtxtHandle",
    "InitializeContextResult",
    "IscReq",
    "IscRet",
    "TargetDataRep",
    "accept_security_context",
    "complete_auth_token",
    "initialize_security_context",
]

IscReq: Final = flags("IscReq", __name__, numbers("ISC_REQ_", constants))
"""fContextReq of a client."""
IscRet: Final = flags("IscRet", __name__, numbers("ISC_RET_", constants))
"""pfContextAttr of a client."""
AscReq: Final = flags("AscReq", __name__, numbers("ASC_REQ_", constants))
"""fContextReq of a server; **the numbers differ** from a client's."""
AscRet: Final = flags("AscRet", __name__, numbers("ASC_RET_", constants))
"""pfContextAttr of a server."""
TargetDataRep: Final = enumeration(
    "TargetDataRep",
    __name__,
    {"SECURITY_NATIVE_DREP": sspi.SECURITY_NATIVE_DREP, "SECURITY_NETWORK_DREP": sspi.SECURITY_NETWORK_DREP},
)
"""TargetDataRep."""


class CtxtHandle:
    """A security context; it is deleted when the last reference to it is gone.

    Attributes:
        native: the handle, as `credssp.sspi` knows it.
    """

    native: sspi.CtxtHandle

    def __new__(cls, *args: object, **kwargs: object) -> CtxtHandle:  # noqa: ARG004 - subclasses may have any
        """Make one; classes derived from it need not call its constructor."""
        self = super().__new__(cls)
        self.native = sspi.CtxtHandle()
        return self

    def __del__(self) -> None:
        if self.native.is_valid:
            # In a finalizer there is no caller to tell.
            with contextlib.suppress(sspi.SSPIError):
                sspi.delete_security_context(self.native)


class InitializeContextResult(NamedTuple):
    """What a client's leg came to.

    Attributes:
        context: the context, to be passed to the next call.
        attributes: `IscRet`; about security they mean something with SEC_E_OK.
        expiry: a TimeStamp, 100 ns since 1601.
        status: SEC_E_OK or how to go on.
    """

    context: CtxtHandle
    attributes: enum.IntFlag
    expiry: int
    status: NtStatus


class AcceptContextResult(NamedTuple):
    """What a server's leg came to.

    Attributes:
        context: the context, to be passed to the next call.
        attributes: `AscRet`; about security they mean something with SEC_E_OK.
        expiry: a TimeStamp, 100 ns since 1601.
        status: SEC_E_OK or how to go on.
    """

    context: CtxtHandle
    attributes: enum.IntFlag
    expiry: int
    status: NtStatus


def _descs(
    input_buffers: SecBufferDesc | None, output_buffers: SecBufferDesc | None
) -> tuple[sspi.SecBufferDesc | None, sspi.SecBufferDesc | None]:
    """Return pInput and pOutput; no buffers are NULL. Raises TypeError: they are something else."""
    given = argument("input_buffers", input_buffers, SecBufferDesc, type(None))
    output = argument("output_buffers", output_buffers, SecBufferDesc, type(None))
    return (given.native if given else None, output.native if output else None)


def _credential(credential: CredHandle | None) -> sspi.CredHandle | None:
    return None if credential is None else argument("credential", credential, CredHandle).native


@windows_errors
def initialize_security_context(
    credential: CredHandle | None,
    context: CtxtHandle | None,
    target_name: str,
    context_req: int,
    target_data_rep: int,
    input_buffers: SecBufferDesc | None,
    output_buffers: SecBufferDesc | None,
) -> InitializeContextResult:
    """InitializeSecurityContext, one leg of a client.

    Args:
        credential: the credential; None after the first call.
        context: the context of the call before; None, or one that is still to be filled in, for the first call.
        target_name: such as ``HTTP/server``.
        context_req: `IscReq`.
        target_data_rep: `TargetDataRep`.
        input_buffers: TOKEN from the server, CHANNEL_BINDINGS; None at first.
        output_buffers: TOKEN.

    Raises:
        WindowsError: the call failed.
    """
    if not isinstance(target_name, str):
        raise TypeError(f"target_name is a {type(target_name).__name__}, not a str")
    result_context = CtxtHandle() if context is None else argument("context", context, CtxtHandle)
    native = result_context.native
    given, output = _descs(input_buffers, output_buffers)
    result = sspi.initialize_security_context(
        _credential(credential),
        native if native.is_valid else None,
        target_name or None,
        int(context_req),
        0,
        int(target_data_rep),
        given,
        0,
        native,
        output,
    )
    status = check_leg(result.status)
    return InitializeContextResult(result_context, IscRet(result.attributes), result.expiry, status)


@windows_errors
def accept_security_context(
    credential: CredHandle | None,
    context: CtxtHandle | None,
    input_buffers: SecBufferDesc | None,
    context_req: int,
    target_data_rep: int,
    output_buffers: SecBufferDesc | None,
) -> AcceptContextResult:
    """AcceptSecurityContext, one leg of a server.

    Args:
        credential: the credential; None after the first call.
        context: as for `initialize_security_context`.
        input_buffers: TOKEN from the client, CHANNEL_BINDINGS.
        context_req: `AscReq`.
        target_data_rep: `TargetDataRep`.
        output_buffers: TOKEN.

    Raises:
        WindowsError: the call failed.
    """
    result_context = CtxtHandle() if context is None else argument("context", context, CtxtHandle)
    native = result_context.native
    given, output = _descs(input_buffers, output_buffers)
    result = sspi.accept_security_context(
        _credential(credential),
        native if native.is_valid else None,
        given,
        int(context_req),
        int(target_data_rep),
        native,
        output,
    )
    status = check_leg(result.status)
    return AcceptContextResult(result_context, AscRet(result.attributes), result.expiry, status)


@windows_errors
def complete_auth_token(context: CtxtHandle, token: SecBufferDesc) -> None:
    """CompleteAuthToken.

    Raises:
        WindowsError: SEC_E_UNSUPPORTED_FUNCTION for packages that never ask for it.
    """
    sspi.complete_auth_token(
        argument("context", context, CtxtHandle).native, argument("token", token, SecBufferDesc).native
    )
