"""What is in the place of a DLL: a module with security packages, started once in each mode."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from credssp.next_step import NextStep
from credssp.sspi.errors import SSPIError, check_done
from credssp.sspi.support import DllFunctions
from credssp.sspi.tables import INTERFACE_VERSION, PackageModule, SecpkgFunctionTable, SecpkgUserFunctionTable
from credssp.status import SecurityStatus

__all__ = ["SecurityDll"]


class SecurityDll:
    """A module and its user-mode halves.

    Any thread may map a context. The first starts the user-mode halves while the others wait: a second start would
    give a package new tables, without the contexts of the first.

    Args:
        module: what offers the packages.
        functions: what their user-mode halves get.
    """

    def __init__(self, module: PackageModule, functions: DllFunctions) -> None:
        self.module = module
        self.functions = functions
        # A package may use SSPI in its SpInstanceInit, and so come back here.
        self._lock = threading.RLock()
        self._tables: Sequence[SecpkgUserFunctionTable] | None = None
        self._started: set[int] = set()

    def lsa_tables(self) -> Sequence[SecpkgFunctionTable]:
        """Return the LSA-mode halves (SpLsaModeInitialize)."""
        return self.module.sp_lsa_mode_initialize(INTERFACE_VERSION)[1]

    def user_table(self, index: int, name: str) -> SecpkgUserFunctionTable:
        """Return the user-mode half of a package.

        The first call starts all of them: SpUserModeInitialize once, then SpInstanceInit of each package. If one of
        the others fails at it, it is started again when it is needed.

        Args:
            index: its place among the module's packages.
            name: its name, for the error.

        Raises:
            SSPIError: SEC_E_UNSUPPORTED_FUNCTION, the package has none; or what its SpInstanceInit failed with.
        """
        with self._lock:
            if self._tables is None:
                start = getattr(self.module, "sp_user_mode_initialize", None)
                self._tables = () if start is None else tuple(start(INTERFACE_VERSION)[1])
                for other in range(len(self._tables)):
                    if other != index:
                        self._start_quietly(other)
            if index >= len(self._tables):
                raise SSPIError(
                    f"package {name} has no user-mode half",
                    status=SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION,
                    advice=NextStep.SSPI_UNSUPPORTED,
                )
            self._start(index)
            return self._tables[index]

    def _start_quietly(self, index: int) -> None:
        try:
            self._start(index)
        except Exception:  # noqa: BLE001 - foreign code; told when that package is used
            return

    def _start(self, index: int) -> None:
        """Call SpInstanceInit of a package, unless it was called, or is being called further up."""
        tables = self._tables or ()
        init = tables[index].instance_init
        if index in self._started:
            return
        self._started.add(index)
        try:
            if init is not None:
                check_done(init(INTERFACE_VERSION, self.functions))
        except BaseException:
            self._started.discard(index)
            raise
