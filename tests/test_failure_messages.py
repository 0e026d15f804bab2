"""What the assertions of the test servers say: each thing that a client may do in place of what a test expects."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest

pytest.importorskip("uvicorn")

import credssp
from credssp import CredSSPError, PasswordCredentials, rdp
from credssp.rdp import Protocol
from credssp.testing import RDPServer
from credssp.testing.double_hop import use_delegated
from credssp.testing.failure_texts import refusals_text
from credssp.testing.rdp import Refusal
from credssp.testing.winrm import WinRMServer
from credssp.tls.settings import ClientTLS, ServerTLS

pytest_plugins = ["pytester"]

Server: TypeAlias = RDPServer | WinRMServer
Client: TypeAlias = Callable[[Server], object]

ACCOUNTS = {("LAB", "alice"): "secret"}
ALICE = PasswordCredentials("alice", "secret", domain="LAB")
BOTH = pytest.mark.parametrize("kind", [RDPServer, WinRMServer])
SOON = 20.0
"""Seconds to wait for what will happen."""


@contextlib.contextmanager
def connected(server: Server, sent: bytes = b"") -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=SOON) as connection:
        connection.sendall(sent)
        yield connection


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def log_on(server: Server, password: str = "secret", **options: Any) -> None:
    with contextlib.suppress(CredSSPError):
        use_delegated(PasswordCredentials("LAB\\alice", password), server, mechanism="ntlm", **options)


def says_about(server: Server, expected: str) -> None:
    """Hold both assertions against a server at which there was no login, and nothing that is a refusal of one."""
    for assertion in (server.assert_delegated, server.assert_refused):
        with pytest.raises(AssertionError) as caught:
            assertion(timeout=0.05)
        assert expected in str(caught.value)


def says(server: Server, expected: str) -> None:
    """Hold the text of a refusal against what is expected; it says the same at once, or at the end of the time."""
    assert server.wait(refusals=1, timeout=SOON)
    with pytest.raises(AssertionError) as caught:
        server.assert_delegated(timeout=0.05)
    assert f"expected a login, and {expected}" in str(caught.value)
    assert "secret" not in str(caught.value)


@BOTH
def test_silent_client_is_named_and_is_not_a_refusal(kind: type[Server]) -> None:
    with kind(ACCOUNTS) as server:
        with connected(server):
            pass
        assert server.wait(refusals=1, timeout=SOON)
        says_about(server, "a client connected and sent nothing within 0.05 s")
        log_on(server)
        server.assert_delegated(username="alice", timeout=SOON)


@BOTH
def test_clients_that_are_connected_and_silent_are_counted(kind: type[Server]) -> None:
    with kind(ACCOUNTS) as server, connected(server), connected(server):
        until(lambda: len(server._begun()) == 2)
        says_about(server, "2 clients connected and sent nothing within 0.05 s")


def test_login_that_is_under_way() -> None:
    negotiation = rdp.NegotiationRequest(Protocol.HYBRID)
    with (
        RDPServer(ACCOUNTS) as server,
        connected(server, rdp.ConnectionRequest(negotiation=negotiation).encode()) as client,
    ):
        assert client.recv(1)
        says_about(server, "a client connected and did not finish its login within 0.05 s")


@BOTH
def test_wrong_passwords_are_counted(kind: type[Server]) -> None:
    with kind(ACCOUNTS) as server:
        for count in (1, 2):
            log_on(server, "wrong")
            assert server.wait(refusals=count, timeout=SOON)
        says(
            server, r"LAB\alice was refused: wrong password: unknown user name or wrong password [STATUS_LOGON_FAILURE"
        )
        with pytest.raises(AssertionError, match=r"0xC000006D.*\(2 times\)"):
            server.assert_delegated(timeout=0.05)


def old_client(server: Server) -> None:
    log_on(server, max_version=4, min_version=2)


def old_tls(server: Server) -> None:
    log_on(server, tls=ClientTLS(maximum="1.2"))


@BOTH
@pytest.mark.parametrize(
    ("options", "client", "text"),
    [
        ({"min_version": 6}, old_client, "the version of a client was refused: the peer speaks CredSSP version 4"),
        ({"tls": ServerTLS(minimum="1.3")}, old_tls, "a client does not speak the TLS versions of the server: "),
    ],
)
def test_versions_are_named(kind: Any, options: dict[str, Any], client: Client, text: str) -> None:
    with kind(ACCOUNTS, **options) as server:
        client(server)
        says(server, text)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_rdp_client_that_does_not_trust_the_certificate(version: Any) -> None:
    with RDPServer(ACCOUNTS, tls=ServerTLS(minimum=version, maximum=version)) as server:
        log_on(server, tls=ClientTLS(verify=True))
        says(server, "a client did not trust the certificate: it does not know who issued it (TLS alert unknown_ca): ")


def test_client_that_does_not_trust_the_certificate_of_https() -> None:
    with WinRMServer(ACCOUNTS, https=True) as server:
        with connected(server) as client, pytest.raises(ssl.SSLCertVerificationError):
            ssl.create_default_context().wrap_socket(client, server_hostname="localhost")
        says(server, "a client did not trust the certificate: it does not know who issued it (TLS alert unknown_ca): ")


def test_http_at_a_server_of_https() -> None:
    with WinRMServer(ACCOUNTS, https=True) as server:
        with connected(server, b"POST /wsman HTTP/1.1\r\nHost: localhost\r\n\r\n") as client:
            client.recv(1)
        says(server, "a client spoke http, and the server https: ")


def test_http_at_a_server_of_rdp() -> None:
    with RDPServer(ACCOUNTS) as server:
        with connected(server, b"POST /wsman HTTP/1.1\r\nHost: localhost\r\n\r\n") as client:
            client.recv(1)
        says(server, "a client was refused: the peer does not speak RDP but HTTP ")


def test_rdp_without_network_level_authentication() -> None:
    request = rdp.ConnectionRequest(negotiation=rdp.NegotiationRequest(Protocol.SSL)).encode()
    with RDPServer(ACCOUNTS) as server:
        with connected(server, request) as client:
            assert client.recv(1)
        says(server, "a client was refused: the client asked for SSL; this server takes HYBRID|HYBRID_EX")


def test_winrm_client_without_credentials_goes_away() -> None:
    with WinRMServer(ACCOUNTS) as server:
        with connected(server, b"POST /wsman HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n") as client:
            assert client.recv(4096).startswith(b"HTTP/1.1 401")
        says(server, "a client went away: the client closed the connection without a login")


def test_rdp_login_whose_connection_is_open() -> None:
    with RDPServer(ACCOUNTS, hold=SOON) as server, rdp.connect(*server.address, credentials=ALICE, mechanism="ntlm"):
        until(server._sessions)
        says_about(server, r"LAB\alice is still connected within 0.05 s")


# Before the start, and after the end


@BOTH
def test_server_that_was_not_started_is_not_waited_for(kind: type[Server]) -> None:
    server = kind(ACCOUNTS)
    with pytest.raises(AssertionError, match=r"expected a login, and no client .*: the server was not started"):
        server.assert_delegated(timeout=1e6)
    assert not server.wait(delegations=1, timeout=1e6)


@BOTH
def test_server_that_was_stopped_is_not_waited_for(kind: type[Server]) -> None:
    with kind(ACCOUNTS) as server:
        pass
    for assertion in (server.assert_delegated, server.assert_refused):
        with pytest.raises(AssertionError, match=r"expected a .*, and no client .*: the server was stopped"):
            assertion(timeout=1e6)


@BOTH
def test_what_happened_is_known_after_the_end(kind: type[Server]) -> None:
    with kind(ACCOUNTS) as server:
        log_on(server)
    server.assert_delegated(username="alice", password="secret", timeout=1e6)
    assert server.happened() == r"there was a login: LAB\alice"


def test_rdp_login_that_was_open_at_the_end_counts() -> None:
    with RDPServer(ACCOUNTS, hold=SOON) as server:
        session = rdp.connect(*server.address, credentials=ALICE, mechanism="ntlm")
        until(server._sessions)
    session.close()
    server.assert_delegated(username="alice", timeout=1e6)


# Several, and other kinds


def test_everything_that_happened_is_said() -> None:
    with RDPServer(ACCOUNTS) as server:
        log_on(server, "wrong")
        log_on(server)
        log_on(server, delegate=False)
        assert server.wait(delegations=2, refusals=1, timeout=SOON)
        text = server.happened()
    assert text.startswith(
        r"there were 2 logins: LAB\alice, LAB\alice, who delegated an empty set; LAB\alice was refused"
    )
    with pytest.raises(AssertionError, match="expected one login, and there were 2"):
        server.assert_delegated()
    assert server.assert_delegated(several=True, empty=True).is_empty


def test_other_credentials_are_named_by_who_logged_on() -> None:
    card = credssp.SmartCardCredentials(pin=credssp.Secret("0000"))
    with RDPServer(ACCOUNTS) as server:
        log_on(server, delegated_credentials=card)
        assert server.wait(delegations=1, timeout=SOON)
        assert server.happened() == r"there was a login: LAB\alice, who delegated SmartCardCredentials"


@pytest.mark.parametrize("alert", ["certificate_expired", "bad_certificate", "protocol_version", "handshake_failure"])
def test_alerts_have_words(alert: str) -> None:
    from credssp.tls.alerts import translate

    error = ssl.SSLError(1, "")
    error.reason = f"SSLV3_ALERT_{alert.upper()}" if alert != "protocol_version" else "TLSV1_ALERT_PROTOCOL_VERSION"
    text = refusals_text([Refusal(translate(error, during="TLS handshake"))])
    assert f"(TLS alert {alert})" in text
    assert text.startswith("a client ")
    assert not text.startswith("a client was refused")


def test_other_failures_of_tls_and_deadlines() -> None:
    from credssp.drivers.handshake import DeadlineError
    from credssp.tls.alerts import translate

    error = ssl.SSLError(1, "")
    error.reason = "DECRYPTION_FAILED_OR_BAD_RECORD_MAC"
    damaged = Refusal(translate(error, during="TLS session"))
    late = Refusal(DeadlineError("the client sent nothing within 1 s"))
    assert refusals_text([damaged, late, late]).startswith("TLS with a client failed: the TLS session failed")
    assert "; a client was too slow: the client sent nothing within 1 s" in refusals_text([damaged, late, late])
    assert refusals_text([late, late]).endswith("(2 times)")


@pytest.mark.parametrize("fixture", ["credssp_rdp_server", "credssp_winrm_server"])
def test_pytest_shows_the_assertion_and_none_of_our_code(pytester: pytest.Pytester, fixture: str) -> None:
    pytester.makepyfile(
        f"""
        def test_login({fixture}):
            {fixture}.assert_delegated(username="alice", timeout=0.05)

        def test_wait({fixture}):
            assert {fixture}.wait(delegations=1, timeout=0.05), {fixture}.happened()
        """
    )
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:xdist")
    done.assert_outcomes(failed=2)
    output = done.stdout.str()
    assert "AssertionError: expected a login, and no client" in output
    assert "AssertionError: no client" in output
    assert "delegations.py" not in output


@BOTH
def test_server_listens_on_an_address_of_loopback_and_on_no_other(kind: type[Server]) -> None:
    for host in ("0.0.0.0", "::1", "localhost", "192.0.2.1"):  # noqa: S104
        with pytest.raises(credssp.LocalProtocolError, match=f"host '{host}': not an address of 127.0.0.0/8"):
            kind(ACCOUNTS, host=host)
    with kind(ACCOUNTS, host="127.0.0.2") as server:
        assert "//127.0.0.2:" in server.url
        log_on(server)
        server.assert_delegated(username="alice", timeout=SOON)
