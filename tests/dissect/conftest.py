"""What the tests of `credssp.dissect` share with those of the peers."""

from __future__ import annotations

from tests.interop.conftest import display

__all__ = ["display"]
