"""Whether the first thing that a server sends after the credentials is a refusal.

With HYBRID a server may judge what was delegated and answer with errorCode where the session would begin, and with
HYBRID_EX in place of the Early User Authorization Result. TPKT begins with 03 and the result with 00 or 05, so a
SEQUENCE (30) tells them apart; how the bytes are split does not matter.
"""

from __future__ import annotations

from credssp.errors import PeerRefusedError, RemoteProtocolError
from credssp.wire.der import Tag
from credssp.wire.framing import TSRequestBuffer
from credssp.wire.tolerant import MAX_MESSAGE_SIZE
from credssp.wire.ts_request import TSRequest

__all__ = ["LateRefusal", "late_refusal"]

_VERSION = 0xA0
"""The tag of TSRequest.version, which comes first."""


class LateRefusal:
    """Reads what comes after the credentials until it is known what that is.

    Attributes:
        decided: whether it is known: an errorCode, or something else.
    """

    def __init__(self, max_size: int = MAX_MESSAGE_SIZE) -> None:
        """Begin; a message of more than `max_size` bytes is something else."""
        self.decided = False
        self._buffer = TSRequestBuffer(max_size)
        self._head = b""

    def feed(self, data: bytes) -> PeerRefusedError | None:
        """Take the next plaintext; returns the refusal once it is whole."""
        if self.decided or not data:
            return None
        self._head += data[:8]
        self.decided = True
        if not _may_be_ts_request(self._head):
            return None
        try:
            self._buffer.feed(data)
            message = self._buffer.next_message()
            if message is None:
                self.decided = False
                return None
            code = TSRequest.decode(message).error_code
        except RemoteProtocolError:
            return None
        return PeerRefusedError(code) if code else None


def _may_be_ts_request(head: bytes) -> bool:
    """Whether these may be the first bytes of a TSRequest: text may begin with a digit 0, which is a SEQUENCE too."""
    if head[0] != Tag.SEQUENCE:
        return False
    inside = 2 if len(head) < 2 or head[1] < 0x80 else 2 + (head[1] & 0x7F)
    return len(head) <= inside or head[inside] == _VERSION


def late_refusal(data: bytes) -> PeerRefusedError | None:
    """Look whether the first bytes after a login are an errorCode: the server judged what was delegated.

    A session looks itself: its first read raises what this returns.

    Args:
        data: plaintext after the login.

    Returns:
        The refusal, or None where the bytes are something else or not whole.
    """
    return LateRefusal().feed(data)
