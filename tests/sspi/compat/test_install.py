"""`compat.install`: which modules programs find, and that all of it can be undone."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

import credssp
from credssp.sspi import compat
from credssp.sspi.compat import raw, registration

MISSING = ("win32security", "sspicon", "pywintypes", "sspi")
"""None of them exists off Windows."""


@pytest.fixture
def without_sspilib(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine on which sspilib is not installed."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "sspilib"]:
        monkeypatch.delitem(sys.modules, name)
    is_there = registration._is_there
    monkeypatch.setattr(registration, "_is_there", lambda name: name != "sspilib" and is_there(name))
    yield
    compat.uninstall()  # before the modules of this machine come back, which it would take out


@pytest.mark.usefixtures("without_sspilib")
def test_all_modules_are_registered_where_none_is_installed() -> None:
    installed = compat.install()
    assert set(installed.modules) == {"sspilib", "sspilib.raw", *MISSING}
    assert installed.kept == ()
    assert importlib.import_module("sspilib.raw") is raw
    assert importlib.import_module("sspilib").IscReq is raw.IscReq
    assert importlib.import_module("win32security").error is importlib.import_module("pywintypes").error


def test_installed_module_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    own = ModuleType("win32security")
    monkeypatch.setitem(sys.modules, "win32security", own)
    installed = compat.install()
    assert "win32security" in installed.kept
    assert sys.modules["win32security"] is own
    assert "sspicon" in installed.modules


def test_installed_module_is_replaced_on_demand_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    own = ModuleType("win32security")
    monkeypatch.setitem(sys.modules, "win32security", own)
    with compat.install(replace=["win32security"]) as installed:
        assert "win32security" in installed.modules
        assert sys.modules["win32security"] is not own
    assert sys.modules["win32security"] is own


def test_uninstall_leaves_nothing_behind() -> None:
    before = set(sys.modules)
    compat.install()
    compat.uninstall()
    assert {name for name in set(sys.modules) - before if not name.startswith("credssp.")} == set()
    compat.uninstall()
    for name in MISSING:
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(name)


def test_installed_twice_is_refused() -> None:
    compat.install()
    with pytest.raises(credssp.LocalProtocolError, match="uninstall"):
        compat.install()


def test_unknown_name_is_refused() -> None:
    with pytest.raises(credssp.LocalProtocolError, match="win32api"):
        compat.install(replace=["win32api"])
    assert compat.install().modules, "the failed call left nothing installed"


def test_real_sspilib_runs_on_this_sspi_and_comes_back() -> None:
    pytest.importorskip("sspilib")
    real = sys.modules["sspilib.raw"]
    assert real is not raw
    with compat.install(replace=["sspilib"]):
        sspilib = importlib.import_module("sspilib")
        assert sspilib.raw is raw
        assert issubclass(sspilib.UserCredential, raw.CredHandle)
    assert sys.modules["sspilib.raw"] is real
    assert importlib.import_module("sspilib").raw is real
