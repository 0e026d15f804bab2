"""The four names that live above this package (docs/adr/0005)."""

from __future__ import annotations

import subprocess
import sys

import pytest

from credssp import rdp
from credssp.drivers import rdp as driver

DRIVEN = ("connect", "open_connection", "serve", "start_server")


@pytest.mark.parametrize("name", DRIVEN)
def test_what_is_driven_is_found(name: str) -> None:
    assert getattr(rdp, name) is getattr(driver, name)
    assert name in rdp.__all__


def test_nothing_else_is_made_up() -> None:
    with pytest.raises(AttributeError, match="no attribute 'listen'"):
        rdp.listen  # type: ignore[attr-defined]  # noqa: B018


def test_the_protocol_loads_no_driver() -> None:
    code = (
        "import sys; from credssp.rdp import NLAClient, NLAServer, ConnectionRequest; "
        "print([name for name in ('asyncio', 'credssp.drivers', 'socketserver') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
