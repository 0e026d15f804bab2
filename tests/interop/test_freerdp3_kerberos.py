"""FreeRDP 3 with Kerberos in both roles, against a KDC of MIT's.

xfreerdp3 gets its tickets with ``/u``, ``/d`` and ``/p``, or takes them from KRB5CCNAME. It puts user-to-user Kerberos
first in SPNEGO's list, with a request for our ticket (TGT-REQ) as its optimistic token; our server, which has a key and
no ticket, chooses the plain Kerberos that is second. ``/auth-pkg-list:kerberos,u2u`` and ``!u2u`` change nothing in
3.10.3 (``Unknown authentication package name: u2u``). Our client asks for plain Kerberos only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from credssp import NTStatus, PasswordCredentials, RemoteGuardCredentials
from credssp.engine import Direction
from credssp.kerberos.ap import Ticket
from credssp.kerberos.remote_guard_buffers import KerbTicketLogon
from credssp.rdp import AuthorizationDeniedError, Protocol, RequestFlags
from credssp.spnego import OID, NegTokenInit
from credssp.testing import RDPServer
from credssp.wire.ts_request import TSRequest
from tests.interop import freerdp, x11
from tests.interop.test_freerdp3 import AUTH_ONLY, AUTHENTICATION_FAILED
from tests.interop.test_freerdp_client import LOGON_FAILURE
from tests.kdc import REALM, Realm
from tests.peers import require_module, require_program

pytestmark = pytest.mark.interop

PASSWORD = freerdp.PASSWORD
SERVICES = ("TERMSRV/localhost", "HOST/localhost")


@dataclass(frozen=True)
class Lab:
    realm: Realm
    keytab: Path
    ccache: str


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    require_module("gssapi", extra="kerberos")
    require_module("krb5", extra="kerberos")
    with Realm(tmp_path_factory.mktemp("realm")) as realm:
        realm.add("alice", password=PASSWORD)
        for service in SERVICES:
            realm.add(service)
        yield Lab(realm, realm.keytab("server.keytab", *SERVICES), realm.kinit("alice", PASSWORD))


@pytest.fixture(autouse=True)
def _live_in_the_realm(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in lab.realm.environment.items():
        monkeypatch.setenv(name, value)


def xfreerdp3(
    server: RDPServer,
    lab: Lab,
    *options: str,
    security: str = "nla",
    user: str = "alice",
    password: str = PASSWORD,
    ccache: str = "",
) -> x11.Outcome:
    command = [require_program("xfreerdp3"), "+auth-only", f"/v:localhost:{server.port}", f"/u:{user}", f"/d:{REALM}"]
    command += [f"/p:{password}", "/cert:ignore", f"/sec:{security}", "/auth-pkg-list:kerberos,!ntlm", *options]
    own = {"LC_ALL": "C.UTF-8", "HOME": str(lab.realm.folder)} | ({"KRB5CCNAME": ccache} if ccache else {})
    return x11.run(command, environment=lab.realm.environment | own)


@pytest.mark.parametrize(("security", "selected"), [("nla", Protocol.HYBRID), ("ext", Protocol.HYBRID_EX)])
def test_client_with_a_ticket_delegates(lab: Lab, security: str, selected: Protocol) -> None:
    tokens: list[bytes] = []

    def observe(direction: Direction, message: TSRequest, data: bytes) -> None:
        if direction is Direction.RECEIVED and message.nego_tokens:
            tokens.append(message.nego_tokens[0])

    both = Protocol.HYBRID | Protocol.HYBRID_EX
    with RDPServer({}, keytab=str(lab.keytab), protocols=both, observer=observe) as server:
        outcome = xfreerdp3(server, lab, security=security)
        delegation = server.assert_delegated()
    assert outcome.code == AUTH_ONLY, outcome.output
    assert (delegation.mechanism, delegation.version, delegation.negotiated.selected) == ("kerberos", 6, selected)
    assert (delegation.identity.username, delegation.identity.domain) == ("alice", REALM)
    assert delegation.credentials == PasswordCredentials("alice", PASSWORD, domain=REALM)
    assert OID.KERBEROS in NegTokenInit.decode(tokens[0]).mech_types


@pytest.mark.parametrize(("user", "password"), [("alice", "wrong"), ("nobody", PASSWORD)])
def test_client_without_a_ticket_proves_nothing_to_the_server(lab: Lab, user: str, password: str) -> None:
    seen: list[TSRequest] = []
    with RDPServer(
        {}, keytab=str(lab.keytab), observer=lambda direction, message, data: seen.append(message)
    ) as server:
        outcome = xfreerdp3(server, lab, user=user, password=password)
    assert outcome.code in {AUTHENTICATION_FAILED, LOGON_FAILURE}, outcome.output
    assert not server.delegations
    assert not seen


@pytest.mark.parametrize(("password", "code"), [(PASSWORD, AUTH_ONLY), ("wrong", LOGON_FAILURE)])
def test_client_goes_on_with_ntlm_in_spnego_where_the_server_has_no_kerberos(
    lab: Lab, password: str, code: int
) -> None:
    forms: list[bytes] = []
    with RDPServer(
        {(REALM, "alice"): PASSWORD},
        observer=lambda way, message, data: forms.extend(token[:1] for token in message.nego_tokens or ()),
    ) as server:
        # The KDC gives a ticket in both cases; the password is then judged by the server, once.
        outcome = xfreerdp3(server, lab, "/auth-pkg-list:kerberos,ntlm", password=password, ccache=lab.ccache)
        assert server.wait(delegations=1) if code == AUTH_ONLY else server.wait(refusals=1)
    assert outcome.code == code, outcome.output
    assert {delegation.mechanism for delegation in server.delegations} <= {"ntlm"}
    assert set(forms) == {b"\x60", b"\xa1"}


def test_client_with_a_ticket_is_denied_by_the_early_user_authorization_result(lab: Lab) -> None:
    with RDPServer(
        {},
        keytab=str(lab.keytab),
        protocols=Protocol.HYBRID_EX,
        authorize=lambda identity, credentials: False,
    ) as server:
        outcome = xfreerdp3(server, lab, security="ext")
        refusal = server.assert_refused(NTStatus.STATUS_ACCESS_DENIED)
    assert isinstance(refusal.error, AuthorizationDeniedError)
    assert outcome.code == AUTHENTICATION_FAILED


def test_client_delegates_a_ticket_with_remote_credential_guard(lab: Lab) -> None:
    """It forwards the ticket of a cache only: those that it gets itself without a lifetime are not forwardable.

    `credssp.kerberos.remote_guard.open_remote_guard` does not open what 3.10.3 sends: its KRB-CRED is not encrypted
    with the session key of the service ticket, but with etype 0, not at all.
    """
    with RDPServer({}, keytab=str(lab.keytab), remote_guard=True) as server:
        outcome = xfreerdp3(server, lab, "/remoteGuard", ccache=lab.ccache)
        assert server.wait(delegations=1), outcome.output
        delegation = server.delegations[0]
    request = delegation.negotiated.request
    assert request is not None
    assert request.negotiation is not None
    assert RequestFlags.REDIRECTED_AUTHENTICATION_MODE_REQUIRED in request.negotiation.flags
    assert isinstance(delegation.credentials, RemoteGuardCredentials)
    logon = KerbTicketLogon.decode(delegation.credentials.buffer.reveal())
    assert str(Ticket.decode(logon.service_ticket.reveal()).sname) == "HOST/localhost"
    cred = logon.krb_cred()
    assert cred is not None
    (forwarded,) = map(Ticket.decode, cred.tickets)
    assert (str(forwarded.sname), forwarded.realm) == (f"krbtgt/{REALM}", REALM)


def test_server_accepts_a_ticket(lab: Lab, display: str, tmp_path: Path) -> None:
    with freerdp.shadow(3, display, tmp_path, f"/keytab:{lab.keytab}", environment=lab.realm.environment) as port:
        for options, delegated in (
            (("-u", f"alice@{REALM}"), True),
            (("--mechanism", "kerberos", "--ccache", lab.ccache.removeprefix("FILE:")), False),
        ):
            code, facts = freerdp.login(port, *options, host="localhost", environment=lab.realm.environment)
            assert code == 0, facts
            assert facts["mechanism"] == "kerberos"
            assert facts["server_authentication"] == ["kerberos"]
            assert facts["credssp"] == {"version": 6, "peer_version": 6}
            assert facts["delegated"] is delegated
