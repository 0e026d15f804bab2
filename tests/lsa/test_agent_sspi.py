"""SSPI through the agent: pszPrincipal names the credential, there is no pAuthData."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

import credssp
import credssp.sspi as sspi
from credssp.lsa.opened import CertificateRule
from credssp.lsa.remote import Agent
from credssp.sspi import SecBuffer, SecurityStatus
from credssp.sspi.packed import unpack_logon
from credssp.tls.certificate import ServerCertificate
from tests.lsa.agents import ACCOUNTS, PASSWORD, RunningAgent, fingerprint, opened, running_agent, server_certificate
from tests.sspi.pair import ASC, ISC, Side, credential, lsa
from tests.sspi.test_inner_packages import call, pair_of

TARGET = "TERMSRV/srv.lab.test"


@pytest.fixture(scope="module")
def certificate() -> ServerCertificate:
    return server_certificate("srv.lab.test")


@pytest.fixture
def agent(certificate: ServerCertificate, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningAgent]:
    rule = CertificateRule(fingerprint=fingerprint(certificate))
    with running_agent(
        opened(certificate=rule),
        opened("ntlm-only", certificate=rule, mechanisms=("ntlm",)),
        opened("untrusted", mechanisms=("ntlm",)),
    ) as running:
        monkeypatch.setenv("CREDSSP_AGENT_SOCK", running.path)
        yield running


def sides(package: str, certificate: ServerCertificate, name: str = "lab") -> tuple[Side, Side]:
    authority = lsa(accounts=ACCOUNTS)
    client = credential(authority, package=package, principal=name)
    schannel = sspi.SchannelCred(certificates=(certificate,))
    server = credential(
        authority, sspi.CredsspCred(schannel_cred=schannel), use=sspi.SECPKG_CRED_INBOUND, package=package
    )
    return Side(authority, client, ISC), Side(authority, server, ASC, client=False)


def run(client: Side, server: Side, certificate: bytes | None = None) -> None:
    """Take turns until both are done; with TSSSP, the client is given the certificate with the first answer."""
    token = client.leg()
    while True:
        token = server.leg(token)
        if server.status is SecurityStatus.SEC_E_OK and not token:
            return
        if certificate is not None:
            content = len(certificate).to_bytes(4, "little") + certificate
            client.extra_inputs = [SecBuffer(sspi.SECBUFFER_TOKEN | sspi.SECBUFFER_READONLY, content)]
            certificate = None
        token = client.leg(token)
        if client.status is SecurityStatus.SEC_E_OK and not token:
            return


@pytest.mark.parametrize("package", ["CREDSSP", "TSSSP"])
def test_a_program_logs_on_and_delegates_by_the_name_of_the_credential(
    package: str, certificate: ServerCertificate, agent: RunningAgent
) -> None:
    client, server = sides(package, certificate)
    run(client, server, certificate.der if package == "TSSSP" else None)
    assert client.status is server.status is SecurityStatus.SEC_E_OK
    creds = server.query(sspi.SECPKG_ATTR_CREDS_2)
    assert unpack_logon(creds.auth_buffer) == credssp.PasswordCredentials("alice", PASSWORD, domain="LAB")
    record = agent.last()
    assert record.outcome == "success"
    assert record.package == package
    assert record.delegated
    if package == "CREDSSP":
        assert server.decrypt(client.encrypt(b"ping")) == b"ping"


@pytest.mark.parametrize("package", ["CREDSSP", "TSSSP"])
def test_ntlm_sends_no_response_to_a_server_whose_certificate_is_not_trusted(
    package: str, certificate: ServerCertificate, agent: RunningAgent
) -> None:
    client, server = sides(package, certificate, "untrusted")
    with pytest.raises(sspi.SSPIError) as caught:
        run(client, server, certificate.der if package == "TSSSP" else None)
    assert caught.value.status == SecurityStatus.SEC_E_UNTRUSTED_ROOT
    assert not agent.last().proof_sent


def test_a_name_that_the_agent_does_not_have_is_refused_by_the_first_call(
    certificate: ServerCertificate, agent: RunningAgent
) -> None:
    client, server = sides("TSSSP", certificate, "nothing")
    with pytest.raises(sspi.SSPIError) as caught:
        run(client, server)
    assert caught.value.status == SecurityStatus.SEC_E_NO_CREDENTIALS


def test_without_an_agent_a_principal_is_a_user_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDSSP_AGENT_SOCK", raising=False)
    with pytest.raises(sspi.SSPIError) as caught:
        credential(lsa(), principal="lab")
    assert caught.value.status == SecurityStatus.SEC_E_UNKNOWN_CREDENTIALS


def test_a_user_who_logged_on_here_comes_before_the_agent(agent: RunningAgent) -> None:
    authority = lsa(accounts=ACCOUNTS)
    authority.accept_credentials(2, "lab", credssp.PasswordCredentials("lab", "own", domain="LAB"))
    handle = credential(authority, principal="lab")
    names = authority.query_credentials_attributes(handle, sspi.SECPKG_CRED_ATTR_NAMES)
    assert names.user_name == "LAB\\lab"


def test_a_server_credential_is_not_an_agents(agent: RunningAgent) -> None:
    with pytest.raises(sspi.SSPIError) as caught:
        credential(lsa(), use=sspi.SECPKG_CRED_INBOUND, principal="lab")
    assert caught.value.status == SecurityStatus.SEC_E_UNKNOWN_CREDENTIALS


def test_the_agent_can_be_one_that_the_program_configures(
    certificate: ServerCertificate, agent: RunningAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDSSP_AGENT_SOCK")
    authority = lsa(accounts=ACCOUNTS, client=credssp.ClientConfig(agent=Agent()))
    assert credential(authority, principal="lab").is_valid


# Negotiate and NTLM: the context comes over packed


def inner_sides(package: str, name: str = "lab") -> tuple[Side, Side]:
    authority = lsa(accounts=ACCOUNTS)
    client = credential(authority, package=package, principal=name)
    server = credential(authority, package=package, use=sspi.SECPKG_CRED_INBOUND)
    allocate = sspi.ISC_REQ_ALLOCATE_MEMORY
    return Side(authority, client, allocate), Side(authority, server, allocate, client=False)


def bindings_of(certificate: bytes) -> SecBuffer:
    bindings = sspi.ChannelBindings(b"tls-server-end-point:" + hashlib.sha256(certificate).digest())
    return SecBuffer(sspi.SECBUFFER_CHANNEL_BINDINGS, sspi.pack_channel_bindings(bindings))


def exchange(client: Side, server: Side, bindings: SecBuffer | None) -> None:
    token = call(client, *(() if bindings is None else (bindings,)))
    while True:
        token = call(server, SecBuffer(sspi.SECBUFFER_TOKEN, token))
        if not token:
            return
        token = call(client, SecBuffer(sspi.SECBUFFER_TOKEN, token))
        if not token:
            return


def assert_protects(one: Side, other: Side) -> None:
    for sender, receiver in ((one, other), (other, one), (one, other)):
        sizes = sender.query(sspi.SECPKG_ATTR_SIZES)
        message = pair_of(sizes.security_trailer, b"sealed")
        assert sender.authority.encrypt_message(sender.context, 0, message, 0) is SecurityStatus.SEC_E_OK
        assert message[1].data != b"sealed"
        receiver.authority.decrypt_message(receiver.context, message, 0)
        assert message[1].data == b"sealed"
        message = pair_of(sizes.max_signature, b"signed")
        sender.authority.make_signature(sender.context, 0, message, 0)
        receiver.authority.verify_signature(receiver.context, message, 0)


@pytest.mark.parametrize("package", ["Negotiate", "NTLM"])
def test_a_context_that_the_agent_made_protects_messages_in_the_program(
    package: str, certificate: ServerCertificate, agent: RunningAgent
) -> None:
    client, server = inner_sides(package)
    exchange(client, server, bindings_of(certificate.der))
    assert client.status is server.status is SecurityStatus.SEC_E_OK
    assert client.query(sspi.SECPKG_ATTR_NEGOTIATION_PACKAGE).package_info.name == "NTLM"
    assert server.query(sspi.SECPKG_ATTR_NAMES).user_name == "LAB\\alice"
    keys = [side.query(sspi.SECPKG_ATTR_SESSION_KEY).session_key for side in (client, server)]
    assert keys[0] == keys[1]
    assert_protects(client, server)
    record = agent.last()
    assert record.outcome == "success"
    assert record.package == package


@pytest.mark.parametrize("package", ["Negotiate", "NTLM"])
@pytest.mark.parametrize("other", [None, b"another certificate"])
def test_ntlm_without_the_bindings_of_the_pinned_certificate_sends_nothing(
    package: str, other: bytes | None, agent: RunningAgent
) -> None:
    client, server = inner_sides(package, "ntlm-only")
    with pytest.raises(sspi.SSPIError) as caught:
        exchange(client, server, None if other is None else bindings_of(other))
    assert caught.value.status == SecurityStatus.SEC_E_UNTRUSTED_ROOT
    assert not agent.last().proof_sent
