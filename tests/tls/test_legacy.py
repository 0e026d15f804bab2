"""One old host that speaks TLS 1.0 or 1.1 alone: refused by default, and taken where the caller says so."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from credssp import ClientTLS, LocalProtocolError, MemoryAccounts, PasswordCredentials, rdp
from credssp.cli import main
from credssp.errors import CredSSPError, TLSError
from credssp.status import SecurityStatus
from credssp.testing import RDPServer
from credssp.testing.wsman import WSManResponder
from credssp.tls.certificate import ServerCertificate, generate_certificate
from credssp.tls.channel import TLSChannel
from credssp.tls.record import measure_record
from credssp.tls.settings import ServerTLS, client_context, server_context
from credssp.tls.sizes import StreamSizes

ALICE = PasswordCredentials("alice", "secret", domain="LAB")
VERSIONS = {"1.0": ssl.TLSVersion.TLSv1, "1.1": ssl.TLSVersion.TLSv1_1}
NAMES = {"1.0": "TLSv1", "1.1": "TLSv1.1"}


def old_context(version: str, certificate: ServerCertificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = VERSIONS[version]
    context.set_ciphers("ALL:@SECLEVEL=0")
    certificate.load_into(context)
    return context


def handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> TLSChannel:
    """Shake hands in memory; returns the client's end. Raises what the client raises."""
    ours = TLSChannel(client, server_side=False, server_hostname="srv")
    theirs = TLSChannel(server, server_side=True)
    while not ours.handshake_complete:
        ours.handshake()
        theirs.receive(ours.data_to_send())
        with contextlib.suppress(CredSSPError):  # its alert goes to the client
            theirs.handshake()
        ours.receive(theirs.data_to_send())
    return ours


@pytest.fixture
def old_server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[RDPServer]:
    """A server that speaks the version in the test's parameter alone."""
    version: str = request.param
    monkeypatch.setattr("credssp.context.server.server_context", lambda tls, own: old_context(version, own))
    monkeypatch.setattr("credssp.context.server.sessionless_context", lambda tls: None)
    with RDPServer({("LAB", "alice"): "secret"}) as server:
        yield server


both = pytest.mark.parametrize(("old_server", "version"), [("1.0", "1.0"), ("1.1", "1.1")], indirect=["old_server"])


@both
def test_legacy_logs_on_to_an_old_server(old_server: RDPServer, version: str) -> None:
    tls = ClientTLS(legacy=True)
    with rdp.connect(*old_server.address, credentials=ALICE, mechanism="ntlm", tls=tls) as session:
        assert session.endpoint.context.tls_version == NAMES[version]
        session.sendall(bytes(40_000))
    assert len(old_server.assert_delegated(username="alice", password="secret").received) == 40_000


@both
def test_legacy_logs_on_to_an_old_server_on_asyncio(old_server: RDPServer, version: str) -> None:
    async def run() -> str:
        tls = ClientTLS(legacy=True)
        async with await rdp.open_connection(
            *old_server.address, credentials=ALICE, mechanism="ntlm", tls=tls
        ) as session:
            return session.endpoint.context.tls_version

    assert asyncio.run(run()) == NAMES[version]


@both
def test_default_refuses_an_old_server_and_names_the_option(old_server: RDPServer, version: str) -> None:
    with pytest.raises(TLSError) as caught:
        rdp.connect(*old_server.address, credentials=ALICE, mechanism="ntlm")
    assert "--legacy-tls" in caught.value.advice
    assert "AllowEncryptionOracle" not in caught.value.advice
    assert not old_server.delegations


@pytest.mark.parametrize(("version", "name"), [(b"\3\1", "TLS 1.0"), (b"\3\2", "TLS 1.1"), (b"\3\0", "SSL 3.0")])
def test_server_that_chooses_an_old_version_is_quoted(version: bytes, name: str) -> None:
    # As Windows Server 2008 does: it answers the highest version it has.
    hello = version + bytes(32) + b"\0" + b"\x00\x2f" + b"\0"
    message = b"\2" + len(hello).to_bytes(3, "big") + hello
    channel = TLSChannel(client_context(ClientTLS()), server_side=False, server_hostname="srv")
    assert not channel.handshake()
    record = b"\x16" + version + len(message).to_bytes(2, "big") + message
    for byte in record[:-1]:
        channel.receive(bytes([byte]))
        assert not channel.handshake()
    channel.receive(record[-1:])
    with pytest.raises(TLSError) as caught:
        channel.handshake()
    assert f"the server speaks {name}, which is not allowed here" in caught.value.message
    assert caught.value.status is SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION
    assert "--legacy-tls" in caught.value.advice


@pytest.mark.parametrize("alert", range(256))
def test_advice_names_the_option_for_the_version_alone(alert: int) -> None:
    channel = TLSChannel(client_context(ClientTLS()), server_side=False, server_hostname="srv")
    channel.handshake()
    channel.receive(b"\x15\3\3\0\2\2" + bytes([alert]))
    with pytest.raises(TLSError) as caught:
        channel.handshake()
    assert ("legacy" in caught.value.advice) is (alert == 70)


@pytest.mark.parametrize("settings", [ClientTLS(minimum="1.3"), ClientTLS(legacy=True, maximum="1.2")])
def test_advice_does_not_name_the_option_where_it_would_not_help(settings: ClientTLS) -> None:
    other: Any = ServerTLS(maximum="1.2") if settings.minimum == "1.3" else ServerTLS(minimum="1.3")
    with pytest.raises(TLSError) as caught:
        handshake(client_context(settings), server_context(other, generate_certificate("p256")))
    assert "legacy" not in caught.value.advice


def test_server_without_a_common_cipher_is_not_called_old() -> None:
    certificate = generate_certificate("rsa")
    server = server_context(ServerTLS(ciphers="ECDHE-RSA-AES256-GCM-SHA384", maximum="1.2"), certificate)
    with pytest.raises(TLSError) as caught:
        handshake(client_context(ClientTLS(ciphers="ECDHE-RSA-AES128-GCM-SHA256", maximum="1.2")), server)
    assert "legacy" not in caught.value.advice + caught.value.message


def test_client_that_is_old_is_not_told_about_servers() -> None:
    certificate = generate_certificate("p256")
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1
    client.set_ciphers("ALL:@SECLEVEL=0")
    ours = TLSChannel(client, server_side=False, server_hostname="srv")
    theirs = TLSChannel(server_context(ServerTLS(), certificate), server_side=True)
    ours.handshake()
    theirs.receive(ours.data_to_send())
    with pytest.raises(TLSError) as caught:
        theirs.handshake()
    assert "legacy" not in caught.value.advice


def test_legacy_still_takes_the_best_version() -> None:
    certificate = generate_certificate("p256")
    channel = handshake(client_context(ClientTLS(legacy=True)), server_context(ServerTLS(), certificate))
    assert channel.protocol == "TLSv1.3"


def test_legacy_is_for_its_own_settings_alone() -> None:
    certificate = generate_certificate("rsa")
    old = old_context("1.0", certificate)
    assert handshake(client_context(ClientTLS(legacy=True)), old).protocol == "TLSv1"
    with pytest.raises(TLSError):
        handshake(client_context(ClientTLS()), old)


def test_legacy_warns_of_the_risk(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "credssp.tls"):
        client_context(ClientTLS(legacy=True, server_hostname="old.lab.test"))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "may read and change what is sent" in caplog.text


def test_legacy_makes_no_deprecation_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client_context(ClientTLS(legacy=True, server_hostname="other.lab.test"))


def test_legacy_with_a_higher_minimum_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match=r"minimum='1\.3' forbids"):
        ClientTLS(legacy=True, minimum="1.3")


def test_ciphers_may_be_given_with_legacy() -> None:
    channel = handshake(
        client_context(ClientTLS(legacy=True, ciphers="AES128-SHA")),
        old_context("1.0", generate_certificate("rsa")),
    )
    assert channel.cipher == "AES128-SHA"


@pytest.mark.parametrize(("version", "header"), [("1.0", 5), ("1.1", 21)])
def test_room_for_records_of_old_versions_is_what_they_take(version: str, header: int) -> None:
    context = client_context(ClientTLS(legacy=True, ciphers="AES128-SHA"))
    channel = handshake(context, old_context(version, generate_certificate("rsa")))
    records = channel.encrypt(bytes(100))
    sizes = StreamSizes.of(channel.protocol, channel.cipher)
    assert sizes.header == header
    # TLS 1.0 puts an empty record in front, against a known attack (CVE-2011-3389).
    first = measure_record(records)
    last = measure_record(records, first) if first < len(records) else first
    assert last == header + 132  # 100, padding 12, MAC 20 after it (RFC 7366)
    assert header + 100 < last <= header + 100 + sizes.trailer


@pytest.mark.parametrize("old_server", ["1.0"], indirect=True)
def test_command_line(
    old_server: RDPServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDSSP_PASSWORD", "secret")
    arguments = ["login", f"rdp://127.0.0.1:{old_server.port}", "-u", "LAB\\alice", "--mechanism", "ntlm", "--json"]
    code = main(arguments)
    refused = json.loads(capsys.readouterr().out)
    assert code == 3
    assert "--legacy-tls" in refused["status"]["advice"]
    assert main([*arguments, "--legacy-tls"]) == 0
    assert json.loads(capsys.readouterr().out)["tls"]["version"] == "TLSv1"


@contextmanager
def old_https(folder: Path) -> Iterator[int]:
    """An https server with TLS 1.0 whose WinRM is as always."""
    serving = pytest.importorskip("credssp.drivers.winrm_serving")
    application = pytest.importorskip("credssp.drivers.winrm_asgi").WinRMApplication
    made = generate_certificate("rsa", common_name="localhost")
    path = folder / "both.pem"
    path.touch(mode=0o600)
    path.write_bytes(made.chain + made.private_key.reveal())
    app = application(WSManResponder(), accounts=MemoryAccounts({("LAB", "alice"): "secret"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving, "_https_context", lambda *_: old_context("1.0", made))
        with serving.serving(app, certfile=path) as port:
            yield port


def https_login(capsys: pytest.CaptureFixture[str], port: int, *options: str) -> tuple[int, dict[str, Any]]:
    url = f"https://127.0.0.1:{port}/wsman"
    code = main(["login", url, "-u", "LAB\\alice", "--mechanism", "ntlm", "--json", *options])
    return code, json.loads(capsys.readouterr().out)


def test_command_line_with_old_https(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CREDSSP_PASSWORD", "secret")
    with old_https(tmp_path) as port:
        code, facts = https_login(capsys, port, "--legacy-tls")
    assert (code, facts["winrm"]["https"]["version"]) == (0, "TLSv1")


def test_command_line_refuses_old_https_and_names_the_option(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDSSP_PASSWORD", "secret")
    context = old_context("1.0", generate_certificate("rsa"))
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as connection, contextlib.suppress(OSError):
                context.wrap_socket(connection, server_side=True)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        code, facts = https_login(capsys, listener.getsockname()[1])
        thread.join(10)
    assert code == 3
    assert "none of the TLS versions that are allowed" in facts["status"]["text"]
    assert "--legacy-tls" in facts["status"]["advice"]
