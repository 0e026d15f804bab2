"""ApplyControlToken with alerts: what reaches the peer, and what becomes of the context. SHUTDOWN: test_messages.py."""

from __future__ import annotations

import ssl

import pytest

import credssp.sspi as sspi
from credssp.errors import TLSAlertError
from credssp.sspi import SCHANNEL_ALERT_TOKEN, SecBuffer, SecBufferDesc, SecurityStatus
from tests.sspi.certificates import root
from tests.sspi.pair import OK, Pair, Side, make, opening
from tests.sspi.test_inner_packages import inner, refused, run, schannel

S = SecurityStatus

FATAL = sspi.TLS1_ALERT_FATAL
MANUAL = sspi.ISC_REQ_MANUAL_CRED_VALIDATION
VERSIONS = {"1.2": sspi.SP_PROT_TLS1_2_CLIENT, "1.3": sspi.SP_PROT_TLS1_3_CLIENT}

versions = pytest.mark.parametrize("version", VERSIONS)
numbers = pytest.mark.parametrize("number", [sspi.TLS1_ALERT_HANDSHAKE_FAILURE, sspi.TLS1_ALERT_ACCESS_DENIED, 255])


def apply(side: Side, content: bytes, kind: int = sspi.SECBUFFER_TOKEN) -> SecurityStatus:
    return side.authority.apply_control_token(side.context, SecBufferDesc([SecBuffer(kind, content)]))


def alert(side: Side, number: int, level: int = FATAL) -> bytes:
    """Let a side send an alert; returns its token."""
    assert apply(side, SCHANNEL_ALERT_TOKEN(level, number).pack()) is OK
    token = side.leg() if side.client else side.leg(b"")
    assert side.status is OK
    return token


def tls(version: str) -> Pair:
    return schannel(MANUAL, client={"enabled_protocols": VERSIONS[version]})


def test_structure_is_that_of_the_header() -> None:
    packed = SCHANNEL_ALERT_TOKEN(FATAL, sspi.TLS1_ALERT_UNKNOWN_CA).pack()
    assert packed == bytes.fromhex("02000000 02000000 30000000")


@versions
@numbers
def test_alert_of_a_client_in_the_handshake_has_its_number(version: str, number: int) -> None:
    both = tls(version)
    both.client.leg()
    assert alert(both.client, number) == b"\x15\x03\x03\x00\x02\x02" + bytes((number,))


def test_server_hears_of_a_clients_alert() -> None:
    both = tls("1.2")
    both.server.leg(both.client.leg())
    error = refused(both.server.leg, alert(both.client, sspi.TLS1_ALERT_ACCESS_DENIED))
    assert isinstance(error.__cause__, TLSAlertError)
    assert "access_denied" in str(error)


def test_openssl_hears_of_a_servers_alert_in_tls_1_2() -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    client = context.wrap_bio(incoming, outgoing)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    server = tls("1.2").server
    server.leg(outgoing.read())
    incoming.write(alert(server, sspi.TLS1_ALERT_UNKNOWN_CA))
    with pytest.raises(ssl.SSLError, match="(?i)unknown.ca"):
        client.do_handshake()


def test_client_that_is_asked_for_a_certificate_may_give_up_by_alert() -> None:
    both = schannel(
        MANUAL,
        client={"enabled_protocols": VERSIONS["1.2"]},
        asc=sspi.ASC_REQ_MUTUAL_AUTH,
        server={"root_store": root().pem},
    )
    both.client.leg(both.server.leg(both.client.leg()))
    assert both.client.status is S.SEC_I_INCOMPLETE_CREDENTIALS
    assert alert(both.client, sspi.TLS1_ALERT_CERTIFICATE_UNKNOWN)[-1] == sspi.TLS1_ALERT_CERTIFICATE_UNKNOWN


@versions
@pytest.mark.parametrize("first", ["client", "server"])
def test_alert_after_the_handshake_is_fatal_and_openssl_names_it(version: str, first: str) -> None:
    both = tls(version).run()
    one, other = (both.client, both.server) if first == "client" else (both.server, both.client)
    last = one.encrypt(b"last words")
    token = alert(one, sspi.TLS1_ALERT_BAD_CERTIFICATE)
    assert other.decrypt(last) == b"last words"
    error = refused(other.authority.decrypt_message, other.context, opening(token), 0)
    assert isinstance(error.__cause__, TLSAlertError)
    assert "bad_record_mac" in str(error) or "unexpected_message" in str(error)


def test_server_of_tls_1_3_that_has_begun_to_encrypt_sends_a_fatal_alert() -> None:
    both = tls("1.3")
    flight = both.server.leg(both.client.leg())
    token = alert(both.server, sspi.TLS1_ALERT_ACCESS_DENIED)
    assert token
    both.client.leg(flight)
    error = refused(both.client.authority.decrypt_message, both.client.context, opening(token), 0)
    assert isinstance(error.__cause__, TLSAlertError)


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("package", ["Schannel", "CREDSSP"])
def test_context_ends_with_its_alert(package: str, complete: bool) -> None:
    both = tls("1.3") if package == "Schannel" else make()
    if complete:
        both.run()
    else:
        both.client.leg()
    assert alert(both.client, sspi.TLS1_ALERT_USER_CANCELED)
    for attempt in (both.client.leg, lambda: both.client.query(sspi.SECPKG_ATTR_CONNECTION_INFO)):
        error = refused(attempt)
        assert (error.status, error.parameter) == (S.SEC_E_INVALID_HANDLE, "phContext")
        assert "alert" in error.message
    assert both.client.authority.delete_security_context(both.client.context) is OK


def test_credssp_in_its_exchange_sends_a_fatal_alert() -> None:
    both = make()
    token = both.client.leg()
    for _ in range(2):  # past the handshake: NEGOTIATE and CHALLENGE
        token = both.client.leg(both.server.leg(token))
    error = refused(both.server.leg, token + alert(both.client, sspi.TLS1_ALERT_INTERNAL_ERROR))
    assert isinstance(error.__cause__, TLSAlertError)


@pytest.mark.parametrize("level", [sspi.TLS1_ALERT_WARNING, FATAL])
def test_close_notify_is_a_shutdown(level: int) -> None:
    both = tls("1.3").run()
    token = alert(both.client, sspi.TLS1_ALERT_CLOSE_NOTIFY, level)
    result = both.server.authority.decrypt_message(both.server.context, opening(token), 0)
    assert result.status is S.SEC_I_CONTEXT_EXPIRED
    assert both.client.decrypt(both.server.encrypt(b"still read")) == b"still read"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", S.SEC_E_INVALID_TOKEN),
        (b"\2\0\0", S.SEC_E_INVALID_TOKEN),
        (b"\1\0\0\0\0", S.SEC_E_INVALID_TOKEN),
        (b"\2\0\0\0", S.SEC_E_INVALID_TOKEN),
        (SCHANNEL_ALERT_TOKEN(FATAL, 40).pack() + b"\0", S.SEC_E_INVALID_TOKEN),
        (SCHANNEL_ALERT_TOKEN(0, 40).pack(), S.SEC_E_INVALID_TOKEN),
        (SCHANNEL_ALERT_TOKEN(3, 40).pack(), S.SEC_E_INVALID_TOKEN),
        (SCHANNEL_ALERT_TOKEN(FATAL, 256).pack(), S.SEC_E_INVALID_TOKEN),
        (SCHANNEL_ALERT_TOKEN(sspi.TLS1_ALERT_WARNING, 100).pack(), S.SEC_E_UNSUPPORTED_FUNCTION),
        (b"\0\0\0\0", S.SEC_E_UNSUPPORTED_FUNCTION),
        (b"\3\0\0\0\1\0\0\0", S.SEC_E_UNSUPPORTED_FUNCTION),
    ],
)
def test_other_control_tokens_change_nothing(content: bytes, status: SecurityStatus) -> None:
    both = tls("1.3").run()
    error = refused(apply, both.client, content)
    assert (error.status, error.parameter) == (status, "pInput")
    assert refused(apply, both.client, content, sspi.SECBUFFER_DATA).status is S.SEC_E_INVALID_TOKEN
    assert both.server.decrypt(both.client.encrypt(b"still good")) == b"still good"


def test_packages_without_tls_have_no_control_tokens() -> None:
    both = run(inner("NTLM"))
    error = refused(apply, both.client, SCHANNEL_ALERT_TOKEN(FATAL, 40).pack())
    assert error.status is S.SEC_E_UNSUPPORTED_FUNCTION
