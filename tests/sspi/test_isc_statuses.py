"""Every return code of InitializeSecurityContext (CredSSP), each produced by what would produce it in life.

SEC_I_COMPLETE_NEEDED and SEC_I_COMPLETE_AND_CONTINUE: test_three_leg_package.py. SEC_I_INCOMPLETE_CREDENTIALS:
test_client_certificate.py.
"""

from __future__ import annotations

from typing import Any

import pytest

import credssp
import credssp.sspi as sspi
from credssp.account import Account
from credssp.nt_hash import nt_hash
from credssp.policy import DelegationList, DelegationPolicy
from credssp.sspi import SecurityStatus, SSPIError
from credssp.sspi.packages import credssp as credssp_package
from tests.sspi.certificates import root
from tests.sspi.pair import (
    ASC,
    CONTINUE,
    DOMAIN,
    INCOMPLETE,
    ISC,
    OK,
    PASSWORD,
    TARGET,
    USER,
    Pair,
    Side,
    credential,
    lsa,
    make,
    token_out,
)

S = SecurityStatus


def failure(both: Pair) -> SSPIError:
    """Run until the *client* fails; a server that fails first sends what it has to say."""
    token = both.client.leg()
    while True:
        try:
            token = both.server.leg(token)
        except SSPIError as error:
            token = error.sent  # type: ignore[attr-defined]
            assert token
        try:
            token = both.client.leg(token)
        except SSPIError as error:
            return error


def server_that_says(status: int) -> sspi.LocalSecurityAuthority:
    """A server whose account has a status, so that a right password brings it as errorCode."""
    account = Account(DOMAIN, USER, nt_hash(PASSWORD), status)
    return lsa(accounts=credssp.MemoryAccounts([account]))


def server_says(both: Pair, plaintext: bytes) -> bytes:
    """Finish the TLS handshake, and let the server send this instead of its first TSRequest."""
    token = both.client.leg(both.server.leg(both.client.leg()))
    at = 0
    while at + 5 + int.from_bytes(token[at + 3 : at + 5], "big") < len(token):
        at += 5 + int.from_bytes(token[at + 3 : at + 5], "big")
    both.server.leg(token[:at])  # all but the client's first TSRequest
    channel = both.server.authority._contexts.get(both.server.context, "").context.inner._channel
    channel.write(plaintext)
    return channel.data_to_send()


def test_continue_needed_then_ok_with_a_token_that_must_be_sent() -> None:
    both = make().run()
    assert [status for status, _ in both.client.log] == [CONTINUE, CONTINUE, CONTINUE, OK]
    assert [status for status, _ in both.server.log][-1] is OK


def test_ok_comes_with_the_credentials_that_still_must_be_sent() -> None:
    both = make()
    token = both.client.leg()
    while both.client.status is not OK:
        token = both.client.leg(both.server.leg(token))
    assert token
    assert both.server.status is CONTINUE
    assert both.server.leg(token) == b""
    assert both.server.status is OK


def test_incomplete_message_counts_what_is_missing_and_changes_nothing() -> None:
    both = make()
    reply = both.server.leg(both.client.leg())
    whole = len(reply[: 5 + int.from_bytes(reply[3:5], "big")])
    for cut in (1, 4, 5, whole - 1):
        assert both.client.leg(reply[:cut]) == b""
        assert both.client.status is INCOMPLETE
        assert both.client.inputs is not None
        missing = both.client.inputs[1]
        assert missing.buffer_type == sspi.SECBUFFER_MISSING
        assert missing.size == (5 - cut if cut < 5 else whole - cut)
        both.client.rest = b""
    assert both.client.leg(reply)
    assert both.client.status is CONTINUE


def test_incomplete_message_of_the_first_token_makes_no_context() -> None:
    both = make()
    token = both.client.leg()
    both.server.leg(token[:3])
    assert both.server.status is INCOMPLETE
    assert not both.server.started
    assert both.server.leg(token[3:])
    assert both.server.started


def test_extra_counts_what_was_not_consumed() -> None:
    both = make()
    token = both.client.leg()
    while both.client.status is not OK:
        token = both.client.leg(both.server.leg(token))
    record = both.client.encrypt(b"application data")
    both.server.leg(token + record + record[:7])
    assert both.server.status is OK
    assert both.server.rest == record + record[:7]
    assert both.server.decrypt(b"") == b"application data"
    assert both.server.rest == record[:7]


def test_extra_is_reported_in_the_output_too() -> None:
    both = make()
    output = token_out()
    output.buffers.append(sspi.SecBuffer())
    desc = sspi.SecBufferDesc([sspi.SecBuffer(sspi.SECBUFFER_TOKEN, both.client.leg() + b"\x17"), sspi.SecBuffer()])
    server = both.server
    server.authority.accept_security_context(server.credential, None, desc, ASC, 0, server.context, output)
    assert [(b.buffer_type, b.size) for b in (desc[1], output[1])] == [(sspi.SECBUFFER_EXTRA, 1)] * 2


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_any_portion_of_octets_leads_to_the_end(size: int) -> None:
    both = make()
    wire = both.client.leg()
    receiver, other = both.server, both.client
    while both.server.log[-1:] == [] or both.server.status is not OK:
        answer = b""
        for at in range(0, len(wire), size):
            answer += receiver.leg(wire[at : at + size])
        wire, receiver, other = answer, other, receiver
    assert both.client.status is OK


def test_insufficient_memory_for_a_token_larger_than_the_callers_memory() -> None:
    both = make(isc=ISC & ~sspi.ISC_REQ_ALLOCATE_MEMORY)
    client = both.client
    args = (client.credential, None, TARGET, client.flags, 0, 0, None, 0, client.context)
    output = token_out(bytearray(10))
    with pytest.raises(SSPIError, match="10 bytes") as caught:
        client.authority.initialize_security_context(*args, output)
    assert caught.value.status is S.SEC_E_INSUFFICIENT_MEMORY
    needed = output[0].size
    assert needed > 10
    # The context is usable: the same call with the memory that is needed fetches the token.
    again = token_out(bytearray(needed))
    result = client.authority.initialize_security_context(
        client.credential, client.context, TARGET, client.flags, 0, 0, None, 0, None, again
    )
    assert (result.status, again[0].size) == (CONTINUE, needed)
    assert both.server.leg(again[0].data)


def test_repeating_a_call_for_its_token_takes_the_same_input() -> None:
    both = make(isc=ISC & ~sspi.ISC_REQ_ALLOCATE_MEMORY)
    client = both.client
    output = token_out(bytearray(4096))
    authority = client.authority
    authority.initialize_security_context(
        client.credential, None, TARGET, client.flags, 0, 0, None, 0, client.context, output
    )
    reply = both.server.leg(output[0].data)

    def go_on(data: bytes, room: int) -> bytes:
        desc = sspi.SecBufferDesc([sspi.SecBuffer(sspi.SECBUFFER_TOKEN, data), sspi.SecBuffer()])
        output = token_out(bytearray(room))
        authority.initialize_security_context(
            client.credential, client.context, TARGET, client.flags, 0, 0, desc, 0, None, output
        )
        return output[0].data

    with pytest.raises(SSPIError):
        go_on(reply, 0)
    with pytest.raises(SSPIError, match="same input") as caught:
        go_on(reply[:-1], 4096)
    assert caught.value.status is S.SEC_E_INVALID_TOKEN
    assert both.server.leg(go_on(reply, 4096))


def test_insufficient_memory_for_a_message_above_the_limit() -> None:
    both = make()
    record = server_says(both, b"\x30\x83\xff\xff\xff" + bytes(100))  # the beginning of a TSRequest of 16 MiB
    with pytest.raises(SSPIError) as caught:
        both.client.leg(record)
    assert caught.value.status is S.SEC_E_INSUFFICIENT_MEMORY


def test_insufficient_memory_when_python_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*args: Any, **kwargs: Any) -> None:
        raise MemoryError

    both = make()
    monkeypatch.setattr(credssp_package, "ClientContext", exhausted)
    with pytest.raises(SSPIError) as caught:
        both.client.leg()
    assert caught.value.status is S.SEC_E_INSUFFICIENT_MEMORY


def test_internal_error_of_the_server_reaches_the_client() -> None:
    error = failure(make(server_authority=server_that_says(S.SEC_E_INTERNAL_ERROR)))
    assert error.status is S.SEC_E_INTERNAL_ERROR


def test_internal_error_for_whatever_a_package_lets_slip(monkeypatch: pytest.MonkeyPatch) -> None:
    both = make()
    both.client.leg()

    def broken(*args: Any) -> None:
        raise ZeroDivisionError("secret text")

    record = both.client.authority._contexts.get(both.client.context, "")
    monkeypatch.setattr(record.context.inner, "step", broken)
    with pytest.raises(SSPIError) as caught:
        both.client.leg(b"\x16\x03\x03\x00\x01\x00")
    assert caught.value.status is S.SEC_E_INTERNAL_ERROR
    assert "secret text" not in str(caught.value)
    assert caught.value.__cause__ is None
    with pytest.raises(SSPIError, match="delete it") as caught:
        both.client.leg(b"\x16\x03\x03\x00\x01\x00")
    assert caught.value.status is S.SEC_E_INVALID_HANDLE


def test_invalid_handle_of_a_credential_that_was_freed() -> None:
    both = make()
    both.client.authority.free_credentials_handle(both.client.credential)
    with pytest.raises(SSPIError, match="phCredential: this CredHandle has been freed") as caught:
        both.client.leg()
    assert caught.value.status is S.SEC_E_INVALID_HANDLE


@pytest.mark.parametrize(
    "junk", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x16\x03\x03\x00\x04\x0e\x00\x00\x00", b"\x16\x02"]
)
def test_invalid_token_for_what_is_no_tls(junk: bytes) -> None:
    both = make()
    both.client.leg()
    with pytest.raises(SSPIError) as caught:
        both.client.leg(junk)
    assert caught.value.status in (S.SEC_E_INVALID_TOKEN, S.SEC_E_ILLEGAL_MESSAGE)


def test_invalid_token_for_a_message_out_of_order() -> None:
    both = make()
    record = server_says(both, b"\x30\x05\xa0\x03\x02\x01\x06")  # a TSRequest with nothing in it
    with pytest.raises(SSPIError) as caught:
        both.client.leg(record)
    assert caught.value.status is S.SEC_E_INVALID_TOKEN


def test_logon_denied_for_a_wrong_password() -> None:
    error = failure(make(server_authority=lsa(accounts=credssp.MemoryAccounts({(DOMAIN, USER): "other"}))))
    assert (error.status, error.ntstatus) == (S.SEC_E_LOGON_DENIED, 0xC000006D)
    assert isinstance(error.__cause__, credssp.PeerRefusedError)


def test_no_authenticating_authority_where_the_server_reaches_none() -> None:
    error = failure(make(server_authority=server_that_says(0xC000005E)))
    assert error.status is S.SEC_E_NO_AUTHENTICATING_AUTHORITY


def test_no_authenticating_authority_where_nobody_tells_who_may_log_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("credssp.sspi.packages.identities.kerberos_missing", lambda: "not installed")
    both = make(server_authority=lsa(accounts=None))
    with pytest.raises(SSPIError) as caught:
        both.server.leg(both.client.leg())
    assert caught.value.status is S.SEC_E_NO_AUTHENTICATING_AUTHORITY


def test_no_credentials_for_an_identity_without_a_user() -> None:
    authority = lsa()
    handle = credential(
        authority, sspi.CredsspCred(spnego_cred=sspi.SecWinntAuthIdentity("", "", "", package_list="ntlm"))
    )
    both = make(authority=authority)
    both.client.credential = handle
    with pytest.raises(SSPIError) as caught:
        both.client.leg()
    assert caught.value.status is S.SEC_E_NO_CREDENTIALS


def test_no_credentials_for_a_handle_of_the_other_direction() -> None:
    both = make()
    both.client.credential, both.server.credential = both.server.credential, both.client.credential
    with pytest.raises(SSPIError, match="inbound") as caught:
        both.client.leg()
    assert caught.value.status is S.SEC_E_NO_CREDENTIALS
    with pytest.raises(SSPIError, match="outbound") as caught:
        both.server.leg(b"\x16\x03\x01\x00\x01\x00")
    assert caught.value.status is S.SEC_E_NO_CREDENTIALS


@pytest.mark.parametrize("target", ["", "TERMSRV/", "/host", "TERMSRV/x\0y"])
def test_target_unknown_for_a_name_of_no_server(target: str) -> None:
    with pytest.raises(SSPIError, match="pszTargetName") as caught:
        make(target=target).client.leg()
    assert caught.value.status is S.SEC_E_TARGET_UNKNOWN


def test_unsupported_function_for_an_old_server() -> None:
    both = make()
    old = credssp.ServerContext(
        accounts=credssp.MemoryAccounts({(DOMAIN, USER): PASSWORD}), min_version=2, max_version=2
    )
    token = both.client.leg()
    with pytest.raises(SSPIError) as caught:
        while True:
            token = both.client.leg(old.step(token).token)
    assert caught.value.status is S.SEC_E_UNSUPPORTED_FUNCTION


def test_wrong_principal_for_a_certificate_of_another_server() -> None:
    automatic = ISC & ~sspi.ISC_REQ_MANUAL_CRED_VALIDATION
    server = {"certificates": (root().issue("other.lab.test"),)}
    both = make(isc=automatic, client={"root_store": root().pem}, server=server)
    reply = both.server.leg(both.client.leg())
    with pytest.raises(SSPIError) as caught:
        both.client.leg(reply)
    assert caught.value.status is S.SEC_E_WRONG_PRINCIPAL


def test_delegation_policy_forbids_the_target() -> None:
    # Windows' defaults let credentials go to TERMSRV/* only. The connection stops before the login.
    both = make(target="HTTP/srv.lab.test")
    with pytest.raises(SSPIError, match="AllowFreshCredentials") as caught:
        both.run()
    assert caught.value.status is S.SEC_E_DELEGATION_POLICY


def test_delegation_policy_needs_a_target() -> None:
    with pytest.raises(SSPIError, match="pszTargetName") as caught:
        make(target=None).client.leg()
    assert caught.value.status is S.SEC_E_DELEGATION_POLICY
    assert make(target=None, isc=ISC & ~sspi.ISC_REQ_DELEGATE).run()


def test_policy_ntlm_only_where_the_certificate_does_not_help() -> None:
    policy = DelegationPolicy(allow_fresh_credentials=DelegationList.enabled("HTTP/*"))
    target = "HTTP/srv.lab.test"
    with pytest.raises(SSPIError) as caught:
        make(target=target, authority=lsa(policy=policy)).run()
    assert caught.value.status is S.SEC_E_POLICY_NLTM_ONLY
    # With a certificate that can be trusted the same policy lets them go.
    make(
        target=target,
        authority=lsa(policy=policy),
        client={"root_store": root().pem},
        server={"certificates": (root().issue("srv.lab.test"),)},
    ).run()


def test_mutual_auth_failed_where_only_ntlm_knows_the_server() -> None:
    with pytest.raises(SSPIError) as caught:
        make(isc=ISC | sspi.ISC_REQ_MUTUAL_AUTH).run()
    assert caught.value.status is S.SEC_E_MUTUAL_AUTH_FAILED


def test_success_status_of_an_error_is_never_returned_as_success() -> None:
    """A TLS alert that stands for SEC_I_INCOMPLETE_CREDENTIALS comes too late to be a success."""
    error = credssp.TLSError("x", status=S.SEC_I_INCOMPLETE_CREDENTIALS)
    assert sspi.errors.normalise(error).status is S.SEC_E_INCOMPLETE_CREDENTIALS
    assert sspi.errors.normalise(credssp.TLSError("x", status=OK)).status is S.SEC_E_INTERNAL_ERROR


def test_failed_context_is_dead_and_can_be_deleted() -> None:
    both = make(target="HTTP/srv.lab.test")
    with pytest.raises(SSPIError):
        both.run()
    client: Side = both.client
    for call in (
        lambda: client.leg(b"x"),
        lambda: client.query(sspi.SECPKG_ATTR_PACKAGE_INFO),
        lambda: client.authority.encrypt_message(client.context, 0, sspi.SecBufferDesc(), 0),
        lambda: client.authority.apply_control_token(client.context, sspi.SecBufferDesc()),
        lambda: client.authority.complete_auth_token(client.context, sspi.SecBufferDesc()),
        lambda: client.authority.set_context_attributes(client.context, 0, 0),
        lambda: client.authority.export_security_context(client.context, 0),
    ):
        with pytest.raises(SSPIError, match="delete it") as caught:
            call()
        assert caught.value.status is S.SEC_E_INVALID_HANDLE
    assert client.authority.delete_security_context(client.context) is OK
    assert client.authority.delete_security_context(client.context) is OK
