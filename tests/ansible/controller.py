"""Ansible as a peer: an environment with it, which .ci/fetch-ansible made, and a playbook run in a folder.

controller = Controller.find("2.19.14")
run = controller.run(folder, hosts="srv ansible_connection=winrm ...", tasks="- ansible.windows.win_ping:")
assert run.code == 0
assert run.result("ansible.windows.win_ping")["ping"] == "pong"
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.peers import missing, peers_folder

__all__ = ["LATEST", "VERSIONS", "Controller", "Run"]

VERSIONS = ("2.18.19", "2.19.14")
"""2.19 changed what is sent to PowerShell."""

LATEST = VERSIONS[-1]

_ROOT = Path(__file__).parents[2]

# A callback plugin of Ansible: one line of JSON for each task that has ended.
_RESULTS = """
import json, os
from ansible.plugins.callback import CallbackBase

class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "results"
    CALLBACK_NEEDS_ENABLED = False

    def note(self, outcome, result):
        task = getattr(result, "_task", None) or result.task
        said = getattr(result, "_result", None) or result.result
        line = json.dumps({"task": task.action, "outcome": outcome, "result": said}, default=str)
        with open(os.environ["RESULTS"], "a", encoding="utf-8") as file:
            file.write(line + "\\n")

    def v2_runner_on_ok(self, result):
        self.note("ok", result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self.note("failed", result)

    def v2_runner_on_unreachable(self, result):
        self.note("unreachable", result)
"""


@dataclass(frozen=True)
class Run:
    """How a playbook ended.

    Attributes:
        code: the exit code: 0 success, 2 a failed task, 4 a host that cannot be reached.
        output: what was printed.
        lines: for each task that ended its ``task``, ``outcome`` and ``result``.
    """

    code: int
    output: str
    lines: tuple[Mapping[str, Any], ...]

    def result(self, task: str, outcome: str = "ok") -> Mapping[str, Any]:
        """Return the result of the last task of an action."""
        found = [line for line in self.lines if line["task"] == task]
        assert found, f"no task {task}: {self.output}"
        assert found[-1]["outcome"] == outcome, self.output
        result: Mapping[str, Any] = found[-1]["result"]
        return result


@dataclass(frozen=True)
class Controller:
    """The Python of an environment with Ansible."""

    python: Path

    @classmethod
    def find(cls, version: str) -> Controller:
        """Return the one with a version of ansible-core; skip or fail where it is not installed."""
        folder = peers_folder() / f"ansible-core-{version}"
        if not (folder / "complete").exists():
            missing(f"ansible-core {version} is not installed (.ci/fetch-ansible)")
        return cls(folder / "bin" / "python")

    def run(
        self, folder: Path, *, hosts: str, tasks: str, facts: bool = False, environment: Mapping[str, str] | None = None
    ) -> Run:
        """Run tasks on the hosts of an inventory."""
        indented = "".join(f"    {line}\n" for line in tasks.strip("\n").splitlines())
        (folder / "hosts").write_text(f"{hosts}\n", encoding="utf-8")
        (folder / "site.yml").write_text(
            f"- hosts: all\n  gather_facts: {str(facts).lower()}\n  tasks:\n{indented}", encoding="utf-8"
        )
        return self.playbook(folder, "-i", "hosts", "site.yml", environment=environment)

    def playbook(self, folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Run:
        """Run ``ansible-playbook`` in a folder."""
        results = folder / "results.jsonl"
        results.unlink(missing_ok=True)
        done = subprocess.run(
            [str(self.python), "-m", "ansible", "playbook", *arguments],
            cwd=folder,
            env=self.environment(folder, environment or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=100,
            check=False,
        )
        lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
        return Run(done.returncode, done.stdout + done.stderr, tuple(json.loads(line) for line in lines))

    def environment(self, folder: Path, more: Mapping[str, str]) -> dict[str, str]:
        """Return variables with which Ansible reads and writes nothing outside of a folder, and credssp is this one."""
        plugins = folder / "result_plugins"
        plugins.mkdir(exist_ok=True)
        (plugins / "results.py").write_text(_RESULTS, encoding="utf-8")
        own = {
            "ANSIBLE_CALLBACK_PLUGINS": str(plugins),
            "ANSIBLE_HOME": str(folder / "home"),
            "ANSIBLE_NOCOLOR": "1",
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "PATH": f"{self.python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "PYTHONPATH": str(_ROOT),
            "RESULTS": str(folder / "results.jsonl"),
            "no_proxy": "127.0.0.1,localhost",
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHON"))}
        return kept | own | dict(more)
