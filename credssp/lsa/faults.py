"""Errors that cross the boundary: the program raises what the agent's engine raised, without its frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from credssp import errors
from credssp.errors import CredSSPError, DecodeError
from credssp.lsa.messages import Failed, decode
from credssp.lsa.opened import AgentRefusedError, Reason
from credssp.spnego import SkippedCandidate
from credssp.status import SecurityStatus

__all__ = ["failed", "pack_skipped", "raised", "unpack_skipped"]

_CLASSES: Final[dict[str, type[CredSSPError]]] = {
    cls.__name__: cls
    for cls in (
        errors.AuthenticationError,
        errors.BindingError,
        errors.CertificateError,
        errors.CredSSPError,
        errors.DecodeError,
        errors.LimitExceededError,
        errors.LocalProtocolError,
        errors.LocalRestrictionError,
        errors.PeerRefusedError,
        errors.PolicyError,
        errors.RemoteProtocolError,
        errors.VersionError,
        AgentRefusedError,
    )
}
"""What an engine raises; a class that is not among them crosses as the nearest of its bases."""

_DETAILS: Final[dict[str, tuple[str, ...]]] = {
    "AgentRefusedError": ("reason",),
    "AuthenticationError": ("judged",),
    "DecodeError": ("field", "offset"),
    "LocalRestrictionError": ("restriction",),
    "PolicyError": ("spn", "setting"),
}
_READ: Final[dict[str, Callable[[str], object]]] = {
    "reason": Reason,
    "judged": lambda text: text == "True",
    "offset": int,
    "field": str,
    "restriction": str,
    "spn": str,
    "setting": str,
}
_LONGEST: Final = 4000
"""Characters of a text: texts of ours have a few hundred."""


def failed(error: CredSSPError, *, context: int = 0) -> Failed:
    """Return the message for an error.

    Args:
        error: what was raised.
        context: number of the context that is over; 0 for none.
    """
    name = next(base.__name__ for base in type(error).__mro__ if base.__name__ in _CLASSES)
    details = []
    for attribute in _DETAILS.get(name, ()):
        value = getattr(error, attribute, None)
        if value is not None:
            text = value.value if isinstance(value, Reason) else str(value)
            details.append(f"{attribute}={text}".encode(errors="replace")[:4096])
    return Failed(
        context=context,
        error=name,
        message=_shortened(error.message),
        status=int(error.status),
        has_ntstatus=int(error.ntstatus is not None),
        ntstatus=error.ntstatus or 0,
        section=_shortened(error.section or "", 1000),
        advice=_shortened(error.advice),
        refused=int(error.refused),
        details=tuple(details),
    )


def _shortened(text: str, longest: int = _LONGEST) -> str:
    return text.encode(errors="replace").decode()[:longest]


def raised(message: Failed) -> CredSSPError:
    """Return the error that a message describes.

    Raises:
        DecodeError: it describes none.
    """
    cls = _CLASSES.get(message.error)
    if cls is None:
        raise DecodeError("not an error of this version", field="Failed.error")
    error = cls.__new__(cls, message.message)
    state: dict[str, Any] = {name: getattr(cls, name, None) for name in _DETAILS.get(message.error, ())}
    for detail in message.details:
        name, _, text = detail.decode(errors="replace").partition("=")
        if name in state:
            try:
                state[name] = _READ[name](text)
            except ValueError:
                raise DecodeError(f"{name} is not what it should be", field="Failed.details") from None
    if message.error == "AgentRefusedError" and state["reason"] is None:
        raise DecodeError("a refusal without its reason", field="Failed.details")
    try:
        status: int = SecurityStatus(message.status)
    except ValueError:
        status = message.status
    error.__dict__.update(
        state,
        message=message.message,
        status=status,
        ntstatus=message.ntstatus if message.has_ntstatus else None,
        section=message.section or None,
        token=b"",
        _advice=message.advice or None,
        refused=bool(message.refused),
    )
    return error


def pack_skipped(skipped: tuple[SkippedCandidate, ...]) -> tuple[bytes, ...]:
    """Return mechanisms that were not used, as in `Progress.skipped`."""
    return tuple(_of_mechanism(each).encode() for each in skipped[:4])


def _of_mechanism(skip: SkippedCandidate) -> Failed:
    message = failed(skip.error)
    return Failed(
        error=message.error,
        message=message.message,
        status=message.status,
        has_ntstatus=message.has_ntstatus,
        ntstatus=message.ntstatus,
        section=skip.name,
        advice=message.advice,
        details=message.details,
    )


def unpack_skipped(packed: tuple[bytes, ...]) -> tuple[SkippedCandidate, ...]:
    """Return what `pack_skipped` packed.

    Raises:
        DecodeError: it is something else.
    """
    found = []
    for data in packed:
        message = decode(data)
        if not isinstance(message, Failed) or message.section not in ("ntlm", "kerberos"):
            raise DecodeError("not a mechanism that was skipped", field="Progress.skipped")
        error = raised(message)
        error.section = None
        found.append(SkippedCandidate("ntlm" if message.section == "ntlm" else "kerberos", error))
    return tuple(found)
