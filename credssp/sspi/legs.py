"""The buffers of a leg: where its token goes, and how EXTRA and MISSING are told."""

from __future__ import annotations

from typing import Final

from credssp.sspi import constants as c
from credssp.sspi.buffers import (
    SECBUFFER_ATTRMASK,
    SECBUFFER_EMPTY,
    SECBUFFER_EXTRA,
    SECBUFFER_MISSING,
    SECBUFFER_TOKEN,
    ContextBuffer,
    SecBuffer,
    SecBufferDesc,
    buffers_of,
)
from credssp.sspi.errors import refuse
from credssp.sspi.tables import LegResult
from credssp.status import SecurityStatus

__all__ = ["DREPS", "check_request", "deliver", "given", "report_rest", "token_buffer"]

_S = SecurityStatus

DREPS: Final = (c.SECURITY_NATIVE_DREP, c.SECURITY_NETWORK_DREP)


def check_request(context_req: object, target_data_rep: object) -> None:
    """Refuse flags that are no number, and a representation that does not exist."""
    if not isinstance(context_req, int) or context_req < 0:
        raise refuse("fContextReq", "flags are a number", _S.SEC_E_UNSUPPORTED_FUNCTION)
    if target_data_rep not in DREPS:
        raise refuse("TargetDataRep", "SECURITY_NATIVE_DREP or SECURITY_NETWORK_DREP", _S.SEC_E_INVALID_PARAMETER)


def token_buffer(output: object, allocate: bool) -> SecBuffer:
    """Return the TOKEN buffer of pOutput, which must be writable unless the package allocates."""
    buffers = buffers_of(output, "pOutput")
    if allocate and buffers and buffers[0].buffer_type == SECBUFFER_TOKEN:
        return buffers[0]
    for number, buffer in enumerate(buffers):
        if buffer.buffer_type & ~SECBUFFER_ATTRMASK == SECBUFFER_TOKEN:
            if not allocate:
                buffer.writable(f"pOutput[{number}]")
            return buffer
    raise refuse("pOutput", "there is no SECBUFFER_TOKEN among its buffers", _S.SEC_E_INVALID_TOKEN)


def given(inputs: list[SecBuffer]) -> bytes:
    """Return the input token of a call, to know it again."""
    return b"".join(buffer.data for buffer in inputs if buffer.buffer_type & ~SECBUFFER_ATTRMASK == SECBUFFER_TOKEN)


def deliver(target: SecBuffer, token: bytes, allocate: bool) -> None:
    """Put a token into its buffer, which is large enough, or allocate memory for it."""
    if allocate:
        target.buffer = ContextBuffer(token) if token else None
    elif token:
        memoryview(target.buffer)[: len(token)] = token  # type: ignore[arg-type]  # token_buffer saw to it
    target.size = len(token)


def report_rest(inputs: list[SecBuffer], output: SecBufferDesc, leg: LegResult) -> None:
    """Turn the EMPTY buffer of pInput (and of pOutput, where there is one) into EXTRA or MISSING."""
    kind, number = (SECBUFFER_MISSING, leg.missing) if leg.missing else (SECBUFFER_EXTRA, leg.extra)
    for buffers in (inputs, output.buffers):
        for buffer in buffers:
            if buffer.buffer_type == SECBUFFER_EMPTY:
                buffer.buffer_type, buffer.buffer, buffer.size = kind, None, number
                break
