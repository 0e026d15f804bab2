import pytest

from credssp.errors import DecodeError, LimitExceededError
from credssp.spnego import OID, NegHints, NegState, NegTokenInit, NegTokenResp, decode
from credssp.spnego.mech_types import encode_mech_types, mechanism_of
from credssp.spnego.tokens import MAX_MECH_TYPES
from credssp.wire.der import write_explicit, write_octet_string, write_sequence, write_tlv
from tests.spnego import recorded_spnego as recorded

MIC = bytes.fromhex("010000000fa5d184a5bb944e00000000")

KERBEROS_THEN_NTLM = NegTokenInit((OID.MS_KERBEROS, OID.KERBEROS, OID.NEGOEX, OID.NTLM), b"AP-REQ")

TOKENS = [
    KERBEROS_THEN_NTLM,
    NegTokenInit((OID.NTLM,)),
    NegTokenInit((OID.NTLM,), b"", framed=False),
    NegTokenInit((OID.NTLM,), b"token", b"mic"),
    NegTokenInit((OID.NTLM,), neg_hints=NegHints()),
    NegTokenInit((OID.NTLM,), b"token", b"mic", NegHints(b"hint", b"address")),
    NegTokenInit((OID.NTLM,), neg_hints=NegHints(None)),
    NegTokenInit(("1.3.6.1.4.1.99999.7", OID.NTLM), b"t" * 300),
    NegTokenResp(),
    NegTokenResp(NegState.ACCEPT_COMPLETED, OID.KERBEROS, b"AP-REP", b"mic"),
    NegTokenResp(NegState.REJECT),
    NegTokenResp(response_token=b"", mech_list_mic=b""),
]


@pytest.mark.parametrize("token", TOKENS, ids=repr)
def test_tokens_survive_encoding_and_decoding(token):
    octets = token.encode()
    assert decode(octets) == token
    assert decode(octets).encode() == octets


def test_recorded_first_token_decodes():
    token = decode(recorded.INIT)
    assert token == NegTokenInit((OID.NTLM,), recorded.NEGOTIATE)
    assert token.mech_types_der == recorded.MECH_TYPES
    assert token.encode() == recorded.INIT


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (recorded.CHALLENGE_RESP, NegTokenResp(NegState.REQUEST_MIC, OID.NTLM, recorded.CHALLENGE)),
        (recorded.AUTHENTICATE_RESP, NegTokenResp(NegState.ACCEPT_INCOMPLETE, None, recorded.AUTHENTICATE, MIC)),
        (
            recorded.FINAL_RESP,
            NegTokenResp(NegState.ACCEPT_COMPLETED, None, None, bytes.fromhex("010000005f4e74e40392360500000000")),
        ),
    ],
)
def test_recorded_replies_decode(octets, expected):
    assert decode(octets) == expected
    assert expected.encode() == octets


def test_object_identifiers_are_those_of_the_specification():
    assert encode_mech_types(
        (OID.MS_KERBEROS, OID.KERBEROS, OID.KERBEROS_USER_TO_USER, OID.NEGOEX, OID.NTLM)
    ).hex() == (
        "303a"
        "06092a864882f712010202"
        "06092a864886f712010202"
        "060a2a864886f71201020203"
        "060a2b06010401823702021e"
        "060a2b06010401823702020a"
    )
    assert NegTokenInit((OID.NTLM,)).encode().startswith(bytes.fromhex("601c06062b0601050502a012"))


def test_mechanisms_are_known_by_all_their_oids():
    assert mechanism_of(OID.NTLM) == "ntlm"
    assert mechanism_of(OID.KERBEROS) == mechanism_of(OID.MS_KERBEROS) == "kerberos"
    assert mechanism_of(OID.NEGOEX) == ""


def test_mic_that_copies_the_response_token_is_ignored():
    assert NegTokenResp(response_token=b"same", mech_list_mic=b"same").effective_mic() is None
    assert NegTokenResp(response_token=b"token", mech_list_mic=b"mic").effective_mic() == b"mic"
    assert NegTokenResp().effective_mic() is None


def test_repr_shows_names_and_sizes_but_no_octets():
    text = repr(NegTokenResp(NegState.REQUEST_MIC, OID.NEGOEX, b"token-octets", b"mic"))
    assert text == (
        "NegTokenResp(neg_state=request-mic, supported_mech=NEGOEX, response_token=<12 bytes>, mech_list_mic=<3 bytes>)"
    )
    text = repr(NegTokenInit((OID.NTLM, "1.2.3"), b"token-octets"))
    assert text.startswith("NegTokenInit(mech_types=[NTLM, 1.2.3], mech_token=<12 bytes>, mech_list_mic=None, ")


RESP = NegTokenResp(NegState.ACCEPT_COMPLETED, OID.NTLM, b"token", b"mic").encode()
INIT = NegTokenInit((OID.NTLM,), b"token", b"mic").encode()


@pytest.mark.parametrize("octets", [RESP, INIT, NegTokenInit((OID.NTLM,), b"token", framed=False).encode()])
def test_every_cut_and_every_trailing_octet_is_refused(octets):
    for size in range(len(octets)):
        with pytest.raises(DecodeError):
            decode(octets[:size])
    with pytest.raises(DecodeError, match="left over"):
        decode(octets + b"\0")


def init_of(*members):
    return write_tlv(0x60, bytes.fromhex("06062b0601050502") + write_explicit(0, write_sequence(*members)))


def resp_of(*members):
    return write_explicit(1, write_sequence(*members))


TYPES = write_explicit(0, recorded.MECH_TYPES)
TOKEN = write_explicit(2, write_octet_string(b"token"))


@pytest.mark.parametrize(
    ("octets", "message"),
    [
        (b"", "not a SPNEGO token"),
        (b"NTLMSSP\0", "not a SPNEGO token"),
        (b"\xa2\x00", "not a SPNEGO token"),
        (init_of(TYPES, TOKEN, TOKEN), "occurs twice"),
        (init_of(TYPES, TYPES), "occurs twice"),
        (init_of(TOKEN, TYPES), "after a member with a higher tag"),
        (init_of(TOKEN), "is missing"),
        (init_of(write_explicit(0, write_sequence())), "no mechanism at all"),
        (init_of(TYPES, write_explicit(3, b"")), "cut short"),
        (
            init_of(TYPES, write_explicit(3, write_octet_string(b"m")), write_explicit(4, write_octet_string(b"m"))),
            "twice",
        ),
        (init_of(TYPES, write_explicit(9, b"\x05\x00"), TOKEN), "after a member with a higher tag"),
        (init_of(TYPES, *[write_explicit(9, b"\x05\x00")] * 2), "or twice"),
        (resp_of(write_explicit(4, b"\x05\x00"), TOKEN), "after a member with a higher tag"),
        (init_of(write_explicit(0, write_sequence(bytes.fromhex("0602802a")))), "padded arc"),
        (init_of(write_explicit(0, write_sequence(bytes.fromhex("0600")))), "ends too early"),
        (init_of(write_explicit(0, write_sequence(b"\x06\x41" + b"\x2a" * 65))), "at most 64"),
        (init_of(write_explicit(0, write_sequence(b"\x06\x81\x80" + b"\x2a" * 128))), "at most 64"),
        (bytes.fromhex("600b06092a864886f712010202"), "another mechanism"),
        (resp_of(write_explicit(0, bytes.fromhex("0a0104"))), "4 is not a state"),
        (resp_of(write_explicit(0, bytes.fromhex("0a01ff"))), "-1 is not a state"),
        (resp_of(write_explicit(0, bytes.fromhex("020101"))), "tag 0x02 where 0x0A"),
        (resp_of(TOKEN, TOKEN), "occurs twice"),
        (resp_of(write_explicit(1, write_octet_string(b"\x2a"))), "tag 0x04 where 0x06"),
    ],
)
def test_broken_tokens_are_refused_by_name(octets, message):
    with pytest.raises(DecodeError, match=message):
        decode(octets)


def test_members_that_a_later_version_appends_are_passed_over():
    extension = write_explicit(5, write_octet_string(b"later")), write_explicit(9, b"\x05\x00")
    assert decode(init_of(TYPES, TOKEN, *extension)) == decode(init_of(TYPES, TOKEN))
    assert decode(resp_of(TOKEN, *extension)) == decode(resp_of(TOKEN))


def test_req_flags_are_ignored():
    octets = init_of(TYPES, write_explicit(1, bytes.fromhex("03020640")), TOKEN)
    assert decode(octets) == NegTokenInit((OID.NTLM,), b"token")


def test_as_many_mechanisms_as_the_limit_are_read_and_not_one_more():
    assert len(decode(NegTokenInit((OID.NTLM,) * MAX_MECH_TYPES).encode()).mech_types) == MAX_MECH_TYPES
    with pytest.raises(LimitExceededError):
        decode(NegTokenInit((OID.NTLM,) * (MAX_MECH_TYPES + 1)).encode())
