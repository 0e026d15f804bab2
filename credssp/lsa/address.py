"""Where an agent listens."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["VARIABLE", "agent_socket", "default_socket"]

VARIABLE: Final = "CREDSSP_AGENT_SOCK"
"""Environment variable with the path of the agent's socket."""


def default_socket() -> str:
    """Return the path where the agent of this user listens unless it is told another one; empty without a place.

    That is ``credssp/agent.sock`` in ``XDG_RUNTIME_DIR``, or else in ``/run/user/UID`` where that exists: both folders
    belong to the user alone.
    """
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    if not folder and hasattr(os, "getuid"):
        folder = f"/run/user/{os.getuid()}"
        if not Path(folder).is_dir():
            folder = ""
    return str(Path(folder, "credssp", "agent.sock")) if folder else ""


def agent_socket(given: str = "") -> str:
    """Return the path of the socket to connect to: what was given, the variable, or the default; else empty."""
    return given or os.environ.get(VARIABLE, "") or default_socket()
