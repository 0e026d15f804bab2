"""FreeRDP 3 in both roles: xfreerdp3 against our server, ``credssp login`` against freerdp-shadow-cli3.

Without Kerberos credentials the client speaks bare NTLMSSP. It needs no display with ``+auth-only``, and ends
with exit code 131 after a good login then (`AUTH_ONLY`). The server sends an errorCode to version 6, takes NTLM
with and without SPNEGO, and Kerberos. With Kerberos: `tests.interop.test_freerdp3_kerberos`.

What the server (3.10.3) cannot do: HYBRID_EX (with ``/sec:ext`` it demands TLS without CredSSP), refuse a user after
the login, Restricted Admin (below), Remote Credential Guard (it closes the connection on the X.224 Connection Request).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from credssp import NTStatus, PasswordCredentials
from credssp.nt_hash import nt_hash
from credssp.rdp import AuthorizationDeniedError, Protocol, RequestFlags, ResponseFlags
from credssp.testing import RDPServer
from tests.interop import freerdp, x11
from tests.interop.test_freerdp_client import ACCOUNTS, LOGON_FAILURE, MCS_CONNECT_INITIAL, TRANSPORT_FAILED
from tests.interop.test_freerdp_client import PASSWORD as UMLAUT
from tests.peers import require_program

pytestmark = pytest.mark.interop

AUTHENTICATION_FAILED = 132
AUTH_ONLY = 131
"""Of 3.10.3 with ``+auth-only`` once the session is active: it says "exit status 1", which is TRUE, disconnects, and
then takes the exit code of an error that there was not, XF_EXIT_CONN_FAILED."""
AUTHENTICATED = "Authentication only, exit status 1"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """It asks the DNS for a KDC of the domain LAB where its configuration does not say otherwise."""
    configuration = tmp_path / "krb5.conf"
    configuration.write_text("[libdefaults]\ndns_lookup_kdc = false\ndns_lookup_realm = false\n")
    return {"LC_ALL": "C.UTF-8", "KRB5_CONFIG": str(configuration), "HOME": str(tmp_path)}


def xfreerdp3(
    server: RDPServer,
    environment: dict[str, str],
    *options: str,
    security: str = "nla",
    user: str = "alice",
    password: str = UMLAUT,
) -> x11.Outcome:
    command = [require_program("xfreerdp3"), "+auth-only", f"/v:{server.host}:{server.port}", f"/u:{user}", "/d:LAB"]
    return x11.run([*command, f"/p:{password}", "/cert:ignore", f"/sec:{security}", *options], environment=environment)


@pytest.mark.parametrize(("security", "selected"), [("nla", Protocol.HYBRID), ("ext", Protocol.HYBRID_EX)])
def test_client_with_a_right_password_is_accepted_and_delegates(
    environment: dict[str, str], security: str, selected: Protocol
) -> None:
    with RDPServer(ACCOUNTS, protocols=Protocol.HYBRID | Protocol.HYBRID_EX) as server:
        outcome = xfreerdp3(server, environment, security=security)
        delegation = server.assert_delegated()
    assert not server.refusals
    assert outcome.code == AUTH_ONLY, outcome.output
    assert AUTHENTICATED in outcome.output
    assert "LOGON_FAILURE" not in outcome.output
    assert delegation.credentials == PasswordCredentials("alice", UMLAUT, domain="LAB")
    assert (delegation.mechanism, delegation.version, delegation.peer_version) == ("ntlm", 6, 6)
    assert delegation.negotiated.selected is selected
    assert delegation.received[4:9] == MCS_CONNECT_INITIAL


@pytest.mark.parametrize("security", ["nla", "ext"])
@pytest.mark.parametrize(("user", "password"), [("alice", "wrong"), ("nobody", UMLAUT)])
def test_client_with_a_wrong_password_or_an_unknown_user_names_the_reason(
    environment: dict[str, str], security: str, user: str, password: str
) -> None:
    with RDPServer(ACCOUNTS, protocols=Protocol.HYBRID | Protocol.HYBRID_EX) as server:
        outcome = xfreerdp3(server, environment, security=security, user=user, password=password)
        server.assert_refused(NTStatus.STATUS_LOGON_FAILURE)
    assert outcome.code == LOGON_FAILURE, outcome.output
    assert "ERRCONNECT_LOGON_FAILURE" in outcome.output


def test_client_reads_the_early_user_authorization_result(environment: dict[str, str]) -> None:
    with RDPServer(ACCOUNTS, protocols=Protocol.HYBRID_EX, authorize=lambda identity, credentials: False) as server:
        debug = {"WLOG_FILTER": "com.freerdp.core.nla:DEBUG"}
        outcome = xfreerdp3(server, environment | debug, security="ext")
        refusal = server.assert_refused(NTStatus.STATUS_ACCESS_DENIED)
    assert isinstance(refusal.error, AuthorizationDeniedError)
    assert outcome.code == AUTHENTICATION_FAILED
    assert "FAILURE code 0x00000005" in outcome.output


def test_client_that_is_denied_over_hybrid_is_disconnected(environment: dict[str, str]) -> None:
    with RDPServer(ACCOUNTS, protocols=Protocol.HYBRID, authorize=lambda identity, credentials: False) as server:
        outcome = xfreerdp3(server, environment)
        assert server.wait(refusals=1)
    assert not server.delegations
    assert {type(refusal.error) for refusal in server.refusals} == {AuthorizationDeniedError}
    assert outcome.code == TRANSPORT_FAILED


def test_client_asks_for_restricted_admin(environment: dict[str, str]) -> None:
    with RDPServer(ACCOUNTS) as server:
        outcome = xfreerdp3(server, environment, "/restricted-admin")
        delegation = server.assert_delegated()
    assert outcome.code == AUTH_ONLY, outcome.output
    negotiated = delegation.negotiated
    assert negotiated.request is not None
    assert negotiated.request.negotiation is not None
    assert RequestFlags.RESTRICTED_ADMIN_MODE_REQUIRED in negotiated.request.negotiation.flags
    assert ResponseFlags.RESTRICTED_ADMIN_MODE_SUPPORTED in negotiated.flags
    # 3.10.3 delegates its password all the same; version 2 sends the three empty strings, as it should.
    assert delegation.is_empty or delegation.credentials == PasswordCredentials("alice", UMLAUT, domain="LAB")


@pytest.fixture(scope="module")
def shadow3(display: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a shadow server whose SAM file knows LABDOM\\alice."""
    with freerdp.shadow(3, display, tmp_path_factory.mktemp("shadow3")) as port:
        yield port


def test_winpr_hash_3_agrees_about_the_nt_hash() -> None:
    arguments = ("-u", "a", "-d", "D", "-p", freerdp.PASSWORD)
    made = x11.run([require_program("winpr-hash3"), *arguments], environment={})
    assert made.output.strip().endswith(nt_hash(freerdp.PASSWORD).hex())


# With SPNEGO it takes pubKeyAuth in the message after the last token only: `credssp.engine.state`, SEND_KEY_AGAIN.
@pytest.mark.parametrize("mechanism", ["ntlm", "negotiate", "auto"])
def test_server_accepts_a_right_password(shadow3: int, mechanism: str) -> None:
    code, facts = freerdp.login(shadow3, "-u", "alice", "-d", "LABDOM", "--mechanism", mechanism)
    assert code == 0, facts
    assert facts["accepted"] is True
    assert facts["rdp"]["selected_protocol"] == "HYBRID"
    assert facts["rdp"]["answer"] == "session"
    assert facts["mechanism"] == "ntlm"
    assert facts["credssp"] == {"version": 6, "peer_version": 6}
    assert facts["delegated"] is True


@pytest.mark.parametrize("mechanism", ["ntlm", "negotiate"])
@pytest.mark.parametrize(("user", "password"), [("alice", "wrong"), ("nobody", freerdp.PASSWORD)])
def test_server_refuses_a_wrong_password_and_an_unknown_user(
    shadow3: int, mechanism: str, user: str, password: str
) -> None:
    code, facts = freerdp.login(shadow3, "-u", user, "-d", "LABDOM", "--mechanism", mechanism, password=password)
    assert code == 1, facts
    assert facts["accepted"] is False
    assert facts["mechanism"] == "ntlm"
    # It checks the MIC before the password, and says so with a number that is neither NTSTATUS nor SECURITY_STATUS.
    assert facts["status"]["hex"] == "0xC00700EA"
    assert facts["status"]["name"] == "NTSTATUS_FROM_WIN32(ERROR_MORE_DATA)"
    assert "user name or password" in facts["status"]["text"]
    assert facts["delegated"] is False


def test_server_without_restricted_admin_gets_nothing(shadow3: int) -> None:
    code, facts = freerdp.login(shadow3, "-u", "alice", "-d", "LABDOM", "--mechanism", "ntlm", "--restricted-admin")
    assert code == 3, facts
    assert "does not support Restricted Admin mode" in facts["status"]["text"]
    assert facts["delegated"] is False


def test_probe_says_what_the_server_offers(shadow3: int) -> None:
    outcome = x11.run(
        [sys.executable, "-m", "credssp", "probe", f"127.0.0.1:{shadow3}", "--json"], environment={}, timeout=60
    )
    assert outcome.code == 0, outcome.output
    facts = json.loads(outcome.output)
    assert facts["protocols"]["HYBRID"] == "accepted"
    assert facts["credssp"]["version"] == 6
