"""OpenSSL set up more strictly: what that forbids is named, and what we make ourselves satisfies it."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import credssp
from credssp.errors import CredSSPError, LocalRestrictionError
from credssp.finding import Severity
from credssp.tls import alerts, check, restrictions
from credssp.tls import settings as tls_settings
from credssp.tls.certificate import generate_certificate, process_certificate
from credssp.tls.settings import ClientTLS, ServerTLS, client_context, level_of, server_context

ROOT = Path(__file__).parents[2]
STRICT = "DEFAULT@SECLEVEL=3"

CONFIGURATION = """\
openssl_conf = init
[init]
ssl_conf = ssl
[ssl]
system_default = system
[system]
{}
"""

NO_CIPHERS = """\
openssl_conf = init
[init]
providers = providers
alg_section = algorithms
[algorithms]
default_properties = fips=yes
[providers]
default = default_provider
[default_provider]
activate = 1
"""

LOGIN = """
import sys
import credssp
from credssp.errors import LocalRestrictionError
maximum = sys.argv[1]
try:
    client = credssp.ClientContext(
        credssp.PasswordCredentials("alice", "secret", domain="LAB"), target_name="TERMSRV/srv", mechanism="ntlm",
        tls=credssp.ClientTLS(maximum=maximum),
    )
    server = credssp.ServerContext(accounts=credssp.MemoryAccounts({("LAB", "alice"): "secret"}), mechanisms=["ntlm"])
    token = b""
    while not server.complete:
        token = server.step(client.step(token).token).token
    print(client.tls_version)
except LocalRestrictionError as error:
    print(error.restriction)
"""


@pytest.fixture(scope="module")
def obedient(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python that does what openssl.cnf says: this one, or that of the system with the packages of this one."""
    cnf = tmp_path_factory.mktemp("openssl") / "openssl.cnf"
    cnf.write_text(CONFIGURATION.format("CipherString = DEFAULT@SECLEVEL=3"))
    probe = (
        "import ssl, sys, cryptography.x509;"
        "print(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).security_level, sys.version_info[:2])"
    )
    for python in (sys.executable, "/usr/bin/python3"):
        if Path(python).exists():
            done = run(python, probe, cnf)
            if done == f"3 {sys.version_info[:2]}":
                return python
    pytest.skip("no Python here follows openssl.cnf")


def run(python: str, program: str, cnf: Path, *arguments: str) -> str:
    environment = os.environ | {
        "OPENSSL_CONF": str(cnf),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]),
    }
    done = subprocess.run(
        [python, "-c", program, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    return (done.stdout + done.stderr).strip()


@pytest.mark.parametrize(
    ("setting", "maximum", "outcome"),
    [
        ("MinProtocol = TLSv1.3", "1.3", "TLSv1.3"),
        ("MinProtocol = TLSv1.3", "1.2", "MinProtocol"),
        ("MaxProtocol = TLSv1.2", "1.3", "TLSv1.2"),
        ("CipherString = DEFAULT@SECLEVEL=3", "1.3", "TLSv1.3"),
        ("CipherString = DEFAULT@SECLEVEL=4", "1.2", "TLSv1.2"),
    ],
)
def test_what_openssl_cnf_says_is_followed_and_named(
    obedient: str, tmp_path: Path, setting: str, maximum: str, outcome: str
) -> None:
    cnf = tmp_path / "openssl.cnf"
    cnf.write_text(CONFIGURATION.format(setting))
    assert run(obedient, LOGIN, cnf, maximum) == outcome


def test_openssl_without_ciphers_is_named_by_contexts_and_by_doctor(tmp_path: Path) -> None:
    """As in FIPS mode without the provider for it; no Python has a say in that."""
    cnf = tmp_path / "openssl.cnf"
    cnf.write_text(NO_CIPHERS)
    assert run(sys.executable, LOGIN, cnf, "1.3") == "LIBRARY_HAS_NO_CIPHERS"
    doctor = "import sys; from credssp.cli import main; sys.exit(main(['doctor']))"
    assert "bad   OpenSSL cannot be used as it is set up on this machine" in run(sys.executable, doctor, cnf)


def test_the_certificate_of_a_server_satisfies_the_security_level_of_its_ciphers() -> None:
    tls = ServerTLS(ciphers=STRICT)
    assert level_of(tls) == 3
    server_context(tls, process_certificate(level_of(tls)))
    server = credssp.ServerContext(accounts=credssp.MemoryAccounts({("LAB", "alice"): "secret"}), tls=tls)
    client = credssp.ClientContext(
        credssp.PasswordCredentials("alice", "secret", domain="LAB"),
        target_name="TERMSRV/srv",
        mechanism="ntlm",
        tls=ClientTLS(ciphers=STRICT),
    )
    token = b""
    while not server.complete:
        token = server.step(client.step(token).token).token
    assert client.server_certificate is not None
    key = x509.load_der_x509_certificate(client.server_certificate).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    assert key.key_size == 3072


@pytest.mark.parametrize(("level", "bits"), [(0, 2048), (1, 2048), (2, 2048), (3, 3072)])
def test_rsa_keys_are_as_large_as_the_level_wants(level: int, bits: int) -> None:
    assert restrictions.rsa_bits(level) == bits
    key = x509.load_der_x509_certificate(process_certificate(level).der).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    assert key.key_size == bits


def test_from_level_4_on_the_certificate_of_the_process_has_a_curve_and_sha_512() -> None:
    certificate = x509.load_der_x509_certificate(process_certificate(4).der)
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp384r1"
    assert certificate.signature_hash_algorithm is not None
    assert certificate.signature_hash_algorithm.name == "sha512"


def test_a_certificate_that_is_too_weak_names_the_level() -> None:
    with pytest.raises(LocalRestrictionError, match=r"server certificate .* level 3 .* key is too small") as caught:
        server_context(ServerTLS(ciphers=STRICT), generate_certificate("rsa", level=2))
    assert caught.value.restriction == "security level 3"
    assert "3072 bits" in caught.value.advice


def test_a_client_that_verifies_names_the_level_that_a_servers_key_does_not_reach() -> None:
    certificate = generate_certificate("rsa", level=2)
    client = credssp.ClientContext(
        credssp.PasswordCredentials("alice", "secret", domain="LAB"),
        target_name="TERMSRV/localhost",
        tls=ClientTLS(ciphers=STRICT, cadata=certificate.chain.decode()),
        mechanism="ntlm",
    )
    server = credssp.ServerContext(accounts=credssp.MemoryAccounts({}), certificate=certificate)
    with pytest.raises(LocalRestrictionError, match="the server's certificate is not allowed at security level 3"):
        log_on(client, server)


def log_on(client: credssp.ClientContext, server: credssp.ServerContext) -> None:
    token = b""
    while not server.complete:
        token = server.step(client.step(token).token).token


@pytest.mark.parametrize(
    ("reason", "restriction"),
    [
        ("DH_KEY_TOO_SMALL", "DH_KEY_TOO_SMALL"),
        ("NO_CIPHERS_AVAILABLE", "NO_CIPHERS_AVAILABLE"),
        ("NO_PROTOCOLS_AVAILABLE", "NO_PROTOCOLS_AVAILABLE"),
        ("CA_MD_TOO_WEAK", "security level 2"),
    ],
)
def test_a_handshake_that_fails_because_of_this_machine_is_no_fault_of_the_peer(reason: str, restriction: str) -> None:
    error = ssl.SSLError(1, f"[SSL: {reason}] whatever")
    error.reason = reason
    ours = alerts.translate(error, during="TLS handshake", level=2)
    assert isinstance(ours, LocalRestrictionError)
    assert ours.restriction == restriction
    assert "openssl.cnf" in ours.advice


def system(minimum: ssl.TLSVersion, maximum: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version, context.maximum_version = minimum, maximum
    return context


V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
ANY = ssl.TLSVersion.MAXIMUM_SUPPORTED


@pytest.mark.parametrize(
    ("minimum", "maximum", "expected"),
    [
        (V12, ANY, (V12, V13)),
        (V13, ANY, (V13, V13)),
        (V12, V12, (V12, V12)),
        (ssl.TLSVersion.MINIMUM_SUPPORTED, ANY, (V12, V13)),
    ],
    ids=["usual", "minimum", "maximum", "no minimum"],
)
def test_the_systems_versions_are_never_widened(
    monkeypatch: pytest.MonkeyPatch,
    minimum: ssl.TLSVersion,
    maximum: ssl.TLSVersion,
    expected: tuple[ssl.TLSVersion, ssl.TLSVersion],
) -> None:
    monkeypatch.setattr(tls_settings, "base_context", lambda _: system(minimum, maximum))
    tls_settings._client_context.cache_clear()
    context = client_context(ClientTLS())
    tls_settings._client_context.cache_clear()
    assert (context.minimum_version, context.maximum_version) == expected


@pytest.mark.parametrize(
    ("asked", "minimum", "maximum", "text"),
    [
        (ClientTLS(maximum="1.2"), V13, ANY, r"TLS 1\.2 or lower was asked for, and OpenSSL takes TLS 1\.3 or higher"),
        (ClientTLS(minimum="1.3"), V12, V12, r"TLS 1\.3 or higher was asked for, and OpenSSL takes TLS 1\.2 or lower"),
    ],
    ids=["MinProtocol", "MaxProtocol"],
)
def test_a_version_that_the_system_excludes_is_named(
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    asked: ClientTLS,
    minimum: ssl.TLSVersion,
    maximum: ssl.TLSVersion,
    text: str,
) -> None:
    monkeypatch.setattr(tls_settings, "base_context", lambda _: system(minimum, maximum))
    tls_settings._client_context.cache_clear()
    with pytest.raises(LocalRestrictionError, match=text) as caught:
        client_context(asked)
    assert caught.value.restriction == request.node.callspec.id


def test_doctor_reports_a_system_that_takes_tls_1_3_alone() -> None:
    context = system(V13, ANY)
    findings = check.check_peers(context)
    assert "OpenSSL takes TLS 1.3 alone on this machine" in [finding.text for finding in findings]
    bad = [finding.text for finding in findings if finding.severity is Severity.BAD]
    assert bad == [
        "Windows 10, Server 2016 and 2019: no cipher in common",
        "Windows 8.1, Server 2012 R2: no cipher in common",
    ]


def test_a_restriction_is_an_error_of_this_side() -> None:
    assert issubclass(LocalRestrictionError, credssp.LocalProtocolError)
    error: CredSSPError = LocalRestrictionError("no", restriction="MD5", advice="Use Kerberos.")
    assert error.status is credssp.SecurityStatus.SEC_E_ALGORITHM_MISMATCH
