"""The TLS channel over memory: closes, alerts, garbage and large data."""

from __future__ import annotations

import base64
import hashlib
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from credssp.dissect.tls.schedule import next_secret, traffic_keys
from credssp.dissect.tls.suites import find_suite
from credssp.errors import CertificateError, LocalProtocolError, TLSAlertError, TLSError
from credssp.status import NTStatus, SecurityStatus
from credssp.tls.alerts import ALERTS, translate
from credssp.tls.certificate import ServerCertificate, generate_certificate, load_certificate, process_certificate
from credssp.tls.channel import TLSChannel
from credssp.tls.queues import SharedQueues
from credssp.tls.settings import CertificateCheck, ClientTLS, ServerTLS, client_context, server_context


@pytest.fixture(autouse=True, params=["own queues", "shared queues"])
def queues(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test with channels that have queues of their own, and with such that share them."""
    if request.param == "own queues":
        yield
    else:
        shared = SharedQueues()
        with shared:
            yield
        assert not shared.incoming.pending
        assert not shared.outgoing.pending


def pair(
    client: ClientTLS = ClientTLS(), server: ServerTLS = ServerTLS(), certificate: ServerCertificate | None = None
) -> tuple[TLSChannel, TLSChannel]:
    return (
        TLSChannel(client_context(client), server_side=False, server_hostname=client.server_hostname or "localhost"),
        TLSChannel(server_context(server, certificate or process_certificate()), server_side=True),
    )


def shake(c: TLSChannel, s: TLSChannel) -> None:
    for _ in range(5):
        c.handshake()
        s.receive(c.data_to_send())
        s.handshake()
        c.receive(s.data_to_send())
    assert c.handshake_complete
    assert s.handshake_complete


@pytest.fixture(params=["1.2", "1.3"])
def connected(request: pytest.FixtureRequest) -> tuple[TLSChannel, TLSChannel]:
    c, s = pair(ClientTLS(maximum=request.param, minimum=request.param))
    shake(c, s)
    assert c.protocol == s.protocol == f"TLSv{request.param}"
    return c, s


def test_both_ways(connected: tuple[TLSChannel, TLSChannel]) -> None:
    c, s = connected
    assert s.decrypt(c.encrypt(b"to the server")) == b"to the server"
    assert c.decrypt(s.encrypt(b"to the client")) == b"to the client"
    assert c.cipher == s.cipher != ""
    assert c.peer_certificate == process_certificate().der
    assert s.peer_certificate is None
    assert not c.session_reused


@pytest.mark.parametrize("size", [0, 1, 16384, 16385, 128 * 1024, 128 * 1024 + 1, 1 << 20])
def test_any_size(connected: tuple[TLSChannel, TLSChannel], size: int) -> None:
    c, s = connected
    data = bytes(range(256)) * (size // 256 + 1)
    assert s.decrypt(c.encrypt(data[:size])) == data[:size]


def test_octet_by_octet(connected: tuple[TLSChannel, TLSChannel]) -> None:
    c, s = connected
    stream = c.encrypt(b"hello") + c.encrypt(b" world")
    got = b""
    for i in range(len(stream)):
        s.receive(stream[i : i + 1])
        got += s.read()
    assert got == b"hello world"
    assert s.records.missing == 0


def test_a_close_is_an_event(connected: tuple[TLSChannel, TLSChannel]) -> None:
    c, s = connected
    last = c.encrypt(b"last words") + c.close()
    assert s.decrypt(last) == b"last words"
    assert s.peer_closed
    assert s.read() == b""
    assert not c.peer_closed
    c.decrypt(s.close())
    assert c.peer_closed


def test_nothing_is_sent_after_a_close(connected: tuple[TLSChannel, TLSChannel]) -> None:
    c, _ = connected
    c.close()
    with pytest.raises(TLSError):
        c.encrypt(b"x")
    with pytest.raises(TLSError):
        c.encrypt(bytes(1 << 20))
    assert c.encrypt(b"") == b""


def test_plaintext_comes_before_the_error_behind_it(connected: tuple[TLSChannel, TLSChannel]) -> None:
    c, s = connected
    stream = c.encrypt(b"good") + b"\x17\x03\x03\x00\x20" + bytes(32)
    assert s.decrypt(stream) == b"good"
    for _ in range(2):
        with pytest.raises(TLSError) as caught:
            s.read()
    assert caught.value.status is SecurityStatus.SEC_E_MESSAGE_ALTERED
    with pytest.raises(TLSAlertError) as alert:
        c.decrypt(s.data_to_send())
    assert alert.value.alert == "bad_record_mac"
    assert alert.value.description == 20


def test_large_data_before_an_error(connected: tuple[TLSChannel, TLSChannel]) -> None:
    c, s = connected
    data = bytes(300_000)
    stream = c.encrypt(data) + b"\x17\x03\x03\x00\x20" + bytes(200_000)
    assert s.decrypt(stream) == data
    with pytest.raises(TLSError):
        s.decrypt(bytes(300_000))


def test_abort_sends_a_fatal_alert(connected: tuple[TLSChannel, TLSChannel]) -> None:
    c, s = connected
    with pytest.raises(TLSAlertError) as alert:
        c.decrypt(s.abort())
    assert alert.value.alert in {"bad_record_mac", "unexpected_message"}
    with pytest.raises(TLSError):
        c.read()


def test_abort_works_in_the_middle_of_a_record(connected: tuple[TLSChannel, TLSChannel]) -> None:
    c, s = connected
    s.decrypt(c.encrypt(bytes(9000))[:50])
    with pytest.raises(TLSAlertError):
        c.decrypt(s.abort())


def test_abort_before_the_handshake_is_over() -> None:
    c, s = pair()
    c.handshake()
    s.receive(c.data_to_send())
    s.handshake()
    c.receive(s.data_to_send())
    alert = s.abort()
    c.receive(alert)
    with pytest.raises(TLSError):
        c.handshake()
        c.read()


@pytest.mark.parametrize(
    "junk", [b"GET / HTTP/1.1\r\n\r\n", bytes(100), b"\x16\x03\x01\x00\x05hello", b"\x03\x00\x00\x13\x0e"]
)
def test_junk_is_no_handshake(junk: bytes) -> None:
    _, s = pair()
    s.receive(junk + bytes(64))
    with pytest.raises(TLSError) as caught:
        s.handshake()
    assert caught.value.status.name.startswith("SEC_E_")
    assert "GET" not in str(caught.value).replace("request", "")


def test_no_common_version() -> None:
    c, s = pair(ClientTLS(maximum="1.2"), ServerTLS(minimum="1.3"))
    c.handshake()
    s.receive(c.data_to_send())
    with pytest.raises(TLSError) as caught:
        s.handshake()
    assert caught.value.status is SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION
    c.receive(s.data_to_send())
    with pytest.raises(TLSAlertError) as alert:
        c.handshake()
    assert alert.value.alert == "protocol_version"


# The certificate


def test_the_chain_is_checked_when_asked_for() -> None:
    certificate = generate_certificate("p256", dns_names=("srv.lab.test",))
    c, s = pair(ClientTLS(cadata=certificate.chain.decode(), server_hostname="srv.lab.test"), certificate=certificate)
    shake(c, s)
    assert ClientTLS(cadata=certificate.chain.decode()).check(c.peer_certificate) is CertificateCheck.TRUSTED


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        (ClientTLS(verify=True), SecurityStatus.SEC_E_UNTRUSTED_ROOT),
        (ClientTLS(cadata="own", server_hostname="other.lab.test"), SecurityStatus.SEC_E_WRONG_PRINCIPAL),
    ],
)
def test_a_certificate_that_does_not_pass(settings: ClientTLS, status: SecurityStatus) -> None:
    certificate = generate_certificate("p256", dns_names=("srv.lab.test",))
    if settings.cadata == "own":
        settings = ClientTLS(cadata=certificate.chain.decode(), server_hostname=settings.server_hostname)
    c, s = pair(settings, certificate=certificate)
    with pytest.raises(CertificateError) as caught:
        shake(c, s)
    assert caught.value.status is status
    assert c.data_to_send()  # the alert


def test_an_expired_certificate_has_its_own_status() -> None:
    error = ssl.SSLCertVerificationError(1, "expired")
    error.verify_code, error.verify_message = 10, "certificate has expired"
    assert translate(error, during="TLS handshake").status is SecurityStatus.SEC_E_CERT_EXPIRED


@pytest.mark.parametrize(
    "form",
    [
        lambda digest: digest.hex(),
        lambda digest: digest.hex(":").upper(),
        lambda digest: digest.hex("-").upper(),
        lambda digest: "\u200e" + digest.hex(" "),
        lambda digest: f"sha256:{digest.hex()}",
        lambda digest: f"sha256 Fingerprint={digest.hex(':').upper()}",
        lambda digest: f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}",
        lambda digest: f"SHA256:{base64.b64encode(digest).decode()}",
    ],
)
def test_fingerprints_are_taken_as_programs_show_them(form: Callable[[bytes], str]) -> None:
    der = generate_certificate("p256").der
    digest = hashlib.sha256(der).digest()
    assert ClientTLS(fingerprint=form(digest)).check(der) is CertificateCheck.PINNED
    with pytest.raises(CertificateError):
        ClientTLS(fingerprint=form(digest[::-1])).check(der)


@pytest.mark.parametrize("text", ["sha1:" + "a" * 40, "a" * 40, "SHA256:short", "z" * 64, "A" * 43, ""])
def test_what_is_not_a_fingerprint_is_refused(text: str) -> None:
    with pytest.raises(LocalProtocolError, match="64 hexadecimal digits"):
        ClientTLS(fingerprint=text)


def test_a_pinned_fingerprint() -> None:
    der = process_certificate().der
    digest = hashlib.sha256(der).hexdigest()
    colons = ":".join(digest[i : i + 2] for i in range(0, 64, 2)).upper()
    assert ClientTLS(fingerprint=digest).check(der) is CertificateCheck.PINNED
    assert ClientTLS(fingerprint=colons).check(der) is CertificateCheck.PINNED
    with pytest.raises(CertificateError, match=digest):
        ClientTLS(fingerprint="00" * 32).check(der)
    assert ClientTLS().check(der) is CertificateCheck.NOT_CHECKED


def test_a_server_without_a_certificate_is_refused() -> None:
    channel = TLSChannel(client_context(ClientTLS()), server_side=False)
    with pytest.raises(CertificateError, match="no certificate") as caught:
        _ = channel.server_certificate
    assert caught.value.status is SecurityStatus.SEC_E_CERT_UNKNOWN


# Settings


def test_contexts_are_made_once() -> None:
    assert client_context(ClientTLS()) is client_context(ClientTLS())
    assert client_context(ClientTLS()) is not client_context(ClientTLS(maximum="1.2"))
    certificate = process_certificate()
    same = load_certificate((certificate.chain, certificate.private_key.reveal()))
    assert server_context(ServerTLS(), certificate) is server_context(ServerTLS(), same)


@pytest.mark.parametrize(
    "settings",
    [
        ClientTLS(minimum="1.1"),  # type: ignore[arg-type]
        ClientTLS(ciphers="NO-SUCH-CIPHER"),
        ClientTLS(cafile="/no/such/file"),
        ClientTLS(cadata="no PEM"),
        ClientTLS(client_certificate="/no/such/file"),
    ],
)
def test_settings_that_make_no_sense(settings: ClientTLS) -> None:
    with pytest.raises(LocalProtocolError):
        client_context(settings)


def test_ciphers_are_taken() -> None:
    c, s = pair(ClientTLS(maximum="1.2", ciphers="ECDHE-RSA-AES256-SHA384:ECDHE-RSA-AES256-GCM-SHA384"))
    shake(c, s)
    assert c.cipher.startswith("ECDHE-RSA-AES256")


@pytest.mark.parametrize("name", ["a" * 300, ".", "bad\x00name"])
def test_host_names_that_tls_cannot_take(name: str) -> None:
    with pytest.raises(LocalProtocolError, match="host name"):
        TLSChannel(client_context(ClientTLS()), server_side=False, server_hostname=name)


# Loading certificates


def test_a_certificate_from_a_path_and_from_octets(tmp_path) -> None:  # type: ignore[no-untyped-def]
    made = generate_certificate("p256")
    key = made.private_key.reveal()
    path = tmp_path / "server.pem"
    path.write_bytes(key + made.chain)
    for source in (str(path), path, (made.chain, key), made):
        loaded = load_certificate(source)
        assert loaded.der == made.der
        shake(*pair(certificate=loaded))
    assert "PRIVATE" not in repr(made)


def test_certificates_that_cannot_be_used(tmp_path) -> None:  # type: ignore[no-untyped-def]
    made, other = generate_certificate("p256"), generate_certificate("p256")
    with pytest.raises(LocalProtocolError, match="cannot be read"):
        load_certificate(tmp_path / "none.pem")
    path = tmp_path / "chain.pem"
    path.write_bytes(made.chain)
    with pytest.raises(LocalProtocolError, match="no private key"):
        load_certificate(path)
    for chain, key in [
        (made.chain, other.private_key.reveal()),
        (b"junk", made.private_key.reveal()),
        (made.chain, b"junk"),
    ]:
        with pytest.raises(LocalProtocolError):
            server_context(ServerTLS(), load_certificate((chain, key)))
    with pytest.raises(LocalProtocolError, match="bad base64|not PEM"):
        load_certificate((b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----", b"")).der  # noqa: B018
    with pytest.raises(LocalProtocolError, match="no CERTIFICATE block"):
        load_certificate((b"junk", b"")).der  # noqa: B018


def test_an_encrypted_key_asks_nobody() -> None:
    from cryptography.hazmat.primitives import serialization

    made = generate_certificate("p256")
    key = serialization.load_pem_private_key(made.private_key.reveal(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"x"),
    )
    with pytest.raises(LocalProtocolError):
        server_context(ServerTLS(), load_certificate((made.chain, locked)))


def test_unknown_key_type() -> None:
    with pytest.raises(LocalProtocolError, match="unknown key type"):
        generate_certificate("dsa")  # type: ignore[arg-type]


def test_the_process_certificate_is_made_once() -> None:
    assert process_certificate() is process_certificate()


# Alerts


@pytest.mark.parametrize(
    ("reason", "alert", "status"),
    [
        ("TLSV1_ALERT_ACCESS_DENIED", "access_denied", SecurityStatus.SEC_E_LOGON_DENIED),
        ("TLSV1_ALERT_UNKNOWN_CA", "unknown_ca", SecurityStatus.SEC_E_UNTRUSTED_ROOT),
        ("SSLV3_ALERT_BAD_CERTIFICATE", "bad_certificate", SecurityStatus.SEC_E_CERT_UNKNOWN),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "certificate_required", SecurityStatus.SEC_E_INCOMPLETE_CREDENTIALS),
        ("TLSV1_UNRECOGNIZED_NAME", "unrecognized_name", SecurityStatus.SEC_E_ILLEGAL_MESSAGE),
        ("TLSV1_ALERT_INTERNAL_ERROR", "internal_error", SecurityStatus.SEC_E_ILLEGAL_MESSAGE),
    ],
)
def test_alerts_of_the_peer(reason: str, alert: str, status: SecurityStatus) -> None:
    error = ssl.SSLError(1, "text of OpenSSL")
    error.reason = reason
    translated = translate(error, during="TLS session")
    assert isinstance(translated, TLSAlertError)
    assert translated.alert == alert
    assert translated.description == ALERTS[alert]
    assert translated.status is status
    expected = NTStatus.STATUS_LOGON_FAILURE if alert == "access_denied" else None
    assert translated.ntstatus == expected


def test_an_alert_of_the_future_and_an_error_without_a_reason() -> None:
    error = ssl.SSLError(1, "x")
    error.reason = "TLSV1_ALERT_SOMETHING_NEW"
    translated = translate(error, during="TLS session")
    assert isinstance(translated, TLSAlertError)
    assert translated.description is None
    assert "something_new (?)" in str(translated)
    plain = translate(ssl.SSLError(1, "secret text"), during="TLS session")
    assert isinstance(plain, TLSError)
    assert "secret" not in str(plain)


def test_what_tls_negotiated_is_still_known_after_the_channel_broke(connected: tuple[TLSChannel, TLSChannel]) -> None:
    c, _ = connected
    protocol, certificate = c.protocol, c.peer_certificate
    c.abort()
    assert (c.protocol, c.peer_certificate) == (protocol, certificate)


def test_a_broken_channel_whose_certificate_nobody_asked_for_has_none(
    connected: tuple[TLSChannel, TLSChannel],
) -> None:
    c, _ = connected
    c.abort()
    assert c.peer_certificate is None


def test_records_without_data_are_bounded_on_a_client() -> None:
    server_context(settings := ServerTLS(tickets=True, ciphers="ALL"), process_certificate()).num_tickets = 100
    c, s = pair(server=settings)
    shake(c, s)
    with pytest.raises(TLSError, match="too many TLS records without data"):
        c.read()


def test_key_updates_before_the_login_are_bounded_on_a_server(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    log = tmp_path / "keys"
    context = client_context(ClientTLS(minimum="1.3", ciphers="ALL"))
    context.keylog_filename = str(log)
    c = TLSChannel(context, server_side=False, server_hostname="localhost")
    s = TLSChannel(server_context(ServerTLS(), process_certificate()), server_side=True)
    shake(c, s)
    suite = next(suite for number in (0x1301, 0x1302) if (suite := find_suite(number)).name == c.cipher)
    secret = bytes.fromhex(log.read_text().partition("CLIENT_TRAFFIC_SECRET_0 ")[2].split()[1])
    sent = 0
    with pytest.raises(TLSError, match="too many TLS records without data"):
        while True:
            sent += 1
            keys = traffic_keys(suite, secret)
            header = b"\x17\x03\x03" + (6 + 16).to_bytes(2, "big")
            s.receive(header + AESGCM(keys.key).encrypt(keys.iv, b"\x18\0\0\x01\x01\x16", header))
            assert s.read() == b""
            secret = next_secret(suite, secret)
    assert 32 <= sent <= 65
