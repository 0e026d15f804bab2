"""Whole sessions of foreign clients with the RDP double: how each ends, by its own exit code or its own words.

* xfreerdp 2.11 and 3.10 and rdesktop 1.9 end with the number of the reason that the server gave (12: the user logged
  off), where it is one of the protocol-independent ones; with ``+auth-only`` xfreerdp 2 ends with 0.
* xfreerdp 3.10 does not say that it reads reasons (SUPPORT_ERRINFO_PDU), and is not told them: it tells a user's logoff
  from everything else by the MCS Disconnect Provider Ultimatum. Its ``+auth-only``: `tests.interop.test_freerdp3`.
* aardwolf 0.2.16 and IronRDP say in words what happened. aardwolf does not answer the Demand Active of a reactivation.

That the screen has its colour is read from the display of the X server.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from credssp import NTStatus
from credssp.testing import Desktop, Disconnect, ErrorInfo, RDPServer, SessionState
from tests.interop import x11
from tests.interop.test_freerdp_client import ACCOUNTS, LOGON_FAILURE, PASSWORD
from tests.interop.test_ironrdp import ironrdp, ironrdp_session
from tests.kdc import REALM, Realm
from tests.peers import missing, require_program

pytestmark = pytest.mark.interop

CONN_FAILED, LOGGED_OFF, DISCONNECTED = 131, 12, 1
"""xfreerdp: XF_EXIT_CONN_FAILED; the numbers of ERRINFO_LOGOFF_BY_USER and ERRINFO_RPC_INITIATED_DISCONNECT."""
COLOR = 0x2A7F62
PATIENCE = 30.0
BOTH = pytest.mark.parametrize("program", ["xfreerdp", "xfreerdp3"])


@pytest.fixture
def environment(tmp_path: Path, display: str) -> dict[str, str]:
    """A home of its own, and no search for a KDC of the domain LAB."""
    configuration = tmp_path / "krb5.conf"
    configuration.write_text("[libdefaults]\ndns_lookup_kdc = false\ndns_lookup_realm = false\n")
    return {"LC_ALL": "C.UTF-8", "KRB5_CONFIG": str(configuration), "HOME": str(tmp_path), "DISPLAY": display}


def freerdp(program: str, host: str, port: int | str, *options: str, password: str = PASSWORD) -> list[str]:
    command = [require_program(program), f"/v:{host}:{port}", "/u:alice", "/d:LAB", f"/p:{password}"]
    return [*command, "/cert:ignore", "/sec:nla", *options]


def wait_for_pixels(folder: Path, color: int, count: int, log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while x11.count_pixels(folder, color) < count:
        assert time.monotonic() < end, log.read_text(errors="replace")
        time.sleep(0.2)


def color_of(depth: int) -> int:
    """A colour that has the same eight bits however a client widens it: with 16 bits, clients do that differently."""
    return 0xFFFF00 if depth == 16 else COLOR


# FreeRDP


def test_xfreerdp_auth_only_ends_with_0_after_a_good_login_and_with_134_after_a_bad_one(
    environment: dict[str, str],
) -> None:
    with RDPServer(ACCOUNTS) as server:
        good = x11.run(freerdp("xfreerdp", *server.address, "+auth-only"), environment=environment)
        delegation = server.assert_delegated(username="alice", domain="LAB", password=PASSWORD)
        server.clear()
        bad = x11.run(freerdp("xfreerdp", *server.address, "+auth-only", password="wrong"), environment=environment)
        server.assert_refused(NTStatus.STATUS_LOGON_FAILURE)
    assert good.code == 0, good.output
    assert "Authentication only, exit status 0" in good.output
    assert delegation.session.activations == 1
    assert delegation.session.username == "alice"
    assert delegation.session.sent_password, "FreeRDP sends the password in Client Info, too"
    assert bad.code == LOGON_FAILURE, bad.output


@BOTH
def test_a_full_client_sees_its_user_log_off(environment: dict[str, str], program: str) -> None:
    with RDPServer(ACCOUNTS, session=Desktop(seconds=0.5)) as server:
        outcome = x11.run(freerdp(program, *server.address), environment=environment)
        session = server.assert_delegated().session
    assert outcome.code == LOGGED_OFF, outcome.output
    assert "ERRINFO_LOGOFF_BY_USER" in outcome.output
    assert (session.activations, session.ended_by, session.fault) == (1, "server", "")


@BOTH
def test_a_full_client_goes_through_deactivation_and_reactivation(environment: dict[str, str], program: str) -> None:
    with RDPServer(ACCOUNTS, session=Desktop(seconds=2, reactivations=2)) as server:
        outcome = x11.run(freerdp(program, *server.address), environment=environment)
        session = server.assert_delegated().session
    assert outcome.code == LOGGED_OFF, outcome.output
    assert session.activations == 3


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ErrorInfo.ERRINFO_IDLE_TIMEOUT, 3),
        (ErrorInfo.ERRINFO_DISCONNECTED_BY_OTHERCONNECTION, 5),
        (ErrorInfo.ERRINFO_SERVER_DENIED_CONNECTION, 7),
        (ErrorInfo.ERRINFO_NONE, DISCONNECTED),
    ],
)
def test_xfreerdp_ends_with_the_reason_of_the_server(environment: dict[str, str], error: ErrorInfo, code: int) -> None:
    with RDPServer(ACCOUNTS, session=Desktop(seconds=0.2, error=error)) as server:
        outcome = x11.run(freerdp("xfreerdp", *server.address), environment=environment)
        session = server.assert_delegated().session
    assert outcome.code == code, outcome.output
    assert session.error_info == (error or None)


def test_xfreerdp_names_the_reason_of_a_session_that_does_not_begin(environment: dict[str, str]) -> None:
    mode = Disconnect(ErrorInfo.ERRINFO_LICENSE_NO_LICENSE_SERVER)
    with RDPServer(ACCOUNTS, session=mode) as server:
        outcome = x11.run(freerdp("xfreerdp", *server.address, "+auth-only"), environment=environment)
        session = server.assert_delegated().session
    assert outcome.code != 0
    assert "ERRINFO_LICENSE_NO_LICENSE_SERVER" in outcome.output
    assert (session.state, session.error_info) == (SessionState.EXPECT_CLIENT_INFO, mode.error)


def test_xfreerdp_3_is_not_told_reasons_since_it_does_not_say_that_it_reads_them(environment: dict[str, str]) -> None:
    with RDPServer(ACCOUNTS, session=Disconnect()) as server:
        outcome = x11.run(freerdp("xfreerdp3", *server.address), environment=environment)
        session = server.assert_delegated().session
    assert outcome.code == CONN_FAILED, outcome.output
    assert session.error_info is None


@BOTH
@pytest.mark.parametrize("depth", [16, 24, 32])
def test_the_screen_has_its_colour(environment: dict[str, str], tmp_path: Path, program: str, depth: int) -> None:
    with (
        RDPServer(ACCOUNTS, session=Desktop(seconds=60, color=color_of(depth))) as server,
        x11.xvfb(tmp_path) as display,
        x11.running(
            freerdp(program, *server.address, f"/bpp:{depth}", "/size:500x330"),
            environment=environment | {"DISPLAY": display},
        ) as log,
    ):
        session = server.assert_delegated(timeout=PATIENCE).session
        # The client's window may have a frame, and no pixel of the rest may be missing.
        wait_for_pixels(tmp_path, color_of(depth), 500 * 330, log)
        assert session.desktop == (500, 330)
        assert session.color_depth == depth
        assert session.state is SessionState.ACTIVE
        x11_log = log.read_text(errors="replace")
    assert session.fault == "", x11_log


def test_serve_exec_judges_xfreerdp_by_its_exit_code(environment: dict[str, str], tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "credssp",
        "serve",
        "rdp",
        "--listen",
        "127.0.0.1:0",
        "--user",
        "LAB\\alice:secret",
    ]
    client = shlex.join(freerdp("xfreerdp", "{host}", "{port}", "+auth-only", password="secret"))
    told = ["--user", "LAB\\alice:secret", "--exec", client, "--expect-user", "LAB\\alice", "--expect-exit", "0"]
    done = subprocess.run(
        [*command, *told], capture_output=True, text=True, timeout=100, check=False, env=os.environ | environment
    )
    assert "credssp serve: passed: LAB\\alice was delegated, and the client ended with exit code 0" in done.stderr
    assert done.returncode == 0
    events = [json.loads(line) for line in done.stdout.splitlines()]
    session = next(event["session"] for event in events if event["event"] == "closed")
    assert (session["state"], session["activations"]) == ("active", 1)


# rdesktop


@pytest.fixture(scope="module")
def ticket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, str], str]]:
    """A realm: what rdesktop's environment has, and the keytab of the server."""
    require_program("rdesktop")
    if importlib.util.find_spec("gssapi") is None or importlib.util.find_spec("krb5") is None:
        missing("rdesktop speaks Kerberos only, and Python has no GSS-API here (pip install 'pyspnego[kerberos]')")
    folder = tmp_path_factory.mktemp("realm")
    with Realm(folder) as realm, pytest.MonkeyPatch.context() as patch:
        realm.add("alice", password="secret")
        realm.add("TERMSRV/localhost")
        keytab = realm.keytab("server.keytab", "TERMSRV/localhost")
        for name, value in realm.environment.items():
            patch.setitem(os.environ, name, value)
        ccache = realm.kinit("alice", "secret")
        yield realm.environment | {"KRB5CCNAME": ccache, "HOME": str(folder)}, str(keytab)


def rdesktop_server(keytab: str, mode: Desktop | Disconnect) -> RDPServer:
    return RDPServer({}, min_version=2, mechanisms=("kerberos",), keytab=keytab, session=mode)


def rdesktop(port: int, *options: str) -> list[str]:
    return [require_program("rdesktop"), "-u", "alice", "-d", REALM, "-p", "secret", *options, f"localhost:{port}"]


@pytest.mark.parametrize("reactivations", [0, 2])
def test_rdesktop_sees_its_user_log_off(ticket: tuple[dict[str, str], str], display: str, reactivations: int) -> None:
    environment, keytab = ticket
    with rdesktop_server(keytab, Desktop(seconds=1, reactivations=reactivations)) as server:
        # "yes" to the question about the certificate.
        outcome = x11.run(rdesktop(server.port), environment=environment | {"DISPLAY": display}, text="yes\n" * 5)
        delegation = server.assert_delegated(username="alice")
    assert "Connection established using CredSSP" in outcome.output
    assert "Logout initiated by user" in outcome.output
    assert outcome.code == LOGGED_OFF
    assert delegation.mechanism == "kerberos"
    assert delegation.session.activations == 1 + reactivations


def test_rdesktop_ends_with_the_reason_of_the_server(ticket: tuple[dict[str, str], str], display: str) -> None:
    environment, keytab = ticket
    with rdesktop_server(keytab, Desktop(seconds=0.2, error=ErrorInfo.ERRINFO_IDLE_TIMEOUT)) as server:
        outcome = x11.run(rdesktop(server.port), environment=environment | {"DISPLAY": display}, text="yes\n" * 5)
        server.assert_delegated(username="alice")
    assert outcome.code == ErrorInfo.ERRINFO_IDLE_TIMEOUT, outcome.output


@pytest.mark.parametrize("depth", [8, 16, 24, 32])
def test_rdesktop_shows_the_colour(ticket: tuple[dict[str, str], str], tmp_path: Path, depth: int) -> None:
    environment, keytab = ticket
    with (
        rdesktop_server(keytab, Desktop(seconds=6, color=color_of(depth))) as server,
        x11.xvfb(tmp_path) as display,
    ):
        command = rdesktop(server.port, "-a", str(depth), "-g", "500x330")
        # It reads from a pipe that stays open: without an answer to its question it crashes.
        quoted = f"(yes yes | head -5; sleep 60) | exec {shlex.join(command)}"
        with x11.running(["sh", "-c", quoted], environment=environment | {"DISPLAY": display}) as log:
            session = server.assert_delegated(timeout=PATIENCE).session
            wait_for_pixels(tmp_path, color_of(depth), 500 * 320, log)
        assert session.color_depth in (depth, 24)  # it asks for 24 where it has 32


# aardwolf


def aardwolf(server: RDPServer, environment: dict[str, str], password: str = PASSWORD) -> x11.Outcome:
    if importlib.util.find_spec("aardwolf") is None:
        missing("the module aardwolf is not installed; pip install -e '.[test]'")
    script = str(Path(__file__).with_name("aardwolf_session.py"))
    command = [sys.executable, script, server.host, str(server.port), "LAB", "alice", password]
    return x11.run(command, environment=environment, timeout=90)


def test_aardwolf_has_a_screen_of_the_colour(environment: dict[str, str]) -> None:
    # It sends no MIC.
    with RDPServer(ACCOUNTS, require_mic=False, session=Desktop(seconds=30, color=color_of(16))) as server:
        outcome = aardwolf(server, environment)
        delegation = server.assert_delegated(username="alice", domain="LAB", password=PASSWORD)
    assert outcome.code == 0, outcome.output
    width, height = delegation.session.desktop
    assert json.loads(outcome.output.splitlines()[-1]) == {f"{color_of(16):06x}": width * height}
    assert not delegation.session.sent_password


def test_aardwolf_names_the_reason_of_a_session_that_does_not_begin(environment: dict[str, str]) -> None:
    mode = Disconnect(ErrorInfo.ERRINFO_SERVER_INSUFFICIENT_PRIVILEGES)
    with RDPServer(ACCOUNTS, require_mic=False, session=mode) as server:
        outcome = aardwolf(server, environment)
        server.assert_delegated(username="alice")
    assert outcome.code == 1
    assert "SERVER_INSUFFICIENT_PRIVILEGES" in outcome.output


def test_aardwolf_names_a_wrong_password(environment: dict[str, str]) -> None:
    with RDPServer(ACCOUNTS, require_mic=False) as server:
        outcome = aardwolf(server, environment, password="wrong")
        server.assert_refused(NTStatus.STATUS_LOGON_FAILURE)
    assert outcome.code == 1
    assert "0xc000006d" in outcome.output


# IronRDP


@pytest.mark.parametrize("reactivations", [0, 2])
def test_ironrdp_paints_the_colour_and_sees_its_user_log_off(reactivations: int) -> None:
    with RDPServer(ACCOUNTS, session=Desktop(seconds=2, color=COLOR, reactivations=reactivations)) as server:
        told = ironrdp_session(server)
        session = server.assert_delegated(username="alice").session
    assert told["kind"] == "", told
    assert "initiated by the user logging off" in told["text"]
    assert told["screen"] == {f"{COLOR:06x}": 800 * 600}
    assert session.client_name == "ironrdp-web"
    assert session.activations == 1 + reactivations


def test_ironrdp_names_the_reason_of_the_server() -> None:
    mode = Desktop(seconds=0.5, error=ErrorInfo.ERRINFO_DISCONNECTED_BY_OTHERCONNECTION)
    with RDPServer(ACCOUNTS, session=mode) as server:
        kind, text = ironrdp(server)
        server.assert_delegated(username="alice")
    assert kind == ""
    assert "Another user connected" in text


def test_ironrdp_fails_where_the_session_does_not_begin() -> None:
    with RDPServer(ACCOUNTS, session=Disconnect()) as server:
        kind, text = ironrdp(server)
        server.assert_delegated(username="alice")
    assert kind == "General"
    assert "expected ServerDemandActive" in text
