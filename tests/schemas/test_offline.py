"""What the commands print that need no server: demo, status, policy, conformance."""

from __future__ import annotations

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from credssp import MemoryAccounts
from credssp.cli import main
from credssp.testing import RDPServer
from tests.schemas.checking import BY_KERBEROS, OTHER_CREDENTIALS, check

ROOT = Path(__file__).parents[2]


def run(*words: str) -> Any:
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(io.StringIO()):
        main(words)
    return json.loads(out.getvalue())


def test_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [run("demo", "--json", *options) for options in (["--mechanism", "negotiate"], ["--version", "2"])]
    monkeypatch.setattr("credssp.cli._demo_run.MemoryAccounts", lambda accounts: MemoryAccounts({}))
    runs.append(run("demo", "--json"))
    check([*OTHER_CREDENTIALS, *BY_KERBEROS], demo=runs)


@pytest.mark.parametrize("numbers", [["5", "0xC000006E", "0xC0009999", "%%2313"]])
def test_status(numbers: list[str]) -> None:
    words = [*([number] for number in numbers), ["nonsense"], ["logon", "failure"], ["SEC_E_LOGON_DENID"]]
    found = [run("status", "--json", *each) for each in words]
    check(status=found)


def test_policy(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(
        '[AllowFreshCredentials]\nstate = "enabled"\nservers = ["HTTP/*"]\n[Unknown]\nstate = "enabled"\n',
        encoding="utf-8",
    )
    check(
        policy_check=[
            run("policy", "check", "--json", "TERMSRV/srv.lab.test"),
            run("policy", "check", "--json", "HTTP/srv.lab.test", "--level", "none", "--mode", "restricted-admin"),
        ]
    )


def test_conformance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDSSP_PASSWORD", "correct horse")
    quick = ("--json", "-u", "alice", "-d", "LAB", "--rule", "CSSP-VER-0*", "--rule", "CSSP-TSREQ-03", "--timeout", "2")
    client = f"{sys.executable} -m credssp login rdp://{{host}}:{{port}} -u 'LAB\\alice' --mechanism ntlm"
    expected = tmp_path / "expected.toml"
    expected.write_text('[expected]\n"CSSP-VER-0*" = "an old server"\n', encoding="utf-8")
    with RDPServer({("LAB", "alice"): "correct horse"}, min_version=2, max_version=4) as server:
        url = f"rdp://127.0.0.1:{server.port}"
        reports = [run("conformance", "server", url, *quick, "--expected", str(expected), "--repeat", "2")]
    reports += [
        run("conformance", "server", url, *quick),  # there is nobody any more
        run("conformance", "client", *quick, "--exec", client),
        run("conformance", "fixtures", str(ROOT / "fixtures"), "--json", "--rule", "CSSP-VER-0*"),
    ]
    check(conformance=reports)


def test_rules_and_vectors() -> None:
    rules, vectors = run("conformance", "--list", "--json"), run("conformance", "vectors")
    assert vectors["rules"] == rules
    explained = run("conformance", "rule", "CSSP-*", "--json")
    check(conformance_list=[rules], conformance_rule=[explained], conformance_vectors=[vectors])
