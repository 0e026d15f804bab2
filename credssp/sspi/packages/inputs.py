"""Reading the buffers that a leg gets; what is wrong with them is the caller's mistake and changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from credssp.errors import LocalProtocolError
from credssp.sspi import buffers as b
from credssp.sspi.auth_data import SecWinntAuthIdentity
from credssp.sspi.buffers import SecBuffer, buffer_type_name
from credssp.sspi.constants import flag_names
from credssp.sspi.errors import bad_token, refuse, unsupported
from credssp.status import SecurityStatus
from credssp.target import Target

__all__ = ["check_target", "peer_token", "split_params", "take_flags", "token_and_empty", "token_only"]

_S = SecurityStatus


def take_flags(context_req: int, taken: int, *, refused: int = 0, need_one_of: int = 0, family: str = "ISC_REQ") -> int:
    """Return the flags of fContextReq that a package takes; the others are left out of pfContextAttr, as on Windows.

    Args:
        context_req: fContextReq.
        taken: what the package takes.
        refused: what no call may have.
        need_one_of: what the package cannot do without.
        family: for errors.

    Raises:
        SSPIError: SEC_E_UNSUPPORTED_FUNCTION.
    """
    wrong = context_req & refused
    if wrong:
        raise unsupported("fContextReq", f"not supported: {flag_names(wrong, family)}")
    if need_one_of and not context_req & need_one_of:
        names = flag_names(need_one_of, family).replace("|", " or ")
        raise unsupported("fContextReq", f"{names} is needed")
    return context_req & taken


def check_target(target: str | None) -> None:
    """Refuse a target name that cannot be a server's. Raises SSPIError: SEC_E_TARGET_UNKNOWN."""
    if target is None:
        return
    service, slash, host = target.partition("/")
    if not service or (slash and not host.strip("/")):
        raise refuse(
            "pszTargetName", f"{target!r} names no server: TERMSRV/host, or a host's name", _S.SEC_E_TARGET_UNKNOWN
        )
    try:
        Target.of_a_host(target)
    except LocalProtocolError as error:
        raise refuse("pszTargetName", error.message, _S.SEC_E_TARGET_UNKNOWN) from None


Supplied: TypeAlias = bytes | SecWinntAuthIdentity
"""What SECBUFFER_PKG_PARAMS holds: a SEC_WINNT_AUTH_IDENTITY_EX2, or the identity as an object."""


def split_params(inputs: Sequence[SecBuffer], *, wanted: bool) -> tuple[list[SecBuffer], Supplied | None]:
    """Take the SECBUFFER_PKG_PARAMS out of the inputs.

    Args:
        inputs: the buffers of pInput.
        wanted: whether ISC_REQ_USE_SUPPLIED_CREDS was given.

    Raises:
        SSPIError: SEC_E_INVALID_TOKEN, it is there without the flag, or twice.
    """
    params = [buffer for buffer in inputs if buffer.kind == b.SECBUFFER_PKG_PARAMS]
    rest = [buffer for buffer in inputs if buffer not in params]
    if not params:
        return rest, None
    if not wanted or len(params) > 1:
        what = (
            "more than one SECBUFFER_PKG_PARAMS" if wanted else "SECBUFFER_PKG_PARAMS needs ISC_REQ_USE_SUPPLIED_CREDS"
        )
        raise bad_token("pInput", what)
    return rest, params[0].identity or params[0].octets("pInput")


def token_and_empty(inputs: Sequence[SecBuffer]) -> bytes:
    """Return the bytes of TOKEN in a pInput of exactly TOKEN and EMPTY.

    Raises:
        SSPIError: SEC_E_INVALID_TOKEN, it is not that.
    """
    if len(inputs) != 2:
        raise bad_token("pInput", f"two buffers belong here, TOKEN and EMPTY, not {len(inputs)}")
    token, empty = inputs
    if token.kind != b.SECBUFFER_TOKEN:
        raise bad_token("pInput[0]", f"SECBUFFER_TOKEN, not {buffer_type_name(token.buffer_type)}")
    if empty.buffer_type != b.SECBUFFER_EMPTY or empty.size or empty.buffer is not None:
        raise bad_token(
            "pInput[1]",
            f"SECBUFFER_EMPTY without memory, not {buffer_type_name(empty.buffer_type)}; it takes EXTRA and MISSING",
        )
    return token.octets("pInput[0]")


def peer_token(inputs: Sequence[SecBuffer]) -> bytes:
    """Return the bytes of the one TOKEN in pInput, which must be there: what the peer sent may be empty, but not NULL.

    Raises:
        SSPIError: SEC_E_INVALID_TOKEN, there is none, or there are other buffers.
    """
    token = token_only(inputs)
    if all(buffer.kind != b.SECBUFFER_TOKEN for buffer in inputs):
        raise bad_token("pInput", "there is no SECBUFFER_TOKEN with what the peer sent")
    return token


def token_only(inputs: Sequence[SecBuffer]) -> bytes:
    """Return the bytes of the one TOKEN in pInput; empty where there is none. Others must be EMPTY.

    Raises:
        SSPIError: SEC_E_INVALID_TOKEN, there are other buffers.
    """
    found = b""
    seen = False
    for number, buffer in enumerate(inputs):
        kind = buffer.kind
        if kind == b.SECBUFFER_TOKEN and not seen:
            seen = True
            found = buffer.octets(f"pInput[{number}]")
        elif kind != b.SECBUFFER_EMPTY:
            raise bad_token(f"pInput[{number}]", f"one SECBUFFER_TOKEN belongs here, not {buffer_type_name(kind)}")
    return found
