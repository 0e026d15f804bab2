"""What a client does with one server, over whatever HTTP library: log on, encrypt, notice a lost connection.

`ClientSession.send` is a generator that is told of every response and yields every request, so that the adapters for
requests and httpx only translate. Its rules:

* Before a login, and again when the connection was lost, a request goes out with an empty body; so nothing leaves
  unencrypted, and a large body is not sent for nothing.
* Legs travel over one connection. If one comes back on another (a pool shared by threads, a proxy that does not keep
  connections), the login starts anew, `MAX_RESTARTS` times at most.
* A message that was encrypted for a connection which is gone is encrypted again for the new one. The server never
  decrypted the first copy, so it is not acted on twice.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Generator, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias, Unpack

from credssp.config import ClientConfig, Encryption, Limits, WinRMClientOptions, client_config
from credssp.context import ClientContext
from credssp.credentials import LogonCredentials
from credssp.errors import CredSSPError, LocalProtocolError
from credssp.tls.record import MAX_PLAINTEXT
from credssp.winrm.client import ClientLogin, check_offer
from credssp.winrm.encryption import (
    ENCRYPTED,
    SOAP,
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

_REMEMBERED: Final = Limits().max_body // MAX_PLAINTEXT
"""Chunks of plaintext to keep for a message that may have to be encrypted again."""


def encrypts(encryption: Encryption, scheme: str) -> bool:
    """Whether messages to a URL of this scheme are to be encrypted.

    Raises:
        LocalProtocolError: `encryption` is none of the three.
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
    """

    status: int
    challenges: Sequence[str]
    connection: Hashable | None


Exchange: TypeAlias = Generator[Outgoing, Incoming, ClientContext | None]
"""Ends with the context that opens the answer, or None where the answer is not encrypted."""


class ClientSession:
    """One server, one user.

    Attributes:
        config: the options.
        context: the context of the connection in use, or None before the first login and after a failure.
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

    def send(self, body: bytes, content_type: str | None) -> Exchange:
        """Send one request; the last response that was told is the answer to it.

        Args:
            body: its body, encrypted by the caller or not.
            content_type: its Content-Type; by default that of SOAP, encrypted or not.

        Raises:
            WinRMError: the login failed. Other errors of the library come from settings that make no sense.
        """
        foreign = is_encrypted_body(body)
        encrypted = bool(body) and (foreign or self._encrypt)
        context = self.context
        answer = yield Outgoing(b"") if context is None else self._seal(context, body, content_type, as_is=foreign)
        begun = False
        if context is None and body and answer.status != 401:
            # A server that still has a login of which we lost our half is logged on to again.
            begun = answer.status < 400 and self._connection is not None
            if answer.status < 400 and not begun:
                raise HTTPStatusError(
                    "the server asked for no login; the message was not sent to it",
                    leg=Leg.OFFER,
                    http_status=answer.status,
                )
            if not begun:
                return None
        for _ in range(2):
            if not begun and not self._is_lost(answer, encrypted=encrypted and context is not None):
                self._wrapped.clear()
                return context
            self._forget(context)
            context, answer = yield from self._log_on(answer)
            begun = False
            if not body:
                return context
            answer = yield self._seal(context, body, content_type, as_is=False)
        if answer.status == 401:
            self._forget(context)
            raise LoginError(
                "the server forgot the login at once. It counts for one TCP connection: a proxy or load balancer in "
                "between must keep one for each client",
                leg=Leg.MESSAGE,
                http_status=answer.status,
            )
        self._wrapped.clear()
        return context

    def _is_lost(self, answer: Incoming, *, encrypted: bool) -> bool:
        if answer.status == 401:
            return True
        # A server that cannot decrypt says so in its own way, ours with 400. It did not act on what it cannot read.
        return encrypted and (
            answer.status == 400 or (answer.status > 400 and _differ(answer.connection, self._connection))
        )

    def _forget(self, context: ClientContext | None) -> None:
        """Forget a login, unless another thread has made a new one meanwhile."""
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
                    "the connection was lost, and the message was encrypted for it by the caller; send it again",
                    leg=Leg.MESSAGE,
                )
            pieces.append(piece)
        return b"".join(pieces)

    def _log_on(self, answer: Incoming) -> Generator[Outgoing, Incoming, tuple[ClientContext, Incoming]]:
        if answer.status == 401:
            check_offer(401, answer.challenges)
        for _ in range(MAX_RESTARTS):
            login = ClientLogin(self.config, self._host)
            header: str | None = login.start()
            connection: Hashable | None = None
            while header is not None:
                answer = yield Outgoing(b"", authorization=header)
                if _differ(answer.connection, connection):
                    break
                connection = answer.connection
                header = login.receive(answer.status, answer.challenges)
            else:
                self.context = login.context
                self._connection = connection
                return login.context, answer
        raise LoginError(
            "the TCP connection changed between the legs, again and again. Is one pool of connections shared by "
            "threads (use a session for each), or does a proxy or the server close it after every response?",
            leg=login.leg,
            http_status=answer.status,
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


def _differ(one: Hashable | None, other: Hashable | None) -> bool:
    """Whether these are certainly two connections."""
    return one is not None and other is not None and one != other


def _digest(records: bytes) -> bytes:
    return hashlib.sha256(records).digest()
