"""Every command piped into a program that reads no more ends silently; ``-v`` and ``-p``."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from credssp.cli import COMMANDS, main
from credssp.testing import RDPServer

CAPTURE = str(Path(__file__).parents[2] / "fixtures" / "xfreerdp-2.11.7-capture-accepted")
COMMAND_LINES = {
    "login": ["login", "rdp://127.0.0.1:1", "-u", "alice", "--json"],
    "probe": ["probe", "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "--json"],
    "report": ["report", "@", "--csv"],
    "completion": ["completion", "bash"],
    "demo": ["demo"],
    "status": ["status", "5"],
    "decode": ["decode", "300da003020106a4060204c000006d"],
    "dissect": ["dissect", CAPTURE],
    "doctor": ["doctor", "--timeout", "1"],
    "conformance": ["conformance", "--list"],
    "policy": ["policy", "check", "TERMSRV/srv"],
    "schema": ["schema", "login"],
    "gateway": [
        "gateway", "back", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "-u", "LAB\\alice", "--password-file", "+",
        "--fingerprint", "ab" * 32,
    ],
    "agent": ["agent", "--", sys.executable, "-m", "credssp", "status", "5"],
    "serve": ["serve", "rdp", "--listen", "127.0.0.1:0", "--user", "a:b"],
}  # fmt: skip


def test_every_command_is_in_the_table() -> None:
    # argparse prints help, and does not mind that a pipe is closed.
    assert set(COMMAND_LINES) == set(COMMANDS) - {"help"}


@pytest.mark.parametrize("command", COMMAND_LINES)
def test_a_closed_pipe_ends_a_command_silently(command: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")
    (tmp_path / "password").chmod(0o600)
    (tmp_path / "results").write_text('{"target": "rdp://127.0.0.1:1"}\n')
    words = [word.replace("+", str(tmp_path / "password")) for word in COMMAND_LINES[command]]
    words = [str(tmp_path / "results") if word == "@" else word for word in words]
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "credssp", *words],
            stdout=writing,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "CREDSSP_PASSWORD": "secret"},
            timeout=60,
            check=False,
        )
    finally:
        os.close(writing)
    assert b"Traceback" not in done.stderr
    assert b"Error" not in done.stderr
    assert done.returncode == 141


LEG = re.compile(
    r"leg +(?P<number>\d+|-)  (?P<way>client [<-][->] server|) +(?:(?P<size>\d+) bytes)? +(?P<time>\d+\.\d{3}) ms  "
    r"(?P<content>.*)"
)


def legs_of(text: str) -> list[re.Match[str]]:
    found = [LEG.fullmatch(line) for line in text.splitlines() if line.startswith("leg ")]
    legs = [leg for leg in found if leg is not None]
    assert len(legs) == len(found), text
    return legs


def test_verbose_shows_the_legs_of_a_login_over_rdp(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CREDSSP_PASSWORD", "correct horse")
    with RDPServer({("LAB", "alice"): "correct horse"}) as server:
        assert main(["login", f"rdp://127.0.0.1:{server.port}", "-u", "LAB\\alice", "-v", "--json"]) == 0
    out, err = capsys.readouterr()
    legs = legs_of(err)
    assert legs[0]["content"] == "connected"
    contents = [leg["content"] for leg in legs]
    assert contents[1].startswith("X.224 Connection Request  [SEC_I_CONTINUE_NEEDED 0x00090312]")
    assert contents[2] == "X.224 Connection Confirm, HYBRID_EX"
    assert contents[3].startswith("TLS handshake")
    assert [leg["way"] for leg in legs[1:3]] == ["client -> server", "client <- server"]
    assert [leg["size"] for leg in legs[1:3]] == ["43", "19"]
    # The numbers are those of docs/how-to/test-any-client.md.
    numbered = {leg["number"]: leg["content"] for leg in legs if leg["number"] != "-"}
    assert list(numbered) == ["1", "2", "3", "4", "5"]
    assert "TSRequest, version 6: negoTokens (NTLM AUTHENTICATE), pubKeyAuth" in numbered["3"]
    assert numbered["5"] == "TSRequest, version 6: authInfo  [SEC_E_OK 0x00000000]"
    assert contents[-1] == "Early User Authorization Result AUTHZ_SUCCESS"
    # Each time is that since the leg before, so that together they are no more than the whole login.
    assert 0 < sum(float(leg["time"]) for leg in legs) / 1000 <= json.loads(out)["seconds"] + 0.001
    assert "correct horse" not in out + err


@pytest.mark.parametrize("password", ["correct horse", "wrong"])
def test_verbose_shows_the_legs_of_a_login_over_winrm(
    password: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("uvicorn")
    from credssp.testing.winrm import WinRMServer

    monkeypatch.setenv("CREDSSP_PASSWORD", password)
    with WinRMServer({("LAB", "alice"): "correct horse"}) as server:
        code = main(["login", f"http://127.0.0.1:{server.port}", "-u", "LAB\\alice", "-v"])
    out, err = capsys.readouterr()
    contents = [leg["content"] for leg in legs_of(err)]
    assert contents[:2] == ["connected", "HTTP 401, which offers CredSSP"]
    assert contents[3] == "HTTP 401; TLS handshake"
    if password == "wrong":
        assert code == 1
        assert contents[-1].startswith("HTTP 401; TSRequest, version 6: errorCode STATUS_LOGON_FAILURE 0xC000006D")
        assert "[STATUS_LOGON_FAILURE 0xC000006D]" in contents[-1]
    else:
        assert code == 0
        assert contents[-1] == "HTTP 200"
    assert password not in out + err or password == "wrong"


def test_verbose_shows_the_legs_of_a_probe(capsys: pytest.CaptureFixture[str]) -> None:
    with RDPServer({("LAB", "alice"): "correct horse"}) as server:
        assert main(["probe", f"127.0.0.1:{server.port}", "-v"]) == 0
    err = capsys.readouterr().err
    assert f"127.0.0.1 port {server.port}: client ->  X.224, 19 bytes; <- server  X.224, 19 bytes" in err
    assert "TLS" in err


@pytest.mark.parametrize("words", [["-p", "hunter2"], ["-phunter2"], ["--password", "hunter2"], ["-p"]])
def test_a_password_on_the_command_line_is_refused_with_a_reason(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["login", "rdp://127.0.0.1:1", "-u", "alice", *words])
    err = capsys.readouterr().err
    assert "other users of this machine can see a command line" in err
    assert "--password-file" in err
    assert "hunter2" not in err


def test_a_dead_port_is_what_doctor_reports_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "rdp://127.0.0.1:1", "--timeout", "2"]) == 3  # the way to the server
    out = capsys.readouterr().out
    (bad,) = (line for line in out.splitlines() if line.startswith("failed"))
    assert " ".join(bad.split()[3:]) == "tcp no connection to 127.0.0.1 port 1: Connection refused"
    assert "Nothing is wrong" not in out


def test_doctor_says_that_the_port_is_open(capsys: pytest.CaptureFixture[str]) -> None:
    with RDPServer({("LAB", "alice"): "correct horse"}) as server:
        main(["doctor", f"rdp://127.0.0.1:{server.port}", "--timeout", "2"])
    lines = capsys.readouterr().out.splitlines()
    (tcp,) = (line for line in lines if line.split()[3:4] == ["tcp"])
    assert tcp.startswith("ok ")
    assert f"port {server.port} takes connections" in tcp
