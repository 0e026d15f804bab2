"""The systemd unit of the manual."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from credssp.cli.serve import ENDPOINTS

UNIT = Path(__file__).parents[2] / "docs" / "examples" / "credssp@.service"


def test_the_unit_serves_every_endpoint_and_reloads_with_sighup() -> None:
    text = UNIT.read_text()
    assert "credssp serve %i $CREDSSP_OPTIONS\n" in text
    assert "ExecReload=/bin/kill -HUP $MAINPID\n" in text
    assert all(re.fullmatch("[a-z]+", name) for name in ENDPOINTS)  # they can be instances


def test_systemd_finds_it_confined(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=15", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze reads no unit files")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Unknown" not in done.stderr
