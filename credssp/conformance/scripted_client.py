"""The suite's client: one login at a server, a good one but for what its `ClientScript` gets wrong.

A script says how the login goes; each of its three messages can be edited before it is sent. What came of it is in the
`ScriptedClient`: how far the server went along, and how it ended. As the suite's probe it goes on whatever the server
says; a script that refuses makes it a client that can be judged itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from credssp import binding
from credssp.conformance.chance import octets
from credssp.conformance.connection import Connection, Reply, Sent, Waiting, writes_of
from credssp.conformance.inner import Inner
from credssp.conformance.kerberos import KerberosClient
from credssp.conformance.ntlm import NO_BINDINGS, NTLMClient
from credssp.conformance.observation import KnownPlaintext, Observation
from credssp.conformance.rule import Role
from credssp.conformance.setup import WireForm
from credssp.errors import CredSSPError
from credssp.exchange.account import LogonAccount
from credssp.exchange.recorded_login import RecordedLogin
from credssp.kerberos.tickets import ServiceTicket
from credssp.ntlm.crypto import channel_bindings_hash
from credssp.protocol_version import HIGHEST_VERSION, effective_version, has_hashed_binding
from credssp.spnego import OID, NegState, NegTokenInit, NegTokenResp
from credssp.tls.end_point import end_point_bindings
from credssp.wire.ts_request import TSRequest

__all__ = ["ClientScript", "Edit", "ScriptedClient", "Stage", "bindings_hash"]

Edit: TypeAlias = Callable[["ScriptedClient", TSRequest], Sent]
"""Returns what goes out in place of a message: another one, bytes, several TLS writes, or None for nothing."""

_AFTER_ECHO: Final = 2.0
"""Seconds in which a server that refuses by sending our pubKeyAuth back closes; others wait for authInfo."""

Stage: TypeAlias = Literal["tls", "first", "key", "auth", "done"]

FRESH: Final = b"fresh"
"""Means a random nonce of the right size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientScript:
    """How a login goes; the defaults are a good one.

    Attributes:
        form: NTLM or Kerberos, bare or in SPNEGO.
        version: version of the first message.
        key_version: version of the message with pubKeyAuth; None for the same.
        auth_version: version of the message with authInfo; None for the same.
        nonce: clientNonce beside pubKeyAuth, None for none, `FRESH` for a good one if the version has it.
        first_nonce: clientNonce in the first message, likewise.
        ntlm: arguments of `NTLMClient`.
        kerberos: arguments of `KerberosClient`.
        password: in place of the right one.
        username: in place of the right one.
        mech_types: what SPNEGO offers, empty for the mechanism alone; the first token goes along only if the mechanism
            is the first.
        mic: the mechListMIC of SPNEGO: ``good`` (with Kerberos only where the server asks for it), ``bad``, ``none``,
            ``other`` (right, but over another list).
        key_value: plaintext of pubKeyAuth; None for the right one.
        key_octets: what becomes of the encrypted pubKeyAuth.
        credentials: plaintext of authInfo; None for the account's password.
        auth_octets: what becomes of the encrypted authInfo.
        seal_key: encrypts the plaintext of pubKeyAuth in place of a good mechanism.
        seal_auth: encrypts the plaintext of authInfo likewise.
        bound: send the channel bindings of the outermost TLS (RFC 5929, ``tls-server-end-point``).
        full_capitals: make NTOWFv2 with the capitals of Unicode (``SS`` for ``ß``), which Windows does not use.
        separate_key: send the last token alone and pubKeyAuth in a message of its own.
        first: edits the first message.
        key: edits the one with pubKeyAuth.
        auth: edits the one with authInfo.
        inner: makes another inner authentication than the form has.
        heard: what becomes of a message of the server before it is looked at.
        refuses: whether the client ends the login at a message of the server, its pubKeyAuth opened; None for never.
    """

    form: WireForm = ""
    version: int = HIGHEST_VERSION
    key_version: int | None = None
    auth_version: int | None = None
    nonce: bytes | None = FRESH
    first_nonce: bytes | None = None
    ntlm: Mapping[str, Any] = field(default_factory=dict)
    kerberos: Mapping[str, Any] = field(default_factory=dict)
    password: str | None = None
    username: str | None = None
    mech_types: tuple[str, ...] = ()
    mic: Literal["good", "bad", "none", "other"] = "good"
    key_value: Callable[[ScriptedClient], bytes] | None = None
    key_octets: Callable[[bytes], bytes] | None = None
    credentials: bytes | None = None
    auth_octets: Callable[[bytes], bytes] | None = None
    seal_key: Callable[[ScriptedClient, bytes], bytes] | None = None
    seal_auth: Callable[[ScriptedClient, bytes], bytes] | None = None
    bound: bool = False
    full_capitals: bool = False
    separate_key: bool = False
    first: Edit | None = None
    key: Edit | None = None
    auth: Edit | None = None
    inner: Callable[[ScriptedClient], Inner] | None = None
    heard: Callable[[TSRequest], TSRequest] | None = None
    refuses: Callable[[ScriptedClient, TSRequest], bool] | None = None

    @property
    def in_spnego(self) -> bool:
        """Whether tokens are SPNEGO's."""
        return self.form.startswith("spnego")

    @property
    def is_kerberos(self) -> bool:
        """Whether Kerberos is inside."""
        return self.form.endswith("kerberos")


def bindings_hash(certificate: bytes) -> bytes:
    """Return the hash of the channel bindings to this certificate; zeros where RFC 5929 defines none for it."""
    data = end_point_bindings(certificate) if certificate else None
    return NO_BINDINGS if data is None else channel_bindings_hash(data)


class ScriptedClient:
    """A login under way, and what came of it.

    Attributes:
        connection: the connection.
        script: how the login goes.
        stage: the message the server reacted to last; ``done`` after authInfo.
        end: how the server ended it, or None where it went along to the end.
        accepted: whether the server took the login; None where it does not show.
        server_version: its version, or None.
        nonce: the nonce that counts.
        key_reply: the server's message with pubKeyAuth, or None.
        server_key: what was in it; None where it is absent or does not open.
        certificate: that of the server, of the outermost TLS; empty where it is not known.
    """

    def __init__(
        self,
        connection: Connection,
        script: ClientScript,
        account: LogonAccount,
        *,
        public_key: bytes,
        target_name: str,
        ticket: ServiceTicket | None = None,
        certificate: bytes = b"",
    ) -> None:
        self.connection = connection
        self.script = script
        self.stage: Stage = "tls"
        self.end: Reply | None = None
        self.accepted: bool | None = None
        self.server_version: int | None = None
        self.public_key = public_key
        self.certificate = certificate
        self.key_reply: TSRequest | None = None
        self.server_key: bytes | None = None
        self.own_key_auth = b""
        self.account = account
        self.target_name = target_name
        self.nonce = octets(binding.NONCE_SIZE)
        password = account.password if script.password is None else script.password
        self._used = LogonAccount(script.username or account.username, password, account.domain)
        self.inner = self._make_inner(ticket) if script.inner is None else script.inner(self)
        self._init = NegTokenInit(script.mech_types or self.inner.mech_types)
        self._reply: NegTokenResp | None = None
        self._heard: bytes | None = None
        self._client_key: bytes | None = None
        self._auth_info: bytes | None = None

    def _make_inner(self, ticket: ServiceTicket | None) -> Inner:
        script = self.script
        bound: dict[str, Any] = {"bindings": bindings_hash(self.certificate)} if script.bound else {}
        if script.is_kerberos:
            assert ticket is not None  # noqa: S101  # the run sees to it
            usual = bound | {"ticket": ticket, "in_turn": script.refuses is not None}
            return KerberosClient(**usual | dict(script.kerberos))
        usual = bound | ({"upper": str.upper} if script.full_capitals else {})
        return NTLMClient(account=self._used, target_name=self.target_name, **usual | dict(script.ntlm))

    # What came of it

    @property
    def key_answered(self) -> bool:
        """Whether the server answered with a pubKeyAuth of its own: to the client that means "you are right"."""
        return self.key_reply is not None and not self.echoed

    @property
    def echoed(self) -> bool:
        """Whether the server sent the client's own pubKeyAuth back: a refusal by servers that edit what they received.

        FreeRDP's do so where they have no errorCode to send, and close the connection after it.
        """
        return self.key_reply is not None and self.key_reply.pub_key_auth == self.own_key_auth

    @property
    def error_code(self) -> int | None:
        """The server's errorCode, or None."""
        return None if self.end is None else self.end.error_code

    @property
    def crash(self) -> str:
        """How the server crashed, or an empty string."""
        return self.connection.link.crash

    def observed(self) -> Observation:
        """Return the login as it was recorded, to be judged as the server's."""
        connection = self.connection
        login = RecordedLogin(
            connection.exchanged,
            public_key=self.public_key,
            account=self.account,
            records=tuple(count for _, count in connection.messages),
            outcome="accepted" if self.accepted else "refused",
        )
        plain = KnownPlaintext(self._client_key, self.server_key, self._auth_info) if self.script.is_kerberos else None
        return Observation(login, Role.SERVER, plain)

    @property
    def kerberos(self) -> KerberosClient | None:
        """The Kerberos client, or None with NTLM."""
        return self.inner if isinstance(self.inner, KerberosClient) else None

    @property
    def effective(self) -> int:
        """The version that both sides use, as this side sees it."""
        return effective_version(self.script.version, self.server_version or HIGHEST_VERSION)

    def client_value(
        self, version: int | None = None, *, nonce: bytes | None = None, key: bytes | None = None
    ) -> bytes:
        """Return the plaintext of a right pubKeyAuth, or of one that is right for other circumstances."""
        return binding.client_value(
            self.effective if version is None else version,
            self.nonce if nonce is None else nonce,
            self.public_key if key is None else key,
        )

    def wrap(self, data: bytes) -> bytes:
        """Encrypt with the session key."""
        return self.inner.session.wrap(data)

    # The login

    def run(self) -> None:
        """Go as far as the server goes along."""
        self.connection.wait(self.logging_on())

    def logging_on(self) -> Waiting[None]:
        """Go as far as the server goes along, as `run`."""
        challenge = yield from self._negotiate()
        if challenge is not None and (yield from self._bind(challenge)):
            yield from self._delegate()

    def _exchange(self, message: TSRequest, edit: Edit | None) -> Waiting[TSRequest | None]:
        """Send and wait; returns the answer, or None where the server ended it (see `end`)."""
        return (yield from self._receive()) if (yield from self._send(message, edit)) else None

    def _send(self, message: TSRequest, edit: Edit | None) -> Waiting[bool]:
        sent: Sent = message if edit is None else edit(self, message)
        if sent is None:
            self.end = yield from self.connection.receiving()
            return False
        self.connection.send(*writes_of(sent))
        return True

    def _receive(self) -> Waiting[TSRequest | None]:
        reply = yield from self.connection.receiving()
        request = reply.request
        if request is not None and self.script.heard is not None:
            request = self.script.heard(request)
        if request is None or request.error_code is not None:
            self.end = reply
            return None
        if self.server_version is None:
            self.server_version = request.version
        if request.pub_key_auth is not None and self.stage == "key":
            self.key_reply = request
            self._open(request)
        if self.script.refuses is not None and self.script.refuses(self, request):
            self.end = reply
            return None
        return request

    def _negotiate(self) -> Waiting[bytes | None]:
        """Send the first token and return what answers it, CHALLENGE or AP-REP, or None."""
        self.stage = "first"
        script = self.script
        token = own = self.inner.first()
        offered = self._init.mech_types
        optimistic = offered[0] in (*self.inner.mech_types, OID.MS_KERBEROS if script.is_kerberos else "")
        if script.in_spnego:
            self._init = NegTokenInit(offered, own if optimistic else b"\x00" * 16)
            token = self._init.encode()
        nonce = self.nonce if script.first_nonce == FRESH else script.first_nonce
        first = TSRequest(script.version, nego_tokens=(token,), client_nonce=nonce)
        answer = yield from self._exchange(first, script.first)
        if answer is None or not script.in_spnego:
            return self._token(answer)
        reply = self._spnego(answer)
        if reply is not None and not reply.response_token:
            # The server chose our mechanism, which was not the first that we offered: its token is due now.
            again = NegTokenResp(response_token=own).encode()
            answer = yield from self._exchange(TSRequest(script.version, nego_tokens=(again,)), None)
            reply = self._spnego(answer)
        self._reply = reply
        return None if reply is None else reply.response_token

    def _token(self, answer: TSRequest | None) -> bytes | None:
        if answer is None or not answer.nego_tokens:
            return None
        return answer.nego_tokens[0]

    def _spnego(self, answer: TSRequest | None) -> NegTokenResp | None:
        token = self._token(answer)
        if token is None:
            return None
        try:
            return NegTokenResp.decode(token)
        except CredSSPError as error:
            self.end = Reply.unusable(token, error)
            return None

    def _bind(self, challenge: bytes) -> Waiting[bool]:
        script = self.script
        try:
            last = self.inner.answer(challenge)
            self._verify_mech_list_mic(self._reply)
        except CredSSPError as error:
            self.end = Reply.unusable(challenge, error)
            return False
        self.stage = "key"
        token = self._last_token(last) if script.in_spnego else last
        version = script.version if script.key_version is None else script.key_version
        if script.separate_key:
            alone = TSRequest(version, nego_tokens=(token or b"",))
            if not script.in_spnego:
                yield from self._send(alone, None)
            elif not (yield from self._hear_last(alone)):
                return False
        answer = yield from self._exchange(self._with_key(None if script.separate_key else token), script.key)
        if answer is None or answer.pub_key_auth is None:
            if self.end is None:
                self.end = yield from self.connection.receiving()
            return False
        if self.echoed:
            following = yield from self.connection.receiving(min(self.connection.timeout, _AFTER_ECHO))
            self.end = dataclasses.replace(following, note=f"the client's own pubKeyAuth, then {following}")
            return False
        return True

    def last_message(self, last: bytes) -> TSRequest:
        """Return the message with another last token of NTLM in place of the one that was sent."""
        return self._with_key(self._last_token(last) if self.script.in_spnego else last)

    def _with_key(self, token: bytes | None) -> TSRequest:
        """Return the message with pubKeyAuth, beside a last token or without one."""
        script = self.script
        nonce = script.nonce
        if nonce == FRESH:
            nonce = self.nonce if has_hashed_binding(self.effective) else None
        value = self._client_key = self.client_value() if script.key_value is None else script.key_value(self)
        sealed = self.wrap(value) if script.seal_key is None else script.seal_key(self, value)
        self.own_key_auth = sealed if script.key_octets is None else script.key_octets(sealed)
        return TSRequest(
            script.version if script.key_version is None else script.key_version,
            nego_tokens=None if token is None else (token,),
            pub_key_auth=self.own_key_auth,
            client_nonce=nonce,
        )

    def _hear_last(self, message: TSRequest) -> Waiting[bool]:
        """Send our last token alone and check the mechListMIC of the server that answers it."""
        answer = yield from self._exchange(message, None)
        if answer is None:
            return False
        try:
            self._verify_mech_list_mic(self._spnego(answer))
            self._heard = self._token(answer)
        except CredSSPError as error:
            self.end = Reply.unusable(self._token(answer) or b"", error)
        return self.end is None

    def _last_token(self, last: bytes | None) -> bytes | None:
        """Put our last token into SPNEGO, with the mechListMIC; None where nothing is due."""
        asked = self._reply is not None and self._reply.neg_state is not NegState.ACCEPT_COMPLETED
        if last is None and not asked and self.script.mic in ("good", "none"):
            return None
        return NegTokenResp(
            NegState.ACCEPT_INCOMPLETE, response_token=last, mech_list_mic=self._mech_list_mic()
        ).encode()

    def _verify_mech_list_mic(self, reply: NegTokenResp | None) -> None:
        mic = None if reply is None else reply.effective_mic()
        if mic is not None:
            self.inner.session.verify_mech_list_mic(self._init.mech_types_der, mic)

    def _mech_list_mic(self) -> bytes | None:
        mode = self.script.mic
        if mode == "none":
            return None
        covered = self._init.mech_types_der
        if mode == "other":
            covered = NegTokenInit((OID.NEGOEX, *self._init.mech_types)).mech_types_der
        mic = self.inner.session.make_mech_list_mic(covered)
        if mode != "bad":
            return mic
        # Of NTLM's 16 bytes the fifth is the first of the checksum; of Kerberos' MIC token the last is one of it.
        at = len(mic) - 1 if self.script.is_kerberos else 4
        return mic[:at] + bytes((mic[at] ^ 1,)) + mic[at + 1 :]

    def _open(self, answer: TSRequest) -> None:
        """Open the server's pubKeyAuth; its last mechListMIC may ride along and counts in the sequence, once.

        FreeRDP 3 repeats the token of the message before.
        """
        try:
            if answer.nego_tokens and self.script.in_spnego and answer.nego_tokens[0] != self._heard:
                self._verify_mech_list_mic(NegTokenResp.decode(answer.nego_tokens[0]))
            self.server_key = self.inner.session.unwrap(answer.pub_key_auth or b"")
        except CredSSPError:
            self.server_key = None

    @property
    def server_is_right(self) -> bool:
        """Whether the server's pubKeyAuth is what it must be."""
        return self.server_key == binding.server_value(self.effective, self.nonce, self.public_key)

    def _delegate(self) -> Waiting[None]:
        script = self.script
        self.stage = "auth"
        credentials = script.credentials
        if credentials is None:
            credentials = self._used.credentials.to_wire().encode()
        self._auth_info = credentials
        sealed = self.wrap(credentials) if script.seal_auth is None else script.seal_auth(self, credentials)
        if script.auth_octets is not None:
            sealed = script.auth_octets(sealed)
        version = script.version if script.auth_version is None else script.auth_version
        if (yield from self._send(TSRequest(version, auth_info=sealed), script.auth)):
            self.stage = "done"
