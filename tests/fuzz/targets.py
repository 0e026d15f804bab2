"""What strangers can send, by parser: each target takes any bytes, and lets nothing out but what the library promises.

`tests.fuzz.test_corpus` replays the corpus in every run of the tests; `tests.fuzz.coverage_guided` looks for more.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable

import credssp
from credssp.cli._pasted import read_pasted
from credssp.conformance.kerberos.pacs import AUTHTIME, resigned
from credssp.context.acceptor import create_acceptor
from credssp.dissect.packet import find_ip, find_segment
from credssp.dissect.proxy import ENOUGH, ProxyHead, begins_proxied
from credssp.dissect.tunnel import find_tunnel, ip_under_labels
from credssp.engine import CredentialsReceived, ServerEngine
from credssp.errors import CredSSPError
from credssp.identity import Identity
from credssp.kerberos.ap import APRep, APReq, Authenticator, EncTicketPart, KrbError
from credssp.kerberos.cred import EncKrbCredPart, KrbCred
from credssp.kerberos.keytab_file import read_keytab_file
from credssp.kerberos.pac import read_logon_info, vouched
from credssp.kerberos.session import KerberosSession
from credssp.kerberos.values import EncryptionKey
from credssp.kerberos.view import kerberos_fields
from credssp.lsa import management as agent_management
from credssp.lsa import messages as agent_messages
from credssp.lsa.caller import Caller
from credssp.lsa.faults import raised, unpack_skipped
from credssp.lsa.login import AgentLogin
from credssp.lsa.opened import CertificateRule, OpenedCredential
from credssp.lsa.store import CredentialStore
from credssp.ntlm.acceptor import NTLMAcceptor
from credssp.ntlm.challenge import NTLMTarget
from credssp.ntlm.messages import decode_message
from credssp.rdp.client_info import ClientInfo
from credssp.rdp.front import FrontServer
from credssp.rdp.negotiation import Protocol
from credssp.rdp.preconnection import PreconnectionPDU
from credssp.rdp.redirection import ServerRedirection, is_redirection
from credssp.rdp.relayed import FromClient, FromServer
from credssp.rdp.server import NLAServer
from credssp.rdp.session_start import SessionStart
from credssp.rdp.x224 import ConnectionConfirm, ConnectionRequest
from credssp.secret import Secret
from credssp.sid import is_sid
from credssp.spnego import tokens
from credssp.testing.psrp.pipeline import Pipeline
from credssp.testing.psrp.pool import RunspacePool
from credssp.testing.rdp_session import Desktop, SessionMachine
from credssp.testing.soap import parse_envelope
from credssp.tls.record import RecordTracker, end_of_records
from credssp.winrm.encryption import encrypted_parts
from credssp.winrm.header import challenge_token, request_token
from credssp.wire.ts_credentials import TSCredentials, TSPasswordCreds, TSSmartCardCreds
from credssp.wire.ts_request import TSRequest
from tests.rdp import session

__all__ = ["TARGETS"]

_ACCOUNTS = credssp.MemoryAccounts({("LAB", "alice"): "secret"})
_NAMES = NTLMTarget("SRV", "LAB", "srv.lab.test", "lab.test", "lab.test", is_domain=True)
_NEGOTIATE = bytes.fromhex("4e544c4d5353500001000000 378208e2000000002800000000000000280000000a005d580000000f")


def _each(*decoders: Callable[[bytes], object]) -> Callable[[bytes], None]:
    def target(data: bytes) -> None:
        for decoder in decoders:
            with contextlib.suppress(CredSSPError):
                decoder(data)

    return target


_PAC_KEY = EncryptionKey(18, Secret(b"k" * 32))


def _pac(data: bytes) -> None:
    """All of a PAC; where its own checks of the signature would end it, with the right one."""
    for pac in (data, resigned(data, _PAC_KEY)):
        logon = vouched(pac, _PAC_KEY, client="alice", authtime=AUTHTIME)
        assert logon is None or all(map(is_sid, (logon.sid, *logon.groups)))


def _server_engine(data: bytes) -> None:
    """Several TSRequests of a client, one after the other."""
    engine = ServerEngine(create_acceptor(_ACCOUNTS, target=_NAMES), public_key=b"key of the fuzzer", min_version=2)
    try:
        for event in engine.receive(data):
            assert not isinstance(event, CredentialsReceived)
    except CredSSPError as error:
        if error.token:
            assert TSRequest.decode(error.token).error_code is not None
    assert not engine.complete


def _rdp_session(data: bytes) -> None:
    """What a relay reads of an RDP session, from a client or a server."""
    for way in (FromClient(Protocol.SSL, rewrite=ClientInfo.without_credentials), FromServer(Protocol.HYBRID)):
        with contextlib.suppress(CredSSPError):
            way.feed(data)
            way.feed(data[-100:])
    start = SessionStart(Protocol.SSL)
    with contextlib.suppress(CredSSPError):
        start.feed(data)
    with contextlib.suppress(CredSSPError):
        size = PreconnectionPDU.size_of(data)
        PreconnectionPDU.decode(data[:size])
    if is_redirection(data):
        with contextlib.suppress(CredSSPError):
            ServerRedirection.decode(data)
    front = FrontServer(config=credssp.ServerConfig())
    with contextlib.suppress(CredSSPError):
        front.receive(data)


def _rdp_double(data: bytes) -> None:
    """What a client sends to the session of a test server: from the beginning, and once it has its screen."""
    for machine in (_beginning(), _active()):
        with contextlib.suppress(CredSSPError):
            machine.feed(data)
            machine.draw()
            machine.feed(data[-100:])
        machine.draw()
        machine.expire()
        assert machine.ended


def _beginning() -> SessionMachine:
    return SessionMachine(Desktop(reactivations=1), Protocol.HYBRID)


def _active() -> SessionMachine:
    machine = SessionMachine(Desktop(), Protocol.HYBRID)
    machine.feed(session.whole())
    assert machine.active
    return machine


def _ntlm_acceptor(data: bytes) -> None:
    """AUTHENTICATE, for a challenge that is always the same."""
    acceptor = NTLMAcceptor(_ACCOUNTS, target=_NAMES, clock=lambda: 0, random=bytes)
    acceptor.step(_NEGOTIATE)
    with contextlib.suppress(CredSSPError):
        acceptor.step(data)
    assert not acceptor.complete


def _spnego_acceptor(data: bytes) -> None:
    """The first token: NegTokenInit, bare NTLM, bare Kerberos or nonsense."""
    acceptor = create_acceptor(_ACCOUNTS, target=_NAMES)
    with contextlib.suppress(CredSSPError):
        acceptor.step(data)
    assert not acceptor.complete


def _rdp_server(data: bytes) -> None:
    server = NLAServer(accounts=_ACCOUNTS, target=_NAMES)
    with contextlib.suppress(CredSSPError):
        server.receive(data)
    server.data_to_send()
    assert not server.complete


def _http_headers(data: bytes) -> None:
    values = data.decode("latin-1").split("\n")
    for parse in (request_token, challenge_token):
        with contextlib.suppress(CredSSPError):
            parse(values)


def _winrm_body(data: bytes) -> None:
    """The Content-Type in the first line, then the body."""
    content_type, _, body = data.partition(b"\n")
    with contextlib.suppress(CredSSPError):
        for part in encrypted_parts(content_type.decode("latin-1"), body, max_size=1 << 20):
            assert len(part.records) <= len(body)


def _records(data: bytes) -> None:
    whole, pieces = RecordTracker(), RecordTracker()
    whole.feed(data)
    for at in range(0, len(data), 7):
        pieces.feed(data[at : at + 7])
    assert (whole.missing, whole.count) == (pieces.missing, pieces.count)
    with contextlib.suppress(CredSSPError):
        assert 0 <= end_of_records(data) <= len(data)


def _proxy(data: bytes) -> None:
    """What precedes a proxied stream: after the first 32 bytes, the sides take turns of 16."""
    if not data or not begins_proxied(data[:ENOUGH]):
        return
    head = ProxyHead(data[:ENOUGH])
    for at in range(0, len(data), 16):
        if not head.done:
            head.feed("server" if at >= 32 and at % 32 else "client", data[at : at + 16])
    assert len(head.summary) <= 4 * len(data) + 100


def _tunnel(data: bytes) -> None:
    """An Ethernet frame, through all tunnels in it."""
    start = find_ip(1, data)
    start = ip_under_labels(1, data) if start < 0 else start
    while start >= 0 and (found := find_tunnel(data, start)) is not None and found.link_type >= 0:
        assert found.at > start
        data = data[found.at :]
        start = find_ip(found.link_type, data)
    with contextlib.suppress(ValueError):
        find_segment(data, max(start, 0))


def _pasted(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        read_pasted(data.decode("latin-1"))


def _wrap_token(data: bytes) -> None:
    """What a client sealed or signed with Kerberos, for a key that is always the same."""
    key = EncryptionKey(18, Secret(bytes(32)))
    session = KerberosSession(key, role="acceptor", acceptor_subkey=True, send=0, receive=None)
    with contextlib.suppress(CredSSPError):
        session.unwrap(data)
    with contextlib.suppress(CredSSPError):
        session.verify(b"list", data)


_OPENED = OpenedCredential(
    name="fuzzer",
    credentials=credssp.PasswordCredentials("alice", "secret", domain="LAB"),
    mechanisms=("ntlm",),
    certificate=CertificateRule(fingerprint="00" * 32),
)


def _agent(data: bytes) -> None:
    """What a program sends the agent, and an agent a program; no login begins without the pinned certificate."""
    try:
        message = agent_messages.decode(data)
    except CredSSPError:
        return
    assert message.encode() == data
    with contextlib.suppress(CredSSPError):
        if isinstance(message, agent_messages.Failed):
            assert isinstance(raised(message), CredSSPError)
        elif isinstance(message, agent_messages.Progress):
            unpack_skipped(message.skipped)
        elif isinstance(message, agent_messages.Open):
            AgentLogin(message, _OPENED).begin(1)
            raise AssertionError("a login began")
        elif isinstance(message, agent_management.ListedCredentials):
            agent_management.infos_of(message)
        elif message.kind in range(32, 128):
            store = CredentialStore()
            agent_management.manage(store, message, Caller(store.owner, 1, ""))


_POOL = "11111111-2222-3333-4444-555555555555"
_PIPELINE = "AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE"


def _remoting(data: bytes) -> None:
    """Fragments for a runspace pool that is new, for one that is open, and for a pipeline."""
    owner = Identity(username="alice", domain="LAB", mechanism="ntlm")
    new, opened = (RunspacePool(owner, 0.0, _POOL, minimum=size, maximum=size) for size in (0, 4))
    pipeline = Pipeline("", "utf-8", complete=False, pool=opened.pool_id, pipeline=uuid.UUID(_PIPELINE))
    for feed in (new.feed, opened.feed, pipeline.feed):
        with contextlib.suppress(CredSSPError):
            feed(data, 0.0)
    pipeline.take(1000, 0.0)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "tsrequest": _each(TSRequest.decode),
    "credentials": _each(TSCredentials.decode, TSPasswordCreds.decode, TSSmartCardCreds.decode),
    "engine": _server_engine,
    "ntlm": _each(decode_message),
    "authenticate": _ntlm_acceptor,
    "spnego": _each(tokens.decode),
    "acceptor": _spnego_acceptor,
    "kerberos": _each(
        APReq.decode,
        APRep.decode,
        Authenticator.decode,
        EncTicketPart.decode,
        KrbError.decode,
        KrbCred.decode,
        EncKrbCredPart.decode,
        kerberos_fields,
    ),
    "pac": _each(read_logon_info, _pac),
    "x224": _each(ConnectionRequest.decode, ConnectionConfirm.decode),
    "rdp": _rdp_server,
    "session": _rdp_session,
    "double": _rdp_double,
    "headers": _http_headers,
    "body": _winrm_body,
    "soap": _each(parse_envelope),
    "records": _records,
    "proxy": _proxy,
    "tunnel": _tunnel,
    "pasted": _pasted,
    "keytab": _each(read_keytab_file),
    "wrap": _wrap_token,
    "agent": _agent,
    "remoting": _remoting,
}
