"""The messages of one conversation put together: TSRequests decoded, and the inner tokens by what they are."""

from __future__ import annotations

from dataclasses import dataclass, field

from credssp.dissect.model import Conversation, Event, Sender
from credssp.errors import DecodeError, LimitExceededError
from credssp.kerberos.view import kerberos_fields, kerberos_name
from credssp.ntlm.messages import SIGNATURE, Authenticate, Challenge, Negotiate, decode_message
from credssp.protocol_version import effective_version
from credssp.spnego import NegTokenInit, NegTokenResp, decode
from credssp.wire.ts_request import TSRequest

__all__ = ["Exchange", "NTLMMessages", "Request"]


@dataclass(frozen=True, slots=True)
class Request:
    """A TSRequest of the conversation.

    Attributes:
        leg: its number, from 1.
        event: where it stands.
        message: the message, or None where it cannot be read.
        mech_list_mic: mechListMIC of its SPNEGO token, or None.
    """

    leg: int
    event: Event
    message: TSRequest | None
    mech_list_mic: bytes | None = None

    @property
    def sender(self) -> Sender:
        """Who sent it."""
        return self.event.sender


@dataclass(slots=True)
class NTLMMessages:
    """The three messages of NTLM as they went over the wire, and decoded where they can be.

    Attributes:
        negotiate: NEGOTIATE, or empty.
        challenge: CHALLENGE, or empty.
        authenticate: AUTHENTICATE, or empty.
        challenge_message: the CHALLENGE decoded, or None.
        authenticate_message: the AUTHENTICATE decoded, or None.
    """

    negotiate: bytes = field(default=b"", repr=False)
    challenge: bytes = field(default=b"", repr=False)
    authenticate: bytes = field(default=b"", repr=False)
    challenge_message: Challenge | None = None
    authenticate_message: Authenticate | None = None

    def take(self, token: bytes) -> None:
        """Note a token that begins with the signature of NTLM; one that does not decode is passed over."""
        try:
            message = decode_message(token)
        except (DecodeError, LimitExceededError):
            return
        if isinstance(message, Negotiate):
            self.negotiate = self.negotiate or token
        elif isinstance(message, Challenge):
            self.challenge, self.challenge_message = token, message
        else:
            self.authenticate, self.authenticate_message = token, message


class Exchange:
    """What the TSRequests of a conversation say together.

    Attributes:
        conversation: where they come from.
        requests: the TSRequests in order.
        ntlm: the messages of NTLM.
        wire_form: ``spnego``, ``ntlm`` or ``kerberos``: the first token; empty if there is none.
        mechanism: ``ntlm`` or ``kerberos``: what was spoken in the end; empty if it did not come to it.
        service: name of the service in the client's Kerberos ticket, such as ``TERMSRV/host``; empty if none was seen.
        mech_types: MechTypeList as the client sent it, which mechListMICs are made over.
    """

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.ntlm = NTLMMessages()
        self.wire_form = ""
        self.mechanism = ""
        self.service = ""
        self.mech_types = b""
        self.requests = [self._read(leg, event) for leg, event in enumerate(conversation.requests, 1)]

    def _read(self, leg: int, event: Event) -> Request:
        if event.error or not event.data:
            return Request(leg, event, None)
        message = TSRequest.decode(event.data, max_size=len(event.data))
        mic = None
        for token in message.nego_tokens or ():
            mic = self._take_token(token) or mic
        return Request(leg, event, message, mic)

    def _take_token(self, token: bytes) -> bytes | None:
        """Note an inner token and return the mechListMIC beside it."""
        if token.startswith(SIGNATURE) or kerberos_name(token):
            self._take_mechanism(token)
            return None
        try:
            spnego = decode(token)
        except (DecodeError, LimitExceededError):
            return None
        self.wire_form = self.wire_form or "spnego"
        return self._take_init(spnego) if isinstance(spnego, NegTokenInit) else self._take_resp(spnego)

    def _take_init(self, token: NegTokenInit) -> bytes | None:
        self.mech_types = token.mech_types_der
        if token.mech_token:
            self._take_mechanism(token.mech_token)
        return token.mech_list_mic

    def _take_resp(self, token: NegTokenResp) -> bytes | None:
        if token.response_token:
            self._take_mechanism(token.response_token)
        return token.effective_mic()

    def _take_mechanism(self, token: bytes) -> None:
        if token.startswith(SIGNATURE):
            self.mechanism = "ntlm"
            self.ntlm.take(token)
        elif kerberos_name(token):
            self.mechanism = "kerberos"
            self.service = self.service or kerberos_fields(token).get("ticketService", "")
        self.wire_form = self.wire_form or self.mechanism

    # What both sides said

    @property
    def target_name(self) -> str | None:
        """Return the server's name as the client has it: MsvAvTargetName, or the service of its Kerberos ticket."""
        message = self.ntlm.authenticate_message
        response = None if message is None else message.ntlmv2
        return (None if response is None else response.target_info.target_name) or self.service or None

    def version_of(self, sender: Sender) -> int | None:
        """Return the version that one side says it has, or None before its first message."""
        for request in self.requests:
            if request.sender == sender and request.message is not None:
                return request.message.version
        return None

    @property
    def version(self) -> int | None:
        """The effective version, or None where a side has not spoken."""
        client, server = self.version_of("client"), self.version_of("server")
        return None if client is None or server is None else effective_version(client, server)

    @property
    def nonce(self) -> bytes | None:
        """ClientNonce of the message with the client's pubKeyAuth, else of any other of the client."""
        found = None
        for request in self.requests:
            message = request.message
            if message is not None and request.sender == "client" and message.client_nonce is not None:
                found = message.client_nonce
                if message.pub_key_auth is not None:
                    break
        return found

    def with_field(self, name: str, sender: Sender | None = None) -> Request | None:
        """Return the first TSRequest that has a field, such as ``pub_key_auth``."""
        for request in self.requests:
            has_it = request.message is not None and getattr(request.message, name) is not None
            if has_it and sender in (None, request.sender):
                return request
        return None
