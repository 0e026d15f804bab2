"""SSLKEYLOGFILE: who honours it, that the file is its owner's alone, and that one warning says so."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from credssp import ClientTLS, LocalProtocolError, MemoryAccounts, PasswordCredentials, rdp
from credssp.cli import main
from credssp.dissect.tls.keylog import Secrets
from credssp.testing import RDPServer
from credssp.tls import key_log
from credssp.tls.certificate import generate_certificate
from credssp.tls.settings import ServerTLS, client_context, server_context
from tests.sspi import pair

ALICE = PasswordCredentials("alice", "secret", domain="LAB")
ACCOUNTS = {("LAB", "alice"): "secret"}


@pytest.fixture(autouse=True)
def _first_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_log, "_warned", set())
    monkeypatch.setenv("CREDSSP_PASSWORD", "secret")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    file = tmp_path / "keys.log"
    monkeypatch.setenv("SSLKEYLOGFILE", str(file))
    previous = os.umask(0o022)
    yield file
    os.umask(previous)


def clients_of(path: Path) -> set[str]:
    """Return the client randoms of a key log."""
    return {line.split(" ")[1] for line in path.read_text().splitlines() if not line.startswith("#")}


def service(accounts: dict[tuple[str, str], str]) -> Any:
    """A service, not a test endpoint: on asyncio in a thread, as RDPServer, but without the key log."""
    server = RDPServer(accounts)
    server.config = replace(server.config, tls=None)
    return server


# Clients


def blocking(server: RDPServer) -> None:
    rdp.connect(*server.address, credentials=ALICE, mechanism="ntlm").close()


def on_asyncio(server: RDPServer) -> None:
    async def run() -> None:
        async with await rdp.open_connection(*server.address, credentials=ALICE, mechanism="ntlm"):
            pass

    asyncio.run(run())


def by_command(server: RDPServer) -> None:
    assert main(["login", f"rdp://127.0.0.1:{server.port}", "-u", "LAB\\alice", "--mechanism", "ntlm"]) == 0


def by_probe(server: RDPServer) -> None:
    assert main(["probe", f"127.0.0.1:{server.port}"]) == 0


@pytest.mark.parametrize("log_on", [blocking, on_asyncio, by_command, by_probe])
def test_rdp_clients_write_their_keys(path: Path, log_on: Callable[[RDPServer], None]) -> None:
    with service(ACCOUNTS) as server:
        log_on(server)
    assert clients_of(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    secrets = Secrets()
    with path.open("rb") as stream:
        secrets.add_file(stream)
    assert all(secrets.knows(bytes.fromhex(client)) for client in clients_of(path))


def test_sspi_clients_write_their_keys(path: Path) -> None:
    pair.make().run()
    assert len(clients_of(path)) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("library", ["requests", "httpx"])
def test_winrm_clients_write_the_keys_of_both_channels(path: Path, library: str) -> None:
    testing = pytest.importorskip("credssp.testing.winrm")
    pytest.importorskip(library)
    with testing.WinRMServer(ACCOUNTS, https=True) as server:
        post(library, server.url, server.certificate)
    # Of two connections, written by both ends where they are in one process.
    assert len(clients_of(path)) == 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def post(library: str, url: str, certificate: Path) -> None:
    if library == "requests":
        import requests

        from credssp.drivers.winrm_requests import HTTPCredSSPAuth

        auth = HTTPCredSSPAuth("LAB\\alice", "secret", auth_mechanism="ntlm")
        assert requests.post(url, data=b"", auth=auth, verify=str(certificate), timeout=20).status_code < 500
    else:
        import httpx

        from credssp.drivers.winrm_httpx import CredSSPAuth

        client_auth = CredSSPAuth(ALICE, mechanism="ntlm")
        with httpx.Client(auth=client_auth, verify=ssl.create_default_context(cafile=certificate)) as client:
            assert client.post(url, content=b"").status_code < 500


def test_a_client_may_be_told_not_to(path: Path) -> None:
    with service(ACCOUNTS) as server:
        rdp.connect(*server.address, credentials=ALICE, mechanism="ntlm", tls=ClientTLS(key_log=False)).close()
    assert not path.exists()


# Test endpoints and services


def test_test_endpoints_write_their_keys(path: Path) -> None:
    with RDPServer(ACCOUNTS) as server:
        rdp.connect(*server.address, credentials=ALICE, mechanism="ntlm", tls=ClientTLS(key_log=False)).close()
    assert len(clients_of(path)) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_services_do_not(path: Path) -> None:
    with rdp.serve(None, port=0, accounts=MemoryAccounts(ACCOUNTS)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        rdp.connect(*server.address, credentials=ALICE, mechanism="ntlm", tls=ClientTLS(key_log=False)).close()
        server.close()
        thread.join(10)
    assert not path.exists()


@pytest.mark.parametrize("what", ["rdp", "winrm"])
@pytest.mark.parametrize("confined", [False, True])
def test_serve_writes_keys_unless_it_is_confined(path: Path, what: str, confined: bool) -> None:
    if confined and os.geteuid():
        pytest.skip("needs root")
    if what == "winrm":
        pytest.importorskip("uvicorn")
    arguments = ["serve", what, "--listen", "127.0.0.1:0", "--user", "LAB\\alice:secret"]
    arguments += ["--uid", "nobody"] if confined else []
    command = [sys.executable, "-m", "credssp", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            assert '"listening"' in server.stdout.readline()
            assert path.exists() is not confined
        finally:
            server.terminate()
            _, errors = server.communicate(timeout=20)
    assert ("the keys of TLS connections are written to" in errors) is not confined


# The file


def test_one_warning_is_logged(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "credssp.tls"):
        for number in range(3):
            client_context(ClientTLS(server_hostname=f"srv{number}.lab.test"))
        server_context(ServerTLS(key_log=True), generate_certificate("p256"))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert str(path) in caplog.text
    assert "who reads that file can decrypt them" in caplog.text


def test_warning_says_that_others_can_read_a_file_which_was_there(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.touch(mode=0o644)
    with caplog.at_level(logging.WARNING, "credssp.tls"):
        client_context(ClientTLS(server_hostname="readable.lab.test"))
    assert "other users of this machine can read it" in caplog.text


def test_keys_are_appended(path: Path) -> None:
    path.touch(mode=0o600)
    path.write_text("# before\n")
    with service(ACCOUNTS) as server:
        blocking(server)
        blocking(server)
    assert path.read_text().startswith("# before\n")
    assert len(clients_of(path)) == 2


def test_variable_counts_when_the_connection_is_made(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSLKEYLOGFILE")
    with service(ACCOUNTS) as server:
        blocking(server)
        monkeypatch.setenv("SSLKEYLOGFILE", str(path))
        blocking(server)
        monkeypatch.setenv("SSLKEYLOGFILE", "")
        blocking(server)
    assert len(clients_of(path)) == 1


@pytest.mark.parametrize("target", ["/no/such/folder/keys.log", "."])
def test_file_that_cannot_be_written_is_named(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", target)
    with pytest.raises(LocalProtocolError, match=f"^SSLKEYLOGFILE: {target} cannot be written: "):
        rdp.connect("127.0.0.1", 9, credentials=ALICE, mechanism="ntlm")


def test_command_line_says_that_the_file_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", "/no/such/folder/keys.log")
    assert main(["login", "rdp://127.0.0.1:9", "-u", "alice", "--mechanism", "ntlm"]) == 2
    assert "SSLKEYLOGFILE: /no/such/folder/keys.log cannot be written: No such file" in capsys.readouterr().err


def test_doctor_writes_nothing(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor"])
    assert not path.exists()
