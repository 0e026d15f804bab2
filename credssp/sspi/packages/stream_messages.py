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
from credssp.sspi.attributes import (
    SECPKG_ATTR_SIZES,
    SECPKG_ATTR_STREAM_SIZES,
    SecPkgContext_Sizes,
    SecPkgContext_StreamSizes,
)
from credssp.sspi.buffers import (
    SECBUFFER_DATA,
    SECBUFFER_EMPTY,
    SECBUFFER_EXTRA,
    SECBUFFER_MISSING,
    SECBUFFER_STREAM_HEADER,
    SECBUFFER_STREAM_TRAILER,
    SecBuffer,
    buffer_type_name,
)
from credssp.sspi.errors import SSPIError, refuse
from credssp.sspi.support import DllFunctions
from credssp.sspi.tables import SecpkgUserFunctionTable
from credssp.status import SecurityStatus
from credssp.tls.record import HEADER_SIZE, measure_record
from credssp.tls.sizes import StreamSizes

__all__ = ["Protected", "StreamMessages", "StreamSession"]

_S = SecurityStatus
_ENCRYPT: Final = [SECBUFFER_STREAM_HEADER, SECBUFFER_DATA, SECBUFFER_STREAM_TRAILER, SECBUFFER_EMPTY]
_DECRYPT: Final = [SECBUFFER_DATA, SECBUFFER_EMPTY, SECBUFFER_EMPTY, SECBUFFER_EMPTY]

_REMEMBERED: Final = 64
"""Records whose end is remembered, to tell a repeated one from an altered one."""
_TAIL: Final = 16


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
        unsent: octets that TLS wants sent and that did not fit into the buffers of EncryptMessage.
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


class StreamMessages:
    """SECPKG_USER_FUNCTION_TABLE of a stream package."""

    def __init__(self) -> None:
        self._functions: DllFunctions | None = None
        self._contexts: dict[int, StreamSession] = {}

    def table(self) -> SecpkgUserFunctionTable:
        """Return the table: no signatures in a stream, and no export, since OpenSSL's state cannot be written down."""
        return SecpkgUserFunctionTable(
            instance_init=self.instance_init,
            init_user_mode_context=self.init_user_mode_context,
            seal_message=self.seal_message,
            unseal_message=self.unseal_message,
            query_context_attributes=self.query_context_attributes,
            delete_user_mode_context=self.delete_user_mode_context,
        )

    def instance_init(self, version: int, functions: DllFunctions) -> None:  # noqa: ARG002 - one version only
        """SpInstanceInit."""
        self._functions = functions

    def init_user_mode_context(self, context: int, packed: bytearray) -> None:
        """SpInitUserModeContext."""
        session = self._functions.claim(packed) if self._functions is not None else None
        if not isinstance(session, StreamSession):
            raise SSPIError("no context data of a stream package", status=_S.SEC_E_INVALID_TOKEN)
        self._contexts[context] = session

    def delete_user_mode_context(self, context: int) -> None:
        """SpDeleteUserModeContext."""
        self._contexts.pop(context, None)

    def query_context_attributes(self, context: int, attribute: int) -> object:
        """SpQueryContextAttributes, for the sizes; the rest goes to the LSA-mode half."""
        session = self._contexts[context]
        sizes = session.sizes
        if attribute == SECPKG_ATTR_SIZES:
            return SecPkgContext_Sizes(session.max_token, 0, sizes.block, sizes.header + sizes.trailer)
        if attribute == SECPKG_ATTR_STREAM_SIZES and session.formats:
            return SecPkgContext_StreamSizes(sizes.header, sizes.trailer, sizes.maximum, 4, sizes.block)
        raise refuse("ulAttribute", f"{attribute:#x} is not known here", _S.SEC_E_UNSUPPORTED_FUNCTION)

    def seal_message(self, context: int, qop: int, buffers: Sequence[SecBuffer], sequence: int) -> SecurityStatus:
        """SpSealMessage: EncryptMessage."""
        session = self._contexts[context]
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
                    f"{room} octets, SECPKG_ATTR_STREAM_SIZES says {needed}",
                    _S.SEC_E_BUFFER_TOO_SMALL,
                )
        if len(data) > sizes.maximum:
            raise refuse(
                "pMessage[1]", f"{len(data)} octets, cbMaximumMessage is {sizes.maximum}", _S.SEC_E_BUFFER_TOO_SMALL
            )
        with session.lock:
            if session.send_closed:
                raise SSPIError("the context was shut down", status=_S.SEC_E_CONTEXT_EXPIRED)
            record = session.protected.wrap(data)  # type: ignore[arg-type]  # OpenSSL reads any memory
            if len(record) > sizes.header + len(data) + len(trailer):
                # TLS has put a message of its own in front (a key update). It goes out as a token of the exchange.
                session.unsent += record
                for buffer in buffers[:3]:
                    buffer.size = 0
                return _S.SEC_I_RENEGOTIATE
        octets = memoryview(record)
        middle = min(sizes.header, len(octets))
        end = min(middle + len(data), len(octets))
        header[:middle] = octets[:middle]
        data[: end - middle] = octets[middle:end]
        trailer[: len(octets) - end] = octets[end:]
        buffers[0].size, buffers[2].size = middle, len(octets) - end
        return _S.SEC_E_OK

    def unseal_message(self, context: int, buffers: Sequence[SecBuffer], sequence: int) -> tuple[SecurityStatus, int]:
        """SpUnsealMessage: DecryptMessage."""
        session = self._contexts[context]
        _check(session, buffers, _DECRYPT, sequence)
        received = buffers[0].writable("pMessage[0]")
        with session.lock:
            if session.unread:
                _give_unread(session, buffers, received)
                return _S.SEC_E_OK, 0
            _check_open(session)
            size = measure_record(received)
            if not size or size > len(received):
                _say(buffers[1], SECBUFFER_MISSING, (size or HEADER_SIZE) - len(received))
                return _S.SEC_E_INCOMPLETE_MESSAGE, 0
            plaintext = self._open(session, bytes(received[:size]))
            closed = session.protected.peer_closed
        start = min(session.sizes.header, size)
        end = start + len(plaintext)
        received[start:end] = plaintext
        for buffer, kind, octets in (
            (buffers[0], SECBUFFER_STREAM_HEADER, received[:start]),
            (buffers[1], SECBUFFER_DATA, received[start:end]),
            (buffers[2], SECBUFFER_STREAM_TRAILER, received[end:size]),
        ):
            buffer.buffer_type, buffer.buffer, buffer.size = kind, octets, len(octets)
        if len(received) > size:
            rest = received[size:]
            buffers[3].buffer_type, buffers[3].buffer, buffers[3].size = SECBUFFER_EXTRA, rest, len(rest)
        return (_S.SEC_I_CONTEXT_EXPIRED if closed and not plaintext else _S.SEC_E_OK), 0

    @staticmethod
    def _open(session: StreamSession, record: bytes) -> bytes:
        """Open one record; with ISC_REQ_SEQUENCE_DETECT or REPLAY_DETECT, tell a repeated one from an altered one."""
        recent = session.recent
        try:
            plaintext = session.protected.unwrap(record)
        except CredSSPError as error:
            if recent is not None and error.status is _S.SEC_E_MESSAGE_ALTERED and record[-_TAIL:] in recent:
                raise SSPIError("a record came a second time", status=_S.SEC_E_OUT_OF_SEQUENCE) from error
            raise
        if recent is not None:
            recent.append(record[-_TAIL:])
        return plaintext


def _check(session: StreamSession, buffers: Sequence[SecBuffer], kinds: list[int], sequence: int) -> None:
    if not session.formats:
        raise refuse(
            "phContext",
            "made with CONNECTION and without STREAM: it does not format messages",
            _S.SEC_E_UNSUPPORTED_FUNCTION,
        )
    if sequence:
        raise refuse("MessageSeqNo", "reserved, must be 0", _S.SEC_E_INVALID_PARAMETER)
    if [buffer.buffer_type for buffer in buffers] != kinds:
        wanted, found = (", ".join(map(buffer_type_name, row)) for row in (kinds, [b.buffer_type for b in buffers]))
        raise refuse("pMessage", f"the buffers are {wanted}, in this order, not {found}", _S.SEC_E_INVALID_TOKEN)


def _check_open(session: StreamSession) -> None:
    if session.protected.peer_closed:
        raise SSPIError("the peer has closed the stream", status=_S.SEC_E_CONTEXT_EXPIRED)


def _say(buffer: SecBuffer, kind: int, number: int) -> None:
    buffer.buffer_type, buffer.buffer, buffer.size = kind, None, number


def _give_unread(session: StreamSession, buffers: Sequence[SecBuffer], received: memoryview) -> None:
    """Hand out what the exchange left over; the caller's octets are all EXTRA, so that the order is kept."""
    unread, session.unread = bytearray(session.unread), b""
    empty = memoryview(b"")
    for buffer, kind, octets in (
        (buffers[0], SECBUFFER_STREAM_HEADER, empty),
        (buffers[1], SECBUFFER_DATA, memoryview(unread)),
        (buffers[2], SECBUFFER_STREAM_TRAILER, empty),
    ):
        buffer.buffer_type, buffer.buffer, buffer.size = kind, octets, len(octets)
    if received:
        buffers[3].buffer_type, buffers[3].buffer, buffers[3].size = SECBUFFER_EXTRA, received, len(received)
