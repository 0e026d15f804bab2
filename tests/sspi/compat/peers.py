"""The programs of others that run on `credssp.sspi.compat`; `.ci/fetch-sspi-peers` gets them."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from tests.modules import load_module
from tests.peers import missing, peers_folder

SSPILIB = "sspilib-0.6.0"
PYWIN32 = "pywin32-312"


def sspilib_tests() -> Path:
    """Return the folder with sspilib's own tests, which its wheels do not have; skip or fail if it is missing."""
    return _found(Path(SSPILIB, "tests"))


def pywin32_module(name: str) -> ModuleType:
    """Return `sspi` or `sspicon` of pywin32, which has no wheel off Windows; skip or fail if it is missing."""
    return load_module(f"pywin32_{name}", _found(Path(PYWIN32, f"{name}.py")))


def _found(relative: Path) -> Path:
    path = peers_folder() / relative
    if not path.exists():
        missing(f"{path} is missing (.ci/fetch-sspi-peers gets it from PyPI)")
    return path
