"""The gateway between real clients and real servers, in all three directions."""

from __future__ import annotations

import hashlib
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from credssp.rdp.negotiation import Protocol
from tests.interop import freerdp, x11
from tests.interop.xrdp import PASSWORD as DESK_PASSWORD
from tests.interop.xrdp import USER, Xrdp, xrdp
from tests.peers import require_program

pytestmark = pytest.mark.interop

CLIENTS = [pytest.param("xfreerdp", id="freerdp2"), pytest.param("xfreerdp3", id="freerdp3")]


class Gateway:
    """``credssp gateway``, read line by line."""

    def __init__(self, command: Sequence[str], *, prefix: Sequence[str] = ()) -> None:
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "credssp", "gateway", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.address: str = self.next("listening")["address"]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def next(self, event: str) -> dict[str, Any]:
        """Return the next event of this name."""
        seen = []
        while line := self._lines.get(timeout=30):
            found: dict[str, Any] = json.loads(line)
            if found["event"] == event:
                return found
            seen.append(line)
        assert self._process.stderr is not None
        raise AssertionError(f"no {event}: {seen}, {self._process.stderr.read()}")

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate(timeout=10)


@contextmanager
def gateway(*command: str, prefix: Sequence[str] = ()) -> Iterator[Gateway]:
    running = Gateway(command, prefix=prefix)
    try:
        yield running
    finally:
        running.stop()


@contextmanager
def client(program: str, display: str, address: str, *options: str, prefix: Sequence[str] = ()) -> Iterator[None]:
    """Run a client for as long as the block takes."""
    command = [require_program(program), f"/v:{address}", "/cert:ignore", *options]
    with x11.running([*prefix, *command], environment={"DISPLAY": display}):
        yield


def pin(certificate: bytes) -> str:
    return hashlib.sha256(certificate).hexdigest()


# NLA in front of xrdp


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Xrdp]:
    with xrdp(tmp_path_factory.mktemp("xrdp")) as running:
        yield running


@pytest.fixture
def accounts(tmp_path: Path) -> Path:
    file = tmp_path / "accounts"
    file.write_text(f"LAB:{USER}:{DESK_PASSWORD}\n")
    file.chmod(0o600)
    return file


@pytest.mark.parametrize("security", ["/sec:nla", "/sec:ext"])
@pytest.mark.parametrize("program", CLIENTS)
def test_a_user_of_nla_is_logged_on_to_xrdp(
    desk: Xrdp, accounts: Path, display: str, program: str, security: str
) -> None:
    if (program, security) == ("xfreerdp", "/sec:ext"):
        pytest.skip("HYBRID_EX of FreeRDP 2.11 is broken: it waits for TLS after the Connection Confirm")
    command = ["front", "--listen", "127.0.0.1:0", "--to", desk.address, "--users-file", str(accounts)]
    before = desk.sessions()
    with gateway(*command, "--fingerprint", pin(desk.certificate.der), prefix=desk.prefix) as running:
        user = (f"/u:{USER}", "/d:LAB", f"/p:{DESK_PASSWORD}", security)
        with client(program, display, running.address, *user, prefix=desk.prefix):
            assert running.next("negotiated")["protocol"] == ("HYBRID" if security == "/sec:nla" else "HYBRID_EX")
            connected = running.next("connected")
            assert (connected["protocol"], connected["certificate"]) == ("SSL", "pinned")
            assert "drdynvc" in running.next("session")["channels"]
            assert desk.wait_for_session(before)
        closed = running.next("closed")
    assert closed["by"] == "client"
    assert closed["received"] > 1000


@pytest.mark.parametrize("layer", ["rdp", "tls"])
def test_a_unix_socket_leads_to_xrdp(tmp_path: Path, accounts: Path, display: str, layer: str) -> None:
    folder = tmp_path / "x"  # the path of a Unix socket is short
    folder.mkdir()
    with xrdp(folder, layer=layer, unix=True) as desk:
        command = ["front", "--listen", "127.0.0.1:0", "--to", desk.address, "--users-file", str(accounts)]
        command += ["--plain"] if layer == "rdp" else ["--fingerprint", pin(desk.certificate.der)]
        with gateway(*command) as running:
            user = (f"/u:{USER}", "/d:LAB", f"/p:{DESK_PASSWORD}", "/sec:nla")
            with client("xfreerdp3", display, running.address, *user):
                assert running.next("connected")["protocol"] == ("RDP" if layer == "rdp" else "SSL")
                running.next("session")
                assert desk.wait_for_session(0)


def test_a_probe_tells_the_fingerprint_to_pin(desk: Xrdp) -> None:
    command = [sys.executable, "-m", "credssp", "probe", f"rdp://{desk.address}", "--json"]
    found = json.loads(x11.run([*desk.prefix, *command], environment={}).output.splitlines()[0])
    assert found["error"] is None
    assert found["certificate"]["sha256"] == pin(desk.certificate.der)
    errors = {each["id"] for each in found["findings"] if each["severity"] == "error"}
    assert errors <= {"nla-missing", "standard-rdp-security"}
    assert "nla-missing" in errors


def test_doctor_says_that_xrdp_has_no_nla(desk: Xrdp) -> None:
    command = [sys.executable, "-m", "credssp", "doctor", f"rdp://{desk.address}", "--json"]
    report = json.loads(x11.run([*desk.prefix, *command], environment={}).output)
    assert report["conclusion"]["exit_code"] == 1
    assert report["conclusion"]["id"] == "nla-missing"
    assert "SSL_REQUIRED_BY_SERVER" in report["conclusion"]["text"] or "selected" in report["conclusion"]["text"]
    (certificate,) = (step for step in report["steps"] if step["step"] == "certificate")
    assert pin(desk.certificate.der) in certificate["text"]


def test_scanners_see_nla_and_nothing_else(desk: Xrdp, accounts: Path) -> None:
    command = ["front", "--listen", "127.0.0.1:0", "--to", desk.address, "--users-file", str(accounts)]
    with gateway(*command, "--fingerprint", pin(desk.certificate.der), prefix=desk.prefix) as running:
        port = running.address.rpartition(":")[2]
        scan = [require_program("nmap"), "-Pn", "-p", port, "--script", "+rdp-enum-encryption", "127.0.0.1"]
        output = x11.run([*desk.prefix, *scan], environment={}).output
    assert "CredSSP (NLA): SUCCESS" in output
    assert "SSL: SUCCESS" not in output
    assert "Native RDP: SUCCESS" not in output


def test_a_wrong_certificate_is_refused(desk: Xrdp, accounts: Path) -> None:
    command = ["front", "--listen", "127.0.0.1:0", "--to", desk.address, "--users-file", str(accounts)]
    with gateway(*command, "--fingerprint", "00" * 32, prefix=desk.prefix) as running:
        options = ("+auth-only", f"/u:{USER}", "/d:LAB", f"/p:{DESK_PASSWORD}", "/cert:ignore", "/sec:ext")
        peer = [require_program("xfreerdp3"), f"/v:{running.address}", *options]
        code = x11.run([*desk.prefix, *peer], environment={}).code
        refused = running.next("refused")
    assert code == 132  # denied, by the Early User Authorization Result
    assert "not the pinned one" in refused["status"]["text"]


# In front of a shadow server that accepts NLA only


@pytest.fixture(scope="module")
def server(display: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str]]:
    """Port and fingerprint of the shadow server."""
    with freerdp.shadow(2, display, tmp_path_factory.mktemp("shadow")) as port:
        found = x11.run([sys.executable, "-m", "credssp", "probe", f"rdp://127.0.0.1:{port}", "--json"], environment={})
        yield port, json.loads(found.output.splitlines()[0])["certificate"]["sha256"]


@pytest.mark.parametrize("program", [*CLIENTS, pytest.param("rdesktop", id="rdesktop")])
def test_a_tool_without_nla_reaches_a_server_that_demands_it(
    server: tuple[int, str], display: str, tmp_path: Path, program: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(freerdp.PASSWORD)
    secret.chmod(0o600)
    port, fingerprint = server
    command = ["back", "--listen", "127.0.0.1:0", "--to", f"127.0.0.1:{port}", "-u", "alice", "-d", "LABDOM"]
    command += ["--password-file", str(secret), "--fingerprint", fingerprint]
    with gateway(*command) as running, tls_client(program, display, running.address, "D", "x", "y"):
        assert running.next("negotiated")["protocol"] == "SSL"
        connected = running.next("connected")
        assert (connected["protocol"], connected["as"]) == ("HYBRID", "LABDOM\\alice")
        running.next("session")


@pytest.mark.parametrize("program", [*CLIENTS, pytest.param("rdesktop", id="rdesktop")])
def test_a_clients_own_password_reaches_a_server_that_demands_nla(
    server: tuple[int, str], display: str, program: str
) -> None:
    port, fingerprint = server
    command = ["back", "--listen", "127.0.0.1:0", "--to", f"127.0.0.1:{port}", "--fingerprint", fingerprint]
    with (
        gateway(*command) as running,
        tls_client(program, display, running.address, "LABDOM", "alice", freerdp.PASSWORD),
    ):
        picked_up = running.next("picked-up")
        assert picked_up["user"] == "LABDOM\\alice"
        first = running.next("closed")
        assert (first["why"], first["id"]) == ("redirected", picked_up["id"])
        connected = running.next("connected")
        assert (connected["protocol"], connected["as"]) == ("HYBRID", "LABDOM\\alice")
        assert connected["came_from"] == first["id"]
        running.next("session")


def test_a_wrong_password_that_was_picked_up_is_refused_by_the_server(server: tuple[int, str], display: str) -> None:
    port, fingerprint = server
    command = ["back", "--listen", "127.0.0.1:0", "--to", f"127.0.0.1:{port}", "--fingerprint", fingerprint]
    with gateway(*command) as running, tls_client("xfreerdp", display, running.address, "LABDOM", "alice", "wrong"):
        running.next("picked-up")
        running.next("closed")
        running.next("refused")  # FreeRDP 2's server closes the connection, and says no more
        closed = running.next("closed")
        assert (closed["by"], closed["sent"]) == ("relay", 0)


@contextmanager
def tls_client(program: str, display: str, address: str, domain: str, user: str, password: str) -> Iterator[None]:
    """Run a client without NLA for as long as the block takes."""
    running: AbstractContextManager[object]
    if program == "rdesktop":
        peer = f"{require_program('rdesktop')} -d {domain} -u {user} -p {password} {address}"
        running = x11.running(["sh", "-c", f"(echo yes; sleep 20) | {peer}"], environment={"DISPLAY": display})
    else:
        running = client(program, display, address, f"/u:{user}", f"/d:{domain}", f"/p:{password}", "/sec:tls")
    with running:
        yield


@pytest.fixture
def bastion(server: tuple[int, str], tmp_path: Path) -> Iterator[Gateway]:
    port, fingerprint = server
    (tmp_path / "accounts").write_text(f"LABDOM:alice:{freerdp.PASSWORD}\nLAB:bob:Bob-Pa55\n")
    (tmp_path / "secret").write_text(freerdp.PASSWORD)
    made = [sys.executable, "-c", "from credssp import generate_certificate as g\nc = g()\n"
            "print((c.chain + c.private_key.reveal()).decode())"]  # fmt: skip
    (tmp_path / "gw.pem").write_text(subprocess.run(made, capture_output=True, text=True, check=True).stdout)
    common = f'address = "127.0.0.1:{port}"\nfingerprint = "{fingerprint}"\nmechanism = "ntlm"\n'
    file = tmp_path / "gateway.toml"
    file.write_text(
        '[listen]\naddress = "127.0.0.1:0"\ncertificate = "gw.pem"\nusers_file = "accounts"\n'
        f'[[target]]\nname = "own"\nusers = ["LABDOM\\\\alice"]\n{common}'
        f'[[target]]\nname = "mapped"\nusers = ["LAB\\\\bob"]\ntokens = ["office"]\n{common}'
        'as = { user = "alice", domain = "LABDOM", password_file = "secret" }\n'
    )
    for path in tmp_path.iterdir():
        path.chmod(0o600)
    with gateway("run", str(file)) as running:
        yield running


@pytest.mark.parametrize("program", CLIENTS)
@pytest.mark.parametrize(
    ("user", "target"),
    [
        (("/u:alice", "/d:LABDOM", f"/p:{freerdp.PASSWORD}"), "own"),
        (("/u:bob", "/d:LAB", "/p:Bob-Pa55", "/load-balance-info:office"), "mapped"),
    ],
    ids=["delegated", "mapped"],
)
def test_a_bastion_logs_on_with_its_own_or_the_users_credentials(
    bastion: Gateway, display: str, program: str, user: tuple[str, ...], target: str
) -> None:
    with client(program, display, bastion.address, *user, "/sec:nla"):
        connected = bastion.next("connected")
        assert (connected["target"], connected["as"]) == (target, "LABDOM\\alice")
        bastion.next("session")


def test_without_a_rule_the_client_is_denied(bastion: Gateway) -> None:
    options = ("+auth-only", "/u:bob", "/d:LAB", "/p:Bob-Pa55", "/cert:ignore", "/sec:ext")
    code = x11.run([require_program("xfreerdp3"), f"/v:{bastion.address}", *options], environment={}).code
    assert code == 132
    refused = bastion.next("refused")
    assert (refused["reason"], refused["user"]) == ("not_authorized", "bob")


def test_restricted_admin_and_a_wrong_password_are_refused(bastion: Gateway) -> None:
    user = ("/u:alice", "/d:LABDOM", "/cert:ignore")
    peer = [require_program("xfreerdp3"), f"/v:{bastion.address}", "+auth-only", *user]
    assert x11.run([*peer, "/p:wrong", "/sec:nla"], environment={}).code == 134
    assert bastion.next("refused")["reason"] == "logon_failure"
    assert x11.run([*peer, f"/p:{freerdp.PASSWORD}", "/restricted-admin", "/sec:nla"], environment={}).code != 0
    assert "Restricted Admin" in bastion.next("refused")["status"]["text"]


def test_a_check_prints_the_fingerprint(server: tuple[int, str], tmp_path: Path) -> None:
    assert Protocol.HYBRID  # what `check` asks the server for
    port, fingerprint = server
    pem = tmp_path / "gw.pem"
    made = "from credssp import generate_certificate as g\nc = g()\nprint((c.chain + c.private_key.reveal()).decode())"
    pem.write_text(subprocess.run([sys.executable, "-c", made], capture_output=True, text=True, check=True).stdout)
    (tmp_path / "accounts").write_text("LAB:a:b\n")
    file = tmp_path / "gateway.toml"
    for wanted, code, text in (
        (fingerprint, 0, f"office: 127.0.0.1:{port}: nla, sha256:{fingerprint}"),
        ("00" * 32, 1, f"its SHA-256 fingerprint is {fingerprint}"),
    ):
        file.write_text(
            '[listen]\naddress = "127.0.0.1:0"\ncertificate = "gw.pem"\nusers_file = "accounts"\n'
            f'[[target]]\nname = "office"\naddress = "127.0.0.1:{port}"\nfingerprint = "{wanted}"\n'
        )
        for path in tmp_path.iterdir():
            path.chmod(0o600)
        found = x11.run([sys.executable, "-m", "credssp", "gateway", "check", str(file)], environment={})
        assert found.code == code
        assert text in found.output
