import base64
import contextlib
import logging
import struct

import pytest

from credssp.credentials import NTHashCredentials, PasswordCredentials
from credssp.errors import AuthenticationError, DecodeError, LocalProtocolError, RemoteProtocolError
from credssp.nt_hash import nt_hash
from credssp.ntlm.acceptor import NTLMAcceptor
from credssp.ntlm.av_pairs import encode_av_pair
from credssp.ntlm.initiator import NTLMInitiator
from credssp.ntlm.messages import Authenticate
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
    initiator = started(PasswordCredentials("a\\b", "secret", domain="LAB"))
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
