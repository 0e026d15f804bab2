"""The program's side: user-mode halves of packages, started when their first context is mapped."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from credssp.sspi.errors import SSPIError
from credssp.sspi.registry import LoadedPackage
from credssp.sspi.support import DllFunctions
from credssp.sspi.tables import INTERFACE_VERSION, SecpkgUserFunctionTable, entry_of
from credssp.status import SecurityStatus

__all__ = ["UserMode"]


class UserMode:
    """Starts user-mode halves and hands contexts over to them (ssp_architecture, section 4)."""

    def __init__(self, functions: DllFunctions) -> None:
        self._functions = functions
        self._numbers = itertools.count(1)

    def table(self, package: LoadedPackage) -> SecpkgUserFunctionTable:
        """Return the user-mode table of a package; starts it the first time (SpUserModeInitialize, SpInstanceInit).

        Raises:
            SSPIError: SEC_E_UNSUPPORTED_FUNCTION, the package has none.
        """
        table = package.user_mode
        if isinstance(table, SecpkgUserFunctionTable):
            return table
        start = getattr(package.module, "sp_user_mode_initialize", None)
        tables = () if start is None else start(INTERFACE_VERSION)[1]
        if package.index >= len(tables):
            raise SSPIError(
                f"package {package.info.name} has no user-mode half", status=SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION
            )
        found: SecpkgUserFunctionTable = tables[package.index]
        if found.instance_init is not None:
            found.instance_init(INTERFACE_VERSION, self._functions)
        package.user_mode = found
        return found

    def entry(self, package: LoadedPackage, member: str) -> Callable[..., object]:
        """Return a member of the user-mode table. Raises SSPIError: SEC_E_UNSUPPORTED_FUNCTION, there is none."""
        return entry_of(self.table(package), member, package.info.name)

    def new_context(self) -> int:
        """Return a number for a context of the user-mode halves."""
        return next(self._numbers)

    def take_over(self, package: LoadedPackage, packed: bytearray) -> int:
        """Map a context: hand its data to the user-mode half, once, and wipe it; returns the context's number."""
        number = self.new_context()
        try:
            self.entry(package, "init_user_mode_context")(number, packed)
        finally:
            packed[:] = bytes(len(packed))
        return number
