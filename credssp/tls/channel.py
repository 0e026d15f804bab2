"""A TLS channel without a socket: bytes in, bytes out.

How it works. `ssl.SSLObject` is a TLS engine between two queues (`ssl.MemoryBIO`): what came from the network is
written into one of them, what has to go to the network is read from the other. No call ever blocks: OpenSSL raises
`SSLWantReadError` where it would wait for the peer, and that is simply the end of the current step. Three facts
shape this module:

* Any call may produce output: reading can answer a key update, a failure leaves an alert to be sent. So output is
  always collected by `data_to_send()` after the call, also after one that raised.
* Plaintext and an error can come from the same bytes: authInfo, then close_notify or garbage, in one read. What was
  decrypted is handed out first; the error waits for the next call.
* A close (close_notify) is an event, not an error: whether it came too early is for the owner to say.

OpenSSL's objects crash the process if two threads use one of them at once, and Python does not prevent that (its calls
release the GIL). So every call that reaches them takes the channel's lock, which costs 0.05 us where it is free. The
channels of an event loop share queues (`credssp.tls.queues`), whose content changes hands with the lock.

`ssl` and OpenSSL's errors stay inside this package.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from credssp.errors import CertificateError, CredSSPError, LocalProtocolError, TLSError
from credssp.next_step import NextStep
from credssp.status import SecurityStatus
from credssp.tls.alerts import translate
from credssp.tls.certificate_request import CertificateRequest, is_settled, take_request
from credssp.tls.queues import QueueTurn, current_queues
from credssp.tls.record import MAX_PLAINTEXT, RecordTracker, begins_encryption
from credssp.tls.restrictions import check_memory
from credssp.tls.sizes import StreamSizes

__all__ = ["TLSChannel", "TLSSession"]

# Ciphertext is moved through the queues in pieces: a MemoryBIO copies what it still holds whenever it grows, so that
# one huge write would cost more than linear time (benchmarks/bulk.py).
_PIECE: Final = 128 * 1024

# A whole record that no key decrypts, then enough bytes to complete a record of which a part had arrived already.
_FATAL_ALERT: Final = b"\x15\x03\x03\x00\x02\x02"
"""A record of its own with an alert, up to its description (RFC 8446 section 6)."""
_UNDECRYPTABLE: Final = b"\x17\x03\x03\x00\x20" + bytes(32) + bytes(MAX_PLAINTEXT + 512)


_SERVER_HELLO_SIZE: Final = 11
"""Bytes up to the version in ServerHello: record header 5, handshake header 4, version 2."""

_MAX_SILENT_RECORDS: Final = 64
"""Records of one exchange that hold no data: handshakes take some ten, and every further key update costs us an answer.
"""


@dataclass(frozen=True, slots=True)
class TLSSession:
    """A session that a later connection with the same settings may resume, if both sides allow it.

    Attributes:
        session: OpenSSL's session.
        context: the SSLContext that made it; it works with no other.
    """

    session: ssl.SSLSession
    context: ssl.SSLContext

    @property
    def expires(self) -> float:
        """When the server stops to take it, in seconds since 1970."""
        return float(self.session.time + self.session.timeout)

    def __repr__(self) -> str:
        return "TLSSession()"


class TLSChannel:
    """One side of a TLS connection over memory.

    Threads: every method may be called from any thread, and they take turns. Records leave in the order in which
    `write` and `encrypt` made them, so a caller with several threads sends them in that order.

    Attributes:
        handshake_complete: whether application data can flow.
        peer_closed: whether the peer sent close_notify.
        records: where the records of the incoming stream end; fed during the exchange only, see `receive`.
    """

    __slots__ = (
        "_data_records",
        "_encrypts",
        "_error",
        "_first",
        "_hello",
        "_incoming",
        "_lock",
        "_outgoing",
        "_overhead",
        "_peer_certificate",
        "_protocol",
        "_tls",
        "_without_sessions",
        "handshake_complete",
        "peer_closed",
        "records",
    )

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        server_hostname: str | None = None,
        session: TLSSession | None = None,
        without_sessions: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        """Make one end.

        Args:
            context: settings and, on a server, the certificate.
            server_side: which end.
            server_hostname: the name for SNI and the certificate check, on a client.
            session: one to resume, on a client.
            without_sessions: makes a context that knows no sessions, on a server without resumption; see
                `_refuse_resumption` and `credssp.tls.settings.sessionless_context`.
        """
        queues = current_queues()
        if queues is None:
            self._lock: threading.RLock | QueueTurn = threading.RLock()
            self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        else:
            self._lock = QueueTurn(queues)
            self._incoming, self._outgoing = queues.incoming, queues.outgoing
        try:
            self._tls = context.wrap_bio(
                self._incoming,
                self._outgoing,
                server_side=server_side,
                server_hostname=server_hostname,
                session=session.session if session is not None and session.context is context else None,
            )
        except (TypeError, ValueError, ssl.SSLError) as error:
            check_memory(error, during="TLS setup")
            # UnicodeError is a ValueError; a NUL in the name is a TypeError.
            raise LocalProtocolError(
                f"TLS cannot be set up for the host name of the target ({type(error).__name__})"
            ) from None
        self._without_sessions = without_sessions
        # What came before the first bytes of ours, as long as the handshake may have to begin anew with it.
        self._hello = None if without_sessions is None else b""
        # The beginning of the server's first record, which tells the version that it speaks.
        self._first = None if server_side else b""
        self.handshake_complete = False
        self._encrypts = False
        self._protocol = ""
        self._peer_certificate: bytes | None = None
        self.peer_closed = False
        self.records = RecordTracker()
        self._error: CredSSPError | None = None
        self._overhead = 0
        self._data_records = 0

    def receive(self, data: bytes) -> None:
        """Queue ciphertext from the peer and note where its records end.

        Raises:
            TLSError: SEC_E_INSUFFICIENT_MEMORY, there is no memory for it.
        """
        if data:
            with self._lock:
                self.records.feed(data)
                try:
                    self._incoming.write(data)
                except ssl.SSLError as error:
                    raise translate(error, during="TLS session") from None
                if self._hello is not None:
                    self._hello += data
                if self._first is not None and len(self._first) < _SERVER_HELLO_SIZE:
                    self._first += data[:_SERVER_HELLO_SIZE]

    def data_to_send(self) -> bytes:
        """Return, once, the ciphertext that must go to the peer."""
        with self._lock:
            data = self._outgoing.read()
            if not self.handshake_complete and not self._encrypts:
                self._encrypts = begins_encryption(data)
            return data

    def handshake(self) -> bool:
        """Continue the handshake as far as the queued input allows; returns whether it is done.

        Raises:
            TLSError, TLSAlertError, CertificateError: it failed; `data_to_send` may hold an alert.
        """
        if self.handshake_complete:
            return True
        with self._lock:
            if not self._shake():
                if self._hello is not None and self._outgoing.pending:
                    self._refuse_resumption()
                return False
            if self._without_sessions is not None and self._tls.session_reused:
                # After a HelloRetryRequest it is too late to begin anew.
                raise TLSError(
                    "the client resumed a TLS session, which CredSSP does not allow", advice=NextStep.TLS_RESUMED
                )
            # OpenSSL forgets both when the channel breaks, which is when people want to know them.
            self._protocol = self._tls.version() or ""
            self.handshake_complete = True
        return True

    def _shake(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            context = self._tls.context
            # Where 1.3 alone is allowed, a server that refuses is not old; with legacy, old ones are welcome already.
            first = self._first if context.minimum_version == ssl.TLSVersion.TLSv1_2 else None
            level = context.security_level
            whose = "the client's certificate" if self._first is None else "the server's certificate"
            raise translate(error, during="TLS handshake", level=level, first=first, whose=whose) from None
        return True

    def _refuse_resumption(self) -> None:
        """Begin anew if OpenSSL is about to resume a session; called with the server's first bytes still unsent.

        OpenSSL keeps the sessions of a context in its memory, tickets or not, and Python's ssl cannot tell it not to.
        So a context that knows no sessions is given the same ClientHello, and makes a full handshake of it. A session
        belongs to the context that a connection began with: the certificate's context takes over at once, but what it
        remembers is not asked for any more. To begin every connection like that would cost a quarter of a login.
        """
        hello, self._hello = self._hello, None
        if hello is None or self._without_sessions is None or not self._tls.session_reused:
            return
        context = self._tls.context
        self._incoming.read()  # of no use any more
        self._outgoing.read()
        self._tls = self._without_sessions().wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._tls.context = context
        self._incoming.write(hello)
        self._shake()

    def read(self) -> bytes:
        """Return all plaintext that the queued input yields, without queueing more.

        Raises:
            TLSError, TLSAlertError: a record was bad or the peer sent a fatal alert, and no plaintext came before it;
                too many records came without data.
        """
        pieces: list[bytes] = []
        with self._lock:
            self._read_into(pieces)
        self._data_records += len(pieces)
        if self.records.count - self._data_records > _MAX_SILENT_RECORDS:
            raise TLSError("too many TLS records without data, such as key updates, before the login is over")
        return pieces[0] if len(pieces) == 1 else self._joined(pieces)

    def _joined(self, pieces: list[bytes]) -> bytes:
        """Return the plaintext; an error that came after it waits for the next call."""
        if not pieces and self._error is not None:
            raise self._error
        return b"".join(pieces)

    def _read_into(self, pieces: list[bytes]) -> bool:
        """Append all plaintext there is; returns whether the channel is still good for more."""
        if self._error is not None:
            return False
        tls, incoming = self._tls, self._incoming
        try:
            # Asked before each read: to let OpenSSL find out that there is no more costs an exception, 1.1 us.
            while incoming.pending or tls.pending():
                piece = tls.read(MAX_PLAINTEXT)
                if not piece:
                    self.peer_closed = True
                    return False
                pieces.append(piece)
        except ssl.SSLError as error:
            return self._is_short(error)
        return True

    def _is_short(self, error: ssl.SSLError) -> bool:
        """Note why a read ended; returns whether it was for want of input alone."""
        if isinstance(error, ssl.SSLWantReadError):
            return True
        if isinstance(error, ssl.SSLZeroReturnError):
            self.peer_closed = True
        else:
            self._error = translate(error, during="TLS session")
        return False

    def decrypt(self, data: bytes) -> bytes:
        """Queue ciphertext and return the plaintext it yields; for bulk data after the exchange.

        Raises:
            TLSError, TLSAlertError: as `read`.
        """
        pieces: list[bytes] = []
        if len(data) <= _PIECE:
            with self._lock:
                self._incoming.write(data)
                self._read_into(pieces)
            return pieces[0] if len(pieces) == 1 else self._joined(pieces)
        view = memoryview(data)
        with self._lock:
            for start in range(0, len(data), _PIECE):
                self._incoming.write(view[start : start + _PIECE])
                if not self._read_into(pieces):
                    break
        return self._joined(pieces)

    def write(self, data: bytes) -> None:
        """Encrypt plaintext; collect the records with `data_to_send`.

        Raises:
            TLSError: the channel is closed or broken.
        """
        if not data:
            return
        with self._lock:
            before = self._outgoing.pending
            try:
                self._tls.write(data)
            except ssl.SSLError as error:
                raise translate(error, during="TLS session") from None
            if not before and len(data) <= MAX_PLAINTEXT:
                # Also measures what a key update put in front, which only makes the room asked for larger.
                overhead = self._outgoing.pending - len(data)
                if overhead > self._overhead:
                    self._overhead = overhead

    def encrypt(self, data: bytes) -> bytes:
        """Encrypt plaintext and return everything that must go to the peer; for bulk data after the exchange.

        Raises:
            TLSError: the channel is closed or broken.
        """
        with self._lock:
            if len(data) <= _PIECE:
                self.write(data)
                return self._outgoing.read()
            pieces: list[bytes] = []
            view = memoryview(data)
            try:
                for start in range(0, len(data), _PIECE):
                    self._tls.write(view[start : start + _PIECE])
                    pieces.append(self._outgoing.read())
            except ssl.SSLError as error:
                raise translate(error, during="TLS session") from None
        return b"".join(pieces)

    def close(self) -> bytes:
        """Send close_notify and return everything that must go to the peer; the peer's own close may come later."""
        with self._lock:
            try:
                self._tls.unwrap()
                self.peer_closed = True
            except ssl.SSLError:
                # SSLWantRead: ours is sent, the peer's not here yet. Anything else: it is beyond closing politely.
                pass
            return self._outgoing.read()

    def abort(self) -> bytes:
        """End the channel with a fatal alert and return everything that must go to the peer.

        The ssl module cannot send an alert of our choice, so OpenSSL is made to find a bad record in its own input and
        answers it with a fatal alert (bad_record_mac or unexpected_message). See docs/adr.
        """
        with self._lock:
            try:
                self._incoming.write(_UNDECRYPTABLE)
                while self._tls.read(MAX_PLAINTEXT):
                    pass
            except ssl.SSLError:
                pass
            return self._outgoing.read()

    def alert(self, description: int) -> bytes:
        """End the channel with a fatal alert, and return everything that must go to the peer.

        Args:
            description: which alert (RFC 8446 section 6). Once this side encrypts, OpenSSL decides: see `abort`.
        """
        with self._lock:
            if self.handshake_complete or self._encrypts:
                return self.abort()
            return self._outgoing.read() + _FATAL_ALERT + bytes((description,))

    @property
    def peer_certificate(self) -> bytes | None:
        """The peer's leaf certificate in DER, or None."""
        if self._peer_certificate is None and self.handshake_complete:
            try:
                with self._lock:
                    self._peer_certificate = self._tls.getpeercert(binary_form=True)
            except ValueError:  # the channel broke before anybody asked
                return None
        return self._peer_certificate

    @property
    def server_certificate(self) -> bytes:
        """The server's leaf certificate in DER, on a client.

        Raises:
            CertificateError: the server sent none.
        """
        certificate = self.peer_certificate
        if certificate is None:
            raise CertificateError(
                "the server sent no certificate",
                status=SecurityStatus.SEC_E_CERT_UNKNOWN,
                advice=NextStep.CERTIFICATE_MISSING,
            )
        return certificate

    @property
    def protocol(self) -> str:
        """The negotiated TLS version as OpenSSL names it, such as ``TLSv1.3``; empty before the handshake."""
        return self._protocol

    @property
    def unique(self) -> bytes | None:
        """The first Finished message, ``tls-unique`` (RFC 5929 section 3); None before it, and in TLS 1.3."""
        if not self.handshake_complete or self._protocol == "TLSv1.3":
            return None
        with self._lock:
            return self._tls.get_channel_binding("tls-unique")

    @property
    def cipher(self) -> str:
        """The negotiated cipher suite as OpenSSL names it; empty before the handshake."""
        cipher = self._cipher()
        return cipher[0] if cipher else ""

    def _cipher(self) -> tuple[str, str, int] | None:
        with self._lock:
            return self._tls.cipher()

    @property
    def peer_chain(self) -> tuple[bytes, ...]:
        """All certificates that the peer sent, leaf first, in DER; the leaf alone where this Python cannot tell."""
        # Public on SSLObject since Python 3.13, there without an underscore in front of the object since 3.10.
        owner = self._tls if hasattr(self._tls, "get_unverified_chain") else getattr(self._tls, "_sslobj", None)
        tell: Callable[[], Iterable[Any] | None] | None = getattr(owner, "get_unverified_chain", None)
        with self._lock:
            chain = None if tell is None else tell()
        if not chain:
            leaf = self.peer_certificate
            return () if leaf is None else (leaf,)
        return tuple(der if isinstance(der, bytes) else bytes(der.public_bytes(2)) for der in chain)

    @property
    def stream_sizes(self) -> StreamSizes:
        """The room that records need: by the cipher suite, and never less than this session's own records took."""
        return StreamSizes.of(self.protocol, self.cipher).covering(self._overhead)

    @property
    def overhead(self) -> int:
        """Bytes around the plaintext in the largest-padded record that `write` made so far; 0 before the first."""
        return self._overhead

    @property
    def cipher_bits(self) -> int:
        """Secret bits of the cipher; 0 before the handshake."""
        cipher = self._cipher()
        return cipher[2] if cipher else 0

    @property
    def certificate_settled(self) -> bool:
        """Whether no CertificateRequest of TLS 1.3 can come any more, where the settings say to watch for it."""
        with self._lock:
            return is_settled(self._tls)

    def certificate_request(self) -> CertificateRequest | None:
        """Return, once, the CertificateRequest that TLS 1.3 brought, where the settings say to watch for it."""
        with self._lock:
            return take_request(self._tls)

    def use_context(self, context: ssl.SSLContext) -> None:
        """Continue with the certificate of another SSLContext. In TLS 1.2 before CertificateRequest is received."""
        with self._lock:
            self._tls.context = context

    @property
    def session(self) -> TLSSession | None:
        """The TLS session, for a later resumption where the settings allow that; None where there is none."""
        with self._lock:
            session = self._tls.session
        if session is None or not (session.has_ticket or session.id):
            return None
        return TLSSession(session, self._tls.context)

    @property
    def session_reused(self) -> bool:
        """Whether this connection resumed an earlier session."""
        with self._lock:
            return bool(self._tls.session_reused)
