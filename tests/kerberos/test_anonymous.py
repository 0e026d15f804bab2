"""Anonymous PKINIT (``kinit -n``, RFC 8062) with MIT's KDC, and a login with such a ticket."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from credssp import CCacheCredentials, ClientContext, ServerContext
from credssp.kerberos.values import Principal, write_realm
from credssp.wire.der import write_explicit, write_sequence
from tests.kdc import REALM, Realm
from tests.kerberos.exchange import TARGET, log_on
from tests.peers import missing, require_module, require_program

pytestmark = pytest.mark.interop

_KDC_NAME = x509.ObjectIdentifier("1.3.6.1.5.2.2")  # id-pkinit-san, RFC 4556 3.2.4
_KDC_USAGE = x509.ObjectIdentifier("1.3.6.1.5.2.3.5")  # id-pkinit-KPKdc


def write_kdc_certificate(path: Path) -> None:
    """Write a certificate that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kdc.example.test")])
    principal = write_sequence(
        write_explicit(0, write_realm(REALM) or b""), write_explicit(1, Principal(2, ("krbtgt", REALM)).encode())
    )
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.OtherName(_KDC_NAME, principal)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([_KDC_USAGE]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(certificate.public_bytes(Encoding.PEM) + pem)


@pytest.fixture(scope="module")
def pkinit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Realm, str, str]]:
    """A realm with PKINIT, a keytab and a cache with an anonymous ticket-granting ticket."""
    require_module("gssapi", extra="kerberos")
    if not [*Path("/usr").glob("lib*/*/krb5/plugins/preauth/pkinit.so")]:
        missing("krb5-pkinit is not installed")
    folder = tmp_path_factory.mktemp("pkinit")
    realm = Realm(folder)
    pem = folder / "kdc.pem"
    write_kdc_certificate(pem)
    for conf, after in ((folder / "kdc.conf", "max_life = 10h"), (realm.krb5_conf, f"kdc = 127.0.0.1:{realm.port}")):
        text = conf.read_text()
        settings = f"{after}\n        pkinit_identity = FILE:{pem}\n        pkinit_anchors = FILE:{pem}"
        conf.write_text(text.replace(after, settings))
    with realm:
        for principal in ("WELLKNOWN/ANONYMOUS", TARGET):
            realm.add(principal)
        cache = f"FILE:{folder / 'anonymous.ccache'}"
        subprocess.run(
            [require_program("kinit"), "-n", "-c", cache, f"@{REALM}"],
            env=realm.environment,
            check=True,
            capture_output=True,
            timeout=30,
        )
        yield realm, str(realm.keytab("server.keytab", TARGET)), cache


@pytest.mark.parametrize("wanted", [False, True])
@pytest.mark.parametrize("mechanisms", [None, ("kerberos",)])
def test_anonymous_client_logs_on_only_where_it_is_asked_for(
    pkinit: tuple[Realm, str, str], monkeypatch: pytest.MonkeyPatch, wanted: bool, mechanisms: tuple[str] | None
) -> None:
    realm, keytab, cache = pkinit
    for name, value in realm.environment.items():
        monkeypatch.setenv(name, value)
    client = ClientContext(CCacheCredentials(cache), target_name=TARGET, mechanism="kerberos")
    server = ServerContext(keytab=keytab, spn=TARGET, mechanisms=mechanisms, accept_anonymous=wanted)  # type: ignore[arg-type]
    outcome = log_on(client, server)
    if wanted:
        assert server.identity is not None
        assert server.identity.username == "WELLKNOWN/ANONYMOUS"
        return
    assert outcome.server_error is not None
    assert outcome.server_error.status.name == "SEC_E_LOGON_DENIED"
    assert server.identity is None
