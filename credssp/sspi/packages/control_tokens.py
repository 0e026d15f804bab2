"""What ApplyControlToken takes: SCHANNEL_SHUTDOWN, and SCHANNEL_ALERT_TOKEN (schannel.h)."""

from __future__ import annotations

from typing import Final

from credssp.sspi import constants as c
from credssp.sspi.errors import bad_token, unsupported
from credssp.sspi.structures import SCHANNEL_ALERT_TOKEN

__all__ = ["read_control_token"]

_SIZES: Final = {c.SCHANNEL_SHUTDOWN: 4, c.SCHANNEL_ALERT: 12}


def read_control_token(data: bytes) -> SCHANNEL_ALERT_TOKEN | None:
    """Read the contents of the TOKEN; None is SCHANNEL_SHUTDOWN.

    Raises:
        SSPIError: SEC_E_UNSUPPORTED_FUNCTION, another token; SEC_E_INVALID_TOKEN, its size or a member is wrong.
    """
    kind = int.from_bytes(data[:4], "little") if len(data) >= 4 else None
    if kind is None:
        raise bad_token("pInput", "one TOKEN with a DWORD (SCHANNEL_SHUTDOWN) or a SCHANNEL_ALERT_TOKEN")
    size = _SIZES.get(kind)
    if size is None:
        raise unsupported("pInput", f"SCHANNEL_SHUTDOWN and SCHANNEL_ALERT are the control tokens, not {kind}")
    if len(data) != size:
        raise bad_token("pInput", f"this control token has {size} bytes, not {len(data)}")
    if kind == c.SCHANNEL_SHUTDOWN:
        return None
    alert_type, number = (int.from_bytes(data[at : at + 4], "little") for at in (4, 8))
    if alert_type not in (c.TLS1_ALERT_WARNING, c.TLS1_ALERT_FATAL) or number > 0xFF:
        raise bad_token("pInput", f"there is no TLS alert of dwAlertType {alert_type} and dwAlertNumber {number}")
    return SCHANNEL_ALERT_TOKEN(alert_type, number)
