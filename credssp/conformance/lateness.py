"""Whether a server that did not answer in time answers good logins late as well.

Servers slow down who guesses passwords, and the suite sends wrong ones. What is a hang to it may be that caution.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any, Final

from credssp.conformance.rule import Skipped
from credssp.conformance.run import ServerRun
from credssp.errors import CredSSPError

__all__ = ["lateness"]

_PATIENCE: Final = 4
"""How many times longer than usual a good login may take."""


def lateness(target: Any) -> str:
    """Return why a wait says nothing about a server, or an empty string. It is logged on to once.

    Args:
        target: the server, with `timeout` in seconds; only data classes can be late.
    """
    limit: float = target.timeout
    if not dataclasses.is_dataclass(target) or isinstance(target, type):
        return ""
    patient: Any = dataclasses.replace(target, timeout=_PATIENCE * limit)
    run = ServerRun(patient, {})
    begin = time.monotonic()
    try:
        run.baseline()
    except (Skipped, CredSSPError, OSError):
        return ""  # it hangs, or is gone
    finally:
        run.close()
    seconds = time.monotonic() - begin
    if seconds <= limit:
        return ""
    return (
        f"the server answers good logins late, too: one took {seconds:.1f} s. It may slow down who guesses passwords, "
        "and the suite sends wrong ones: raise the server's limits, or the time limit (--timeout)"
    )
