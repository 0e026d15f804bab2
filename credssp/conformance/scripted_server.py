"""The suite's server: one login of a client, served well but for what its `ServerScript` gets wrong.

The inner authentication is the project's own acceptor; what goes out around it is put together here, so that each of
the server's messages can be edited, left out or replaced. What the client did is in the `ScriptedServer`. As the
suite's probe it goes on whatever the client sends; a script that refuses makes it a server that can be judged itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from credssp import binding
from credssp.account import Account
from credssp.conformance.chance import octets
from credssp.conformance.connection import Connection, End, Reply, Sent, Waiting, writes_of
from credssp.conformance.kerberos import KerberosServer
from credssp.conformance.kerberos.server import KerberosAnswer
from credssp.conformance.observation import KnownPlaintext, Observation
from credssp.conformance.rule import Role
from credssp.conformance.setup import KEY_TYPES, RdpAnswer
from credssp.errors import CredSSPError
from credssp.exchange.account import LogonAccount
from credssp.exchange.recorded_login import RecordedLogin
from credssp.kerberos.tickets import ServiceKey
from credssp.mechanism_name import MechanismName
from credssp.nt_hash import nt_hash
from credssp.ntlm.acceptor import NTLMAcceptor
from credssp.ntlm.challenge import NTLMTarget
from credssp.ntlm.messages import Challenge
from credssp.protocol_version import HIGHEST_VERSION, effective_version
from credssp.spnego import OID, Candidate, SpnegoAcceptor
from credssp.tls.certificate import ServerCertificate, generate_certificate, process_certificate
from credssp.tls.settings import ServerTLS
from credssp.wire.ts_credentials import TSCredentials, TSPasswordCreds
from credssp.wire.ts_request import TSRequest

__all__ = [
    "ScriptedServer",
    "ServerEdit",
    "ServerScript",
    "certificate_of",
    "endpoint_certificates",
    "nothing_delegated",
]

ServerEdit: TypeAlias = Callable[["ScriptedServer", TSRequest], Sent]
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


def endpoint_certificates() -> bytes:
    """Return the certificates of all servers that clients meet in this process, PEM: for the clients to trust."""
    return b"".join(certificate_of(key_type).chain for key_type in KEY_TYPES)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerScript:
    """How the suite's server behaves; the defaults are a good one.

    Attributes:
        version: the version it says it has.
        key_version: version of the message with pubKeyAuth; None for the same.
        challenge_token: what becomes of the token that answers the client's first.
        ntlm_challenge: what becomes of NTLM's CHALLENGE before the acceptor sees to it that the MIC covers it.
        unsigned: never sign SPNEGO's MechTypeList with NTLM: a mechListMIC that is made counts in the sequence of what
            is sealed, and would be missed there where it is left out.
        last_token: what becomes of the last token (SPNEGO's accept-completed), which goes with pubKeyAuth, or before
            it to a client that waits for it; gets None where there is none.
        key_value: plaintext of pubKeyAuth; None for the right one.
        key_octets: what becomes of the encrypted pubKeyAuth.
        public_key: a key to bind to in place of the certificate's.
        challenge: edits the message with CHALLENGE.
        key: edits the message with pubKeyAuth.
        rdp: what it says before TLS.
        tls: TLS settings.
        key_type: kind of key.
        loop: answer every token with CHALLENGE again, this often.
        kerberos: how a client's AP-REQ is answered.
        ntlm_first: prefer NTLM to Kerberos.
        seal_key: encrypts the plaintext of pubKeyAuth in place of a good mechanism.
        form: the version whose form of the binding counts; None for the lower of the two.
        mechanisms: makes what SPNEGO chooses from, in place of the project's NTLM and the suite's Kerberos.
        heard: what becomes of a message of the client before it is looked at.
        refuses: called for a message of the client, with what was wrong with it if anything was: what goes out in its
            answer's place (``b""`` for nothing), which ends the login, or None to go on. None for never.
        after: application data that follows a login.
    """

    version: int = HIGHEST_VERSION
    key_version: int | None = None
    challenge_token: Callable[[bytes], bytes] | None = None
    ntlm_challenge: Callable[[bytes], bytes] | None = None
    unsigned: bool = False
    last_token: Callable[[bytes | None], bytes | None] | None = None
    key_value: Callable[[ScriptedServer], bytes] | None = None
    key_octets: Callable[[ScriptedServer, bytes], bytes] | None = None
    public_key: bytes | None = None
    challenge: ServerEdit | None = None
    key: ServerEdit | None = None
    rdp: RdpAnswer = dataclasses.field(default_factory=RdpAnswer)
    tls: ServerTLS = dataclasses.field(default_factory=ServerTLS)
    key_type: str = ""
    loop: int = 0
    kerberos: KerberosAnswer = "good"
    ntlm_first: bool = False
    seal_key: Callable[[ScriptedServer, bytes], bytes] | None = None
    form: Callable[[ScriptedServer], int] | None = None
    mechanisms: Callable[[ScriptedServer], Sequence[Candidate]] | None = None
    heard: Callable[[TSRequest], TSRequest] | None = None
    refuses: Callable[[ScriptedServer, TSRequest, CredSSPError | None], bytes | None] | None = None
    after: bytes = b""


class _Store:
    """Knows one account, whatever domain it is asked for."""

    def __init__(self, account: LogonAccount) -> None:
        self._account = account

    def find(self, domain: str, username: str) -> Sequence[Account]:
        if username.partition("@")[0].lower() != self._account.username.lower():
            return ()
        return (Account(domain, username, nt_hash(self._account.password.reveal())),)


class _Acceptor(NTLMAcceptor):
    """The project's, which can send another CHALLENGE and expect the client's MIC over that one; and be silent."""

    edit: Callable[[bytes], bytes] | None = None
    unsigned = False

    def make_mech_list_mic(self, mech_types: bytes) -> bytes:
        return bytes(16) if self.unsigned else super().make_mech_list_mic(mech_types)

    def _accept_negotiate(self, token: bytes) -> bytes:
        challenge = super()._accept_negotiate(token)
        if self.edit is not None:
            self._challenge = self.edit(challenge)
            self._flags &= Challenge.decode(self._challenge).flags
        return self._challenge


class ScriptedServer:
    """A client's login under way, and what came of it.

    Attributes:
        connection: the connection.
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
        connection: Connection,
        script: ServerScript,
        account: LogonAccount,
        *,
        public_key: bytes,
        service_keys: Sequence[ServiceKey] = (),
    ) -> None:
        self.connection = connection
        self.script = script
        self.account = account
        self.public_key = public_key
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
        self._last_edited = False
        self._service_keys = service_keys
        candidates = (script.mechanisms or ScriptedServer._mechanisms)(self)
        self._acceptor = SpnegoAcceptor(candidates, require_mic=False, bare=("ntlm", "kerberos"))

    def _mechanisms(self) -> list[Candidate]:
        candidates = [Candidate("ntlm", OID.NTLM, self._make_ntlm)]
        if self._service_keys:
            candidates.insert(len(candidates) if self.script.ntlm_first else 0, self._kerberos_candidate())
        return candidates

    def _make_ntlm(self) -> NTLMAcceptor:
        acceptor = _Acceptor(_Store(self.account), target=NAMES, require_mic=False, random=octets)
        acceptor.edit, acceptor.unsigned = self.script.ntlm_challenge, self.script.unsigned
        return acceptor

    def _kerberos_candidate(self) -> Candidate:
        def make() -> KerberosServer:
            careful = self.script.refuses is not None
            self.kerberos = KerberosServer(self._service_keys, answer=self.script.kerberos, in_turn=careful)
            return self.kerberos

        return Candidate("kerberos", OID.KERBEROS, make)

    # What came of it

    @property
    def effective(self) -> int:
        """The version that both sides use."""
        if self.script.form is not None:
            return self.script.form(self)
        return effective_version(self.script.version, self.requests[0].version)

    @property
    def delegated_something(self) -> bool:
        """Whether the client sent authInfo, whatever was in it."""
        return self.auth_message is not None

    @property
    def crash(self) -> str:
        """How the client crashed, or an empty string."""
        return self.connection.link.crash

    @property
    def report(self) -> BaseException | None:
        """The error that the client told its caller, or None."""
        return self.connection.link.report

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

    def observed(self) -> Observation:
        """Return the login as it was recorded, to be judged as the client's."""
        connection = self.connection
        login = RecordedLogin(
            connection.exchanged,
            public_key=self.public_key,
            account=self.account,
            records=tuple(count for _, count in connection.messages),
            outcome="accepted" if self.delegated_something else "failed",
        )
        plain = KnownPlaintext(self.client_key, self._server_key, self.auth_plain) if self.kerberos else None
        return Observation(login, Role.CLIENT, plain)

    # The login

    def run(self) -> None:
        """Go as far as the client goes along."""
        self.connection.wait(self.serving())

    def serving(self) -> Waiting[None]:
        """Go as far as the client goes along, as `run`."""
        first = yield from self._receive()
        if first is None or not first.nego_tokens:
            return
        try:
            token = self._acceptor.step(first.nego_tokens[0]) or b""
        except CredSSPError as error:
            self._stumble(first, error)
            return
        answer = token if self.script.challenge_token is None else self.script.challenge_token(token)
        message = TSRequest(self.script.version, nego_tokens=(answer,))
        while True:
            self._send(message, self.script.challenge)
            reply = yield from self._receive()
            if reply is None:
                return
            self.answers += 1
            if self.answers > self.script.loop:
                break
        yield from self._bind(reply)

    def _send(self, message: TSRequest, edit: ServerEdit | None) -> None:
        sent: Sent = message if edit is None else edit(self, message)
        if sent is not None:
            self.connection.send(*writes_of(sent))

    def _receive(self) -> Waiting[TSRequest | None]:
        reply = yield from self.connection.receiving()
        request = reply.request
        if request is None:
            self.end = reply
            return None
        if self.script.heard is not None:
            request = self.script.heard(request)
        self.requests.append(request)
        if request.client_nonce is not None:
            self.nonce = request.client_nonce
        problem = self._credentials(request) if request.auth_info is not None else None
        return None if self._refused(request, problem, reply) else request

    def _refused(self, message: TSRequest, problem: CredSSPError | None, reply: Reply) -> bool:
        """Answer with a refusal, if the script has one for this message."""
        refusal = None if self.script.refuses is None else self.script.refuses(self, message, problem)
        if refusal is None:
            return False
        if refusal:
            self.connection.send(refusal)
        self.end = reply
        return True

    def _stumble(self, message: TSRequest, error: CredSSPError) -> None:
        """End the login where the acceptor cannot use the client's message."""
        reply = Reply.unusable(message.nego_tokens[0] if message.nego_tokens else b"", error)
        if not self._refused(message, error, reply):
            self.end = reply

    def _bind(self, message: TSRequest) -> Waiting[None]:
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
                    token = self._edited(token) if self._acceptor.complete else token
                    self._send(TSRequest(self.script.version, nego_tokens=(token,) if token else None), None)
                    token = None
                following = yield from self._receive()
                if following is None:
                    return
                message = following
            if message.pub_key_auth is None:
                return
            self.key_message = message
            self.client_key = self._acceptor.unwrap(message.pub_key_auth)
        except CredSSPError as error:
            # The suite changed what the client's MIC covers; the client has gone along with it all the same.
            self.key_message = message if message.pub_key_auth is not None else None
            self._stumble(message, error)
            return
        expected = binding.client_value(self.effective, self.nonce, self.public_key)
        self.client_key_right = self.client_key == expected
        if not self._refused(message, None, Reply(End.MESSAGE, message.encode())):
            yield from self._answer_key(token)

    def _answer_key(self, token: bytes | None) -> Waiting[None]:
        script = self.script
        token = self._edited(token)
        value = self._server_key = self.server_value() if script.key_value is None else script.key_value(self)
        sealed = self._acceptor.wrap(value) if script.seal_key is None else script.seal_key(self, value)
        if script.key_octets is not None:
            sealed = script.key_octets(self, sealed)
        version = script.version if script.key_version is None else script.key_version
        self._send(TSRequest(version, nego_tokens=(token,) if token else None, pub_key_auth=sealed), script.key)
        if (yield from self._receive()) is not None and script.after:
            self.connection.send(script.after)

    def _edited(self, token: bytes | None) -> bytes | None:
        """Return what becomes of the last token, which is asked for once."""
        if self.script.last_token is None or self._last_edited:
            return token
        self._last_edited = True
        return self.script.last_token(token)

    def wrap(self, data: bytes) -> bytes:
        """Encrypt with the session key."""
        return self._acceptor.wrap(data)

    def _credentials(self, message: TSRequest) -> CredSSPError | None:
        """Open authInfo; returns what is wrong with it."""
        self.auth_message = message
        try:
            self.auth_plain = self._acceptor.unwrap(message.auth_info or b"")
            self.delegated = TSCredentials.decode(self.auth_plain)
        except CredSSPError as error:
            self.delegated = None
            return error
        return None


def nothing_delegated(credentials: TSCredentials) -> bool:
    """Whether these are the three empty strings of Restricted Admin mode."""
    inside = credentials.credentials
    return isinstance(inside, TSPasswordCreds) and not (inside.domain_name or inside.user_name or inside.password)
