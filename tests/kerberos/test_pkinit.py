"""Logging on with a certificate: PKINIT against MIT's KDC, with files and with a smart card in software."""

from __future__ import annotations

import subprocess
import threading
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import credssp
from credssp import CertificateCredentials, SmartCardCredentials
from credssp.cli import main
from credssp.errors import AuthenticationError
from credssp.status import NTStatus, SecurityStatus
from credssp.testing import RDPServer
from tests.kdc import REALM, Realm
from tests.kerberos import exchange
from tests.peers import require_module, require_program
from tests.pki import PIN, SOFTHSM, Authority, SoftCard

pytestmark = pytest.mark.interop


@dataclass(frozen=True)
class Lab:
    """A realm whose KDC takes certificates."""

    realm: Realm
    authority: Authority
    card: SoftCard
    keytab: Path

    def credentials(
        self, username: str = "alice", identity: str = "", *, pin: str | None = None, anchors: str = ""
    ) -> CertificateCredentials:
        return CertificateCredentials(
            f"{username}@{REALM}",
            identity or self.authority.identity("alice"),
            pin=pin,
            anchors=anchors or self.authority.anchors,
        )


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    require_module("gssapi", extra="kerberos")
    require_module("krb5", extra="kerberos")
    authority = Authority(tmp_path_factory.mktemp("pki"))
    authority.kdc(REALM, "localhost")
    authority.user("alice", REALM)
    authority.user("alice", REALM, file="expired", days=-1)
    card = SoftCard(tmp_path_factory.mktemp("card"), authority, "alice")
    with Realm(tmp_path_factory.mktemp("realm"), pki=authority.folder) as realm:
        realm.add("alice", "+requires_preauth", password="not used")
        realm.add("bob", "+requires_preauth", password="not used")
        realm.add("TERMSRV/localhost")
        yield Lab(realm, authority, card, realm.keytab("server.keytab", "TERMSRV/localhost"))


@pytest.fixture(autouse=True)
def _live_in_the_realm(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (lab.realm.environment | lab.card.environment).items():
        monkeypatch.setenv(name, value)


def log_on(lab: Lab, credentials: CertificateCredentials) -> credssp.ServerContext:
    """Log on in memory and return the server."""
    client = credssp.ClientContext(credentials, target_name="TERMSRV/localhost", mechanism="kerberos")
    server = credssp.ServerContext(keytab=str(lab.keytab))
    outcome = exchange.log_on(client, server)
    if outcome.client_error is not None:
        raise outcome.client_error
    assert outcome.server_error is None
    return server


def refused(lab: Lab, credentials: CertificateCredentials) -> AuthenticationError:
    with pytest.raises(AuthenticationError) as caught:
        log_on(lab, credentials)
    return caught.value


def test_a_certificate_in_a_file_logs_on_and_delegates_nothing(lab: Lab) -> None:
    server = log_on(lab, lab.credentials())
    assert server.identity is not None
    assert (server.identity.username, server.identity.mechanism) == ("alice", "kerberos")
    assert server.delegated_credentials == credssp.PasswordCredentials.empty()


def test_a_smart_card_logs_on_and_is_delegated_with_its_pin(lab: Lab) -> None:
    server = log_on(lab, lab.credentials(identity=lab.card.identity, pin=PIN))
    card = server.delegated_credentials
    assert isinstance(card, SmartCardCredentials)
    assert (card.pin.reveal(), card.card_name, card.user_hint) == (PIN, "alice-card", f"alice@{REALM}")
    assert card.csp_name == "Microsoft Base Smart Card Crypto Provider"


def test_the_only_token_needs_no_label(lab: Lab) -> None:
    assert log_on(lab, lab.credentials(identity=f"PKCS11:module_name={SOFTHSM}", pin=PIN)).identity is not None


def test_a_wrong_pin_is_tried_once_and_told_from_other_refusals(lab: Lab) -> None:
    error = refused(lab, lab.credentials(identity=lab.card.identity, pin="4321"))
    assert (error.ntstatus, error.status) == (NTStatus.STATUS_SMARTCARD_WRONG_PIN, SecurityStatus.SEC_E_LOGON_DENIED)
    assert "the PIN is wrong" in str(error)
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    assert "4321" not in "".join(line for line in shown.format() if "credssp/" in line)
    assert log_on(lab, lab.credentials(identity=lab.card.identity, pin=PIN)).identity is not None


def test_a_card_without_a_pin_is_not_tried(lab: Lab) -> None:
    error = refused(lab, lab.credentials(identity=lab.card.identity))
    assert error.ntstatus == NTStatus.STATUS_SMARTCARD_CARD_NOT_AUTHENTICATED


@pytest.mark.parametrize(
    ("flag", "ntstatus"), [(2, "STATUS_SMARTCARD_WRONG_PIN"), (4, "STATUS_SMARTCARD_CARD_BLOCKED")]
)
def test_the_last_try_of_a_card_is_left_to_its_user(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, flag: int, ntstatus: str
) -> None:
    from credssp.kerberos import pkinit

    # SoftHSM has no such counters: what its token says of itself is read as if it had.
    monkeypatch.setattr(pkinit, "_LOCKED" if flag == 4 else "_FINAL_TRY", 1)
    refused(lab, lab.credentials(identity=lab.card.identity, pin="4321"))  # sets flag 1, one PIN was wrong
    error = refused(lab, lab.credentials(identity=lab.card.identity, pin=PIN))
    assert error.ntstatus == NTStatus[ntstatus]
    monkeypatch.setattr(pkinit, "_LOCKED", 4)
    monkeypatch.setattr(pkinit, "_FINAL_TRY", 2)
    assert log_on(lab, lab.credentials(identity=lab.card.identity, pin=PIN)).identity is not None  # and clears it


def test_another_users_card_is_refused_by_the_kdc(lab: Lab) -> None:
    for pin, identity in ((PIN, lab.card.identity), (None, lab.authority.identity("alice"))):
        error = refused(lab, lab.credentials("bob", identity, pin=pin))
        assert error.status == SecurityStatus.SEC_E_PKINIT_NAME_MISMATCH
        assert error.ntstatus == NTStatus.STATUS_PKINIT_NAME_MISMATCH


@pytest.mark.parametrize("identity", [f"PKCS11:module_name={SOFTHSM}:token=none", "PKCS11:module_name=/nonexistent.so"])
def test_a_token_that_is_not_there_is_named_as_such(lab: Lab, identity: str) -> None:
    error = refused(lab, lab.credentials(identity=identity, pin=PIN))
    assert error.ntstatus == NTStatus.STATUS_SMARTCARD_NO_CARD
    assert "no smart card was found" in str(error)


def test_file_errors_name_the_file(lab: Lab, tmp_path: Path) -> None:
    assert "/nonexistent.pem" in str(refused(lab, lab.credentials(identity="FILE:/nonexistent.pem")))
    noise = tmp_path / "noise"
    noise.write_bytes(b"\x00noise")
    assert str(noise) in str(refused(lab, lab.credentials(identity=f"FILE:{noise}")))
    assert "/nonexistent" in str(refused(lab, lab.credentials(anchors="FILE:/nonexistent")))


def test_an_expired_certificate_is_named_as_such(lab: Lab) -> None:
    error = refused(lab, lab.credentials(identity=lab.authority.identity("expired")))
    assert error.ntstatus == NTStatus.STATUS_SMARTCARD_CERT_EXPIRED


def test_an_unknown_authority_is_named_as_such(lab: Lab, tmp_path: Path) -> None:
    other = Authority(tmp_path)
    other.user("alice", REALM)
    error = refused(lab, lab.credentials(anchors=other.anchors))
    assert (error.status, error.ntstatus) == (
        SecurityStatus.SEC_E_PKINIT_CLIENT_FAILURE,
        NTStatus.STATUS_PKINIT_CLIENT_FAILURE,
    )
    assert "pkinit_anchors" in (error.advice or "")


def test_a_pass_phrase_opens_the_key(lab: Lab, tmp_path: Path) -> None:
    key = tmp_path / "alice.key"
    subprocess.run(
        [require_program("openssl"), "rsa", "-aes256", "-passout", "pass:a phrase", "-in",
         str(lab.authority.folder / "alice.key"), "-out", str(key)],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    identity = f"FILE:{lab.authority.folder / 'alice.crt'},{key}"
    assert log_on(lab, lab.credentials(identity=identity, pin="a phrase")).identity is not None
    assert "pass phrase of the key file is wrong" in str(refused(lab, lab.credentials(identity=identity, pin="other")))


def test_a_kdc_without_a_certificate_is_named_as_such(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Realm(tmp_path) as plain:
        plain.add("alice", "+requires_preauth", password="not used")
        for name, value in plain.environment.items():
            monkeypatch.setenv(name, value)
        error = refused(lab, lab.credentials())
    assert error.status == SecurityStatus.SEC_E_NO_PA_DATA
    assert "krb5-pkinit" in (error.advice or "")


def test_threads_log_on_with_the_same_card(lab: Lab) -> None:
    found: list[object] = []

    def one() -> None:
        try:
            found.append(log_on(lab, lab.credentials(identity=lab.card.identity, pin=PIN)).identity)
        except Exception as error:  # noqa: BLE001  # shown by the assertion
            found.append(error)

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [getattr(identity, "username", identity) for identity in found] == ["alice"] * 8


def test_command_line_logs_on_with_a_card(
    lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARD_PIN", PIN)
    words = ["-u", f"alice@{REALM}", "--pkinit-anchors", lab.authority.anchors, "--mechanism", "kerberos"]
    with RDPServer(keytab=str(lab.keytab)) as server:
        url = f"rdp://localhost:{server.port}"
        card = ["--pkinit", lab.card.identity, "--smartcard-pin", "env:CARD_PIN", "--reader", "Reader 0"]
        assert main(["login", url, *words, *card]) == 0
        assert server.wait(delegations=1)
        delegated = server.delegations[-1].credentials
        assert isinstance(delegated, SmartCardCredentials)
        assert (delegated.reader_name, delegated.card_name, delegated.pin.reveal()) == ("Reader 0", "alice-card", PIN)
        assert main(["login", url, *words, "--pkinit", lab.authority.identity("alice")]) == 0
        assert server.wait(delegations=2)
        assert server.delegations[-1].is_empty
        monkeypatch.setenv("CARD_PIN", "9999")
        assert main(["login", url, *words, *card]) == 1
    assert "STATUS_SMARTCARD_WRONG_PIN 0xC0000380" in capsys.readouterr().err
