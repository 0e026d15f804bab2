"""Our initiators and acceptors against those of pyspnego, which share nothing with ours but NTLM's message writer."""

import pytest
import spnego
from spnego import NegotiateOptions

from credssp.context.acceptor import create_acceptor
from credssp.context.initiator import create_initiator
from credssp.credentials import NTHashCredentials, PasswordCredentials
from credssp.errors import CredSSPError
from credssp.nt_hash import nt_hash
from tests.spnego.scripted_mechanism import Accounts

pytestmark = pytest.mark.interop

CREDENTIALS = [PasswordCredentials("alice", "secret", domain="LAB"), NTHashCredentials("LAB\\alice", nt_hash("secret"))]


@pytest.fixture
def pyspnego_server(monkeypatch, tmp_path):
    users = tmp_path / "users"
    users.write_text("LAB:alice:secret\n")
    monkeypatch.setenv("NTLM_USER_FILE", str(users))

    def make(form):
        option = NegotiateOptions.use_negotiate if form == "spnego" else NegotiateOptions.use_ntlm
        return spnego.server(protocol="negotiate" if form == "spnego" else "ntlm", options=option)

    return make


@pytest.mark.parametrize("credentials", CREDENTIALS, ids=["password", "hash"])
@pytest.mark.parametrize(("mechanism", "form"), [("negotiate", "spnego"), ("ntlm", "ntlm"), ("auto", "ntlm")])
def test_our_initiator_logs_on_to_pyspnego(pyspnego_server, credentials, mechanism, form):
    client = create_initiator(credentials, target_name="TERMSRV/srv", mechanism=mechanism)
    server = pyspnego_server(form)
    token = client.step(server.step(client.step(None)))
    assert client.can_wrap
    sealed = client.wrap(b"pubKeyAuth")  # goes with the token
    last = server.step(token)
    assert server.unwrap(sealed).data == b"pubKeyAuth"
    if last is not None:
        assert client.step(last) is None
    assert client.complete
    assert client.unwrap(server.wrap(b"pubKeyAuth+1").data) == b"pubKeyAuth+1"
    assert server.unwrap(client.wrap(b"authInfo")).data == b"authInfo"
    assert client.session_key == server.session_key
    assert server.client_principal == "LAB\\alice"


def test_wrong_password_is_not_taken_by_pyspnego(pyspnego_server):
    wrong = PasswordCredentials("alice", "wrong", domain="LAB")
    client, server = create_initiator(wrong, target_name="srv", mechanism="negotiate"), pyspnego_server("spnego")
    with pytest.raises(spnego.exceptions.SpnegoError):
        server.step(client.step(server.step(client.step(None))))


@pytest.mark.parametrize(
    ("protocol", "option", "form"),
    [("negotiate", NegotiateOptions.use_negotiate, "spnego"), ("ntlm", NegotiateOptions.use_ntlm, "ntlm")],
)
def test_pyspnego_logs_on_to_our_acceptor(protocol, option, form):
    client = spnego.client("LAB\\alice", "secret", hostname="srv", service="TERMSRV", protocol=protocol, options=option)
    server = create_acceptor(Accounts(), spn="TERMSRV/srv")
    last = server.step(client.step(server.step(client.step())))
    assert server.complete
    assert server.wire_form == form
    if last is not None:
        client.step(last)
    assert client.complete
    assert server.unwrap(client.wrap(b"pubKeyAuth").data) == b"pubKeyAuth"
    assert client.unwrap(server.wrap(b"pubKeyAuth+1")).data == b"pubKeyAuth+1"
    assert server.unwrap(client.wrap(b"authInfo").data) == b"authInfo"
    assert server.identity.username == "alice"


@pytest.mark.parametrize("option", [NegotiateOptions.use_negotiate, NegotiateOptions.use_ntlm])
def test_pyspnego_with_the_wrong_password_is_refused(option):
    client = spnego.client(
        "LAB\\alice",
        "wrong",
        protocol="negotiate" if option & NegotiateOptions.use_negotiate else "ntlm",
        options=option,
    )
    server = create_acceptor(Accounts())
    token = client.step(server.step(client.step()))
    with pytest.raises(CredSSPError):
        server.step(token)
