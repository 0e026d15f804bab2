"""Set-ups that are broken in one way each: ``doctor`` names the fault in one sentence, ``probe`` as a finding."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from credssp.cli import main
from credssp.config import Timeouts
from credssp.drivers.blocking import open_socket
from credssp.drivers.winrm_probe import _offer_old
from credssp.testing import RDPServer
from credssp.tls.certificate import load_certificate
from credssp.winrm.probe import WinRMReport
from tests.diagnosis.setups import certificate, closed_port, doctor, no_nla, probe, web_server
from tests.peers import missing, require_program
from tests.tls.test_hello import openssl


@pytest.fixture(autouse=True)
def no_kerberos(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the machine's realm out of it."""
    monkeypatch.setenv("KRB5_CONFIG", str(tmp_path / "krb5.conf"))
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{tmp_path / 'nobody.ccache'}")


def test_a_healthy_server_has_no_errors(capsys: pytest.CaptureFixture[str]) -> None:
    with RDPServer() as server:
        code, report = doctor(capsys, f"rdp://localhost:{server.port}")
        found = probe(capsys, f"localhost:{server.port}")
    assert code == 0
    assert report["conclusion"]["text"] == "Nothing is wrong."
    assert report["conclusion"]["command"].startswith(f"credssp login rdp://localhost:{server.port} ")
    assert {each["severity"] for each in found.values()} <= {"note"}
    states = {step["step"]: step["state"] for step in report["steps"]}
    for name in ("name", "tcp", "answer", "negotiation", "nla", "tls", "credssp", "names", "clock", "policy"):
        assert states[name] == "ok", name
    assert all(step["seconds"] >= 0 for step in report["steps"])


def test_dead_port(capsys: pytest.CaptureFixture[str]) -> None:
    port = closed_port()
    for scheme in ("rdp", "http", "https"):
        code, report = doctor(capsys, f"{scheme}://127.0.0.1:{port}")
        assert code == 3
        assert report["conclusion"]["id"] == "port-closed"
        assert report["conclusion"]["text"] == f"Nothing listens on 127.0.0.1 port {port}: the connection was refused."
        skipped = {step["step"] for step in report["steps"] if step["state"] == "skipped"}
        assert {"answer", "negotiation", "tls", "certificate", "credssp"} <= skipped
        assert list(probe(capsys, f"{scheme}://127.0.0.1:{port}")) == ["port-closed"]


def test_wrong_name(capsys: pytest.CaptureFixture[str]) -> None:
    for scheme in ("rdp", "http"):
        code, report = doctor(capsys, f"{scheme}://no-such-host.invalid")
        assert code == 3
        assert report["conclusion"]["id"] == "name-unknown"
        assert report["conclusion"]["text"] == "The name no-such-host.invalid has no address."
        assert list(probe(capsys, f"{scheme}://no-such-host.invalid")) == ["name-unknown"]


def test_http_on_the_port(capsys: pytest.CaptureFixture[str]) -> None:
    with web_server() as port:
        code, report = doctor(capsys, f"rdp://127.0.0.1:{port}", "--timeout", "2")
        seen = probe(capsys, f"127.0.0.1:{port}", "--timeout", "2")
    assert code == 3
    assert report["conclusion"]["id"] == "other-protocol"
    assert report["conclusion"]["text"] == f"127.0.0.1 port {port} speaks HTTP, not RDP."
    # It waits for the end of a line that X.224 has not, and a probe asks one question only.
    assert list(seen) == ["silent"]


def test_web_server_that_is_not_winrm(capsys: pytest.CaptureFixture[str]) -> None:
    with web_server() as port:
        code, report = doctor(capsys, f"http://127.0.0.1:{port}")
        over_tls, https = doctor(capsys, f"https://127.0.0.1:{port}", "--timeout", "3")
        seen = probe(capsys, f"http://127.0.0.1:{port}")
    assert (code, over_tls) == (3, 3)
    assert "HTTP 501 (Not Implemented)" in report["conclusion"]["text"]
    assert https["conclusion"]["text"] == f"127.0.0.1 port {port} speaks HTTP, not WinRM over https."
    assert list(seen) == ["other-protocol"]


def test_rdp_where_winrm_is_expected(capsys: pytest.CaptureFixture[str]) -> None:
    with RDPServer() as server:
        code, report = doctor(capsys, f"http://127.0.0.1:{server.port}", "--timeout", "3")
    assert code == 3
    assert report["conclusion"]["text"] == f"127.0.0.1 port {server.port} speaks RDP, not WinRM over http."


def test_silent_port(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        for scheme in ("rdp", "http", "https"):
            code, report = doctor(capsys, f"{scheme}://127.0.0.1:{port}", "--timeout", "0.3")
            assert (code, report["conclusion"]["id"]) == (3, "silent"), scheme
        assert list(probe(capsys, f"127.0.0.1:{port}", "--timeout", "0.3")) == ["silent"]


def test_no_nla(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with no_nla(certificate(tmp_path)) as port:
        code, report = doctor(capsys, f"rdp://127.0.0.1:{port}", "--timeout", "10")
        found = probe(capsys, f"127.0.0.1:{port}", "--timeout", "10")
    assert code == 1
    assert report["conclusion"]["id"] == "nla-missing"
    assert report["conclusion"]["text"] == (
        "The server takes TLS, and not CredSSP (HYBRID: it takes TLS only (without CredSSP, if that was asked for) "
        "(SSL_REQUIRED_BY_SERVER, 1))."
    )
    assert found["nla-missing"]["severity"] == "error"
    assert "standard-rdp-security" not in found


def test_standard_rdp_security(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with no_nla(certificate(tmp_path), rdp_too=True) as port:
        found = probe(capsys, f"127.0.0.1:{port}", "--timeout", "10")
    assert found["standard-rdp-security"]["severity"] == "error"
    assert "TLS and standard RDP security" in found["nla-missing"]["seen"]


def test_credssp_version_4(capsys: pytest.CaptureFixture[str]) -> None:
    with RDPServer(min_version=2, max_version=4) as server:
        code, report = doctor(capsys, f"rdp://127.0.0.1:{server.port}")
        found = probe(capsys, f"127.0.0.1:{server.port}")
    assert code == 1
    assert report["conclusion"]["id"] == "credssp-old"
    assert report["conclusion"]["text"] == "The server has CredSSP version 4, to which CVE-2018-0886 applies."
    assert found["credssp-old"]["severity"] == "error"


def test_expired_certificate(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pem = certificate(tmp_path, days=(-100, -10.5))
    with RDPServer(certificate=load_certificate(pem)) as server:
        code, report = doctor(capsys, f"rdp://localhost:{server.port}")
        found = probe(capsys, f"localhost:{server.port}")
    assert code == 1
    assert report["conclusion"]["id"] == "cert-expired"
    assert report["conclusion"]["text"].startswith("The certificate expired on ")
    assert report["conclusion"]["text"].endswith(", 10 days ago.")
    assert found["cert-expired"]["severity"] == "error"


@pytest.mark.parametrize(("offset", "word"), [("+1h", "slower than"), ("-1h", "ahead of")])
def test_clock_off_by_an_hour(offset: str, word: str) -> None:
    # To a slow clock the server's certificate, made a moment ago, is not valid yet: the clock is what is wrong.
    command = [require_program("faketime"), "-f", offset, sys.executable, "-m", "credssp"]
    with RDPServer() as server:
        url = f"rdp://localhost:{server.port}"
        outputs = [
            subprocess.run(
                [*command, name, "--json", url], capture_output=True, text=True, timeout=60, check=False
            ).stdout
            for name in ("doctor", "probe")
        ]
    report, facts = map(json.loads, outputs)
    assert report["conclusion"]["exit_code"] == 1
    assert report["conclusion"]["id"] == "clock-skew"
    assert f" {word} this one." in report["conclusion"]["text"]
    seconds = int(report["conclusion"]["text"].partition(" clock is ")[2].partition(" s ")[0])
    assert 3540 <= seconds <= 3660
    assert "clock-skew" in [found["id"] for found in facts["findings"] if found["severity"] == "error"]


_IN_A_NETWORK = """
set -e
ip link set lo up
ip addr add 192.0.2.9/32 dev lo
ip addr add 192.0.2.11/32 dev lo
ip route add prohibit 192.0.2.10/32
nft -f - <<end
table inet firewall {
  chain input {
    type filter hook input priority 0; policy accept;
    ip daddr 192.0.2.9 tcp dport 3389 drop
    ip daddr 192.0.2.11 tcp dport 3389 tcp flags & psh == psh drop
  }
}
end
exec "$0" -c "$1"
"""
_ASK = """
import contextlib, io, json, socket
from credssp.cli import main

listener = socket.create_server(("", 3389))

def ask(*arguments):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = main(list(arguments))
    return code, json.loads(out.getvalue())

for host in ("192.0.2.9", "192.0.2.10", "192.0.2.11"):
    code, report = ask("doctor", "--json", "--timeout", "1", f"rdp://{host}")
    _, facts = ask("probe", "--json", "--timeout", "1", f"rdp://{host}")
    print(json.dumps([code, report["conclusion"], [found["id"] for found in facts["findings"]]]))
"""


def test_packets_that_are_dropped(tmp_path: Path) -> None:
    """A firewall drops all that goes to a port, or what goes there after the connection is there."""
    for needed in ("unshare", "ip", "nft"):
        require_program(needed)
    if subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode:
        missing("needs the right to make a network namespace")
    command = ["unshare", "-n", "sh", "-c", _IN_A_NETWORK, sys.executable, _ASK]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    (code, dropped, probed), (refused_code, refused, refused_probed), later = map(json.loads, done.stdout.splitlines())
    assert (code, dropped["id"], probed) == (3, "no-answer", ["no-answer"])
    assert dropped["text"] == (
        "Nothing came back from 192.0.2.9 port 3389: packets are dropped, or the machine is off."
    )
    assert (refused_code, refused["id"], refused_probed) == (3, "unreachable", ["unreachable"])
    assert (later[0], later[1]["id"], later[2]) == (3, "silent", ["silent"])


def test_certificate_of_another_authority(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pem = certificate(tmp_path, issuer=True)
    other = tmp_path / "other"
    other.mkdir()
    certificate(other, issuer=True)
    with RDPServer(certificate=load_certificate(pem)) as server:
        url = f"rdp://localhost:{server.port}"
        assert doctor(capsys, url, "--cacert", str(tmp_path / "ca.pem"))[0] == 0
        code, report = doctor(capsys, url, "--cacert", str(other / "ca.pem"))
        pinned, _ = doctor(capsys, url, "--fingerprint", "00" * 32)
    assert (code, pinned) == (1, 1)
    assert report["conclusion"]["id"] == "cert-untrusted"


def test_policy_that_refuses(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('[DenyFreshCredentials]\nstate = "enabled"\nservers = ["TERMSRV/localhost"]\n')
    with RDPServer() as server:
        code, report = doctor(capsys, f"rdp://localhost:{server.port}", "--policy", str(policy))
    assert (code, report["conclusion"]["id"]) == (4, "policy-refuses")
    assert report["conclusion"]["command"] == "credssp policy check TERMSRV/localhost"


@pytest.mark.parametrize(
    "arguments",
    [
        ["gopher://host"],
        ["rdp://host", "--fingerprint", "abc"],
        ["rdp://host", "--cacert", "/nonexistent"],
        ["--cacert", "/nonexistent"],
        ["http://host", "--cookie", "alice"],
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(["doctor", *arguments]) == 2
    assert capsys.readouterr().err.startswith("credssp doctor: ")


def test_https_with_nothing_but_old_tls(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with openssl(tmp_path, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0") as port:
        url = f"https://127.0.0.1:{port}"
        code, report = doctor(capsys, url, "--timeout", "10")
        assert list(probe(capsys, url, "--timeout", "10")) == ["tls-failed"]
    assert (code, report["conclusion"]["id"]) == (1, "tls-failed")
    assert (
        f"127.0.0.1 port {port} takes the connection, and the TLS handshake of https fails"
        in (report["conclusion"]["text"])
    )


def test_https_with_old_tls_too(tmp_path: Path) -> None:
    # An https service that is not WinRM: what its TLS takes does not depend on that.
    with openssl(tmp_path, "-www", "-cipher", "ALL:COMPLEMENTOFALL:@SECLEVEL=0") as port:
        made = WinRMReport("127.0.0.1", port)
        timeouts = Timeouts(connect=10, leg=10, login=30)
        _offer_old(made, lambda: open_socket("127.0.0.1", port, timeouts=timeouts), timeouts)
    assert set(made.https_old) == {"TLSv1", "TLSv1.1"}
    assert made.https_weak_cipher


def test_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    port = closed_port()
    assert main(["doctor", f"rdp://127.0.0.1:{port}"]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"rdp://127.0.0.1:{port}"
    assert lines[-1] == f"Next: nmap -Pn -p 3389,5985,5986,{port} 127.0.0.1"
    assert "Nothing is wrong" not in "\n".join(lines)
