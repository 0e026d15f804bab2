"""``credssp gateway run`` as a process: Unix-domain sockets, workers, signals."""

from __future__ import annotations

import json
import queue
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import credssp
from credssp import PasswordCredentials, rdp
from credssp.cli import main
from credssp.tls.certificate import process_certificate

ALICE = PasswordCredentials("alice", "secret", domain="LAB")
SECONDS = 60.0


class Running:
    """A gateway, and what it tells.

    Attributes:
        told: everything that it told so far.
    """

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "credssp", "gateway", *command, "--json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self.told: list[dict[str, Any]] = []
        threading.Thread(target=self._read, daemon=True).start()
        self.listening = self.until("listening")

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.told.append(json.loads(line))
            self._lines.put(line)

    def until(self, event: str) -> dict[str, Any]:
        """Return the next event of this name."""
        while True:
            found: dict[str, Any] = json.loads(self._lines.get(timeout=SECONDS))
            if found["event"] == event:
                return found

    def end(self) -> tuple[int, str]:
        """End it as a service manager does; returns exit code and errors."""
        self.process.terminate()
        try:
            _, errors = self.process.communicate(timeout=SECONDS)
        finally:
            self.process.kill()
        return self.process.returncode, errors


@contextmanager
def running(*command: str) -> Iterator[Running]:
    made = Running(list(command))
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    made = process_certificate()
    (tmp_path / "gw.pem").write_bytes(made.chain + made.private_key.reveal())
    (tmp_path / "accounts").write_text("LAB:alice:secret\n")

    def write(listen: str, target: str = "") -> str:
        (tmp_path / "gateway.toml").write_text(
            f'[listen]\ncertificate = "gw.pem"\nusers_file = "accounts"\n{listen}\n'
            f'[[target]]\nname = "own"\naddress = "127.0.0.1:1"\nfingerprint = "{"ab" * 32}"\n{target}\n'
        )
        for path in tmp_path.iterdir():
            path.chmod(0o600)
        return str(tmp_path / "gateway.toml")

    return write


def refused(**where: Any) -> None:
    """Log on, and be refused: the target is down, or not for this user."""
    with pytest.raises(credssp.CredSSPError):
        rdp.connect(credentials=ALICE, mechanism="ntlm", **where)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_unix_socket_is_there_as_long_as_the_gateway(write: Callable[..., str], tmp_path: Path, workers: int) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with running("run", write(f'address = "unix:{path}"\nsocket_mode = "0660"\nworkers = {workers}')) as gateway:
        assert gateway.listening["address"] == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            refused(host="gateway", sock=client)
        event = gateway.until("refused")
        assert (event["peer"], event["address"], event["user"]) == ("", "", "alice")
        assert gateway.end()[0] == 0
    assert not path.exists()


def test_workers_share_a_port_and_signals_reach_all_of_them(write: Callable[..., str]) -> None:
    listen = 'address = "127.0.0.1:0"\nworkers = 2'

    def until_both(text: str) -> None:
        seen: set[int] = set()
        end = time.monotonic() + SECONDS
        while seen != {1, 2}:
            assert time.monotonic() < end, f"workers {seen} said {text}"
            refused(host="127.0.0.1", port=port)
            event = gateway.until("refused")
            if text in event["status"]["text"]:
                seen.add(event["worker"])

    with running("run", write(listen)) as gateway:
        assert gateway.listening["workers"] == 2
        port = int(gateway.listening["address"].rpartition(":")[2])
        until_both("no connection to 127.0.0.1 port 1")
        write(listen, 'users = ["LAB\\\\bob"]')
        gateway.process.send_signal(signal.SIGHUP)
        until_both("no target is meant for this user")
        code, errors = gateway.end()
        assert (code, errors) == (0, "")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


def test_a_file_that_makes_no_sense_is_told_after_sighup_and_the_old_one_stays(write: Callable[..., str]) -> None:
    listen = 'address = "127.0.0.1:0"'
    with running("run", write(listen)) as gateway:
        port = int(gateway.listening["address"].rpartition(":")[2])
        write(listen, "colour = 1")
        gateway.process.send_signal(signal.SIGHUP)
        assert gateway.process.stderr is not None
        assert "colour is not a key here" in gateway.process.stderr.readline()
        refused(host="127.0.0.1", port=port)
        assert "no connection" in gateway.until("refused")["status"]["text"]


@pytest.mark.parametrize("listen", ['address = "127.0.0.1:0"', 'address = "unix:{path}"'])
def test_nothing_is_opened_before_all_files_are_read(
    write: Callable[..., str], listen: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(listen.format(path=tmp_path / "s") + '\nkey = "gw.key"')
    assert main(["gateway", "run", file]) == 2
    assert "gw.key" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def test_groups_of_the_domain_need_winbindd(
    write: Callable[..., str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise credssp.LocalProtocolError("winbindd does not answer")

    monkeypatch.setattr("credssp.drivers.winbind.WinbindAuthority", missing)
    monkeypatch.setattr("credssp.gateway.service.WinbindAuthority", missing)
    file = write('address = "127.0.0.1:0"\nwinbind = true', 'users = ["group:LAB\\\\Staff"]')
    for command in ("check", "run", "explain"):
        assert main(["gateway", command, file]) == 2
        assert "winbindd does not answer" in capsys.readouterr().err
