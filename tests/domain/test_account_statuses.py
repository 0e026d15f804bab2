"""Why an account may not log on is said by the KDC, and told with its next step; and one wrong password counts once."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest

from credssp import AuthenticationError
from credssp.status import describe
from tests.domain.lab import DC, Domain, password
from tests.domain.logins import Server, log_on, run_login, serving
from tests.peers import require_program

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def server(domain: Domain) -> Iterator[Server]:
    with serving(domain, "--keytab", str(domain.keytab), "--user", r"LOCAL\nobody:secret") as running:
        yield running


@pytest.mark.parametrize(
    ("user", "name", "code"),
    [
        ("locked", "STATUS_ACCOUNT_LOCKED_OUT", 0xC0000234),
        ("disabled", "STATUS_ACCOUNT_DISABLED", 0xC0000072),
        ("mustchange", "STATUS_PASSWORD_MUST_CHANGE", 0xC0000224),
        ("nohours", "STATUS_INVALID_LOGON_HOURS", 0xC000006F),
        ("acctexpired", "STATUS_ACCOUNT_EXPIRED", 0xC0000193),
    ],
)
def test_kdc_says_why_an_account_may_not_log_on(
    domain: Domain, server: Server, user: str, name: str, code: int
) -> None:
    login = log_on(domain, server, rf"LAB\{user}", password(user))
    assert isinstance(login.error, AuthenticationError)
    assert (login.status, login.error.ntstatus, login.error.judged) == (name, code, True)
    assert login.error.advice == describe(code).advice
    assert domain.attribute(user, "badPwdCount") in ("", "0")  # and NTLM did not try it as well


def test_report_has_the_status_and_the_next_step(domain: Domain, server: Server) -> None:
    status = run_login(domain, server.url, "nohours@lab.test", password("nohours"))["status"]
    assert (status["name"], status["hex"]) == ("STATUS_INVALID_LOGON_HOURS", "0xC000006F")
    assert status["advice"] == describe(0xC000006F).advice


def test_account_for_another_workstation_is_refused_where_the_client_says_which_it_is(
    domain: Domain, server: Server
) -> None:
    wanted = log_on(domain, server, r"LAB\wsonly", password("wsonly"), workstation="OTHERPC")
    assert (wanted.error, wanted.context.mechanism) == (None, "kerberos")
    other = log_on(domain, server, r"LAB\wsonly", password("wsonly"), workstation="THISPC")
    assert other.status == "STATUS_INVALID_WORKSTATION"


@pytest.mark.parametrize("typed", [r"LAB\wrong", "wrong@lab.test"])
def test_wrong_password_counts_once(domain: Domain, server: Server, typed: str) -> None:
    assert log_on(domain, server, typed, password("wrong")).error is None  # which sets the counter to zero
    assert domain.attribute("wrong", "badPwdCount") == "0"
    assert log_on(domain, server, typed, "not the password").status == "STATUS_LOGON_FAILURE"
    assert domain.attribute("wrong", "badPwdCount") == "1"


def test_wrong_password_counts_once_although_krb5_conf_names_a_primary_kdc(
    domain: Domain, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libkrb5's own functions ask that one too where another KDC, here a relay to it, refused the password."""
    assert log_on(domain, server, r"LAB\wrong", password("wrong")).error is None
    relay = domain.call(socketserver.ThreadingTCPServer, ("127.0.0.60", 0), _Relay)
    relay.daemon_threads = True
    other = threading.Thread(target=domain.call, args=(relay.serve_forever, 0.05))
    other.start()
    try:
        kdcs = f"kdc = 127.0.0.60:{relay.server_address[1]}\n        primary_kdc = {DC}"
        conf = domain.folder / "primary.conf"
        conf.write_text(domain.krb5_conf.read_text().replace(f"kdc = {DC}", kdcs))
        monkeypatch.setenv("KRB5_CONFIG", str(conf))
        assert log_on(domain, server, r"LAB\wrong", "not the password").status == "STATUS_LOGON_FAILURE"
        assert domain.attribute("wrong", "badPwdCount") == "1"
    finally:
        relay.shutdown()
        relay.server_close()
        other.join()


def test_third_wrong_password_locks_and_the_right_one_is_then_refused_as_locked(domain: Domain, server: Server) -> None:
    for _ in range(3):
        assert log_on(domain, server, r"LAB\victim", "not the password").status == "STATUS_LOGON_FAILURE"
    assert log_on(domain, server, r"LAB\victim", password("victim")).status == "STATUS_ACCOUNT_LOCKED_OUT"


def test_clock_that_is_wrong_is_reported_as_such(domain: Domain, server: Server) -> None:
    require_program("faketime")
    conf = domain.folder / "no-timesync.conf"
    conf.write_text(domain.krb5_conf.read_text().replace("[libdefaults]", "[libdefaults]\n    kdc_timesync = 0"))
    alice = (r"LAB\alice", password("alice"), "--mechanism", "kerberos")
    late = ("faketime", "-f", "+20m")
    report = run_login(domain, server.url, *alice, env={"KRB5_CONFIG": str(conf)}, before=late)
    assert report["status"]["name"] == "SEC_E_TIME_SKEW", report


def test_clock_that_is_wrong_does_not_matter_where_libkrb5_follows_the_kdcs(domain: Domain, server: Server) -> None:
    require_program("faketime")
    report = run_login(domain, server.url, r"LAB\alice", password("alice"), before=("faketime", "-f", "+20m"))
    assert (report["accepted"], report["mechanism"]) == (True, "kerberos"), report


class _Relay(socketserver.StreamRequestHandler):
    """Takes one message of Kerberos over TCP, and returns the answer of the domain controller."""

    def handle(self) -> None:
        size = self.rfile.read(4)
        with socket.create_connection((DC, 88), timeout=30) as kdc, kdc.makefile("rb") as answers:
            kdc.sendall(size + self.rfile.read(int.from_bytes(size, "big")))
            size = answers.read(4)
            self.wfile.write(size + answers.read(int.from_bytes(size, "big")))
