import subprocess
import sys
from types import SimpleNamespace

import pytest
import spnego

from credssp.context.acceptor import create_acceptor
from credssp.context.initiator import create_initiator
from credssp.credentials import CCacheCredentials, NTHashCredentials, PasswordCredentials
from credssp.errors import AuthenticationError, LocalProtocolError, PolicyError, RemoteProtocolError
from credssp.identity import Identity
from credssp.kerberos import contexts, pyspnego
from credssp.kerberos.admission import Admission
from credssp.policy import DelegationList, DelegationPolicy
from credssp.server_authentication import ServerAuthentication
from credssp.spnego import OID, NegTokenInit, decode
from credssp.status import SecurityStatus
from tests.kerberos.scripted_gss import ScriptedKerberos, gss_failure
from tests.spnego.scripted_mechanism import Accounts

ALICE = PasswordCredentials("alice", "secret", domain="LAB")
OF_A_REALM = PasswordCredentials("alice", "secret", domain="LAB.TEST")
TARGET = "TERMSRV/srv.lab.test"
REAL_CLIENT = spnego.client


class Tickets(CCacheCredentials):
    def close(self):
        pass


@pytest.fixture
def no_kerberos(monkeypatch):
    monkeypatch.setattr(pyspnego, "kerberos_missing", lambda: "Kerberos needs gssapi")


@pytest.fixture
def kerberos(monkeypatch):
    """Make Kerberos answer from a list."""
    answers = [b"AP-REQ", None]
    made = []

    def new_client(credential, **kwargs):
        if kwargs["protocol"] != "kerberos":
            return REAL_CLIENT(credential, **kwargs)
        made.append(ScriptedKerberos(answers, "initiator"))
        return made[-1]

    monkeypatch.setattr(pyspnego, "kerberos_missing", lambda: None)
    monkeypatch.setattr(contexts.tickets, "check_cache", lambda _: "")
    monkeypatch.setattr(contexts.tickets, "password_tickets", lambda *_, **__: Tickets("MEMORY:tickets"))
    monkeypatch.setattr(contexts.tickets, "service_name", str)
    monkeypatch.setattr(pyspnego, "ask_for", lambda *_: None)
    monkeypatch.setattr(spnego, "client", new_client)
    return answers, made


def create(mechanism, credentials=ALICE, **kwargs):
    return create_initiator(credentials, target_name=TARGET, mechanism=mechanism, **kwargs)


def log_on(initiator, acceptor):
    """Exchange tokens as the engine does; the server's last one comes beside its pubKeyAuth."""
    token = initiator.step(None)
    while token is not None:
        token = acceptor.step(token)
        if token is not None:
            token = initiator.step(token)
    assert acceptor.unwrap(initiator.wrap(b"pubKeyAuth")) == b"pubKeyAuth"
    assert initiator.unwrap(acceptor.wrap(b"pubKeyAuth+1")) == b"pubKeyAuth+1"
    assert acceptor.unwrap(initiator.wrap(b"authInfo")) == b"authInfo"
    assert initiator.complete
    assert acceptor.complete
    assert initiator.session_key == acceptor.session_key


@pytest.mark.usefixtures("no_kerberos")
@pytest.mark.parametrize(("mechanism", "form"), [("auto", "ntlm"), ("negotiate", "spnego"), ("ntlm", "ntlm")])
@pytest.mark.parametrize("credentials", [ALICE, NTHashCredentials("alice", "878d8014606cda29677a44efa1353fc7")])
def test_without_kerberos_ntlm_logs_on_in_the_form_of_windows(mechanism, form, credentials):
    initiator, acceptor = create(mechanism, credentials), create_acceptor(Accounts())
    log_on(initiator, acceptor)
    assert initiator.wire_form == acceptor.wire_form == form
    assert initiator.name == acceptor.name == "ntlm"
    assert acceptor.identity.target_name == TARGET
    assert initiator.server_authentication is ServerAuthentication.NTLM
    if mechanism != "ntlm":
        assert "Kerberos needs gssapi" in str(initiator.skipped[0].error)


@pytest.mark.usefixtures("no_kerberos")
def test_spnego_without_kerberos_offers_ntlm_only():
    token = NegTokenInit.decode(create("negotiate").step(None))
    assert token.mech_types == (OID.NTLM,)
    assert token.mech_token.startswith(b"NTLMSSP\0\1")


@pytest.mark.usefixtures("no_kerberos")
@pytest.mark.parametrize("form", ["spnego", "kerberos"])
def test_kerberos_only_fails_without_kerberos(form):
    with pytest.raises(AuthenticationError, match="needs gssapi"):
        create("kerberos", wire_form=form).step(None)


@pytest.mark.usefixtures("kerberos")
@pytest.mark.parametrize("mechanism", ["auto", "negotiate"])
def test_kerberos_is_offered_before_ntlm(mechanism):
    initiator = create(mechanism, OF_A_REALM)
    assert NegTokenInit.decode(initiator.step(None)) == NegTokenInit((OID.KERBEROS, OID.NTLM), b"AP-REQ")
    assert initiator.wire_form == "spnego"
    assert initiator.skipped == ()


@pytest.mark.parametrize(("mechanism", "form"), [("auto", "ntlm"), ("negotiate", "spnego")])
def test_nobody_is_asked_about_the_realm_of_a_netbios_name(kerberos, monkeypatch, tmp_path, mechanism, form):
    _, made = kerberos
    monkeypatch.setenv("KRB5_CONFIG", str(tmp_path / "none"))
    for credentials in (ALICE, PasswordCredentials("alice@lab", "secret")):
        initiator = create(mechanism, credentials)
        initiator.step(None)
        assert (initiator.wire_form, made) == (form, [])
        assert "LAB is a NetBIOS name" in str(initiator.skipped[0].error)
        assert initiator.skipped[0].error.status is SecurityStatus.SEC_E_NO_AUTHENTICATING_AUTHORITY
    create(mechanism, PasswordCredentials("alice", "secret")).step(None)  # the default realm
    assert len(made) == 1
    create("kerberos", ALICE).step(None)
    assert len(made) == 2


@pytest.mark.parametrize("text", ["[libdefaults]\n default_realm = LAB\n", "[realms]\n LAB = {\n }\n"])
def test_a_realm_without_a_dot_is_one_if_krb5_conf_knows_it(kerberos, monkeypatch, tmp_path, text):
    (tmp_path / "krb5.conf").write_text(text)
    monkeypatch.setenv("KRB5_CONFIG", str(tmp_path / "krb5.conf"))
    assert NegTokenInit.decode(create("auto").step(None)).mech_token == b"AP-REQ"


@pytest.mark.usefixtures("kerberos")
def test_server_without_kerberos_gets_ntlm_with_mics_over_the_whole_list():
    initiator = create("auto", OF_A_REALM, allow_ntlm_downgrade=True)
    acceptor = create_acceptor(Accounts(), mechanisms=["ntlm"])
    log_on(initiator, acceptor)
    assert initiator.wire_form == "spnego"
    assert initiator.name == "ntlm"


@pytest.mark.usefixtures("kerberos")
@pytest.mark.parametrize("mechanism", ["auto", "negotiate"])
def test_server_that_selects_ntlm_although_there_is_a_ticket_is_not_followed(mechanism):
    initiator, acceptor = create(mechanism, OF_A_REALM), create_acceptor(Accounts(), mechanisms=["ntlm"])
    answer = acceptor.step(initiator.step(None))
    with pytest.raises(PolicyError, match="allow_ntlm_downgrade is not set") as caught:
        initiator.step(answer)
    assert caught.value.status is SecurityStatus.SEC_E_DOWNGRADE_DETECTED


@pytest.mark.usefixtures("kerberos")
def test_ntlm_that_would_be_refused_in_the_end_is_not_offered():
    none, certificate = ServerAuthentication.NONE, ServerAuthentication.CERTIFICATE
    for options in (
        {"mutual_auth": True},
        {"policy": DelegationPolicy(allow_fresh_credentials_when_ntlm_only=DelegationList.disabled())},
    ):
        for transport, offers in ((none, 1), (certificate, 2), (None, 2)):
            first = create("auto", OF_A_REALM, transport_authentication=transport, **options).step(None)
            assert len(NegTokenInit.decode(first).mech_types) == offers
        for mechanism in ("auto", "ntlm"):
            with pytest.raises(PolicyError):
                create(mechanism, transport_authentication=none, **options).step(None)
            create(mechanism, transport_authentication=certificate, **options).step(None)
    by_hash = NTHashCredentials("alice", bytes(16))
    with pytest.raises(PolicyError):
        create("auto", by_hash, transport_authentication=none, mutual_auth=True).step(None)


@pytest.mark.usefixtures("kerberos")
def test_kerberos_only_offers_nothing_else():
    assert NegTokenInit.decode(create("kerberos").step(None)).mech_types == (OID.KERBEROS,)
    assert create("kerberos", wire_form="kerberos").step(None) == b"AP-REQ"
    for mechanism in ("auto", "negotiate"):
        assert NegTokenInit.decode(create(mechanism, None).step(None)).mech_types == (OID.KERBEROS,)


@pytest.mark.parametrize(("mechanism", "form"), [("auto", "ntlm"), ("negotiate", "spnego")])
def test_no_ticket_means_ntlm_and_the_reason_is_kept(kerberos, mechanism, form):
    kerberos[0][:] = [gss_failure(156)]
    initiator = create(mechanism)
    log_on(initiator, create_acceptor(Accounts(), mechanisms=["ntlm"]))
    assert initiator.wire_form == form
    assert initiator.skipped[0].error.status is SecurityStatus.SEC_E_NO_AUTHENTICATING_AUTHORITY


def test_kerberos_is_not_tried_with_an_nt_hash(kerberos):
    initiator = create("auto", NTHashCredentials("alice", bytes(16)))
    assert initiator.step(None).startswith(b"NTLMSSP\0")
    assert not kerberos[1]
    assert "NT hash" in str(initiator.skipped[0].error)


def test_arguments_that_make_no_sense_are_refused():
    for arguments in (
        {"mechanism": "digest"},
        {"mechanism": "auto", "wire_form": "kerberos"},
        {"mechanism": "ntlm", "credentials": None},
    ):
        with pytest.raises(LocalProtocolError):
            create(**arguments)
    with pytest.raises(LocalProtocolError):
        create_initiator(ALICE, target_name="")


def test_importing_the_package_does_not_import_pyspnego():
    code = "import sys, credssp.context.initiator, credssp.context.acceptor; print('spnego' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"


# The acceptor's side


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (b"", "is empty"),
        (b"\x30\x03\x02\x01\x06", "begins with 0x30"),
        (b"NTLMSSP", "begins with 0x4E"),
        (b"\x60", "neither SPNEGO nor Kerberos"),
        (bytes.fromhex("600806062b0601050505"), "neither SPNEGO nor Kerberos"),
        (b"\xa1\x02\x30\x00", "begins with 0xA1"),
    ],
)
def test_first_token_of_nothing_we_know_is_named(token, message):
    acceptor = create_acceptor(Accounts())
    with pytest.raises(RemoteProtocolError, match=message):
        acceptor.step(token)
    with pytest.raises(LocalProtocolError, match="failed before"):
        acceptor.step(b"NTLMSSP\0")


def test_spnego_without_framing_is_answered_in_spnego():
    token = NegTokenInit((OID.NTLM,), create("ntlm").step(None), framed=False).encode()
    acceptor = create_acceptor(Accounts())
    assert decode(acceptor.step(token)).supported_mech == OID.NTLM
    assert acceptor.wire_form == "spnego"


@pytest.mark.parametrize("header", ["600c", "60810c", "6082000c", "608300000c"])
@pytest.mark.parametrize("oid", ["06092a864886f712010202", "06092a864882f712010202"])
def test_bare_kerberos_goes_to_gss_api_as_it_is(monkeypatch, header, oid):
    context = ScriptedKerberos([b"AP-REP"], "acceptor", principal="alice@LAB.TEST")
    monkeypatch.setattr(pyspnego, "kerberos_missing", lambda: None)
    monkeypatch.setattr(spnego, "server", lambda **_: context)
    monkeypatch.setattr(contexts, "AcceptorKeys", lambda keytab, names: SimpleNamespace(keys=[], credential=list))
    admission = Admission(Identity(username="alice", domain="LAB.TEST", mechanism="kerberos"), None, dce_style=False)
    monkeypatch.setattr(contexts, "admit", lambda token, keys, **_: admission)
    acceptor = create_acceptor(Accounts(), spn="TERMSRV/srv")
    token = bytes.fromhex(header + oid) + b"\1"
    assert acceptor.step(token) == b"AP-REP"
    assert context.received == [token]
    assert acceptor.complete
    assert (acceptor.wire_form, acceptor.identity.domain) == ("kerberos", "LAB.TEST")


@pytest.mark.usefixtures("no_kerberos")
def test_bare_kerberos_without_the_libraries_is_a_clean_error():
    acceptor = create_acceptor(Accounts())
    with pytest.raises(AuthenticationError, match="Kerberos needs gssapi"):
        acceptor.step(bytes.fromhex("600c06092a864886f71201020201"))


def test_bare_ntlm_where_it_is_not_accepted_is_a_clean_error(monkeypatch):
    monkeypatch.setattr(pyspnego, "kerberos_missing", lambda: None)
    with pytest.raises(AuthenticationError, match="not accepted"):
        create_acceptor(Accounts(), mechanisms=["kerberos"]).step(create("ntlm").step(None))


@pytest.mark.usefixtures("no_kerberos")
def test_acceptor_without_any_mechanism_is_not_made():
    with pytest.raises(LocalProtocolError, match="Kerberos needs gssapi"):
        create_acceptor(Accounts(), mechanisms=["kerberos"])
    with pytest.raises(LocalProtocolError, match="no mechanism"):
        create_acceptor(Accounts(), mechanisms=[])
    with pytest.raises(LocalProtocolError, match="ntlm and kerberos"):
        create_acceptor(Accounts(), mechanisms=["digest"])


def test_acceptor_demands_one_of_its_spns():
    for spn in (TARGET, [TARGET, "TERMSRV/srv"], iter([TARGET])):
        log_on(create("ntlm"), create_acceptor(Accounts(), spn=spn))
    with pytest.raises(AuthenticationError):
        log_on(create("ntlm"), create_acceptor(Accounts(), spn="TERMSRV/other"))


def test_acceptor_calls_out_of_turn_are_the_callers_fault():
    acceptor = create_acceptor(Accounts())
    for call in (lambda: acceptor.wrap(b""), lambda: acceptor.session_key, lambda: acceptor.step(None)):
        with pytest.raises(LocalProtocolError):
            call()
    acceptor = create_acceptor(Accounts())
    assert "not started" in repr(acceptor)
    with pytest.raises(LocalProtocolError):
        acceptor._chosen()


def test_wrong_password_fails_for_good():
    initiator, acceptor = create("negotiate", PasswordCredentials("alice", "wrong")), create_acceptor(Accounts())
    token = initiator.step(acceptor.step(initiator.step(None)))
    with pytest.raises(AuthenticationError):
        acceptor.step(token)
    assert acceptor.identity is None
    with pytest.raises(LocalProtocolError):
        acceptor.step(token)
