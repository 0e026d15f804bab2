"""Security identifiers in their text form ([MS-DTYP] 2.4.2.1)."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["grants", "is_sid"]

_SID: Final = re.compile(r"S-1-(?:0x[0-9A-F]{1,12}|[0-9]{1,10})(?:-[0-9]{1,10}){1,15}")


def is_sid(text: object) -> bool:
    """Whether this is a SID, such as ``S-1-5-21-1-2-3-1104``, with up to 15 subauthorities."""
    return isinstance(text, str) and _SID.fullmatch(text) is not None


_DENY_ONLY: Final = 0x10
"""SE_GROUP_USE_FOR_DENY_ONLY ([MS-PAC] 2.2.1)."""
_ASSERTED: Final = "S-1-18-"
"""S-1-18-1 and others say how the domain knows the user ([MS-DTYP] 2.4.2.4); no account is a member of them."""


def grants(sid: str, attributes: int) -> bool:
    """Whether being in a group of a token grants something; others only deny, or say something else."""
    return not attributes & _DENY_ONLY and not sid.startswith(_ASSERTED)
