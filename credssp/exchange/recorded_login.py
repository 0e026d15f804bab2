"""The messages of one login put together: TSRequests decoded, and the inner tokens by what they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from credssp.errors import CredSSPError
from credssp.exchange.account import LogonAccount
from credssp.kerberos.ap import AP_REQ, APReq, Ticket, unframe
from credssp.kerberos.view import kerberos_name
from credssp.ntlm.messages import SIGNATURE, Authenticate, Challenge, Negotiate, decode_message
from credssp.protocol_version import effective_version
from credssp.spnego import NegTokenInit, NegTokenResp, decode
from credssp.wire.ts_request import TSRequest

__all__ = ["NTLMMessages", "RecordedLogin", "Request", "Sender", "inner_token"]

Sender = Literal["client", "server"]


def inner_token(token: bytes) -> bytes:
    """Return the mechanism's own token, out of SPNEGO if it is in there; the token itself where it is not."""
    spnego = _spnego(token)
    if spnego is None:
        return token
    return (spnego.mech_token if isinstance(spnego, NegTokenInit) else spnego.response_token) or b""


def _spnego(token: bytes) -> NegTokenInit | NegTokenResp | None:
    try:
        return decode(token)
    except CredSSPError:
        return None


@dataclass(frozen=True, slots=True)
class Request:
    """A TSRequest of the login.

    Attributes:
        leg: its number, from 1.
        sender: who sent it.
        message: the message, or None where it cannot be read.
        mech_list_mic: mechListMIC of its SPNEGO token, or None; also None in a token that its sender sent before.
        repeats: the leg in which the client sent this very pubKeyAuth before, or None. FreeRDP 3 sends it back where it
            takes it only after the last token, and the client sends it again.
    """

    leg: int
    sender: Sender
    message: TSRequest | None
    mech_list_mic: bytes | None = field(default=None, repr=False)
    repeats: int | None = None


@dataclass(slots=True)
class NTLMMessages:
    """The three messages of NTLM as they went over the wire, and decoded where they can be.

    Attributes:
        negotiate: NEGOTIATE, or empty.
        challenge: CHALLENGE, or empty.
        authenticate: AUTHENTICATE, or empty.
        negotiate_message: the NEGOTIATE decoded, or None.
        challenge_message: the CHALLENGE decoded, or None.
        authenticate_message: the AUTHENTICATE decoded, or None.
    """

    negotiate: bytes = field(default=b"", repr=False)
    challenge: bytes = field(default=b"", repr=False)
    authenticate: bytes = field(default=b"", repr=False)
    negotiate_message: Negotiate | None = None
    challenge_message: Challenge | None = None
    authenticate_message: Authenticate | None = None

    def take(self, token: bytes) -> None:
        """Note a token that begins with the signature of NTLM; one that does not decode is ignored."""
        try:
            message = decode_message(token)
        except CredSSPError:
            return
        if isinstance(message, Negotiate):
            if not self.negotiate:
                self.negotiate, self.negotiate_message = token, message
        elif isinstance(message, Challenge):
            self.challenge, self.challenge_message = token, message
        else:
            self.authenticate, self.authenticate_message = token, message

    @property
    def flags(self) -> tuple[int, int, int] | None:
        """NegotiateFlags of the three messages, or None where one is missing."""
        messages = (self.negotiate_message, self.challenge_message, self.authenticate_message)
        found = tuple(message.flags for message in messages if message is not None)
        return (found[0], found[1], found[2]) if len(found) == 3 else None


class RecordedLogin:
    """What the TSRequests of one login say together.

    Attributes:
        messages: sender and bytes of each TSRequest, in order.
        public_key: SubjectPublicKey of the server, or empty where it is not known.
        account: whose login it was, or None.
        records: in how many TLS records each message of the side under test came, where that was counted.
        name: where the login comes from, for reports.
        outcome: ``accepted``, ``refused`` or ``failed``.
        client_application: what the client sent after the login, as far as it was recorded.
        programs: the program of each side with its version, where they are known.
        requests: the TSRequests, decoded where they can be.
        ntlm: the messages of NTLM.
        wire_form: ``spnego``, ``ntlm`` or ``kerberos``: the first token; empty if there is none.
        mechanism: ``ntlm`` or ``kerberos``: what was spoken in the end; empty if it did not come to it.
        ap_req: the client's AP-REQ, or None.
        mech_types: MechTypeList as the client sent it, which mechListMICs are made over.
    """

    def __init__(
        self,
        messages: Iterable[tuple[Sender, bytes]],
        *,
        public_key: bytes = b"",
        account: LogonAccount | None = None,
        records: tuple[int, ...] = (),
        name: str = "",
        outcome: str = "accepted",
        client_application: bytes = b"",
        programs: Mapping[Sender, str] | None = None,
    ) -> None:
        self.messages = tuple(messages)
        self.public_key = public_key
        self.account = account
        self.records = records
        self.name = name
        self.outcome = outcome
        self.client_application = client_application
        self.programs = dict(programs or {})
        self.ntlm = NTLMMessages()
        self.wire_form = ""
        self.mechanism = ""
        self.ap_req: APReq | None = None
        self.mech_types = b""
        self._client_keys: dict[bytes, int] = {}
        self._tokens: set[tuple[Sender, bytes]] = set()
        self.requests = [self._read(leg, *message) for leg, message in enumerate(self.messages, 1)]

    def _read(self, leg: int, sender: Sender, data: bytes) -> Request:
        try:
            message = TSRequest.decode(data, max_size=max(len(data), 1))
        except CredSSPError:
            return Request(leg, sender, None)
        mic = None
        for token in message.nego_tokens or ():
            if (sender, token) not in self._tokens:
                mic = self._take_token(token) or mic
                self._tokens.add((sender, token))
        key = message.pub_key_auth
        repeats = None if key is None else self._client_keys.get(key)
        if key is not None and sender == "client":
            self._client_keys.setdefault(key, leg)
        return Request(leg, sender, message, mic, repeats)

    def _take_token(self, token: bytes) -> bytes | None:
        """Note an inner token and return the mechListMIC beside it."""
        if token.startswith(SIGNATURE) or kerberos_name(token):
            self._take_mechanism(token)
            return None
        spnego = _spnego(token)
        if spnego is None:
            return None
        self.wire_form = self.wire_form or "spnego"
        if isinstance(spnego, NegTokenInit):
            self.mech_types = spnego.mech_types_der
            self._take_mechanism(spnego.mech_token or b"")
            return spnego.mech_list_mic
        self._take_mechanism(spnego.response_token or b"")
        return spnego.effective_mic()

    def _take_mechanism(self, token: bytes) -> None:
        if token.startswith(SIGNATURE):
            self.mechanism = "ntlm"
            self.ntlm.take(token)
        elif kerberos_name(token):
            self.mechanism = "kerberos"
            self.ap_req = self.ap_req or _ap_req(token)
        self.wire_form = self.wire_form or self.mechanism

    # What one side said

    def of(self, sender: Sender) -> list[TSRequest]:
        """The TSRequests of one side that decode."""
        return [
            request.message for request in self.requests if request.sender == sender and request.message is not None
        ]

    def octets(self, sender: Sender) -> list[bytes]:
        """The messages of one side."""
        return [data for who, data in self.messages if who == sender]

    def tokens(self, sender: Sender) -> list[bytes]:
        """The first negoToken of every message of one side that has one."""
        return [message.nego_tokens[0] for message in self.of(sender) if message.nego_tokens]

    def version_of(self, sender: Sender) -> int | None:
        """Return the version that one side says it has, or None before its first message."""
        return next((message.version for message in self.of(sender)), None)

    def with_field(self, name: str, sender: Sender | None = None) -> Request | None:
        """Return the first TSRequest that has a field, such as ``pub_key_auth``."""
        for request in self.requests:
            has_it = request.message is not None and getattr(request.message, name) is not None
            if has_it and sender in (None, request.sender):
                return request
        return None

    @property
    def server_key(self) -> Request | None:
        """The TSRequest with the server's own pubKeyAuth, or None."""
        return next((each for each in self._server_keys() if each.repeats is None), None)

    @property
    def echo(self) -> Request | None:
        """The TSRequest in which the server sent the client's pubKeyAuth back, or None."""
        return next((each for each in self._server_keys() if each.repeats is not None), None)

    def _server_keys(self) -> Iterator[Request]:
        for request in self.requests:
            if request.sender == "server" and request.message is not None and request.message.pub_key_auth is not None:
                yield request

    # What both sides said

    @property
    def version(self) -> int | None:
        """The effective version, or None where a side has not spoken."""
        client, server = self.version_of("client"), self.version_of("server")
        return None if client is None or server is None else effective_version(client, server)

    @property
    def nonce(self) -> bytes | None:
        """ClientNonce of the message with the client's pubKeyAuth, else of its first message that has one."""
        found = [message for message in self.of("client") if message.client_nonce is not None]
        with_key = [message for message in found if message.pub_key_auth is not None]
        return next((message.client_nonce for message in (*with_key, *found)), None)

    @property
    def is_spnego(self) -> bool:
        """Whether the tokens are SPNEGO's."""
        return self.wire_form == "spnego"

    @property
    def target_name(self) -> str | None:
        """The server's name as the client knows it: MsvAvTargetName, or the service of its Kerberos ticket."""
        message = self.ntlm.authenticate_message
        response = None if message is None else message.ntlmv2
        return (None if response is None else response.target_info.target_name) or self._service or None

    @property
    def _service(self) -> str:
        if self.ap_req is None:
            return ""
        try:
            return Ticket.decode(self.ap_req.ticket).service
        except CredSSPError:
            return ""


def _ap_req(token: bytes) -> APReq | None:
    try:
        kind, message = unframe(token)
        return APReq.decode(message) if kind == AP_REQ else None
    except CredSSPError:
        return None
