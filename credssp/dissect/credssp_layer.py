"""TSRequests out of the plaintext of both directions, and what follows them."""

from __future__ import annotations

from typing import Final

from credssp.dissect.model import Conversation, Event, Sender
from credssp.errors import DecodeError, LimitExceededError
from credssp.wire.framing import TSRequestBuffer
from credssp.wire.ts_request import TSRequest

__all__ = ["EARLY_RESULT", "CredSSPLayer"]

MAX_MESSAGE: Final = 1 << 20
"""Bytes of one TSRequest: more than any peer takes, so that those that are too large can still be shown."""

_MAX_APPLICATION: Final = 4
"""Events of application data after which a conversation has told all that is of interest here."""

EARLY_RESULT: Final = "Early User Authorization Result"
_EARLY_RESULTS: Final = {b"\0\0\0\0": "success", b"\5\0\0\0": "access denied"}


class _Side:
    def __init__(self) -> None:
        self.buffer = TSRequestBuffer(MAX_MESSAGE)
        self.pieces = 0
        self.over = False


class CredSSPLayer:
    """Reads one exchange.

    Attributes:
        complete: whether enough was seen: the login is over and what follows it has begun.
    """

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._sides: dict[Sender, _Side] = {"client": _Side(), "server": _Side()}
        self._application = 0
        self.complete = False

    def feed(self, sender: Sender, data: bytes, time: int | None) -> None:
        """Take the plaintext of one TLS record."""
        side = self._sides[sender]
        if not side.over and not len(side.buffer) and data[:1] != b"\x30":
            side.over = True
        if side.over:
            self._take_application_data(sender, data, time)
            return
        side.pieces += 1
        try:
            side.buffer.feed(data)
            while not side.over and (message := side.buffer.next_message()) is not None:
                self._take_message(sender, side, message, time)
        except (DecodeError, LimitExceededError) as error:
            self._lost(sender, side, side.buffer.take_rest(), time, str(error))
        self._take_rest(sender, side, time)

    def _take_rest(self, sender: Sender, side: _Side, time: int | None) -> None:
        if side.over and (rest := side.buffer.take_rest()):
            self._take_application_data(sender, rest, time)

    def gap(self, sender: Sender) -> None:
        """Say that bytes of one side are missing: a message that had begun is lost."""
        side = self._sides[sender]
        if rest := side.buffer.take_rest():
            self._lost(sender, side, rest, None, "the rest of it is missing in the capture")
            side.over = False

    def finish(self) -> None:
        """Say that nothing more comes."""
        for sender, side in self._sides.items():
            missing = side.buffer.missing
            if rest := side.buffer.take_rest():
                self._lost(sender, side, rest, None, f"cut off: at least {missing} bytes are missing")

    def _take_message(self, sender: Sender, side: _Side, message: bytes, time: int | None) -> None:
        error = ""
        try:
            request = TSRequest.decode(message, max_size=MAX_MESSAGE)
        except (DecodeError, LimitExceededError) as problem:
            error = str(problem)
        else:
            if request.auth_info is not None and sender == "client":
                # Then the client has said all ([MS-CSSP] 3.1.5 step 5). The server's last message may still come out
                # of the reassembly, if packets are missing; what it says afterwards does not begin like a TSRequest.
                side.over = True
        self._conversation.add(
            Event(sender, "tsrequest", len(message), time, "TSRequest", message, error, pieces=side.pieces)
        )
        side.pieces = 1 if len(side.buffer) else 0

    def _lost(self, sender: Sender, side: _Side, data: bytes, time: int | None, error: str) -> None:
        self._conversation.add(Event(sender, "tsrequest", len(data), time, "TSRequest", b"", error, pieces=side.pieces))
        side.over = True

    def _take_application_data(self, sender: Sender, data: bytes, time: int | None) -> None:
        self._application += 1
        if self._application <= _MAX_APPLICATION:
            self._conversation.add(Event(sender, "application", len(data), time, _name(sender, data)))
        self.complete = self._application >= _MAX_APPLICATION


def _name(sender: Sender, data: bytes) -> str:
    if sender == "server" and data in _EARLY_RESULTS:
        return f"{EARLY_RESULT}: {_EARLY_RESULTS[data]}"
    if data[:2] == b"\x03\0" and data[5:6] == b"\xf0":
        return "application data: MCS in X.224"
    if data[:2] == b"\x03\0":
        return "application data: X.224 inside TLS"
    return "application data"
