"""What AcquireCredentialsHandle and SECBUFFER_PKG_PARAMS take: packed credentials, dwFlags, logon sessions."""

from __future__ import annotations

import struct
import uuid
from typing import Any

import pytest

import credssp
import credssp.sspi as sspi
from credssp.sspi import CredHandle, SecBuffer, SecurityStatus, SSPIError
from credssp.sspi.constants import flag_names
from credssp.sspi.packages.schannel_flags import ALWAYS, DONE
from credssp.sspi.packed import pack_auth_identity_ex2, unpack_auth_identity_ex2
from credssp.tls.settings import CertificateCheck, ClientTLS
from tests.sspi.certificates import root, server_leaf
from tests.sspi.pair import (
    ASC,
    DOMAIN,
    IDENTITY,
    ISC,
    OK,
    PASSWORD,
    USER,
    Pair,
    Side,
    client_credential,
    credential,
    lsa,
    make,
)

S = SecurityStatus
ALICE = credssp.PasswordCredentials(USER, PASSWORD, domain=DOMAIN)
MANUAL = sspi.ISC_REQ_MANUAL_CRED_VALIDATION


def failed(call: Any, *args: Any, **kwargs: Any) -> SSPIError:
    with pytest.raises(SSPIError) as caught:
        call(*args, **kwargs)
    return caught.value


# SEC_WINNT_AUTH_IDENTITY_EX2 and SEC_WINNT_AUTH_PACKED_CREDENTIALS, as sspi.h has them

EX2 = struct.Struct("<IH2xIIH2xIH2xIH2xIIH2x")
PACKED = struct.Struct("<HH16sIH2x")
PASSWORD_TYPE = uuid.UUID("28bfc32f-10f6-4738-98d1-1ac061df716a")


def ex2(*, kind: uuid.UUID = PASSWORD_TYPE, flags: int = 2, secret: str = "pässword", **header: int) -> bytes:
    """What a C program packs: credentials first, then the names, with a terminator behind the password."""
    content = secret.encode("utf-16-le")
    packed = (
        PACKED.pack(
            header.get("header", 28),
            header.get("size", 28 + len(content)),
            kind.bytes_le,
            header.get("offset", 28),
            header.get("length", len(content)),
        )
        + content
    )
    user, domain = "alice".encode("utf-16-le"), "LAB".encode("utf-16-le")
    at = 48
    total = at + len(packed) + len(user) + len(domain)
    end = at + len(packed)
    fields = (end, len(user), end + len(user), len(domain), at, header.get("packed", len(packed)), flags, 0, 0)
    return EX2.pack(0x201, 48, total, *fields) + packed + user + domain


def test_ex2_of_a_c_program_is_read() -> None:
    expected = credssp.PasswordCredentials("alice", "pässword", domain="LAB")
    assert unpack_auth_identity_ex2(ex2()) == (expected, "")
    assert unpack_auth_identity_ex2(ex2(packed=0))[0].password.reveal() == ""


def test_ex2_holds_its_password_in_packed_credentials() -> None:
    data = bytes(pack_auth_identity_ex2(ALICE, "ntlm"))
    version, header, total, *_, at, size, flags, packages, packages_size = EX2.unpack_from(data)
    assert (version, header, total, flags) == (0x201, 48, len(data), 2)
    assert data[packages : packages + packages_size].decode("utf-16-le") == "ntlm"
    secret = PASSWORD.encode("utf-16-le")
    assert PACKED.unpack_from(data, at) == (28, size, PASSWORD_TYPE.bytes_le, 28, len(secret))
    assert data[at + 28 : at + size] == secret


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (ex2(kind=uuid.UUID("d587aae8-f78f-4455-a112-c934beee7ce1")), "a keytab, not a password"),
        (ex2(kind=uuid.UUID("235f69ad-73fb-4dbc-8203-0629e739339b")), "a certificate, not a password"),
        (ex2(kind=uuid.UUID(int=5)), "00000000-0000-0000-0000-000000000005"),
        (ex2(flags=2 | 0x10), "encrypted"),
        (ex2(flags=2 | 0x40), "encrypted"),
        (ex2(header=4), "not a SEC_WINNT_AUTH_PACKED_CREDENTIALS"),
        (ex2(size=20), "not a SEC_WINNT_AUTH_PACKED_CREDENTIALS"),
        (ex2(size=200), "not a SEC_WINNT_AUTH_PACKED_CREDENTIALS"),
        (ex2(offset=4), "not a SEC_WINNT_AUTH_PACKED_CREDENTIALS"),
        (ex2(length=200), "outside of the buffer"),
        (ex2(length=3), "outside of the buffer"),
        (ex2(packed=27), "too short for a SEC_WINNT_AUTH_PACKED_CREDENTIALS"),
        (ex2(packed=0xFFFF), "outside of the buffer"),
    ],
)
def test_packed_credentials_that_cannot_be_read_are_an_invalid_token(data: bytes, text: str) -> None:
    error = failed(unpack_auth_identity_ex2, data)
    assert error.status is S.SEC_E_INVALID_TOKEN
    assert text in error.message


@pytest.mark.parametrize("name", ["username", "password", "domain"])
def test_strings_that_the_structure_cannot_hold_cannot_be_packed(name: str) -> None:
    values: dict[str, Any] = {"username": "alice", "password": "x", "domain": "LAB", name: "x" * 0x8000}
    credentials = credssp.PasswordCredentials.received(
        values["username"], credssp.Secret(values["password"]), values["domain"]
    )
    assert failed(pack_auth_identity_ex2, credentials).status is S.SEC_E_CANNOT_PACK


# SECBUFFER_PKG_PARAMS


@pytest.mark.parametrize("package", ["CREDSSP", "TSSSP"])
def test_pkg_params_take_an_identity(package: str) -> None:
    both = make(isc=ISC | sspi.ISC_REQ_USE_SUPPLIED_CREDS)
    authority = both.client.authority
    both.client.credential = credential(authority, None, package=package)
    both.client.extra_inputs = [SecBuffer(sspi.SECBUFFER_PKG_PARAMS, IDENTITY)]
    token = both.client.leg()
    if package == "CREDSSP":
        both.run(token)
        assert both.client.query(sspi.SECPKG_ATTR_NAMES).user_name == f"{DOMAIN}\\{USER}"
        assert both.client.attributes & sspi.ISC_RET_USED_SUPPLIED_CREDS
    assert token


@pytest.mark.parametrize("packed", [False, True], ids=["object", "bytes"])
@pytest.mark.parametrize("package", ["Negotiate", "NTLM"])
def test_pkg_params_log_on_with_the_inner_packages(package: str, packed: bool) -> None:
    authority = lsa()
    flags = sspi.ISC_REQ_ALLOCATE_MEMORY | sspi.ISC_REQ_USE_SUPPLIED_CREDS
    client = Side(authority, credential(authority, None, package=package), flags)
    server = Side(authority, credential(authority, None, use=1, package=package), flags & ~0x80, client=False)
    error = failed(client.leg)
    assert (error.status, error.parameter) == (S.SEC_E_NO_CREDENTIALS, "pInput")
    params = pack_auth_identity_ex2(ALICE) if packed else IDENTITY
    client.extra_inputs = [SecBuffer(sspi.SECBUFFER_PKG_PARAMS, params)]
    Pair(client, server).run()
    assert client.attributes & sspi.ISC_RET_USED_SUPPLIED_CREDS
    assert server.query(sspi.SECPKG_ATTR_NAMES).user_name == f"{DOMAIN}\\{USER}"


@pytest.mark.parametrize(
    ("identity", "status"),
    [
        (sspi.SecWinntAuthIdentity("alice", "LAB", b"short"), S.SEC_E_UNKNOWN_CREDENTIALS),
        (sspi.SecWinntAuthIdentity("alice", "LAB", "x", "digest"), S.SEC_E_UNKNOWN_CREDENTIALS),
    ],
)
def test_identity_in_pkg_params_that_makes_no_sense_is_named(identity: Any, status: SecurityStatus) -> None:
    both = make(isc=ISC | sspi.ISC_REQ_USE_SUPPLIED_CREDS)
    both.client.extra_inputs = [SecBuffer(sspi.SECBUFFER_PKG_PARAMS, identity)]
    error = failed(both.client.leg)
    assert (error.status, error.parameter) == (status, "pInput")


# SCHANNEL_CRED.dwFlags

FLAGS = {name: number for name, number in vars(sspi).items() if name.startswith("SCH_")}
REFUSED = {name: number for name, number in FLAGS.items() if not number & (DONE | ALWAYS)}


def acquire(flags: Any, *, use: int = sspi.SECPKG_CRED_OUTBOUND, package: str = "Schannel", **schannel: Any) -> Side:
    authority = lsa()
    cred = sspi.SchannelCred(flags=flags, **schannel)
    data = cred if package == "Schannel" else sspi.CredsspCred(schannel_cred=cred, spnego_cred=IDENTITY)
    return Side(authority, credential(authority, data, use=use, package=package), ISC)


@pytest.mark.parametrize("package", ["Schannel", "CREDSSP", "TSSSP"])
@pytest.mark.parametrize("name", [*REFUSED, "0x8000000"])
def test_flags_that_cannot_be_met_are_refused_by_name(package: str, name: str) -> None:
    number = FLAGS.get(name, 0x8000000)
    error = failed(acquire, number | sspi.SCH_USE_STRONG_CRYPTO, package=package)
    assert (error.status, error.parameter) == (S.SEC_E_UNSUPPORTED_FUNCTION, "pAuthData")
    assert error.message.endswith(f": {name}")


def test_every_flag_of_the_header_is_done_true_or_refused() -> None:
    assert len(FLAGS) == 26
    assert not DONE & ALWAYS
    assert sum(FLAGS.values()) == DONE | ALWAYS | sum(REFUSED.values())
    # What would weaken a check, or ask for one that is not made, is among the refused.
    assert set(REFUSED) == {
        f"SCH_{name}"
        for name in (
            "CRED_USE_DEFAULT_CREDS",
            "CRED_REVOCATION_CHECK_END_CERT",
            "CRED_REVOCATION_CHECK_CHAIN",
            "CRED_REVOCATION_CHECK_CHAIN_EXCLUDE_ROOT",
            "SEND_ROOT_CERT",
            "CRED_SNI_CREDENTIAL",
            "CRED_SNI_ENABLE_OCSP",
            "USE_PRESHAREDKEY_ONLY",
            "USE_DTLS_ONLY",
            "ALLOW_NULL_ENCRYPTION",
            "CRED_DEFERRED_CRED_VALIDATION",
        )
    }


def test_flags_that_are_true_anyway_are_taken() -> None:
    assert acquire(ALWAYS).credential.is_valid
    assert "CRED_NO_DEFAULT_CREDS" in flag_names(ALWAYS, "SCH")


@pytest.mark.parametrize(
    "flags",
    [
        sspi.SCH_CRED_MANUAL_CRED_VALIDATION | sspi.SCH_CRED_AUTO_CRED_VALIDATION,
        sspi.SCH_CRED_RESTRICTED_ROOTS,
        "all",
        -1,
    ],
)
def test_flags_that_make_no_sense_are_unknown_credentials(flags: Any) -> None:
    error = failed(acquire, flags)
    assert (error.status, error.parameter) == (S.SEC_E_UNKNOWN_CREDENTIALS, "pAuthData")


def log_on(flags: int, *, isc: int = ISC & ~MANUAL, target: str = "TERMSRV/srv.lab.test", **client: Any) -> Pair:
    """A client that trusts the test's authority, and a server with a certificate of it."""
    settings = {"root_store": root().pem, **client}
    return make(
        isc=isc, client={"flags": flags, **settings}, server={"certificates": (server_leaf(),)}, target=target
    ).run()


def test_manual_validation_in_the_flags_is_manual_validation_in_the_request() -> None:
    other = root().issue("other.lab.test")
    both = make(isc=ISC & ~MANUAL, client={"flags": 0}, server={"certificates": (other,)})
    assert failed(both.run).status is S.SEC_E_UNTRUSTED_ROOT
    both = make(
        isc=ISC & ~MANUAL,
        client={"flags": sspi.SCH_CRED_MANUAL_CRED_VALIDATION},
        server={"certificates": (other,)},
        target="TERMSRV/srv.lab.test",
    )
    assert both.run().client.status is OK


def test_no_servername_check_lets_another_name_pass_and_no_other_authority() -> None:
    name = "TERMSRV/elsewhere.lab.test"
    flag = sspi.SCH_CRED_NO_SERVERNAME_CHECK
    assert failed(log_on, 0, target=name).status is S.SEC_E_WRONG_PRINCIPAL
    assert log_on(flag, target=name).client.status is OK
    assert failed(log_on, flag, target=name, root_store=None).status is S.SEC_E_UNTRUSTED_ROOT


def test_no_servername_check_does_not_count_as_authentication_of_the_server() -> None:
    """ISC_REQ_MUTUAL_AUTH needs a certificate that names the target."""
    flag, mutual = sspi.SCH_CRED_NO_SERVERNAME_CHECK, (ISC & ~MANUAL) | sspi.ISC_REQ_MUTUAL_AUTH
    error = failed(log_on, flag, isc=mutual, target="TERMSRV/elsewhere.lab.test")
    assert error.status is S.SEC_E_MUTUAL_AUTH_FAILED
    assert log_on(flag, isc=mutual).client.attributes & sspi.ISC_RET_MUTUAL_AUTH, "it names it all the same"
    assert ClientTLS(verify=True, verify_name=False).check(b"") is CertificateCheck.NOT_CHECKED


def test_restricted_roots_are_those_of_the_root_store() -> None:
    assert log_on(sspi.SCH_CRED_RESTRICTED_ROOTS).client.status is OK


def test_disable_reconnects_keeps_no_sessions() -> None:
    for flags, kept in ((0, True), (sspi.SCH_CRED_DISABLE_RECONNECTS, False)):
        both = log_on(flags, session_lifespan=60_000, enabled_protocols=sspi.SP_PROT_TLS1_2_CLIENT)
        record = both.client.authority._credentials.get(both.client.credential, "")
        cred: Any = record.credential
        assert cred.tls.client(verify=True).resumption is kept


def test_strong_crypto_takes_weak_ciphers_out_of_the_choice() -> None:
    chosen = "ECDHE+AESGCM:eNULL:@SECLEVEL=0"
    for flags, weak in ((0, True), (sspi.SCH_USE_STRONG_CRYPTO, False)):
        side = acquire(flags, ciphers=chosen)
        cred: Any = side.authority._credentials.get(side.credential, "").credential
        from credssp.tls.settings import client_context

        names = [cipher["name"] for cipher in client_context(cred.tls.client(verify=False)).get_ciphers()]
        assert any("NULL" in name for name in names) is weak
        assert "ECDHE-RSA-AES256-GCM-SHA384" in names


# pvLogonId


def test_logon_id_selects_the_session_whose_default_credentials_are_meant() -> None:
    authority = lsa()
    one, two = authority.create_logon_session(), authority.create_logon_session()
    authority.accept_credentials(2, "alice", credssp.PasswordCredentials("alice", "a"), logon_id=one)
    authority.accept_credentials(2, "bob", credssp.PasswordCredentials("bob", "b"), logon_id=two)
    authority.accept_credentials(2, "carol", credssp.PasswordCredentials("carol", "c"))
    for package in ("CREDSSP", "TSSSP", "Negotiate", "NTLM"):
        for session, name in ((one, "alice"), (two, "bob"), (None, "carol")):
            handle = credential(authority, None, package=package, logon_id=session)
            names = authority.query_credentials_attributes(handle, sspi.SECPKG_CRED_ATTR_NAMES)
            assert names.user_name == name
        error = failed(credential, authority, None, package=package, logon_id=one, principal="bob")
        assert (error.status, error.parameter) == (S.SEC_E_UNKNOWN_CREDENTIALS, "pszPrincipal")


def test_session_without_a_logon_has_no_default_credentials() -> None:
    authority = lsa()
    session = authority.create_logon_session()
    error = failed(credential, authority, None, logon_id=session)
    assert (error.status, error.parameter) == (S.SEC_E_NO_CREDENTIALS, "pvLogonId")
    assert credential(authority, sspi.CredsspCred(spnego_cred=IDENTITY), logon_id=session).is_valid
    assert credential(authority, None, logon_id=session, use=sspi.SECPKG_CRED_INBOUND).is_valid, "a server needs none"


def test_session_that_ended_is_forgotten_and_credentials_live_on() -> None:
    authority = lsa()
    session = authority.create_logon_session()
    authority.accept_credentials(2, USER, ALICE, logon_id=session)
    handle = credential(authority, None, package="NTLM", logon_id=session)
    authority.delete_logon_session(session)
    assert failed(credential, authority, None, package="NTLM", logon_id=session).status is S.SEC_E_NOT_OWNER
    for bad in (session, 0x3E7, 5):
        assert failed(authority.delete_logon_session, bad).status is S.SEC_E_NOT_OWNER
    assert failed(authority.accept_credentials, 2, USER, ALICE, logon_id=session).status is S.SEC_E_NOT_OWNER
    server = Side(authority, credential(authority, None, use=1, package="NTLM"), sspi.ASC_REQ_ALLOCATE_MEMORY)
    assert server.credential.is_valid
    context, output = sspi.CtxtHandle(), sspi.SecBufferDesc([SecBuffer(sspi.SECBUFFER_TOKEN)])
    args = (handle, None, "host/srv", sspi.ISC_REQ_ALLOCATE_MEMORY, 0, 0, None, 0, context, output)
    assert authority.initialize_security_context(*args).status is S.SEC_I_CONTINUE_NEEDED


def test_credentials_of_a_session_log_on() -> None:
    authority = lsa()
    session = authority.create_logon_session()
    authority.accept_credentials(2, USER, ALICE, logon_id=session)
    client = Side(authority, credential(authority, None, logon_id=session), ISC & ~sspi.ISC_REQ_DELEGATE)
    server = Side(authority, credential(authority, None, use=sspi.SECPKG_CRED_INBOUND), ASC, client=False)
    Pair(client, server).run()
    assert server.query(sspi.SECPKG_ATTR_NAMES).user_name == f"{DOMAIN}\\{USER}"
    assert isinstance(client_credential(authority), CredHandle)
