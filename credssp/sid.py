"""Security identifiers in their text form ([MS-DTYP] 2.4.2.1)."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["is_sid"]

_SID: Final = re.compile(r"S-1-(?:0x[0-9A-F]{1,12}|[0-9]{1,10})(?:-[0-9]{1,10}){1,15}")


def is_sid(text: object) -> bool:
    """Whether this is a SID, such as ``S-1-5-21-1-2-3-1104``, with up to 15 subauthorities."""
    return isinstance(text, str) and _SID.fullmatch(text) is not None
