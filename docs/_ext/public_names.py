"""Warns of a public name that no page describes; ``sphinx-build -W`` makes an error of it."""

from __future__ import annotations

import importlib
from types import FunctionType

from sphinx.application import Sphinx
from sphinx.util import logging

ROOMS = ("accounts", "conformance", "context", "policy", "rdp", "sspi", "testing", "winrm")
PACKAGES = ("credssp", *(f"credssp.{name}" for name in ROOMS), "credssp.dissect.dissector")
"""Packages and modules whose ``__all__`` is for users."""


def undescribed(described: set[str]) -> list[str]:
    """Return the public classes and functions that are not among the dotted names of what is described."""
    missing = []
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")]):
            found = getattr(module, name)
            if not isinstance(found, type | FunctionType):
                continue  # constants of the headers, aliases of types
            if not {f"{package}.{name}", f"{found.__module__}.{found.__qualname__}"} & described:
                missing.append(f"{package}.{name}")
    return missing


def check(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.env is not None:
        for name in undescribed(set(app.env.domaindata["py"]["objects"])):
            logging.getLogger(__name__).warning("no page describes %s", name)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("build-finished", check)
    return {"parallel_read_safe": True}
