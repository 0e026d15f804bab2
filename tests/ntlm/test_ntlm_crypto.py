"""The values of [MS-NLMP] 4.2.1 and 4.2.4, and of the recorded logins."""

import hashlib
import hmac
import os
import subprocess
import sys
from pathlib import Path

import pytest

import credssp
from credssp.account import upper_case
from credssp.context.acceptor import create_acceptor
from credssp.context.initiator import create_initiator
from credssp.errors import LocalRestrictionError
from credssp.kerberos import pyspnego
from credssp.nt_hash import nt_hash
from credssp.ntlm import crypto
from credssp.ntlm.check import check_algorithms
from tests.ntlm import recorded

NTOWFV2 = bytes.fromhex("0c868a403bfd7a93a3001ef22ef02e3f")


def test_ntowfv2_takes_the_user_in_upper_case_and_the_domain_as_it_is():
    assert crypto.ntowfv2(nt_hash("Password"), "USER", "Domain") == NTOWFV2


def test_nt_proof_and_session_base_key():
    server_challenge = bytes.fromhex("0123456789abcdef")
    av_pairs = bytes.fromhex("02000c0044006f006d00610069006e0001000c005300650072007600650072000000000000000000")
    temp = bytes.fromhex("0101000000000000") + bytes(8) + b"\xaa" * 8 + bytes(4) + av_pairs
    proof = crypto.hmac_md5(NTOWFV2, server_challenge + temp)
    assert proof.hex() == "68cd0ab851e51c96aabc927bebef6a1c"
    session_base_key = crypto.hmac_md5(NTOWFV2, proof)
    assert session_base_key.hex() == "8de40ccadbc14a82f15cb0ad0de95ca3"
    assert crypto.rc4(session_base_key, b"\x55" * 16).hex() == "c5dad2544fc9799094ce1ce90bc9d03e"


@pytest.mark.parametrize("login", [recorded.BARE, recorded.IN_SPNEGO], ids=["bare", "in-spnego"])
def test_recorded_session_keys(login):
    proof = login.authenticate[112:128]
    key = crypto.hmac_md5(recorded.NTOWFV2, proof)
    assert key == login.session_base_key
    assert crypto.rc4(key, login.authenticate[-16:]) == login.exported_session_key


@pytest.mark.parametrize(
    ("name", "forms"),
    [
        ("alice", ("ALICE",)),
        ("käthe", ("KÄTHE",)),
        ("straße", ("STRAßE", "STRASSE")),
        ("\u0131rmak", ("\u0131RMAK", "IRMAK")),
        ("ςa", ("ΣA", "ςA")),
        ("", ("",)),
    ],
)
def test_upper_forms(name, forms):
    assert crypto.upper_forms(name) == forms


@pytest.mark.parametrize(
    ("name", "upper"),
    [
        ("alice", "ALICE"),
        ("jürgen", "JÜRGEN"),
        ("ÿves", "ŸVES"),
        ("юзер", "ЮЗЕР"),
        ("ᾳ", "ᾼ"),
        ("νικος", "ΝΙΚΟΣ"),
        ("νικοσ", "ΝΙΚΟΣ"),
        ("ǆ", "Ǆ"),
        *((same, same) for same in [*"ßŉǰﬁΐ\u0131İ\u017fµǅაẞ", "\U00010428", "\ud800"]),
    ],
)
def test_upper_case_is_that_of_windows(name, upper):
    assert upper_case(name) == upper
    assert upper_case(upper) == upper


@pytest.mark.parametrize("make", [crypto.rc4_stream, crypto.own_rc4], ids=["openssl", "own"])
def test_rc4_stream_goes_on(make):
    stream = make(bytes(range(1, 17)))  # RFC 6229 section 2, 128 bits
    assert stream(bytes(16)).hex() == "9ac7cc9a609d1ef7b2932899cde41b97"
    assert stream(bytes(16)).hex() == "5248c4959014126a6e8a84f11d1a9e1c"


@pytest.mark.parametrize("sizes", [(16, 16), (3, 13, 16), (0, 8, 24), (32,)])
def test_key_stream_goes_on_as_if_nobody_had_looked_ahead(sizes):
    expected = bytes.fromhex("9ac7cc9a609d1ef7b2932899cde41b975248c4959014126a6e8a84f11d1a9e1c")
    stream = crypto.KeyStream(bytes(range(1, 17)))
    assert stream.peek(bytes(8)) == expected[:8]
    assert stream.peek(bytes(12)) == expected[:12]
    assert stream.peek(b"\xff" * 2) == bytes(octet ^ 0xFF for octet in expected[:2])
    assert b"".join(stream(bytes(size)) for size in sizes) == expected


def test_channel_bindings_are_hashed_with_empty_addresses():
    data = b"tls-server-end-point:" + b"\1" * 32
    packed = bytes(16) + b"\x35\0\0\0" + data
    assert crypto.channel_bindings_hash(data) == hashlib.md5(packed, usedforsecurity=False).digest()


@pytest.mark.parametrize(
    ("key", "first"),
    [
        ("0102030405", "b2396305f03dc027ccc3524a0a1118a8"),
        ("0102030405060708090a0b0c0d0e0f10", "9ac7cc9a609d1ef7b2932899cde41b97"),
        ("833222772a", "80ad97bdc973df8a2e879e92a497efda"),
        ("c109163908ebe51debb46227c6cc8b37641910833222772a", "54b64e6b5a20b5e2ec84593dc7989da7"),
    ],
)
def test_own_rc4_gives_the_values_of_rfc_6229(key, first):
    assert crypto.own_rc4(bytes.fromhex(key))(bytes(16)).hex() == first


def test_own_rc4_agrees_with_openssl():
    for size in (5, 7, 16, 24, 32):
        key, data = os.urandom(size), os.urandom(1000)
        own, openssl = crypto.own_rc4(key), crypto.rc4_stream(key)
        for end in (0, 7, 300, 1000):
            assert own(data[:end]) == openssl(data[:end])


# OpenSSL without RC4, and in FIPS mode

LOGIN = """
import sys
import credssp
client = credssp.ClientContext(
    credssp.PasswordCredentials("alice", "secret", domain="LAB"), target_name="TERMSRV/srv", mechanism=sys.argv[1]
)
server = credssp.ServerContext(accounts=credssp.MemoryAccounts({("LAB", "alice"): "secret"}), mechanisms=["ntlm"])
token = b""
while not server.complete:
    result = server.step(client.step(token).token)
    token = result.token
assert client.complete and server.delegated_credentials.password.reveal() == "secret"
from credssp.ntlm import crypto
print(crypto._arc4() is crypto.own_rc4)
"""

# What Python and cryptography do on a machine in FIPS mode, as far as NTLM can see it.
FIPS = """
import _hashlib, hashlib, hmac
md5 = hashlib.md5
def refuse(*_, **__):
    raise ValueError("[digital envelope routines] unsupported")
def only_for_no_security(data=b"", *, usedforsecurity=True):
    return refuse() if usedforsecurity else md5(data, usedforsecurity=False)
def digest(key, msg, digest):
    return refuse() if digest in ("md5", "md4") else real(key, msg, digest)
real, hmac.digest, hashlib.md5 = hmac.digest, digest, only_for_no_security
"""

DEFAULT_PROVIDER_ALONE = """\
openssl_conf = init
[init]
providers = providers
[providers]
default = default_provider
[default_provider]
activate = 1
"""


@pytest.mark.parametrize("mechanism", ["ntlm", "negotiate"])
@pytest.mark.parametrize("prelude", ["", FIPS], ids=["no-legacy-provider", "fips"])
def test_login_works_without_rc4_and_on_fips_machines(tmp_path, mechanism, prelude):
    (tmp_path / "openssl.cnf").write_text(DEFAULT_PROVIDER_ALONE)
    # The second variable is for the OpenSSL inside the wheels of cryptography, which loads its legacy provider itself.
    environment = os.environ | {
        "OPENSSL_CONF": str(tmp_path / "openssl.cnf"),
        "CRYPTOGRAPHY_OPENSSL_NO_LEGACY": "1",
        "KRB5_CONFIG": str(tmp_path / "none"),
    }
    done = subprocess.run(
        [sys.executable, "-c", prelude + LOGIN, mechanism],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )
    assert (done.stdout, done.stderr, done.returncode) == ("True\n", "", 0)


def test_hmac_md5_gives_the_same_where_openssl_refuses_it(monkeypatch):
    key, data = os.urandom(16), os.urandom(200)
    expected = crypto.hmac_md5(key, data)

    def refuse(*_):
        raise ValueError("unsupported")

    monkeypatch.setattr(hmac, "digest", refuse)
    assert crypto.hmac_md5(key, data) == expected


@pytest.fixture
def without_md5(monkeypatch):
    def refuse(*_, **__):
        raise ValueError("[digital envelope routines] unsupported")

    monkeypatch.setattr(crypto, "md5", refuse)
    crypto.check_md5.cache_clear()
    yield
    crypto.check_md5.cache_clear()


def test_without_md5_both_roles_name_it_before_a_login(without_md5):
    with pytest.raises(LocalRestrictionError, match="NTLM is made of MD5") as caught:
        credssp.ServerContext(accounts=credssp.MemoryAccounts({("LAB", "alice"): "secret"}))
    assert caught.value.restriction == "MD5"
    alice = credssp.PasswordCredentials("alice", "secret", domain="LAB")
    with pytest.raises(LocalRestrictionError, match="NTLM is made of MD5"):
        create_initiator(alice, target_name="TERMSRV/192.0.2.1", mechanism="ntlm")
    with pytest.raises(LocalRestrictionError, match="NTLM is made of MD5"):
        create_initiator(alice, target_name="TERMSRV/192.0.2.1").step(None)


def test_a_server_that_names_neither_accounts_nor_mechanisms_does_without_ntlm(without_md5, monkeypatch):
    monkeypatch.setattr(pyspnego, "kerberos_missing", lambda: None)
    assert create_acceptor().wire_form != "ntlm"
    monkeypatch.setattr(pyspnego, "kerberos_missing", lambda: "Kerberos needs gssapi")
    with pytest.raises(LocalRestrictionError):
        create_acceptor()


def test_doctor_says_what_openssl_lacks(monkeypatch):
    assert check_algorithms() == []

    def refuse(*_, usedforsecurity=True):
        raise ValueError("disabled for FIPS")

    monkeypatch.setattr(hashlib, "md5", refuse)
    monkeypatch.setattr(crypto, "_arc4", lambda: crypto.own_rc4)
    texts = [finding.text for finding in check_algorithms()]
    assert [text.partition(" ")[0] for text in texts] == ["MD5", "OpenSSL"]
    assert {finding.severity.value for finding in check_algorithms()} == {"note"}
