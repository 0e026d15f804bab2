"""Reading the buffers that a leg gets; what is wrong with them is the caller's mistake and changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from credssp.sspi.buffers import (
    SECBUFFER_ATTRMASK,
    SECBUFFER_EMPTY,
    SECBUFFER_PKG_PARAMS,
    SECBUFFER_TOKEN,
    SecBuffer,
    buffer_type_name,
)
from credssp.sspi.constants import flag_names
from credssp.sspi.errors import refuse
from credssp.status import SecurityStatus

__all__ = ["check_flags", "check_target", "split_params", "token_and_empty", "token_only"]

_S = SecurityStatus


def check_flags(context_req: int, allowed: int, *, need_one_of: int = 0, family: str = "ISC_REQ") -> None:
    """Refuse flags that a package does not know, and the lack of those it cannot do without.

    Raises:
        SSPIError: SEC_E_UNSUPPORTED_FUNCTION.
    """
    unknown = context_req & ~allowed
    if unknown:
        raise refuse("fContextReq", f"not supported here: {flag_names(unknown, family)}", _S.SEC_E_UNSUPPORTED_FUNCTION)
    if need_one_of and not context_req & need_one_of:
        names = flag_names(need_one_of, family).replace("|", " or ")
        raise refuse("fContextReq", f"{names} is needed", _S.SEC_E_UNSUPPORTED_FUNCTION)


def check_target(target: str | None) -> None:
    """Refuse a target name that names no server.

    Raises:
        SSPIError: SEC_E_TARGET_UNKNOWN.
    """
    if target is None:
        return
    service, slash, host = target.partition("/")
    if not service or (slash and not host.strip("/")):
        raise refuse(
            "pszTargetName", f"{target!r} names no server: TERMSRV/host, or a host's name", _S.SEC_E_TARGET_UNKNOWN
        )


def split_params(inputs: Sequence[SecBuffer], *, wanted: bool) -> tuple[list[SecBuffer], bytes | None]:
    """Take the SECBUFFER_PKG_PARAMS out of the inputs.

    Args:
        inputs: the buffers of pInput.
        wanted: whether ISC_REQ_USE_SUPPLIED_CREDS was given.

    Raises:
        SSPIError: SEC_E_INVALID_TOKEN, it is there without the flag, or twice.
    """
    params = [buffer for buffer in inputs if buffer.buffer_type & ~SECBUFFER_ATTRMASK == SECBUFFER_PKG_PARAMS]
    rest = [buffer for buffer in inputs if buffer not in params]
    if not params:
        return rest, None
    if not wanted or len(params) > 1:
        what = (
            "more than one SECBUFFER_PKG_PARAMS" if wanted else "SECBUFFER_PKG_PARAMS needs ISC_REQ_USE_SUPPLIED_CREDS"
        )
        raise refuse("pInput", what, _S.SEC_E_INVALID_TOKEN)
    return rest, params[0].octets("pInput")


def token_and_empty(inputs: Sequence[SecBuffer]) -> bytes:
    """Return the octets of TOKEN in a pInput of exactly TOKEN and EMPTY.

    Raises:
        SSPIError: SEC_E_INVALID_TOKEN, it is not that.
    """
    if len(inputs) != 2:
        raise refuse("pInput", f"two buffers belong here, TOKEN and EMPTY, not {len(inputs)}", _S.SEC_E_INVALID_TOKEN)
    token, empty = inputs
    if token.buffer_type & ~SECBUFFER_ATTRMASK != SECBUFFER_TOKEN:
        raise refuse("pInput[0]", f"SECBUFFER_TOKEN, not {buffer_type_name(token.buffer_type)}", _S.SEC_E_INVALID_TOKEN)
    if empty.buffer_type != SECBUFFER_EMPTY or empty.size or empty.buffer is not None:
        raise refuse(
            "pInput[1]",
            f"SECBUFFER_EMPTY without memory, not {buffer_type_name(empty.buffer_type)}; it takes EXTRA and MISSING",
            _S.SEC_E_INVALID_TOKEN,
        )
    return token.octets("pInput[0]")


def token_only(inputs: Sequence[SecBuffer]) -> bytes:
    """Return the octets of the one TOKEN in pInput; empty where there is none. Others must be EMPTY.

    Raises:
        SSPIError: SEC_E_INVALID_TOKEN, there are other buffers.
    """
    found = b""
    seen = False
    for number, buffer in enumerate(inputs):
        kind = buffer.buffer_type & ~SECBUFFER_ATTRMASK
        if kind == SECBUFFER_TOKEN and not seen:
            seen = True
            found = buffer.octets(f"pInput[{number}]")
        elif kind != SECBUFFER_EMPTY:
            raise refuse(
                f"pInput[{number}]",
                f"one SECBUFFER_TOKEN belongs here, not {buffer_type_name(kind)}",
                _S.SEC_E_INVALID_TOKEN,
            )
    return found
