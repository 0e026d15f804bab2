"""sspi-rs, through sspilib, in both roles against ours: another implementation that shares nothing with this one."""

import pytest

from credssp.accounts import MemoryAccounts
from credssp.credentials import PasswordCredentials
from credssp.errors import AuthenticationError
from credssp.ntlm.acceptor import NTLMAcceptor
from credssp.ntlm.initiator import NTLMInitiator
from credssp.ntlm.messages import Authenticate, Challenge, Negotiate
from credssp.target import Target

sspilib = pytest.importorskip("sspilib")  # has no wheel for every platform
pytestmark = pytest.mark.interop

ACCOUNTS = MemoryAccounts({("LAB", "alice"): "secret", ("", "jürgen"): "Grün-пароль"})
TARGET = Target("TERMSRV", "srv.lab.test")
USERS = [("alice", "secret", "LAB"), ("jürgen", "Grün-пароль", "")]


def their_client(user="alice", password="secret", domain="LAB"):
    credential = sspilib.UserCredential(user, password, domain or None, protocol="NTLM")
    flags = sspilib.IscReq.ISC_REQ_CONFIDENTIALITY | sspilib.IscReq.ISC_REQ_INTEGRITY
    return sspilib.ClientSecurityContext(credential, "TERMSRV/srv.lab.test", flags=flags)


def their_server(user="alice", password="secret", domain="LAB"):
    credential = sspilib.UserCredential(user, password, domain or None, protocol="NTLM", usage="accept")
    flags = sspilib.AscReq.ASC_REQ_CONFIDENTIALITY | sspilib.AscReq.ASC_REQ_INTEGRITY
    return sspilib.ServerSecurityContext(credential, flags=flags)


@pytest.mark.parametrize("user", USERS)
def test_sspi_rs_logs_on_to_our_acceptor_and_both_seal(user):
    client, acceptor = their_client(*user), NTLMAcceptor(ACCOUNTS)
    acceptor.step(client.step(acceptor.step(client.step())))
    assert acceptor.identity.username == user[0]
    assert acceptor.mech_list_mic_required
    for size in (0, 1, 4096):
        assert acceptor.unwrap(bytes(client.wrap(b"c" * size))) == b"c" * size
        assert client.unwrap(acceptor.wrap(b"s" * size)).data == b"s" * size


def test_sspi_rs_with_a_wrong_password_is_refused():
    client, acceptor = their_client(password="wrong"), NTLMAcceptor(ACCOUNTS)
    token = client.step(acceptor.step(client.step()))
    with pytest.raises(AuthenticationError):
        acceptor.step(token)


@pytest.mark.parametrize("user", USERS)
def test_our_initiator_logs_on_to_sspi_rs_and_both_seal(user):
    server = their_server(*user)
    initiator = NTLMInitiator(PasswordCredentials(user[0], user[1], domain=user[2]), TARGET, workstation="PC")
    server.step(initiator.step(server.step(initiator.step(None))))
    assert server.complete
    for size in (0, 1, 4096):
        assert server.unwrap(initiator.wrap(b"c" * size)).data == b"c" * size
        assert initiator.unwrap(bytes(server.wrap(b"s" * size))) == b"s" * size


def test_our_initiator_with_a_wrong_password_is_refused_by_sspi_rs():
    server = their_server()
    initiator = NTLMInitiator(PasswordCredentials("alice", "wrong", domain="LAB"), TARGET)
    token = initiator.step(server.step(initiator.step(None)))
    with pytest.raises(sspilib.WindowsError):
        server.step(token)


def test_both_clients_say_the_same_to_the_same_challenge():
    theirs, ours = their_client(), NTLMInitiator(PasswordCredentials("alice", "secret", domain="LAB"), TARGET)
    acceptor = NTLMAcceptor(ACCOUNTS)
    first = theirs.step()
    challenge = acceptor.step(first)
    assert Negotiate.decode(ours.step(None)).flags & ~Negotiate.decode(first).flags == 0
    their_message, our_message = Authenticate.decode(theirs.step(challenge)), Authenticate.decode(ours.step(challenge))
    for name in ("username", "domain", "workstation", "mic_offset", "payload_offset"):
        assert getattr(our_message, name) == getattr(their_message, name)
    ids = {av_id for av_id, _ in their_message.ntlmv2.target_info.pairs}
    pairs = dict(our_message.ntlmv2.target_info.pairs)
    assert ids <= pairs.keys()
    # sspi-rs leaves out bindings and SPN; [MS-NLMP] 3.1.5.1.2 wants zeros and the name.
    assert {av_id: pairs[av_id] for av_id in pairs.keys() - ids} == {
        9: "TERMSRV/srv.lab.test".encode("utf-16-le"),
        10: bytes(16),
    }
    assert our_message.ntlmv2.timestamp == their_message.ntlmv2.timestamp


def test_both_servers_challenge_alike():
    first = NTLMInitiator(PasswordCredentials("alice", "secret"), TARGET).step(None)
    theirs = Challenge.decode(their_server().step(first))
    ours = Challenge.decode(NTLMAcceptor(ACCOUNTS).step(first))
    assert {av_id for av_id, _ in ours.target_info.pairs} == {av_id for av_id, _ in theirs.target_info.pairs}
    assert theirs.version is not None
    assert ours.version is not None
