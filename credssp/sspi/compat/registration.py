"""Putting the modules of this package where programs import them from."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Iterable
from types import MappingProxyType, ModuleType
from typing import Final

from credssp.errors import LocalProtocolError

__all__ = ["Installation", "install", "uninstall"]

_ROOM: Final = "credssp.sspi.compat"

MODULES: Final = MappingProxyType(
    {
        "sspilib": ("sspilib.raw",),
        "win32security": ("win32security",),
        "sspicon": ("sspicon",),
        "pywintypes": ("pywintypes",),
        "sspi": ("sspi",),
    }
)
"""What can be installed: what a program imports, and the modules that come from here."""

_lock: Final = threading.Lock()
_current: list[Installation] = []


class Installation:
    """Modules that were registered; ``with`` takes them out again at the end.

    Attributes:
        modules: names of the modules that programs find now.
        kept: names of those that are installed on this machine and were left alone.
    """

    __slots__ = ("_before", "kept", "modules")

    def __init__(self, modules: dict[str, ModuleType], kept: tuple[str, ...], gone: Iterable[str]) -> None:
        self.modules = tuple(modules)
        self.kept = kept
        self._before = {name: sys.modules.pop(name, None) for name in (*modules, *gone)}
        sys.modules.update(modules)

    def uninstall(self) -> None:
        """Take the modules out; what was there before is there again. A second time changes nothing."""
        with _lock:
            if self in _current:
                _current.remove(self)
                self._restore()

    def _restore(self) -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] in self._roots()]:
            del sys.modules[name]
        sys.modules.update({name: module for name, module in self._before.items() if module is not None})

    def _roots(self) -> set[str]:
        return {name.partition(".")[0] for name in self.modules}

    def __enter__(self) -> Installation:
        return self

    def __exit__(self, *error: object) -> None:
        self.uninstall()

    def __repr__(self) -> str:
        return f"Installation(modules={self.modules}, kept={self.kept})"


def install(*, replace: Iterable[str] = ()) -> Installation:
    """Let programs import `sspilib`, `win32security`, `sspicon`, `pywintypes` and `sspi` from here.

    Modules that are installed on this machine are left alone. Modules that a program imported before stay what they
    are for that program: call this first.

    Where sspilib itself is installed and is to be replaced, its own classes (`sspilib.UserCredential` and so on) work
    on `credssp.sspi`; only `sspilib.raw` comes from here.

    Args:
        replace: which of the five are to come from here although they are installed.

    Returns:
        What was registered, and what was left alone. `Installation.uninstall`, or ``with``, undoes it.

    Raises:
        LocalProtocolError: a name that is not one of the five, or this was called before and not undone.
    """
    wanted = frozenset((replace,) if isinstance(replace, str) else replace)
    unknown = wanted - MODULES.keys()
    if unknown:
        raise LocalProtocolError(f"replace: {', '.join(sorted(unknown))}: only {', '.join(MODULES)} can be replaced")
    with _lock:
        if _current:
            raise LocalProtocolError("the modules are installed already: uninstall() first")
        kept = tuple(name for name in MODULES if name not in wanted and _is_there(name))
        modules: dict[str, ModuleType] = {}
        gone: list[str] = []
        for name in MODULES:
            if name not in kept:
                gone += [loaded for loaded in sys.modules if loaded.startswith(f"{name}.")]
                modules.update(_modules_of(name))
        if "sspilib" in wanted and "sspilib" not in modules:
            gone.append("sspilib")  # imported anew, on the `sspilib.raw` that is there now
        installation = Installation(modules, kept, [name for name in gone if name not in modules])
        _current.append(installation)
        return installation


def uninstall() -> None:
    """Undo `install`; where it was not called this changes nothing."""
    for installation in list(_current):
        installation.uninstall()


def _is_there(name: str) -> bool:
    """Return whether a module is imported or can be."""
    if name in sys.modules:
        return True
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _modules_of(name: str) -> dict[str, ModuleType]:
    """Return the modules that stand for one that a program imports."""
    found = {module: importlib.import_module(f"{_ROOM}.{module.rpartition('.')[2]}") for module in MODULES[name]}
    if name == "sspilib" and not _is_there(name):
        found[name] = importlib.import_module(f"{_ROOM}.sspilib")
    return found
