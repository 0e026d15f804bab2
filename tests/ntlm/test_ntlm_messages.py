import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credssp.errors import DecodeError, LimitExceededError
from credssp.ntlm.av_pairs import MAX_AV_PAIRS, AvPairs, filetime_text
from credssp.ntlm.challenge import NTLMTarget, build_challenge
from credssp.ntlm.flags import flag_names
from credssp.ntlm.messages import (
    MAX_MESSAGE_SIZE,
    Authenticate,
    Challenge,
    Negotiate,
    NTLMv2Response,
    Version,
    decode_message,
)
from tests.ntlm import recorded
from tests.ntlm.scripted_client import ScriptedClient, encode_av_list

# [MS-NLMP] 4.2.4.3: the messages of the NTLMv2 example; its AUTHENTICATE has no MIC, the payload begins at 72.
SPEC_CHALLENGE = bytes.fromhex(
    "4e544c4d53535000020000000c000c003800000033828ae20123456789abcdef00000000000000002400240044000000060070170000000f"
    "53006500720076006500720002000c0044006f006d00610069006e0001000c0053006500720076006500720000000000"
)
SPEC_AUTHENTICATE = bytes.fromhex(
    "4e544c4d5353500003000000180018006c00000054005400840000000c000c00480000000800080054000000100010005c000000"
    "10001000d8000000358288e20501280a0000000f"
    "44006f006d00610069006e00550073006500720043004f004d0050005500540045005200"
    "86c35097ac9cec102554764a57cccc19aaaaaaaaaaaaaaaa"
    "68cd0ab851e51c96aabc927bebef6a1c01010000000000000000000000000000aaaaaaaaaaaaaaaa00000000"
    "02000c0044006f006d00610069006e0001000c005300650072007600650072000000000000000000"
    "c5dad2544fc9799094ce1ce90bc9d03e"
)
FIELDS = (
    "LmChallengeResponse",
    "NtChallengeResponse",
    "DomainName",
    "UserName",
    "Workstation",
    "EncryptedRandomSessionKey",
)
NAMES = AvPairs(((2, "Domain".encode("utf-16-le")), (1, "Server".encode("utf-16-le"))), terminated=True)


def test_negotiate_as_recorded():
    assert Negotiate.decode(recorded.NEGOTIATE) == Negotiate(0xE2088237, version=Version(0, 12, 4))
    assert str(Version(10, 0, 20348)) == "10.0.20348"


def test_negotiate_of_sixteen_octets_as_old_clients_send_it():
    assert Negotiate.decode(recorded.NEGOTIATE[:16]) == Negotiate(0xE2088237)


def test_negotiate_with_names():
    message = recorded.NEGOTIATE[:12] + struct.pack("<IHHIHHI", 0x3007, 3, 3, 34, 2, 2, 32) + b"PCDOM"
    assert Negotiate.decode(message) == Negotiate(0x3007, domain="DOM", workstation="PC")


@pytest.mark.parametrize(("size", "offset"), [(3, 38), (0xFFFF, 40), (1, 0xFFFFFFFF)])
def test_negotiate_with_names_beyond_its_end_is_refused(size, offset):
    message = recorded.NEGOTIATE[:12] + struct.pack("<IHHI", 0x1007, size, size, offset) + bytes(16)
    with pytest.raises(DecodeError, match=r"NEGOTIATE\.DomainName at byte 16"):
        Negotiate.decode(message)


def test_negotiate_that_ends_before_the_names_it_announces_is_refused():
    with pytest.raises(DecodeError, match="ends before it"):
        Negotiate.decode(recorded.NEGOTIATE[:12] + struct.pack("<I", 0x1007))


def test_challenge_of_the_specification():
    message = Challenge.decode(SPEC_CHALLENGE)
    assert message == Challenge(0xE28A8233, bytes.fromhex("0123456789abcdef"), "Server", NAMES, Version(6, 0, 6000))
    assert message.target_info.described() == (("MsvAvNbDomainName", "Domain"), ("MsvAvNbComputerName", "Server"))


def test_challenge_of_thirty_two_octets_has_no_target_info():
    message = Challenge.decode(b"NTLMSSP\0" + struct.pack("<IQI", 2, 0, 0x2) + b"\1" * 8)
    assert message == Challenge(2, b"\1" * 8)


def test_authenticate_of_the_specification_has_a_version_and_no_mic():
    message = Authenticate.decode(SPEC_AUTHENTICATE)
    assert (message.domain, message.username, message.workstation) == ("Domain", "User", "COMPUTER")
    assert message.flags == 0xE2888235
    assert message.version == Version(5, 1, 2600)
    assert message.mic is None
    assert message.payload_offset == 72
    assert not message.overlapping
    assert message.lm_response.hex().startswith("86c35097")
    assert message.encrypted_session_key.hex() == "c5dad2544fc9799094ce1ce90bc9d03e"
    assert message.ntlmv2 == NTLMv2Response(bytes.fromhex("68cd0ab851e51c96aabc927bebef6a1c"), 0, b"\xaa" * 8, NAMES)


def test_authenticate_as_recorded_has_a_mic():
    message = Authenticate.decode(recorded.BARE.authenticate)
    assert message.mic is not None
    assert message.mic.hex() == "b1509c7885c48d057be1c8d3cba7fee2"
    info = message.ntlmv2.target_info
    assert info.flags == 2
    assert info.timestamp == message.ntlmv2.timestamp
    assert info.target_name == "HTTP/srv"
    assert dict(info.described()) == {
        "MsvAvNbComputerName": "VM",
        "MsvAvNbDomainName": "WORKSTATION",
        "MsvAvDnsComputerName": "vm",
        "MsvAvTimestamp": filetime_text(info.timestamp),
        "MsvAvTargetName": "HTTP/srv",
        "MsvAvFlags": "0x00000002",
    }


def old_authenticate(nt_response=b"\1" * 24, flags=0x1):
    """As Windows NT and 2000 wrote it: no Version, no MIC, payload at 64."""
    user = "User".encode("utf-16-le")
    head = b"NTLMSSP\0" + struct.pack("<I", 3)
    for value, at in ((b"", 0), (nt_response, 64), (b"", 0), (user, 64 + len(nt_response)), (b"", 0), (b"", 0)):
        head += struct.pack("<HHI", len(value), len(value), at)
    return head + struct.pack("<I", flags) + nt_response + user


@pytest.mark.parametrize("flags", [0x1, 0x02000001])
def test_old_authenticate_is_read_by_its_offsets(flags):
    message = Authenticate.decode(old_authenticate(flags=flags))
    assert message.username == "User"
    assert message.ntlmv2 is None
    assert message.version is None
    assert message.payload_offset == 64
    assert not message.overlapping


def test_authenticate_without_any_payload_decodes():
    message = Authenticate.decode(b"NTLMSSP\0" + struct.pack("<I", 3) + bytes(52))
    assert (message.username, message.nt_response, message.payload_offset) == ("", b"", 64)


def test_oem_names_are_taken_as_latin_1():
    message = bytearray(old_authenticate(flags=0x2))
    assert Authenticate.decode(bytes(message)).username == "U\0s\0e\0r\0"


def test_reprs_hold_no_proof_and_no_key():
    message = Authenticate.decode(recorded.BARE.authenticate)
    text = repr(message)
    for secret in (
        message.ntlmv2.proof,
        message.encrypted_session_key,
        message.mic,
        message.nt_response,
        message.lm_response,
    ):
        assert repr(secret)[2:-1] not in text
        assert secret.hex() not in text


@pytest.mark.parametrize(
    ("index", "name"),
    list(enumerate(FIELDS)),
)
@pytest.mark.parametrize("offset", [10_000, 0xFFFFFFFF])
def test_authenticate_field_beyond_the_end_is_refused(index, name, offset):
    message = bytearray(recorded.BARE.authenticate)
    struct.pack_into("<I", message, 12 + 8 * index + 4, offset)
    with pytest.raises(DecodeError) as caught:
        Authenticate.decode(bytes(message))
    assert caught.value.field == f"AUTHENTICATE.{name}"
    assert caught.value.offset == 12 + 8 * index


def test_odd_unicode_length_is_refused():
    message = bytearray(recorded.BARE.authenticate)
    struct.pack_into("<H", message, 36, 7)
    with pytest.raises(DecodeError, match=r"AUTHENTICATE\.UserName at byte 6: no UTF-16LE text"):
        Authenticate.decode(bytes(message))


def test_overlap_is_seen():
    message = bytearray(recorded.BARE.authenticate)
    struct.pack_into("<I", message, 40, struct.unpack_from("<I", message, 32)[0])  # UserName on top of DomainName
    assert Authenticate.decode(bytes(message)).overlapping
    struct.pack_into("<I", message, 40, 12)  # UserName in the header
    with pytest.raises(DecodeError, match="announces a MIC, but the payload begins at 12"):
        Authenticate.decode(bytes(message))
    assert Authenticate.decode(
        old_authenticate()[:36] + struct.pack("<HHI", 2, 2, 60) + old_authenticate()[44:]
    ).overlapping


def test_mic_flag_with_a_payload_below_88_is_refused():
    client = ScriptedClient()
    client.negotiate()
    message = client.authenticate(SPEC_CHALLENGE, header_size=72)
    with pytest.raises(DecodeError, match=r"AUTHENTICATE\.MIC"):
        Authenticate.decode(message)


@pytest.mark.parametrize("size", [25, 43])
def test_ntlmv2_response_that_ends_in_its_header_is_refused(size):
    with pytest.raises(DecodeError, match="NtChallengeResponse"):
        Authenticate.decode(old_authenticate(b"\1" * size))


def test_ntlmv2_response_of_another_type_is_refused():
    with pytest.raises(DecodeError, match="RespType 2"):
        Authenticate.decode(old_authenticate(b"\1" * 16 + b"\2" * 30))


@pytest.mark.parametrize("data", [b"", b"NTLMSSP\0", b"NTLMSSP\0\4\0\0\0" + bytes(60), b"NTLMSSP\0\0\0\0"])
def test_unknown_message_is_refused(data):
    with pytest.raises(DecodeError):
        decode_message(data)


def test_decode_message_goes_by_the_type():
    assert isinstance(decode_message(recorded.NEGOTIATE), Negotiate)
    assert isinstance(decode_message(SPEC_CHALLENGE), Challenge)
    assert isinstance(decode_message(SPEC_AUTHENTICATE), Authenticate)


@pytest.mark.parametrize("reader", [Negotiate, Challenge, Authenticate])
def test_wrong_type_signature_or_size_is_refused(reader):
    other = SPEC_CHALLENGE if reader is not Challenge else SPEC_AUTHENTICATE
    with pytest.raises(DecodeError, match="MessageType"):
        reader.decode(other)
    with pytest.raises(DecodeError, match="Signature"):
        reader.decode(b"NTLMSSP\1" + other[8:])
    with pytest.raises(DecodeError):
        reader.decode(other[:15])
    with pytest.raises(LimitExceededError):
        reader.decode(other + bytes(MAX_MESSAGE_SIZE))


def decode_av(data):
    return AvPairs.decode(data, field="list")


def test_av_list_without_end_is_read_and_said_to_be_so():
    assert decode_av(encode_av_list([(1, b"A\0")], eol=False)) == AvPairs(((1, b"A\0"),), terminated=False)
    assert decode_av(b"") == AvPairs((), terminated=False)


def test_what_follows_the_end_of_an_av_list_is_ignored():
    assert decode_av(encode_av_list([(1, b"A\0")]) + b"padding") == AvPairs(((1, b"A\0"),), terminated=True)


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<HH", 0, 1) + b"\0",  # MsvAvEOL with a value
        struct.pack("<HH", 1, 4) + b"A\0",  # beyond the end
        struct.pack("<HH", 99, 0xFFFF),
        struct.pack("<HH", 1, 3) + b"A\0B",  # odd
        struct.pack("<HH", 9, 1) + b"A",
        struct.pack("<HH", 6, 2) + b"\0\0",  # flags of 16 bits
        struct.pack("<HH", 7, 4) + bytes(4),
        struct.pack("<HH", 10, 15) + bytes(15),
    ],
)
def test_broken_av_pair_is_refused(data):
    with pytest.raises(DecodeError, match="list at byte 0"):
        decode_av(data)


def test_number_of_av_pairs_is_limited():
    assert len(decode_av(encode_av_list([(99, b"")] * MAX_AV_PAIRS)).pairs) == MAX_AV_PAIRS
    with pytest.raises(LimitExceededError):
        decode_av(encode_av_list([(99, b"")] * (MAX_AV_PAIRS + 1)))


def test_av_pairs_for_people():
    pairs = AvPairs(((7, b"\xff" * 8), (10, bytes(16)), (77, b"\1")), terminated=True)
    assert pairs.described() == (
        ("MsvAvTimestamp", "FILETIME 18446744073709551615"),
        ("MsvAvChannelBindings", "00" * 16),
        ("AV_PAIR 77", "01"),
    )
    assert (pairs.flags, pairs.target_name) == (0, None)
    assert AvPairs((), True).timestamp is None
    assert filetime_text(116444736000000000) == "1970-01-01T00:00:00+00:00"


def test_flag_names_are_those_of_the_specification():
    assert flag_names(0x80000001 | 0x80000 | 0x100) == ("UNICODE", "0x00000100", "EXTENDED_SESSIONSECURITY", "56")


def test_built_challenge_reads_back():
    target = NTLMTarget("SRV", "LAB", "srv.lab.test", "lab.test", "test", is_domain=True)
    data, flags = build_challenge(
        0xE20882B7, target, server_challenge=b"12345678", filetime=77, version=Version(10, 0, 20348).encode()
    )
    message = Challenge.decode(data)
    assert message.flags == flags == 0xE2898235  # as Windows answers the same request
    assert message.server_challenge == b"12345678"
    assert message.target_name == "LAB"
    assert message.version == Version(10, 0, 20348)
    assert message.target_info.timestamp == 77
    assert [av_id for av_id, _ in message.target_info.pairs] == [2, 1, 4, 3, 5, 7]


def test_built_challenge_follows_the_request():
    target = NTLMTarget("SRV")
    data, _ = build_challenge(0x60080031, target, server_challenge=bytes(8), filetime=0, version=b"version!")
    message = Challenge.decode(data)
    assert message.target_name == ""  # REQUEST_TARGET was not set
    assert data[48:56] == b"version!"  # whether the client sends its own or not
    assert message.flags == 0x60080031 | 0x200 | 0x800000 | 0x2000000
    assert [av_id for av_id, _ in message.target_info.pairs] == [2, 1, 7]


@settings(max_examples=300, deadline=None)
@given(
    source=st.sampled_from([recorded.NEGOTIATE, SPEC_CHALLENGE, SPEC_AUTHENTICATE, recorded.BARE.authenticate]),
    edits=st.lists(st.tuples(st.integers(8, 300), st.integers(0, 255)), max_size=6),
    size=st.integers(0, 400),
)
def test_mutated_messages_decode_or_raise_our_errors(source, edits, size):
    data = bytearray(source)
    for at, value in edits:
        data[at % len(data)] = value
    try:
        message = decode_message(bytes(data[:size]))
    except (DecodeError, LimitExceededError):
        return
    repr(message)
    info = getattr(message, "target_info", None) or getattr(getattr(message, "ntlmv2", None), "target_info", None)
    if info is not None:
        info.described()
