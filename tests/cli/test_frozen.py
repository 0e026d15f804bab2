"""``credssp.cli`` in an application that PyInstaller made; takes half a minute."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from credssp import MemoryAccounts
from credssp._pyinstaller import get_hook_dirs
from credssp.testing import RDPServer

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

UNUSED = ("scapy", "numpy", "rich", "pytest", "requests", "httpx", "uvicorn", "hypothesis", "impacket")
"""What the hooks would take along where it is installed, and these commands do not need."""


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("PyInstaller")
    folder = tmp_path_factory.mktemp("frozen")
    (folder / "app.py").write_text("import sys\nfrom credssp.cli import main\nsys.exit(main())\n")
    command = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "ERROR", "--name", "app"]
    command += [word for hooks in get_hook_dirs() for word in ("--additional-hooks-dir", hooks)]
    command += [word for name in UNUSED for word in ("--exclude-module", name)]
    done = subprocess.run([*command, "app.py"], cwd=folder, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "dist" / "app" / "app"


def run(frozen: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"CREDSSP_PASSWORD": "secret"}
    return subprocess.run(
        [str(frozen), *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_frozen_demo_logs_on(frozen: Path) -> None:
    done = run(frozen, "demo")
    assert (done.returncode, done.stderr) == (0, "")
    assert "OK: the server received exactly the credentials that the client sent" in done.stdout


def test_a_frozen_login_uses_the_drivers(frozen: Path) -> None:
    with RDPServer(accounts=MemoryAccounts({("LAB", "alice"): "secret"})) as server:
        done = run(frozen, "login", f"rdp://127.0.0.1:{server.port}", "-u", "alice", "-d", "LAB")
        assert (done.returncode, done.stderr) == (0, "")
        server.wait(delegations=1)


@pytest.mark.parametrize(
    "command", ["status", "probe", "serve rdp", "decode", "dissect", "doctor", "conformance", "policy"]
)
def test_every_command_is_in_a_frozen_application(frozen: Path, command: str) -> None:
    done = run(frozen, *command.split(), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: credssp {command}")
