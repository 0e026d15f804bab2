"""The RDP double with a client that speaks to it over TLS: what it answers, when it ends, and what it remembers."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import credssp
from credssp import rdp
from credssp.errors import LocalProtocolError
from credssp.rdp.mcs import USER_REQUESTED
from credssp.rdp.session_pdus import ConnectResponse
from credssp.testing import DEFAULT_ACCOUNTS, Desktop, Disconnect, NoSession, RDPServer, SessionState
from tests.rdp import session as pdus

PASSWORD = DEFAULT_ACCOUNTS["LAB", "alice"]
PATIENCE = 30.0


@contextmanager
def logged_on(server: RDPServer, **options: Any) -> Iterator[Any]:
    credentials = credssp.PasswordCredentials("alice", PASSWORD, domain="LAB")
    with rdp.connect(*server.address, credentials=credentials, mechanism="ntlm", **options) as session:
        yield session


def read_until(session: Any, size: int) -> bytes:
    """Read so many bytes, or to the end."""
    found = b""
    while len(found) < size and (data := session.recv()):
        found += data
    return found


def read_all(session: Any) -> bytes:
    return read_until(session, 1 << 30)


def test_a_session_is_active_until_its_time_is_over() -> None:
    with RDPServer(session=Desktop(seconds=0.3)) as server, logged_on(server) as session:
        session.sendall(pdus.as_selected(session, pdus.whole()))
        told = read_all(session)
        found = server.assert_delegated(username="alice").session
    assert told.endswith(USER_REQUESTED)
    assert (found.state, found.activations, found.ended_by, found.error_info) == (SessionState.ACTIVE, 1, "server", 12)


def test_the_client_is_told_what_it_requested() -> None:
    with RDPServer() as server, logged_on(server) as session:
        session.sendall(pdus.as_selected(session, pdus.connect_initial()))
        response = read_until(session, 100)
        size = int.from_bytes(response[2:4], "big")
        negotiated = server.config.protocols or rdp.CREDSSP_PROTOCOLS
        assert negotiated & (ConnectResponse.decode(response[:size]).requested_protocols or 0)


def test_a_login_counts_while_the_session_is_active() -> None:
    with RDPServer(session=Desktop(seconds=60)) as server, logged_on(server) as session:
        session.sendall(pdus.as_selected(session, pdus.whole()))
        found = server.assert_delegated(username="alice", timeout=PATIENCE)
        assert found.session.activations == 1
        assert found.session.ended_by == ""
        session.sendall(pdus.LEAVE)
        read_all(session)
        assert len(server.delegations) == 1
    assert found.session.ended_by == "client"


def test_a_login_of_a_client_that_says_nothing_counts_soon() -> None:
    with RDPServer() as server, logged_on(server):
        found = server.assert_delegated(username="alice")
        assert found.session.state is SessionState.EXPECT_CONNECT_INITIAL


def test_a_client_that_has_no_session_is_read_and_closed() -> None:
    with RDPServer(hold=0.2) as server, logged_on(server) as session:
        session.sendall(b"HELLO")
        session.sendall(b" AND MORE")
        read_all(session)
        found = server.assert_delegated(username="alice")
    assert found.received == b"HELLO AND MORE"
    assert "expected a TPKT frame" in found.session.fault
    assert not server.refusals


def test_without_a_session_nothing_is_answered() -> None:
    with RDPServer(session=NoSession()) as server, logged_on(server) as session:
        session.sendall(pdus.whole())
        read_all(session)
        found = server.assert_delegated(username="alice")
    assert found.received == pdus.whole()
    assert found.session.fault == ""
    assert found.session.state is SessionState.EXPECT_CONNECT_INITIAL


def test_a_mode_may_be_written_as_on_the_command_line() -> None:
    with RDPServer(session="disconnect:idle-timeout") as server, logged_on(server) as session:
        session.sendall(pdus.as_selected(session, pdus.beginning()))
        read_all(session)
        found = server.assert_delegated(username="alice").session
    assert (found.error_info, found.ended_by) == (3, "server")
    with pytest.raises(LocalProtocolError, match="session 'screen'"):
        RDPServer(session="screen")


def test_a_reactivation_that_the_client_does_not_answer_ends_with_the_session() -> None:
    with RDPServer(session=Desktop(seconds=0.3, reactivations=1)) as server, logged_on(server) as session:
        session.sendall(pdus.as_selected(session, pdus.whole()))
        read_all(session)
        found = server.assert_delegated(username="alice").session
    assert (found.state, found.ended_by) == (SessionState.EXPECT_CONFIRM_ACTIVE, "server")


def test_stopping_the_server_ends_a_session() -> None:
    with RDPServer(session=Desktop(seconds=60)) as server, logged_on(server) as session:
        session.sendall(pdus.as_selected(session, pdus.whole()))
        server.assert_delegated(timeout=PATIENCE)
        begun = time.monotonic()
        server.stop()
        assert time.monotonic() - begun < PATIENCE
    assert len(server.delegations) == 1


def test_disconnect_tells_the_reason() -> None:
    with RDPServer(session=Disconnect(0x10A)) as server, logged_on(server) as session:
        session.sendall(pdus.as_selected(session, pdus.whole()))
        told = read_all(session)
        found = server.assert_delegated(username="alice").session
    assert (0x10A).to_bytes(4, "little") in told[-20:]
    assert found.error_info == 0x10A


@pytest.mark.parametrize(
    ("mode", "why"), [("screen", "not one of desktop, disconnect, none"), ("disconnect:x", "error info 'x'")]
)
def test_the_command_refuses_other_modes(mode: str, why: str) -> None:
    command = [sys.executable, "-m", "credssp", "serve", "rdp", "--session", mode]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert why in done.stderr


def test_the_command_tells_of_the_session_when_the_connection_is_closed() -> None:
    command = [sys.executable, "-m", "credssp", "serve", "rdp", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(
        [*command, "--user", f"LAB\\alice:{PASSWORD}", "--session", "disconnect:server-shutdown"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            host, _, port = json.loads(process.stdout.readline())["address"].rpartition(":")
            credentials = credssp.PasswordCredentials("alice", PASSWORD, domain="LAB")
            with rdp.connect(host, int(port), credentials=credentials, mechanism="ntlm") as session:
                session.sendall(pdus.as_selected(session, pdus.beginning()))
                read_all(session)
            events = iter(json.loads(line) for line in process.stdout)
            closed = next(event for event in events if event["event"] == "closed")
        finally:
            process.terminate()
    assert closed["session"]["error_info"]["name"] == "ERRINFO_SERVER_SHUTDOWN"
    assert closed["session"]["ended_by"] == "server"
    assert closed["session"]["client"] == "LAPTOP"
    assert "secret" not in json.dumps(closed)
