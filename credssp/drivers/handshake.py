"""What a driver needs from the thing it drives, how long it waits, and how it fails."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final, Protocol

from credssp.config import Timeouts
from credssp.errors import CredSSPError
from credssp.next_step import NextStep
from credssp.status import NTStatus, SecurityStatus

__all__ = ["NOT_LISTENING", "ConnectError", "DeadlineError", "Handshake", "Obstacle", "Timeouts"]


class Handshake(Protocol):
    """One end of a login without a socket, such as `credssp.rdp.NLAClient` and `NLAServer`."""

    @property
    def complete(self) -> bool:
        """Whether the login is over and went well."""

    @property
    def peer_closed(self) -> bool:
        """Whether the peer sent close_notify."""

    @property
    def awaited(self) -> str:
        """What is awaited, for people: ``expect TLS or CredSSP``."""

    unused_data: bytes

    def start(self) -> None:
        """Begin; `data_to_send` has what goes first."""

    def receive(self, data: bytes) -> Sequence[object]:
        """Take bytes from the peer and return events. Raises CredSSPError; its `.token` still goes out."""

    def receive_eof(self) -> None:
        """Say that the transport ended. Raises CredSSPError if that was too early."""

    def data_to_send(self) -> bytes:
        """Return, once, what must go to the peer."""

    def wrap(self, data: bytes) -> bytes:
        """Encrypt application data."""

    def unwrap(self, data: bytes) -> bytes:
        """Decrypt application data."""

    def shutdown(self) -> bytes:
        """Return close_notify."""


NOT_LISTENING: Final = NextStep.LISTEN
"""The next step of a server that does not get its port."""


class Obstacle(enum.Enum):
    """Why there is no connection."""

    NAME = "the name is not known"
    REFUSED = "the connection was refused"
    SILENT = "nothing came back"
    UNREACHABLE = "the address cannot be reached"
    MUTE = "the connection was taken, and TLS got no answer"
    TLS = "the connection was taken, and TLS around HTTP failed"
    OTHER = "another reason"


class ConnectError(CredSSPError):
    """There is no connection to the peer at all.

    Attributes:
        obstacle: why, where the operating system said so.
    """

    obstacle: Obstacle = Obstacle.OTHER
    default_status = SecurityStatus.SEC_E_TARGET_UNKNOWN
    default_advice = NextStep.CONNECT

    def because_of(self, obstacle: Obstacle) -> ConnectError:
        """Note the obstacle and return the error."""
        self.obstacle = obstacle
        return self


class DeadlineError(CredSSPError):
    """The peer took too long."""

    default_status = SecurityStatus.SEC_E_CONTEXT_EXPIRED
    default_ntstatus = NTStatus.STATUS_IO_TIMEOUT
    default_advice = NextStep.DEADLINE


def too_late(timeouts: Timeouts, awaited: str, *, whole: bool) -> DeadlineError:
    """Return the error for a deadline that passed.

    Args:
        timeouts: the deadlines.
        awaited: what was awaited.
        whole: whether it was that of the whole login.
    """
    if whole:
        return DeadlineError(f"the login did not end within {timeouts.login:g} s; the next step was to {awaited}")
    return DeadlineError(f"the peer sent nothing for {timeouts.leg:g} s; the next step was to {awaited}")
