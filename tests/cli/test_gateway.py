"""``credssp gateway``: what it says of a configuration, and wrong usage."""

from __future__ import annotations

from pathlib import Path

import pytest

from credssp.cli import main
from credssp.tls.certificate import process_certificate

PIN = "ab" * 32


@pytest.fixture
def file(tmp_path: Path) -> str:
    made = process_certificate()
    (tmp_path / "gw.pem").write_bytes(made.chain + made.private_key.reveal())
    (tmp_path / "accounts").write_text("LAB:alice:secret\n")
    target = f'address = "127.0.0.1:1"\nfingerprint = "{PIN}"\n'
    (tmp_path / "gateway.toml").write_text(
        '[listen]\naddress = "127.0.0.1:0"\ncertificate = "gw.pem"\nusers_file = "accounts"\n'
        f'[[target]]\nname = "own"\nusers = ["LAB\\\\alice"]\n{target}'
        f'[[target]]\nname = "office"\ntokens = ["office"]\n{target}'
    )
    for path in tmp_path.iterdir():
        path.chmod(0o600)
    return str(tmp_path / "gateway.toml")


def test_explain_names_the_target_and_why_not_the_others(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gateway", "explain", file, "--user", "lab\\alice", "--token", "office"]) == 0
    assert capsys.readouterr().out == "own: chosen: 127.0.0.1:1, credentials delegated\noffice: not reached\n"
    assert main(["gateway", "explain", file, "--user", "LAB\\bob"]) == 1
    out = capsys.readouterr().out
    assert out == "own: no: the user does not fit\noffice: no: the token does not fit\nrefused: no target fits\n"


def test_check_names_a_target_that_does_not_answer(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gateway", "check", file]) == 1
    out = capsys.readouterr().out
    assert "2 targets" in out
    assert "office: 127.0.0.1:1: no connection to 127.0.0.1 port 1" in out


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["run", "/nonexistent.toml"], "/nonexistent.toml cannot be read: No such file or directory"),
        (["check", "/dev/null"], "/dev/null: [listen] is missing"),
        (["front", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--users-file", "a"], "or cacert is missing"),
        (["front", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--fingerprint", PIN], "no user could log on"),
        (
            ["front", "--listen", "127.0.0.1:0", "--to", "192.0.2.1:1", "--plain", "--users-file", "a"],
            "only for a Unix",
        ),
        (["front", "--listen", "here", "--to", "127.0.0.1:1", "--users-file", "a"], "address is HOST:PORT"),
        (
            [
                "back",
                "--listen",
                "127.0.0.1:0",
                "--to",
                "h:1",
                "-u",
                "a",
                "--password-file",
                "/none",
                "--fingerprint",
                PIN,
            ],
            "target server: as: the password file /none cannot be read",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(words: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gateway", *words]) == 2
    assert text in capsys.readouterr().err


def test_an_address_that_is_taken_is_named(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = Path(file)
        taken.write_text(taken.read_text().replace('"127.0.0.1:0"', f'"127.0.0.1:{listener.getsockname()[1]}"'))
        assert main(["gateway", "run", file]) == 1
    assert "Address already in use" in capsys.readouterr().err


def test_silent_connections_and_refusals_are_told_as_by_serve(file: str) -> None:
    import json
    import socket
    import subprocess
    import sys
    import time

    import credssp
    from credssp import rdp

    command = [sys.executable, "-m", "credssp", "gateway", "run", file, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            host, _, port = json.loads(process.stdout.readline())["address"].rpartition(":")
            socket.create_connection((host, int(port))).close()
            bob = credssp.PasswordCredentials("bob", "secret", domain="LAB")
            with pytest.raises(credssp.PeerRefusedError):
                rdp.connect(host, int(port), credentials=bob)
            time.sleep(0.3)
        finally:
            process.terminate()
            events = [json.loads(line) for line in process.stdout.read().splitlines()]
    found = {event["event"]: event for event in events}
    assert [event["event"] for event in events if event["event"] != "silent"] == ["negotiated", "refused", "closed"]
    assert (found["silent"]["connections"], found["silent"]["reasons"]) == (1, {"closed": 1})
    assert (found["refused"]["user"], found["refused"]["wrong"], found["refused"]["tls"]) == ("bob", "name", "TLSv1.3")
