"""Every flag of the page changes what happens (docs/reference/sspi.md has the table)."""

from __future__ import annotations

import pytest

import credssp
import credssp.sspi as sspi
from credssp.policy import DelegationList, DelegationPolicy
from credssp.sspi import SecBuffer, SecurityStatus, SSPIError
from credssp.sspi.packed import pack_auth_identity_ex2, unpack_auth_identity_ex2
from tests.sspi.certificates import root, server_leaf
from tests.sspi.pair import (
    ACCOUNTS,
    ASC,
    DOMAIN,
    DREP,
    ISC,
    OK,
    PASSWORD,
    TARGET,
    USER,
    lsa,
    make,
    opening,
    sealing,
    token_out,
)

S = SecurityStatus
TRUSTED = {"root_store": root().pem}
CERTIFIED = {"certificates": (server_leaf(),)}


def status_of(call: object, *args: object) -> SecurityStatus:
    with pytest.raises(SSPIError) as caught:
        call(*args)  # type: ignore[operator]
    return caught.value.status


def test_without_any_error_all_requested_flags_are_granted() -> None:
    both = make(
        isc=ISC | sspi.ISC_REQ_SEQUENCE_DETECT | sspi.ISC_REQ_REPLAY_DETECT | sspi.ISC_REQ_CONFIDENTIALITY
    ).run()
    assert both.client.attributes == both.client.flags
    assert both.server.attributes == both.server.flags


# ISC_REQ_ALLOCATE_MEMORY


def test_allocate_memory_gives_memory_of_the_package() -> None:
    both = make()
    output = token_out()
    both.client.authority.initialize_security_context(
        both.client.credential, None, TARGET, ISC, 0, DREP, None, 0, both.client.context, output
    )
    memory = output[0].buffer
    assert isinstance(memory, sspi.ContextBuffer)
    assert output[0].size == len(memory) == 5 + int.from_bytes(memory[3:5], "big"), "one TLS record, all of it"
    assert sspi.free_context_buffer(memory) is OK
    assert not any(memory)
    assert status_of(sspi.free_context_buffer, memory) is S.SEC_E_INVALID_HANDLE


def test_without_allocate_memory_the_callers_memory_is_filled() -> None:
    both = make()
    memory = bytearray(4096)
    output = token_out(memory)
    result = both.client.authority.initialize_security_context(
        both.client.credential,
        None,
        TARGET,
        ISC & ~sspi.ISC_REQ_ALLOCATE_MEMORY,
        0,
        DREP,
        None,
        0,
        both.client.context,
        output,
    )
    assert output[0].buffer is memory
    assert 0 < output[0].size < 4096
    assert memory.startswith(b"\x16\x03")
    assert not result.attributes & sspi.ISC_RET_ALLOCATED_MEMORY


# ISC_REQ_STREAM and ISC_REQ_CONNECTION


def test_stream_formats_messages() -> None:
    both = make().run()
    assert both.client.attributes & sspi.ISC_RET_STREAM
    assert both.server.decrypt(both.client.encrypt(b"data")) == b"data"


def test_connection_alone_formats_no_messages() -> None:
    connection = (ISC & ~sspi.ISC_REQ_STREAM) | sspi.ISC_REQ_CONNECTION
    both = make(isc=connection, asc=(ASC & ~sspi.ASC_REQ_STREAM) | sspi.ASC_REQ_CONNECTION).run()
    for side in (both.client, both.server):
        lsa_of, context = side.authority, side.context
        assert status_of(side.query, sspi.SECPKG_ATTR_STREAM_SIZES) is S.SEC_E_UNSUPPORTED_FUNCTION
        sizes = side.query(sspi.SECPKG_ATTR_SIZES)
        message = sealing(sspi.SecPkgContext_StreamSizes(64, 64, 1, 4, sizes.block_size), b"x")
        assert status_of(lsa_of.encrypt_message, context, 0, message, 0) is S.SEC_E_UNSUPPORTED_FUNCTION
        assert status_of(lsa_of.decrypt_message, context, opening(b"x"), 0) is S.SEC_E_UNSUPPORTED_FUNCTION


def test_neither_stream_nor_connection_is_unsupported() -> None:
    assert status_of(make(isc=ISC & ~sspi.ISC_REQ_STREAM).client.leg) is S.SEC_E_UNSUPPORTED_FUNCTION
    both = make(asc=ASC & ~sspi.ASC_REQ_STREAM)
    assert status_of(both.server.leg, both.client.leg()) is S.SEC_E_UNSUPPORTED_FUNCTION


def test_unsupported_flag_is_refused_by_name() -> None:
    with pytest.raises(SSPIError, match="fContextReq: not supported: PROMPT_FOR_CREDS") as caught:
        make(isc=ISC | sspi.ISC_REQ_PROMPT_FOR_CREDS).client.leg()
    assert caught.value.status is S.SEC_E_UNSUPPORTED_FUNCTION
    assert caught.value.parameter == "fContextReq"


# Flags that are left out of the attributes: see test_flag_table.py


# ISC_REQ_EXTENDED_ERROR: the peer is told


def login_refused(asc: int) -> tuple[SSPIError, bytes]:
    """Let a server refuse a login; returns its error and what it left to be sent."""
    wrong = credssp.MemoryAccounts({(DOMAIN, USER): "another password"})
    both = make(asc=asc, server_authority=lsa(accounts=wrong))
    token = both.client.leg()
    with pytest.raises(SSPIError) as caught:
        while True:
            token = both.client.leg(both.server.leg(token))
    error = caught.value
    if error.sent:  # type: ignore[attr-defined]
        with pytest.raises(SSPIError) as told:
            both.client.leg(error.sent)  # type: ignore[attr-defined]
        assert told.value.status is S.SEC_E_LOGON_DENIED
        assert told.value.ntstatus == 0xC000006D
    return error, error.sent  # type: ignore[attr-defined]


def test_extended_error_of_a_server_tells_the_client_why() -> None:
    error, sent = login_refused(ASC)
    assert error.status is S.SEC_E_LOGON_DENIED
    assert sent


def test_without_extended_error_a_server_says_nothing() -> None:
    error, sent = login_refused(ASC & ~sspi.ASC_REQ_EXTENDED_ERROR)
    assert error.status is S.SEC_E_LOGON_DENIED
    assert sent == b""


@pytest.mark.parametrize("flag", [sspi.ISC_REQ_EXTENDED_ERROR, 0])
def test_extended_error_of_a_client_leaves_an_alert_for_the_server(flag: int) -> None:
    both = make(isc=(ISC & ~sspi.ISC_REQ_EXTENDED_ERROR & ~sspi.ISC_REQ_MANUAL_CRED_VALIDATION) | flag)
    reply = both.server.leg(both.client.leg())
    with pytest.raises(SSPIError) as caught:
        both.client.leg(reply)
    assert caught.value.status is S.SEC_E_UNTRUSTED_ROOT
    assert bool(caught.value.sent) is bool(flag)  # type: ignore[attr-defined]
    if flag:
        assert status_of(both.server.leg, caught.value.sent) is S.SEC_E_UNTRUSTED_ROOT  # type: ignore[attr-defined]


# ISC_REQ_MANUAL_CRED_VALIDATION


def test_manual_cred_validation_lets_an_untrusted_certificate_pass() -> None:
    both = make().run()
    assert both.client.attributes & sspi.ISC_RET_MANUAL_CRED_VALIDATION
    trust = both.client.query(sspi.SECPKG_ATTR_CERT_TRUST_STATUS)
    assert trust.error_status


def test_without_manual_cred_validation_the_certificate_must_verify() -> None:
    automatic = ISC & ~sspi.ISC_REQ_MANUAL_CRED_VALIDATION
    both = make(isc=automatic)
    assert status_of(both.client.leg, both.server.leg(both.client.leg())) is S.SEC_E_UNTRUSTED_ROOT
    both = make(isc=automatic, client=TRUSTED, server=CERTIFIED).run()
    assert both.client.query(sspi.SECPKG_ATTR_CERT_TRUST_STATUS).error_status == 0


# ISC_REQ_MUTUAL_AUTH


def test_mutual_auth_demands_an_authenticated_server() -> None:
    both = make(isc=ISC | sspi.ISC_REQ_MUTUAL_AUTH)
    with pytest.raises(SSPIError) as caught:
        both.run()
    assert caught.value.status is S.SEC_E_MUTUAL_AUTH_FAILED
    both = make(isc=ISC | sspi.ISC_REQ_MUTUAL_AUTH, client=TRUSTED, server=CERTIFIED).run()
    assert both.client.attributes & sspi.ISC_RET_MUTUAL_AUTH


def test_without_mutual_auth_ntlm_alone_will_do() -> None:
    both = make().run()
    assert not both.client.attributes & sspi.ISC_RET_MUTUAL_AUTH


# ISC_REQ_SEQUENCE_DETECT


@pytest.mark.parametrize(
    ("flag", "status"),
    [
        (0, S.SEC_E_MESSAGE_ALTERED),
        (sspi.ISC_REQ_SEQUENCE_DETECT, S.SEC_E_OUT_OF_SEQUENCE),
        (sspi.ISC_REQ_REPLAY_DETECT, S.SEC_E_OUT_OF_SEQUENCE),
    ],
)
def test_sequence_detect_tells_a_repeated_record_from_an_altered_one(flag: int, status: SecurityStatus) -> None:
    both = make(isc=ISC | flag).run()
    record = both.server.encrypt(b"pay 100")
    assert both.client.decrypt(record) == b"pay 100"
    assert bool(both.client.attributes & flag) is bool(flag)
    assert status_of(both.client.decrypt, record) is status


def test_altered_record_is_altered_with_sequence_detect_too() -> None:
    both = make(isc=ISC | sspi.ISC_REQ_SEQUENCE_DETECT).run()
    record = bytearray(both.server.encrypt(b"pay 100"))
    record[-1] ^= 1
    assert status_of(both.client.decrypt, bytes(record)) is S.SEC_E_MESSAGE_ALTERED


# ISC_REQ_DELEGATE, ASC_REQ_DELEGATE


def test_delegate_sends_the_credentials() -> None:
    both = make().run()
    assert both.client.attributes & sspi.ISC_RET_DELEGATE
    assert both.server.attributes & sspi.ASC_RET_DELEGATE
    creds, _ = unpack_auth_identity_ex2(both.server.query(sspi.SECPKG_ATTR_CREDS).auth_buffer)
    assert (creds.username, creds.domain, creds.password.reveal()) == (USER, DOMAIN, PASSWORD)


def test_without_delegate_an_empty_set_goes_over() -> None:
    both = make(isc=ISC & ~sspi.ISC_REQ_DELEGATE).run()
    assert not both.client.attributes & sspi.ISC_RET_DELEGATE
    assert not both.server.attributes & sspi.ASC_RET_DELEGATE
    assert status_of(both.server.query, sspi.SECPKG_ATTR_CREDS) is S.SEC_E_NO_CREDENTIALS
    assert both.server.query(sspi.SECPKG_ATTR_NAMES).user_name == f"{DOMAIN}\\{USER}"


def test_without_accept_delegate_the_server_gets_no_credentials() -> None:
    both = make(asc=ASC & ~sspi.ASC_REQ_DELEGATE).run()
    assert status_of(both.server.query, sspi.SECPKG_ATTR_CREDS_2) is S.SEC_E_NO_CREDENTIALS


# ISC_REQ_USE_SUPPLIED_CREDS


def supplied(password: str) -> SecBuffer:
    credentials = credssp.PasswordCredentials("bob", password)
    return SecBuffer(sspi.SECBUFFER_PKG_PARAMS, bytes(pack_auth_identity_ex2(credentials)))


def test_use_supplied_creds_takes_them_from_pkg_params() -> None:
    both = make(
        isc=ISC | sspi.ISC_REQ_USE_SUPPLIED_CREDS,
        authority=lsa(accounts=credssp.MemoryAccounts({("", "bob"): "builder"})),
    )
    both.client.extra_inputs = [supplied("builder")]
    both.run()
    assert both.client.attributes & sspi.ISC_RET_USED_SUPPLIED_CREDS
    assert both.server.query(sspi.SECPKG_ATTR_NAMES).user_name == "bob"
    assert both.client.query(sspi.SECPKG_ATTR_NAMES).user_name == "bob"


def test_use_supplied_creds_without_them_is_no_credentials() -> None:
    assert status_of(make(isc=ISC | sspi.ISC_REQ_USE_SUPPLIED_CREDS).client.leg) is S.SEC_E_NO_CREDENTIALS


def test_pkg_params_without_the_flag_are_refused() -> None:
    both = make()
    both.client.extra_inputs = [supplied("x")]
    assert status_of(both.client.leg) is S.SEC_E_INVALID_TOKEN
    both.client.extra_inputs = [SecBuffer(sspi.SECBUFFER_PKG_PARAMS, b"rubbish")]
    both.client.flags |= sspi.ISC_REQ_USE_SUPPLIED_CREDS
    assert status_of(both.client.leg) is S.SEC_E_INVALID_TOKEN


# ASC_REQ_MUTUAL_AUTH: see test_client_certificate.py


def test_policy_is_that_of_the_machine() -> None:
    servers = DelegationList.enabled("HTTP/*")
    policy = DelegationPolicy(allow_fresh_credentials=servers, allow_fresh_credentials_when_ntlm_only=servers)
    assert make(target="HTTP/srv.lab.test", authority=lsa(policy=policy, accounts=ACCOUNTS)).run()


def test_flag_names_spell_out_each_family() -> None:
    assert sspi.flag_names(0x8001, "ISC_REQ") == "DELEGATE|STREAM"
    assert sspi.flag_names(0x8001, "ASC_REQ") == "DELEGATE|EXTENDED_ERROR"
    assert sspi.flag_names(0, "ISC_RET") == "0"
    assert sspi.flag_names(1 << 50, "ISC_RET") == hex(1 << 50)
