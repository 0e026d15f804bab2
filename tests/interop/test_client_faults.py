"""Clients of others against each fault of the test servers: every one ends with an error of its own, named here.

What they do not notice, or do not tell, is a finding and has a test of its own:

* xfreerdp 2 and 3 end with 147 (transport failed) in whatever leg after TLS the server closes, and where its key is
  wrong: the log alone has the reason. Version 3 connects a second time and proves the password twice.
* xfreerdp 2 and 3 take a certificate with an RSA key of 1024 bits, also with ``/cert:deny``: they lower OpenSSL's
  security level.
* xfreerdp 2 and 3 compare the host with the names of a certificate only, not with its addresses: ``/v:127.0.0.1`` is
  refused with ``/cert:deny`` whatever the certificate says.
* IronRDP's web client says ``not enough bytes`` wherever the connection ends, also before TLS. Its gateway judges
  certificates; the one here checks nothing.
* pywinrm and pypsrp do not judge the certificate inside CredSSP; pubKeyAuth binds the login to its key.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from credssp.testing import RDPServer
from credssp.testing.server_faults import ClosedOnPurposeError, ServerFaults
from credssp.testing.winrm import WinRMServer
from tests.interop import x11
from tests.interop.test_freerdp3 import AUTH_ONLY
from tests.interop.test_freerdp_client import TRANSPORT_FAILED
from tests.interop.test_ironrdp import ironrdp
from tests.peers import require_module, require_program

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")]

PASSWORD = "Pa55-w0rd"
ACCOUNTS = {("LAB", "alice"): PASSWORD}
TLS_CONNECT_FAILED = 143
"""xfreerdp's exit code where TLS does not come about."""

GOOD = (0, AUTH_ONLY)
"""Of xfreerdp 2 and 3 with ``+auth-only`` after a session that began."""

FreeRDP: TypeAlias = Callable[..., x11.Outcome]


@pytest.fixture(params=["xfreerdp", "xfreerdp3"])
def freerdp(request: pytest.FixtureRequest, display: str, tmp_path: Path) -> FreeRDP:
    program = require_program(str(request.param))
    kerberos = tmp_path / "krb5.conf"
    kerberos.write_text("[libdefaults]\ndns_lookup_kdc = false\ndns_lookup_realm = false\n")

    def run(server: RDPServer, *, host: str = "127.0.0.1", authority: Path | None = None) -> x11.Outcome:
        command = [program, "+auth-only", f"/v:{host}:{server.port}", "/u:alice", "/d:LAB", f"/p:{PASSWORD}"]
        environment = {"DISPLAY": display, "LC_ALL": "C.UTF-8", "KRB5_CONFIG": str(kerberos), "HOME": str(tmp_path)}
        if authority is not None:
            environment["SSL_CERT_FILE"] = str(authority)
        certificate = "/cert:ignore" if authority is None else "/cert:deny"
        return x11.run([*command, "/sec:nla", certificate], environment=environment, timeout=90)

    return run


@pytest.mark.parametrize(
    ("leg", "code", "line"),
    [
        ("negotiation", TRANSPORT_FAILED, "ERRCONNECT_CONNECT_TRANSPORT_FAILED"),
        ("tls", TLS_CONNECT_FAILED, "ERRCONNECT_TLS_CONNECT_FAILED"),
        ("authentication", TRANSPORT_FAILED, "ERRCONNECT_CONNECT_TRANSPORT_FAILED"),
        ("key", TRANSPORT_FAILED, "ERRCONNECT_CONNECT_TRANSPORT_FAILED"),
    ],
)
def test_freerdp_names_the_connection_that_was_closed(freerdp: FreeRDP, leg: Any, code: int, line: str) -> None:
    with RDPServer(ACCOUNTS, faults=ServerFaults(close_at=leg)) as server:
        outcome = freerdp(server)
        assert server.wait(refusals=1)
    assert outcome.code == code, outcome.output
    assert line in outcome.output
    assert "LOGON_FAILURE" not in outcome.output  # nothing is said of the password, which is right
    assert {type(refusal.error) for refusal in server.refusals} == {ClosedOnPurposeError}
    assert not server.delegations


def test_freerdp_that_was_closed_out_after_authinfo_has_delegated(freerdp: FreeRDP) -> None:
    with RDPServer(ACCOUNTS, faults=ServerFaults(close_at="credentials")) as server:
        outcome = freerdp(server)
        assert server.wait(delegations=1)
    assert outcome.code == TRANSPORT_FAILED, outcome.output
    assert "ERRCONNECT_CONNECT_TRANSPORT_FAILED" in outcome.output


def test_freerdp_delegates_nothing_to_the_wrong_key(freerdp: FreeRDP) -> None:
    with RDPServer(ACCOUNTS, faults=ServerFaults(wrong_key=True)) as server:
        outcome = freerdp(server)
        assert server.wait(refusals=1)
    assert outcome.code == TRANSPORT_FAILED, outcome.output
    assert "Could not verify server's hash" in outcome.output
    assert not server.delegations


@pytest.mark.parametrize("version", [2, 4])
def test_freerdp_delegates_nothing_to_the_wrong_key_of_an_old_version(freerdp: FreeRDP, version: int) -> None:
    faults = ServerFaults(wrong_key=True)
    with RDPServer(ACCOUNTS, faults=faults, max_version=version, min_version=2) as server:
        outcome = freerdp(server)
        assert server.wait(refusals=1)
    assert outcome.code == TRANSPORT_FAILED, outcome.output
    assert "Could not verify server's public key echo" in outcome.output
    assert not server.delegations


def test_freerdp_waits_for_a_slow_server(freerdp: FreeRDP) -> None:
    with RDPServer(ACCOUNTS, faults=ServerFaults(delay=0.2)) as server:
        outcome = freerdp(server)
        assert server.wait(delegations=1)
    assert outcome.code in GOOD, outcome.output
    assert "Timeout waiting for activation" not in outcome.output
    assert not server.refusals


def test_freerdp_2_gives_a_server_ten_seconds_for_its_session(display: str, tmp_path: Path) -> None:
    command = [require_program("xfreerdp"), "+auth-only", "/u:alice", "/d:LAB", f"/p:{PASSWORD}", "/sec:nla"]
    with RDPServer(ACCOUNTS, faults=ServerFaults(delay=2)) as server:
        environment = {"DISPLAY": display, "HOME": str(tmp_path)}
        where = [f"/v:{server.host}:{server.port}", "/cert:ignore"]
        outcome = x11.run([*command, *where], environment=environment, timeout=90)
        assert server.wait(delegations=1, timeout=30)
    assert outcome.code == AUTH_ONLY, outcome.output
    assert "Timeout waiting for activation" in outcome.output


@pytest.mark.parametrize(
    ("kind", "version_2"),
    [("expired", "certificate has expired"), ("other-name", "CERTIFICATE NAME MISMATCH")],
)
def test_freerdp_refuses_the_wrong_certificate(freerdp: FreeRDP, kind: Any, version_2: str, tmp_path: Path) -> None:
    faults = ServerFaults(certificate=kind)
    authority = tmp_path / "ca.pem"
    authority.write_bytes(faults.authority)
    with RDPServer(ACCOUNTS, faults=faults) as server:
        outcome = freerdp(server, host="localhost", authority=authority)
        assert server.wait(refusals=1)
    assert outcome.code == TLS_CONNECT_FAILED, outcome.output
    assert "certificate not trusted, aborting" in outcome.output
    # Version 3 says of each certificate that it refuses that it has changed.
    assert version_2 in outcome.output or "Host key for localhost has changed" in outcome.output
    assert not server.delegations


@pytest.mark.parametrize("kind", ["good", "weak"])
def test_freerdp_takes_the_good_certificate_and_finding_the_weak_one(
    freerdp: FreeRDP, kind: Any, tmp_path: Path
) -> None:
    faults = ServerFaults(certificate=kind)
    authority = tmp_path / "ca.pem"
    authority.write_bytes(faults.authority)
    with RDPServer(ACCOUNTS, faults=faults) as server:
        outcome = freerdp(server, host="localhost", authority=authority)
        assert server.wait(delegations=1), outcome.output
    assert outcome.code in GOOD, outcome.output
    assert "certificate not trusted" not in outcome.output


def test_freerdp_finding_addresses_of_a_certificate_do_not_count(freerdp: FreeRDP, tmp_path: Path) -> None:
    faults = ServerFaults(certificate="good")  # which is for 127.0.0.1, too
    authority = tmp_path / "ca.pem"
    authority.write_bytes(faults.authority)
    with RDPServer(ACCOUNTS, faults=faults) as server:
        outcome = freerdp(server, authority=authority)
        assert server.wait(refusals=1)
    assert outcome.code == TLS_CONNECT_FAILED, outcome.output


# IronRDP


@pytest.mark.parametrize(
    ("leg", "text"),
    [
        ("negotiation", "read RDCleanPath request: not enough bytes"),
        ("tls", "read RDCleanPath request: not enough bytes"),
        ("authentication", "[read frame by hint] custom error: not enough bytes"),
        ("key", "[read frame by hint] custom error: not enough bytes"),
        ("credentials", "[read frame by hint] custom error: not enough bytes"),
    ],
)
def test_ironrdp_names_the_connection_that_was_closed(leg: Any, text: str) -> None:
    with RDPServer(ACCOUNTS, faults=ServerFaults(close_at=leg)) as server:
        kind, told = ironrdp(server, password=PASSWORD)
        assert server.wait(delegations=1) if leg == "credentials" else server.assert_refused()
    assert (kind, told.splitlines()[0]) == ("General", text)


@pytest.mark.parametrize("version", [2, 4, 5, 6])
def test_ironrdp_delegates_nothing_to_the_wrong_key(version: int) -> None:
    with RDPServer(ACCOUNTS, faults=ServerFaults(wrong_key=True), max_version=version, min_version=2) as server:
        kind, text = ironrdp(server, password=PASSWORD)
        server.assert_refused()
    assert kind == "General"
    assert "MessageAltered: could not verify a public key" in text


def test_ironrdp_waits_for_a_slow_server() -> None:
    with RDPServer(ACCOUNTS, faults=ServerFaults(delay=1)) as server:
        ironrdp(server, password=PASSWORD)
        server.assert_delegated(username="alice", domain="LAB")


# pywinrm and pypsrp, with requests-credssp


def over_pywinrm(server: WinRMServer) -> None:
    winrm = require_module("winrm")
    trust = {"server_cert_validation": "ignore"}
    if server.certificate is not None:
        trust = {"server_cert_validation": "validate", "ca_trust_path": str(server.certificate)}
    protocol = winrm.Protocol(
        server.url,
        transport="credssp",
        message_encryption="always",
        proxy=None,
        username="LAB\\alice",
        password=PASSWORD,
        **trust,
    )
    try:
        protocol.open_shell()
    finally:
        protocol.transport.close_session()


def over_pypsrp(server: WinRMServer) -> None:
    wsman, shell = require_module("pypsrp.wsman"), require_module("pypsrp.shell")
    with (
        wsman.WSMan(
            "127.0.0.1",
            port=server.port,
            ssl=server.certificate is not None,
            username="LAB\\alice",
            password=PASSWORD,
            auth="credssp",
            encryption="always",
            no_proxy=True,
            cert_validation=str(server.certificate or False),
        ) as client,
        shell.WinRS(client),
    ):
        pass


@pytest.fixture(params=[over_pywinrm, over_pypsrp], ids=lambda client: client.__name__)
def over(request: pytest.FixtureRequest) -> Callable[[WinRMServer], None]:
    require_module("uvicorn")
    require_module("requests_credssp")

    def run(server: WinRMServer) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            request.param(server)

    return run


@pytest.mark.parametrize("leg", ["offer", "tls", "authentication", "key", "credentials"])
def test_winrm_client_raises_what_requests_says_of_the_lost_connection(
    over: Callable[[WinRMServer], None], leg: Any
) -> None:
    from requests import ConnectionError as LostConnection

    with WinRMServer(ACCOUNTS, faults=ServerFaults(close_at=leg)) as server:
        with pytest.raises(LostConnection, match="Remote end closed connection without response"):
            over(server)
        assert server.wait(delegations=1) if leg == "credentials" else server.assert_refused()
    assert len(server.delegations) + len(server.refusals) == 1  # no second try, which would be a second proof


def test_winrm_client_delegates_nothing_to_the_wrong_key(over: Callable[[WinRMServer], None]) -> None:
    from requests_credssp.exceptions import AuthenticationException

    with WinRMServer(ACCOUNTS, faults=ServerFaults(wrong_key=True)) as server:
        with pytest.raises(AuthenticationException, match="Public key verification failed"):
            over(server)
        server.assert_refused()
    assert not server.delegations


def test_winrm_client_waits_for_a_slow_server(over: Callable[[WinRMServer], None]) -> None:
    with WinRMServer(ACCOUNTS, faults=ServerFaults(delay=0.5)) as server:
        over(server)
        server.assert_delegated(username="alice", domain="LAB")


@pytest.mark.parametrize(
    ("kind", "words"),
    [("expired", "certificate has expired"), ("weak", "key too weak"), ("other-name", "IP address mismatch")],
)
def test_winrm_client_refuses_the_wrong_certificate_of_https(
    over: Callable[[WinRMServer], None], kind: Any, words: str
) -> None:
    from requests.exceptions import SSLError

    with WinRMServer(ACCOUNTS, faults=ServerFaults(certificate=kind), https=True) as server:
        with pytest.raises(SSLError, match=words):
            over(server)
        server.assert_refused()
    assert not server.delegations


@pytest.mark.parametrize("kind", ["good", "expired", "weak", "other-name"])
def test_winrm_client_finding_the_certificate_inside_is_not_judged(
    over: Callable[[WinRMServer], None], kind: Any
) -> None:
    with WinRMServer(ACCOUNTS, faults=ServerFaults(certificate=kind)) as server:
        over(server)
        server.assert_delegated(username="alice", domain="LAB")


def test_winrm_client_takes_the_good_certificate_of_https(over: Callable[[WinRMServer], None]) -> None:
    with WinRMServer(ACCOUNTS, faults=ServerFaults(certificate="good"), https=True) as server:
        over(server)
        server.assert_delegated(username="alice", domain="LAB")
