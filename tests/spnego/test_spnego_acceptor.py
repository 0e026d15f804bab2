import pytest

from credssp.errors import AuthenticationError, LimitExceededError, LocalProtocolError, RemoteProtocolError
from credssp.mechanism import MAX_LEGS
from credssp.ntlm.session import NTLMSession
from credssp.spnego import OID, NegHints, NegState, NegTokenInit, NegTokenResp, SpnegoAcceptor, SpnegoInitiator
from credssp.spnego.mech_types import encode_mech_types
from credssp.status import SecurityStatus
from tests.spnego import recorded_spnego as recorded
from tests.spnego.scripted_mechanism import KEY, ScriptedMechanism, candidate, client_mechanism, server_mechanism

ONLY_NTLM = recorded.MECH_TYPES
WINDOWS = (OID.MS_KERBEROS, OID.KERBEROS, OID.NEGOEX, OID.NTLM)


def acceptor(*mechanisms, **kwargs):
    return SpnegoAcceptor([candidate(mechanism) for mechanism in mechanisms or [server_mechanism()]], **kwargs)


def init(mech_types=(OID.NTLM,), token=b"negotiate", **kwargs):
    return NegTokenInit(mech_types, token, **kwargs).encode()


def resp(token=None, mic=None, state=NegState.ACCEPT_INCOMPLETE, mech=None):
    return NegTokenResp(state, mech, token, mic).encode()


def client_session():
    return NTLMSession(KEY, role="initiator")


def before_authenticate(*, mic_required=True, **kwargs):
    """Return an NTLM-only acceptor that has sent its CHALLENGE."""
    server = acceptor(server_mechanism(mic_required=mic_required), **kwargs)
    server.step(init())
    return server


def test_recorded_exchange_is_answered_octet_by_octet():
    ntlm = ScriptedMechanism(
        "ntlm", "acceptor", [recorded.CHALLENGE, None], mic_required=True, key=recorded.EXPORTED_SESSION_KEY
    )
    server = acceptor(ntlm)
    first = NegTokenResp.decode(server.step(recorded.INIT))
    # pyspnego said request-mic here; NTLM was the client's first choice, so there is no need to.
    assert first == NegTokenResp(NegState.ACCEPT_INCOMPLETE, OID.NTLM, recorded.CHALLENGE)
    assert not server.can_wrap
    assert server.step(recorded.AUTHENTICATE_RESP) == recorded.FINAL_RESP
    assert ntlm.received == [recorded.NEGOTIATE, recorded.AUTHENTICATE]
    assert server.complete
    assert server.can_wrap
    assert server.unwrap(recorded.CLIENT_KEY_AUTH) == recorded.CLIENT_KEY_AUTH_PLAIN
    assert server.wrap(recorded.SERVER_KEY_AUTH_PLAIN) == recorded.SERVER_KEY_AUTH
    assert server.unwrap(recorded.AUTH_INFO) == recorded.AUTH_INFO_PLAIN
    assert server.session_key == recorded.EXPORTED_SESSION_KEY
    assert server.identity.username == "alice"
    assert (server.name, server.wire_form) == ("ntlm", "spnego")


@pytest.mark.parametrize("spoiled", range(16))
def test_tampered_mechlistmic_is_refused_before_anything_is_unwrapped(spoiled):
    server = before_authenticate()
    client = client_session()
    mic = bytearray(client.make_mech_list_mic(ONLY_NTLM))
    mic[spoiled] ^= 1
    with pytest.raises(RemoteProtocolError):
        server.step(resp(b"authenticate", bytes(mic)))
    assert server.identity is None
    for call in (
        lambda: server.unwrap(client.wrap(b"pubKeyAuth")),
        lambda: server.wrap(b""),
        lambda: server.session_key,
    ):
        with pytest.raises(LocalProtocolError):
            call()


@pytest.mark.parametrize(
    "signed",
    [(OID.KERBEROS, OID.NTLM), (OID.NTLM, OID.KERBEROS, OID.NEGOEX), (OID.NTLM,)],
    ids=["swapped", "more", "less"],
)
def test_mechlistmic_over_another_list_than_received_is_refused(signed):
    server = acceptor(server_mechanism(mic_required=True))
    server.step(init((OID.NTLM, OID.KERBEROS)))
    mic = client_session().make_mech_list_mic(encode_mech_types(signed))
    with pytest.raises(RemoteProtocolError) as caught:
        server.step(resp(b"authenticate", mic))
    assert caught.value.status is SecurityStatus.SEC_E_MESSAGE_ALTERED


def test_ntlm_mic_without_mechlistmic_is_refused():
    server = before_authenticate()
    with pytest.raises(RemoteProtocolError, match="without mechListMIC") as caught:
        server.step(resp(b"authenticate"))
    assert caught.value.status is SecurityStatus.SEC_E_MESSAGE_ALTERED


def test_ntlm_mic_without_mechlistmic_is_taken_where_the_operator_says_so():
    server = before_authenticate(require_mic=False)
    assert NegTokenResp.decode(server.step(resp(b"authenticate"))) == NegTokenResp(NegState.ACCEPT_COMPLETED)
    assert server.unwrap(client_session().wrap(b"sequence number 0")) == b"sequence number 0"


def test_mechlistmic_after_request_mic_is_never_optional():
    server = acceptor(require_mic=False)
    server.step(init((OID.NEGOEX, OID.NTLM)))
    server.step(resp(b"negotiate"))
    with pytest.raises(RemoteProtocolError, match="without mechListMIC"):
        server.step(resp(b"authenticate"))


def test_copied_mechlistmic_counts_as_absent():
    server = before_authenticate()
    with pytest.raises(RemoteProtocolError, match="without mechListMIC"):
        server.step(resp(b"authenticate", b"authenticate"))


def test_login_without_any_mic_completes_where_none_is_demanded():
    server = before_authenticate(mic_required=False)
    assert NegTokenResp.decode(server.step(resp(b"authenticate"))) == NegTokenResp(NegState.ACCEPT_COMPLETED)


def test_mechlistmic_that_nobody_asked_for_is_verified_and_answered():
    server = before_authenticate(mic_required=False)
    answer = NegTokenResp.decode(server.step(resp(b"authenticate", client_session().make_mech_list_mic(ONLY_NTLM))))
    assert answer.mech_list_mic == NTLMSession(KEY, role="acceptor").make_mech_list_mic(ONLY_NTLM)


# Choosing


def test_unknown_first_mechanism_leads_to_the_second():
    server = acceptor(server_mechanism(mic_required=True))
    first = NegTokenResp.decode(server.step(init((OID.NEGOEX, OID.NTLM), b"not for us")))
    assert first == NegTokenResp(NegState.REQUEST_MIC, OID.NTLM)
    second = NegTokenResp.decode(server.step(resp(b"negotiate")))
    assert second == NegTokenResp(NegState.ACCEPT_INCOMPLETE, None, b"server 1")
    mic = client_session().make_mech_list_mic(encode_mech_types((OID.NEGOEX, OID.NTLM)))
    last = NegTokenResp.decode(server.step(resp(b"authenticate", mic)))
    assert last.neg_state is NegState.ACCEPT_COMPLETED
    assert last.mech_list_mic is not None


def test_windows_client_without_kerberos_here_is_asked_for_ntlm():
    assert NegTokenResp.decode(acceptor().step(init(WINDOWS))) == NegTokenResp(NegState.REQUEST_MIC, OID.NTLM)


def test_kerberos_is_answered_with_the_oid_that_was_offered_first():
    server = acceptor(server_mechanism("kerberos", [b"AP-REP"]), server_mechanism())
    answer = NegTokenResp.decode(server.step(init(WINDOWS, b"AP-REQ")))
    assert answer == NegTokenResp(NegState.ACCEPT_COMPLETED, OID.MS_KERBEROS, b"AP-REP")
    assert server.complete


def test_own_order_decides():
    kerberos = server_mechanism("kerberos", [b"AP-REP"])
    server = acceptor(kerberos, server_mechanism())
    answer = NegTokenResp.decode(server.step(init((OID.NTLM, OID.KERBEROS), b"for ntlm")))
    assert answer == NegTokenResp(NegState.REQUEST_MIC, OID.KERBEROS)
    assert kerberos.received == []
    # Kerberos ends with our token: our MIC goes with it, the client's must follow.
    types = encode_mech_types((OID.NTLM, OID.KERBEROS))
    client = client_session()
    answer = NegTokenResp.decode(server.step(resp(b"AP-REQ")))
    assert (answer.neg_state, answer.response_token) == (NegState.ACCEPT_INCOMPLETE, b"AP-REP")
    client.verify_mech_list_mic(types, answer.mech_list_mic)
    assert not server.can_wrap
    last = NegTokenResp.decode(server.step(resp(None, client.make_mech_list_mic(types), NegState.ACCEPT_COMPLETED)))
    assert last == NegTokenResp(NegState.ACCEPT_COMPLETED)
    assert server.complete


def test_clients_mic_after_ours_is_not_optional():
    server = acceptor(server_mechanism("kerberos", [b"AP-REP"]))
    server.step(init((OID.NTLM, OID.KERBEROS)))
    server.step(resp(b"AP-REQ"))
    with pytest.raises(RemoteProtocolError, match="without mechListMIC"):
        server.step(resp())


def test_no_common_mechanism_is_refused():
    server = acceptor()
    with pytest.raises(AuthenticationError, match="none of the 2 mechanisms") as caught:
        server.step(init((OID.NEGOEX, OID.KERBEROS)))
    assert caught.value.status is SecurityStatus.SEC_E_SECPKG_NOT_FOUND


def test_first_token_without_mechanism_token_is_answered_with_the_choice():
    server = acceptor(server_mechanism(mic_required=True))
    assert NegTokenResp.decode(server.step(init(token=None))) == NegTokenResp(NegState.ACCEPT_INCOMPLETE, OID.NTLM)
    assert NegTokenResp.decode(server.step(resp(b"negotiate"))).response_token == b"server 1"


def test_first_token_without_gss_api_framing_is_taken():
    assert NegTokenResp.decode(acceptor().step(init(framed=False))).response_token == b"server 1"


# What the client must not do


def test_the_hints_of_a_client_are_ignored():
    assert acceptor().step(init(neg_hints=NegHints())) == acceptor().step(init())


@pytest.mark.parametrize("mech_types", [(OID.NTLM,), (OID.NEGOEX, OID.NTLM)])
def test_mechlistmic_in_the_first_token_is_refused(mech_types):
    with pytest.raises(RemoteProtocolError, match="mechListMIC before"):
        acceptor().step(init(mech_types, mech_list_mic=b"m" * 16))


@pytest.mark.parametrize(
    ("token", "error", "message"),
    [
        (resp(), RemoteProtocolError, "not complete"),
        (resp(b""), RemoteProtocolError, "not complete"),
        (resp(b"authenticate", mech=OID.KERBEROS), RemoteProtocolError, "to choose"),
        (resp(b"authenticate", state=NegState.REJECT), AuthenticationError, "gives up"),
        (recorded.INIT, RemoteProtocolError, "NegTokenResp"),
        (b"", RemoteProtocolError, "cut short"),
        (resp(b"authenticate") + b"\0", RemoteProtocolError, "left over"),
    ],
)
def test_second_token_that_cannot_be_is_refused(token, error, message):
    server = before_authenticate()
    with pytest.raises(error, match=message):
        server.step(token)
    with pytest.raises(LocalProtocolError, match="failed before"):
        server.step(resp(b"authenticate"))


def test_supported_mech_repeated_by_the_client_is_taken():
    server = before_authenticate(mic_required=False)
    assert server.step(resp(b"authenticate", mech=OID.NTLM)) is not None


def test_token_after_the_mechanism_is_complete_is_refused():
    server = acceptor(server_mechanism("kerberos", [b"AP-REP"]))
    server.step(init((OID.NTLM, OID.KERBEROS)))
    server.step(resp(b"AP-REQ"))
    with pytest.raises(RemoteProtocolError, match="which is complete"):
        server.step(resp(b"more", b"m" * 16))


def test_nothing_is_taken_after_the_end():
    server = before_authenticate(mic_required=False)
    server.step(resp(b"authenticate"))
    with pytest.raises(LocalProtocolError, match="complete"):
        server.step(resp(b"authenticate"))


def test_endless_exchange_is_bounded():
    server = acceptor(server_mechanism(answers=[b"again"] * 100))
    server.step(init())
    for _ in range(MAX_LEGS - 1):
        server.step(resp(b"go on"))
    with pytest.raises(LimitExceededError):
        server.step(resp(b"go on"))


def test_calls_out_of_turn_are_the_callers_fault():
    server = acceptor()
    for call in (lambda: server.wrap(b""), lambda: server.unwrap(b""), lambda: server.session_key):
        with pytest.raises(LocalProtocolError):
            call()
    with pytest.raises(LocalProtocolError, match="client's token"):
        server.step(None)
    with pytest.raises(LocalProtocolError, match="not over"):
        before_authenticate().finish()


# Both sides


@pytest.mark.parametrize("mic_required", [True, False])
@pytest.mark.parametrize("offered", [["ntlm"], ["kerberos", "ntlm"], ["ntlm", "kerberos"]], ids="+".join)
@pytest.mark.parametrize("accepted", [["ntlm"], ["kerberos", "ntlm"], ["kerberos"]], ids="+".join)
def test_initiator_and_acceptor_agree_on_everything_they_can(offered, accepted, mic_required):
    answers = {
        "client": {"ntlm": [b"negotiate", b"authenticate"], "kerberos": [b"AP-REQ", None]},
        "server": {"ntlm": [b"challenge", None], "kerberos": [b"AP-REP"]},
    }
    client = SpnegoInitiator(
        [candidate(client_mechanism(n, answers["client"][n], mic_required=mic_required)) for n in offered]
    )
    server = SpnegoAcceptor(
        [candidate(server_mechanism(n, answers["server"][n], mic_required=mic_required)) for n in accepted]
    )
    common = [name for name in accepted if name in offered]
    token = client.step(None)
    if not common:
        with pytest.raises(AuthenticationError):
            server.step(token)
        return
    while token is not None:
        token = server.step(token)
        token = None if client.complete or token is None else client.step(token)
    assert client.complete
    assert server.complete
    assert client.name == server.name == common[0]
    assert server.unwrap(client.wrap(b"ping")) == b"ping"
    assert client.unwrap(server.wrap(b"pong")) == b"pong"
