"""``credssp serve``: test endpoints that print one JSON line per event.

A further endpoint is one more line in `ENDPOINTS` and one module with `configure` and `run`.
"""

from __future__ import annotations

import argparse
import importlib
from typing import Final

__all__ = ["ENDPOINTS", "configure", "run"]

ENDPOINTS: Final = {
    "rdp": ("credssp.cli._serve_rdp", "RDP with network level authentication"),
    "winrm": ("credssp.cli._serve_winrm", "WinRM with a shell that runs no programs"),
}
"""Name, module and one line for the help."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    endpoints = parser.add_subparsers(dest="endpoint", metavar="ENDPOINT", required=True)
    for name, (module, summary) in ENDPOINTS.items():
        own = endpoints.add_parser(
            name, help=summary, description=f"{summary}.", formatter_class=parser.formatter_class
        )
        importlib.import_module(module).configure(own)


def run(arguments: argparse.Namespace) -> int:
    """Serve until stopped."""
    module, _ = ENDPOINTS[arguments.endpoint]
    return int(importlib.import_module(module).run(arguments))
