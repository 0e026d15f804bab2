"""What is missing where an extra was not installed, and what to install."""

from __future__ import annotations

import importlib
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "missing", "extra"),
    [
        ("credssp.drivers.winrm_requests", "requests", "requests"),
        ("credssp.drivers.winrm_httpx", "httpx", "httpx"),
        ("credssp.drivers.winrm_httpx", "anyio", "httpx"),
        ("credssp.drivers.winrm_serving", "uvicorn", "winrm-server"),
        ("credssp.drivers.winrm_serving", "h11", "winrm-server"),
        ("credssp.testing.psrp", "pypsrp", "psrp"),
    ],
)
def test_import_names_what_is_missing_and_the_extra(
    module: str, missing: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(ModuleNotFoundError) as caught:
        importlib.import_module(module)
    assert caught.value.name == missing
    assert f"{module} needs {missing}, which is missing: pip install 'credssp[{extra}]'" in str(caught.value)
