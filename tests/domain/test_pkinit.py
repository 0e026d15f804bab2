"""Logging on with a certificate against a real domain controller."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import credssp
from credssp import CertificateCredentials, SmartCardCredentials
from credssp.errors import AuthenticationError
from credssp.status import NTStatus
from tests.domain.lab import MEMBER, Domain
from tests.kerberos.exchange import log_on
from tests.pki import PIN, SoftCard

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def card(domain: Domain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftCard]:
    card = SoftCard(tmp_path_factory.mktemp("card"), domain.authority, "alice")
    with pytest.MonkeyPatch.context() as environment:
        for name, value in card.environment.items():
            environment.setenv(name, value)
        yield card


def logged_on(domain: Domain, credentials: CertificateCredentials) -> credssp.ServerContext:
    """Log on with Kerberos to a service of the member, in memory."""
    client = credssp.ClientContext(credentials, target_name=f"TERMSRV/{MEMBER}", mechanism="kerberos")
    server = credssp.ServerContext(keytab=str(domain.keytab))
    outcome = domain.call(log_on, client, server)
    if outcome.client_error is not None:
        raise outcome.client_error
    assert outcome.server_error is None
    return server


@pytest.mark.parametrize(("user", "domain_name"), [("alice@LAB.TEST", ""), ("alice@lab.test", ""), ("alice", "LAB")])
def test_a_smart_card_logs_on_and_is_delegated(domain: Domain, card: SoftCard, user: str, domain_name: str) -> None:
    credentials = CertificateCredentials(
        user, card.identity, domain=domain_name, pin=PIN, anchors=domain.authority.anchors
    )
    server = logged_on(domain, credentials)
    assert server.identity is not None
    assert server.identity.username == "alice"
    assert isinstance(server.delegated_credentials, SmartCardCredentials)
    assert server.delegated_credentials.pin.reveal() == PIN


def test_a_certificate_in_a_file_delegates_nothing(domain: Domain) -> None:
    authority = domain.authority
    server = logged_on(
        domain, CertificateCredentials("alice@LAB.TEST", authority.identity("alice"), anchors=authority.anchors)
    )
    assert server.delegated_credentials == credssp.PasswordCredentials.empty()


def test_a_wrong_pin_does_not_reach_the_domain(domain: Domain, card: SoftCard) -> None:
    before = domain.attribute("alice", "badPwdCount")
    credentials = CertificateCredentials("alice@LAB.TEST", card.identity, pin="0000", anchors=domain.authority.anchors)
    with pytest.raises(AuthenticationError) as refused:
        logged_on(domain, credentials)
    assert refused.value.ntstatus == NTStatus.STATUS_SMARTCARD_WRONG_PIN
    assert domain.attribute("alice", "badPwdCount") == before


def test_another_users_card_is_refused(domain: Domain, card: SoftCard) -> None:
    credentials = CertificateCredentials("bob@LAB.TEST", card.identity, pin=PIN, anchors=domain.authority.anchors)
    with pytest.raises(AuthenticationError) as refused:
        logged_on(domain, credentials)
    assert refused.value.ntstatus == NTStatus.STATUS_PKINIT_NAME_MISMATCH


def test_a_certificate_of_an_authority_unknown_to_the_domain_is_refused(domain: Domain, tmp_path: Path) -> None:
    from tests.pki import Authority

    other = Authority(tmp_path)
    other.user("alice", "LAB.TEST")
    both = tmp_path / "both.crt"
    both.write_bytes((tmp_path / "ca.crt").read_bytes() + (domain.authority.folder / "ca.crt").read_bytes())
    credentials = CertificateCredentials("alice@LAB.TEST", other.identity("alice"), anchors=f"FILE:{both}")
    with pytest.raises(AuthenticationError) as refused:
        logged_on(domain, credentials)
    assert refused.value.ntstatus == NTStatus.STATUS_PKINIT_CLIENT_FAILURE
