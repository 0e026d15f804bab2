"""What a client does with one server, over whatever HTTP library: log on, encrypt, notice a lost connection.

`ClientSession.send` is a generator that is told of every response and yields every request, so that the adapters for
requests and httpx only translate. Its rules:

* Before a login, and again when the connection was lost, a request goes out with an empty body; so nothing leaves
  unencrypted, and a large body is not sent for nothing.
* Each connection has a login of its own. A request that runs alone goes out for the connection that was used last;
  where requests run side by side, an empty one goes first and finds the connection.
* Legs travel over one connection. If one is answered on another (a pool shared by threads, a proxy that does not keep
  connections), the login starts anew, `MAX_RESTARTS` times at most; but never after a proof was judged, so that one
  wrong password counts once. That the connection ends with an answer does not matter: what the answer says counts.
* A message is encrypted and sent again only where the server did not decrypt the first copy, so that it is not acted on
  twice: it asks for a login (401), or came over a connection without this login, or its HTTP refused it with 400.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Generator, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias, Unpack

from credssp.config import ClientConfig, Encryption, Limits, WinRMClientOptions, client_config
from credssp.context import ClientContext
from credssp.credentials import LogonCredentials
from credssp.errors import CredSSPError, LocalProtocolError
from credssp.next_step import NextStep
from credssp.status import SecurityStatus
from credssp.tls.record import MAX_PLAINTEXT
from credssp.winrm.client import ClientLogin, check_offer
from credssp.winrm.encryption import (
    ENCRYPTED,
    SOAP,
    ContentType,
    Plaintext,
    decrypt,
    encrypt,
    encrypted_parts,
    is_encrypted_body,
)
from credssp.winrm.errors import HTTPStatusError, Leg, LoginError

__all__ = ["MAX_RESTARTS", "ClientSession", "Encryption", "Exchange", "Incoming", "Outgoing", "encrypts"]

MAX_RESTARTS: Final = 3
"""Logins to begin for one request."""

_ANSWERED: Final = frozenset({"multipart/encrypted", "multipart/x-multi-encrypted", "application/soap+xml"})
"""What a server answers with that decrypted a message and gave it to the application, whatever the HTTP status."""

_REMEMBERED: Final = Limits().max_body // MAX_PLAINTEXT
"""Chunks of plaintext to keep for a message that may have to be encrypted again."""


_CONNECTIONS: Final = 64
"""Logins to keep of connections that no request uses; pools of HTTP libraries have 10 or 20 connections."""


def encrypts(encryption: Encryption, scheme: str) -> bool:
    """Whether messages to a URL of this scheme are to be encrypted.

    Raises:
        LocalProtocolError: `encryption` is not one of the three.
    """
    if encryption not in ("auto", "always", "never"):
        raise LocalProtocolError("encryption is one of auto, always, never")
    return encryption == "always" or (encryption == "auto" and scheme != "https")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request.

    Attributes:
        body: its body.
        content_type: value of Content-Type; None leaves the caller's.
        authorization: value of Authorization, or None for none.
    """

    body: bytes = field(repr=False)
    content_type: str | None = None
    authorization: str | None = None


@dataclass(frozen=True, slots=True)
class Incoming:
    """A response.

    Attributes:
        status: its HTTP status.
        challenges: the values of WWW-Authenticate.
        connection: what tells its TCP connection from others, or None where that is not known.
        certificate: the server's certificate of https, DER; None over http or where it is not known.
        content_type: the value of Content-Type, or an empty string.
        proxy: address of the HTTP proxy that the request went through, where one is known of.
    """

    status: int
    challenges: Sequence[str]
    connection: Hashable | None
    certificate: bytes | None = field(default=None, repr=False)
    content_type: str = ""
    proxy: str = ""


Exchange: TypeAlias = Generator[Outgoing, Incoming, ClientContext | None]
"""Ends with the context that opens the answer, or None where the answer is not encrypted."""


class ClientSession:
    """One server, one user.

    Threads: `send` may run in several at once, as long as each exchange keeps its connection to itself from the first
    answer to the last; the adapters for requests and httpx see to that. `wrap` and `unwrap`, for callers who encrypt
    themselves, are about the connection that was used last: such callers take one session for each thread.

    Attributes:
        config: the options.
        context: the context of the connection that was used last, or None before the first login and after a failure.
    """

    def __init__(
        self,
        config: ClientConfig | None = None,
        host: str = "",
        *,
        credentials: LogonCredentials | None = None,
        encrypt: bool | None = None,
        **options: Unpack[WinRMClientOptions],
    ) -> None:
        """Prepare.

        Args:
            config: how to log on; None for the defaults.
            host: host of the URL.
            credentials: what to authenticate with; None for those of `config`, or else the Kerberos credential cache.
            encrypt: whether messages that are not encrypted already shall be; None for what the option `encryption`
                says of http.
            options: fields of `credssp.ClientConfig`, in place of those of `config`.

        Raises:
            LocalProtocolError, TypeError: arguments that make no sense.
        """
        self.config = client_config("ClientSession", WinRMClientOptions, config, options, credentials)
        self.context: ClientContext | None = None
        self._host = host
        self._encrypt = encrypts(self.config.encryption, "http") if encrypt is None else encrypt
        self._connection: Hashable | None = None
        self._lock = threading.Lock()
        self._under_way = 0
        self._idle: OrderedDict[Hashable | None, ClientContext] = OrderedDict()
        self._wrapped: OrderedDict[bytes, bytes] = OrderedDict()

    # For callers who encrypt themselves (pywinrm, pypsrp)

    def wrap(self, data: bytes) -> bytes:
        """Encrypt, and remember the plaintext until the next answer, in case the connection is lost."""
        records = self.live().wrap(data)
        self._wrapped[_digest(records)] = data
        if len(self._wrapped) > _REMEMBERED:
            self._wrapped.popitem(last=False)
        return records

    def unwrap(self, data: bytes) -> bytes:
        """Decrypt."""
        return self.live().unwrap(data)

    def live(self) -> ClientContext:
        """Return the context that messages are protected with. Raises LocalProtocolError where there is none."""
        if self.context is None:
            raise LocalProtocolError("not logged on (any more): send a request, an empty one will do, to log on")
        return self.context

    # Messages

    def send(self, body: bytes, content_type: str | None, *, keep: bool = True) -> Exchange:
        """Send one request; the last response that was told is the answer to it.

        Args:
            body: its body, encrypted by the caller or not.
            content_type: its Content-Type; by default that of SOAP, encrypted or not.
            keep: whether the next request may have the login now. Where threads share the session, the answer has to
                be decrypted before; then it is False, and `keep` comes after `open`.

        Raises:
            WinRMError: the login failed. Other errors of the library come from settings that make no sense.
        """
        with self._lock:
            self._under_way += 1
            # Which connection an HTTP library takes cannot be known before. Where requests run side by side, the
            # message waits until an empty one has found out.
            claimed = self.context is not None and self._idle.pop(self._connection, None) is self.context
            foreign = is_encrypted_body(body)
            context = self.context if foreign or (claimed and self._under_way == 1) else None
            if claimed and context is None and self.context is not None:
                self._idle[self._connection] = self.context
            connection = self._connection
        try:
            context, connection = yield from self._send(body, content_type, context, connection, as_is=foreign)
            if keep:
                self.keep(context, connection)
            return context
        finally:
            with self._lock:
                self._under_way -= 1

    def _send(
        self, body: bytes, content_type: str | None, context: ClientContext | None, connection: Hashable, *, as_is: bool
    ) -> Generator[Outgoing, Incoming, tuple[ClientContext | None, Hashable]]:
        encrypted = bool(body) and (as_is or self._encrypt)
        answer = yield Outgoing(b"") if context is None else self._seal(context, body, content_type, as_is=as_is)
        begun = False
        if context is None and body and answer.status != 401:
            with self._lock:
                context, connection = self._idle.pop(answer.connection, None), answer.connection
            if context is not None:
                answer = yield self._seal(context, body, content_type, as_is=False)
            elif answer.status < 300:
                if not encrypted and (self._connection is None or _differ(answer.connection, self._connection)):
                    # Messages that are not encrypted would be taken for those of another auth object's user.
                    raise _no_login(answer.status)
                begun = True  # a login of which we lost our half, or that of another object
            else:
                return None, None
        logged_on = False
        for _ in range(2):
            if not begun and not self._is_lost(answer, connection, encrypted=encrypted and context is not None):
                if encrypted and 300 <= answer.status < 400:
                    self._forget(context)  # the server did not decrypt that, so both sides count records differently
                    return None, None
                return context, answer.connection
            if logged_on and not _differ(answer.connection, connection):
                break  # the login that was just made does not help, and another would not
            self._forget(context)
            context, answer = yield from self._log_on(answer, begun=begun)
            begun, logged_on, connection = False, True, answer.connection
            if not body:
                return context, connection
            answer = yield self._seal(context, body, content_type, as_is=False)
        if answer.status == 401:
            self._forget(context)
            raise LoginError(
                "the server forgot the login at once, which counts for one TCP connection",
                leg=Leg.MESSAGE,
                http_status=answer.status,
                status=SecurityStatus.SEC_E_CONTEXT_EXPIRED,
                advice=NextStep.WINRM_ONE_CONNECTION,
            )
        return context, answer.connection

    def _is_lost(self, answer: Incoming, connection: Hashable, *, encrypted: bool) -> bool:
        if answer.status == 401:
            return True
        if not encrypted or answer.status < 400 or ContentType.parse(answer.content_type).media in _ANSWERED:
            return False
        # A server that cannot decrypt says so in its own way, ours with 400. It did not act on what it cannot read.
        return answer.status == 400 or _differ(answer.connection, connection)

    def keep(self, context: ClientContext | None, connection: Hashable) -> None:
        """Let the next request have a login.

        Args:
            context: what `send` ended with; None does nothing.
            connection: the connection of the answer.
        """
        if context is not None:
            with self._lock:
                self.context, self._connection = context, connection
                self._idle[connection] = context
                self._idle.move_to_end(connection)
                if len(self._idle) > _CONNECTIONS:
                    self._idle.popitem(last=False)
                if self._under_way <= 1:
                    self._wrapped.clear()

    def _forget(self, context: ClientContext | None) -> None:
        """Forget a login, unless another thread has made a new one meanwhile."""
        with self._lock:
            for connection in [key for key, kept in self._idle.items() if kept is context]:
                del self._idle[connection]
            if self.context is context:
                self.context = None

    def _seal(self, context: ClientContext, body: bytes, content_type: str | None, *, as_is: bool) -> Outgoing:
        if not body or as_is:
            return Outgoing(body)
        if is_encrypted_body(body):
            body, content_type = self._recover(body), SOAP
        elif not self._encrypt:
            return Outgoing(body, content_type or SOAP)
        sealed = encrypt(context, body, content_type or SOAP)
        return Outgoing(sealed.body, sealed.content_type)

    def _recover(self, body: bytes) -> bytes:
        """Return the plaintext of a body that `wrap` encrypted for a connection which is gone."""
        pieces = []
        # Its Content-Type may not be known yet, and both forms are read alike.
        for part in encrypted_parts(ENCRYPTED, body, max_size=max(self.config.limits.max_body, len(body))):
            piece = self._wrapped.get(_digest(part.records))
            if piece is None:
                raise LoginError(
                    "the connection was lost, and the message was encrypted for it by the caller",
                    leg=Leg.MESSAGE,
                    advice=NextStep.WINRM_SEND_AGAIN,
                )
            pieces.append(piece)
        return b"".join(pieces)

    def _log_on(
        self, answer: Incoming, *, begun: bool
    ) -> Generator[Outgoing, Incoming, tuple[ClientContext, Incoming]]:
        if answer.status == 401:
            check_offer(401, answer.challenges)
        for _ in range(MAX_RESTARTS):
            login = ClientLogin(self.config, self._host)
            login.bind(answer.certificate)
            header: str | None = login.start()
            connection: Hashable | None = None
            judged = False
            while header is not None:
                answer = yield Outgoing(b"", authorization=header)
                if begun and answer.status < 400:
                    raise _no_login(answer.status)
                begun = False
                if _differ(answer.connection, connection) and answer.status in {200, 400, 401}:
                    break
                connection, judged = answer.connection, login.proof_sent
                header = login.receive(answer.status, answer.challenges, proxy=answer.proxy)
            else:
                return login.context, answer
            if judged:
                break
        often = "and the password was judged already, which shall not happen twice" if judged else "again and again"
        who = f"the proxy {answer.proxy}" if answer.proxy else "a proxy or the server"
        raise LoginError(
            f"the TCP connection changed between the legs, {often}: does {who} close it after every response?",
            leg=login.leg,
            http_status=answer.status,
            status=SecurityStatus.SEC_E_CONTEXT_EXPIRED,
            advice=NextStep.WINRM_ONE_CONNECTION,
        )

    def open(self, context: ClientContext, content_type: str, body: bytes) -> Plaintext:
        """Decrypt the body of an answer.

        Args:
            context: what `send` ended with.
            content_type: value of its Content-Type.
            body: its body.

        Raises:
            CredSSPError: it does not decrypt; the next request logs on anew.
        """
        try:
            return decrypt(context, content_type, body, max_size=self.config.limits.max_body)
        except CredSSPError:
            self._forget(context)
            raise


def _no_login(status: int) -> HTTPStatusError:
    return HTTPStatusError(
        "the server asked for no login; the message was not sent to it",
        leg=Leg.OFFER,
        http_status=status,
        advice=NextStep.HTTP_NO_LOGIN,
    )


def _differ(one: Hashable | None, other: Hashable | None) -> bool:
    """Whether these are certainly two connections."""
    return one is not None and other is not None and one != other


def _digest(records: bytes) -> bytes:
    return hashlib.sha256(records).digest()
