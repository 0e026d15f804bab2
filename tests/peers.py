"""What a test needs that is not ours: programs and libraries of others.

Where one is missing the test is skipped and says why; where ``CREDSSP_REQUIRE_PEERS`` is set, as in CI, it fails, so
that a green run really is a run against the peers. The exception is a program that this release of Debian has no
package for.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest

__all__ = ["missing", "peers_folder", "require", "require_module", "require_npm_package", "require_program"]

OS_RELEASE = Path("/etc/os-release")
WITHOUT_PACKAGE = {"13": ("xfreerdp", "freerdp-shadow-cli", "winpr-hash")}
"""FreeRDP 2 ended with Debian 12; both have FreeRDP 3 (`.ci/run`)."""


def require_program(name: str) -> str:
    """Return the path of a program, looked for beside the interpreter first; skip or fail if there is none."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath), "/usr/sbin"])
    found = shutil.which(name, path=places)
    if found is None:
        if name in WITHOUT_PACKAGE.get(_debian(), ()):
            pytest.skip(f"Debian {_debian()} has no package with the program {name}")
        missing(f"the program {name} is not installed (.ci/run lists the packages)")
    return found


def require_module(name: str, *, extra: str = "test") -> ModuleType:
    """Return a module; skip or fail if it cannot be imported."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        missing(f"the module {name} cannot be imported ({error}); pip install -e '.[{extra}]'")


def require(name: str) -> str | ModuleType:
    """Return the path of a program or else a module of this name; skip or fail if there is neither."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return require_program(name)


def peers_folder() -> Path:
    """Return the folder CREDSSP_PEERS, by default ``credssp-peers`` in the user's cache; `.ci/run` fills it."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("CREDSSP_PEERS") or Path(cache, "credssp-peers"))


def require_npm_package(name: str, version: str) -> Path:
    """Return the folder of an npm package; skip or fail if it is not installed in this version."""
    peers = peers_folder()
    folder = peers / "node_modules" / name
    try:
        found = json.loads((folder / "package.json").read_text(encoding="utf-8"))["version"]
    except OSError:
        found = "none"
    if found != version:
        command = f"npm install --prefix {peers} --ignore-scripts {name}@{version}"
        missing(f"the npm package {name} {version} is not installed, {found} is ({command})")
    return folder


def _debian() -> str:
    """Return the number of this release of Debian, or an empty string."""
    if not OS_RELEASE.exists():
        return ""
    lines = OS_RELEASE.read_text(encoding="utf-8").splitlines()
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    return values.get("VERSION_ID", "").strip('"') if values.get("ID") == "debian" else ""


def missing(reason: str) -> NoReturn:
    """Skip the test, or fail where peers are required."""
    if os.environ.get("CREDSSP_REQUIRE_PEERS"):
        pytest.fail(f"{reason}, and CREDSSP_REQUIRE_PEERS is set", pytrace=False)
    pytest.skip(reason)
