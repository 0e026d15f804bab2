"""CERT_TRUST_STATUS: what is wrong with a chain, and what is trusted."""

from __future__ import annotations

import datetime
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from credssp.errors import LocalProtocolError
from credssp.tls.certificate import ServerCertificate, generate_certificate
from credssp.tls.trust import CertificateTrust, TrustError, TrustInfo, expiry_of, judge, roots_of
from tests.sspi.certificates import Authority

HOST = "srv.lab.test"
ROOT = Authority()
E = TrustError


def verdict(
    leaf: ServerCertificate, *more: bytes, host: str = HOST, roots: tuple[bytes, ...] | None = (ROOT.der,)
) -> CertificateTrust:
    return judge((leaf.der, *more), host, roots)


def test_leaf_of_a_trusted_root_is_trusted() -> None:
    found = verdict(ROOT.issue(HOST))
    assert found.trusted
    assert (found.errors, found.info) == (E.NO_ERROR, TrustInfo.HAS_NAME_MATCH_ISSUER)


def test_chain_over_an_intermediate_is_trusted_if_it_is_sent() -> None:
    between = Authority("Intermediate", ROOT)
    leaf = between.issue(HOST)
    assert verdict(leaf, between.der).trusted
    assert verdict(leaf).errors == E.IS_PARTIAL_CHAIN


@pytest.mark.parametrize(
    ("leaf", "errors"),
    [
        (ROOT.issue(HOST, expired=True), E.IS_NOT_TIME_VALID),
        (ROOT.issue(HOST, forged=True), E.IS_NOT_SIGNATURE_VALID),
        (ROOT.issue(HOST, usage=ExtendedKeyUsageOID.CODE_SIGNING), E.IS_NOT_VALID_FOR_USAGE),
        (Authority("Stranger").issue(HOST), E.IS_PARTIAL_CHAIN),
        (Authority("No Authority", ROOT, ca=False).issue(HOST), E.IS_PARTIAL_CHAIN),
        # Our own walk does not know this critical extension; the verifier does not let it pass.
        (
            ROOT.issue(HOST, extra=x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"x")),
            E.INVALID_EXTENSION,
        ),
    ],
)
def test_what_is_wrong_is_told(leaf: ServerCertificate, errors: TrustError) -> None:
    found = verdict(leaf)
    assert found.errors == errors
    assert not found.trusted


def test_issuer_that_is_no_authority() -> None:
    impostor = Authority("No Authority", ROOT, ca=False)
    assert verdict(impostor.issue(HOST), impostor.der).errors == E.INVALID_BASIC_CONSTRAINTS


def test_self_signed_is_an_untrusted_root_unless_pinned() -> None:
    own = generate_certificate("p256", dns_names=(HOST, "127.0.0.1"))
    found = verdict(own)
    assert (found.errors, found.info) == (E.IS_UNTRUSTED_ROOT, TrustInfo.IS_SELF_SIGNED)
    assert verdict(own, roots=(own.der,)).trusted
    assert verdict(own, roots=(own.der,), host="127.0.0.1").trusted
    assert not verdict(own, roots=(own.der,), host="127.0.0.2").trusted


@pytest.mark.parametrize(
    ("name", "host", "matches"),
    [
        ("*.lab.test", "srv.lab.test", True),
        ("*.lab.test", "SRV.LAB.TEST.", True),
        ("*.lab.test", "a.srv.lab.test", False),
        ("*.lab.test", "lab.test", False),
        ("*.test", "lab.test", False),
        ("srv.lab.test", "other.lab.test", False),
    ],
)
def test_names(name: str, host: str, matches: bool) -> None:
    found = verdict(ROOT.issue(name), host=host)
    assert found.name_matches is matches
    assert found.errors == E.NO_ERROR


def test_certificate_without_names_matches_nothing() -> None:
    assert not judge((ROOT.der,), HOST, (ROOT.der,)).name_matches
    assert not judge((ROOT.der,), "127.0.0.1", (ROOT.der,)).name_matches


def test_endless_chain_ends() -> None:
    chain = [ROOT]
    for number in range(12):
        chain.append(Authority(f"CA {number}", chain[-1]))
    leaf = chain[-1].issue(HOST)
    assert E.IS_PARTIAL_CHAIN in verdict(leaf, *(authority.der for authority in chain[1:])).errors


def test_junk_is_judged_not_raised() -> None:
    for chain in ((b"junk",), ()):
        found = judge(chain, HOST, None)
        assert found == CertificateTrust(E.INVALID_EXTENSION, TrustInfo.NONE, name_matches=False)
    assert expiry_of(b"junk") is None
    assert (expiry_of(ROOT.der) or 0) > time.time()


def _with(der: bytes, old: str, new: str) -> bytes:
    changed = der.replace(bytes.fromhex(old), bytes.fromhex(new))
    assert changed != der
    assert len(changed) == len(der)
    return changed


_NAMED = generate_certificate("p256", dns_names=("srv", "srv")).der

# What OpenSSL lets pass where it is not asked to verify, and what `cryptography` raises about it.
HOSTILE = {
    "InvalidVersion": _with(_NAMED, "a003020102", "a003020105"),
    "UnsupportedGeneralNameType": _with(_NAMED, "8203737276" * 2, "a503300100" + "8203737276"),
    "DuplicateExtension": _with(_NAMED, "0603551d13", "0603551d11"),
    "ValueError": _with(_NAMED, "8203737276" * 2, "8203ffffff" + "8203737276"),
}


@pytest.mark.parametrize("der", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_certificates_are_judged_not_raised(der: bytes) -> None:
    for chain, roots in (((der,), ()), ((der,), (der,)), ((der, ROOT.der), (ROOT.der,))):
        found = judge(chain, "srv", roots)
        assert found == CertificateTrust(E.INVALID_EXTENSION, TrustInfo.NONE, name_matches=False)
    assert not judge((ROOT.issue("srv").der, der), "srv", ()).trusted
    expiry_of(der)


@pytest.mark.filterwarnings("error")
def test_a_serial_number_below_zero_is_no_exception_where_warnings_are_errors() -> None:
    at = _NAMED.index(bytes.fromhex("a003020102")) + 7  # version, then tag and length of serialNumber
    der = _NAMED[:at] + bytes((_NAMED[at] | 0x80,)) + _NAMED[at + 1 :]
    assert not judge((der,), "srv", ()).trusted
    assert expiry_of(der) is None


@pytest.mark.filterwarnings("error")
def test_a_country_of_three_letters_is_no_exception_where_warnings_are_errors() -> None:
    der = _with(generate_certificate("p256", common_name="abc").der, "0603550403", "0603550406")
    assert judge((der,), "srv", ()).errors == E.INVALID_EXTENSION


def test_roots_are_read_from_file_and_text(tmp_path: object) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "roots.pem"
    path.write_text(ROOT.pem)
    assert roots_of(path, None) == roots_of(None, ROOT.pem) == (ROOT.der,)
    assert roots_of(None, None) is None
    for bad in (("/nowhere", None), (None, "junk")):
        with pytest.raises(LocalProtocolError):
            roots_of(*bad)


def test_leaf_that_is_its_own_intermediate_terminates() -> None:
    leaf = ROOT.issue(HOST)
    assert verdict(leaf, leaf.der).trusted


def between(first: datetime.datetime, last: datetime.datetime) -> bytes:
    """A certificate of srv.example.test, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "srv.example.test")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(first).not_valid_after(last)
    names = x509.SubjectAlternativeName([x509.DNSName("srv.example.test")])
    return builder.add_extension(names, critical=False).sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


@pytest.mark.parametrize("second", [0, 1, 29, 30, 31, 59])
def test_a_certificate_is_valid_from_its_first_second_to_its_last(second: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made = datetime.datetime(2026, 5, 4, 12, 0, second, tzinfo=datetime.UTC)
    ended = made + datetime.timedelta(hours=1)
    der = between(made, ended)

    def errors(at: datetime.datetime) -> TrustError:
        monkeypatch.setattr(time, "time", lambda: at.timestamp() + 0.25)
        return judge((der,), "srv.example.test", (der,)).errors

    assert errors(made) == TrustError.NO_ERROR, "a server that was set up a moment ago is logged on to"
    assert errors(ended) == TrustError.NO_ERROR
    assert errors(made - datetime.timedelta(minutes=1)) == TrustError.IS_NOT_TIME_VALID
    assert errors(ended + datetime.timedelta(minutes=1)) == TrustError.IS_NOT_TIME_VALID
