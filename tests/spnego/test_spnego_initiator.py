import pytest

from credssp.errors import (
    AuthenticationError,
    CredSSPError,
    LimitExceededError,
    LocalProtocolError,
    RemoteProtocolError,
)
from credssp.mechanism import MAX_LEGS
from credssp.ntlm.session import NTLMSession
from credssp.server_authentication import ServerAuthentication
from credssp.spnego import OID, Candidate, NegState, NegTokenInit, NegTokenResp, SpnegoInitiator
from credssp.spnego.mech_types import encode_mech_types
from credssp.status import SecurityStatus
from tests.spnego import recorded_spnego as recorded
from tests.spnego.scripted_mechanism import KEY, ScriptedMechanism, candidate, client_mechanism

BOTH = encode_mech_types((OID.KERBEROS, OID.NTLM))
ONLY_NTLM = recorded.MECH_TYPES


def server_session(key=KEY):
    return NTLMSession(key, role="acceptor")


def started(*mechanisms, **kwargs):
    """Return an initiator after its first token."""
    initiator = SpnegoInitiator([candidate(mechanism) for mechanism in mechanisms], **kwargs)
    initiator.step(None)
    return initiator


def reply(state=NegState.ACCEPT_INCOMPLETE, mech=None, token=None, mic=None):
    return NegTokenResp(state, mech, token, mic).encode()


def after_authenticate(*, mic_required=True):
    """Return an NTLM-only initiator that has sent its last token, and that token."""
    initiator = started(client_mechanism(mic_required=mic_required))
    return initiator, NegTokenResp.decode(initiator.step(reply(mech=OID.NTLM, token=b"challenge")))


def test_recorded_exchange_is_replayed_octet_by_octet():
    ntlm = ScriptedMechanism(
        "ntlm", "initiator", [recorded.NEGOTIATE, recorded.AUTHENTICATE], key=recorded.EXPORTED_SESSION_KEY
    )
    initiator = SpnegoInitiator([candidate(ntlm)])
    assert initiator.step(None) == recorded.INIT
    assert initiator.wire_form == "spnego"
    assert not initiator.can_wrap
    assert initiator.step(recorded.CHALLENGE_RESP) == recorded.AUTHENTICATE_RESP
    assert ntlm.received == [None, recorded.CHALLENGE]
    assert initiator.can_wrap
    assert not initiator.complete
    assert initiator.wrap(recorded.CLIENT_KEY_AUTH_PLAIN) == recorded.CLIENT_KEY_AUTH
    assert initiator.step(recorded.FINAL_RESP) is None
    assert initiator.complete
    assert initiator.unwrap(recorded.SERVER_KEY_AUTH) == recorded.SERVER_KEY_AUTH_PLAIN
    assert initiator.wrap(recorded.AUTH_INFO_PLAIN) == recorded.AUTH_INFO
    assert initiator.session_key == recorded.EXPORTED_SESSION_KEY
    assert initiator.name == "ntlm"
    assert initiator.identity is None


def test_mechlistmic_and_first_wrap_are_those_of_the_specification():
    initiator, token = after_authenticate()
    assert token.mech_list_mic.hex() == "0100000022a3984fefbb9c3200000000"
    # Same key stream position as without the MIC, next sequence number (ntlm_spnego.md 6, cssp.md 6).
    plain = bytes.fromhex("f1b80bc38a2e396e5c3ffe9278d79e693161d612fe83895f984fcac7c805cf37")
    assert initiator.wrap(plain).hex() == (
        "01000000a883fc0c890764cb01000000f55d66a6543766b2ab5faa539ccce96fbe3ed9945817be549230fe04ace53095"
    )
    final = reply(NegState.ACCEPT_COMPLETED, mic=bytes.fromhex("010000007dd6da05648a73ae00000000"))
    assert initiator.step(final) is None
    assert initiator.complete


@pytest.mark.parametrize("spoiled", range(16))
def test_tampered_mechlistmic_ends_everything(spoiled):
    initiator, _ = after_authenticate()
    mic = bytearray(server_session().make_mech_list_mic(ONLY_NTLM))
    mic[spoiled] ^= 1
    with pytest.raises(RemoteProtocolError) as caught:
        initiator.step(reply(NegState.ACCEPT_COMPLETED, mic=bytes(mic)))
    assert caught.value.status in (SecurityStatus.SEC_E_MESSAGE_ALTERED, SecurityStatus.SEC_E_OUT_OF_SEQUENCE)
    assert not initiator.can_wrap
    for call in (lambda: initiator.wrap(b"secret"), lambda: initiator.unwrap(b"x" * 32), lambda: initiator.session_key):
        with pytest.raises(LocalProtocolError):
            call()


def test_mechlistmic_over_another_list_is_refused():
    initiator, _ = after_authenticate()
    mic = server_session().make_mech_list_mic(encode_mech_types((OID.NTLM, OID.KERBEROS)))
    with pytest.raises(RemoteProtocolError):
        initiator.step(reply(NegState.ACCEPT_COMPLETED, mic=mic))


def test_reflected_mechlistmic_is_refused():
    initiator, token = after_authenticate()
    with pytest.raises(RemoteProtocolError):
        initiator.step(reply(NegState.ACCEPT_COMPLETED, mic=token.mech_list_mic))


def test_last_token_without_the_mic_that_is_due_is_refused():
    initiator, _ = after_authenticate()
    with pytest.raises(RemoteProtocolError, match="without its mechListMIC"):
        initiator.step(reply(NegState.ACCEPT_COMPLETED))


def test_mic_that_copies_the_token_counts_as_absent():
    initiator, _ = after_authenticate()
    with pytest.raises(RemoteProtocolError, match="without its mechListMIC"):
        initiator.step(reply(NegState.ACCEPT_COMPLETED, token=b"copy", mic=b"copy"))


def test_copied_mic_beside_challenge_is_ignored():
    initiator = started(client_mechanism(mic_required=True))
    assert initiator.step(reply(mech=OID.NTLM, token=b"challenge", mic=b"challenge")) is not None
    assert initiator.can_wrap


def test_no_mic_is_sent_or_wanted_where_authenticate_has_none():
    initiator, token = after_authenticate(mic_required=False)
    assert token == NegTokenResp(NegState.ACCEPT_INCOMPLETE, response_token=b"client 2")
    assert initiator.step(reply(NegState.ACCEPT_COMPLETED)) is None
    assert initiator.complete


def test_request_mic_demands_a_mic_of_both():
    initiator = started(client_mechanism(mic_required=False))
    token = NegTokenResp.decode(initiator.step(reply(NegState.REQUEST_MIC, OID.NTLM, b"challenge")))
    assert token.mech_list_mic == NTLMSession(KEY, role="initiator").make_mech_list_mic(ONLY_NTLM)
    with pytest.raises(RemoteProtocolError, match="without its mechListMIC"):
        initiator.step(reply(NegState.ACCEPT_COMPLETED))


def test_request_mic_after_the_first_reply_is_refused():
    initiator, _ = after_authenticate()
    with pytest.raises(RemoteProtocolError, match="request-mic after"):
        initiator.step(reply(NegState.REQUEST_MIC))


def test_server_that_is_not_content_without_our_mic_gets_it():
    initiator, _ = after_authenticate(mic_required=False)
    answer = NegTokenResp.decode(initiator.step(reply()))
    assert answer.mech_list_mic == NTLMSession(KEY, role="initiator").make_mech_list_mic(ONLY_NTLM)
    with pytest.raises(RemoteProtocolError, match="none to send"):
        initiator.step(reply())


# Without the server's last token


def test_unwrap_without_last_token_is_taken_where_one_mechanism_was_offered():
    initiator, _ = after_authenticate()
    assert initiator.unwrap(server_session().wrap(b"pubKeyAuth")) == b"pubKeyAuth"
    assert initiator.complete
    assert initiator.server_authentication is ServerAuthentication.NTLM


def fallen_back():
    """Return an initiator that offered Kerberos and NTLM and has sent NTLM's last token."""
    initiator = started(client_mechanism("kerberos"), client_mechanism())
    initiator.step(reply(NegState.REQUEST_MIC, OID.NTLM))
    return initiator, NegTokenResp.decode(initiator.step(reply(token=b"challenge")))


def test_unwrap_without_last_token_is_refused_where_the_list_could_have_been_changed():
    initiator, _ = fallen_back()
    with pytest.raises(RemoteProtocolError, match="list of mechanisms"):
        initiator.unwrap(server_session().wrap(b"pubKeyAuth"))
    with pytest.raises(LocalProtocolError):
        initiator.wrap(b"credentials")


def test_finish_is_for_the_end_only_and_can_be_repeated():
    initiator = started(client_mechanism())
    with pytest.raises(LocalProtocolError, match="not over"):
        initiator.finish()
    initiator, _ = after_authenticate()
    initiator.finish()
    initiator.finish()
    assert initiator.complete


# Several mechanisms


def test_first_mechanism_gives_the_optimistic_token_and_the_others_are_not_made():
    made = []
    initiator = SpnegoInitiator(
        [candidate(client_mechanism("kerberos")), Candidate("ntlm", OID.NTLM, lambda: made.append(1))]
    )
    token = NegTokenInit.decode(initiator.step(None))
    assert token == NegTokenInit((OID.KERBEROS, OID.NTLM), b"client 1")
    assert not made


def test_server_that_takes_the_second_mechanism_gets_its_first_token_and_mics_over_the_list_as_sent():
    initiator = started(client_mechanism("kerberos"), client_mechanism())
    answer = initiator.step(reply(NegState.REQUEST_MIC, OID.NTLM))
    assert NegTokenResp.decode(answer) == NegTokenResp(NegState.ACCEPT_INCOMPLETE, response_token=b"client 1")
    assert initiator.name == "ntlm"
    assert not initiator.can_wrap
    last = NegTokenResp.decode(initiator.step(reply(mech=OID.NTLM, token=b"challenge")))
    server = server_session()
    server.verify_mech_list_mic(BOTH, last.mech_list_mic)
    assert initiator.step(reply(NegState.ACCEPT_COMPLETED, mic=server.make_mech_list_mic(BOTH))) is None
    assert initiator.complete


def test_fallback_without_the_servers_mic_is_refused():
    initiator, _ = fallen_back()
    with pytest.raises(RemoteProtocolError, match="list of mechanisms"):
        initiator.step(reply(NegState.ACCEPT_COMPLETED))


@pytest.mark.parametrize("mech", [OID.NEGOEX, OID.KERBEROS, "1.2.3.4"])
def test_supported_mech_we_never_offered_is_refused(mech):
    initiator = started(client_mechanism())
    with pytest.raises(RemoteProtocolError, match="not one of the mechanisms"):
        initiator.step(reply(mech=mech, token=b"challenge"))


@pytest.mark.parametrize("mech", [OID.NTLM, OID.KERBEROS, OID.NEGOEX])
def test_supported_mech_after_the_first_reply_is_taken_and_ignored(mech):
    initiator, _ = after_authenticate(mic_required=False)
    assert initiator.step(reply(NegState.ACCEPT_COMPLETED, mech)) is None
    assert initiator.complete
    assert initiator.name == "ntlm"


def test_token_beside_a_newly_chosen_mechanism_is_refused():
    initiator = started(client_mechanism("kerberos"), client_mechanism())
    with pytest.raises(RemoteProtocolError, match="has not started"):
        initiator.step(reply(NegState.REQUEST_MIC, OID.NTLM, b"challenge"))


def test_server_that_is_content_with_a_mechanism_not_started_is_refused():
    initiator = started(client_mechanism("kerberos"), client_mechanism())
    with pytest.raises(RemoteProtocolError, match="content before"):
        initiator.step(reply(NegState.ACCEPT_COMPLETED, OID.NTLM))


def test_mechanisms_that_cannot_start_are_not_offered_and_remembered():
    why = AuthenticationError("no ticket")
    initiator = SpnegoInitiator(
        [candidate(client_mechanism("kerberos", start_error=why)), candidate(client_mechanism())]
    )
    assert NegTokenInit.decode(initiator.step(None)).mech_types == (OID.NTLM,)
    assert [(skipped.name, skipped.error) for skipped in initiator.skipped] == [("kerberos", why)]


def test_nothing_to_offer_raises_the_last_reason():
    why = AuthenticationError("no ticket")
    initiator = SpnegoInitiator([candidate(client_mechanism("kerberos", start_error=why))])
    with pytest.raises(AuthenticationError, match="no ticket"):
        initiator.step(None)
    with pytest.raises(LocalProtocolError, match="no mechanism"):
        SpnegoInitiator([]).step(None)


def test_last_mechanism_left_is_spoken_bare_where_that_is_asked_for():
    initiator = SpnegoInitiator(
        [candidate(client_mechanism("kerberos", start_error=AuthenticationError("no"))), candidate(client_mechanism())],
        bare=("ntlm",),
    )
    assert initiator.step(None) == b"client 1"
    assert initiator.wire_form == "ntlm"
    assert initiator.step(b"challenge") == b"client 2"
    assert initiator.complete
    assert initiator.can_wrap
    assert initiator.unwrap(server_session().wrap(b"first, sequence number 0")) == b"first, sequence number 0"


# Kerberos: the server has the last token


def kerberos(**kwargs):
    return started(client_mechanism("kerberos", [b"AP-REQ", None], **kwargs), client_mechanism())


@pytest.mark.parametrize("oid", [OID.KERBEROS, OID.MS_KERBEROS])
def test_kerberos_is_complete_with_the_first_reply(oid):
    initiator = kerberos()
    assert initiator.step(reply(NegState.ACCEPT_COMPLETED, oid, b"AP-REP")) is None
    assert initiator.complete
    assert initiator.can_wrap


def test_mic_beside_ap_rep_is_verified_and_answered_if_the_server_waits():
    initiator, server = kerberos(), server_session()
    answer = initiator.step(reply(mech=OID.KERBEROS, token=b"AP-REP", mic=server.make_mech_list_mic(BOTH)))
    token = NegTokenResp.decode(answer)
    assert token.neg_state is NegState.ACCEPT_COMPLETED
    server.verify_mech_list_mic(BOTH, token.mech_list_mic)
    assert initiator.complete


def test_mic_beside_ap_rep_is_verified_though_the_server_is_content():
    initiator, server = kerberos(), server_session()
    mic = server.make_mech_list_mic(BOTH)
    assert initiator.step(reply(NegState.ACCEPT_COMPLETED, OID.KERBEROS, b"AP-REP", mic)) is None
    initiator = kerberos()
    with pytest.raises(RemoteProtocolError):
        initiator.step(reply(NegState.ACCEPT_COMPLETED, OID.KERBEROS, b"AP-REP", mic[:-5] + b"x" + mic[-4:]))


def test_request_mic_beside_ap_rep_is_answered_and_awaited():
    initiator, server = kerberos(), server_session()
    token = NegTokenResp.decode(initiator.step(reply(NegState.REQUEST_MIC, OID.KERBEROS, b"AP-REP")))
    server.verify_mech_list_mic(BOTH, token.mech_list_mic)
    assert not initiator.complete
    assert initiator.step(reply(NegState.ACCEPT_COMPLETED, mic=server.make_mech_list_mic(BOTH))) is None
    assert initiator.complete


def test_last_mic_may_come_without_state():
    initiator, _ = fallen_back()
    server = server_session()
    assert initiator.step(reply(None, mic=server.make_mech_list_mic(BOTH))) is None
    assert initiator.complete


# What the server must not do


def test_reject_is_an_authentication_error():
    with pytest.raises(AuthenticationError, match="reject"):
        started(client_mechanism()).step(reply(NegState.REJECT))


def test_reject_with_kerberos_error_token_says_what_kerberos_says():
    initiator = kerberos()
    initiator._mechanism.start_error = AuthenticationError("clock skew", status=SecurityStatus.SEC_E_TIME_SKEW)
    with pytest.raises(AuthenticationError, match="clock skew"):
        initiator.step(reply(NegState.REJECT, OID.KERBEROS, b"KRB-ERROR"))
    with pytest.raises(AuthenticationError, match="reject"):
        kerberos().step(reply(NegState.REJECT, OID.KERBEROS, b"KRB-ERROR"))


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (reply(mech=OID.NTLM), "not complete"),
        (reply(mech=OID.NTLM, token=b""), "not complete"),
        (reply(NegState.ACCEPT_COMPLETED, OID.NTLM, b"challenge"), "content before"),
    ],
)
def test_first_reply_that_cannot_be_is_refused(token, message):
    initiator = started(client_mechanism(answers=[b"client 1", b"client 2"]))
    with pytest.raises(RemoteProtocolError, match=message):
        initiator.step(token)


def test_mic_before_the_mechanism_is_complete_is_refused():
    initiator = started(client_mechanism(answers=[b"1", b"2", b"3"]))
    with pytest.raises(RemoteProtocolError, match="before ntlm is complete"):
        initiator.step(reply(mech=OID.NTLM, token=b"challenge", mic=b"m" * 16))


def test_second_mic_is_refused():
    initiator, server = kerberos(), server_session()
    initiator._mic_received = True
    with pytest.raises(RemoteProtocolError, match="second"):
        initiator.step(reply(mech=OID.KERBEROS, token=b"AP-REP", mic=server.make_mech_list_mic(BOTH)))


def test_token_after_the_mechanism_is_complete_is_refused():
    initiator, _ = after_authenticate()
    with pytest.raises(RemoteProtocolError, match="which is complete"):
        initiator.step(reply(NegState.ACCEPT_COMPLETED, token=b"more"))


def test_endless_exchange_is_bounded():
    initiator = started(client_mechanism(answers=[b"again"] * 100))
    for _ in range(MAX_LEGS):
        assert initiator.step(reply(token=b"go on")) is not None
    with pytest.raises(LimitExceededError):
        initiator.step(reply(token=b"go on"))


@pytest.mark.parametrize("token", [b"", b"NTLMSSP\0\2\0\0\0", recorded.INIT, b"\xa1\x80"])
def test_something_else_than_a_reply_is_refused(token):
    with pytest.raises(RemoteProtocolError):
        started(client_mechanism()).step(token)


def test_calls_out_of_turn_are_the_callers_fault():
    initiator = SpnegoInitiator([candidate(client_mechanism())])
    for call in (lambda: initiator.wrap(b""), lambda: initiator.unwrap(b""), lambda: initiator.session_key):
        with pytest.raises(LocalProtocolError):
            call()
    with pytest.raises(LocalProtocolError, match="takes no token"):
        initiator.step(b"token")
    with pytest.raises(LocalProtocolError, match="is due"):
        started(client_mechanism()).step(None)
    initiator, _ = after_authenticate(mic_required=False)
    initiator.step(reply(NegState.ACCEPT_COMPLETED))
    with pytest.raises(LocalProtocolError, match="complete"):
        initiator.step(reply(NegState.ACCEPT_COMPLETED))


def test_failed_initiator_stays_failed():
    initiator = started(client_mechanism())
    with pytest.raises(RemoteProtocolError):
        initiator.step(b"junk")
    for call in (lambda: initiator.step(reply(mech=OID.NTLM, token=b"challenge")), initiator.finish):
        with pytest.raises(LocalProtocolError, match="failed before"):
            call()
    assert "failed=True" in repr(initiator)


def test_message_that_does_not_verify_is_the_end():
    initiator, _ = after_authenticate()
    with pytest.raises(CredSSPError):
        initiator.unwrap(b"x" * 40)
    assert not initiator.can_wrap
    assert initiator.server_authentication is ServerAuthentication.NONE
