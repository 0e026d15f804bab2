"""Wrong types, wrong order, missing and too small buffers, closed and foreign handles, calls out of order."""

from __future__ import annotations

from typing import Any

import pytest

import credssp
import credssp.sspi as sspi
from credssp.credentials import RemoteGuardCredentials
from credssp.secret import Secret
from credssp.sspi import CredHandle, CtxtHandle, SecBuffer, SecBufferDesc, SecurityStatus, SSPIError
from credssp.sspi.handles import HandleTable
from credssp.sspi.packed import unpack_auth_identity_ex2, unpack_logon
from tests.sspi.certificates import client_leaf
from tests.sspi.pair import (
    ASC,
    DREP,
    IDENTITY,
    ISC,
    OK,
    TARGET,
    client_credential,
    credential,
    lsa,
    make,
    server_credential,
    token_in,
    token_out,
)

S = SecurityStatus


def refused(call: Any, *args: Any, **kwargs: Any) -> SSPIError:
    with pytest.raises(SSPIError) as caught:
        call(*args, **kwargs)
    return caught.value


# InitializeSecurityContext and AcceptSecurityContext


def isc_args(**changes: Any) -> dict[str, Any]:
    authority = lsa()
    args: dict[str, Any] = {
        "credential": client_credential(authority),
        "context": None,
        "target_name": TARGET,
        "context_req": ISC,
        "reserved1": 0,
        "target_data_rep": DREP,
        "input": None,
        "reserved2": 0,
        "new_context": CtxtHandle(),
        "output": token_out(),
    }
    return {"authority": authority, **args, **changes}


def isc(**args: Any) -> sspi.ContextResult:
    authority: sspi.LocalSecurityAuthority = args.pop("authority")
    return authority.initialize_security_context(**args)


@pytest.mark.parametrize(
    ("changes", "status", "parameter"),
    [
        ({"credential": None}, S.SEC_E_INVALID_HANDLE, "phCredential"),
        ({"credential": CredHandle()}, S.SEC_E_INVALID_HANDLE, "phCredential"),
        ({"credential": CredHandle(1, 2)}, S.SEC_E_INVALID_HANDLE, "phCredential"),
        ({"credential": CtxtHandle(1, 2)}, S.SEC_E_INVALID_HANDLE, "phCredential"),
        ({"context": CtxtHandle()}, S.SEC_E_INVALID_HANDLE, "phContext"),
        ({"context": "context"}, S.SEC_E_INVALID_HANDLE, "phContext"),
        ({"target_name": b"TERMSRV/x"}, S.SEC_E_TARGET_UNKNOWN, "pszTargetName"),
        ({"context_req": "ISC"}, S.SEC_E_UNSUPPORTED_FUNCTION, "fContextReq"),
        ({"context_req": -1}, S.SEC_E_UNSUPPORTED_FUNCTION, "fContextReq"),
        ({"reserved1": 1}, S.SEC_E_INVALID_PARAMETER, "Reserved1"),
        ({"reserved2": 1}, S.SEC_E_INVALID_PARAMETER, "Reserved2"),
        ({"reserved2": None}, S.SEC_E_INVALID_PARAMETER, "Reserved2"),
        ({"target_data_rep": 5}, S.SEC_E_INVALID_PARAMETER, "TargetDataRep"),
        ({"input": token_in(b"early")}, S.SEC_E_INVALID_TOKEN, "pInput"),
        ({"input": b"octets"}, S.SEC_E_INVALID_TOKEN, "pInput"),
        ({"input": SecBufferDesc([], version=1)}, S.SEC_E_INVALID_TOKEN, "pInput"),
        ({"input": SecBufferDesc(["buffer"])}, S.SEC_E_INVALID_TOKEN, "pInput[0]"),  # type: ignore[list-item]
        ({"new_context": None}, S.SEC_E_INVALID_HANDLE, "phNewContext"),
        ({"new_context": CredHandle()}, S.SEC_E_INVALID_HANDLE, "phNewContext"),
        ({"output": b"octets"}, S.SEC_E_INVALID_TOKEN, "pOutput"),
        ({"output": SecBufferDesc()}, S.SEC_E_INVALID_TOKEN, "pOutput"),
        ({"output": SecBufferDesc([SecBuffer(sspi.SECBUFFER_DATA)])}, S.SEC_E_INVALID_TOKEN, "pOutput"),
    ],
)
def test_bad_argument_is_named(changes: dict[str, Any], status: SecurityStatus, parameter: str) -> None:
    error = refused(isc, **isc_args(**changes))
    assert (error.status, error.parameter) == (status, parameter)
    assert str(error).startswith(parameter)


@pytest.mark.parametrize("drep", [sspi.SECURITY_NATIVE_DREP, sspi.SECURITY_NETWORK_DREP])
def test_both_data_representations_will_do(drep: int) -> None:
    assert isc(**isc_args(target_data_rep=drep)).status is S.SEC_I_CONTINUE_NEEDED


@pytest.mark.parametrize("memory", [b"read-only", None])
def test_output_must_be_writable_unless_the_package_allocates(memory: Any) -> None:
    changes = {"context_req": ISC & ~sspi.ISC_REQ_ALLOCATE_MEMORY, "output": token_out(memory)}
    error = refused(isc, **isc_args(**changes))
    assert error.status in (S.SEC_E_INVALID_TOKEN, S.SEC_E_INSUFFICIENT_MEMORY)


@pytest.mark.parametrize(
    ("buffers", "parameter"),
    [
        ([], "pInput"),
        ([SecBuffer(sspi.SECBUFFER_TOKEN, b"x")], "pInput"),
        ([SecBuffer(), SecBuffer(sspi.SECBUFFER_TOKEN, b"x")], "pInput[0]"),
        ([SecBuffer(sspi.SECBUFFER_TOKEN, b"x"), SecBuffer(sspi.SECBUFFER_DATA)], "pInput[1]"),
        ([SecBuffer(sspi.SECBUFFER_TOKEN, b"x"), SecBuffer(sspi.SECBUFFER_EMPTY, b"memory")], "pInput[1]"),
        ([SecBuffer(sspi.SECBUFFER_TOKEN, b"x"), SecBuffer(), SecBuffer()], "pInput"),
        ([SecBuffer(sspi.SECBUFFER_TOKEN, None, 5), SecBuffer()], "pInput[0]"),
        ([SecBuffer(sspi.SECBUFFER_TOKEN, b"x", 5), SecBuffer()], "pInput[0]"),
        ([SecBuffer(sspi.SECBUFFER_TOKEN, b"x", -1), SecBuffer()], "pInput[0]"),
        ([SecBuffer(sspi.SECBUFFER_TOKEN, "text"), SecBuffer()], "pInput[0]"),  # type: ignore[arg-type]
        ([SecBuffer(sspi.SECBUFFER_TOKEN, memoryview(bytes(8)).cast("I")), SecBuffer()], "pInput[0]"),
    ],
)
def test_later_calls_want_token_and_empty(buffers: list[SecBuffer], parameter: str) -> None:
    both = make()
    reply = both.server.leg(both.client.leg())
    for side, call in (
        (both.client, "initialize_security_context"),
        (both.server, "accept_security_context"),
    ):
        desc = SecBufferDesc(buffers)
        if side.client:
            args: tuple[Any, ...] = (side.credential, side.context, TARGET, ISC, 0, DREP, desc, 0, None, token_out())
        else:
            args = (side.credential, side.context, desc, ASC, DREP, None, token_out())
        error = refused(getattr(side.authority, call), *args)
        assert (error.status, error.parameter) == (S.SEC_E_INVALID_TOKEN, parameter)
    # Nothing has happened: both go on.
    both.run(both.client.leg(reply))


def test_new_context_may_be_given_or_not_on_later_calls() -> None:
    both = make()
    reply = both.server.leg(both.client.leg())
    copy = CtxtHandle()
    client = both.client
    client.authority.initialize_security_context(
        client.credential, client.context, None, ISC, 0, DREP, token_in(reply), 0, copy, token_out()
    )
    assert copy == client.context
    assert hash(copy) == hash(client.context)
    assert copy != CredHandle(copy.lower, copy.upper)


@pytest.mark.parametrize("new", ["NULL", "phContext", "a copy of it"])
def test_later_calls_take_null_the_context_or_another_handle_as_the_new_one(new: str) -> None:
    both = make()
    token, client, server = both.client.leg(), both.client, both.server
    while True:
        token = server.leg(token)
        context = client.context
        given = {"NULL": None, "phContext": context, "a copy of it": CtxtHandle()}[new]
        result = client.authority.initialize_security_context(
            client.credential, context, TARGET, ISC, 0, DREP, token_in(token), 0, given, token_out()
        )
        assert given in (None, context)
        token = result.token
        if result.status is OK:
            break
    server.leg(token)
    assert server.status is OK
    assert len(client.authority._contexts) == 2


def test_credential_may_be_left_out_on_later_calls() -> None:
    both = make()
    token = both.server.leg(both.client.leg())
    both.client.credential = both.server.credential = None  # type: ignore[assignment]
    assert both.run(both.client.leg(token))


def test_context_of_the_other_role_is_refused() -> None:
    both = make()
    both.server.leg(both.client.leg())
    both.client.context, both.server.context = both.server.context, both.client.context
    for side in (both.client, both.server):
        error = refused(side.leg, b"\x16\x03\x03\x00\x01\x00")
        assert (error.status, error.parameter) == (S.SEC_E_INVALID_HANDLE, "phContext")


def test_handles_of_another_package_and_another_lsa_are_foreign() -> None:
    both = make()
    reply = both.server.leg(both.client.leg())
    other = credential(both.client.authority, IDENTITY, package="NTLM")
    own, both.client.credential = both.client.credential, other
    error = refused(both.client.leg, reply)
    assert (error.status, error.parameter) == (S.SEC_E_INVALID_HANDLE, "phCredential")
    assert "NTLM" in error.message
    both.client.credential = client_credential(lsa())
    assert refused(both.client.leg, reply).status is S.SEC_E_INVALID_HANDLE
    both.client.credential, both.client.rest = own, b""
    assert both.client.leg(reply)


# Handles


def test_opaque_handles() -> None:
    handle = CtxtHandle()
    assert not handle.is_valid
    assert repr(handle) == "CtxtHandle()"
    both = make().run()
    assert repr(both.client.context).startswith("CtxtHandle(0x")
    stolen = CtxtHandle(both.client.context.lower, both.client.context.upper + 1)
    assert refused(both.client.authority.query_context_attributes, stolen, 0).status is S.SEC_E_INVALID_HANDLE
    both.client.context.invalidate()
    assert not both.client.context.is_valid


def test_deleting_twice_is_fine_and_making_handles_up_is_not() -> None:
    both = make().run()
    authority = both.client.authority
    for handle in (both.client.context, both.server.context):
        assert authority.delete_security_context(handle) is OK
        assert authority.delete_security_context(handle) is OK
        assert refused(authority.query_context_attributes, handle, 0).status is S.SEC_E_INVALID_HANDLE
    for made_up in (CtxtHandle(), CtxtHandle(7, 7), CredHandle(), None):
        error = refused(authority.delete_security_context, made_up)
        assert (error.status, error.parameter) == (S.SEC_E_INVALID_HANDLE, "phContext")


def test_half_built_contexts_are_deleted_too() -> None:
    both = make()
    both.server.leg(both.client.leg())
    authority = both.client.authority
    assert len(authority._contexts) == 2
    authority.delete_security_context(both.client.context)
    authority.delete_security_context(both.server.context)
    assert len(authority._contexts) == 0


def test_contexts_survive_their_credential() -> None:
    both = make().run()
    authority = both.client.authority
    assert authority.free_credentials_handle(both.client.credential) is OK
    assert refused(authority.free_credentials_handle, both.client.credential).status is S.SEC_E_INVALID_HANDLE
    assert both.server.decrypt(both.client.encrypt(b"data")) == b"data"


def test_handle_table_forgets_nothing_that_is_in_use() -> None:
    table: HandleTable[str] = HandleTable(CtxtHandle)
    handles = [CtxtHandle() for _ in range(4)]
    for number, handle in enumerate(handles):
        table.add(handle, f"item {number}", number % 2)
    assert table.drop_package(1) == ["item 1", "item 3"]
    assert [table.get(handle, "p") for handle in handles[::2]] == ["item 0", "item 2"]
    assert table.remove(handles[1], "p") is None


# AcquireCredentialsHandle


def acquire(**changes: Any) -> None:
    authority = changes.pop("authority", None) or lsa()
    args = {
        "principal": None,
        "package": "CREDSSP",
        "credential_use": sspi.SECPKG_CRED_OUTBOUND,
        "logon_id": None,
        "auth_data": sspi.CredsspCred(spnego_cred=IDENTITY),
        "get_key_fn": None,
        "get_key_argument": None,
        "credential": CredHandle(),
    }
    authority.acquire_credentials_handle(**{**args, **changes})


UNKNOWN = S.SEC_E_UNKNOWN_CREDENTIALS
Type = sspi.CredsspSubmitType


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"package": "NOSUCH"}, S.SEC_E_SECPKG_NOT_FOUND),
        ({"package": 5}, S.SEC_E_SECPKG_NOT_FOUND),
        ({"principal": 5}, UNKNOWN),
        ({"principal": "bob"}, UNKNOWN),
        ({"principal": "bob", "auth_data": None}, UNKNOWN),
        ({"credential_use": 0}, S.SEC_E_UNSUPPORTED_FUNCTION),
        ({"credential_use": "out"}, S.SEC_E_UNSUPPORTED_FUNCTION),
        ({"logon_id": 99}, S.SEC_E_NOT_OWNER),
        ({"get_key_fn": print}, S.SEC_E_INVALID_PARAMETER),
        ({"get_key_argument": 1}, S.SEC_E_INVALID_PARAMETER),
        ({"credential": CtxtHandle()}, S.SEC_E_INVALID_HANDLE),
        ({"credential": None}, S.SEC_E_INVALID_HANDLE),
        ({"auth_data": "alice"}, UNKNOWN),
        ({"auth_data": None, "credential_use": 2 | 0x10}, S.SEC_E_NO_CREDENTIALS),
        ({"auth_data": sspi.CredsspCred(type=99)}, UNKNOWN),  # type: ignore[arg-type]
        ({"auth_data": sspi.CredsspCred(spnego_cred="alice")}, UNKNOWN),  # type: ignore[arg-type]
        ({"auth_data": sspi.CredsspCred(type=Type.CREDSSP_CERTIFICATE_CREDS, spnego_cred=IDENTITY)}, UNKNOWN),
        ({"auth_data": sspi.CredsspCred(spnego_cred=sspi.SecWinntAuthIdentity("a", "b", b"short"))}, UNKNOWN),
        ({"auth_data": sspi.CredsspCred(spnego_cred=sspi.SecWinntAuthIdentity("a", package_list="digest"))}, UNKNOWN),
        ({"auth_data": sspi.CredsspCred(schannel_cred="x")}, UNKNOWN),  # type: ignore[arg-type]
        ({"auth_data": sspi.CredsspCred(schannel_cred=sspi.SchannelCred(version=3))}, UNKNOWN),
        ({"auth_data": sspi.CredsspCred(schannel_cred=sspi.SchannelCred(enabled_protocols=1))}, UNKNOWN),
        ({"auth_data": sspi.CredsspCred(schannel_cred=sspi.SchannelCred(enabled_protocols=0x400))}, UNKNOWN),
        ({"auth_data": sspi.CredsspCred(schannel_cred=sspi.SchannelCred(ciphers="NONE-SUCH"))}, UNKNOWN),
        ({"auth_data": sspi.CredsspCred(schannel_cred=sspi.SchannelCred(root_store="junk"))}, UNKNOWN),
        ({"auth_data": sspi.CredsspCred(schannel_cred=sspi.SchannelCred(certificates=("/nowhere",)))}, UNKNOWN),
        ({"auth_data": sspi.CredsspCred(schannel_cred=sspi.SchannelCred(certificates=("a", "b")))}, UNKNOWN),
        ({"auth_data": sspi.CredsspCredEx(version=1)}, UNKNOWN),
        ({"auth_data": sspi.CredsspCredEx(flags=8)}, UNKNOWN),
        ({"auth_data": sspi.CredsspCredEx(flags=1)}, S.SEC_E_UNSUPPORTED_FUNCTION),
        ({"package": "Schannel"}, UNKNOWN),
        ({"package": "Schannel", "auth_data": None, "principal": "alice"}, UNKNOWN),
        ({"package": "NTLM"}, UNKNOWN),
        ({"package": "Kerberos", "auth_data": 5}, None),
    ],
)
def test_acquire_refuses(changes: dict[str, Any], status: SecurityStatus | None) -> None:
    error = refused(acquire, **changes)
    assert error.status in ((status,) if status else (S.SEC_E_SECPKG_NOT_FOUND, UNKNOWN))


@pytest.mark.parametrize(
    "auth_data",
    [
        None,
        sspi.CredsspCred(),
        sspi.CredsspCred(type=Type.CREDSSP_PASSWORD_CREDS, spnego_cred=IDENTITY),
        sspi.CredsspCred(type=Type.CREDSSP_SUBMIT_BUFFER_BOTH_OLD, spnego_cred=IDENTITY),
        sspi.CredsspCred(
            type=Type.CREDSSP_CERTIFICATE_CREDS, spnego_cred=credssp.SmartCardCredentials(pin=Secret("1"))
        ),
        sspi.CredsspCred(
            type=Type.CREDSSP_SCHANNEL_CREDS,
            schannel_cred=sspi.SchannelCred(version=5, certificates=(client_leaf(),)),
        ),
        sspi.CredsspCredEx(cred=sspi.CredsspCred(spnego_cred=IDENTITY)),
        sspi.CredsspCredEx(
            flags=sspi.CREDSSP_FLAG_REDIRECT,
            cred=sspi.CredsspCred(spnego_cred=IDENTITY),
            redirected=RemoteGuardCredentials(package_name="Kerberos", buffer=Secret(b"x")),
        ),
    ],
)
@pytest.mark.parametrize("package", ["CREDSSP", "TSSSP"])
def test_acquire_takes_every_type_of_submission(auth_data: Any, package: str) -> None:
    acquire(auth_data=auth_data, package=package)


def test_principal_may_name_the_user_of_the_identity() -> None:
    for principal in ("alice", "LAB\\Alice"):
        acquire(principal=principal)


def test_default_credentials_are_those_of_the_last_logon() -> None:
    authority = lsa()
    authority.accept_credentials(2, "alice", credssp.PasswordCredentials("alice", "correct horse", domain="LAB"))
    authority.accept_credentials(2, "bob", credssp.PasswordCredentials("bob", "x"))
    authority.accept_credentials(2, "card", object())
    alice = credential(authority, None, principal="ALICE")
    names = authority.query_credentials_attributes(alice, sspi.SECPKG_CRED_ATTR_NAMES)
    assert names.user_name == "LAB\\alice"
    last = credential(authority)
    assert authority.query_credentials_attributes(last, sspi.SECPKG_CRED_ATTR_NAMES).user_name == "bob"
    # The policy knows them as default credentials, and by default lets those go nowhere.
    both = make(authority=authority)
    both.client.credential = alice
    assert refused(both.run).status is S.SEC_E_DELEGATION_POLICY


def test_nt_hash_logs_on_and_is_not_delegated() -> None:
    from credssp.nt_hash import nt_hash

    identity = sspi.SecWinntAuthIdentity("alice", "LAB", nt_hash("correct horse"), "ntlm")
    both = make()
    both.client.credential = credential(both.client.authority, sspi.CredsspCred(spnego_cred=identity))
    both.run()
    assert not both.server.attributes & sspi.ASC_RET_DELEGATE


def test_accounts_of_the_credential_come_before_those_of_the_machine() -> None:
    authority = lsa(accounts=credssp.MemoryAccounts({}))
    both = make(authority=authority)
    accounts = credssp.MemoryAccounts({("LAB", "alice"): "correct horse"})
    both.server.credential = credential(authority, sspi.CredsspCred(accounts=accounts), use=sspi.SECPKG_CRED_INBOUND)
    assert both.run()


def test_one_credential_for_both_directions() -> None:
    authority = lsa()
    handle = credential(authority, sspi.CredsspCred(spnego_cred=IDENTITY), use=sspi.SECPKG_CRED_BOTH)
    both = make(authority=authority)
    both.client.credential = both.server.credential = handle
    assert both.run()


# FreeContextBuffer, and the functions for the whole process


def test_free_context_buffer_takes_what_packages_allocate_only() -> None:
    assert sspi.free_context_buffer(sspi.enumerate_security_packages()) is OK
    for other in (bytearray(5), None, ("x",)):
        assert refused(sspi.free_context_buffer, other).status is S.SEC_E_INVALID_HANDLE
    assert "bytes" in repr(sspi.ContextBuffer(b"secret"))


def test_functions_of_the_process_work_on_one_lsa() -> None:
    authority = sspi.local_security_authority()
    sspi.configure(accounts=credssp.MemoryAccounts({("LAB", "alice"): "correct horse"}))
    try:
        both = make(authority=authority)
        assert both.run()
    finally:
        sspi.configure()
    assert authority.machine.accounts is None


def test_errors_say_status_and_argument() -> None:
    error = refused(acquire, package="NOSUCH")
    assert str(error) == "pszPackage: there is no security package 'NOSUCH' [SEC_E_SECPKG_NOT_FOUND 0x80090305]"
    assert isinstance(error, credssp.CredSSPError)


def test_reprs_show_no_contents() -> None:
    desc = token_in(b"secret token")
    assert repr(desc) == "SecBufferDesc([SecBuffer(SECBUFFER_TOKEN, 12 bytes), SecBuffer(SECBUFFER_EMPTY, 0 bytes)])"
    assert "correct horse" not in repr(sspi.CredsspCred(spnego_cred=IDENTITY))
    assert sspi.buffer_type_name(sspi.SECBUFFER_TOKEN | sspi.SECBUFFER_READONLY) == "SECBUFFER_TOKEN"
    desc[0].clear()
    assert (desc[0].buffer_type, desc[0].size, len(desc)) == (sspi.SECBUFFER_EMPTY, 0, 2)
    server_credential(lsa())


@pytest.mark.parametrize(
    ("member", "values"),
    [
        ("certificates", [None, 5, b"pem", (5,), (b"pem",), (("chain", "key"),)]),
        ("root_store", [5, b"pem", []]),
        ("ciphers", [5, b"AES", [], ""]),
        ("enabled_protocols", [None, "x", 1.5, -1]),
        ("session_lifespan", [None, "x", [], -1]),
        ("flags", [None, "x", -1]),
    ],
)
@pytest.mark.parametrize("package", ["CREDSSP", "Schannel"])
@pytest.mark.parametrize("use", [sspi.SECPKG_CRED_INBOUND, sspi.SECPKG_CRED_OUTBOUND])
def test_wrong_types_in_schannel_cred_are_unknown_credentials(
    package: str, use: int, member: str, values: list[Any]
) -> None:
    for value in values:
        tls = sspi.SchannelCred(**{member: value})
        data = tls if package == "Schannel" else sspi.CredsspCred(schannel_cred=tls)
        error = refused(acquire, package=package, auth_data=data, credential_use=use)
        assert error.status is UNKNOWN, value


def test_buffers_of_any_contents_have_a_repr() -> None:
    assert repr(SecBufferDesc([SecBuffer("token", None)])) == "SecBufferDesc([SecBuffer(?, 0 bytes)])"  # type: ignore[arg-type]


def test_number_is_not_a_packed_buffer() -> None:
    for value in (5, -1, None, "packed"):
        for function in (sspi.sspi_unmarshal_auth_identity, unpack_auth_identity_ex2, unpack_logon):
            assert refused(function, value).status is S.SEC_E_INVALID_TOKEN
    with pytest.raises(TypeError, match="bindings: a ChannelBindings, not a bytes"):
        sspi.pack_channel_bindings(b"tls-unique:")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="value: a number, not a str"):
        sspi.flag_names("ISC_REQ_STREAM", "ISC_REQ")  # type: ignore[arg-type]
