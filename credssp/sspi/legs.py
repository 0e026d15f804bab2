"""One leg of an exchange: what it gets, where its token goes, and how EXTRA and MISSING are told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from credssp.next_step import NextStep
from credssp.sspi import buffers as b
from credssp.sspi import constants as c
from credssp.sspi.buffers import ContextBuffer, SecBuffer, SecBufferDesc, buffers_of
from credssp.sspi.errors import SSPIError, bad_handle, bad_token, check_status, normalise, refuse, unsupported
from credssp.sspi.records import COMPLETE, DEAD, HALF_BUILT, ContextRecord
from credssp.sspi.tables import LegResult
from credssp.status import SecurityStatus

__all__ = ["check_request", "finish_leg", "run_leg", "target_of"]

_S = SecurityStatus

_DREPS: Final = (c.SECURITY_NATIVE_DREP, c.SECURITY_NETWORK_DREP)


def check_request(context_req: object, target_data_rep: object) -> None:
    """Refuse flags that are not a number, and a representation that does not exist."""
    if not isinstance(context_req, int) or not 0 <= context_req < 1 << 64:
        raise unsupported("fContextReq", "flags are a number of 64 bits")
    if target_data_rep not in _DREPS:
        raise refuse("TargetDataRep", "SECURITY_NATIVE_DREP or SECURITY_NETWORK_DREP", _S.SEC_E_INVALID_PARAMETER)


class OutputToken(NamedTuple):
    """Where the token of a leg goes.

    Attributes:
        buffer: the TOKEN of pOutput; None where pOutput is NULL.
        memory: the caller's memory; None where the package allocates.
    """

    buffer: SecBuffer | None
    memory: memoryview | None

    def has_room(self, token: bytes) -> bool:
        """Whether a token fits."""
        if self.buffer is None:
            return not token
        return self.memory is None or len(token) <= len(self.memory)

    def ask_for(self, size: int) -> None:
        """Say in cbBuffer how many bytes are needed."""
        if self.buffer is not None:
            self.buffer.size = size

    def deliver(self, token: bytes) -> None:
        """Put a token that fits into the memory, or allocate some for it."""
        if self.buffer is None:
            return
        if self.memory is None:
            self.buffer.buffer = ContextBuffer(token) if token else None
        else:
            self.memory[: len(token)] = token
        self.buffer.size = len(token)


def target_of(output: object, allocate: bool) -> OutputToken:
    """Return the TOKEN buffer of pOutput, which must be writable unless the package allocates; none if it is NULL."""
    if output is None:
        return OutputToken(None, None)
    for number, buffer in enumerate(buffers_of(output, "pOutput")):
        if buffer.kind == b.SECBUFFER_TOKEN:
            return OutputToken(buffer, None if allocate else buffer.writable(f"pOutput[{number}]"))
    raise bad_token("pOutput", "there is no SECBUFFER_TOKEN among its buffers")


def run_leg(
    record: ContextRecord, call: Callable[[], object], inputs: list[SecBuffer], target: OutputToken
) -> LegResult:
    """Run a leg of the package, or fetch the one whose token did not fit the last time: its input has been consumed.

    Raises:
        SSPIError: the leg failed. Unless an argument is to blame, that is the end of the context, and its token is in
            the output.
    """
    if record.undelivered is not None:
        taken, waiting = record.undelivered
        if _given(inputs) != taken:
            raise bad_token(
                "pInput",
                "the last call's token is still to be fetched: repeat it with the same input and a larger pOutput",
            )
        record.undelivered = None
        return waiting
    try:
        leg = call()
        if not isinstance(leg, LegResult):
            raise TypeError("a leg returns a LegResult")
        _settle(leg)
    except Exception as error:  # noqa: BLE001 - whatever a package raises becomes a status
        failure = normalise(error)
        if failure.parameter is None:
            record.state, record.failure = DEAD, failure
            # Told to the peer if there is room; a program that gave too little hears of the failure first.
            if target.has_room(failure.token):
                target.deliver(failure.token)
            else:
                target.ask_for(0)
        raise failure from failure.__cause__
    return leg


def _settle(leg: LegResult) -> None:
    """Give a leg the SECURITY_STATUS of what it returned, STATUS_SUCCESS or 0 included.

    Raises:
        SSPIError: it is a failure; `.token` is the leg's.
    """
    try:
        leg.status = check_status(leg.status)
    except SSPIError as failure:
        failure.token = leg.token
        raise


def finish_leg(
    record: ContextRecord,
    leg: LegResult,
    inputs: list[SecBuffer],
    output: SecBufferDesc | None,
    target: OutputToken,
) -> None:
    """Hand out the token, EXTRA and MISSING, and note how far the context is.

    Raises:
        SSPIError: SEC_E_INSUFFICIENT_MEMORY, the TOKEN buffer is too small; its size says what is needed. No parameter
            is to blame, since the input has been consumed; but the context goes on.
    """
    if not target.has_room(leg.token):
        record.undelivered = (_given(inputs), leg)
        room = 0 if target.memory is None else len(target.memory)
        target.ask_for(len(leg.token))
        raise SSPIError(
            f"the TOKEN buffer of pOutput has {room} bytes, {len(leg.token)} are needed: repeat the call with the "
            "context",
            status=_S.SEC_E_INSUFFICIENT_MEMORY,
            advice=NextStep.SSPI_ARGUMENT,
        )
    target.deliver(leg.token)
    if leg.missing or leg.extra:
        # The EMPTY buffer of pInput, and that of pOutput where there is one.
        kind, number = (b.SECBUFFER_MISSING, leg.missing) if leg.missing else (b.SECBUFFER_EXTRA, leg.extra)
        for buffers in (inputs, [] if output is None else output.buffers):
            empty = next((buffer for buffer in buffers if buffer.buffer_type == b.SECBUFFER_EMPTY), None)
            if empty is not None:
                empty.fill(kind, None, number)
    if leg.status is not _S.SEC_E_INCOMPLETE_MESSAGE:
        record.asked = leg.status is _S.SEC_I_INCOMPLETE_CREDENTIALS
    if leg.ended:
        record.state, record.failure = DEAD, bad_handle("phContext", leg.ended)
    elif leg.status is _S.SEC_E_OK:
        record.state = COMPLETE
    elif leg.status is not _S.SEC_E_INCOMPLETE_MESSAGE:
        record.state = HALF_BUILT
        record.completing = leg.status is _S.SEC_I_COMPLETE_NEEDED


def _given(inputs: list[SecBuffer]) -> bytes:
    """Return the input token of a call, to know it again."""
    return b"".join(buffer.data for buffer in inputs if buffer.kind == b.SECBUFFER_TOKEN)
