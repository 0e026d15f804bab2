"""Early User Authorization Result: may the user who was authenticated log on here ([MS-RDPBCGR] 2.2.10.2)?

Four bytes, little-endian, without any framing inside TLS, right after CredSSP, if HYBRID_EX was selected. Without
HYBRID_EX a client learns it after the session's channels are joined (3.3.5.7.1.1), which is beyond this library.
"""

from __future__ import annotations

import enum
from typing import Final

from credssp.errors import CredSSPError, DecodeError
from credssp.next_step import NextStep
from credssp.status import NTStatus, SecurityStatus

__all__ = ["SIZE", "AuthorizationDeniedError", "EarlyUserAuthorization"]

SIZE: Final = 4


class EarlyUserAuthorization(enum.IntEnum):
    """authorizationResult."""

    AUTHZ_SUCCESS = 0
    """The user may log on."""
    AUTHZ_ACCESS_DENIED = 5
    """The user is who they say, but has no right to log on remotely."""

    def encode(self) -> bytes:
        """Write the 4 bytes."""
        return self.to_bytes(SIZE, "little")

    @classmethod
    def decode(cls, data: bytes) -> EarlyUserAuthorization:
        """Read the 4 bytes. Raises DecodeError for any other number of them, and for any other number in them."""
        if len(data) != SIZE:
            # Fewer bytes, none above all, would be AUTHZ_SUCCESS.
            raise DecodeError(
                f"{len(data)} bytes, {SIZE} wanted", field="authorizationResult", section="[MS-RDPBCGR] 2.2.10.2"
            )
        value = int.from_bytes(data, "little")
        try:
            return cls(value)
        except ValueError:
            raise DecodeError(
                f"0x{value:08X} is neither AUTHZ_SUCCESS (0) nor AUTHZ_ACCESS_DENIED (5)",
                field="authorizationResult",
                section="[MS-RDPBCGR] 2.2.10.2",
            ) from None


class AuthorizationDeniedError(CredSSPError):
    """The user was authenticated, and may not log on: AUTHZ_ACCESS_DENIED."""

    default_status = SecurityStatus.SEC_E_LOGON_DENIED
    default_ntstatus = NTStatus.STATUS_ACCESS_DENIED
    default_advice = NextStep.NOT_AUTHORIZED
    refused = True
