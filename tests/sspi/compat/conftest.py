"""A machine with two accounts, for programs that use the LSA of the process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import credssp
import credssp.sspi as sspi
from credssp.sspi import compat

ACCOUNTS = credssp.MemoryAccounts({("LAB", "alice"): "secret", ("LAB", "bob"): "other"})


@pytest.fixture(autouse=True)
def machine() -> Iterator[None]:
    """Accounts, and no module of one test in the next."""
    sspi.configure(accounts=ACCOUNTS)
    try:
        yield
    finally:
        compat.uninstall()
        sspi.configure()
