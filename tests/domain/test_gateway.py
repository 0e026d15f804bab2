"""A gateway on a member of a domain: its users log on, and the groups of the domain say who gets which server."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import credssp
from credssp.rdp import AuthorizationDeniedError
from credssp.tls.certificate import process_certificate
from tests.domain.lab import Domain
from tests.domain.service import Service, log_on, running, serving, status_of, user

pytestmark = pytest.mark.interop

MECHANISMS = ["ntlm", "kerberos"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("gateway")
    certificate = process_certificate()
    (made / "gw.pem").write_bytes(certificate.chain + certificate.private_key.reveal())
    (made / "gw.pem").chmod(0o600)
    return made


@pytest.fixture(scope="module")
def server(domain: Domain, folder: Path) -> Iterator[Service]:
    """A server of the domain, which the gateway logs users on to."""
    with serving(domain, "rdp", "--cert", str(folder / "gw.pem")) as running_server:
        yield running_server


def configuration(domain: Domain, folder: Path, server: Service, users: str) -> str:
    file = folder / "gateway.toml"
    pin = hashlib.sha256(process_certificate().der).hexdigest()
    file.write_text(
        '[listen]\naddress = "127.0.0.10:0"\ncertificate = "gw.pem"\nwinbind = true\n'
        f'keytab = "{domain.keytab}"\n\n[[target]]\nname = "office"\naddress = "127.0.0.10:{server.port}"\n'
        f'mechanism = "ntlm"\nfingerprint = "{pin}"\nusers = [{users}]\n'
    )
    file.chmod(0o600)
    return str(file)


@pytest.fixture(scope="module")
def gateway(domain: Domain, folder: Path, server: Service) -> Iterator[Service]:
    with running(
        domain, "gateway", "run", configuration(domain, folder, server, '"group:LAB\\\\RDP Users", "LAB\\\\carol"')
    ) as made:
        yield made


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize(
    ("typed", "account"),
    [
        ("LAB\\alice", "alice"),
        ("alice@lab.test", "alice"),
        ("LAB\\bob", "bob"),
        ("LAB\\Ümläut", "Ümläut"),
        ("carol.jones@corp.example", "carol"),
    ],
)
def test_a_member_of_the_group_gets_the_server(
    domain: Domain, gateway: Service, server: Service, typed: str, account: str, mechanism: str
) -> None:
    before = [
        sum(each["event"] == name for each in service.events)
        for service, name in ((gateway, "connected"), (server, "delegated"))
    ]
    log_on(domain, gateway, user(typed), mechanism)
    connected = gateway.wait("connected", before[0] + 1)
    assert connected["target"] == "office"
    assert server.wait("delegated", before[1] + 1)["user"] == account


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_who_is_not_a_member_is_refused(domain: Domain, gateway: Service, mechanism: str) -> None:
    count = sum(each["event"] == "refused" for each in gateway.events)
    with pytest.raises(AuthorizationDeniedError):
        log_on(domain, gateway, user("LAB\\many"), mechanism)
    refused = gateway.wait("refused", count + 1)
    assert (refused["reason"], refused["user"]) == ("not_authorized", "many")
    assert "no target is meant for this user" in refused["status"]["text"]


def test_a_wrong_password_reaches_no_server(domain: Domain, gateway: Service, server: Service) -> None:
    before = len(server.events)
    assert status_of(domain, gateway, user("LAB\\nosuch", "wrong")) == credssp.NTStatus.STATUS_LOGON_FAILURE
    assert len(server.events) == before


def test_another_users_credentials_are_not_passed_on(domain: Domain, gateway: Service) -> None:
    for other in (user("LAB\\bob"), user("OTHER\\alice"), user("alice@other.test")):
        count = sum(each["event"] == "refused" for each in gateway.events)
        with pytest.raises(AuthorizationDeniedError):
            log_on(domain, gateway, user("LAB\\alice"), delegated_credentials=other)
        assert "another user was delegated" in gateway.wait("refused", count + 1)["status"]["text"]


def explain(domain: Domain, file: str, *options: str) -> tuple[int, str]:
    done = domain.run([sys.executable, "-m", "credssp", "gateway", *options, file], check=False)
    return done.returncode, done.stdout + done.stderr


def test_explain_says_by_which_group(domain: Domain, folder: Path, server: Service, gateway: Service) -> None:
    file = str(folder / "gateway.toml")
    for name, in_groups in (("LAB\\alice", 2), ("alice@lab.test", 2), ("bob", 3)):
        code, text = explain(domain, file, "explain", "--user", name)
        assert code == 0
        account = "bob" if name == "bob" else "alice"
        assert f"LAB\\{account}: {domain.attribute(account, 'objectSid')}, in {in_groups} groups" in text
        assert "office: chosen" in text
        assert "(the user is in group:LAB\\RDP Users)" in text
    code, text = explain(domain, file, "explain", "--user", "LAB\\many")
    assert (code, "office: no: the user does not fit" in text) == (1, True)
    code, text = explain(domain, file, "explain", "--group", "LAB\\RDP Users", "--user", "LAB\\many")
    assert code == 0
    for words in (("--user", "LAB\\nosuch"), ("--user", "LAB\\RDP Users"), ("--group", "LAB\\nosuch")):
        code, text = explain(domain, file, "explain", *words)
        assert code == 2
        assert "is not a user" in text or "winbindd does not find the" in text


def test_a_group_that_the_domain_does_not_know_is_refused(domain: Domain, folder: Path, server: Service) -> None:
    other = folder / "other"
    other.mkdir()
    (other / "gw.pem").write_bytes((folder / "gw.pem").read_bytes())
    (other / "gw.pem").chmod(0o600)
    for name in ("LAB\\\\RDP Userz", "LAB\\\\alice"):
        file = configuration(domain, other, server, f'"group:{name}"')
        for command in ("check", "run", "explain"):
            code, text = explain(domain, file, command)
            assert code == 2
            assert "target office: users: " in text
            assert "winbindd does not find the group" in text or "is not a group" in text
