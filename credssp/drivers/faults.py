"""How a fault in the application's code is logged: by its kind and its place.

The text of such an exception may hold what was delegated: a handler that cannot log on with a password quotes it. So
neither that text nor the local variables of its frames go to the log.
"""

from __future__ import annotations

import traceback
from pathlib import Path

__all__ = ["fault"]


def fault(error: BaseException) -> str:
    """Return type and place of an exception: ``(ValueError) in handle, service.py line 12``."""
    kind = f"({type(error).__name__})"
    frame = None
    for found in traceback.walk_tb(error.__traceback__):
        frame = found
    if frame is None:
        return kind
    code = frame[0].f_code
    return f"{kind} in {code.co_name}, {Path(code.co_filename).name} line {frame[1]}"
