"""Kerberos through the agent, against a real KDC: a password, a keytab and tickets; no certificate is needed."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from typing import Any

import pytest

import credssp
import credssp.sspi as sspi
from credssp import rdp
from credssp.errors import AuthenticationError, CredSSPError
from credssp.lsa.channel import AgentChannel
from credssp.lsa.messages import Open, Progress
from credssp.lsa.opened import CertificateRule, OpenedCredential
from credssp.spnego import OID, NegTokenInit
from credssp.spnego.tokens import decode as decode_token
from credssp.testing.rdp import RDPServer
from credssp.testing.winrm import WinRMServer
from credssp.wire.ts_request import TSRequest
from tests.kdc import REALM, Realm
from tests.lsa.agents import fingerprint, opened, running_agent, server_certificate
from tests.lsa.test_agent_sspi import assert_protects, exchange
from tests.peers import require_module
from tests.sspi.pair import Side, credential, lsa
from tests.winrm.servers import IDENTIFY, SOAP_TYPE

pytestmark = pytest.mark.interop

PASSWORD = "Made-up for the agent 1"
ALICE = credssp.PasswordCredentials("alice", PASSWORD, domain=REALM)


@dataclasses.dataclass(frozen=True)
class Lab:
    realm: Realm
    keytab: str
    own: str
    ccache: str


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    require_module("gssapi", extra="kerberos")
    require_module("krb5", extra="kerberos")
    with Realm(tmp_path_factory.mktemp("realm")) as realm:
        realm.add("alice", password=PASSWORD)
        services = ["TERMSRV/localhost", "HTTP/localhost"]
        for service in services:
            realm.add(service)
        ccache = realm.kinit("alice", PASSWORD)
        realm.add("robot")
        yield Lab(realm, str(realm.keytab("server.keytab", *services)), str(realm.keytab("own", "robot")), ccache)


@pytest.fixture(autouse=True)
def _in_the_realm(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in lab.realm.environment.items():
        monkeypatch.setitem(os.environ, name, value)


def credentials_of(lab: Lab, kind: str) -> credssp.LogonCredentials:
    if kind == "password":
        return ALICE
    if kind == "keytab":
        return credssp.KeytabCredentials(lab.own, f"robot@{REALM}")
    return credssp.CCacheCredentials(lab.ccache)


def without_certificate(lab: Lab, kind: str) -> OpenedCredential:
    return opened(credentials=credentials_of(lab, kind), mechanisms=("kerberos",))


@pytest.mark.parametrize("kind", ["password", "keytab", "ccache"])
def test_rdp_without_a_certificate(lab: Lab, kind: str) -> None:
    with RDPServer({}, keytab=lab.keytab, hold=0.01) as server, running_agent(without_certificate(lab, kind)) as agent:
        with rdp.connect("localhost", server.port, credentials=agent.credentials()) as session:
            context = session.endpoint.context
            assert context.mechanism == "kerberos"
            assert context.server_authentication is credssp.ServerAuthentication.KERBEROS
            assert session.endpoint.delegated is (kind == "password")
            assert context.client_name.startswith("robot" if kind == "keytab" else "alice")
        assert server.wait(delegations=1)
        assert server.delegations[0].is_empty is (kind != "password")
        record = agent.last()
    assert record.outcome == "success"
    assert record.mechanism == "kerberos"


@pytest.mark.parametrize("kind", ["password", "keytab"])
def test_winrm_without_a_certificate(lab: Lab, kind: str) -> None:
    requests = pytest.importorskip("requests")
    from credssp.drivers.winrm_requests import HTTPCredSSPAuth

    with (
        WinRMServer({}, keytab=lab.keytab) as server,
        running_agent(without_certificate(lab, kind)) as agent,
        requests.Session() as session,
    ):
        url = server.url.replace("127.0.0.1", "localhost")
        auth = HTTPCredSSPAuth(credentials=agent.credentials())
        answer = session.post(url, data=IDENTIFY, headers={"Content-Type": SOAP_TYPE}, auth=auth)
        assert "IdentifyResponse" in answer.text
        assert agent.last().mechanism == "kerberos"


def test_spnego_offers_ntlm_only_to_a_server_whose_certificate_is_trusted(lab: Lab) -> None:
    certificate = server_certificate("localhost")

    def offered(rule: CertificateRule | None) -> tuple[str, ...]:
        with running_agent(opened(credentials=ALICE, certificate=rule)) as agent:
            channel = AgentChannel(agent.path, timeout=60)
            step = channel.call(Open(credential="lab", target="TERMSRV/localhost", chain=(certificate.der,)))
            assert isinstance(step, Progress)
            channel.close()
        (token,) = TSRequest.decode(step.messages[0]).nego_tokens or ()
        init = decode_token(token)
        assert isinstance(init, NegTokenInit)
        return init.mech_types

    assert OID.NTLM in offered(CertificateRule(fingerprint=fingerprint(certificate)))
    assert OID.NTLM not in offered(None)


def test_a_server_that_plays_the_kdcs_service_without_its_key_gets_no_session_and_no_password(
    lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> None:
    accounts = {(REALM, "alice"): PASSWORD}
    with RDPServer(accounts, mechanisms=["ntlm"]) as own, running_agent(without_certificate(lab, "password")) as agent:
        with pytest.raises(CredSSPError):
            rdp.connect("localhost", own.port, credentials=agent.credentials())
        assert own.delegations == []
        assert not agent.last().delegated


def test_the_reason_of_kerberos_says_why_ntlm_was_not_used(lab: Lab) -> None:
    wrong = credssp.PasswordCredentials("alice", "wrong", domain=REALM)
    with RDPServer({}, keytab=lab.keytab) as server, running_agent(opened(credentials=wrong)) as agent:
        with pytest.raises(AuthenticationError, match="NTLM was not used: the credential has neither") as caught:
            rdp.connect("localhost", server.port, credentials=agent.credentials())
        assert caught.value.judged
        assert agent.last().outcome == "failed"


def test_a_step_that_waits_for_a_kdc_keeps_no_other_program_waiting(lab: Lab) -> None:
    """One credential has a KDC that is silent; logins with another one go on meanwhile."""
    from concurrent.futures import ThreadPoolExecutor

    from tests.kdc import SilentKDC

    certificate = server_certificate("localhost")
    rule = CertificateRule(fingerprint=fingerprint(certificate))
    other: Any = credssp.PasswordCredentials("bob", "pw", domain="LAB")
    with (
        SilentKDC() as silent,
        RDPServer({("LAB", "bob"): "pw"}, certificate=certificate, hold=0.01) as server,
        running_agent(
            opened("slow", credentials=ALICE, mechanisms=("kerberos",)),
            opened("quick", credentials=other, mechanisms=("ntlm",), certificate=rule),
        ) as agent,
        ThreadPoolExecutor(1) as pool,
    ):
        before = os.environ["KRB5_CONFIG"]
        os.environ["KRB5_CONFIG"] = str(lab.realm.configure("silent.conf", port=silent.port))
        try:
            slow = pool.submit(rdp.connect, "localhost", server.port, credentials=agent.credentials("slow"))
            silent._listener.settimeout(60)
            asked, _ = silent._listener.accept()
            rdp.connect("localhost", server.port, credentials=agent.credentials("quick"), mechanism="ntlm").close()
            assert not slow.done()
        finally:
            os.environ["KRB5_CONFIG"] = before
            asked.close()
            silent.close()
        with pytest.raises(CredSSPError):
            slow.result(60)


@pytest.mark.parametrize("package", ["Kerberos", "Negotiate"])
@pytest.mark.parametrize("kind", ["password", "keytab"])
def test_a_packed_context_of_kerberos_protects_messages_in_the_program(
    lab: Lab, package: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_agent(without_certificate(lab, kind)) as agent:
        monkeypatch.setenv("CREDSSP_AGENT_SOCK", agent.path)
        authority = lsa(keytab=lab.keytab)
        flags = sspi.ISC_REQ_ALLOCATE_MEMORY
        client = Side(authority, credential(authority, package=package, principal="lab"), flags)
        client.target = "HTTP/localhost"
        inbound = credential(authority, package=package, use=sspi.SECPKG_CRED_INBOUND)
        server = Side(authority, inbound, flags, client=False)
        exchange(client, server, None)
        assert client.query(sspi.SECPKG_ATTR_NEGOTIATION_PACKAGE).package_info.name == "Kerberos"
        keys = [side.query(sspi.SECPKG_ATTR_SESSION_KEY).session_key for side in (client, server)]
        assert keys[0] == keys[1]
        assert_protects(client, server)
        assert agent.last().outcome == "success"
