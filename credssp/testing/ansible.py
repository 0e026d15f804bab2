"""Modules of Ansible as the WinRM double sees them: who is called with what, and what comes back.

Ansible starts PowerShell with a fixed bootstrap script and sends everything else to its standard input. Parts of that
are separated by four NULs:

* up to ansible-core 2.18: the script of the wrapper, then JSON with the module and ``module_args``,
* since 2.19: JSON with the script of the wrapper, then JSON with scripts and ``actions``, in whose ``params`` the
  arguments are.

The arguments are the one object with ``_ansible_module_name`` in both, which is what is looked for. Modules answer with
a JSON object on standard output.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from credssp.testing.patterns import Pattern

__all__ = ["SEPARATOR", "ModuleCall", "argument_text", "known_result", "module_fits", "module_of", "runs_module"]

SEPARATOR: Final = "\0\0\0\0"
_QUOTED_SEPARATOR: Final = "`0`0`0`0"
_NAME: Final = "_ansible_module_name"
_INTERNAL: Final = "_ansible_"


@dataclass(frozen=True, slots=True)
class ModuleCall:
    """A module that Ansible runs.

    Attributes:
        name: as Ansible names it, such as ``ansible.windows.win_ping`` or ``ansible.legacy.setup``.
        arguments: its arguments, without those of Ansible itself. They may hold secrets.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def short_name(self) -> str:
        """The name without its collection."""
        return self.name.rpartition(".")[2]


def runs_module(script: str) -> bool:
    """Return whether a script is the bootstrap of Ansible's wrapper, which reads what it runs from standard input."""
    return _QUOTED_SEPARATOR in script


def module_of(stdin: str) -> ModuleCall | None:
    """Return the module that is called by what Ansible sends to its wrapper; None if it is something else."""
    if _NAME not in stdin:
        return None
    for part in reversed(stdin.split(SEPARATOR)):
        if _NAME not in part:
            continue
        try:
            waiting = [json.loads(part)]
        except (ValueError, RecursionError):
            continue
        while waiting:
            found = waiting.pop()
            if isinstance(found, dict):
                if isinstance(found.get(_NAME), str):
                    arguments = {name: value for name, value in found.items() if not name.startswith(_INTERNAL)}
                    return ModuleCall(found[_NAME], arguments)
                waiting += found.values()
            elif isinstance(found, list):
                waiting += found
    return None


def module_fits(pattern: Pattern, call: ModuleCall | None) -> tuple[str, ...] | None:
    """Return the groups of a pattern over the name of a module, with its collection or without; None if none fits."""
    if call is None:
        return pattern.match("")
    groups = pattern.match(call.name)
    return pattern.match(call.short_name) if groups is None else groups


def argument_text(value: object) -> str:
    """Return an argument as patterns see it: texts as they are, other values as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def known_result(call: ModuleCall, *, host: str, user: str) -> dict[str, Any]:
    """Return what a module answers to whom no answer was given.

    ``win_ping`` and ``setup``, which every play needs to begin, succeed, and so does ``win_copy``, which is several
    calls. All others fail and say so.

    Args:
        call: the module.
        host: the name of the server.
        user: the name of who was delegated.
    """
    if call.short_name == "win_ping":
        return {"changed": False, "ping": call.arguments.get("data", "pong")}
    if call.short_name == "setup":
        facts = {"os_family": "Windows", "system": "Win32NT", "hostname": host, "user_id": user}
        return {"changed": False, "ansible_facts": {f"ansible_{name}": value for name, value in facts.items()}}
    if call.short_name == "win_copy":
        # What is to be copied, at first, and later that it was; between the two, Ansible sends it (`ansible_files`).
        wanted = {name: call.arguments.get(name, []) for name in ("files", "directories", "symlinks")}
        copied = {"dest": call.arguments.get("dest", ""), "operation": "file_copy"}
        return {"changed": True, **(wanted if call.arguments.get("_copy_mode") == "query" else copied)}
    message = f"this test server has no answer for the module {call.name}; write one with module = {call.short_name!r}"
    return {"changed": False, "failed": True, "msg": message}
