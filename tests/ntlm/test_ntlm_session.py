import pytest

from credssp.errors import DecodeError, LocalProtocolError, RemoteProtocolError
from credssp.ntlm import crypto
from credssp.ntlm.session import SESSION_FLAGS, NTLMSession
from credssp.status import SecurityStatus
from tests.ntlm import recorded
from tests.ntlm.scripted_client import MECH_TYPES

KEY = b"\x55" * 16


def pair(key=KEY):
    return NTLMSession(key, role="initiator"), NTLMSession(key, role="acceptor")


def test_keys_are_those_of_ms_nlmp_4_2_4():
    assert crypto.derive_key(KEY, crypto.CLIENT_SIGNING).hex() == "4788dc861b4782f35d43fd98fe1a2d39"
    assert crypto.derive_key(KEY, crypto.CLIENT_SEALING).hex() == "59f600973cc4960a25480a7c196e4c58"
    assert crypto.derive_key(KEY, crypto.SERVER_SIGNING).hex() == "d04d6f10741041d1d246d64188d7a8ad"
    assert crypto.derive_key(KEY, crypto.SERVER_SEALING).hex() == "9355f3a957c1583d25c4c2f11e40390e"


def test_client_seals_plaintext_as_in_ms_nlmp_4_2_4_4():
    client, server = pair()
    wrapped = client.wrap("Plaintext".encode("utf-16-le"))
    assert wrapped.hex() == "010000007fb38ec5c55d497600000000" + "54e50165bf1936dc996020c1811b0f06fb5f"
    assert server.unwrap(wrapped).decode("utf-16-le") == "Plaintext"


def test_mech_list_mics_are_those_of_the_specification():
    client, server = pair()
    mic = client.make_mech_list_mic(MECH_TYPES)
    assert mic.hex() == "0100000022a3984fefbb9c3200000000"
    server.verify_mech_list_mic(MECH_TYPES, mic)
    mic = server.make_mech_list_mic(MECH_TYPES)
    assert mic.hex() == "010000007dd6da05648a73ae00000000"
    client.verify_mech_list_mic(MECH_TYPES, mic)


@pytest.mark.parametrize("login", [recorded.BARE, recorded.IN_SPNEGO], ids=["bare", "in-spnego"])
def test_recorded_wraps_come_out_octet_for_octet(login):
    client, server = pair(login.exported_session_key)
    if login.mech_list_mics:
        assert client.make_mech_list_mic(MECH_TYPES) == login.mech_list_mics[0]
        server.verify_mech_list_mic(MECH_TYPES, login.mech_list_mics[0])
        assert server.make_mech_list_mic(MECH_TYPES) == login.mech_list_mics[1]
        client.verify_mech_list_mic(MECH_TYPES, login.mech_list_mics[1])
    for direction, plain, wrapped in login.wraps:
        sender, receiver = (client, server) if direction == "c" else (server, client)
        assert sender.wrap(plain) == wrapped
        assert receiver.unwrap(wrapped) == plain


def test_version_2_to_4_binding_comes_out_as_specified():
    client, server = pair()
    wrapped = client.wrap(bytes.fromhex("300602010b020103"))
    assert wrapped.hex() == "010000009628323e7b0ff2310000000034e36f64d51b5edf"
    assert server.unwrap(wrapped).hex() == "300602010b020103"
    assert server.wrap(bytes.fromhex("310602010b020103")).hex() == "01000000837a52812b3d851e00000000770e1fb65ab81cea"


def test_key_stream_runs_on_after_the_mech_list_mic_as_if_it_had_not_been():
    with_mic, _ = pair()
    without_mic, _ = pair()
    with_mic.make_mech_list_mic(MECH_TYPES)
    assert with_mic.wrap(b"data")[16:] == without_mic.wrap(b"data")[16:]
    assert with_mic.wrap(b"more")[16:] == without_mic.wrap(b"more")[16:]


def test_signatures_move_the_key_stream_on():
    client, server = pair()
    for data in (b"", b"one", b"two" * 100):
        server.verify_mic(data, client.get_mic(data))
        assert server.unwrap(client.wrap(data)) == data


def test_mech_list_mic_of_one_direction_leaves_the_other_alone():
    client, server = pair()
    server.verify_mech_list_mic(MECH_TYPES, client.make_mech_list_mic(MECH_TYPES))
    assert client.unwrap(server.wrap(b"sequence number 0")) == b"sequence number 0"
    assert server.unwrap(client.wrap(b"sequence number 1")) == b"sequence number 1"


def test_mech_list_mic_must_come_first():
    client, server = pair()
    server.unwrap(client.wrap(b"data"))
    with pytest.raises(LocalProtocolError):
        client.make_mech_list_mic(MECH_TYPES)
    with pytest.raises(LocalProtocolError):
        server.verify_mech_list_mic(MECH_TYPES, b"\1\0\0\0" + bytes(8) + b"\1\0\0\0")


def assert_refused(status, receiver, method, *arguments):
    with pytest.raises(RemoteProtocolError) as caught:
        getattr(receiver, method)(*arguments)
    assert caught.value.status == status
    with pytest.raises(LocalProtocolError, match="cannot be used"):
        receiver.unwrap(b"")
    with pytest.raises(LocalProtocolError, match="cannot be used"):
        receiver.wrap(b"")
    with pytest.raises(LocalProtocolError, match="cannot be used"):
        receiver.get_mic(b"")
    with pytest.raises(LocalProtocolError, match="cannot be used"):
        receiver.make_mech_list_mic(b"")


@pytest.mark.parametrize("octet", [0, 3, 4, 11, 16, 19])
def test_altered_wrap_is_refused_and_ends_the_session(octet):
    client, server = pair()
    wrapped = bytearray(client.wrap(b"data"))
    wrapped[octet] ^= 1
    assert_refused(SecurityStatus.SEC_E_MESSAGE_ALTERED, server, "unwrap", bytes(wrapped))


def test_repeated_message_is_out_of_sequence():
    client, server = pair()
    wrapped = client.wrap(b"data")
    server.unwrap(wrapped)
    assert_refused(SecurityStatus.SEC_E_OUT_OF_SEQUENCE, server, "unwrap", wrapped)


def test_skipped_message_is_out_of_sequence():
    client, server = pair()
    client.wrap(b"lost")
    assert_refused(SecurityStatus.SEC_E_OUT_OF_SEQUENCE, server, "unwrap", client.wrap(b"data"))


def test_own_message_sent_back_is_refused():
    client, _ = pair()
    assert_refused(SecurityStatus.SEC_E_MESSAGE_ALTERED, client, "unwrap", client.wrap(b"data"))


def test_altered_mic_is_refused():
    client, server = pair()
    assert_refused(SecurityStatus.SEC_E_MESSAGE_ALTERED, server, "verify_mic", b"other data", client.get_mic(b"data"))


def test_altered_mech_list_mic_is_refused():
    client, server = pair()
    mic = client.make_mech_list_mic(MECH_TYPES)
    assert_refused(SecurityStatus.SEC_E_MESSAGE_ALTERED, server, "verify_mech_list_mic", MECH_TYPES[:-1], mic)


@pytest.mark.parametrize("size", [0, 1, 15])
def test_message_shorter_than_a_signature_is_refused(size):
    _, server = pair()
    with pytest.raises(DecodeError, match="NTLMSSP_MESSAGE_SIGNATURE"):
        server.unwrap(bytes(size))


def test_mic_longer_than_a_signature_is_refused():
    client, server = pair()
    with pytest.raises(DecodeError):
        server.verify_mic(b"data", client.get_mic(b"data") + b"\0")


@pytest.mark.parametrize("bit", [0x10, 0x20, 0x80000, 0x20000000, 0x40000000])
def test_session_without_any_one_of_the_flags_is_refused(bit):
    with pytest.raises(LocalProtocolError) as caught:
        NTLMSession(KEY, SESSION_FLAGS & ~bit, role="acceptor")
    assert caught.value.status == SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION


def test_session_key_of_another_size_is_refused():
    with pytest.raises(LocalProtocolError):
        NTLMSession(KEY[:7], role="acceptor")


def test_repr_shows_counters_and_no_key():
    client, _ = pair()
    client.wrap(b"")
    assert repr(client) == "NTLMSession(sent=1, received=0)"
