"""pyspnego's and impacket's own NTLM: their clients log on to our acceptor, and they read what our initiator sends."""

import impacket.ntlm
import pytest
import spnego
from spnego._ntlm_raw import messages as theirs

from credssp.accounts import MemoryAccounts
from credssp.credentials import PasswordCredentials
from credssp.errors import AuthenticationError
from credssp.ntlm.acceptor import NTLMAcceptor
from credssp.ntlm.challenge import NTLMTarget
from credssp.ntlm.initiator import NTLMInitiator
from credssp.ntlm.messages import Authenticate, Negotiate
from credssp.status import NTStatus
from credssp.target import Target

pytestmark = pytest.mark.interop

ACCOUNTS = MemoryAccounts({("LAB", "alice"): "Sécret 1", ("", "bob"): "hunter2", ("lab.test", "carol"): "pässword"})


def pyspnego_client(user, password, **settings):
    return spnego.client(user, password, hostname="server", service="TERMSRV", protocol="ntlm", **settings)


@pytest.mark.parametrize(
    ("user", "password", "domain", "name"),
    [
        ("LAB\\alice", "Sécret 1", "LAB", "alice"),
        ("lab\\ALICE", "Sécret 1", "LAB", "alice"),
        ("ANYTHING\\bob", "hunter2", "", "bob"),
        ("bob", "hunter2", "", "bob"),
        ("carol@lab.test", "pässword", "lab.test", "carol"),
    ],
)
def test_pyspnego_logs_on_and_wraps_both_ways(user, password, domain, name):
    client = pyspnego_client(user, password)
    acceptor = NTLMAcceptor(ACCOUNTS, spn="termsrv/server")
    acceptor.step(client.step(acceptor.step(client.step())))
    assert client.complete
    assert acceptor.complete
    assert (acceptor.identity.domain, acceptor.identity.username) == (domain, name)
    assert acceptor.session_key == client.session_key
    for size in (0, 1, 48, 4096):
        assert acceptor.unwrap(client.wrap(b"c" * size).data) == b"c" * size
        assert client.unwrap(acceptor.wrap(b"s" * size)).data == b"s" * size


def test_pyspnego_with_a_domain_of_our_own_names():
    client = pyspnego_client("LAB\\alice", "Sécret 1")
    acceptor = NTLMAcceptor(ACCOUNTS, target=NTLMTarget("SRV", "LAB", "srv.lab.test", "lab.test", "test", True))
    acceptor.step(client.step(acceptor.step(client.step())))
    assert acceptor.complete


def test_pyspnego_with_channel_bindings():
    data = b"tls-server-end-point:" + b"\7" * 32
    bindings = spnego.channel_bindings.GssChannelBindings(application_data=data)
    client = pyspnego_client("LAB\\alice", "Sécret 1", channel_bindings=bindings)
    acceptor = NTLMAcceptor(ACCOUNTS, channel_bindings=data)
    acceptor.step(client.step(acceptor.step(client.step())))
    assert acceptor.complete


def test_pyspnego_with_a_wrong_password_is_refused():
    client = pyspnego_client("LAB\\alice", "wrong")
    acceptor = NTLMAcceptor(ACCOUNTS)
    token = client.step(acceptor.step(client.step()))
    with pytest.raises(AuthenticationError) as caught:
        acceptor.step(token)
    assert caught.value.ntstatus == NTStatus.STATUS_LOGON_FAILURE


def impacket_login(acceptor, user, password, domain, lm_hash="", nt_hash=""):
    first = impacket.ntlm.getNTLMSSPType1("", "", True, use_ntlmv2=True)
    challenge = acceptor.step(first.getData())
    third, key = impacket.ntlm.getNTLMSSPType3(
        first, challenge, user, password, domain, lm_hash, nt_hash, use_ntlmv2=True
    )
    acceptor.step(third.getData())
    return challenge, key


def test_impacket_logs_on_where_a_mic_is_not_demanded():
    acceptor = NTLMAcceptor(ACCOUNTS, require_mic=False)
    _, key = impacket_login(acceptor, "alice", "Sécret 1", "LAB")
    assert acceptor.session_key == key
    flags = 0xE2088235
    cipher = impacket.ntlm.ARC4
    sealing_key = impacket.ntlm.SEALKEY(flags, key)
    signing_key = impacket.ntlm.SIGNKEY(flags, key)
    sealed, signature = impacket.ntlm.SEAL(
        flags, signing_key, sealing_key, b"plain", b"plain", 0, cipher.new(sealing_key).encrypt
    )
    assert acceptor.unwrap(signature.getData() + sealed) == b"plain"


def test_impacket_logs_on_with_a_hash():
    acceptor = NTLMAcceptor(MemoryAccounts({("LAB", "bob"): b"\x11" * 16}), require_mic=False)
    impacket_login(acceptor, "bob", "", "LAB", lm_hash=b"\0" * 16, nt_hash=b"\x11" * 16)
    assert acceptor.complete


def test_impacket_is_refused_where_a_mic_is_demanded():
    with pytest.raises(AuthenticationError, match="no MIC"):
        impacket_login(NTLMAcceptor(ACCOUNTS), "alice", "Sécret 1", "LAB")


# Our initiator's messages, as others read them


def our_login(challenge=None):
    """Return CHALLENGE and our AUTHENTICATE for it, with its session key."""
    client = NTLMInitiator(
        PasswordCredentials("käthe", "Sécret 1", domain="LAB"), Target("TERMSRV", "server"), workstation="PC-1"
    )
    first = client.step(None)
    challenge = NTLMAcceptor(ACCOUNTS).step(first) if challenge is None else challenge
    return challenge, client.step(challenge), client.session_key


def test_pyspnego_reads_what_we_wrote():
    _, token, _ = our_login()
    message = theirs.Authenticate.unpack(token, encoding="utf-16-le")
    assert (message.user_name, message.domain_name, message.workstation) == ("käthe", "LAB", "PC-1")
    assert message.lm_challenge_response == bytes(24)
    assert message.nt_challenge_response == Authenticate.decode(token).nt_response
    assert message.mic == Authenticate.decode(token).mic
    assert str(message.version) == "10.0.20348.15"


def test_pyspnego_and_our_initiator_say_the_same():
    client = pyspnego_client("LAB\\käthe", "Sécret 1")
    first = client.step()
    assert Negotiate.decode(first).flags == 0xE2088237
    challenge = NTLMAcceptor(ACCOUNTS).step(first)
    their_message, our_message = (
        Authenticate.decode(client.step(challenge)),
        Authenticate.decode(our_login(challenge)[1]),
    )
    for name in ("username", "domain", "lm_response", "mic_offset", "payload_offset"):
        assert getattr(our_message, name) == getattr(their_message, name)
    # pyspnego sends back the bits that are the server's to set, too.
    assert our_message.flags == their_message.flags & ~0x00030000
    assert our_message.ntlmv2.timestamp == their_message.ntlmv2.timestamp
    ours, pyspnegos = dict(our_message.ntlmv2.target_info.pairs), dict(their_message.ntlmv2.target_info.pairs)
    assert ours == pyspnegos | {10: bytes(16)}


def test_impacket_reads_what_we_wrote_and_comes_to_the_same_keys():
    challenge, token, session_key = our_login()
    message = impacket.ntlm.NTLMAuthChallengeResponse()
    message.fromString(token)
    assert message["user_name"].decode("utf-16-le") == "käthe"
    assert message["domain_name"].decode("utf-16-le") == "LAB"
    assert message["host_name"].decode("utf-16-le") == "PC-1"
    key = impacket.ntlm.NTOWFv2("käthe", "Sécret 1", "LAB")
    response = message["ntlm"]
    proof = impacket.ntlm.hmac_md5(key, challenge[24:32] + response[16:])
    assert proof == response[:16]
    base_key = impacket.ntlm.hmac_md5(key, proof)
    assert impacket.ntlm.generateEncryptedSessionKey(base_key, session_key) == message["session_key"]
