"""Python files outside the package, as modules: programs of the manual, examples, and peers that have no package."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

__all__ = ["load_generator", "load_module"]

DOCS = Path(__file__).parents[1] / "docs"


def load_module(name: str, path: Path) -> ModuleType:
    """Return a file as a module of this name, run anew."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_generator(name: str) -> ModuleType:
    """Return a program that writes a part of the manual."""
    return load_module(name, DOCS / "_ext" / f"{name}.py")
