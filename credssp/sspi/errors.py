"""How a call fails: one exception that carries the status and says which argument is to blame."""

from __future__ import annotations

from credssp.errors import CredSSPError
from credssp.next_step import NextStep
from credssp.status import SecurityStatus, describe, security_status_from_ntstatus

__all__ = [
    "SSPIError",
    "bad_auth_data",
    "bad_handle",
    "bad_token",
    "check_done",
    "check_status",
    "check_value",
    "normalise",
    "refuse",
    "unsupported",
]


class SSPIError(CredSSPError):
    """A call failed: what Windows returns as a status with bit 31 set.

    The cause, where there is one, is one of `credssp.errors` and hangs on `__cause__`.

    Attributes:
        parameter: the argument to blame, by its Windows name (``pInput``, ``fContextReq``), or None.
    """

    default_advice = NextStep.SSPI_ARGUMENT

    def __init__(
        self,
        message: str,
        *,
        status: SecurityStatus,
        parameter: str | None = None,
        ntstatus: int | None = None,
        advice: str | None = None,
    ) -> None:
        text = f"{parameter}: {message}" if parameter else message
        super().__init__(text, status=status, ntstatus=ntstatus, advice=advice)
        self.parameter = parameter


def refuse(parameter: str, message: str, status: SecurityStatus) -> SSPIError:
    """Make the error for an argument that is wrong."""
    return SSPIError(message, status=status, parameter=parameter)


def bad_token(parameter: str, message: str) -> SSPIError:
    """Make the error for buffers and tokens that make no sense."""
    return refuse(parameter, message, SecurityStatus.SEC_E_INVALID_TOKEN)


def bad_handle(parameter: str, message: str) -> SSPIError:
    """Make the error for a handle that is not what it should be."""
    return refuse(parameter, message, SecurityStatus.SEC_E_INVALID_HANDLE)


def bad_auth_data(message: str) -> SSPIError:
    """Make the error for a pAuthData that does not say who logs on."""
    return refuse("pAuthData", message, SecurityStatus.SEC_E_UNKNOWN_CREDENTIALS)


def unsupported(parameter: str, message: str) -> SSPIError:
    """Make the error for what a package or a context does not do."""
    status = SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION
    return SSPIError(message, status=status, parameter=parameter, advice=NextStep.SSPI_UNSUPPORTED)


def _status(value: int) -> SecurityStatus | None:
    """Return the SECURITY_STATUS of a number that a package returned; None if it says nothing of a failure or of SSPI.

    Packages of Windows return an NTSTATUS. A failure among them becomes what SSPI reports for it.
    """
    code = value & 0xFFFFFFFF  # negative, where it came from a signed number
    try:
        return SecurityStatus(code)
    except ValueError:
        return security_status_from_ntstatus(code) if code >> 31 else None


def check_status(value: object) -> SecurityStatus:
    """Return the status that a leg of a package returned, if it is not a failure: SEC_E_OK for 0 and STATUS_SUCCESS.

    SEC_E_INCOMPLETE_MESSAGE passes: it is an answer, after which the context is as it was.

    Raises:
        SSPIError: it is a failure; `.ntstatus` holds it where it is an NTSTATUS.
        TypeError: the value is not a status.
    """
    status = _status(value) if isinstance(value, int) and not isinstance(value, bool) else None
    if status is None:
        raise TypeError(f"a {type(value).__name__} that is not a status")
    if not status >> 31 or status is SecurityStatus.SEC_E_INCOMPLETE_MESSAGE:
        return status
    code = int(value) & 0xFFFFFFFF  # type: ignore[call-overload]  # numbers alone come here
    info = describe(code)
    raise SSPIError(
        f"the security package answered {info.summary}",
        status=status,
        ntstatus=None if code == status else code,
        advice=info.advice,
    )


def check_done(value: object) -> SecurityStatus:
    """Return the status that another function of a package returned, if it is not a failure.

    Most return None. A number that is neither a SECURITY_STATUS nor a failure counts as success (NT_SUCCESS).

    Raises:
        SSPIError: it is a failure.
        TypeError: it is neither a number nor None, or False, which is not the success that 0 is.
    """
    if value is False or not (value is None or isinstance(value, int)):
        raise TypeError(f"a {type(value).__name__} that is not a status")
    if isinstance(value, int) and not isinstance(value, bool) and _status(value) is not None:
        return check_status(value)
    return SecurityStatus.SEC_E_OK


def check_value(value: object) -> object:
    """Return what a function of a package returned as its result, if that is not a status which says that it failed.

    No result is a number of 32 bits with bit 31 set: structures and handles are objects, and a TimeStamp that small is
    in the year 1601.

    Raises:
        SSPIError: it is a failure; SEC_E_INCOMPLETE_MESSAGE is one here.
    """
    if isinstance(value, int) and -0x80000000 <= value <= 0xFFFFFFFF and value & 0x80000000:
        status = check_status(value)
        raise SSPIError(f"the security package answered {describe(status).summary}", status=status)
    return value


def normalise(error: Exception) -> SSPIError:
    """Turn whatever a package raised into the error of the call (ssp_architecture: status normalisation).

    * Our own errors keep their status. One whose status is a success (a TLS alert that stands for
      SEC_I_INCOMPLETE_CREDENTIALS) becomes the failure with the same name.
    * MemoryError is SEC_E_INSUFFICIENT_MEMORY.
    * Anything else is SEC_E_INTERNAL_ERROR, without its text, which may hold anything.
    """
    if isinstance(error, SSPIError):
        return error
    if isinstance(error, CredSSPError):
        status = error.status
        if not status >> 31:
            status = SecurityStatus.SEC_E_INTERNAL_ERROR
            if error.status is SecurityStatus.SEC_I_INCOMPLETE_CREDENTIALS:
                status = SecurityStatus.SEC_E_INCOMPLETE_CREDENTIALS
        result = SSPIError(error.message, status=status, ntstatus=error.ntstatus, advice=error.advice)
        result.section, result.token = error.section, error.token
        result.__cause__ = error
        return result
    if isinstance(error, MemoryError):
        status = SecurityStatus.SEC_E_INSUFFICIENT_MEMORY
        return SSPIError("there is not enough memory", status=status, advice=NextStep.MEMORY)
    return SSPIError(
        f"the security package failed with {type(error).__name__}",
        status=SecurityStatus.SEC_E_INTERNAL_ERROR,
        advice=NextStep.SSPI_INSIDE,
    )
