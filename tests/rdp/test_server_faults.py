"""Our own client against each fault of the RDP test server, blocking and on asyncio: the error, and what it advises."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from credssp import (
    BindingError,
    CertificateError,
    CredSSPError,
    LocalProtocolError,
    LocalRestrictionError,
    PasswordCredentials,
    PeerClosedError,
    SecurityStatus,
    Timeouts,
    rdp,
)
from credssp.cli import _serve_faults
from credssp.drivers.handshake import DeadlineError
from credssp.next_step import NextStep
from credssp.rdp import LoginRefusedError, Protocol
from credssp.testing import DEFAULT_ACCOUNTS, RDPServer
from credssp.testing import server_faults as module
from credssp.testing.scenarios import RDP_SCENARIOS
from credssp.testing.server_faults import RDP_LEGS, ClosedOnPurposeError, ServerFaults
from credssp.tls.settings import ClientTLS

ALICE = PasswordCredentials("alice", DEFAULT_ACCOUNTS["LAB", "alice"], domain="LAB")


def blocking(server: RDPServer, **options: Any) -> bytes:
    with rdp.connect(*server.address, credentials=ALICE, mechanism="ntlm", **options) as session:
        return session.recv()


def on_asyncio(server: RDPServer, **options: Any) -> bytes:
    async def main() -> bytes:
        session = await rdp.open_connection(*server.address, credentials=ALICE, mechanism="ntlm", **options)
        async with session:
            return await session.read()

    return asyncio.run(main())


@pytest.fixture(params=[blocking, on_asyncio], ids=lambda client: client.__name__)
def client(request: pytest.FixtureRequest) -> Callable[..., bytes]:
    return request.param  # type: ignore[no-any-return]


def serving(faults: ServerFaults, **options: Any) -> RDPServer:
    return RDPServer(faults=faults, session="none", **options)


def error_of(client: Callable[..., bytes], server: RDPServer, **options: Any) -> CredSSPError:
    with pytest.raises(CredSSPError) as caught:
        client(server, **options)
    return caught.value


@pytest.mark.parametrize(
    ("leg", "kind", "advice"),
    [
        ("negotiation", PeerClosedError, "Check the port, and whether the server limits or bans this address"),
        ("tls", PeerClosedError, "it closed before any proof was sent"),
        ("authentication", PeerClosedError, "it closed before any proof was sent"),
        (1, PeerClosedError, "it closed before any proof was sent"),
        (2, PeerClosedError, "it closed before any proof was sent"),
        ("key", LoginRefusedError, NextStep.REFUSED),
        (3, LoginRefusedError, NextStep.REFUSED),
        (4, LoginRefusedError, NextStep.REFUSED),
    ],
)
def test_client_says_how_far_it_was_when_the_server_closed(
    client: Callable[..., bytes], leg: Any, kind: type[CredSSPError], advice: str
) -> None:
    with serving(ServerFaults(close_at=leg)) as server:
        error = error_of(client, server)
        refusal = server.assert_refused()
    assert type(error) is kind
    assert advice in error.advice
    assert isinstance(refusal.error, ClosedOnPurposeError)
    assert f"its answer to {'' if isinstance(leg, int) else 'the '}leg {leg!r}" in refusal.error.message


@pytest.mark.parametrize("leg", ["credentials", 5])
@pytest.mark.parametrize("selected", [Protocol.HYBRID, Protocol.HYBRID_EX])
def test_client_that_is_closed_out_after_authinfo_has_delegated(
    client: Callable[..., bytes], leg: Any, selected: Protocol
) -> None:
    with serving(ServerFaults(close_at=leg), protocols=selected) as server:
        error = error_of(client, server)
        server.assert_delegated(username="alice", domain="LAB")
    assert not server.refusals
    assert type(error) is LoginRefusedError
    assert error.advice == NextStep.REFUSED_CREDENTIALS


@pytest.mark.parametrize("version", [2, 3, 4, 5, 6])
def test_client_delegates_nothing_to_a_server_that_binds_to_another_key(
    client: Callable[..., bytes], version: int
) -> None:
    with serving(ServerFaults(wrong_key=True), max_version=version, min_version=2) as server:
        error = error_of(client, server, min_version=2)
        server.assert_refused()
    assert type(error) is BindingError
    assert error.status == SecurityStatus.SEC_E_MESSAGE_ALTERED
    assert error.advice == NextStep.BINDING


def test_server_with_the_wrong_key_still_verifies_the_key_of_the_client() -> None:
    from credssp import binding, generate_certificate
    from credssp.context import ClientContext
    from credssp.testing.faulty_context import FaultyContext

    other = binding.subject_public_key(generate_certificate("p256").der)
    server = FaultyContext(ServerFaults(wrong_key=True), config=RDPServer().config)
    client = ClientContext(ALICE, target_name="TERMSRV/localhost", mechanism="ntlm")
    token = b""
    with pytest.raises(BindingError, match="of the client"):
        for leg in range(20):
            token = server.step(client.step(token).token).token
            if (engine := client._engine) is not None and leg < 3:
                engine._public_key = other  # type: ignore[attr-defined]  # as if somebody were in the middle


def test_client_waits_for_a_slow_server(client: Callable[..., bytes]) -> None:
    begin = time.monotonic()
    with serving(ServerFaults(delay=0.2)) as server:
        client(server)
        server.assert_delegated(username="alice")
    assert time.monotonic() - begin >= 4 * 0.2  # negotiation, TLS, CHALLENGE, pubKeyAuth


def test_client_has_a_deadline_for_a_slow_server(client: Callable[..., bytes]) -> None:
    with serving(ServerFaults(delay=20)) as server:
        error = error_of(client, server, timeouts=Timeouts(leg=0.3))
        refusal = server.assert_refused()
    assert type(error) is DeadlineError
    assert isinstance(refusal.error, PeerClosedError)


def test_delay_makes_the_limits_of_the_server_longer() -> None:
    config = ServerFaults(delay=30).prepare(RDPServer().config)
    assert config.limits.leg > 30
    assert config.limits.deadline > 5 * 30


@pytest.mark.parametrize(
    ("kind", "error", "status", "words"),
    [
        ("expired", CertificateError, SecurityStatus.SEC_E_CERT_EXPIRED, "Renew the certificate on the server"),
        ("weak", LocalRestrictionError, SecurityStatus.SEC_E_ALGORITHM_MISMATCH, "Have that certificate replaced"),
        ("other-name", CertificateError, SecurityStatus.SEC_E_WRONG_PRINCIPAL, "a name that is in the certificate"),
    ],
)
def test_client_that_checks_certificates_refuses_the_wrong_one_for_its_fault(
    client: Callable[..., bytes], kind: Any, error: type[CredSSPError], status: SecurityStatus, words: str
) -> None:
    faults = ServerFaults(certificate=kind)
    trust = ClientTLS(cadata=faults.authority.decode())
    with serving(faults) as server:
        found = error_of(client, server, tls=trust)
        server.assert_refused()
    assert type(found) is error
    assert found.status == status
    assert words in found.advice
    for lower in ("verify=False", "SECLEVEL=0", "legacy"):
        assert lower not in found.advice


def test_client_that_checks_certificates_takes_the_good_one(client: Callable[..., bytes]) -> None:
    faults = ServerFaults(certificate="good")
    with serving(faults) as server:
        client(server, tls=ClientTLS(cadata=faults.authority.decode()))
        server.assert_delegated(username="alice")


@pytest.mark.parametrize("kind", ["good", "expired", "weak", "other-name"])
def test_pubkeyauth_alone_does_not_judge_certificates(kind: Any) -> None:
    with serving(ServerFaults(certificate=kind)) as server:
        blocking(server)
        server.assert_delegated(username="alice")


@pytest.mark.parametrize("name", [name for name, each in RDP_SCENARIOS.items() if "faults" in each.options])
def test_scenario_ends_as_it_says(name: str) -> None:
    scenario = RDP_SCENARIOS[name]
    faults = scenario.options["faults"]
    tls = ClientTLS(cadata=faults.authority.decode()) if faults.certificate else None
    with RDPServer(session="none", **dict(scenario.options)) as server:
        if not scenario.error:
            blocking(server, tls=tls)
            server.assert_delegated(username="alice")
        else:
            assert type(error_of(blocking, server, tls=tls)).__name__ == scenario.error
            server.assert_refused()


# What makes no sense


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"close_at": "somewhere"}, "close_at 'somewhere': not one of negotiation"),
        ({"close_at": 0}, "counted from 1"),
        ({"delay": -1.0}, "delay -1"),
        ({"delay": float("inf")}, "delay inf"),
        ({"certificate": "green"}, "certificate 'green': not one of good, expired"),
    ],
)
def test_faults_that_make_no_sense_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(LocalProtocolError, match=words):
        ServerFaults(**options)


def test_leg_of_another_protocol_is_named() -> None:
    with pytest.raises(LocalProtocolError, match="close_at 'offer': not one of negotiation, tls"):
        RDPServer(faults=ServerFaults(close_at="offer"))


def test_command_line_has_the_same_legs_and_certificates() -> None:
    from typing import get_args

    from credssp.testing.wrong_certificates import CertificateKind

    assert _serve_faults.RDP_LEGS == RDP_LEGS
    assert _serve_faults.WINRM_LEGS == module.WINRM_LEGS
    assert get_args(CertificateKind) == _serve_faults._KINDS


def test_production_server_knows_nothing_of_faults() -> None:
    """No module below the test room imports it, and no option of the servers is one of a fault."""
    from dataclasses import fields

    from credssp.config import ServerConfig

    assert not {field.name for field in fields(ServerConfig)} & {field.name for field in fields(ServerFaults)} - {
        "certificate"  # a server has one
    }
