"""Judging CredSSP clients, servers and recorded exchanges by a catalogue of rules.

In a test suite of your own::

    from credssp.conformance import Account, RdpServerTarget, check_server

    def test_my_server_conforms():
        target = RdpServerTarget("127.0.0.1", 3389, Account("alice", "secret", "LAB"))
        report = check_server(target)
        assert report.ok, report.explain()

A server or client without sockets needs an adapter of four methods (`MemoryPeer`). `check_server` and `check_client`
take a function that makes one for a `Setup`, or a `MemoryServerTarget` or `MemoryClientTarget` around it. The names are
loaded when they are first used: reading fixtures needs none of it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from credssp.conformance.catalogue import CATALOGUE
    from credssp.conformance.expected import load_expected
    from credssp.conformance.http import HttpServerTarget
    from credssp.conformance.links import MemoryPeer
    from credssp.conformance.memory import MemoryClientTarget, MemoryServerTarget
    from credssp.conformance.rdp import CommandTarget, RdpServerTarget
    from credssp.conformance.result import Report, Result
    from credssp.conformance.rule import Level, Outcome, Role, Rule, Skipped, Verdict
    from credssp.conformance.runner import (
        check_client,
        check_exchanges,
        check_server,
        exchanges_in,
    )
    from credssp.conformance.server_program import ServerProgram
    from credssp.conformance.setup import Setup
    from credssp.conformance.vectors import all_vectors
    from credssp.exchange.account import LogonAccount as Account

__all__ = [
    "CATALOGUE",
    "Account",
    "CommandTarget",
    "HttpServerTarget",
    "Level",
    "MemoryClientTarget",
    "MemoryPeer",
    "MemoryServerTarget",
    "Outcome",
    "RdpServerTarget",
    "Report",
    "Result",
    "Role",
    "Rule",
    "ServerProgram",
    "Setup",
    "Skipped",
    "Verdict",
    "all_vectors",
    "check_client",
    "check_exchanges",
    "check_server",
    "exchanges_in",
    "load_expected",
]

_HOMES: Final = {
    "catalogue": ("CATALOGUE",),
    "expected": ("load_expected",),
    "http": ("HttpServerTarget",),
    "links": ("MemoryPeer",),
    "memory": ("MemoryClientTarget", "MemoryServerTarget"),
    "rdp": ("CommandTarget", "RdpServerTarget"),
    "rule": ("Level", "Outcome", "Role", "Rule", "Skipped", "Verdict"),
    "result": ("Report", "Result"),
    "runner": ("check_client", "check_exchanges", "check_server", "exchanges_in"),
    "server_program": ("ServerProgram",),
    "setup": ("Setup",),
    "vectors": ("all_vectors",),
}
_MODULES: Final = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Load a name when it is first used."""
    if name == "Account":
        from credssp.exchange.account import LogonAccount

        return LogonAccount
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
