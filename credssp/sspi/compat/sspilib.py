"""What stands for the package `sspilib` where it is not installed: `sspilib.raw`, and the names it passes on."""

from __future__ import annotations

from credssp.sspi.compat import raw as raw
from credssp.sspi.compat.raw import AscReq as AscReq
from credssp.sspi.compat.raw import AscRet as AscRet
from credssp.sspi.compat.raw import IscReq as IscReq
from credssp.sspi.compat.raw import IscRet as IscRet
from credssp.sspi.compat.raw import SecChannelBindings as SecChannelBindings
from credssp.sspi.compat.raw import WindowsError as WindowsError

__all__ = ["AscReq", "AscRet", "IscReq", "IscRet", "SecChannelBindings", "WindowsError", "raw"]

__path__: list[str] = []
"""A package without files: ``import sspilib.raw`` works."""
