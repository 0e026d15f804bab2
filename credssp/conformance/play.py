"""One login of a client under test at the suite: a good server, of which a `Script` gets one step wrong.

The inner authentication is the project's own acceptor; what goes out around it is put together by hand, so that each
of the server's messages can be edited, left out or answered with something else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from credssp import binding
from credssp.account import Account as StoredAccount
from credssp.conformance.exchange import Exchange, Opened
from credssp.conformance.kerberos import KerberosServer
from credssp.conformance.kerberos.server import KerberosAnswer
from credssp.conformance.ntlm import Account
from credssp.conformance.setup import Front
from credssp.conformance.wire import End, Reply, Wire
from credssp.errors import CredSSPError
from credssp.kerberos.tickets import ServiceKey
from credssp.mechanism_name import MechanismName
from credssp.nt_hash import nt_hash
from credssp.ntlm.acceptor import NTLMAcceptor
from credssp.ntlm.challenge import NTLMTarget
from credssp.protocol_version import effective_version
from credssp.spnego import OID, Candidate
from credssp.spnego.first_token import create_acceptor_of
from credssp.tls.certificate import ServerCertificate, generate_certificate, process_certificate
from credssp.tls.settings import ServerTLS
from credssp.wire.ts_credentials import TSCredentials, TSPasswordCreds
from credssp.wire.ts_request import TSRequest

__all__ = ["Play", "PlayEdit", "Script", "nothing_delegated"]

Sent: TypeAlias = TSRequest | bytes | tuple[bytes, ...] | None
PlayEdit: TypeAlias = Callable[["Play", TSRequest], Sent]
"""Returns what goes out in place of a message; None for nothing (the client is still waited for)."""

NTLM_ONLY: Final[tuple[MechanismName, ...]] = ("ntlm",)
NAMES: Final = NTLMTarget(nb_computer="SRV", nb_domain="LAB", dns_computer="srv.lab.test", dns_domain="lab.test")

_LEGS: Final = 4
"""Messages of a client between the first one and pubKeyAuth: two, where NTLM is its second mechanism."""

_certificates: dict[str, ServerCertificate] = {}


def certificate_of(key_type: str) -> ServerCertificate:
    """Return a certificate with this kind of key; made once."""
    if key_type in ("", "rsa"):
        return process_certificate()
    if key_type not in _certificates:
        certificate = generate_certificate(key_type.partition("-")[0])  # type: ignore[arg-type]
        while key_type.endswith("-ff") and not binding.subject_public_key(certificate.der).startswith(b"\xff"):
            # One key in 256 begins like that, and one takes a millisecond.
            certificate = generate_certificate("ed25519")
        _certificates[key_type] = certificate
    return _certificates[key_type]


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """How the suite's server behaves; the defaults are a good one.

    Attributes:
        version: the version it says it has.
        key_version: version of the message with pubKeyAuth; None for the same.
        challenge_token: what becomes of the token that answers the client's first.
        last_token: what becomes of the token that goes with pubKeyAuth (SPNEGO's accept-completed); gets None where
            there is none.
        key_value: plaintext of pubKeyAuth; None for the right one.
        key_octets: what becomes of the encrypted pubKeyAuth.
        public_key: a key to bind to in place of the certificate's.
        challenge: edits the message with CHALLENGE.
        key: edits the message with pubKeyAuth.
        front: what it says before TLS.
        tls: TLS settings.
        key_type: kind of key.
        loop: answer every token with CHALLENGE again, this often.
        kerberos: how a client's AP-REQ is answered.
        ntlm_first: prefer NTLM to Kerberos.
        seal_key: encrypts the plaintext of pubKeyAuth in place of a good mechanism.
    """

    version: int = 6
    key_version: int | None = None
    challenge_token: Callable[[bytes], bytes] | None = None
    last_token: Callable[[bytes | None], bytes | None] | None = None
    key_value: Callable[[Play], bytes] | None = None
    key_octets: Callable[[Play, bytes], bytes] | None = None
    public_key: bytes | None = None
    challenge: PlayEdit | None = None
    key: PlayEdit | None = None
    front: Front = dataclasses.field(default_factory=Front)
    tls: ServerTLS = dataclasses.field(default_factory=ServerTLS)
    key_type: str = ""
    loop: int = 0
    kerberos: KerberosAnswer = "good"
    ntlm_first: bool = False
    seal_key: Callable[[Play, bytes], bytes] | None = None


class _Store:
    """Knows one account, whatever domain it is asked for."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def find(self, domain: str, username: str) -> Sequence[StoredAccount]:
        if username.partition("@")[0].lower() != self._account.username.lower():
            return ()
        return (StoredAccount(domain, username, nt_hash(self._account.password.reveal())),)


class Play:
    """A client's login under way, and what came of it.

    Attributes:
        wire: the connection.
        script: how the server behaves.
        requests: the client's TSRequests that decode.
        key_message: the one with pubKeyAuth, or None.
        client_key: what was in it, or None.
        client_key_right: whether it was right.
        auth_message: the one with authInfo, or None.
        delegated: what was delegated, or None.
        answers: how many tokens the client answered.
        end: how the client ended it, or None where it went to the end.
        kerberos: the service that the client spoke to, or None where it did not speak Kerberos.
    """

    def __init__(
        self,
        wire: Wire,
        script: Script,
        account: Account,
        *,
        public_key: bytes,
        target_name: str,
        service_keys: Sequence[ServiceKey] = (),
    ) -> None:
        self.wire = wire
        self.script = script
        self.account = account
        self.public_key = public_key
        self.target_name = target_name
        self.requests: list[TSRequest] = []
        self.key_message: TSRequest | None = None
        self.client_key: bytes | None = None
        self.client_key_right = False
        self.auth_message: TSRequest | None = None
        self.auth_plain: bytes | None = None
        self.delegated: TSCredentials | None = None
        self.answers = 0
        self.end: Reply | None = None
        self.nonce = b""
        self.kerberos: KerberosServer | None = None
        self._server_key: bytes | None = None
        self._service_keys = service_keys
        candidates = [Candidate("ntlm", OID.NTLM, self._make_ntlm)]
        if service_keys:
            candidates.insert(len(candidates) if script.ntlm_first else 0, self._kerberos_candidate())
        self._acceptor = create_acceptor_of(candidates, require_mic=False)

    def _make_ntlm(self) -> NTLMAcceptor:
        return NTLMAcceptor(_Store(self.account), target=NAMES, require_mic=False)

    def _kerberos_candidate(self) -> Candidate:
        def make() -> KerberosServer:
            self.kerberos = KerberosServer(self._service_keys, answer=self.script.kerberos)
            return self.kerberos

        return Candidate("kerberos", OID.KERBEROS, make)

    # What came of it

    @property
    def effective(self) -> int:
        """The version that both sides use."""
        return effective_version(self.script.version, self.requests[0].version)

    @property
    def delegated_something(self) -> bool:
        """Whether the client sent authInfo, whatever was in it."""
        return self.auth_message is not None

    @property
    def crash(self) -> str:
        """How the client crashed, or an empty string."""
        return self.wire.link.crash

    @property
    def report(self) -> BaseException | None:
        """The error that the client told its caller, or None."""
        return self.wire.link.report

    @property
    def stage(self) -> str:
        """How far the client went before it ended it, in words."""
        if self.key_message is not None:
            return "after the server's pubKeyAuth"
        if self.answers:
            return "after its own second message"
        return "after the server's first token" if self.requests else "before its first TSRequest"

    def server_value(self, version: int | None = None) -> bytes:
        """Return the plaintext of a right pubKeyAuth of the server."""
        key = self.public_key if self.script.public_key is None else self.script.public_key
        return binding.server_value(self.effective if version is None else version, self.nonce, key)

    def exchange(self) -> Exchange:
        """Return it as a recorded exchange."""
        messages = tuple((e.sender, e.data) for e in self.wire.evidence if e.data and not e.note)
        counts = tuple(count for _, count in self.wire.messages)
        outcome = "accepted" if self.delegated_something else "failed"
        return Exchange(
            messages, self.public_key, self.account, counts, outcome=outcome, target_name=self.target_name,
            tls=self.wire.channel.protocol,
            plain=Opened(self.client_key, self._server_key, self.auth_plain, ()) if self.kerberos else None,
        )  # fmt: skip

    # The login

    def run(self) -> None:
        """Go as far as the client goes along."""
        first = self._receive()
        if first is None or not first.nego_tokens:
            return
        try:
            token = self._acceptor.step(first.nego_tokens[0]) or b""
        except CredSSPError as error:
            self.end = Reply.unusable(first.nego_tokens[0], error)
            return
        answer = token if self.script.challenge_token is None else self.script.challenge_token(token)
        message = TSRequest(self.script.version, nego_tokens=(answer,))
        while True:
            self._send(message, self.script.challenge)
            reply = self._receive()
            if reply is None:
                return
            self.answers += 1
            if self.answers > self.script.loop:
                break
        self._bind(reply)

    def _send(self, message: TSRequest, edit: PlayEdit | None) -> None:
        sent: Sent = message if edit is None else edit(self, message)
        if sent is not None:
            writes = sent if isinstance(sent, tuple) else (sent if isinstance(sent, bytes) else sent.encode(),)
            self.wire.send(*writes)

    def _receive(self) -> TSRequest | None:
        reply = self.wire.receive()
        request = reply.request
        if reply.end is not End.MESSAGE or request is None:
            self.end = reply
            return None
        self.requests.append(request)
        if request.client_nonce is not None:
            self.nonce = request.client_nonce
        if request.auth_info is not None:
            self._credentials(request)
        return request

    def _bind(self, message: TSRequest) -> None:
        token = None
        try:
            for _ in range(_LEGS):
                if message.nego_tokens and not self._acceptor.complete:
                    token = self._acceptor.step(message.nego_tokens[0])
                if message.pub_key_auth is not None:
                    break
                # SPNEGO: another mechanism than the client's first begins only now, and some clients wait for our
                # last mechListMIC before they bind.
                if token is not None:
                    self._send(TSRequest(self.script.version, nego_tokens=(token,)), None)
                    token = None
                following = self._receive()
                if following is None:
                    return
                message = following
            if message.pub_key_auth is None:
                return
            self.key_message = message
            self.client_key = self._acceptor.unwrap(message.pub_key_auth or b"")
        except CredSSPError as error:
            # The suite changed what the client's MIC covers; the client has gone along with it all the same.
            self.key_message = message if message.pub_key_auth is not None else None
            self.end = Reply.unusable(message.nego_tokens[0] if message.nego_tokens else b"", error)
            return
        expected = binding.client_value(self.effective, self.nonce, self.public_key)
        self.client_key_right = self.client_key == expected
        self._answer_key(token)

    def _answer_key(self, token: bytes | None) -> None:
        script = self.script
        if script.last_token is not None:
            token = script.last_token(token)
        value = self._server_key = self.server_value() if script.key_value is None else script.key_value(self)
        sealed = self._acceptor.wrap(value) if script.seal_key is None else script.seal_key(self, value)
        if script.key_octets is not None:
            sealed = script.key_octets(self, sealed)
        version = script.version if script.key_version is None else script.key_version
        self._send(TSRequest(version, nego_tokens=(token,) if token else None, pub_key_auth=sealed), script.key)
        self._receive()

    def wrap(self, data: bytes) -> bytes:
        """Encrypt with the session key."""
        return self._acceptor.wrap(data)

    def _credentials(self, message: TSRequest) -> None:
        self.auth_message = message
        try:
            self.auth_plain = self._acceptor.unwrap(message.auth_info or b"")
            self.delegated = TSCredentials.decode(self.auth_plain)
        except CredSSPError:
            self.delegated = None


def nothing_delegated(credentials: TSCredentials) -> bool:
    """Whether these are the three empty strings of Restricted Admin mode."""
    inside = credentials.credentials
    return isinstance(inside, TSPasswordCreds) and not (inside.domain_name or inside.user_name or inside.password)
