"""A pytest plugin for sspilib's own tests: they run on `credssp.sspi.compat`, and are told that this is Windows.

Off Windows these tests leave out what sspi-rs, the library below sspilib there, does not do, and expect its faults.
What they say about Windows is the measure here: the file of each test gets an `os` whose `name` is ``nt``. Nothing else
does, since the module is in place only as long as pytest imports that file.

The machine has one account, ``user`` with the password ``pass``, who is logged on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest

import credssp
import credssp.sspi as sspi
from credssp.sspi import compat


class WindowsOs(ModuleType):
    """The module `os`, with the name it has on Windows."""

    name = "nt"

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


@contextmanager
def windows() -> Iterator[None]:
    """Files that are imported now find themselves on Windows."""
    sys.modules["os"] = WindowsOs("os")
    try:
        yield
    finally:
        sys.modules["os"] = os


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests() -> Generator[None, Any, Any]:
    """Prepare the machine; the tests' conftest.py is imported here."""
    compat.install(replace=["sspilib"])
    sspi.configure(accounts=credssp.MemoryAccounts({("", "user"): "pass"}))
    sspi.local_security_authority().accept_credentials(3, "user", credssp.PasswordCredentials("user", "pass"))
    with windows():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """Import a test's file."""
    if not isinstance(collector, pytest.Module):
        return (yield)
    with windows():
        return (yield)
