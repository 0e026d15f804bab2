"""What the report of a probe comes to: each finding where it belongs, and not next to it."""

from __future__ import annotations

import datetime as dt
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from credssp.context.probing import ProbeReport
from credssp.diagnosis import judge_rdp, judge_winrm
from credssp.diagnosis.certificate import judge_certificate, names_host
from credssp.diagnosis.way import protocol_of, way_finding
from credssp.drivers.handshake import ConnectError, DeadlineError, Obstacle
from credssp.errors import LocalRestrictionError, PeerClosedError, RemoteProtocolError
from credssp.tls.certificate_facts import read_certificate
from credssp.winrm.probe import WinRMReport
from tests.diagnosis.setups import certificate

HEALTHY = {
    "RDP": "HYBRID_REQUIRED_BY_SERVER",
    "SSL": "HYBRID_REQUIRED_BY_SERVER",
    "HYBRID": "accepted",
    "HYBRID_EX": "accepted",
}


def report(**facts: object) -> ProbeReport:
    """A healthy RDP server, but for the facts."""
    made = ProbeReport("srv.lab.test", 3389)
    made.protocols = dict(HEALTHY)
    made.tls = {"TLSv1.2": "ECDHE-RSA-AES256-GCM-SHA384"}
    made.credssp_version = 6
    made.mechanisms = ["ntlm"]
    made.clock_skew = 0.5
    for name, value in facts.items():
        assert hasattr(made, name)
        setattr(made, name, value)
    return made


def ids(made: ProbeReport) -> list[str]:
    return [found.id for found in judge_rdp(made)]


def test_a_healthy_server_has_no_findings() -> None:
    assert ids(report()) == []


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"protocols": HEALTHY | {"SSL": "accepted"}}, ["nla-not-enforced"]),
        ({"protocols": HEALTHY | {"RDP": "accepted"}}, ["standard-rdp-security", "nla-not-enforced"]),
        (
            {"protocols": {"RDP": "accepted", "SSL": "selected RDP", "HYBRID": "selected RDP"}, "tls": {}},
            ["nla-missing", "standard-rdp-security"],
        ),
        ({"negotiation_flags": 0x09}, ["restricted-admin-offered"]),
        ({"negotiation_flags": 0x17}, []),
        ({"tls": {}, "tls_error": "no", "credssp_version": None}, ["tls-failed"]),
        ({"old_tls": {"TLSv1": "TLS_RSA_WITH_AES_128_CBC_SHA"}}, ["tls-old"]),
        ({"weak_cipher": "TLS_RSA_WITH_3DES_EDE_CBC_SHA"}, ["tls-weak-cipher"]),
        ({"credssp_version": None, "credssp_error": "it closed."}, ["credssp-failed"]),
        ({"credssp_version": 4}, ["credssp-old"]),
        ({"credssp_version": 5}, []),
        ({"mechanisms": []}, ["no-mechanism"]),
        ({"clock_skew": 301.0}, ["clock-skew"]),
        ({"clock_skew": -301.0}, ["clock-skew"]),
        ({"clock_skew": 299.0}, []),
        ({"clock_skew": None}, []),
        ({"protocols": dict.fromkeys(HEALTHY, "closed"), "tls": {}, "credssp_version": None}, ["closed-early"]),
    ],
)
def test_facts_of_an_rdp_server(facts: dict[str, object], expected: list[str]) -> None:
    assert ids(report(**facts)) == expected


def winrm(*schemes: str, **facts: object) -> WinRMReport:
    made = WinRMReport("srv.lab.test", 5986, server="Microsoft-HTTPAPI/2.0", http_status=401)
    made.protocols = dict.fromkeys(schemes, "accepted")
    made.tls, made.credssp_version, made.mechanisms = {"TLSv1.2": "x"}, 6, ["ntlm"]
    for name, value in facts.items():
        setattr(made, name, value)
    return made


def test_facts_of_a_winrm_server() -> None:
    def found(made: WinRMReport, *, https: bool = True) -> list[str]:
        return [each.id for each in judge_winrm(made, https=https)]

    assert found(winrm("Negotiate", "CredSSP")) == []
    assert found(winrm("Negotiate", "CredSSP"), https=False) == ["winrm-http"]
    assert found(winrm("Basic", "CredSSP")) == ["winrm-basic"]
    assert found(winrm("CredSSP", https_old={"TLSv1": "x"}, https_weak_cipher="y")) == ["tls-old", "tls-weak-cipher"]
    assert found(winrm("BASIC", "CredSSP"), https=False) == ["winrm-basic-http", "winrm-http"]
    off = winrm("Negotiate", tls={}, credssp_version=None)
    off.protocols["CredSSP"] = "not offered"
    assert found(off) == ["winrm-credssp-off"]
    assert judge_winrm(off, https=True)[0].seen == "srv.lab.test port 5986 offers Negotiate, and not CredSSP."
    lost = WinRMReport("srv.lab.test", 5985, error=RemoteProtocolError("no"), http_status=403)
    (wrong,) = judge_winrm(lost, https=False)
    assert "HTTP 403 (Forbidden)" in wrong.seen


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


def judged(pem: Path, host: str = "localhost", *, also: tuple[str, ...] = ()) -> set[str]:
    der = x509.load_pem_x509_certificates(pem.read_bytes())[0].public_bytes(Encoding.DER)
    return {found.id for found in judge_certificate(read_certificate(der), host, also=also)}


@pytest.mark.parametrize(
    ("options", "host", "expected"),
    [
        ({}, "localhost", {"cert-self-signed"}),
        ({"issuer": True}, "localhost", set()),
        ({"issuer": True, "bits": 0}, "127.0.0.1", set()),
        ({"issuer": True, "bits": 1024}, "localhost", {"cert-weak-key"}),
        ({"issuer": True, "days": (-400, -1)}, "localhost", {"cert-expired"}),
        ({"issuer": True, "days": (1, 300)}, "localhost", {"cert-not-yet-valid"}),
        ({"issuer": True, "days": (-300, 20)}, "localhost", {"cert-expiring"}),
        ({"issuer": True, "days": (-5, 2)}, "localhost", set()),  # a short one is renewed by a program
        ({"issuer": True}, "srv.lab.test", {"cert-name"}),
        ({"issuer": True}, "192.0.2.1", {"cert-name"}),
        ({"issuer": True, "names": ("*.lab.test",)}, "srv.lab.test", set()),
        ({"issuer": True, "names": ("*.lab.test",)}, "a.srv.lab.test", {"cert-name"}),
        ({"names": (), "windows": True, "days": (-1, 180)}, "localhost", {"cert-default-rdp"}),
        ({"names": (), "windows": True, "days": (-1, 300)}, "localhost", {"cert-self-signed"}),
    ],
)
def test_certificates(folder: Path, options: dict[str, object], host: str, expected: set[str]) -> None:
    assert judged(certificate(folder, **options), host) == expected  # type: ignore[arg-type]


def test_the_name_that_the_server_has_is_right_where_an_address_was_probed(folder: Path) -> None:
    pem = certificate(folder, issuer=True, names=("srv.lab.test",))
    assert judged(pem, "192.0.2.1") == {"cert-name"}
    assert judged(pem, "192.0.2.1", also=("srv.lab.test",)) == set()
    # Where a name was asked for, another one does not help.
    assert judged(pem, "www.lab.test", also=("srv.lab.test",)) == {"cert-name"}


def test_signatures_with_sha_1_count_where_a_signature_proves_something(folder: Path) -> None:
    der = x509.load_pem_x509_certificates(certificate(folder, issuer=True).read_bytes())[0].public_bytes(Encoding.DER)
    facts = replace(read_certificate(der), signature="sha1")
    assert [found.id for found in judge_certificate(facts, "localhost")] == ["cert-weak-signature"]
    own = replace(facts, self_signed=True)
    assert [found.id for found in judge_certificate(own, "localhost")] == ["cert-self-signed"]


def test_facts_of_a_certificate_are_those_of_openssl(folder: Path) -> None:
    pem = certificate(folder, issuer=True, names=("srv.lab.test", "192.0.2.7"))
    parsed = x509.load_pem_x509_certificates(pem.read_bytes())[0]
    facts = read_certificate(parsed.public_bytes(Encoding.DER)).to_dict()
    command = ["openssl", "x509", "-noout", "-fingerprint", "-sha1", "-serial", "-in", str(pem)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    thumbprint, serial = (line.partition("=")[2].replace(":", "").lower() for line in lines)
    assert (facts["sha1"], facts["serial"]) == (thumbprint, serial)
    assert facts["names"] == ["srv.lab.test", "192.0.2.7"]
    assert (facts["key_type"], facts["key_size"], facts["signature"]) == ("RSA 2048", 2048, "sha256")
    assert (facts["issuer"], facts["self_signed"]) == ("CN=Test authority", False)


def test_a_certificate_that_cannot_be_read_is_a_finding() -> None:
    (found,) = judge_certificate(read_certificate(b"\x30\x03\x02\x01\x01"), "localhost")
    assert found.id == "cert-unreadable"


def test_names() -> None:
    assert names_host(["SRV.lab.test"], "srv.LAB.test.")
    assert not names_host(["*.test"], "lab.test")
    assert names_host(["fe80::1"], "fe80::1%eth0")


def errors() -> Iterator[tuple[Exception, str]]:
    yield ConnectError("x").because_of(Obstacle.NAME), "name-unknown"
    yield ConnectError("x").because_of(Obstacle.REFUSED), "port-closed"
    yield ConnectError("x").because_of(Obstacle.SILENT), "no-answer"
    yield ConnectError("x").because_of(Obstacle.UNREACHABLE), "unreachable"
    yield ConnectError("x").because_of(Obstacle.MUTE), "silent"
    yield ConnectError("x").because_of(Obstacle.TLS), "tls-failed"
    yield ConnectError("x"), "no-connection"
    yield DeadlineError("x"), "silent"
    yield PeerClosedError("x"), "closed-early"
    yield RemoteProtocolError("x"), "other-protocol"
    yield LocalRestrictionError("x", restriction="MinProtocol"), "openssl-restricted"


@pytest.mark.parametrize(
    ("error", "expected"), list(errors()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_errors_on_the_way(error: Exception, expected: str) -> None:
    assert way_finding(error, "srv port 3389", wanted="RDP").id == expected  # type: ignore[arg-type]


def test_first_bytes_name_the_protocol() -> None:
    assert protocol_of(b"SSH-2.0-x") == "SSH"
    assert protocol_of(b"\x15\x03\x01") == "TLS"
    assert protocol_of(b"\x00") == ""
    found = way_finding(RemoteProtocolError("x"), "srv port 22", wanted="RDP", greeting=b"SSH-2.0-x")
    assert found.seen == "srv port 22 speaks SSH, not RDP."


def test_a_date_is_judged_by_the_time_that_is_given(folder: Path) -> None:
    der = x509.load_pem_x509_certificates(certificate(folder).read_bytes())[0].public_bytes(Encoding.DER)
    made = report(certificate=der, host="localhost")
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=400)
    assert "cert-expired" in [found.id for found in judge_rdp(made, now=later)]
    assert "cert-expired" not in ids(made)
