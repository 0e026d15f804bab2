"""What ``credssp login``, ``probe``, ``report`` and ``doctor`` print of good and bad servers."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from credssp.cli import main
from credssp.context.probing import ProbeReport
from credssp.fleet.probing import not_probed
from credssp.kerberos import pyspnego
from credssp.rdp import Protocol
from credssp.testing import RDPServer
from credssp.testing.winrm import WinRMServer
from credssp.tls.certificate import load_certificate, process_certificate
from credssp.tls.settings import ServerTLS
from credssp.winrm.probe import WinRMReport
from tests.diagnosis.setups import certificate, closed_port, no_nla, web_server
from tests.schemas.checking import BY_KERBEROS, check, lines

PASSWORD = "correct horse"
ACCOUNTS = {("LAB", "alice"): PASSWORD}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CREDSSP_PASSWORD", PASSWORD)
    monkeypatch.setattr(pyspnego, "kerberos_missing", lambda: "Kerberos needs gssapi")
    monkeypatch.setenv("KRB5_CONFIG", str(tmp_path / "krb5.conf"))


def run(*words: str) -> str:
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(io.StringIO()):
        main(words)
    return out.getvalue()


def rdp(server: RDPServer) -> str:
    return f"rdp://127.0.0.1:{server.port}"


def login(url: str, *options: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("login", url, "-u", "LAB\\alice", "--mechanism", "ntlm", "--json", *options))
    return found


def test_login(monkeypatch: pytest.MonkeyPatch) -> None:
    def all_logins() -> Iterator[dict[str, Any]]:
        with RDPServer(ACCOUNTS) as server:
            yield login(rdp(server))
            yield login(rdp(server), "--restricted-admin")
            yield login(rdp(server), "--fingerprint", "00" * 32)
            with monkeypatch.context() as patched:
                patched.setenv("CREDSSP_PASSWORD", "wrong")
                yield login(rdp(server))
                words = ("login", rdp(server), "rdp://127.0.0.1:1", "-u", "LAB\\alice", "--mechanism", "ntlm", "--json")
                yield from lines(run(*words, "--concurrency", "1"))
        with RDPServer(ACCOUNTS, protocols=Protocol.HYBRID) as server:
            yield login(rdp(server))
        with RDPServer(ACCOUNTS, min_version=2, max_version=4) as server:
            yield login(rdp(server))
        yield login(f"rdp://127.0.0.1:{closed_port()}")
        with WinRMServer(ACCOUNTS) as winrm:
            yield login(winrm.url)
            with monkeypatch.context() as patched:
                patched.setenv("CREDSSP_PASSWORD", "wrong")
                yield login(winrm.url)
        with WinRMServer(ACCOUNTS, https=True) as winrm:
            assert winrm.certificate is not None
            yield login(winrm.url, "--cacert", str(winrm.certificate))
        yield login(f"http://127.0.0.1:{closed_port()}")

    outcomes = list(all_logins())
    check(BY_KERBEROS, login=outcomes)
    for outcome in outcomes:
        if outcome["outcome"] == "not_tried":
            continue
        status = outcome["status"]
        assert (status["code"] == 0) == outcome["accepted"]
        assert status["text"] != status["advice"]
        assert status["advice"] not in status["text"]


WEAK = {"old_tls": {"TLSv1": "AES128-SHA"}, "weak_cipher": "RC4-MD5", "tls_error": "no TLS version in common"}
HTTPS = {"https_version": "TLSv1.2", "https_old": WEAK["old_tls"], "https_weak_cipher": "RC4-MD5"}


def old_servers(patch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Servers as the probes report them that take ciphers which OpenSSL has no more on many machines."""

    async def rdp_report(*_: Any, **__: Any) -> ProbeReport:
        return ProbeReport("192.0.2.1", 3389, protocols={"SSL": "accepted"}, **WEAK)

    def winrm_report(*_: Any, **__: Any) -> WinRMReport:
        return WinRMReport("192.0.2.1", 5986, https_certificate=process_certificate().der, **HTTPS)

    patch.setattr("credssp.fleet.probing.rdp_probe.probe", rdp_report)
    patch.setattr("credssp.fleet.probing.winrm_probe.probe", winrm_report)
    for url in ("rdp://192.0.2.1", "https://192.0.2.1"):
        yield from lines(run("probe", url, "--json"))


def probes(folder: Path) -> Iterator[dict[str, Any]]:
    def probe(url: str) -> dict[str, Any]:
        (facts,) = lines(run("probe", url, "--json", "--timeout", "5"))
        return dict(facts)

    with RDPServer(ACCOUNTS) as server:
        yield probe(rdp(server))
    with RDPServer(ACCOUNTS, min_version=2, max_version=4, mechanisms=["ntlm"]) as server:
        yield probe(rdp(server))
    with no_nla(certificate(folder)) as port:
        yield probe(f"rdp://127.0.0.1:{port}")
    yield probe(f"rdp://127.0.0.1:{closed_port()}")
    with web_server() as port:
        yield probe(f"rdp://127.0.0.1:{port}")
        yield probe(f"http://127.0.0.1:{port}")
    with WinRMServer(ACCOUNTS) as winrm:
        yield probe(winrm.url)
    with WinRMServer(ACCOUNTS, https=True) as winrm:
        yield probe(winrm.url)
    yield not_probed("rdp://192.0.2.1:3389", "RuntimeError: this is a bug", advice="Report it.")


def advice_in(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip().startswith("->")]


def test_probe_and_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = list(probes(tmp_path))
    with monkeypatch.context() as patched:
        found += old_servers(patched)
    before, now = tmp_path / "before.jsonl", tmp_path / "now.jsonl"
    before.write_text("".join(json.dumps(each) + "\n" for each in found), encoding="utf-8")
    for each in found:
        assert each["error"] is None or each["error"]["advice"] not in each["error"]["text"]
    again = lines(run("report", str(before), "--json"))
    assert again == found
    shown = run("report", str(before), "--text")
    older = before.read_text(encoding="utf-8").replace('"advice": ', '"do": ')
    (tmp_path / "older.jsonl").write_text(older, encoding="utf-8")
    assert advice_in(run("report", str(tmp_path / "older.jsonl"), "--text")) == advice_in(shown) != []
    resumed = tmp_path / "run.jsonl"
    with RDPServer(ACCOUNTS) as server:
        printed = lines(run("probe", rdp(server), "--json", "--resume", str(resumed)))
    assert lines(resumed.read_text(encoding="utf-8")) == printed
    other = dict(found[1], target=found[0]["target"])
    now.write_text("".join(json.dumps(each) + "\n" for each in (other, *printed)), encoding="utf-8")
    changes = lines(run("report", str(before), str(now), "--json"))
    assert {change["change"] for change in changes} == {"new", "gone", "changed"}
    check(probe=[*found, *printed], report=changes)


def test_doctor(tmp_path: Path) -> None:
    pem = certificate(tmp_path, days=(-400, -30))
    (tmp_path / "policy.toml").write_text('[allow_fresh_credentials]\nservers = ["TERMSRV/other"]\n', encoding="utf-8")

    def doctor(*words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(run("doctor", "--json", *words))
        return found

    def all_reports() -> Iterator[dict[str, Any]]:
        yield doctor()
        yield doctor(f"rdp://127.0.0.1:{closed_port()}")
        with RDPServer(ACCOUNTS) as server:
            yield doctor(rdp(server))
            yield doctor(rdp(server), "--realm", "NOWHERE.TEST")
        with RDPServer(ACCOUNTS, certificate=load_certificate(pem), tls=ServerTLS(maximum="1.2")) as server:
            yield doctor(rdp(server))
        with WinRMServer(ACCOUNTS) as winrm:
            yield doctor(winrm.url)

    check(doctor=all_reports())
