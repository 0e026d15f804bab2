"""Channel bindings of the certificate of https (RFC 5929): our clients prove it, our server judges it."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn")
httpx = pytest.importorskip("httpx")
requests = pytest.importorskip("requests")

from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: E402

from credssp import CredSSPError  # noqa: E402
from credssp.drivers import winrm_serving as serving  # noqa: E402
from credssp.drivers.winrm import WinRMConnection  # noqa: E402
from credssp.drivers.winrm_asgi import Login  # noqa: E402
from credssp.drivers.winrm_httpx import CredSSPAuth  # noqa: E402
from credssp.drivers.winrm_requests import HTTPCredSSPAuth  # noqa: E402
from credssp.errors import LocalProtocolError  # noqa: E402
from credssp.status import NTStatus  # noqa: E402
from credssp.tls.end_point import end_point_bindings  # noqa: E402
from credssp.tls.settings import ClientTLS  # noqa: E402
from tests.winrm import servers  # noqa: E402
from tests.winrm.memory import ALICE, login  # noqa: E402

HEADERS = {"Content-Type": servers.SOAP_TYPE}


def by_connection(port: int, **options: Any) -> int:
    side = login(spn_host="srv", **options)
    with WinRMConnection("127.0.0.1", port, https=ClientTLS()) as connection:
        connection.log_on(side)
        return connection.send(side, servers.IDENTIFY)[0]


def by_requests(port: int, **options: Any) -> int:
    with requests.Session() as session:
        auth = HTTPCredSSPAuth(credentials=options.pop("credentials", ALICE), **options)
        url = f"https://127.0.0.1:{port}/wsman"
        reply = session.post(url, data=servers.IDENTIFY, headers=HEADERS, auth=auth, verify=False)
        return int(reply.status_code)


def by_httpx(port: int, **options: Any) -> int:
    auth = CredSSPAuth(credentials=options.pop("credentials", ALICE), **options)
    with httpx.Client(auth=auth, verify=False) as client:
        reply = client.post(f"https://127.0.0.1:{port}/wsman", content=servers.IDENTIFY, headers=HEADERS)
        return int(reply.status_code)


Client = Callable[..., int]


@pytest.fixture(params=[by_connection, by_requests, by_httpx])
def client(request: pytest.FixtureRequest) -> Client:
    return request.param  # type: ignore[no-any-return]


OTHER = b"tls-server-end-point:" + bytes(32)
pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS request")


@pytest.mark.parametrize(
    ("hardening", "options", "gets_in"),
    [
        ("strict", {}, True),
        ("strict", {"bind_https": False}, False),
        ("strict", {"channel_bindings": OTHER}, False),
        (None, {}, True),
        (None, {"bind_https": False}, True),
        (None, {"channel_bindings": OTHER}, False),
        ("none", {"channel_bindings": OTHER}, True),
    ],
)
def test_a_client_proves_the_certificate_of_https(
    client: Client, hardening: Any, options: dict[str, Any], gets_in: bool, tmp_path: Path
) -> None:
    told: list[Login] = []
    app = servers.application(cbt_hardening=hardening, on_login=told.append)
    with serving.serving(app, certfile=servers.outer_certificate(tmp_path)) as port:
        if gets_in:
            assert client(port, **options) == 200
            return
        with pytest.raises(CredSSPError):
            client(port, **options)
    assert [login.error.ntstatus for login in told if login.error] == [NTStatus.STATUS_BAD_BINDINGS]


def test_a_wrong_password_on_a_wrong_channel_is_a_wrong_password(tmp_path: Path) -> None:
    told: list[Login] = []
    app = servers.application(on_login=told.append)
    with serving.serving(app, certfile=servers.outer_certificate(tmp_path)) as port, pytest.raises(CredSSPError):
        by_connection(port, channel_bindings=OTHER, credentials=type(ALICE)("alice", "wrong", domain="LAB"))
    assert told[0].error is not None
    assert told[0].error.ntstatus == NTStatus.STATUS_LOGON_FAILURE


def test_a_certificate_that_changed_is_what_new_connections_prove(tmp_path: Path) -> None:
    certificate = servers.outer_certificate(tmp_path)
    app = servers.application(cbt_hardening="strict")
    with serving.serving(app, certfile=certificate) as port:
        assert by_connection(port) == 200
        servers.outer_certificate(tmp_path)
        for _ in range(3):
            assert by_connection(port) == 200


def test_over_http_there_is_nothing_to_prove() -> None:
    with serving.serving(servers.application(cbt_hardening="strict")) as port:
        side = login(spn_host="srv")
        with WinRMConnection("127.0.0.1", port) as connection:
            connection.log_on(side)
            assert side.context.config.channel_bindings is None


def test_a_login_that_has_begun_cannot_be_bound() -> None:
    side = login()
    side.start()
    with pytest.raises(LocalProtocolError, match="before start"):
        side.bind(b"")


def self_signed(key: Any, algorithm: Any) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "srv")])
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, algorithm)
    )
    return certificate.public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize(
    ("algorithm", "name"),
    [(hashes.SHA256(), "sha256"), (hashes.SHA384(), "sha384"), (hashes.SHA512(), "sha512")],
)
def test_the_hash_is_that_of_the_signature(algorithm: Any, name: str) -> None:
    certificate = self_signed(ec.generate_private_key(ec.SECP256R1()), algorithm)
    assert end_point_bindings(certificate) == b"tls-server-end-point:" + hashlib.new(name, certificate).digest()


@pytest.mark.parametrize("weak", [b"\x05", b"\x04"], ids=["SHA-1", "MD5"])
def test_sha256_is_taken_in_place_of_md5_and_sha1(weak: bytes) -> None:
    certificate = self_signed(rsa.generate_private_key(65537, 2048), hashes.SHA256())
    # sha256WithRSAEncryption is 1.2.840.113549.1.1.11; .5 is with SHA-1, .4 with MD5. No signature is checked here.
    oid = bytes.fromhex("2a864886f70d0101")
    certificate = certificate.replace(oid + b"\x0b", oid + weak)
    assert end_point_bindings(certificate) == b"tls-server-end-point:" + hashlib.sha256(certificate).digest()


def test_there_are_no_bindings_without_a_hash() -> None:
    assert end_point_bindings(self_signed(ed25519.Ed25519PrivateKey.generate(), None)) is None
    assert end_point_bindings(b"no certificate") is None
