"""The agent's memory is out of reach of other processes of its user: read from the kernel, and tried."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.pki import SOFTHSM

if not sys.platform.startswith("linux"):
    pytest.skip("Linux", allow_module_level=True)

PROGRAM = """
import dataclasses, json, os, resource, sys, time
from pathlib import Path
if sys.argv[1] == "harden":
    from credssp.lsa.hardening import harden
    if len(sys.argv) > 2:
        limit = int(sys.argv[2])
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (limit, limit))
    found = dataclasses.asdict(harden())
else:
    found = {}
found["core"] = resource.getrlimit(resource.RLIMIT_CORE)
found["owner"] = os.stat("/proc/self/mem").st_uid
found["status"] = dict(
    line.split(":\\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\\t" in line
)
secret = "hidden in " + "memory"
found["child"] = os.popen("grep -c '' /proc/self/environ").read().strip()
print(json.dumps(found), flush=True)
sys.stdin.readline()
"""

READER = """
import re, sys
found = False
with open(f"/proc/{sys.argv[1]}/maps") as maps, open(f"/proc/{sys.argv[1]}/mem", "rb", 0) as memory:
    for line in maps:
        start, end = (int(part, 16) for part in line.split()[0].split("-"))
        if "rw-p" in line:
            memory.seek(start)
            found = found or b"hidden in memory" in memory.read(end - start)
print(found)
"""

AS_USER = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "--inh-caps=-all"]


class Process:
    """One that waits until it is told to end."""

    def __init__(self, *arguments: str, prefix: tuple[str, ...] = ()) -> None:
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-c", PROGRAM, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert self.process.stdout is not None
        self.found = json.loads(self.process.stdout.readline())

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate("\n", timeout=60)


def test_the_process_is_not_dumpable_and_writes_no_core() -> None:
    with Process("harden") as agent:
        assert agent.found["not_dumpable"] is True
        assert agent.found["core"] == [0, 0]
        assert agent.found["owner"] == 0
        assert agent.found["status"]["NoNewPrivs"].strip() == "1"
        assert int(agent.found["child"]) >= 0, "the programs that it starts are dumpable again"


def user_python() -> str:
    """A Python that user 1000 can start, or skip."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root, to become another user")
    tried = subprocess.run([*AS_USER, sys.executable, "-c", "import credssp"], capture_output=True, timeout=60)
    if tried.returncode:
        pytest.skip("another user cannot start this Python")
    return sys.executable


def test_another_process_of_the_same_user_cannot_read_its_memory() -> None:
    python = user_python()

    def read(pid: int) -> subprocess.CompletedProcess[str]:
        command = [*AS_USER, python, "-c", READER, str(pid)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    with Process("as it is", prefix=tuple(AS_USER)) as plain:
        found = read(plain.process.pid)
        if found.returncode:
            pytest.skip(f"nobody may read the memory of others here: {found.stderr.splitlines()[-1]}")
        assert found.stdout == "True\n", "the reader finds what is there to be found"
    with Process("harden", prefix=tuple(AS_USER)) as agent:
        assert agent.found["not_dumpable"] is True
        refused = read(agent.process.pid)
        assert refused.returncode == 1
        assert "PermissionError" in refused.stderr


def test_memory_is_locked_where_there_is_no_limit() -> None:
    with Process("harden") as agent:
        locked = int(agent.found["status"]["VmLck"].split()[0])
        assert agent.found["locked"] == (locked > 0)
        assert agent.found["locked"] == (agent.found["problem"] == "")


def test_under_a_limit_it_says_so_and_runs() -> None:
    user_python()
    with Process("harden", str(4 << 20), prefix=tuple(AS_USER)) as agent:
        assert agent.found["locked"] is False
        assert "RLIMIT_MEMLOCK is 4096 KiB" in agent.found["problem"]
        assert agent.found["status"]["VmLck"].split()[0] == "0"
        assert agent.found["not_dumpable"] is True


LOADS_MODULES = """
import ctypes, os, resource, sys
from credssp.lsa.hardening import harden
os.environ["HOME"] = sys.argv[2]
if os.geteuid() == 0:  # p11-kit reads no files of root's
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
kit = ctypes.CDLL("libp11-kit.so.0")
if sys.argv[1] == "harden":
    harden()
kit.p11_kit_modules_load.restype = ctypes.POINTER(ctypes.c_void_p)
kit.p11_kit_module_get_name.restype = ctypes.c_char_p
kit.p11_kit_module_get_name.argtypes = [ctypes.c_void_p]
modules = kit.p11_kit_modules_load(None, 0)
number = 0
while modules[number]:
    print((kit.p11_kit_module_get_name(modules[number]) or b"").decode())
    number += 1
"""


@pytest.mark.parametrize(("way", "loaded"), [("as it is", True), ("harden", False)])
def test_p11_kit_loads_no_module_that_a_program_of_the_user_registered(way: str, loaded: bool) -> None:
    if not Path(SOFTHSM).exists():
        pytest.skip("SoftHSM is not installed")
    try:
        ctypes.CDLL("libp11-kit.so.0")
    except OSError:
        pytest.skip("p11-kit is not installed")
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home, ".config", "pkcs11", "modules")
        folder.mkdir(parents=True)
        (folder / "registered-by-a-program.module").write_text(f"module: {SOFTHSM}\n")
        for each in (Path(home), *folder.parents[:3], folder):
            each.chmod(0o755)
        found = subprocess.run(
            [sys.executable, "-c", LOADS_MODULES, way, home],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=Path(__file__).parents[2],
            check=True,
        )
    assert ("registered-by-a-program" in found.stdout.split()) is loaded
