"""The user-mode half of the stream packages (CREDSSP, Schannel): application data in TLS records.

EncryptMessage takes STREAM_HEADER, DATA, STREAM_TRAILER, EMPTY and fills one record into the first three.
DecryptMessage takes DATA with whatever was received and three EMPTY ones, opens the first record in place and says what
is left (EXTRA), or what is missing, in which case nothing has happened.

One thread may encrypt while another decrypts. OpenSSL does not allow that on one connection, so the two take turns
inside, for the microseconds that a record takes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from credssp.errors import CredSSPError
from credssp.next_step import NextStep
from credssp.sspi import buffers as b
from credssp.sspi.attributes import SECPKG_ATTR_STREAM_SIZES, unknown
from credssp.sspi.buffers import SecBuffer, buffer_type_name
from credssp.sspi.errors import SSPIError, bad_token, refuse, unsupported
from credssp.sspi.packages.user_mode import UserModePackage
from credssp.sspi.structures import SecPkgContext_Sizes, SecPkgContext_StreamSizes
from credssp.status import SecurityStatus
from credssp.tls.record import HEADER_SIZE, measure_record
from credssp.tls.sizes import StreamSizes

__all__ = ["Protected", "StreamMessages", "StreamSession"]

_S = SecurityStatus
_ENCRYPT: Final = [b.SECBUFFER_STREAM_HEADER, b.SECBUFFER_DATA, b.SECBUFFER_STREAM_TRAILER, b.SECBUFFER_EMPTY]
_DECRYPT: Final = [b.SECBUFFER_DATA, b.SECBUFFER_EMPTY, b.SECBUFFER_EMPTY, b.SECBUFFER_EMPTY]

_REMEMBERED: Final = 64
"""Records whose end is remembered, to tell a repeated one from an altered one."""
_TAIL: Final = 16
_NOTHING: Final = memoryview(b"")


class Protected(Protocol):
    """What protects the data: a context of the core, or TLS alone."""

    @property
    def peer_closed(self) -> bool:
        """Whether the peer sent close_notify."""

    @property
    def stream_sizes(self) -> StreamSizes:
        """What a record takes beside its plaintext."""

    def wrap(self, data: bytes) -> bytes:
        """Encrypt application data; returns TLS records."""

    def unwrap(self, data: bytes) -> bytes:
        """Decrypt application data."""


class StreamSession:
    """What the two halves of a stream package share of one context.

    Attributes:
        protected: what protects the data.
        formats: whether messages are formatted at all (ISC_REQ_STREAM; with ISC_REQ_CONNECTION alone they are not).
        max_token: cbMaxToken of the package.
        sizes: what a record takes.
        send_closed: whether close_notify went out.
        unread: plaintext that came in one record with the last message of the exchange.
        unsent: bytes that TLS wants sent and that did not fit into the buffers of EncryptMessage.
    """

    __slots__ = ("formats", "lock", "max_token", "protected", "recent", "send_closed", "sizes", "unread", "unsent")

    def __init__(self, protected: Protected, *, formats: bool, detect: bool, max_token: int, unread: bytes) -> None:
        self.protected = protected
        self.formats = formats
        self.max_token = max_token
        self.sizes = protected.stream_sizes
        self.recent: deque[bytes] | None = deque(maxlen=_REMEMBERED) if detect else None
        self.send_closed = False
        self.unread = unread
        self.unsent = b""
        self.lock = threading.Lock()

    @property
    def message_sizes(self) -> SecPkgContext_Sizes:
        """SECPKG_ATTR_SIZES."""
        sizes = self.sizes
        return SecPkgContext_Sizes(self.max_token, 0, sizes.block, sizes.header + sizes.trailer)

    @property
    def stream_sizes(self) -> SecPkgContext_StreamSizes:
        """SECPKG_ATTR_STREAM_SIZES. Raises SSPIError (SEC_E_UNSUPPORTED_FUNCTION): messages are not formatted."""
        if not self.formats:
            raise unknown(f"{SECPKG_ATTR_STREAM_SIZES:#x}")
        sizes = self.sizes
        return SecPkgContext_StreamSizes(sizes.header, sizes.trailer, sizes.maximum, 4, sizes.block)

    def check_open(self) -> None:
        """Raise SEC_E_CONTEXT_EXPIRED after the peer's close_notify."""
        if self.protected.peer_closed:
            raise SSPIError(
                "the peer has closed the stream", status=_S.SEC_E_CONTEXT_EXPIRED, advice=NextStep.SSPI_STREAM
            )

    def take_unsent(self) -> bytes:
        """Return what TLS wants sent."""
        with self.lock:
            token, self.unsent = self.unsent, b""
        return token


class StreamMessages(UserModePackage[StreamSession]):
    """SECPKG_USER_FUNCTION_TABLE: no signatures in a stream, and no export, since OpenSSL's state cannot be packed."""

    def unpack(self, packed: bytes | bytearray) -> StreamSession:
        """Return what protects the messages of a context."""
        session = self.functions.claim(packed)
        if not isinstance(session, StreamSession):
            raise self.not_ours()
        return session

    def seal_message(self, context: int, qop: int, buffers: Sequence[SecBuffer], sequence: int) -> SecurityStatus:
        """SpSealMessage: EncryptMessage."""
        session = self.contexts[context]
        _check(session, buffers, _ENCRYPT, sequence)
        if qop:
            raise refuse("fQOP", "0, a stream is always encrypted", _S.SEC_E_QOP_NOT_SUPPORTED)
        header = buffers[0].writable("pMessage[0]")
        data = buffers[1].writable("pMessage[1]")
        trailer = buffers[2].writable("pMessage[2]")
        sizes = session.sizes
        for number, room, needed in ((0, len(header), sizes.header), (2, len(trailer), sizes.trailer)):
            if room < needed:
                raise refuse(
                    f"pMessage[{number}]",
                    f"{room} bytes, SECPKG_ATTR_STREAM_SIZES says {needed}",
                    _S.SEC_E_BUFFER_TOO_SMALL,
                )
        if len(data) > sizes.maximum:
            raise refuse(
                "pMessage[1]", f"{len(data)} bytes, cbMaximumMessage is {sizes.maximum}", _S.SEC_E_BUFFER_TOO_SMALL
            )
        with session.lock:
            if session.send_closed:
                raise SSPIError(
                    "the context was shut down", status=_S.SEC_E_CONTEXT_EXPIRED, advice=NextStep.SSPI_STREAM
                )
            record = session.protected.wrap(data)  # type: ignore[arg-type]  # OpenSSL reads any memory
            if len(record) > sizes.header + len(data) + len(trailer):
                # TLS has put a message of its own in front (a key update). It goes out as a token of the exchange.
                session.unsent += record
                for buffer in buffers[:3]:
                    buffer.size = 0
                return _S.SEC_I_RENEGOTIATE
        sealed = memoryview(record)
        middle = min(sizes.header, len(sealed))
        end = min(middle + len(data), len(sealed))
        header[:middle] = sealed[:middle]
        data[: end - middle] = sealed[middle:end]
        trailer[: len(sealed) - end] = sealed[end:]
        buffers[0].size, buffers[2].size = middle, len(sealed) - end
        return _S.SEC_E_OK

    def unseal_message(self, context: int, buffers: Sequence[SecBuffer], sequence: int) -> tuple[SecurityStatus, int]:
        """SpUnsealMessage: DecryptMessage."""
        session = self.contexts[context]
        _check(session, buffers, _DECRYPT, sequence)
        received = buffers[0].writable("pMessage[0]")
        with session.lock:
            if session.unread:
                # What the exchange left over; the caller's bytes are all EXTRA, so that the order is kept.
                unread, session.unread = memoryview(bytearray(session.unread)), b""
                _hand_out(buffers, _NOTHING, unread, _NOTHING, received)
                return _S.SEC_E_OK, 0
            session.check_open()
            size = measure_record(received)
            if not size or size > len(received):
                buffers[1].fill(b.SECBUFFER_MISSING, None, (size or HEADER_SIZE) - len(received))
                return _S.SEC_E_INCOMPLETE_MESSAGE, 0
            plaintext = self._open(session, bytes(received[:size]))
            closed = session.protected.peer_closed
        start = min(session.sizes.header, size)
        end = start + len(plaintext)
        received[start:end] = plaintext
        _hand_out(buffers, received[:start], received[start:end], received[end:size], received[size:])
        return (_S.SEC_I_CONTEXT_EXPIRED if closed and not plaintext else _S.SEC_E_OK), 0

    @staticmethod
    def _open(session: StreamSession, record: bytes) -> bytes:
        """Open one record; with ISC_REQ_SEQUENCE_DETECT or REPLAY_DETECT, tell a repeated one from an altered one."""
        recent = session.recent
        try:
            plaintext = session.protected.unwrap(record)
        except CredSSPError as error:
            if recent is not None and error.status is _S.SEC_E_MESSAGE_ALTERED and record[-_TAIL:] in recent:
                raise SSPIError(
                    "a record came a second time", status=_S.SEC_E_OUT_OF_SEQUENCE, advice=NextStep.SSPI_ORDER
                ) from error
            raise
        if recent is not None:
            recent.append(record[-_TAIL:])
        return plaintext


def _check(session: StreamSession, buffers: Sequence[SecBuffer], kinds: list[int], sequence: int) -> None:
    if not session.formats:
        raise unsupported("phContext", "made with CONNECTION and without STREAM: it does not format messages")
    if sequence:
        raise refuse("MessageSeqNo", "reserved, must be 0", _S.SEC_E_INVALID_PARAMETER)
    found = [buffer.buffer_type for buffer in buffers]
    if found != kinds:
        wanted, given = (", ".join(map(buffer_type_name, row)) for row in (kinds, found))
        raise bad_token("pMessage", f"the buffers are {wanted}, in this order, not {given}")


def _hand_out(buffers: Sequence[SecBuffer], *parts: memoryview) -> None:
    """Fill header, data, trailer and what is left over into the buffers; the last only where something is left."""
    kinds = (b.SECBUFFER_STREAM_HEADER, b.SECBUFFER_DATA, b.SECBUFFER_STREAM_TRAILER, b.SECBUFFER_EXTRA)
    for buffer, kind, part in zip(buffers, kinds, parts, strict=True):
        if part or kind != b.SECBUFFER_EXTRA:
            buffer.fill(kind, part)
