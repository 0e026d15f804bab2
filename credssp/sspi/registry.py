"""Which packages there are, and loading them when one is asked for.

Windows lists its packages in the registry (``Lsa\\Security Packages``) and loads all of them at boot. Here are three
sources: those that come with this library, those that other distributions announce as entry points of the group
``credssp.security_packages`` (the entry point's name is the package's), and what `add_security_package` names. A module
is imported when its package is first used, or when all are enumerated.

A package that cannot be loaded is reported (`Registry.problems`, and a warning in the log) and does not affect the
others.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Final, NamedTuple

from credssp.next_step import NextStep
from credssp.sspi import constants as c
from credssp.sspi.dll import SecurityDll
from credssp.sspi.errors import SSPIError, check_done, normalise, refuse, unsupported
from credssp.sspi.support import DllFunctions, LsaSupport
from credssp.sspi.tables import (
    PackageModule,
    Parameters,
    SecpkgFunctionTable,
    SecPkgInfo,
    SecpkgUserFunctionTable,
    entry_of,
)
from credssp.status import SecurityStatus

__all__ = ["ENTRY_POINT_GROUP", "LoadedPackage", "PackageProblem", "Registry"]

ENTRY_POINT_GROUP: Final = "credssp.security_packages"

# wVersion of SECPKG_PARAMETERS; a workstation that stands alone and may encrypt.
_PARAMETERS: Final[Parameters] = MappingProxyType({"version": 1, "machine_state": 0x1 | 0x2 | 0x10, "setup_mode": 0})

_SHIPPED: Final = MappingProxyType(
    {
        c.CREDSSP_NAME: "credssp.sspi.packages.credssp",
        c.TS_SSP_NAME: "credssp.sspi.packages.tsssp",
        c.NEGOSSP_NAME: "credssp.sspi.packages.negotiate",
        c.NTLMSP_NAME: "credssp.sspi.packages.ntlm",
        c.MICROSOFT_KERBEROS_NAME: "credssp.sspi.packages.kerberos",
        c.SCHANNEL_NAME: "credssp.sspi.packages.schannel",
    }
)
_ALIASES: Final = MappingProxyType({c.UNISP_NAME.casefold(): c.SCHANNEL_NAME.casefold()})

_PATIENCE: Final = 5.0
"""Seconds that the end of a process waits for a package that another thread is starting."""

_log = logging.getLogger("credssp.sspi")


@dataclass(frozen=True, slots=True)
class PackageProblem:
    """Why a package is not there.

    Attributes:
        name: its name as far as known.
        origin: where it was announced, such as ``entry point example_package:package``.
        reason: what went wrong.
    """

    name: str
    origin: str
    reason: str


@dataclass(slots=True, eq=False)
class LoadedPackage:
    """A package in use.

    Attributes:
        id: its number, second half of every handle.
        info: what SpGetInfo said.
        table: the LSA-mode half.
        dll: the module that offered it.
        index: its place among the module's packages.
        shipped: whether it comes with this library; such a one cannot be removed.
        user_mode: the user-mode half, once started.
    """

    id: int
    info: SecPkgInfo
    table: SecpkgFunctionTable
    dll: SecurityDll
    index: int
    shipped: bool
    user_mode: SecpkgUserFunctionTable | None = None

    def entry(self, member: str) -> Callable[..., object]:
        """Return a member of the LSA-mode table.

        Raises:
            SSPIError: SEC_E_UNSUPPORTED_FUNCTION, the package has none.
        """
        return entry_of(self.table, member, self.info.name)

    def user_table(self) -> SecpkgUserFunctionTable:
        """Return the user-mode table; starts it the first time (SpUserModeInitialize, SpInstanceInit).

        Raises:
            SSPIError: SEC_E_UNSUPPORTED_FUNCTION, the package has none.
        """
        if self.user_mode is None:
            self.user_mode = self.dll.user_table(self.index, self.info.name)
        return self.user_mode

    def user_entry(self, member: str) -> Callable[..., object]:
        """Return a member of the user-mode table; raises as `entry` and `user_table`."""
        return entry_of(self.user_table(), member, self.info.name)


Source = Callable[[], PackageModule]


class Announced(NamedTuple):
    """A package that can be loaded.

    Attributes:
        name: its name.
        origin: where it was announced.
        load: imports its module.
        shipped: whether it comes with this library.
    """

    name: str
    origin: str
    load: Source
    shipped: bool


class Registry:
    """The packages of one LSA."""

    def __init__(self, support: LsaSupport, functions: DllFunctions) -> None:
        self._problems: list[PackageProblem] = []
        self._support = support
        self._functions = functions
        functions.locate = self.locate
        self._lock = threading.RLock()
        self._loaded: dict[str, LoadedPackage] = {}
        self._failed: dict[str, SSPIError] = {}
        self._next_id = 1
        self._down = False

    @functools.cached_property
    def _announced(self) -> dict[str, Announced]:
        """What can be loaded, by the name to look up; entry points are looked for when the first package is."""
        announced = {
            name.casefold(): Announced(name, f"module {module}", _importer(module), True)
            for name, module in _SHIPPED.items()
        }
        for point in entry_points(group=ENTRY_POINT_GROUP):
            found = Announced(point.name, f"entry point {point.value}", point.load, False)
            # A third party does not replace a package of ours (as Windows does not let it since 2017), nor one another.
            if announced.setdefault(point.name.casefold(), found) is not found:
                self._report(found.name, found.origin, "there is a package of that name already")
        return announced

    @property
    def problems(self) -> list[PackageProblem]:
        """What could not be loaded, and why."""
        with self._lock:
            return self._problems if self._announced else []

    def _report(self, name: str, origin: str, reason: str) -> None:
        self._problems.append(PackageProblem(name, origin, reason))
        _log.warning("security package %s (%s) is not available: %s", name, origin, reason)

    def notify(
        self, package: LoadedPackage, what: str, function: Callable[..., object] | None, args: tuple[object, ...] = ()
    ) -> None:
        """Call a package where it may fail without consequences: that is reported, and stops nothing."""
        if function is not None:
            try:
                check_done(function(*args))
            except Exception as error:  # noqa: BLE001 - foreign code
                self._report(package.info.name, what, type(error).__name__)

    def find(self, name: object) -> LoadedPackage:
        """Return a package by its name, in any case; loads it if need be.

        Raises:
            SSPIError: SEC_E_SECPKG_NOT_FOUND, it is not offered, or cannot be loaded.
        """
        if not isinstance(name, str):
            raise refuse("pszPackage", "the name of a package is a str", SecurityStatus.SEC_E_SECPKG_NOT_FOUND)
        key = name.casefold()
        key = _ALIASES.get(key, key)
        package = self._loaded.get(key)
        if package is not None:
            return package
        with self._lock:
            self._check_up()
            if key not in self._loaded:
                self._load(key, name)
            return self._loaded[key]

    def locate(self, package_id: int) -> SecPkgInfo | None:
        """Return what the package with a number says about itself, None if there is none (LocatePackageById)."""
        with self._lock:
            return next((package.info for package in self._loaded.values() if package.id == package_id), None)

    def shut_down(self) -> None:
        """Call SpShutdown of every package, in the reverse order of their start; no package can be used afterwards.

        The process must be able to end while another thread waits for a package that does not finish its start: then
        nothing is called.
        """
        if not self._lock.acquire(timeout=_PATIENCE):
            return
        try:
            packages, self._loaded, self._down = self._by_id(), {}, True
        finally:
            self._lock.release()
        for package in reversed(packages):
            self.notify(package, "SpShutdown", package.table.shutdown)

    def _by_id(self) -> list[LoadedPackage]:
        return sorted(self._loaded.values(), key=lambda package: package.id)

    def _check_up(self) -> None:
        if self._down:
            raise SSPIError(
                "the packages were shut down: this process ends",
                status=SecurityStatus.SEC_E_SHUTDOWN_IN_PROGRESS,
                advice=NextStep.SSPI_PACKAGE,
            )

    def _load(self, key: str, name: str) -> None:
        failure = self._failed.get(key)
        if failure is not None:
            raise failure
        announced = self._announced.get(key)
        if announced is None:
            raise refuse("pszPackage", f"there is no security package {name!r}", SecurityStatus.SEC_E_SECPKG_NOT_FOUND)
        try:
            self._register(announced.load(), shipped=announced.shipped)
            if key not in self._loaded:
                raise SSPIError(
                    "the module does not hold a package of that name",
                    status=SecurityStatus.SEC_E_SECPKG_NOT_FOUND,
                    advice=NextStep.SSPI_PACKAGE,
                )
        except Exception as error:  # noqa: BLE001 - foreign code is being loaded: anything may come
            reason = normalise(error)
            if not isinstance(error, SSPIError):
                reason = SSPIError(
                    f"{type(error).__name__}: {error}", status=reason.status, advice=NextStep.SSPI_PACKAGE
                )
            self._report(announced.name, announced.origin, reason.message)
            self._failed[key] = refuse(
                "pszPackage",
                f"package {announced.name} ({announced.origin}) cannot be loaded: {reason.message}",
                SecurityStatus.SEC_E_SECPKG_NOT_FOUND,
            )
            raise self._failed[key] from None

    def _register(self, module: PackageModule, *, shipped: bool) -> list[LoadedPackage]:
        """Start the packages of a module (ssp_architecture: SpLsaModeInitialize, SpInitialize, SpGetInfo)."""
        dll = SecurityDll(module, self._functions)
        started: list[LoadedPackage] = []
        try:
            for index, table in enumerate(dll.lsa_tables()):
                started.append(self._start(dll, index, table, shipped=shipped))
        except Exception:
            for package in started:
                self.notify(package, "SpShutdown", package.table.shutdown)
            raise
        for package in started:
            self._loaded[package.info.name.casefold()] = package
        return started

    def _start(self, dll: SecurityDll, index: int, table: SecpkgFunctionTable, *, shipped: bool) -> LoadedPackage:
        if table.get_info is None:
            raise SSPIError(
                "the package has no SpGetInfo",
                status=SecurityStatus.SEC_E_CANNOT_INSTALL,
                advice=NextStep.SSPI_PACKAGE,
            )
        number, self._next_id = self._next_id, self._next_id + 1
        if table.initialize is not None:
            check_done(table.initialize(number, _PARAMETERS, self._support))
        package = LoadedPackage(number, table.get_info(), table, dll, index, shipped)
        if package.info.name.casefold() in self._loaded:
            self.notify(package, "SpShutdown", table.shutdown)
            raise SSPIError(
                f"there is a package {package.info.name} already",
                status=SecurityStatus.SEC_E_CANNOT_INSTALL,
                advice=NextStep.SSPI_PACKAGE,
            )
        return package

    def add(self, location: object) -> list[LoadedPackage]:
        """Load the packages of a module at run time (AddSecurityPackage).

        Args:
            location: ``module`` or ``module:object``, or the object itself.

        Raises:
            SSPIError: SEC_E_SECPKG_NOT_FOUND, it cannot be imported; SEC_E_CANNOT_INSTALL, it is not a package, its
                name is taken, or it fails to start.
        """
        with self._lock:
            self._check_up()
            module = location
            if isinstance(location, str):
                try:
                    module = _importer(location)()
                except Exception as error:  # noqa: BLE001 - foreign code
                    raise refuse(
                        "pszPackageName",
                        f"{location!r} cannot be imported: {type(error).__name__}",
                        SecurityStatus.SEC_E_SECPKG_NOT_FOUND,
                    ) from None
            try:
                return self._register(module, shipped=False)  # type: ignore[arg-type]  # anything may be tried
            except Exception as error:  # noqa: BLE001 - foreign code
                raise refuse(
                    "pszPackageName",
                    f"the package does not start: {type(error).__name__}: {error}",
                    SecurityStatus.SEC_E_CANNOT_INSTALL,
                ) from None

    def remove(self, name: object) -> LoadedPackage:
        """Take a package out (DeleteSecurityPackage), after its SpShutdown.

        Raises:
            SSPIError: SEC_E_UNSUPPORTED_FUNCTION for one that comes with this library; SEC_E_SECPKG_NOT_FOUND.
        """
        with self._lock:
            package = self.find(name)
            if package.shipped:
                raise unsupported("pszPackageName", f"{package.info.name} comes with the library and stays")
            del self._loaded[package.info.name.casefold()]
            self._announced.pop(package.info.name.casefold(), None)
            self.notify(package, "SpShutdown", package.table.shutdown)
            return package

    def loaded(self) -> list[LoadedPackage]:
        """Return the packages that are in use."""
        with self._lock:
            return self._by_id()

    def all(self) -> list[LoadedPackage]:
        """Load everything that is announced; what cannot be loaded is left out."""
        with self._lock:
            self._check_up()
            for key, announced in list(self._announced.items()):
                if key not in self._loaded and key not in self._failed:
                    with contextlib.suppress(SSPIError):  # it was reported
                        self._load(key, announced.name)
            return self._by_id()


def _importer(location: str) -> Source:
    module, _, attribute = location.partition(":")

    def load() -> PackageModule:
        found = importlib.import_module(module)
        for name in filter(None, attribute.split(".")):
            found = getattr(found, name)
        return found  # a module with the two functions is a package; _register finds out

    return load
