"""FreeRDP's client (Debian's xfreerdp 2) against our server.

What its exit codes mean is in FreeRDP's client/X11/xfreerdp.h: 0 after a login and the beginning of a session, 147
(transport failed) where a server ends the connection after a good login, too. Its sessions are tested in
`tests.interop.test_rdp_sessions`.
"""

from __future__ import annotations

import pytest

from credssp import Account, LimitExceededError, NTStatus
from credssp.nt_hash import nt_hash
from credssp.rdp import AuthorizationDeniedError, Protocol, RequestFlags
from credssp.testing import RDPServer
from tests.interop import x11
from tests.peers import require_program

pytestmark = pytest.mark.interop

PASSWORD = "Pa55-w0rd, ümlaut"
SUCCESS, TRANSPORT_FAILED, NEGO_FAILED = 0, 147, 133
LOGON_FAILURE, ACCOUNT_LOCKED_OUT, ACCOUNT_DISABLED = 134, 135, 151

MCS_CONNECT_INITIAL = bytes.fromhex("02f0807f65")
"""X.224 Data, then the tag of MCS Connect Initial ([MS-RDPBCGR] 4.1.3), behind the TPKT header."""

ACCOUNTS = {
    ("LAB", "alice"): PASSWORD,
    ("LAB", "locked"): Account("LAB", "locked", nt_hash(PASSWORD), NTStatus.STATUS_ACCOUNT_LOCKED_OUT),
    ("LAB", "disabled"): Account("LAB", "disabled", nt_hash(PASSWORD), NTStatus.STATUS_ACCOUNT_DISABLED),
}


def xfreerdp(
    server: RDPServer, display: str, *options: str, user: str = "alice", password: str = PASSWORD
) -> x11.Outcome:
    command = [require_program("xfreerdp"), "+auth-only", f"/v:{server.host}:{server.port}", f"/u:{user}", "/d:LAB"]
    command += [f"/p:{password}", "/cert:ignore", *(options or ("/sec:nla",))]
    return x11.run(command, environment={"DISPLAY": display, "LC_ALL": "C.UTF-8"})


def test_a_right_password_is_accepted_and_delegated(display: str) -> None:
    with RDPServer(ACCOUNTS) as server:
        outcome = xfreerdp(server, display)
        delegation = server.assert_delegated(username="alice", domain="LAB", password=PASSWORD)
    assert outcome.code == SUCCESS, outcome.output
    assert "LOGON_FAILURE" not in outcome.output
    assert (delegation.mechanism, delegation.version, delegation.peer_version) == ("ntlm", 6, 6)
    assert delegation.negotiated.selected is Protocol.HYBRID
    assert delegation.negotiated.request is not None
    assert delegation.negotiated.request.cookie == "alice"
    # It goes straight on to the session; nothing of that is lost.
    assert delegation.received[4:9] == MCS_CONNECT_INITIAL


def test_hash_in_place_of_the_password(display: str) -> None:
    with RDPServer(ACCOUNTS) as server:
        xfreerdp(server, display, "/sec:nla", f"/pth:{nt_hash(PASSWORD).hex()}", password="dummy")
        delegation = server.assert_delegated(empty=True)  # it has nothing to delegate
    assert delegation.identity.username == "alice"


@pytest.mark.parametrize(
    ("user", "password", "code", "name", "ntstatus"),
    [
        ("alice", "wrong", LOGON_FAILURE, "ERRCONNECT_LOGON_FAILURE", NTStatus.STATUS_LOGON_FAILURE),
        ("nobody", PASSWORD, LOGON_FAILURE, "ERRCONNECT_LOGON_FAILURE", NTStatus.STATUS_LOGON_FAILURE),
        ("locked", PASSWORD, ACCOUNT_LOCKED_OUT, "ERRCONNECT_ACCOUNT_LOCKED_OUT", NTStatus.STATUS_ACCOUNT_LOCKED_OUT),
        # A wrong password does not tell that the account is locked.
        ("locked", "wrong", LOGON_FAILURE, "ERRCONNECT_LOGON_FAILURE", NTStatus.STATUS_LOGON_FAILURE),
        ("disabled", PASSWORD, ACCOUNT_DISABLED, "ERRCONNECT_ACCOUNT_DISABLED", NTStatus.STATUS_ACCOUNT_DISABLED),
    ],
)
def test_a_refused_client_names_the_reason(
    display: str, user: str, password: str, code: int, name: str, ntstatus: int
) -> None:
    with RDPServer(ACCOUNTS, tell_lockout=True) as server:
        outcome = xfreerdp(server, display, user=user, password=password)
        server.assert_refused(ntstatus)
    assert outcome.code == code, outcome.output
    assert name in outcome.output


def test_restricted_admin_delegates_an_empty_set(display: str) -> None:
    with RDPServer(ACCOUNTS) as server:
        xfreerdp(server, display, "/sec:nla", "/restricted-admin")
        delegation = server.assert_delegated(username="", domain="", password="", empty=True)
    assert delegation.identity.username == "alice"
    request = delegation.negotiated.request
    assert request is not None
    assert request.negotiation is not None
    assert RequestFlags.RESTRICTED_ADMIN_MODE_REQUIRED in request.negotiation.flags


def test_a_client_that_asks_for_hybrid_ex_is_served_with_hybrid(display: str) -> None:
    with RDPServer(ACCOUNTS, protocols=Protocol.HYBRID) as server:
        xfreerdp(server, display, "/sec:nla", "+sec-ext")
        delegation = server.assert_delegated(username="alice", password=PASSWORD)
    request = delegation.negotiated.request
    assert request is not None
    assert request.negotiation is not None
    assert Protocol.HYBRID_EX in request.negotiation.protocols


def test_hybrid_ex_of_this_client_ends_right_after_the_negotiation(display: str) -> None:
    # FreeRDP 2.11.7, nego_security_connect(): SelectedProtocol HYBRID_EX is in none of its branches, so the client
    # gives up before TLS ("no protocol has been selected yet"). Nothing that a server could do about it but not to
    # choose HYBRID_EX. If this fails, the client was repaired: test the Early User Authorization Result instead.
    with RDPServer(ACCOUNTS, protocols=Protocol.HYBRID_EX) as server:
        outcome = xfreerdp(server, display, "/sec:ext")
        server.assert_refused()
    assert outcome.code == NEGO_FAILED, outcome.output
    assert "no protocol has been selected yet" in outcome.output


def test_a_client_without_credssp_is_told_what_is_demanded(display: str) -> None:
    with RDPServer(ACCOUNTS) as server:
        outcome = xfreerdp(server, display, "/sec:tls")
        refusal = server.assert_refused()
    assert "HYBRID_REQUIRED_BY_SERVER" in outcome.output
    assert outcome.code == NEGO_FAILED
    assert "asked for SSL" in str(refusal.error)


def test_a_user_without_the_right_to_log_on_is_closed_out_where_hybrid_has_no_result(display: str) -> None:
    with RDPServer(ACCOUNTS, authorize=lambda identity, credentials: False) as server:
        outcome = xfreerdp(server, display)
        refusal = server.assert_refused(NTStatus.STATUS_ACCESS_DENIED)
    assert isinstance(refusal.error, AuthorizationDeniedError)
    assert outcome.code != 0


@pytest.mark.parametrize("version", [6, 4])
def test_versions(display: str, version: int) -> None:
    # The client adopts the server's version downwards.
    with RDPServer(ACCOUNTS, max_version=version, min_version=min(version, 5)) as server:
        xfreerdp(server, display)
        delegation = server.assert_delegated(username="alice", password=PASSWORD)
    assert delegation.version == version


def test_too_many_half_open_connections_do_not_lock_this_client_out(display: str) -> None:
    import socket

    from credssp.drivers.rdp_service import ServerLimits

    with RDPServer(ACCOUNTS, limits=ServerLimits(half_open=5)) as server:
        held = [socket.create_connection(server.address) for _ in range(8)]
        assert server.wait(refusals=3)
        xfreerdp(server, display)
        assert server.wait(delegations=1)
        for each in held:
            each.close()
    # Three of the eight were too many, and this client's connection pushed one more out.
    assert [type(refusal.error) for refusal in server.refusals[:4]] == [LimitExceededError] * 4
