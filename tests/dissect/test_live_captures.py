"""Captures recorded on loopback while foreign programs log on: tcpdump writes, tshark agrees, we open."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from credssp.dissect.dissector import dissect
from credssp.dissect.tls.keylog import Secrets
from credssp.exchange.opening import LogonSecrets
from credssp.secret import Secret
from credssp.testing import RDPServer
from credssp.tls.settings import ServerTLS
from tests.dissect.logins import DOMAIN, PASSWORD, USER, certificate
from tests.interop import x11
from tests.peers import require_program

pytestmark = pytest.mark.interop


@contextmanager
def recorded(port: int, path: Path) -> Iterator[None]:
    """Record a port on loopback; tcpdump is stopped by its pid, and after 5000 packets by itself."""
    command = [require_program("tcpdump"), "-i", "lo", "--immediate-mode", "-Z", "root", "-U", "-c", "5000"]
    process = subprocess.Popen([*command, "-w", str(path), "tcp", "port", str(port)], stderr=subprocess.PIPE)
    assert process.stderr is not None
    try:
        while b"listening on" not in (line := process.stderr.readline()):
            if not line:
                pytest.skip("tcpdump may not capture here")
        yield
        time.sleep(0.3)  # the last packets are on their way through the kernel
    finally:
        process.terminate()
        process.wait(10)
        process.stderr.close()


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
@pytest.mark.parametrize("password", [PASSWORD, "wrong"])
def test_xfreerdp_on_our_server(
    tmp_path: Path, display: str, tls: Any, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = require_program("xfreerdp")
    settings = ServerTLS(minimum=tls, maximum=tls)
    file, log = tmp_path / "login.pcap", tmp_path / "keys.log"
    monkeypatch.setenv("SSLKEYLOGFILE", str(log))
    with RDPServer({(DOMAIN, USER): PASSWORD}, certificate=certificate(), tls=settings) as server:
        with recorded(server.port, file):
            command = [program, "+auth-only", f"/v:127.0.0.1:{server.port}", f"/u:{USER}", f"/d:{DOMAIN}"]
            x11.run([*command, f"/p:{password}", "/cert:ignore", "/sec:nla"], environment={"DISPLAY": display})
        port = server.port
    secrets = Secrets()
    secrets.add_log(log.read_bytes().splitlines())
    report = dissect(file, tls=secrets, logon=LogonSecrets((Secret(PASSWORD),)))
    (conversation,) = report["conversations"]
    assert conversation["transport"] == "rdp"
    assert conversation["negotiated"]["client_version"] == 6
    verdicts = {check["name"]: check["verdict"] for check in conversation["checks"]}
    if password == PASSWORD:
        assert set(verdicts.values()) == {"ok"}
        assert "authInfo" in verdicts
    else:
        assert verdicts["NTProofStr"] == "failed"
        assert any("STATUS_LOGON_FAILURE" in each["text"] for each in conversation["judgement"])
    # Wireshark sees as many TSRequests.
    seen = subprocess.run(
        [
            *(require_program("tshark"), "-r", str(file), "-o", f"tls.keylog_file:{log}"),
            *("-d", f"tcp.port=={port},tls", "-Y", "credssp", "-T", "fields", "-e", "frame.number"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.split()
    assert len(seen) == sum(entry["leg"] is not None for entry in conversation["timeline"])
