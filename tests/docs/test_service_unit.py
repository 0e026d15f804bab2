"""The systemd units of the manual."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from credssp.cli import gateway
from credssp.cli.serve import ENDPOINTS

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
UNIT, GATEWAY = EXAMPLES / "credssp@.service", EXAMPLES / "credssp-gateway.service"


def test_the_unit_serves_every_endpoint_and_reloads_with_sighup() -> None:
    text = UNIT.read_text()
    assert "credssp serve %i $CREDSSP_OPTIONS\n" in text
    assert "ExecReload=/bin/kill -HUP $MAINPID\n" in text
    assert all(re.fullmatch("[a-z]+", name) for name in ENDPOINTS)  # they can be instances


def test_the_gateway_reloads_with_sighup_and_has_time_to_drain() -> None:
    text = GATEWAY.read_text()
    assert "credssp gateway run --json /etc/credssp/gateway.toml\n" in text
    assert "ExecReload=/bin/kill -HUP $MAINPID\n" in text
    found = re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert found is not None
    assert int(found[1]) > gateway._DRAIN


@pytest.mark.parametrize("unit", [UNIT, GATEWAY], ids=lambda unit: unit.stem)
def test_systemd_finds_it_confined(unit: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=15", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze reads no unit files")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Unknown" not in done.stderr
