"""Whatever a peer sends, nothing but our own errors leaves, and nothing that was altered completes unseen."""

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from credssp.context.acceptor import create_acceptor
from credssp.context.initiator import create_initiator
from credssp.credentials import NTHashCredentials
from credssp.errors import CredSSPError
from credssp.nt_hash import nt_hash
from credssp.spnego import NegTokenInit, NegTokenResp, SpnegoInitiator, decode
from tests.spnego import recorded_spnego as recorded
from tests.spnego.scripted_mechanism import Accounts, ScriptedMechanism, candidate

ALICE = NTHashCredentials("alice", nt_hash("secret"), domain="LAB")
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)


@st.composite
def mutation(draw):
    """How to alter a token: a list of (where, what), relative to its length."""
    return draw(
        st.lists(
            st.tuples(
                st.floats(0, 1, exclude_max=True),
                st.sampled_from(["set", "flip", "insert", "delete", "cut", "double"]),
                st.integers(0, 255),
            ),
            min_size=1,
            max_size=4,
        )
    )


def mutate(token, changes):
    data = bytearray(token)
    for where, what, value in changes:
        at = int(where * len(data))
        if what == "insert" or not data:
            data.insert(at, value)
        elif what == "set":
            data[at] = value
        elif what == "flip":
            data[at] ^= 1 << (value & 7)
        elif what == "delete":
            del data[at : at + 1 + value % 4]
        elif what == "cut":
            del data[at:]
        else:
            data[at:at] = data[at : at + value]
    return bytes(data)


@quick
@given(st.binary(max_size=200))
@example(b"\x60\x80")
@example(b"\x60\xff")
@example(b"\xa1\x84\xff\xff\xff\xff")
@example(b"NTLMSSP\0")
def test_any_first_token_is_answered_or_refused(token):
    acceptor = create_acceptor(Accounts())
    try:
        acceptor.step(token)
    except CredSSPError:
        assert not acceptor.can_wrap


@quick
@given(
    st.sampled_from([recorded.INIT, recorded.CHALLENGE_RESP, recorded.AUTHENTICATE_RESP, recorded.FINAL_RESP]),
    mutation(),
)
def test_altered_tokens_decode_to_what_encodes_again_or_are_refused(token, changes):
    try:
        decoded = decode(mutate(token, changes))
    except CredSSPError:
        return
    again = decode(decoded.encode())
    assert again == decoded
    assert isinstance(again, NegTokenInit | NegTokenResp)


@quick
@given(st.sampled_from(["ntlm", "negotiate"]), st.integers(0, 1), mutation())
def test_acceptor_survives_altered_tokens(mechanism, which, changes):
    initiator = create_initiator(ALICE, target_name="TERMSRV/srv", mechanism=mechanism)
    acceptor = create_acceptor(Accounts())
    try:
        first = initiator.step(None)
        first_sent = mutate(first, changes) if which == 0 else first
        answer = acceptor.step(first_sent)
        second = initiator.step(answer)
        second_sent = mutate(second, changes) if which == 1 else second
        acceptor.step(second_sent)
    except CredSSPError:
        return
    # NTLM's own MIC and the mechListMIC cover both tokens, but for redundancies of SPNEGO itself (negState).
    if acceptor.complete and mechanism == "ntlm":
        assert (first_sent, second_sent) == (first, second)


@quick
@given(st.sampled_from(["ntlm", "negotiate"]), st.integers(0, 1), mutation())
def test_initiator_survives_altered_tokens(mechanism, which, changes):
    initiator = create_initiator(ALICE, target_name="TERMSRV/srv", mechanism=mechanism)
    acceptor = create_acceptor(Accounts())
    answer = acceptor.step(initiator.step(None))
    try:
        token = initiator.step(mutate(answer, changes) if which == 0 else answer)
        last = acceptor.step(token)
        if last is not None:
            initiator.step(mutate(last, changes))
    except CredSSPError:
        return
    except Exception as error:
        raise AssertionError("a foreign exception left") from error


@quick
@given(mutation())
def test_recorded_final_token_completes_only_with_the_recorded_mic(changes):
    ntlm = ScriptedMechanism(
        "ntlm",
        "initiator",
        [recorded.NEGOTIATE, recorded.AUTHENTICATE],
        mic_required=True,
        key=recorded.EXPORTED_SESSION_KEY,
    )
    initiator = SpnegoInitiator([candidate(ntlm)])
    initiator.step(None)
    initiator.step(recorded.CHALLENGE_RESP)
    altered = mutate(recorded.FINAL_RESP, changes)
    try:
        initiator.step(altered)
    except CredSSPError:
        return
    assert not initiator.complete or altered.endswith(recorded.FINAL_RESP[-18:])
