import base64
import contextlib
import logging
import struct

import pytest
import spnego

from credssp.credentials import NTHashCredentials, PasswordCredentials
from credssp.errors import AuthenticationError, DecodeError, LocalProtocolError, RemoteProtocolError
from credssp.nt_hash import nt_hash
from credssp.ntlm import crypto
from credssp.ntlm.acceptor import NTLMAcceptor
from credssp.ntlm.av_pairs import encode_av_pair, filetime_text
from credssp.ntlm.challenge import build_challenge
from credssp.ntlm.initiator import NTLMInitiator
from credssp.ntlm.messages import Authenticate, Negotiate, Version
from credssp.secret import Secret
from credssp.server_authentication import ServerAuthentication
from credssp.status import NTStatus, SecurityStatus
from credssp.target import Target
from tests.spnego.scripted_mechanism import Accounts

ALICE = PasswordCredentials("alice", "secret", domain="LAB")
TARGET = Target("TERMSRV", "srv.lab.test")
FLAGS = 0xE28A8235
EOL = b"\0\0\0\0"
NAMES = encode_av_pair(1, "SRV".encode("utf-16-le")) + encode_av_pair(2, "LAB".encode("utf-16-le"))
TIMESTAMP = encode_av_pair(7, b"\x2c\xad\x6b\x06\x1a\x7a\xdd\x01")


def challenge(flags=FLAGS, info=NAMES + TIMESTAMP + EOL):
    return struct.pack("<8sIHHIIQQHHIQ", b"NTLMSSP\0", 2, 0, 0, 56, flags, 7, 0, len(info), len(info), 56, 0) + info


def started(credentials=ALICE, target=TARGET):
    initiator = NTLMInitiator(credentials, target)
    initiator.step(None)
    return initiator


def log_on(initiator, acceptor=None):
    acceptor = acceptor or NTLMAcceptor(Accounts())
    assert acceptor.step(initiator.step(acceptor.step(initiator.step(None)))) is None
    return acceptor


@pytest.mark.parametrize(
    "credentials",
    [
        ALICE,
        NTHashCredentials("LAB\\alice", nt_hash("secret")),
        PasswordCredentials("ALICE", "secret"),
        PasswordCredentials("lab\\Alice", "secret"),
    ],
)
def test_login_completes_and_seals_both_ways(credentials):
    initiator = NTLMInitiator(credentials, TARGET)
    acceptor = log_on(initiator)
    assert acceptor.identity.username == "alice"
    assert acceptor.identity.target_name == "TERMSRV/srv.lab.test"
    assert initiator.complete
    assert initiator.can_wrap
    assert initiator.session_key == acceptor.session_key
    assert acceptor.unwrap(initiator.wrap(b"ping")) == b"ping"
    assert initiator.server_authentication is ServerAuthentication.NONE
    assert initiator.unwrap(acceptor.wrap(b"pong")) == b"pong"
    assert initiator.server_authentication is ServerAuthentication.NTLM
    assert (initiator.name, initiator.wire_form, initiator.identity) == ("ntlm", "ntlm", None)


def test_user_principal_name_is_sent_whole():
    initiator = started(PasswordCredentials("alice@lab.test", "secret"))
    message = Authenticate.decode(initiator.step(challenge()))
    assert (message.username, message.domain) == ("alice@lab.test", "")


def test_backslash_that_belongs_to_the_user_name_stays_there():
    initiator = started(PasswordCredentials.received("a\\b", Secret("secret"), "LAB"))
    message = Authenticate.decode(initiator.step(challenge()))
    assert (message.username, message.domain) == ("a\\b", "LAB")


def test_wrong_password_is_refused_by_the_server():
    initiator, acceptor = NTLMInitiator(PasswordCredentials("alice", "wrong"), TARGET), NTLMAcceptor(Accounts())
    with pytest.raises(AuthenticationError):
        log_on(initiator, acceptor)


@pytest.mark.parametrize("timestamp", [b"", TIMESTAMP])
def test_mic_is_there_when_the_challenge_has_a_timestamp(timestamp):
    initiator = started()
    message = Authenticate.decode(initiator.step(challenge(info=NAMES + timestamp + EOL)))
    assert (message.mic is not None) == bool(timestamp) == initiator.mech_list_mic_required


# What is in the messages


def answered(token=None, credentials=ALICE, **options):
    initiator = NTLMInitiator(credentials, TARGET, **options)
    initiator.step(None)
    return initiator.step(challenge() if token is None else token)


def test_negotiate_asks_for_what_windows_does_and_names_nobody():
    token = NTLMInitiator(ALICE, TARGET, workstation="PC").step(None)
    assert Negotiate.decode(token) == Negotiate(0xE2088237, version=Version(10, 0, 20348))
    assert token[16:32] == bytes(16)


def test_authenticate_answers_as_the_specification_says():
    message = Authenticate.decode(answered())
    assert message.flags == 0xE2888235 & FLAGS  # OEM and the target's type are not answered
    assert message.lm_response == bytes(24)
    assert len(message.encrypted_session_key) == 16
    assert (message.username, message.domain, message.workstation) == ("alice", "LAB", "")
    assert message.version == Version(10, 0, 20348)
    assert (message.payload_offset, message.mic_offset, message.overlapping) == (88, 72, False)
    assert message.ntlmv2.target_info.pairs == (
        (1, "SRV".encode("utf-16-le")),
        (2, "LAB".encode("utf-16-le")),
        (7, b"\x2c\xad\x6b\x06\x1a\x7a\xdd\x01"),
        (6, b"\2\0\0\0"),
        (10, bytes(16)),
        (9, "TERMSRV/srv.lab.test".encode("utf-16-le")),
    )
    assert message.ntlmv2.target_info.terminated
    assert message.nt_response.endswith(bytes(8))


@pytest.mark.parametrize("odd", [b"", encode_av_pair(77, b"abc")])
def test_unicode_fields_begin_at_even_octets(odd):
    token = answered(challenge(info=NAMES + odd + TIMESTAMP + EOL), workstation="PC")
    assert [int.from_bytes(token[at + 4 : at + 8], "little") % 2 for at in (28, 36, 44)] == [0, 0, 0]


def test_our_pairs_take_the_place_of_the_servers():
    theirs = encode_av_pair(6, b"\1\0\0\0") + encode_av_pair(9, b"x\0") + encode_av_pair(10, b"\7" * 16)
    info = Authenticate.decode(answered(challenge(info=NAMES + theirs + TIMESTAMP + EOL))).ntlmv2.target_info
    assert (info.flags, info.target_name, info.get(10)) == (3, "TERMSRV/srv.lab.test", bytes(16))
    assert len(info.pairs) == len(dict(info.pairs))


def test_channel_bindings_are_hashed_where_they_are_given():
    message = Authenticate.decode(answered(channel_bindings=b"tls-server-end-point:hash"))
    assert message.ntlmv2.target_info.get(10) == crypto.channel_bindings_hash(b"tls-server-end-point:hash")


def test_workstation_that_was_set_is_told():
    assert Authenticate.decode(answered(workstation="ПК-1")).workstation == "ПК-1"
    with pytest.raises(LocalProtocolError, match="workstation"):
        NTLMInitiator(ALICE, TARGET, workstation=None)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda long: NTLMInitiator(PasswordCredentials(long, "x"), TARGET), "username"),
        (lambda long: NTLMInitiator(PasswordCredentials("a", "x", domain=long), TARGET), "domain"),
        (lambda long: NTLMInitiator(ALICE, Target("HTTP", long)), "target name"),
        (lambda long: NTLMInitiator(ALICE, TARGET, workstation=long), "workstation"),
    ],
)
def test_names_that_no_message_can_hold_are_the_callers_fault(make, name):
    make("x" * 1000)
    with pytest.raises(LocalProtocolError, match=name):
        make("x" * 70_000)


def test_without_a_timestamp_there_is_no_mic_and_the_time_is_ours():
    token = answered(challenge(info=NAMES + EOL), clock=lambda: 1_767_225_600_000_000_000)
    message = Authenticate.decode(token)
    assert message.mic is None
    assert message.ntlmv2.target_info.get(6) is None
    assert message.payload_offset == 72
    assert filetime_text(message.ntlmv2.timestamp) == "2026-01-01T00:00:00+00:00"


def test_randomness_can_be_played_back():
    drawn = []

    def random(size):
        drawn.append(size)
        return b"\xaa" * size

    tokens = {answered(random=random) for _ in range(2)}
    assert len(tokens) == 1
    assert drawn == [8, 16, 8, 16]
    assert Authenticate.decode(tokens.pop()).ntlmv2.client_challenge == b"\xaa" * 8


def test_challenge_without_version_is_answered_with_a_zero_one():
    token = answered(challenge(FLAGS & ~0x02000000))
    message = Authenticate.decode(token)
    assert not message.flags & 0x02000000
    assert token[64:72] == bytes(8)
    assert (message.version, message.payload_offset, message.mic_offset) == (None, 88, 72)
    assert message.mic is not None


def without_version(monkeypatch):
    """Make our acceptor leave Version out of its CHALLENGE, as old servers do."""

    def build(*arguments, **options):
        data, flags = build_challenge(*arguments, **options)
        flags &= ~0x02000000
        return data[:20] + flags.to_bytes(4, "little") + data[24:48] + bytes(8) + data[56:], flags

    monkeypatch.setattr("credssp.ntlm.acceptor.build_challenge", build)


def test_login_completes_where_challenge_has_no_version(monkeypatch):
    without_version(monkeypatch)
    acceptor = log_on(NTLMInitiator(ALICE, TARGET))
    assert acceptor.complete
    assert acceptor.mech_list_mic_required


def test_authenticate_without_version_is_read_and_its_mic_verified(monkeypatch):
    without_version(monkeypatch)
    client = spnego.client("LAB\\alice", "secret", hostname="srv", service="TERMSRV", protocol="ntlm")
    acceptor = NTLMAcceptor(Accounts())
    token = client.step(acceptor.step(client.step()))
    message = Authenticate.decode(token)
    assert (message.version, message.payload_offset, message.mic_offset) == (None, 80, 64)
    altered = NTLMAcceptor(Accounts())
    altered.__dict__.update(vars(acceptor))
    with pytest.raises(RemoteProtocolError, match="MIC"):
        altered.step(token[:64] + bytes(16) + token[80:])
    acceptor.step(token)
    assert acceptor.complete


@pytest.mark.parametrize("name", ["straße", "ŉora", "ǰan", "ﬁn", "ΐ", "\u0131\u015f\u0131k", "jürgen", "νικος"])
def test_proof_is_made_with_the_upper_case_of_windows(name):
    token = answered(credentials=PasswordCredentials(name, "secret", domain="LAB"))
    message = Authenticate.decode(token)
    one_to_one = {"straße": "STRAßE", "ŉora": "ŉORA", "ǰan": "ǰAN", "ﬁn": "ﬁN", "ΐ": "ΐ", "jürgen": "JÜRGEN"}
    upper = one_to_one.get(name) or {"νικος": "ΝΙΚΟΣ"}.get(name, "\u0131\u015e\u0131K")
    key = crypto.ntowfv2(nt_hash("secret"), upper, "LAB")
    assert crypto.hmac_md5(key, challenge()[24:32] + message.nt_response[16:]) == message.ntlmv2.proof


@pytest.mark.parametrize(
    ("flag", "name"),
    [
        (0x00000001, "UNICODE"),
        (0x00000010, "SIGN"),
        (0x00000020, "SEAL"),
        (0x00080000, "EXTENDED_SESSIONSECURITY"),
        (0x00800000, "TARGET_INFO"),
        (0x20000000, "128"),
        (0x40000000, "KEY_EXCH"),
    ],
)
def test_challenge_that_offers_less_than_credssp_needs_is_refused(flag, name):
    initiator = started()
    with pytest.raises(RemoteProtocolError, match=name) as caught:
        initiator.step(challenge((FLAGS & ~flag) | (0x2 if flag == 1 else 0)))
    assert caught.value.status is SecurityStatus.SEC_E_UNSUPPORTED_FUNCTION
    with pytest.raises(LocalProtocolError, match="failed before"):
        initiator.step(challenge())


@pytest.mark.parametrize(
    ("token", "error"),
    [
        (b"", DecodeError),
        (b"NTLMSSP\0", DecodeError),
        (b"junk" * 20, DecodeError),
        (challenge()[:50], DecodeError),
        (challenge()[:40], RemoteProtocolError),
        (challenge(info=NAMES), RemoteProtocolError),
        (challenge(info=NAMES + NAMES + EOL), RemoteProtocolError),
        (challenge(info=NAMES + b"\x07\0\x04\0" + b"abcd" + EOL), DecodeError),
        (challenge(info=b""), RemoteProtocolError),
        (challenge(info=NAMES + b"\x09\0\xff\0"), DecodeError),
    ],
)
def test_broken_challenge_is_refused(token, error):
    with pytest.raises(error):
        started().step(token)


def test_challenge_without_any_name_is_a_logon_failure():
    with pytest.raises(AuthenticationError, match="names neither") as caught:
        started().step(challenge(info=TIMESTAMP + EOL))
    assert caught.value.ntstatus == NTStatus.STATUS_LOGON_FAILURE


@pytest.mark.parametrize("variable", ["LM_COMPAT_LEVEL", "NETBIOS_COMPUTER_NAME"])
def test_environment_variables_of_pyspnego_have_no_effect(monkeypatch, variable):
    monkeypatch.setenv(variable, "1")
    initiator = started()
    message = Authenticate.decode(initiator.step(challenge()))
    assert message.ntlmv2 is not None
    assert message.workstation == ""


def test_anonymous_login_is_refused():
    with pytest.raises(LocalProtocolError, match="user name") as caught:
        NTLMInitiator(PasswordCredentials.empty(), TARGET).step(None)
    assert caught.value.status is SecurityStatus.SEC_E_NO_CREDENTIALS


def test_calls_out_of_turn_are_the_callers_fault():
    for call in (
        lambda i: i.wrap(b""),
        lambda i: i.session_key,
        lambda i: i.make_mech_list_mic(b""),
        lambda i: i.finish(),
        lambda i: i.step(b"token"),
    ):
        with pytest.raises(LocalProtocolError):
            call(NTLMInitiator(ALICE, TARGET))
    with pytest.raises(LocalProtocolError, match="CHALLENGE"):
        started().step(None)


def test_channel_bindings_reach_the_server():
    initiator = NTLMInitiator(ALICE, TARGET, channel_bindings=b"tls-server-end-point:hash")
    log_on(initiator, NTLMAcceptor(Accounts(), channel_bindings=b"tls-server-end-point:hash"))
    other = NTLMInitiator(ALICE, TARGET, channel_bindings=b"tls-server-end-point:other")
    with pytest.raises(AuthenticationError) as caught:
        log_on(other, NTLMAcceptor(Accounts(), channel_bindings=b"tls-server-end-point:hash"))
    assert caught.value.status is SecurityStatus.SEC_E_BAD_BINDINGS


def test_repr_and_attributes_show_no_secret():
    initiator = NTLMInitiator(ALICE, TARGET)
    log_on(initiator)
    assert "secret" not in repr(vars(initiator))


@pytest.mark.parametrize("token", [challenge(), b"junk"], ids=["complete", "failed"])
def test_neither_password_nor_hash_is_kept_after_the_challenge(token):
    credentials = NTHashCredentials("LAB\\alice", nt_hash("secret"))
    initiator = started(credentials)
    with contextlib.suppress(DecodeError):
        initiator.step(token)
    assert not holds(initiator, credentials, nt_hash("secret"))


def holds(thing, *wanted, seen=None):
    """Whether an object can be reached whose value is one of these."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, type):
        return False
    seen.add(id(thing))
    if any(type(thing) is type(value) and thing == value for value in wanted):
        return True
    names = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    parts = [getattr(thing, name, None) for name in names] + list(getattr(thing, "__dict__", {}).values())
    if isinstance(thing, dict):
        parts += [*thing, *thing.values()]
    elif isinstance(thing, list | tuple | set | frozenset):
        parts += thing
    return any(holds(part, *wanted, seen=seen) for part in parts)


def test_no_token_reaches_the_log_at_debug_level(caplog):
    caplog.set_level(logging.DEBUG)
    initiator, acceptor = NTLMInitiator(ALICE, TARGET), NTLMAcceptor(Accounts())
    tokens = [initiator.step(None)]
    tokens.append(acceptor.step(tokens[-1]))
    tokens.append(initiator.step(tokens[-1]))
    acceptor.step(tokens[-1])
    for token in tokens:
        assert base64.b64encode(token).decode() not in caplog.text
        assert token.hex() not in caplog.text
    assert "TlRMTVNTU" not in caplog.text


# Target names


@pytest.mark.parametrize(
    ("text", "service", "name", "host", "is_address"),
    [
        ("TERMSRV/srv.lab.test", "TERMSRV", "srv.lab.test", "srv.lab.test", False),
        ("srv", "host", "srv", "srv", False),
        ("LDAP/dc.lab.test/LAB.TEST", "LDAP", "dc.lab.test/LAB.TEST", "dc.lab.test", False),
        ("HTTP/srv:5985", "HTTP", "srv:5985", "srv", False),
        ("TERMSRV/10.0.0.1", "TERMSRV", "10.0.0.1", "10.0.0.1", True),
        ("TERMSRV/fe80::1", "TERMSRV", "fe80::1", "fe80::1", True),
        ("HTTP/[fe80::1]:5985", "HTTP", "[fe80::1]:5985", "fe80::1", True),
    ],
)
def test_target_names_are_taken_apart(text, service, name, host, is_address):
    target = Target.parse(text)
    assert (target.service, target.name, target.host, target.is_address) == (service, name, host, is_address)


@pytest.mark.parametrize("text", ["", "/", "TERMSRV/", "/host", "TERMSRV//", "a/b\0c"])
def test_target_names_without_a_half_are_refused(text):
    with pytest.raises(LocalProtocolError):
        Target.parse(text)
