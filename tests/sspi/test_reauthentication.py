"""Which credential, target and flags count when a context authenticates again, and that they count for no other leg."""

from __future__ import annotations

from typing import Any

import pytest

import credssp
import credssp.sspi as sspi
from credssp.context import ClientContext, ServerContext
from credssp.errors import CertificateError
from credssp.policy import DelegationList, DelegationPolicy
from credssp.sspi import SecBuffer, SecBufferDesc, SecurityStatus, SSPIError
from credssp.tls.settings import ClientTLS
from tests.sspi.certificates import root, server_leaf
from tests.sspi.pair import (
    ACCOUNTS,
    ASC,
    CONTINUE,
    DREP,
    IDENTITY,
    ISC,
    TARGET,
    Pair,
    client_credential,
    credential,
    lsa,
    make,
    token_in,
    token_out,
)

S = SecurityStatus
ALLOCATE = sspi.ISC_REQ_ALLOCATE_MEMORY
BOB = sspi.SecWinntAuthIdentity("bob", "LAB", "other secret")
BOTH = credssp.MemoryAccounts({("LAB", "alice"): "correct horse", ("LAB", "bob"): "other secret"})
CHECKED = ISC & ~sspi.ISC_REQ_MANUAL_CRED_VALIDATION
EVERY = DelegationList.enabled("*")
ANYWHERE = DelegationPolicy(allow_fresh_credentials=EVERY, allow_fresh_credentials_when_ntlm_only=EVERY)


def failed(call: Any, *args: Any) -> SSPIError:
    with pytest.raises(SSPIError) as caught:
        call(*args)
    return caught.value


def bob(authority: sspi.LocalSecurityAuthority, **schannel: Any) -> sspi.CredHandle:
    tls = sspi.SchannelCred(**schannel) if schannel else None
    return credential(authority, sspi.CredsspCred(spnego_cred=BOB, schannel_cred=tls))


def who(both: Pair) -> str:
    return str(both.server.query(sspi.SECPKG_ATTR_NAMES).user_name)


def delegated(both: Pair) -> str:
    from credssp.sspi.packed import unpack_auth_identity_ex2

    return unpack_auth_identity_ex2(both.server.query(sspi.SECPKG_ATTR_CREDS).auth_buffer)[0].username


# phCredential


def test_another_credential_counts_from_the_first_leg_on() -> None:
    authority = lsa(accounts=BOTH)
    both = make(authority=authority).run()
    assert (who(both), delegated(both)) == ("LAB\\alice", "alice")
    old = both.client.credential
    both.client.credential = bob(authority)
    token = both.client.leg()
    assert both.client.status is CONTINUE
    reply = both.server.leg(token)
    # The old one is another one now.
    new, both.client.credential = both.client.credential, old
    assert failed(both.client.leg, reply).status is S.SEC_E_WRONG_CREDENTIAL_HANDLE
    both.client.credential, both.client.rest = new, b""
    both.run(both.client.leg(reply))
    assert (who(both), delegated(both)) == ("LAB\\bob", "bob")
    assert both.client.query(sspi.SECPKG_ATTR_NAMES).user_name == "LAB\\bob"
    assert both.server.decrypt(both.client.encrypt(b"data")) == b"data"


def test_no_credential_is_the_one_before() -> None:
    authority = lsa(accounts=BOTH)
    both = make(authority=authority).run()
    both.client.credential = bob(authority)
    both.run(both.client.leg())
    both.client.credential = both.server.credential = None  # type: ignore[assignment]
    both.run(both.client.leg())
    assert who(both) == "LAB\\bob"


def test_another_credential_that_cannot_be_used_changes_nothing() -> None:
    authority = lsa(accounts=BOTH)
    both = make(authority=authority).run()
    both.client.credential = both.server.credential  # an inbound one
    error = failed(both.client.leg)
    assert (error.status, error.parameter) == (S.SEC_E_NO_CREDENTIALS, "phCredential")
    assert both.server.decrypt(both.client.encrypt(b"data")) == b"data"


def test_server_may_have_other_accounts_for_the_next_login() -> None:
    authority = lsa()
    both = make(authority=authority).run()
    both.server.credential = credential(
        authority, sspi.CredsspCred(accounts=credssp.MemoryAccounts({})), use=sspi.SECPKG_CRED_INBOUND
    )
    token = both.client.leg()
    assert failed(both.run, token).status is S.SEC_E_LOGON_DENIED


def test_identity_of_pkg_params_counts_until_another_one_comes() -> None:
    authority = lsa(accounts=BOTH)
    both = make(authority=authority, isc=ISC | sspi.ISC_REQ_USE_SUPPLIED_CREDS)
    both.client.extra_inputs = [SecBuffer(sspi.SECBUFFER_PKG_PARAMS, BOB)]
    both.run()
    assert who(both) == "LAB\\bob"
    both.run(both.client.leg())
    assert who(both) == "LAB\\bob"
    both.client.extra_inputs = [
        SecBuffer(sspi.SECBUFFER_TOKEN, b""),
        SecBuffer(),
        SecBuffer(sspi.SECBUFFER_PKG_PARAMS, IDENTITY),
    ]
    both.run(both.client.leg())
    assert who(both) == "LAB\\alice"


# pszTargetName and fContextReq


def test_another_target_is_another_question_to_the_policy() -> None:
    both = make().run()
    both.client.target = "HTTP/srv.lab.test"
    assert failed(both.client.leg).status is S.SEC_E_DELEGATION_POLICY


@pytest.mark.parametrize("manual", [False, True])
def test_another_target_must_be_named_by_the_certificate(manual: bool) -> None:
    authority = lsa(policy=ANYWHERE)
    leaf = root().issue("srv.lab.test", "alias.lab.test")
    client, server = {"root_store": root().pem}, {"certificates": (leaf,)}
    both = make(authority=authority, isc=ISC if manual else CHECKED, client=client, server=server).run()
    both.client.target = "TERMSRV/elsewhere.lab.test"
    if manual:
        both.run(both.client.leg())
        return
    error = failed(both.client.leg)
    assert (error.status, error.parameter) == (S.SEC_E_WRONG_PRINCIPAL, "pszTargetName")
    assert both.server.decrypt(both.client.encrypt(b"nothing has changed")) == b"nothing has changed"
    both.client.target = "TERMSRV/alias.lab.test"
    both.run(both.client.leg())
    both.client.target = "TERMSRV/no host"
    error = failed(both.client.leg)
    assert (error.status, error.parameter) == (S.SEC_E_TARGET_UNKNOWN, "pszTargetName")
    assert error.message.count("pszTargetName") == 1
    both.client.target = None  # the one before
    both.run(both.client.leg())


def test_certificate_that_was_not_checked_is_checked_where_the_next_login_asks_for_it() -> None:
    authority = lsa(policy=ANYWHERE)
    both = make(authority=authority, server={"certificates": (server_leaf(),)}).run()
    both.client.flags = CHECKED
    error = failed(both.client.leg)
    assert error.status is S.SEC_E_UNTRUSTED_ROOT
    both.client.credential = client_credential(authority, root_store=root().pem)
    both.run(both.client.leg())


def test_expired_certificate_does_not_pass_the_later_check() -> None:
    old = root().issue("srv.lab.test", expired=True)
    config = credssp.ServerConfig(accounts=ACCOUNTS, certificate=old)
    client = ClientContext(
        credssp.PasswordCredentials("alice", "correct horse", domain="LAB"), target_name=TARGET, policy=ANYWHERE
    )
    server = ServerContext(config=config)
    token = client.step().token
    while token:
        answer = server.step(token).token
        token = client.step(answer).token if answer else b""
    with pytest.raises(CertificateError) as caught:
        client.restart(credssp.ClientConfig(target_name=TARGET, tls=ClientTLS(cadata=root().pem)))
    assert caught.value.status is S.SEC_E_CERT_EXPIRED
    assert client.complete


def test_flags_of_the_next_login_are_its_own() -> None:
    both = make().run()
    assert both.server.attributes & sspi.ASC_RET_DELEGATE
    both.client.flags &= ~sspi.ISC_REQ_DELEGATE
    both.run(both.client.leg())
    assert not both.server.attributes & sspi.ASC_RET_DELEGATE
    assert not both.client.attributes & sspi.ISC_RET_DELEGATE


# Another credential in the middle of an exchange


def two_credentials(authority: sspi.LocalSecurityAuthority, package: str, use: int) -> list[sspi.CredHandle]:
    data: Any = IDENTITY if use == sspi.SECPKG_CRED_OUTBOUND else None
    if package in ("CREDSSP", "TSSSP"):
        data = sspi.CredsspCred(spnego_cred=data, schannel_cred=sspi.SchannelCred(certificates=(server_leaf(),)))
        if use == sspi.SECPKG_CRED_OUTBOUND:
            data = sspi.CredsspCred(spnego_cred=IDENTITY)
    elif package == "Schannel":
        data = sspi.SchannelCred(flags=sspi.SCH_CRED_MANUAL_CRED_VALIDATION)
    return [credential(authority, data, use=use, package=package) for _ in range(2)]


@pytest.mark.parametrize("package", ["CREDSSP", "TSSSP", "Schannel", "Negotiate", "NTLM"])
def test_another_credential_in_the_middle_is_refused_at_once_in_every_package(package: str) -> None:
    authority = lsa()
    stream = package in ("CREDSSP", "TSSSP", "Schannel")
    isc = ISC if stream else ALLOCATE
    asc = ASC if stream else ALLOCATE
    if package == "Schannel":
        isc, asc = isc & ~sspi.ISC_REQ_DELEGATE, asc & ~sspi.ASC_REQ_DELEGATE
    (client, other_client), (server, other_server) = (
        two_credentials(authority, package, use) for use in (sspi.SECPKG_CRED_OUTBOUND, sspi.SECPKG_CRED_INBOUND)
    )
    contexts = sspi.CtxtHandle(), sspi.CtxtHandle()
    target = "srv.lab.test" if package == "Schannel" else TARGET

    def isc_leg(handle: sspi.CredHandle, data: bytes | None, *extra: SecBuffer) -> tuple[SecurityStatus, bytes]:
        output = token_out()
        desc = None if data is None else SecBufferDesc([*token_in(data), *extra])
        first = contexts[0] if contexts[0].is_valid else None
        result = authority.initialize_security_context(
            handle, first, target, isc, 0, DREP, desc, 0, contexts[0], output
        )
        return result.status, output[0].data

    def asc_leg(handle: sspi.CredHandle, data: bytes) -> tuple[SecurityStatus, bytes]:
        output = token_out()
        first = contexts[1] if contexts[1].is_valid else None
        result = authority.accept_security_context(handle, first, token_in(data), asc, DREP, contexts[1], output)
        return result.status, output[0].data

    certificate = server_leaf().der
    marked = sspi.SECBUFFER_TOKEN | sspi.SECBUFFER_READONLY
    extra = [SecBuffer(marked, len(certificate).to_bytes(4, "little") + certificate)] if package == "TSSSP" else []
    _, token = isc_leg(client, None)
    _, reply = asc_leg(server, token)
    for leg, other, data in (
        (isc_leg, other_client, reply),
        (asc_leg, other_server, token),
        (isc_leg, other_client, b""),
    ):
        error = failed(leg, other, data)
        assert (error.status, error.parameter) == (S.SEC_E_WRONG_CREDENTIAL_HANDLE, "phCredential")
    # Both contexts go on with their own.
    status, token = isc_leg(client, reply, *extra)
    assert token
    status, _ = asc_leg(server, token)
    assert status in (S.SEC_E_OK, CONTINUE)
