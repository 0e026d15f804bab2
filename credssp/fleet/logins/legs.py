"""What goes over the wire in a login: each flight with its size, its content and the time that it took.

The two recorders here are the client's ends of RDP and WinRM which tell a `LegRecorder` what passes. TSRequests are
counted, and no secret is in what is told: the names of fields, and of tokens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from credssp.config import ClientConfig
from credssp.dissect.views import fields_of
from credssp.engine.events import Direction, Observer
from credssp.errors import CredSSPError
from credssp.rdp.client import NLAClient
from credssp.rdp.events import Event, RDPState
from credssp.rdp.negotiation import protocol_names
from credssp.status import SecurityStatus, describe
from credssp.tls.record import has_handshake
from credssp.winrm.client import ClientLogin
from credssp.winrm.header import challenge_token
from credssp.wire.ts_request import TSRequest

__all__ = ["LegRecorder", "LoginLeg", "SeenClientLogin", "SeenNLAClient"]


@dataclass(frozen=True, slots=True)
class LoginLeg:
    """What one side sent in one go.

    Attributes:
        number: of the last TSRequest in it, counted from 1 over both directions; None where there is none.
        sender: who sent it; empty for the connection.
        size: its bytes on the wire, TLS included; None where they were not counted.
        seconds: how long it took since the leg before: to make it, or to wait for it.
        status: what the sender's step came to, by name and number, as far as it is known here; else empty.
        content: what is in it.
    """

    number: int | None
    sender: Literal["client", "server", ""]
    size: int | None
    seconds: float
    status: str
    content: tuple[str, ...]


class LegRecorder:
    """Takes what passes, in its order, and tells a leg once it is over.

    Args:
        tell: called with every leg; None for a login at which no user looks.
        also: another observer of the TSRequests, or None.
        clock: a monotonic clock in seconds.
    """

    def __init__(
        self,
        tell: Callable[[LoginLeg], object] | None = None,
        also: Observer | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._tell = tell
        self._also = also
        self._clock = clock
        self._end = clock()
        self._count = 0
        self._numbers: dict[Direction, int | None] = dict.fromkeys(Direction)
        self._fields: dict[Direction, list[str]] = {direction: [] for direction in Direction}
        self._status = ""
        self._pending: tuple[int | None, float, list[str]] | None = None

    def observe(self, direction: Direction, message: TSRequest, data: bytes) -> None:
        """Note a TSRequest; an `Observer`."""
        self._count += 1
        self._numbers[direction] = self._count
        fields = ", ".join(fields_of(message)) or "nothing but the version"
        self._fields[direction].append(f"TSRequest, version {message.version}: {fields}")
        if direction is Direction.RECEIVED and message.error_code is not None:
            self._status = describe(message.error_code).summary
        if self._also is not None:
            self._also(direction, message, data)

    def begin(self) -> None:
        """Begin to count the time."""
        self._end = self._clock()

    def connected(self, content: str) -> None:
        """Note that there is a connection."""
        self._leg(None, "", None, self._clock(), "", (content,))

    def sent(self, size: int | None, content: Sequence[str] = (), *, status: SecurityStatus) -> None:
        """Note what this side sends next."""
        now = self._clock()
        self.flush()
        number, fields = self._take(Direction.SENT)
        shown = f"{status.name} 0x{status:08X}"
        self._leg(number, "client", size, now, shown, (*content, *fields))

    def received(self, size: int | None, content: Sequence[str] = ()) -> None:
        """Note what came from the server: one leg, in however many pieces it came."""
        now = self._clock()
        if self._pending is None:
            self._pending = size, now, list(content)
            return
        before, _, known = self._pending
        total = None if size is None or before is None else before + size
        self._pending = total, now, [*known, *(each for each in content if each not in known)]

    def flush(self) -> None:
        """Tell the leg of the server that is noted, if there is one."""
        if self._pending is not None:
            (size, when, content), self._pending = self._pending, None
            number, fields = self._take(Direction.RECEIVED)
            status, self._status = self._status, ""
            self._leg(number, "server", size, when, status, (*content, *fields))

    def _take(self, direction: Direction) -> tuple[int | None, list[str]]:
        number, fields = self._numbers[direction], self._fields[direction]
        self._numbers[direction], self._fields[direction] = None, []
        return number, fields

    def _leg(
        self,
        number: int | None,
        sender: Literal["client", "server", ""],
        size: int | None,
        when: float,
        status: str,
        content: tuple[str, ...],
    ) -> None:
        seconds, self._end = max(0.0, when - self._end), max(when, self._end)
        if self._tell is not None:
            self._tell(LoginLeg(number, sender, size, seconds, status, content or ("TLS records",)))


class SeenNLAClient(NLAClient):
    """A client of RDP that tells what passes."""

    def __init__(self, recorder: LegRecorder, *, host: str, config: ClientConfig) -> None:
        super().__init__(host=host, config=config)
        self._recorder = recorder
        self._receiving = False

    def data_to_send(self) -> bytes:
        """Return, once, what must go to the peer."""
        data = super().data_to_send()
        if data and not self._receiving:
            begins = self.state is RDPState.EXPECT_X224
            self._tell(data, ["X.224 Connection Request"] if begins else [])
        return data

    def receive(self, data: bytes) -> list[Event]:
        """Take bytes from the peer. Raises CredSSPError."""
        self._recorder.received(len(data), _tls(data) if self.negotiated is not None else ())
        negotiated, authorization = self.negotiated, self.authorization
        self._receiving = True
        try:
            return super().receive(data)
        except CredSSPError as error:
            if error.token:
                self._told(negotiated, authorization)
                self._tell(error.token, [] if has_handshake(error.token) else ["TLS alert"], error.status)
            raise
        finally:
            self._receiving = False
            self._told(negotiated, authorization)

    def _told(self, negotiated: object, authorization: object) -> None:
        """Add to the server's leg what it was, once that is known."""
        if self.negotiated is not None and negotiated is None:
            self._recorder.received(0, (f"X.224 Connection Confirm, {protocol_names(self.negotiated.selected)}",))
        if self.authorization is not None and authorization is None:
            self._recorder.received(0, (f"Early User Authorization Result {self.authorization.name}",))

    def _tell(self, data: bytes, content: Sequence[str], status: SecurityStatus | None = None) -> None:
        if status is None:
            over = self.context.complete
            status = SecurityStatus.SEC_E_OK if over else SecurityStatus.SEC_I_CONTINUE_NEEDED
        self._recorder.sent(len(data), [*content, *_tls(data)], status=status)


class SeenClientLogin(ClientLogin):
    """A client of WinRM that tells what passes."""

    def __init__(self, recorder: LegRecorder, config: ClientConfig, host: str, **options: Any) -> None:
        super().__init__(config, host, **options)
        self._recorder = recorder

    def bind(self, certificate: bytes | None) -> None:
        """Bind the login to the server's certificate of https. Raises LocalProtocolError."""
        self._recorder.received(None, ("HTTP 401, which offers CredSSP",))
        super().bind(certificate)

    def start(self) -> str:
        """Return the value of the first ``Authorization`` header. Raises LoginError."""
        return self._told(super().start())

    def receive(self, status: int, challenges: Sequence[str], *, proxy: str = "") -> str | None:
        """Take the answer to a leg. Raises LoginError, HTTPStatusError."""
        try:
            token = challenge_token(challenges) or b""
        except CredSSPError:
            token = b""  # the same is raised below
        self._recorder.received(len(token), (f"HTTP {status}", *_tls(token)))
        header = super().receive(status, challenges, proxy=proxy)
        return None if header is None else self._told(header)

    def _told(self, header: str) -> str:
        token = challenge_token([header]) or b""  # the two headers look the same
        over = self.context.complete
        status = SecurityStatus.SEC_E_OK if over else SecurityStatus.SEC_I_CONTINUE_NEEDED
        self._recorder.sent(len(token), _tls(token), status=status)
        return header


def _tls(data: bytes) -> tuple[str, ...]:
    return ("TLS handshake",) if has_handshake(data) else ()
