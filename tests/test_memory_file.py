"""Files that need no folder, and what happens where there is neither memory nor a folder for them."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

import credssp
from credssp.errors import LocalProtocolError
from credssp.memory_file import anonymous_file, named_file

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memfd_create")


@pytest.fixture
def without_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))


@pytest.fixture
def without_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "memfd_create", refuse, raising=False)


@linux
def test_a_named_file_is_in_memory_and_can_be_read_more_than_once(without_folder: None) -> None:
    with named_file(b"secret") as path:
        assert [Path(path).read_bytes() for _ in range(2)] == [b"secret", b"secret"]
    assert not Path(path).exists()


@pytest.fixture
def without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)


@linux
def test_a_file_in_memory_is_for_this_user_alone() -> None:
    with anonymous_file() as file:
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o600


def test_where_memory_holds_no_files_with_names_they_are_private_and_gone_at_the_end(
    without_memory: None, without_proc: None
) -> None:
    with named_file(b"secret") as path:
        assert Path(path).read_bytes() == b"secret"
        assert Path(path).parent == Path(tempfile.gettempdir())
        if sys.platform != "win32":
            assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
    assert not Path(path).exists()
    with anonymous_file() as file:
        file.write(b"x")
        file.seek(0)
        assert file.read() == b"x"


def test_without_both_the_error_names_the_folder(without_memory: None, without_folder: None) -> None:
    for use in (anonymous_file, lambda: named_file(b"").__enter__()):
        with pytest.raises(LocalProtocolError, match="no folder for temporary files: No such file") as caught:
            use()
        assert "TMPDIR" in caught.value.advice
    with pytest.raises(LocalProtocolError, match="no folder for temporary files"):
        credssp.ServerContext(
            accounts=credssp.MemoryAccounts({("LAB", "alice"): "secret"}), certificate=credssp.generate_certificate()
        )


@linux
def test_a_server_needs_no_folder_for_temporary_files(without_folder: None) -> None:
    server = credssp.ServerContext(
        accounts=credssp.MemoryAccounts({("LAB", "alice"): "secret"}), certificate=credssp.generate_certificate("p256")
    )
    client = credssp.ClientContext(
        credssp.PasswordCredentials("alice", "secret", domain="LAB"), target_name="TERMSRV/srv", mechanism="ntlm"
    )
    token = b""
    while not server.complete:
        token = server.step(client.step(token).token).token
    assert server.delegated_credentials is not None


@linux
def test_the_https_test_endpoint_needs_none(without_folder: None) -> None:
    pytest.importorskip("uvicorn")
    from credssp.drivers.winrm import WinRMConnection
    from credssp.testing.winrm import WinRMServer
    from credssp.tls.settings import ClientTLS
    from credssp.winrm import ClientLogin

    credentials = credssp.PasswordCredentials("alice", "secret", domain="LAB")
    accounts = credssp.MemoryAccounts({("LAB", "alice"): "secret"})
    with WinRMServer(https=True, accounts=accounts) as server:
        https = ClientTLS(cafile=server.certificate)
        with WinRMConnection("127.0.0.1", server.port, https=https) as connection:
            connection.log_on(ClientLogin(None, "127.0.0.1", credentials=credentials))
    assert len(server.delegations) == 1
