"""Negotiate, NTLM and Kerberos, TSSSP, and Schannel alone."""

from __future__ import annotations

from typing import Any

import pytest

import credssp
import credssp.sspi as sspi
from credssp.errors import LocalProtocolError
from credssp.policy import EncryptionOracle, PolicySettings
from credssp.security_context import SecurityContext
from credssp.server_authentication import ServerAuthentication
from credssp.sspi import SecBuffer, SecBufferDesc, SecurityStatus, SSPIError
from credssp.sspi.packed import unpack_auth_identity_ex2, unpack_logon
from credssp.tls.certificate import process_certificate
from tests.sspi.certificates import client_leaf, root, server_leaf
from tests.sspi.pair import CONTINUE, IDENTITY, INCOMPLETE, OK, TARGET, Pair, Side, credential, lsa, token_out

S = SecurityStatus
ALLOCATE = sspi.ISC_REQ_ALLOCATE_MEMORY
WANTED = ALLOCATE | sspi.ISC_REQ_CONFIDENTIALITY | sspi.ISC_REQ_MUTUAL_AUTH


def refused(call: Any, *args: Any) -> SSPIError:
    with pytest.raises(SSPIError) as caught:
        call(*args)
    return caught.value


def call(side: Side, *inputs: SecBuffer) -> bytes:
    output = token_out()
    context = side.context if side.started else None
    desc = SecBufferDesc(inputs) if inputs else None
    if side.client:
        result = side.authority.initialize_security_context(
            side.credential, context, side.target, side.flags, 0, 0, desc, 0, side.context, output
        )
    else:
        result = side.authority.accept_security_context(
            side.credential, context, desc, side.flags, 0, side.context, output
        )
    side.log.append((result.status, result.attributes))
    side.inputs = desc
    return output[0].data


def token(data: bytes) -> SecBuffer:
    return SecBuffer(sspi.SECBUFFER_TOKEN, data)


def inner(package: str, identity: Any = IDENTITY, **machine: Any) -> Pair:
    authority = lsa(**machine)
    return Pair(
        Side(authority, credential(authority, identity, package=package), WANTED),
        Side(authority, credential(authority, package=package, use=sspi.SECPKG_CRED_INBOUND), ALLOCATE, client=False),
    )


def run(both: Pair) -> Pair:
    data = call(both.client)
    while True:
        data = call(both.server, token(data))
        if both.server.status is OK and (both.client.status is OK or not data):
            return both
        data = call(both.client, token(data))
        if both.server.status is OK:
            return both


def pair_of(size: int, data: bytes) -> SecBufferDesc:
    return SecBufferDesc(
        [SecBuffer(sspi.SECBUFFER_TOKEN, bytearray(size)), SecBuffer(sspi.SECBUFFER_DATA, bytearray(data))]
    )


packages = pytest.mark.parametrize("package", ["NTLM", "Negotiate"])


@packages
def test_inner_packages_authenticate_and_protect_messages(package: str) -> None:
    both = run(inner(package))
    for sender, receiver in ((both.client, both.server), (both.server, both.client)):
        sizes = sender.query(sspi.SECPKG_ATTR_SIZES)
        message = pair_of(sizes.security_trailer, b"sealed")
        assert sender.authority.encrypt_message(sender.context, 0, message, 0) is OK
        assert message[1].data != b"sealed"
        assert receiver.authority.decrypt_message(receiver.context, message, 0) == (OK, 0)
        assert message[1].data == b"sealed"
        message = pair_of(sizes.max_signature, b"signed")
        assert sender.authority.make_signature(sender.context, 0, message, 0) is OK
        assert message[1].data == b"signed"
        assert receiver.authority.verify_signature(receiver.context, message, 0) == (OK, 0)


@packages
def test_inner_packages_answer_attributes(package: str) -> None:
    both = run(inner(package))
    for side in (both.client, both.server):
        assert side.query(sspi.SECPKG_ATTR_PACKAGE_INFO).package_info.name == "NTLM", "what Negotiate chose"
        assert side.query(sspi.SECPKG_ATTR_NEGOTIATION_PACKAGE).package_info.name == "NTLM"
        assert side.query(sspi.SECPKG_ATTR_NAMES).user_name == "LAB\\alice"
        assert side.query(sspi.SECPKG_ATTR_FLAGS).flags == side.attributes
        assert side.query(sspi.SECPKG_ATTR_LIFESPAN).expiry == sspi.tables.NO_EXPIRY
        for attribute in (sspi.SECPKG_ATTR_STREAM_SIZES, sspi.SECPKG_ATTR_CREDS):
            assert refused(side.query, attribute).status is S.SEC_E_UNSUPPORTED_FUNCTION
    keys = [side.query(sspi.SECPKG_ATTR_SESSION_KEY).session_key for side in (both.client, both.server)]
    assert keys[0] == keys[1]
    assert len(keys[0]) == 16
    assert not both.client.attributes & sspi.ISC_RET_MUTUAL_AUTH, "NTLM does not know which server it is"
    assert both.client.attributes & sspi.ISC_RET_INTEGRITY
    names = both.client.authority.query_credentials_attributes(both.client.credential, sspi.SECPKG_CRED_ATTR_NAMES)
    assert names.user_name == "LAB\\alice"
    assert both.client.authority.free_credentials_handle(both.client.credential) is OK


@packages
def test_inner_messages_that_are_altered_repeated_or_wrong(package: str) -> None:
    both = run(inner(package))
    sizes = both.client.query(sspi.SECPKG_ATTR_SIZES)
    authority = both.client.authority
    for size in range(sizes.max_signature - 1, 0, -7):
        error = refused(authority.make_signature, both.client.context, 0, pair_of(size, b"x"), 0)
        assert (error.status, error.parameter) == (S.SEC_E_BUFFER_TOO_SMALL, "pMessage")
    error = refused(authority.encrypt_message, both.client.context, 0, pair_of(0, b"x"), 0)
    assert error.status is S.SEC_E_BUFFER_TOO_SMALL
    error = refused(authority.encrypt_message, both.client.context, 1, pair_of(100, b"x"), 0)
    assert error.status is S.SEC_E_QOP_NOT_SUPPORTED
    good = pair_of(100, b"x")
    for kinds in ((), (good[0],), (good[1],), (good[0], good[0]), (good[0], good[1], SecBuffer(sspi.SECBUFFER_EXTRA))):
        error = refused(authority.encrypt_message, both.client.context, 0, SecBufferDesc(kinds), 0)
        assert error.status is S.SEC_E_INVALID_TOKEN
    message = pair_of(sizes.max_signature, b"pay 100")
    message.buffers.append(SecBuffer(sspi.SECBUFFER_PADDING))
    authority.make_signature(both.client.context, 0, message, 0)
    message[1].buffer = bytearray(b"pay 999")
    assert refused(authority.verify_signature, both.server.context, message, 0).status is S.SEC_E_MESSAGE_ALTERED
    assert refused(authority.verify_signature, both.server.context, message, 0).status.name.startswith("SEC_E_")


@packages
def test_inner_repeated_message_is_out_of_sequence(package: str) -> None:
    both = run(inner(package))
    sizes = both.client.query(sspi.SECPKG_ATTR_SIZES)
    message = pair_of(sizes.max_signature, b"x")
    authority = both.client.authority
    authority.make_signature(both.client.context, 0, message, 0)
    authority.verify_signature(both.server.context, message, 0)
    assert refused(authority.verify_signature, both.server.context, message, 0).status is S.SEC_E_OUT_OF_SEQUENCE


def test_signature_of_another_length_is_altered() -> None:
    both = run(inner("NTLM"))
    message = pair_of(5, b"x")
    assert (
        refused(both.client.authority.verify_signature, both.client.context, message, 0).status
        is S.SEC_E_MESSAGE_ALTERED
    )


@packages
def test_inner_packages_refuse_what_makes_no_sense(package: str) -> None:
    both = inner(package)
    for side in (both.client, both.server):
        side.flags |= 1 << 64
        assert refused(call, side, token(b"x")).status is S.SEC_E_UNSUPPORTED_FUNCTION
        side.flags &= ~(1 << 64)
        assert refused(call, side, SecBuffer(sspi.SECBUFFER_DATA, b"x")).status is S.SEC_E_INVALID_TOKEN
    both.client.credential, both.server.credential = both.server.credential, both.client.credential
    for side in (both.client, both.server):
        assert refused(call, side, token(b"x")).status is S.SEC_E_NO_CREDENTIALS
    both = inner(package)
    both.client.target = "TERMSRV/"
    assert refused(call, both.client).status is S.SEC_E_TARGET_UNKNOWN
    both.client.target = None
    data = call(both.client)
    assert refused(both.client.query, sspi.SECPKG_ATTR_NAMES).status is S.SEC_E_INVALID_HANDLE
    assert both.client.query(sspi.SECPKG_ATTR_PACKAGE_INFO)
    call(both.server, token(data))
    both.client.context, both.server.context = both.server.context, both.client.context
    for side in (both.client, both.server):
        assert refused(call, side, token(b"x")).parameter == "phContext"
    assert refused(both.client.authority.query_credentials_attributes, both.client.credential, 99).parameter


@packages
def test_inner_exchange_ends(package: str) -> None:
    both = run(inner(package))
    for side in (both.client, both.server):
        error = refused(call, side, token(b"more"))
        assert (error.status, error.parameter) == (S.SEC_E_OUT_OF_SEQUENCE, "phContext")


@packages
def test_inner_logon_is_denied(package: str) -> None:
    both = inner(package, sspi.SecWinntAuthIdentity("alice", "LAB", "wrong"))
    assert refused(run, both).status is S.SEC_E_LOGON_DENIED


def test_inner_default_credentials_are_those_of_a_logon() -> None:
    authority = lsa()
    authority.accept_credentials(2, "alice", credssp.PasswordCredentials("alice", "correct horse", domain="LAB"))
    both = Pair(
        Side(authority, credential(authority, package="NTLM"), WANTED),
        Side(authority, credential(authority, package="NTLM", use=1), ALLOCATE, client=False),
    )
    assert run(both).server.query(sspi.SECPKG_ATTR_NAMES).user_name == "LAB\\alice"


def test_negotiate_takes_bare_ntlm_and_ntlm_takes_no_spnego() -> None:
    both = inner("Negotiate")
    ntlm = inner("NTLM")
    both.client = ntlm.client
    assert run(both)
    assert refused(call, ntlm.server, token(call(inner("Negotiate").client))).status is S.SEC_E_INVALID_TOKEN


def test_negotiate_can_be_told_to_use_kerberos_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    identity = sspi.SecWinntAuthIdentity("alice", "LAB.TEST", "x", package_list="!ntlm")
    both = inner("Negotiate", identity)
    monkeypatch.setattr("credssp.kerberos.pyspnego.kerberos_missing", lambda: "not installed")
    assert refused(call, both.client).status is S.SEC_E_SECPKG_NOT_FOUND


class Kerberos(SecurityContext):
    """Stands in for GSS-API, with a trailer larger than anybody announced."""

    session_key = bytes(32)

    def __init__(self, trailer: int = 60) -> None:
        super().__init__()
        self.trailer = trailer

    def _step(self, token: bytes | None) -> bytes | None:
        self.name = "kerberos"
        self.complete = self.can_wrap = True
        self.server_authentication = ServerAuthentication.KERBEROS
        return b"AP-REQ"

    def _wrap(self, data: bytes) -> bytes:
        return bytes(self.trailer) + data

    def _unwrap(self, data: bytes) -> bytes:
        return data[self.trailer :]

    def _sign(self, data: bytes) -> bytes:
        return bytes(self.trailer)

    def _verify(self, data: bytes, signature: bytes) -> None:
        raise LocalProtocolError("no")


@pytest.mark.parametrize("package", ["Kerberos", "Negotiate"])
def test_kerberos_is_a_thin_layer(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("credssp.sspi.packages.kerberos.kerberos_missing", lambda: None)
    name = package.lower()
    made: list[Any] = []

    def initiator(*args: Any, **kwargs: Any) -> Kerberos:
        made.append(kwargs)
        return Kerberos()

    monkeypatch.setattr(f"credssp.sspi.packages.{name}.create_initiator", initiator)
    acceptor = "kerberos_acceptor" if package == "Kerberos" else "create_acceptor"
    monkeypatch.setattr(f"credssp.sspi.packages.{name}.{acceptor}", lambda *args, **kwargs: Kerberos())
    both = inner(package)
    data = call(both.client)
    call(both.server, token(data))
    assert both.client.status is both.server.status is OK
    assert both.client.attributes & sspi.ISC_RET_MUTUAL_AUTH
    assert both.client.query(sspi.SECPKG_ATTR_NEGOTIATION_PACKAGE).package_info.name == "Kerberos"
    if package == "Kerberos":
        assert (made[0]["mechanism"], made[0]["wire_form"]) == ("kerberos", "kerberos")
    message = pair_of(both.client.query(sspi.SECPKG_ATTR_SIZES).security_trailer, b"data")
    both.client.authority.encrypt_message(both.client.context, 0, message, 0)
    assert message[0].size == 60
    both.client.authority.decrypt_message(both.server.context, message, 0)
    assert message[1].data == b"data"
    assert (
        refused(both.client.authority.export_security_context, both.client.context, 0).status
        is S.SEC_E_UNSUPPORTED_FUNCTION
    )


def test_trailer_larger_than_announced_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("credssp.sspi.packages.negotiate.create_initiator", lambda *a, **k: Kerberos(200))
    both = inner("Negotiate")
    call(both.client)
    authority = both.client.authority
    assert (
        refused(authority.encrypt_message, both.client.context, 0, pair_of(96, b"x"), 0).status
        is S.SEC_E_ENCRYPT_FAILURE
    )
    assert (
        refused(authority.make_signature, both.client.context, 0, pair_of(64, b"x"), 0).status
        is S.SEC_E_BUFFER_TOO_SMALL
    )


# Export and import (NTLM)


def test_ntlm_context_is_exported_and_imported() -> None:
    both = run(inner("NTLM"))
    authority = both.client.authority
    packed = authority.export_security_context(both.server.context, sspi.SECPKG_CONTEXT_EXPORT_DELETE_OLD)
    assert refused(both.server.query, sspi.SECPKG_ATTR_SIZES).status is S.SEC_E_INVALID_HANDLE
    imported = sspi.CtxtHandle()
    assert authority.import_security_context("ntlm", packed, None, imported) is OK
    sspi.free_context_buffer(packed)
    message = pair_of(16, b"to the new process")
    authority.encrypt_message(both.client.context, 0, message, 0)
    authority.decrypt_message(imported, message, 0)
    assert message[1].data == b"to the new process"
    assert authority.query_context_attributes(imported, sspi.SECPKG_ATTR_SIZES).max_signature == 16
    assert (
        refused(authority.query_context_attributes, imported, sspi.SECPKG_ATTR_NAMES).status
        is S.SEC_E_UNSUPPORTED_FUNCTION
    )
    # What was used can only be exported to start anew, on both sides.
    for context in (both.client.context, imported):
        assert refused(authority.export_security_context, context, 0).status is S.SEC_E_UNSUPPORTED_FUNCTION
        fresh = authority.export_security_context(context, sspi.SECPKG_CONTEXT_EXPORT_RESET_NEW)
        assert authority.import_security_context("NTLM", fresh, None, context) is OK
    authority.make_signature(both.client.context, 0, message, 0)
    authority.verify_signature(imported, message, 0)
    assert authority.delete_security_context(imported) is OK


def test_export_and_import_refuse_what_makes_no_sense() -> None:
    both = run(inner("NTLM"))
    authority = both.client.authority
    assert refused(authority.export_security_context, both.client.context, 4).parameter == "fFlags"
    for packed in (b"", b"junk", b"NTLM\x01short", "text"):
        error = refused(authority.import_security_context, "NTLM", packed, None, sspi.CtxtHandle())
        assert (error.status, error.parameter) == (S.SEC_E_INVALID_TOKEN, "pPackedContext")
    assert refused(authority.import_security_context, "NTLM", b"", 5, sspi.CtxtHandle()).parameter == "Token"
    assert refused(authority.import_security_context, "NTLM", b"", None, None).parameter == "phContext"
    assert (
        refused(authority.import_security_context, "nosuch", b"", None, sspi.CtxtHandle()).status
        is S.SEC_E_SECPKG_NOT_FOUND
    )


# TSSSP


def certificate(der: bytes) -> SecBuffer:
    kind = sspi.SECBUFFER_TOKEN | sspi.SECBUFFER_READONLY
    return SecBuffer(kind, len(der).to_bytes(4, "little") + der)


TS_ISC = (
    sspi.ISC_REQ_STREAM
    | sspi.ISC_REQ_EXTENDED_ERROR
    | ALLOCATE
    | sspi.ISC_REQ_CONFIDENTIALITY
    | sspi.ISC_REQ_SEQUENCE_DETECT
    | sspi.ISC_REQ_REPLAY_DETECT
)
TS_ASC = sspi.ASC_REQ_DELEGATE | sspi.ASC_REQ_EXTENDED_ERROR | sspi.ASC_REQ_ALLOCATE_MEMORY


def tsssp(isc: int = TS_ISC, *, schannel: sspi.SchannelCred | None = None, **machine: Any) -> Pair:
    authority = lsa(**machine)
    data = sspi.CredsspCred(spnego_cred=IDENTITY, schannel_cred=schannel)
    own = sspi.CredsspCred(schannel_cred=sspi.SchannelCred(certificates=(server_leaf(),)))
    return Pair(
        Side(authority, credential(authority, data, package="TSSSP"), isc),
        Side(authority, credential(authority, own, package="TSSSP", use=1), TS_ASC, client=False),
    )


def ts_run(both: Pair, der: bytes | None = None) -> Pair:
    data = call(both.client)
    first = True
    while True:
        data = call(both.server, token(data), SecBuffer())
        if both.server.status is OK:
            return both
        more = [certificate(der or server_leaf().der)] if first else []
        first = False
        data = call(both.client, token(data), *more, SecBuffer())


def test_tsssp_exchanges_bare_ts_requests() -> None:
    both = tsssp()
    assert call(both.client)[:1] == b"\x30"
    both = ts_run(tsssp())
    assert both.client.attributes & sspi.ISC_RET_DELEGATE
    creds, _ = unpack_auth_identity_ex2(both.server.query(sspi.SECPKG_ATTR_CREDS).auth_buffer)
    assert creds.username == "alice"
    assert unpack_logon(both.server.query(sspi.SECPKG_ATTR_CREDS_2).auth_buffer) == creds
    for side in (both.client, both.server):
        assert side.query(sspi.SECPKG_ATTR_NAMES).user_name == "LAB\\alice"
        assert side.query(sspi.SECPKG_ATTR_NEGOTIATION_PACKAGE).package_info.name == "NTLM"
        assert side.query(sspi.SECPKG_ATTR_PACKAGE_INFO).package_info.name == "TSSSP"
        assert side.query(sspi.SECPKG_ATTR_SIZES).security_trailer == 0
        assert side.query(sspi.SECPKG_ATTR_FLAGS).flags == side.attributes
        assert side.query(sspi.SECPKG_ATTR_LIFESPAN).start
        assert refused(side.query, sspi.SECPKG_ATTR_STREAM_SIZES).status is S.SEC_E_UNSUPPORTED_FUNCTION
    assert both.client.query(sspi.SECPKG_ATTR_SERVER_AUTH_FLAGS).flags == sspi.CREDSSP_SERVER_AUTH_NEGOTIATE
    message = SecBufferDesc([SecBuffer(sspi.SECBUFFER_DATA, bytearray(5))])
    assert (
        refused(both.client.authority.encrypt_message, both.client.context, 0, message, 0).status
        is S.SEC_E_UNSUPPORTED_FUNCTION
    )
    names = both.client.authority.query_credentials_attributes(both.client.credential, sspi.SECPKG_CRED_ATTR_NAMES)
    assert names.user_name == "LAB\\alice"
    assert refused(both.client.authority.query_credentials_attributes, both.client.credential, 99).parameter
    for side in (both.client, both.server):
        assert refused(call, side, token(b"x"), SecBuffer()).status is S.SEC_E_OUT_OF_SEQUENCE


def test_tsssp_binds_to_the_certificate_it_was_given() -> None:
    error = refused(ts_run, tsssp(), process_certificate().der)
    assert error.status is S.SEC_E_MESSAGE_ALTERED


def test_tsssp_trusts_a_certificate_by_the_roots_of_the_credential() -> None:
    trusted = sspi.SchannelCred(root_store=root().pem)
    both = ts_run(tsssp(TS_ISC | sspi.ISC_REQ_MUTUAL_AUTH, schannel=trusted))
    assert both.client.attributes & sspi.ISC_RET_MUTUAL_AUTH
    assert refused(ts_run, tsssp(TS_ISC | sspi.ISC_REQ_MUTUAL_AUTH)).status is S.SEC_E_MUTUAL_AUTH_FAILED


@pytest.mark.parametrize(
    "buffers",
    [
        (),
        (SecBuffer(sspi.SECBUFFER_TOKEN | sspi.SECBUFFER_READONLY, b"\5\0\0\0x"),),
        (SecBuffer(sspi.SECBUFFER_TOKEN | sspi.SECBUFFER_READONLY, b""),),
        (certificate(b"junk"),),
        (certificate(b"a"), certificate(b"b")),
    ],
)
def test_tsssp_client_needs_the_servers_certificate_once(buffers: tuple[SecBuffer, ...]) -> None:
    both = tsssp()
    reply = call(both.server, token(call(both.client)), SecBuffer())
    error = refused(call, both.client, token(reply), *buffers, SecBuffer())
    assert (error.status, error.parameter) == (S.SEC_E_INVALID_TOKEN, "pInput")
    reply = call(
        both.server, token(call(both.client, token(reply), certificate(server_leaf().der), SecBuffer())), SecBuffer()
    )
    assert refused(call, both.client, token(reply), certificate(server_leaf().der), SecBuffer()).parameter == "pInput"
    assert call(both.client, token(reply), SecBuffer())


def test_tsssp_server_may_be_given_its_certificate() -> None:
    both = tsssp()
    reply = call(both.server, token(call(both.client)), certificate(client_leaf().der), SecBuffer())
    answer = call(both.client, token(reply), certificate(client_leaf().der), SecBuffer())
    assert call(both.server, token(answer), SecBuffer())


def test_tsssp_cuts_messages_at_their_borders() -> None:
    both = tsssp()
    first = call(both.client)
    for cut in (0, 1, 2, len(first) - 1):
        assert call(both.server, token(first[:cut]), SecBuffer()) == b""
        assert both.server.status is INCOMPLETE
        assert not both.server.started
        assert both.server.inputs is not None
        assert both.server.inputs[1].buffer_type == sspi.SECBUFFER_MISSING
    reply = call(both.server, token(first + b"behind"), SecBuffer())
    assert both.server.inputs[1].size == 6
    assert call(both.client, token(reply[:-1]), certificate(server_leaf().der), SecBuffer()) == b""
    assert both.client.status is INCOMPLETE
    assert call(both.client, token(reply), certificate(server_leaf().der), SecBuffer())
    assert both.client.status is CONTINUE


def test_tsssp_refuses_what_makes_no_sense() -> None:
    both = tsssp()
    assert refused(call, both.server, token(b"\x31\x00"), SecBuffer()).status is S.SEC_E_INVALID_TOKEN
    assert refused(call, both.server, token(b"\x30\x83\x7f\xff\xff"), SecBuffer()).status is S.SEC_E_INSUFFICIENT_MEMORY
    for side in (both.client, both.server):
        side.flags |= 1 << 64
        assert refused(call, side).status is S.SEC_E_UNSUPPORTED_FUNCTION
        side.flags &= ~(1 << 64)
    assert refused(call, both.client, token(b"early"), SecBuffer()).status is S.SEC_E_INVALID_TOKEN
    both.client.target = "/"
    assert refused(call, both.client).status is S.SEC_E_TARGET_UNKNOWN
    both.client.target = "HTTP/x"
    assert refused(call, both.client).status is S.SEC_E_DELEGATION_POLICY
    both.client.target = TARGET
    first = call(both.client)
    assert refused(both.client.query, sspi.SECPKG_ATTR_NAMES).status is S.SEC_E_INVALID_HANDLE
    call(both.server, token(first), SecBuffer())
    both.client.context, both.server.context = both.server.context, both.client.context
    for side in (both.client, both.server):
        assert refused(call, side, token(b"x"), SecBuffer()).parameter == "phContext"
    both = tsssp()
    both.client.credential, both.server.credential = both.server.credential, both.client.credential
    for side in (both.client, both.server):
        assert refused(call, side, token(b"x"), SecBuffer()).status is S.SEC_E_NO_CREDENTIALS


@pytest.mark.parametrize("told", [True, False])
def test_tsssp_tells_the_peer_with_extended_error_only(told: bool) -> None:
    both = tsssp(accounts=credssp.MemoryAccounts({}))
    if not told:
        both.server.flags &= ~sspi.ASC_REQ_EXTENDED_ERROR
    reply = call(both.server, token(call(both.client)), SecBuffer())
    answer = call(both.client, token(reply), certificate(server_leaf().der), SecBuffer())
    output = token_out()
    desc = SecBufferDesc([token(answer), SecBuffer()])
    server = both.server
    error = refused(server.authority.accept_security_context, None, server.context, desc, server.flags, 0, None, output)
    assert error.status is S.SEC_E_LOGON_DENIED
    assert bool(output[0].size) is told


def test_tsssp_takes_supplied_credentials_and_the_encryption_oracle_level() -> None:
    from credssp.sspi.packed import pack_auth_identity_ex2

    policy = PolicySettings(encryption_oracle=EncryptionOracle.FORCE_UPDATED_CLIENTS)
    both = tsssp(TS_ISC | sspi.ISC_REQ_USE_SUPPLIED_CREDS, policy=policy)
    assert refused(call, both.client).status is S.SEC_E_NO_CREDENTIALS
    packed = pack_auth_identity_ex2(credssp.PasswordCredentials("alice", "correct horse", domain="LAB"))
    assert call(both.client, SecBuffer(sspi.SECBUFFER_PKG_PARAMS, packed))


# Schannel alone


def schannel(
    isc: int, *, client: dict[str, Any] | None = None, asc: int = 0, server: dict[str, Any] | None = None
) -> Pair:
    authority = lsa()
    server = {"certificates": (server_leaf(),), **(server or {})}
    return Pair(
        Side(
            authority,
            credential(authority, sspi.SchannelCred(**(client or {})), package="Schannel"),
            isc | sspi.ISC_REQ_STREAM | ALLOCATE | sspi.ISC_REQ_EXTENDED_ERROR,
            target="srv.lab.test",
        ),
        Side(
            authority,
            credential(authority, sspi.SchannelCred(**server), package="schannel", use=1),
            asc | sspi.ASC_REQ_STREAM | ALLOCATE | sspi.ASC_REQ_EXTENDED_ERROR,
            client=False,
        ),
    )


TRUST = {"root_store": root().pem}


@pytest.mark.parametrize("protocols", [sspi.SP_PROT_TLS1_2_CLIENT, sspi.SP_PROT_TLS1_3_CLIENT])
def test_schannel_is_tls_alone(protocols: int) -> None:
    both = schannel(0, client={**TRUST, "enabled_protocols": protocols}).run()
    assert both.server.decrypt(both.client.encrypt(b"ping")) == b"ping"
    assert both.client.decrypt(both.server.encrypt(b"pong")) == b"pong"
    assert both.client.query(sspi.SECPKG_ATTR_CONNECTION_INFO).protocol == protocols
    assert both.client.query(sspi.SECPKG_ATTR_REMOTE_CERT_CONTEXT).cert_encoded == server_leaf().der
    assert both.client.query(sspi.SECPKG_ATTR_CERT_TRUST_STATUS).error_status == 0
    assert refused(both.client.query, sspi.SECPKG_ATTR_NAMES).status is S.SEC_E_UNSUPPORTED_FUNCTION
    assert both.client.query(sspi.SECPKG_ATTR_PACKAGE_INFO).package_info.rpc_id == 14
    names = both.client.authority.query_credentials_attributes(both.client.credential, sspi.SECPKG_CRED_ATTR_NAMES)
    assert names.user_name == ""
    # There is no renegotiation, and asking for one harms nothing.
    error = refused(both.client.leg)
    assert (error.status, error.parameter) == (S.SEC_E_UNSUPPORTED_FUNCTION, "phContext")
    desc = SecBufferDesc([SecBuffer(sspi.SECBUFFER_TOKEN, b"\1\0\0\0")])
    both.client.authority.apply_control_token(both.client.context, desc)
    message = SecBufferDesc(
        [SecBuffer(sspi.SECBUFFER_DATA, bytearray(both.client.leg())), *(SecBuffer() for _ in range(3))]
    )
    assert both.server.authority.decrypt_message(both.server.context, message, 0).status is S.SEC_I_CONTEXT_EXPIRED


def test_schannel_verifies_unless_told_otherwise() -> None:
    assert refused(schannel(0).run).status is S.SEC_E_UNTRUSTED_ROOT
    assert schannel(sspi.ISC_REQ_MANUAL_CRED_VALIDATION).run()
    assert schannel(0, client={"flags": sspi.SCH_CRED_MANUAL_CRED_VALIDATION}).run()
    both = schannel(sspi.ISC_REQ_MANUAL_CRED_VALIDATION | sspi.ISC_REQ_MUTUAL_AUTH)
    assert refused(both.run).status is S.SEC_E_UNTRUSTED_ROOT
    both = schannel(sspi.ISC_REQ_MUTUAL_AUTH, client=TRUST).run()
    assert both.client.attributes & sspi.ISC_RET_MUTUAL_AUTH


def test_schannel_asks_for_a_client_certificate() -> None:
    both = schannel(0, client=TRUST, asc=sspi.ASC_REQ_MUTUAL_AUTH, server=TRUST)
    both.client.leg(both.server.leg(both.client.leg()))
    assert both.client.status is S.SEC_I_INCOMPLETE_CREDENTIALS
    both.client.credential = credential(
        both.client.authority, sspi.SchannelCred(certificates=(client_leaf(),)), package="Schannel"
    )
    both.run(both.client.leg(b""))
    assert both.server.query(sspi.SECPKG_ATTR_REMOTE_CERT_CONTEXT).cert_encoded == client_leaf().der


def test_schannel_resumes_sessions_where_asked_to() -> None:
    life = {"session_lifespan": 1_000_000}
    both = schannel(0, client={**TRUST, **life, "enabled_protocols": sspi.SP_PROT_TLS1_2_CLIENT}, server=life).run()
    for side in (both.client, both.server):
        side.context = sspi.CtxtHandle()
        side.rest, side.log = b"", []
    both.run()
    assert both.client.authority._contexts.get(both.client.context, "").context.inner.tls_resumed


def test_schannel_takes_no_supplied_credentials() -> None:
    both = schannel(sspi.ISC_REQ_USE_SUPPLIED_CREDS)
    both.client.extra_inputs = [SecBuffer(sspi.SECBUFFER_PKG_PARAMS, b"x")]
    assert refused(both.client.leg).status is S.SEC_E_INVALID_TOKEN


def test_schannel_handshake_that_fails_is_dead() -> None:
    both = schannel(0, client=TRUST)
    both.server.leg(both.client.leg())
    error = refused(both.client.leg, b"\x16\x03\x03\x00\x04\x0e\x00\x00\x00")
    assert error.status.name.startswith("SEC_E_")
    assert refused(both.client.leg, b"x").status is S.SEC_E_INVALID_HANDLE


@packages
def test_call_without_a_token_blames_pinput_and_leaves_the_context_as_it_was(package: str) -> None:
    both = inner(package)
    data = call(both.client)
    for side in (both.server, both.client, both.server):
        context = side.context if side.started else None
        leg = side.authority.initialize_security_context if side.client else side.authority.accept_security_context
        for given in (None, SecBufferDesc(), SecBufferDesc([SecBuffer()])):
            error = refused(lambda: leg(side.credential, context, input=given))  # noqa: B023
            assert (error.status, error.parameter) == (S.SEC_E_INVALID_TOKEN, "pInput")
        data = call(side, token(data))
    while both.server.status is not OK or data:
        side = both.client if side is both.server else both.server
        data = call(side, token(data))
    assert both.client.status is OK


@packages
def test_empty_token_of_the_peer_is_the_peers_fault(package: str) -> None:
    both = inner(package)
    call(both.client)
    error = refused(call, both.client, token(b""))
    assert (error.status, error.parameter) == (S.SEC_E_INVALID_TOKEN, None)
    assert refused(call, both.client, token(b"x")).status is S.SEC_E_INVALID_HANDLE
