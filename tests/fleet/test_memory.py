"""The memory of a run does not depend on how many targets it has; the full figure is in ``benchmarks fleet``."""

from __future__ import annotations

import sys

import pytest

from benchmarks.fleet import peak_memory

pytestmark = [pytest.mark.performance, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]


@pytest.mark.parametrize("form", ["--json", "--table"])
def test_ten_times_the_targets_take_no_more_memory(form: str) -> None:
    few, many = peak_memory(800, form), peak_memory(8000, form)
    assert many < 100, f"{many:.0f} MB"
    # 900 bytes for each of 7,200 targets would be seen.
    assert many - few < 6, f"{few:.1f} MB, then {many:.1f} MB"


@pytest.mark.parametrize("form", ["--json", "--table"])
def test_logins_do_not_add_up(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDSSP_PASSWORD", "secret")
    words = (form, "-u", "alice", "--mechanism", "ntlm")
    few, many = (peak_memory(targets, *words, command="login") for targets in (50, 500))
    assert many < 150, f"{many:.0f} MB"
    # 64 logins are under way at a time in both; 10 KB for each of the others would be seen.
    assert many - few < 5, f"{few:.1f} MB, then {many:.1f} MB"
