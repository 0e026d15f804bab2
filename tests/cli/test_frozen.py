"""``credssp.cli`` in an application that PyInstaller made, which takes 20 s of CPU time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from credssp import MemoryAccounts
from credssp._pyinstaller import get_hook_dirs
from credssp.testing import RDPServer

UNUSED = ("scapy", "numpy", "rich", "pytest", "requests", "httpx", "uvicorn", "hypothesis", "impacket")
"""What the hooks would take along where it is installed, and these commands do not need."""

COMMANDS = ("status", "probe", "serve rdp", "decode", "dissect", "doctor", "conformance", "policy")


def freeze(folder: Path) -> str:
    pytest.importorskip("PyInstaller")
    (folder / "app.py").write_text("import sys\nfrom credssp.cli import main\nsys.exit(main())\n")
    command = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "ERROR", "--name", "app"]
    command += [word for hooks in get_hook_dirs() for word in ("--additional-hooks-dir", hooks)]
    command += [word for name in UNUSED for word in ("--exclude-module", name)]
    done = subprocess.run([*command, "app.py"], cwd=folder, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    return str(folder / "dist" / "app" / "app")


@pytest.mark.interop
@pytest.mark.timeout(600)
def test_a_frozen_application_has_all_commands_and_logs_on(tmp_path: Path) -> None:
    """One test, since each worker of pytest would build an application of its own."""
    frozen = freeze(tmp_path)

    def output(*arguments: str) -> str:
        environment = os.environ | {"CREDSSP_PASSWORD": "secret"}
        done = subprocess.run(
            [frozen, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    assert "OK: the server received exactly the credentials that the client sent" in output("demo")
    with RDPServer(accounts=MemoryAccounts({("LAB", "alice"): "secret"})) as server:
        output("login", f"rdp://127.0.0.1:{server.port}", "-u", "alice", "-d", "LAB")
        server.wait(delegations=1)
    for command in COMMANDS:
        assert output(*command.split(), "--help").startswith(f"usage: credssp {command}")
