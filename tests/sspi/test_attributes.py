"""QueryContextAttributes and QueryCredentialsAttributes, on both sides."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import time

import pytest

import credssp
import credssp.sspi as sspi
from credssp.credentials import SmartCardCredentials
from credssp.secret import Secret
from credssp.sspi import SecurityStatus, SSPIError
from credssp.sspi.packages.connection_info import connection_info
from credssp.sspi.packed import (
    pack_auth_identity_ex2,
    pack_logon,
    unpack_auth_identity_ex2,
    unpack_logon,
)
from credssp.sspi.timestamps import timestamp
from credssp.tls.certificate import process_certificate
from credssp.tls.trust import TrustError, TrustInfo
from tests.sspi.certificates import root, server_leaf
from tests.sspi.pair import DOMAIN, ISC, PASSWORD, TARGET, USER, Pair, Side, lsa, make

S = SecurityStatus
CARD = SmartCardCredentials(
    pin=Secret("1234"),
    key_spec=2,
    card_name="card",
    reader_name="reader",
    container_name=None,
    csp_name="csp",
    user_hint="alice",
    domain_hint="LAB",
)


@pytest.fixture(scope="module")
def both() -> Pair:
    return make(client={"root_store": root().pem}, server={"certificates": (server_leaf(),)}).run()


def status_of(side: Side, attribute: int) -> SecurityStatus:
    with pytest.raises(SSPIError) as caught:
        side.query(attribute)
    return caught.value.status


def test_sizes(both: Pair) -> None:
    for side in (both.client, both.server):
        sizes = side.query(sspi.SECPKG_ATTR_SIZES)
        stream = side.query(sspi.SECPKG_ATTR_STREAM_SIZES)
        assert (sizes.max_token, sizes.max_signature, sizes.block_size) == (90567, 0, stream.block_size)
        assert sizes.security_trailer == stream.header + stream.trailer == 22
        assert (stream.maximum_message, stream.buffers) == (16384, 4)


def test_package_info(both: Pair) -> None:
    for side in (both.client, both.server):
        info = side.query(sspi.SECPKG_ATTR_PACKAGE_INFO).package_info
        assert (info.name, info.rpc_id, info.version) == ("CREDSSP", 0xFFFF, 1)
        assert info.capabilities & sspi.SECPKG_FLAG_STREAM
        assert info == side.authority.query_security_package_info("credssp")


def test_package_info_is_there_before_the_end() -> None:
    both = make()
    both.client.leg()
    assert both.client.query(sspi.SECPKG_ATTR_PACKAGE_INFO).package_info.name == "CREDSSP"


def test_negotiation_package(both: Pair) -> None:
    for side in (both.client, both.server):
        assert side.query(sspi.SECPKG_ATTR_NEGOTIATION_PACKAGE).package_info.name == "NTLM"


def test_names(both: Pair) -> None:
    for side in (both.client, both.server):
        assert side.query(sspi.SECPKG_ATTR_NAMES).user_name == f"{DOMAIN}\\{USER}"


def test_creds_and_creds_2_on_the_server_only(both: Pair) -> None:
    creds = both.server.query(sspi.SECPKG_ATTR_CREDS)
    assert creds.auth_buffer_len == len(creds.auth_buffer)
    expected = credssp.PasswordCredentials(USER, PASSWORD, domain=DOMAIN)
    assert unpack_auth_identity_ex2(creds.auth_buffer) == (expected, "")
    creds_2 = both.server.query(sspi.SECPKG_ATTR_CREDS_2)
    assert unpack_logon(creds_2.auth_buffer) == expected
    assert PASSWORD not in repr(creds_2)
    sspi.free_context_buffer(creds_2.auth_buffer)
    assert not any(creds_2.auth_buffer)
    for attribute in (sspi.SECPKG_ATTR_CREDS, sspi.SECPKG_ATTR_CREDS_2):
        assert status_of(both.client, attribute) is S.SEC_E_UNSUPPORTED_FUNCTION


def test_server_auth_flags_on_the_client_only(both: Pair) -> None:
    flags = both.client.query(sspi.SECPKG_ATTR_SERVER_AUTH_FLAGS).flags
    assert flags == sspi.CREDSSP_SERVER_AUTH_NEGOTIATE | sspi.CREDSSP_SERVER_AUTH_CERTIFICATE
    assert make().run().client.query(sspi.SECPKG_ATTR_SERVER_AUTH_FLAGS).flags == sspi.CREDSSP_SERVER_AUTH_NEGOTIATE
    assert status_of(both.server, sspi.SECPKG_ATTR_SERVER_AUTH_FLAGS) is S.SEC_E_UNSUPPORTED_FUNCTION


def test_cert_trust_status_on_the_client_only(both: Pair) -> None:
    trust = both.client.query(sspi.SECPKG_ATTR_CERT_TRUST_STATUS)
    assert (trust.error_status, trust.info_status) == (TrustError.NO_ERROR, TrustInfo.HAS_NAME_MATCH_ISSUER)
    own = make().run().client.query(sspi.SECPKG_ATTR_CERT_TRUST_STATUS)
    assert (own.error_status, own.info_status) == (TrustError.IS_UNTRUSTED_ROOT, TrustInfo.IS_SELF_SIGNED)
    assert status_of(both.server, sspi.SECPKG_ATTR_CERT_TRUST_STATUS) is S.SEC_E_UNSUPPORTED_FUNCTION


def test_certificates(both: Pair) -> None:
    leaf = server_leaf().der
    assert both.client.query(sspi.SECPKG_ATTR_REMOTE_CERT_CONTEXT).cert_encoded == leaf
    assert both.server.query(sspi.SECPKG_ATTR_LOCAL_CERT_CONTEXT).cert_encoded == leaf
    assert status_of(both.client, sspi.SECPKG_ATTR_LOCAL_CERT_CONTEXT) is S.SEC_E_NO_CREDENTIALS
    assert status_of(both.server, sspi.SECPKG_ATTR_REMOTE_CERT_CONTEXT) is S.SEC_E_NO_CREDENTIALS
    own = make().run()
    assert own.server.query(sspi.SECPKG_ATTR_LOCAL_CERT_CONTEXT).cert_encoded == process_certificate().der


def test_connection_info(both: Pair) -> None:
    client = both.client.query(sspi.SECPKG_ATTR_CONNECTION_INFO)
    server = both.server.query(sspi.SECPKG_ATTR_CONNECTION_INFO)
    assert (client.protocol, server.protocol) == (sspi.SP_PROT_TLS1_3_CLIENT, sspi.SP_PROT_TLS1_3_SERVER)
    assert (client.cipher, client.cipher_strength, client.suite) == (0x6610, 256, "TLS_AES_256_GCM_SHA384")
    assert (client.hash, client.exchange) == (0, 0xAE06)


@pytest.mark.parametrize(
    ("suite", "cipher", "hashing", "exchange"),
    [
        ("ECDHE-RSA-AES128-SHA", 0x660E, 0x8004, 0xAE06),
        ("DHE-RSA-AES256-SHA256", 0x6610, 0x800C, 0xAA02),
        ("AES256-SHA", 0x6610, 0x8004, 0xA400),
        ("ECDHE-RSA-CHACHA20-POLY1305", 0, 0, 0xAE06),
        ("DES-CBC3-SHA", 0x6603, 0x8004, 0xA400),
    ],
)
def test_connection_info_of_tls_1_2(suite: str, cipher: int, hashing: int, exchange: int) -> None:
    info = connection_info("TLSv1.2", suite, 128, client=True)
    assert (info.protocol, info.cipher, info.hash, info.exchange) == (0x800, cipher, hashing, exchange)


def test_lifespan_ends_with_the_certificate(both: Pair) -> None:
    span = both.client.query(sspi.SECPKG_ATTR_LIFESPAN)
    assert abs(span.start - timestamp(time.time())) < 600 * 10_000_000
    days = (span.expiry - span.start) / 864_000_000_000
    assert 29 < days <= 30
    assert both.server.query(sspi.SECPKG_ATTR_LIFESPAN).expiry == sspi.tables.NO_EXPIRY
    assert timestamp(1e18) == sspi.tables.NO_EXPIRY


def test_timestamps_count_from_1601_in_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC-2")
    time.tzset()
    try:
        assert timestamp(0) == (11644473600 + 7200) * 10_000_000
    finally:
        monkeypatch.undo()
        time.tzset()


def test_flags_are_those_of_the_last_leg(both: Pair) -> None:
    assert both.client.query(sspi.SECPKG_ATTR_FLAGS).flags == both.client.attributes
    assert both.server.query(sspi.SECPKG_ATTR_FLAGS).flags == both.server.attributes


def test_session_key_is_not_defined_for_credssp(both: Pair) -> None:
    assert status_of(both.client, sspi.SECPKG_ATTR_SESSION_KEY) is S.SEC_E_UNSUPPORTED_FUNCTION


@pytest.mark.parametrize("attribute", [3, 0x7777, 0xFFFFFFFF, "NAMES"])
def test_unknown_attribute_is_unsupported(both: Pair, attribute: int) -> None:
    assert status_of(both.client, attribute) is S.SEC_E_UNSUPPORTED_FUNCTION


@pytest.mark.parametrize(
    "attribute",
    [
        sspi.SECPKG_ATTR_SIZES,
        sspi.SECPKG_ATTR_STREAM_SIZES,
        sspi.SECPKG_ATTR_NAMES,
        sspi.SECPKG_ATTR_FLAGS,
        sspi.SECPKG_ATTR_CREDS,
        sspi.SECPKG_ATTR_CONNECTION_INFO,
    ],
)
def test_half_built_context_is_an_invalid_handle(attribute: int) -> None:
    both = make()
    both.client.leg()
    assert status_of(both.client, attribute) is S.SEC_E_INVALID_HANDLE


def test_set_context_attributes_is_not_there(both: Pair) -> None:
    with pytest.raises(SSPIError) as caught:
        both.client.authority.set_context_attributes(both.client.context, sspi.SECPKG_ATTR_TARGET, "x")
    assert caught.value.status is S.SEC_E_UNSUPPORTED_FUNCTION


def test_credential_attributes(both: Pair) -> None:
    query = both.client.authority.query_credentials_attributes
    assert query(both.client.credential, sspi.SECPKG_CRED_ATTR_NAMES).user_name == f"{DOMAIN}\\{USER}"
    assert query(both.server.credential, sspi.SECPKG_CRED_ATTR_NAMES).user_name == ""
    assert query(both.server.credential, sspi.SECPKG_CRED_ATTR_CERT).cert_encoded == server_leaf().der
    for handle, attribute in ((both.client.credential, sspi.SECPKG_CRED_ATTR_CERT), (both.client.credential, 99)):
        with pytest.raises(SSPIError) as caught:
            query(handle, attribute)
        assert caught.value.status is S.SEC_E_UNSUPPORTED_FUNCTION


# Packed credentials


def test_smart_card_comes_out_as_certificate_logon() -> None:
    authority = lsa()
    both = make(authority=authority)
    # A card logs on through Kerberos; here the password does, and the card's PIN goes over.
    client = authority._credentials.get(both.client.credential, "").credential
    client.logon = dataclasses.replace(client.logon, delegated=CARD)
    both.run()
    for attribute in (sspi.SECPKG_ATTR_CREDS, sspi.SECPKG_ATTR_CREDS_2):
        assert unpack_logon(both.server.query(attribute).auth_buffer) == CARD


@pytest.mark.parametrize(
    "credentials",
    [
        credssp.PasswordCredentials("alice", "pass\u20acword\U0001f600", domain="LAB"),
        credssp.PasswordCredentials.empty(),
        CARD,
        SmartCardCredentials(pin=Secret("")),
    ],
)
def test_packed_logons_come_back(credentials: credssp.PasswordCredentials | SmartCardCredentials) -> None:
    packed = bytes(pack_logon(credentials))
    assert unpack_logon(packed) == credentials
    assert int.from_bytes(packed[:4], "little") == (13 if isinstance(credentials, SmartCardCredentials) else 2)
    if isinstance(credentials, credssp.PasswordCredentials):
        assert unpack_auth_identity_ex2(pack_auth_identity_ex2(credentials, "ntlm")) == (credentials, "ntlm")


def test_packed_interactive_logon_has_the_layout_of_the_header() -> None:
    packed = bytes(pack_logon(credssp.PasswordCredentials("u", "pw", domain="D")))
    expected = "02000000000000000200020000000000380000000000000002000200000000003a00000000000000"
    assert packed.hex() == expected + "04000400000000003c00000000000000" + b"D\0u\0p\0w\0".hex()


@pytest.mark.parametrize("unpack", [unpack_logon, unpack_auth_identity_ex2])
def test_packed_credentials_that_are_cut_or_junk_are_refused(unpack: object) -> None:
    for whole in (bytes(pack_logon(CARD)), bytes(pack_auth_identity_ex2(credssp.PasswordCredentials("u", "p")))):
        for size in {0, 3, 8, 40, 50, len(whole) // 2}:
            with pytest.raises(SSPIError) as caught:
                unpack(whole[:size])  # type: ignore[operator]
            assert caught.value.status is S.SEC_E_INVALID_TOKEN
    with pytest.raises(SSPIError):
        unpack(b"\x07" + bytes(200))  # type: ignore[operator]


def test_target_name_of_the_first_call_counts() -> None:
    both = make(isc=ISC)
    token = both.client.leg()
    both.client.target = "HTTP/elsewhere"  # which the policy would not let pass
    both.run(token)
    assert both.client.target != TARGET


def test_attribute_is_a_number_everywhere() -> None:
    for number in (sspi.SECPKG_ATTR_NAMES, sspi.SECPKG_CRED_ATTR_NAMES):
        assert number == 1
        assert f"{number} {number!r} {number:#x}" == "1 1 0x1"
        assert type(copy.deepcopy(number)) is type(pickle.loads(pickle.dumps(number))) is int  # noqa: S301
