"""impacket's rdp_check logs on to our server: version 2, bare NTLMSSP, no MIC, no check of the server's key."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import credssp
from tests.peers import require_module, require_program

pytestmark = pytest.mark.interop

CONFIRM_HYBRID = bytes.fromhex("030000130ed000001234000200080002000000")


class Endpoint(threading.Thread):
    """Just enough of an RDP server: one X.224 exchange, then CredSSP on the socket."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(20)
        self.port = self.listener.getsockname()[1]
        self.server = credssp.ServerContext(
            accounts=credssp.MemoryAccounts({("LAB", "alice"): "secret"}), min_version=2, require_mic=False
        )
        self.error: credssp.CredSSPError | None = None

    def run(self) -> None:
        connection, _ = self.listener.accept()
        with connection, self.listener:
            connection.settimeout(20)
            connection.recv(4096)
            connection.sendall(CONFIRM_HYBRID)
            while not self.server.complete:
                data = connection.recv(65536)
                if not data:
                    return
                try:
                    connection.sendall(self.server.step(data).token)
                except credssp.CredSSPError as error:
                    self.error = error
                    connection.sendall(error.token)
                    return


def rdp_check(endpoint: Endpoint, tmp_path: Path, *arguments: str) -> str:
    """Run a copy of the program with another port: 3389 is written into it."""
    require_module("OpenSSL")
    program = Path(require_program("rdp_check.py")).read_text()
    assert program.count("get_connected_socket(host, 3389, ipv6)") == 1
    copy = tmp_path / "rdp_check.py"
    copy.write_text(program.replace("host, 3389, ipv6", f"host, {endpoint.port}, ipv6"))
    result = subprocess.run(
        [sys.executable, str(copy), *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    return result.stdout + result.stderr


@pytest.mark.parametrize("form", ["password", "hash"])
def test_rdp_check_is_let_in(tmp_path: Path, form: str) -> None:
    endpoint = Endpoint()
    endpoint.start()
    if form == "password":
        output = rdp_check(endpoint, tmp_path, "LAB/alice:secret@127.0.0.1")
    else:
        from credssp.nt_hash import nt_hash

        output = rdp_check(endpoint, tmp_path, "-hashes", f":{nt_hash('secret').hex()}", "LAB/alice@127.0.0.1")
    endpoint.join(20)
    assert "Access Granted" in output
    assert endpoint.server.identity is not None
    assert endpoint.server.version == 2


def test_rdp_check_is_refused(tmp_path: Path) -> None:
    endpoint = Endpoint()
    endpoint.start()
    output = rdp_check(endpoint, tmp_path, "LAB/alice:wrong@127.0.0.1")
    endpoint.join(20)
    assert "Access Granted" not in output
    assert isinstance(endpoint.error, credssp.AuthenticationError)
