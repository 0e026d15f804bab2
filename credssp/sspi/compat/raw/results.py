"""Statuses as `sspilib.raw` tells them: four that a leg may end with, and a WindowsError for all others."""

from __future__ import annotations

import enum
from typing import Final

from credssp.sspi.compat.failures import WindowsError, raising, statement, text_of, windows_error
from credssp.status import SecurityStatus

__all__ = ["NtStatus", "WindowsError", "check_leg", "check_ok", "windows_errors"]


class NtStatus(enum.IntEnum):
    """What a leg ended with; a number without a name is a member all the same."""

    SEC_E_OK = SecurityStatus.SEC_E_OK
    SEC_I_CONTINUE_NEEDED = SecurityStatus.SEC_I_CONTINUE_NEEDED
    SEC_I_COMPLETE_NEEDED = SecurityStatus.SEC_I_COMPLETE_NEEDED
    SEC_I_COMPLETE_AND_CONTINUE = SecurityStatus.SEC_I_COMPLETE_AND_CONTINUE

    @classmethod
    def _missing_(cls, value: object) -> NtStatus | None:
        if not isinstance(value, int):
            return None
        member = int.__new__(cls, value)
        member._name_ = f"Unknown NtStatus Value 0x{value & 0xFFFFFFFF:08X}"
        member._value_ = value  # type: ignore[assignment]  # a number that is not among the four
        return member


_LEG: Final = frozenset(map(int, NtStatus))

windows_errors: Final = raising(lambda _, error: windows_error(error.status, text_of(error)))
"""A decorator: SSPIError leaves as WindowsError."""


def check_leg(status: SecurityStatus) -> NtStatus:
    """Return the status of a leg that went well.

    Raises:
        WindowsError: SEC_E_INCOMPLETE_MESSAGE, and the other statuses that are not among the four.
    """
    if status not in _LEG:
        raise windows_error(status, statement(status))
    return NtStatus(status)


def check_ok(status: SecurityStatus) -> None:
    """Raise WindowsError for every status but SEC_E_OK."""
    if status is not SecurityStatus.SEC_E_OK:
        raise windows_error(status, statement(status))
