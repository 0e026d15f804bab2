"""Logins through the agent: what the program gets, what the server is given, and what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

import credssp
from credssp import rdp
from credssp.credentials import AgentCredentials
from credssp.engine.events import Direction
from credssp.errors import CredSSPError, LocalProtocolError, PolicyError
from credssp.lsa.channel import AgentChannel
from credssp.lsa.faults import raised
from credssp.lsa.messages import AgentMessage, Bind, Close, Done, Failed, Open, Progress, Token
from credssp.lsa.opened import AgentRefusedError, CertificateRule, OpenedCredential, Reason
from credssp.lsa.remote import Agent, AgentError
from credssp.ntlm.messages import Authenticate, decode_message
from credssp.policy import DelegationPolicy
from credssp.status import SecurityStatus
from credssp.testing.rdp import RDPServer
from credssp.tls.certificate import ServerCertificate
from credssp.winrm.client import ClientLogin
from credssp.wire.ts_request import TSRequest
from tests.lsa.agents import PASSWORD, RunningAgent, fingerprint, opened, running_agent, server_certificate

WHO = {("LAB", "alice"): PASSWORD}


@pytest.fixture(scope="module")
def certificate() -> ServerCertificate:
    return server_certificate()


@pytest.fixture(scope="module")
def server(certificate: ServerCertificate) -> Iterator[RDPServer]:
    with RDPServer(WHO, certificate=certificate, hold=0.01) as running:
        yield running


@pytest.fixture
def pinned(certificate: ServerCertificate) -> OpenedCredential:
    return opened(certificate=CertificateRule(fingerprint=fingerprint(certificate)))


def connect(server: RDPServer, running: RunningAgent, /, **options: Any) -> Any:
    return rdp.connect(server.host, server.port, credentials=running.credentials(), **options)


@pytest.mark.parametrize("driver", ["blocking", "asyncio"])
def test_a_program_logs_on_and_the_server_gets_the_password(
    server: RDPServer, pinned: OpenedCredential, driver: str
) -> None:
    server.delegations.clear()
    with running_agent(pinned) as agent:
        if driver == "blocking":
            with connect(server, agent) as session:
                context, delegated = session.endpoint.context, session.endpoint.delegated
        else:

            async def run() -> Any:
                async with await rdp.open_connection(
                    server.host, server.port, credentials=agent.credentials()
                ) as session:
                    return session.endpoint

            endpoint = asyncio.run(run())
            context, delegated = endpoint.context, endpoint.delegated
        assert context.complete
        assert context.mechanism == "ntlm"
        assert context.version == 6
        assert context.server_authentication.is_strong
        assert delegated
        server.assert_delegated(username="alice", domain="LAB", password=PASSWORD)
        record = agent.last()
    assert record.outcome == "success"
    assert record.mechanism == "ntlm"
    assert record.delegated
    assert record.proof_sent
    assert record.credential == "lab"
    assert record.target == "TERMSRV/127.0.0.1"
    assert record.caller.pid > 0


def test_a_certificate_of_an_authority_that_the_credential_trusts_does(
    server: RDPServer, certificate: ServerCertificate
) -> None:
    with running_agent(opened(certificate=CertificateRule(roots=(certificate.der,)))) as agent:
        connect(server, agent).close()
        assert agent.last().outcome == "success"


@pytest.mark.parametrize(
    "rule",
    [
        None,
        CertificateRule(fingerprint="00" * 32),
        CertificateRule(roots=()),
        CertificateRule(roots=(server_certificate("srv.lab.test").der,)),
    ],
)
@pytest.mark.parametrize("mechanisms", [("ntlm",), ("kerberos", "ntlm")])
def test_a_program_that_plays_its_own_server_gets_no_ntlm_message(
    server: RDPServer, rule: CertificateRule | None, mechanisms: tuple[Any, ...]
) -> None:
    seen: list[TSRequest] = []
    with running_agent(opened(certificate=rule, mechanisms=mechanisms)) as agent:
        with pytest.raises(CredSSPError) as caught:
            connect(server, agent, observer=lambda direction, message, data: seen.append(message))
        record = agent.last()
    if mechanisms == ("ntlm",):
        assert isinstance(caught.value, AgentRefusedError)
        assert caught.value.reason is Reason.CERTIFICATE
        assert caught.value.status == SecurityStatus.SEC_E_UNTRUSTED_ROOT
        assert record.outcome == "refused"
        assert record.reason == "certificate"
    assert seen == []
    assert not record.proof_sent


def test_the_programs_own_trust_settings_change_nothing(server: RDPServer, certificate: ServerCertificate) -> None:
    trusting = credssp.ClientTLS(fingerprint=fingerprint(certificate))
    with running_agent(opened(certificate=None)) as agent, pytest.raises(CredSSPError):
        connect(server, agent, tls=trusting)


def test_a_certificate_for_another_host_does_not_do(certificate: ServerCertificate) -> None:
    other = server_certificate("other.lab.test")
    with (
        RDPServer(WHO, certificate=other) as server,
        running_agent(opened(mechanisms=("ntlm",), certificate=CertificateRule(roots=(other.der,)))) as agent,
        pytest.raises(AgentRefusedError, match="does not name 127.0.0.1"),
    ):
        connect(server, agent)


def test_a_program_that_lies_about_the_certificate_is_bound_to_a_key_that_its_server_does_not_have(
    pinned: OpenedCredential, certificate: ServerCertificate
) -> None:
    def lying(config: Any, chain: tuple[bytes, ...], by_tls: Any) -> Any:
        return Agent()(config, (certificate.der,), by_tls)

    with RDPServer(WHO, certificate=server_certificate()) as own, running_agent(pinned) as agent:
        with pytest.raises(CredSSPError):
            connect(own, agent, agent=lying)
        record = agent.last()
        assert own.delegations == []
    assert not record.delegated
    assert record.outcome != "success"
    assert record.proof_sent  # what the audit is to be watched for: docs/explanation/agent-security.md


@pytest.mark.parametrize(
    ("changes", "reason", "status"),
    [
        ({"name": "other"}, Reason.UNKNOWN, SecurityStatus.SEC_E_NO_CREDENTIALS),
        ({"mechanisms": ("kerberos",), "mechanism": "ntlm"}, Reason.MECHANISM, SecurityStatus.SEC_E_SECPKG_NOT_FOUND),
        ({"targets": "TERMSRV/*.lab.test"}, Reason.TARGET, SecurityStatus.SEC_E_TARGET_UNKNOWN),
    ],
)
def test_each_refusal_has_its_status_and_its_record(
    server: RDPServer,
    certificate: ServerCertificate,
    changes: dict[str, Any],
    reason: Reason,
    status: SecurityStatus,
) -> None:
    mechanism, targets = changes.pop("mechanism", "auto"), changes.pop("targets", "*")
    name = changes.pop("name", "lab")
    rule = CertificateRule(fingerprint=fingerprint(certificate))
    with running_agent(opened(name, certificate=rule, **changes), targets=targets) as agent:
        with pytest.raises(AgentRefusedError) as caught:
            connect(server, agent, mechanism=mechanism)
        record = agent.last()
    assert caught.value.reason is reason
    assert caught.value.status == status
    assert record.outcome == "refused"
    assert record.reason == reason.value
    assert record.status == status
    assert not record.proof_sent


@pytest.mark.parametrize(
    ("changes", "options"),
    [({"delegate": "nothing"}, {}), ({}, {"delegate": False}), ({"delegate": "smartcard"}, {})],
)
def test_the_server_is_given_an_empty_set_where_the_rule_or_the_program_says_so(
    server: RDPServer, pinned: OpenedCredential, changes: Any, options: Any
) -> None:
    server.delegations.clear()
    with running_agent(replace(pinned, **changes)) as agent:
        with connect(server, agent, **options) as session:
            assert not session.endpoint.delegated
        assert server.wait(delegations=1)
        assert server.delegations[0].is_empty
        assert not agent.last().delegated


def test_a_policy_of_the_agent_that_says_no_ends_the_login_before_any_message(
    server: RDPServer, certificate: ServerCertificate
) -> None:
    rule = CertificateRule(fingerprint=fingerprint(certificate))
    with running_agent(opened(certificate=rule, policy=DelegationPolicy.deny_all())) as agent:
        with pytest.raises(PolicyError):
            connect(server, agent)
        record = agent.last()
    assert record.outcome == "refused"
    assert not record.proof_sent


def test_a_policy_of_the_program_counts_in_addition(server: RDPServer, pinned: OpenedCredential) -> None:
    with running_agent(pinned) as agent:
        with pytest.raises(PolicyError):
            connect(server, agent, policy=DelegationPolicy.deny_all())
        assert agent.records == []


def test_the_observer_of_the_program_sees_the_messages(server: RDPServer, pinned: OpenedCredential) -> None:
    seen: list[Direction] = []
    with running_agent(pinned) as agent:
        connect(server, agent, observer=lambda direction, message, data: seen.append(direction)).close()
    sent, received = Direction.SENT, Direction.RECEIVED
    assert seen == [sent, received, sent, received, sent]


def test_a_wrong_password_is_refused_by_the_server_as_in_a_direct_login(
    server: RDPServer, certificate: ServerCertificate
) -> None:
    wrong = credssp.PasswordCredentials("alice", "wrong", domain="LAB")
    rule = CertificateRule(fingerprint=fingerprint(certificate))
    with pytest.raises(credssp.PeerRefusedError) as direct:
        rdp.connect(server.host, server.port, credentials=wrong)
    with running_agent(opened(certificate=rule, credentials=wrong)) as agent:
        with pytest.raises(credssp.PeerRefusedError) as caught:
            connect(server, agent)
        record = agent.last()
    assert str(caught.value) == str(direct.value)
    assert caught.value.refused
    assert record.outcome == "failed"
    assert record.reason == "PeerRefusedError"
    assert record.proof_sent


@pytest.mark.parametrize(
    "make",
    [
        lambda given: credssp.ClientContext(given, target_name="TERMSRV/x"),
        lambda given: rdp.NLAClient(given, host="x"),
        lambda given: ClientLogin(host="x", credentials=given),
    ],
    ids=["ClientContext", "NLAClient", "ClientLogin"],
)
def test_a_bare_context_names_the_drivers(make: Any) -> None:
    with pytest.raises(LocalProtocolError, match=r"credssp\.rdp\.connect.*HTTPCredSSPAuth.*CredSSPAuth.*agent="):
        make(AgentCredentials("lab"))


def test_a_program_cannot_delegate_other_credentials_through_the_agent() -> None:
    with pytest.raises(LocalProtocolError, match="delegated_credentials"):
        credssp.ClientConfig(
            credentials=AgentCredentials("lab"), delegated_credentials=credssp.PasswordCredentials("x", "y")
        )


# Handles


@pytest.fixture
def raw(pinned: OpenedCredential) -> Iterator[tuple[RunningAgent, Any]]:
    """An agent, and a function that makes connections to it."""
    with running_agent(pinned) as agent, contextlib.ExitStack() as stack:

        def make() -> AgentChannel:
            return stack.enter_context(contextlib.closing(AgentChannel(agent.path, timeout=30)))

        yield agent, make


def begin(channel: AgentChannel, certificate: ServerCertificate, **changes: Any) -> Progress:
    request = {"credential": "lab", "target": "TERMSRV/127.0.0.1", "chain": (certificate.der,)} | changes
    step = channel.call(Open(**request))
    assert isinstance(step, Progress), step
    return step


def refusal(answer: AgentMessage) -> CredSSPError:
    assert isinstance(answer, Failed)
    return raised(answer)


def test_a_handle_of_another_connection_is_none(raw: Any, certificate: ServerCertificate) -> None:
    agent, make = raw
    one, other = make(), make()
    step = begin(one, certificate)
    for message in (Token(step.context, 1, b"0\0"), Close(step.context), Token(0, 1, b"0\0")):
        error = refusal(other.call(message))
        assert isinstance(error, AgentRefusedError)
        assert error.reason is Reason.HANDLE
        assert error.status == SecurityStatus.SEC_E_INVALID_HANDLE
    assert isinstance(one.call(Close(step.context)), Done)  # it is there still
    agent.last(4)
    refused = [(each.outcome, each.reason, each.status, each.credential) for each in agent.records[:3]]
    assert refused == [("refused", "handle", SecurityStatus.SEC_E_INVALID_HANDLE, "")] * 3, "the audit is told"
    assert agent.records[3].reason == "closed"


def challenge() -> bytes:
    """A server's CHALLENGE, from a login that goes no further."""
    context = credssp.ServerContext(accounts=credssp.MemoryAccounts(WHO))
    engine = context._start()
    client = credssp.engine.ClientEngine(
        credssp.context.initiator.create_initiator(
            credssp.PasswordCredentials("alice", "x", domain="LAB"), target_name="TERMSRV/x", mechanism="ntlm"
        ),
        public_key=b"key",
        target_name="TERMSRV/x",
    )
    (first,) = client.initiate()
    (answer,) = engine.receive(first.data)  # type: ignore[union-attr]
    return answer.data  # type: ignore[union-attr]


def test_a_token_that_is_given_twice_ends_the_context(raw: Any, certificate: ServerCertificate) -> None:
    agent, make = raw
    channel = make()
    step = begin(channel, certificate)
    token = challenge()
    answer = channel.call(Token(step.context, 1, token))
    assert isinstance(answer, Progress)
    authenticate = TSRequest.decode(answer.messages[0]).nego_tokens
    assert authenticate
    assert isinstance(decode_message(authenticate[0]), Authenticate)
    error = refusal(channel.call(Token(step.context, 2, token)))
    assert isinstance(error, AgentRefusedError)
    assert error.reason is Reason.REPLAY
    assert error.status == SecurityStatus.SEC_E_OUT_OF_SEQUENCE
    record = agent.last()
    assert record.outcome == "refused"
    assert record.reason == "replay"
    assert record.proof_sent
    for number, message in enumerate((Token(step.context, 3, b"0\0"), Bind(step.context, (b"x",))), 2):
        again = refusal(channel.call(message))
        assert isinstance(again, AgentRefusedError)
        assert again.reason is Reason.REPLAY
        assert agent.last(number).reason == "replay", "the audit is told of a context that is over, too"


@pytest.mark.parametrize("mechanism", ["ntlm", "negotiate"])
def test_without_the_certificate_that_was_to_come_later_there_is_no_response(raw: Any, mechanism: str) -> None:
    agent, make = raw
    channel = make()
    step = channel.call(Open(credential="lab", package="TSSSP", target="TERMSRV/127.0.0.1", mechanism=mechanism))
    assert isinstance(step, Progress)
    error = refusal(channel.call(Token(step.context, 1, challenge())))
    assert "public key is not known" in error.message
    assert not agent.last().proof_sent


def test_a_certificate_that_is_given_after_the_right_one_ends_the_context(
    raw: Any, certificate: ServerCertificate
) -> None:
    agent, make = raw
    channel = make()
    step = channel.call(Open(credential="lab", package="TSSSP", target="TERMSRV/127.0.0.1", mechanism="ntlm"))
    assert isinstance(step, Progress)
    assert isinstance(channel.call(Bind(step.context, (certificate.der,))), Done)
    refusal(channel.call(Bind(step.context, (server_certificate("another.example").der,))))
    refusal(channel.call(Token(step.context, 1, challenge())))
    assert not any(record.proof_sent for record in agent.records)


def test_a_token_out_of_its_turn_ends_the_context(raw: Any, certificate: ServerCertificate) -> None:
    _, make = raw
    channel = make()
    step = begin(channel, certificate)
    error = refusal(channel.call(Token(step.context, 2, challenge())))
    assert isinstance(error, AgentRefusedError)
    assert error.reason is Reason.REPLAY


def test_what_is_open_ends_with_the_connection(raw: Any, certificate: ServerCertificate) -> None:
    agent, make = raw
    channel = make()
    begin(channel, certificate)
    channel.close()
    record = agent.last()
    assert record.outcome == "abandoned"
    assert record.status == SecurityStatus.SEC_E_UNFINISHED_CONTEXT_DELETED


def test_a_policy_target_of_another_host_is_refused(raw: Any, certificate: ServerCertificate) -> None:
    _, make = raw
    request = Open(
        credential="lab", target="HTTP/127.0.0.1", policy_target="WSMAN/srv.lab.test", chain=(certificate.der,)
    )
    assert isinstance(refusal(make().call(request)), LocalProtocolError)


def test_a_program_cannot_lower_the_version(raw: Any, certificate: ServerCertificate) -> None:
    _, make = raw
    request = Open(
        credential="lab", target="TERMSRV/127.0.0.1", lowest_version=2, highest_version=4, chain=(certificate.der,)
    )
    assert isinstance(refusal(make().call(request)), LocalProtocolError)


# No agent


def test_no_agent_is_an_error_with_its_cause(server: RDPServer, tmp_path: Any) -> None:
    with pytest.raises(AgentError, match="No such file") as caught:
        rdp.connect(server.host, server.port, credentials=AgentCredentials("lab", str(tmp_path / "none")))
    assert caught.value.status == SecurityStatus.SEC_E_INTERNAL_ERROR
    assert "credssp agent" in caught.value.advice


@pytest.mark.parametrize("answer", [b"", b"\0\0", b"\0\0\0\1\xff", b"\xff\xff\xff\xff", b"\0\0\0\1\x84"])
def test_an_agent_that_ends_or_babbles_in_the_middle_is_an_error_with_its_cause(
    server: RDPServer, tmp_path: Any, answer: bytes
) -> None:
    import threading

    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def play() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4)
                connection.sendall(answer)

        thread = threading.Thread(target=play, daemon=True)
        thread.start()
        with pytest.raises(AgentError) as caught:
            rdp.connect(server.host, server.port, credentials=AgentCredentials("lab", path))
        thread.join(10)
    assert caught.value.status == SecurityStatus.SEC_E_INTERNAL_ERROR
    assert path in caught.value.message


def test_an_agent_that_does_not_answer_is_given_up(server: RDPServer, tmp_path: Any) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        with pytest.raises(AgentError, match="did not answer within 3 s"):
            rdp.connect(
                server.host,
                server.port,
                credentials=AgentCredentials("lab", path),
                timeouts=credssp.Timeouts(login=3),
            )


def test_a_mode_that_does_not_exist_is_refused() -> None:
    with pytest.raises(credssp.LocalProtocolError, match="mode is empty or remote-guard, not 'guard'"):
        AgentCredentials("lab", mode="guard")  # type: ignore[arg-type]
