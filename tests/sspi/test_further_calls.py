"""Calls and attributes of SSPI at large: what real programs use beside the legs of an exchange."""

from __future__ import annotations

import pytest

import credssp
import credssp.sspi as sspi
from credssp.identity import Identity
from credssp.security_context import SecurityContext
from credssp.sspi import SecurityStatus
from credssp.sspi.packages.identities import package_list
from tests.sspi.pair import OK, TARGET, Pair, Side, credential, lsa
from tests.sspi.test_inner_packages import ALLOCATE, TRUST, WANTED, call, inner, refused, run, schannel, token

S = SecurityStatus
packages = pytest.mark.parametrize("package", ["NTLM", "Negotiate"])

TOKEN_CALLS = {
    "query_security_context_token": "SECPKG_ATTR_NAMES",
    "impersonate_security_context": "os.setresuid",
    "revert_security_context": "omit the call",
}


@pytest.mark.parametrize("name", TOKEN_CALLS)
def test_calls_that_need_an_access_token_say_what_to_do_instead(name: str) -> None:
    server = run(inner("NTLM")).server
    error = refused(getattr(server.authority, name), server.context)
    assert (error.status, error.parameter) == (S.SEC_E_UNSUPPORTED_FUNCTION, "phContext")
    assert name.replace("_", "") in str(error).lower()
    assert TOKEN_CALLS[name] in str(error)
    assert refused(getattr(server.authority, name), sspi.CtxtHandle()).status is S.SEC_E_INVALID_HANDLE


def test_calls_that_need_an_access_token_want_a_complete_context() -> None:
    both = inner("NTLM")
    call(both.client)
    for name in TOKEN_CALLS:
        assert refused(getattr(both.client.authority, name), both.client.context).status is S.SEC_E_INVALID_HANDLE


def test_add_credentials_adds_a_role_and_replaces_the_user() -> None:
    authority = lsa()
    handle = credential(authority, package="NTLM", use=sspi.SECPKG_CRED_INBOUND)
    client = Side(authority, handle, WANTED)
    assert refused(call, client).status is S.SEC_E_NO_CREDENTIALS, "acquired for a server"
    identity = sspi.SecWinntAuthIdentity("alice", "LAB", "correct horse")
    assert authority.add_credentials(handle, None, "ntlm", sspi.SECPKG_CRED_OUTBOUND, identity).status is OK
    both = run(Pair(client, Side(authority, handle, ALLOCATE, client=False)))
    assert both.server.query(sspi.SECPKG_ATTR_NAMES).user_name == "LAB\\alice"
    wrong = sspi.SecWinntAuthIdentity("alice", "LAB", "wrong")
    authority.add_credentials(handle, None, "NTLM", sspi.SECPKG_CRED_OUTBOUND, wrong)
    both = Pair(Side(authority, handle, WANTED), Side(authority, handle, ALLOCATE, client=False))
    assert refused(run, both).status is S.SEC_E_LOGON_DENIED


def test_add_credentials_refuses_what_makes_no_sense() -> None:
    authority = lsa()
    handle = credential(authority, package="NTLM")
    add = authority.add_credentials
    assert refused(add, sspi.CredHandle(), None, "NTLM", 2, None).parameter == "hCredentials"
    assert refused(add, handle, None, "Negotiate", 2, None).parameter == "pszPackage"
    assert refused(add, handle, None, "NTLM", 0, None).parameter == "fCredentialUse"
    assert refused(add, handle, None, "NTLM", 2, "alice").status is S.SEC_E_UNKNOWN_CREDENTIALS
    tls = credential(authority, package="CREDSSP")
    assert refused(add, tls, None, "CREDSSP", 2, None).status is S.SEC_E_UNSUPPORTED_FUNCTION


def test_kdc_proxy_that_cannot_be_followed_is_refused() -> None:
    authority = lsa()
    handle = credential(authority, package="Negotiate")
    number = sspi.SECPKG_CRED_ATTR_KDC_PROXY_SETTINGS
    settings = sspi.SecPkgCredentials_KdcProxySettings
    assert authority.set_credentials_attributes(handle, number, settings()) is OK
    assert authority.query_credentials_attributes(handle, number) == settings()
    for value in (settings("kdc.lab.test"), settings(flags=sspi.KDC_PROXY_SETTINGS_FLAGS_FORCEPROXY)):
        error = refused(authority.set_credentials_attributes, handle, number, value)
        assert (error.status, error.parameter) == (S.SEC_E_UNSUPPORTED_FUNCTION, "pBuffer")
        assert "krb5.conf" in str(error)
    for bad in (None, "kdc.lab.test", settings(version=2)):
        error = refused(authority.set_credentials_attributes, handle, number, bad)
        assert error.status is S.SEC_E_INVALID_PARAMETER
    assert refused(authority.set_credentials_attributes, handle, 99, settings()).parameter == "ulAttribute"
    ntlm = credential(authority, package="NTLM")
    assert (
        refused(authority.set_credentials_attributes, ntlm, number, settings()).status is S.SEC_E_UNSUPPORTED_FUNCTION
    )
    assert refused(authority.query_credentials_attributes, ntlm, number).status is S.SEC_E_UNSUPPORTED_FUNCTION


@packages
def test_inner_packages_answer_further_attributes(package: str) -> None:
    both = run(inner(package))
    for side in (both.client, both.server):
        assert side.query(sspi.SECPKG_ATTR_AUTHORITY).authority_name == "LAB"
        assert side.query(sspi.SECPKG_ATTR_DCE_INFO) == sspi.SecPkgContext_DceInfo(1, "LAB\\alice")
        key = side.query(sspi.SECPKG_ATTR_KEY_INFO)
        assert (key.signature_algorithm_name, key.encrypt_algorithm_name, key.key_size) == ("HMAC-MD5", "RC4", 128)
        error = refused(side.query, sspi.SECPKG_ATTR_NATIVE_NAMES)
        assert error.status is S.SEC_E_UNSUPPORTED_FUNCTION


@pytest.mark.parametrize(
    ("user", "domain", "authority"), [("alice@LAB.TEST", "", "LAB.TEST"), ("alice", "", ""), ("alice", "LAB", "LAB")]
)
def test_authority_of_a_client_is_the_domain_it_named(user: str, domain: str, authority: str) -> None:
    accounts = credssp.MemoryAccounts({(domain, user.partition("@")[0]): "x", ("", user): "x"})
    both = run(inner("NTLM", sspi.SecWinntAuthIdentity(user, domain, "x"), accounts=accounts))
    assert both.client.query(sspi.SECPKG_ATTR_AUTHORITY).authority_name == authority


def test_negotiation_info_says_how_far_the_choice_is() -> None:
    both = inner("Negotiate")
    call(both.client)
    begun = both.client.query(sspi.SECPKG_ATTR_NEGOTIATION_INFO)
    assert (begun.package_info.name, begun.negotiation_state) == ("Negotiate", sspi.SECPKG_NEGOTIATION_IN_PROGRESS)
    both = run(inner("Negotiate"))
    for side in (both.client, both.server):
        done = side.query(sspi.SECPKG_ATTR_NEGOTIATION_INFO)
        assert (done.package_info.name, done.negotiation_state) == ("NTLM", sspi.SECPKG_NEGOTIATION_COMPLETE)


class Kerberos(SecurityContext):
    """Stands in for GSS-API."""

    session_key = bytes(32)

    def _step(self, token: bytes | None) -> bytes | None:
        self.name, self.complete, self.can_wrap = "kerberos", True, True
        if token is None:
            self.client_name = "alice@LAB.TEST"
        else:
            self.identity = Identity(
                username="alice", domain="LAB.TEST", mechanism="kerberos", target_name="HTTP/srv.lab.test"
            )
        return b"AP-REQ" if token is None else None

    def _wrap(self, data: bytes) -> bytes:
        raise NotImplementedError

    def _unwrap(self, data: bytes) -> bytes:
        raise NotImplementedError


def test_native_names_are_the_principals_of_kerberos(monkeypatch: pytest.MonkeyPatch) -> None:
    for maker in ("create_initiator", "create_acceptor"):
        monkeypatch.setattr(f"credssp.sspi.packages.negotiate.{maker}", lambda *_, **__: Kerberos())
    both = inner("Negotiate")
    both.client.target = "HTTP/srv.lab.test"
    run(both)
    names = sspi.SecPkgContext_NativeNames("alice@LAB.TEST", "HTTP/srv.lab.test")
    for side in (both.client, both.server):
        assert side.query(sspi.SECPKG_ATTR_NATIVE_NAMES) == names
        assert side.query(sspi.SECPKG_ATTR_KEY_INFO).key_size == 256


def test_schannel_answers_key_info() -> None:
    both = schannel(0, client=TRUST).run()
    key = both.client.query(sspi.SECPKG_ATTR_KEY_INFO)
    assert key == both.server.query(sspi.SECPKG_ATTR_KEY_INFO)
    assert key.key_size in (128, 256)
    assert key.encrypt_algorithm_name == both.client.query(sspi.SECPKG_ATTR_CONNECTION_INFO).suite


@pytest.mark.parametrize(
    ("text", "mechanism", "bare"),
    [
        ("", "auto", False),
        ("ntlm", "ntlm", True),
        ("NTLM", "ntlm", True),
        ("!kerberos", "ntlm", False),
        ("Kerberos", "kerberos", False),
        ("!ntlm", "kerberos", False),
        ("kerberos, ntlm", "auto", False),
        ("kerberos,!ntlm", "kerberos", False),
        ("ntlm:nego2", "ntlm", False),
        ("negotiate", "negotiate", False),
        ("negotiate,!kerberos", "ntlm", False),
        ("!digest", "auto", False),
    ],
)
def test_package_list_chooses(text: str, mechanism: str, bare: bool) -> None:
    chosen = package_list(text)
    assert (chosen.mechanism, chosen.bare, chosen.unusable) == (mechanism, bare, "")


@pytest.mark.parametrize("text", ["digest", "NegoExtender", "!ntlm,!kerberos", "ntlm,!ntlm"])
def test_package_list_that_leaves_nothing_is_no_credentials(text: str) -> None:
    error = refused(call, inner("Negotiate", sspi.SecWinntAuthIdentity("alice", "LAB", "x", text)).client)
    assert error.status is S.SEC_E_NO_CREDENTIALS
    assert text in str(error)


@pytest.mark.parametrize(("text", "spnego"), [("ntlm", False), ("!kerberos", True), ("", True)])
def test_negotiate_without_kerberos_offers_ntlm_alone(text: str, spnego: bool) -> None:
    identity = sspi.SecWinntAuthIdentity("alice", "LAB", "correct horse", text)
    both = inner("Negotiate", identity)
    first = call(both.client)
    assert first.startswith(b"NTLMSSP\0") is not spnego
    kerberos = bytes.fromhex("06092a864886f712010202")
    if text:
        assert kerberos not in first
    call(both.server, token(first))


def test_identity_without_a_user_restricts_the_default_credentials() -> None:
    authority = lsa()
    authority.accept_credentials(2, "alice", credssp.PasswordCredentials("alice", "correct horse", domain="LAB"))
    for name, start in (("ntlm", b"NTLMSSP\0"), ("!kerberos", b"\x60")):
        handle = credential(authority, sspi.SecWinntAuthIdentity(None, package_list=name), package="Negotiate")
        assert call(Side(authority, handle, WANTED)).startswith(start)


@packages
def test_options_of_servers_hold_in_every_package(package: str) -> None:
    both = inner(package, server=credssp.ServerConfig(spn="HTTP/other.lab.test"))
    assert refused(run, both).status is S.SEC_E_WRONG_PRINCIPAL
    both = inner(package, server=credssp.ServerConfig(spn=TARGET))
    assert run(both).server.status is OK
