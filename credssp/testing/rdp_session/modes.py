"""What a test endpoint does after a login: the modes of a session.

=============== =====================================================================================================
mode            what a client sees
=============== =====================================================================================================
`Desktop`       a session with a screen of one colour, which ends after a while, or when the client leaves
`Disconnect`    the session's beginning up to the licence, then a reason of one's choice, and the end
`NoSession`     nothing: what it sends is read and not answered
=============== =====================================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from credssp.errors import LocalProtocolError
from credssp.rdp.error_info import ErrorInfo, error_info

__all__ = ["MODES", "Desktop", "Disconnect", "NoSession", "SessionMode", "session_mode"]

_LONGEST: Final = 86400.0
_WHITE: Final = 0xFFFFFF
_ANSWERS: Final = ("deny", "disconnect")


@dataclass(frozen=True, slots=True)
class Desktop:
    """A session with a screen of one colour, in the size and the colour depth that the client asks for.

    Keys and the mouse have no effect.

    Attributes:
        seconds: how long the session is active before the server ends it, from each activation on; at most a day.
        color: of the screen, as 0xRRGGBB.
        error: the reason that the server gives when it ends the session (`ErrorInfo`, or any number); 0 for none. By
            default, the user logged off.
        reactivations: how often the server deactivates the session and activates it again, as Windows does when the
            size of the desktop changes.
        shutdown: the answer to a client that asks whether it may disconnect (Shutdown Request): ``deny``, as Windows
            does while a user is logged on, so that the client decides; or ``disconnect``.
    """

    seconds: float = 1.0
    color: int = 0x3A6EA5
    error: int = ErrorInfo.ERRINFO_LOGOFF_BY_USER
    reactivations: int = 0
    shutdown: Literal["deny", "disconnect"] = "deny"

    def __post_init__(self) -> None:
        if not 0 <= self.seconds <= _LONGEST:
            raise LocalProtocolError(f"seconds is {self.seconds}: it has to be between 0 and {_LONGEST:.0f}")
        if not 0 <= self.color <= _WHITE:
            raise LocalProtocolError(f"color is {self.color:#x}: it has to be between 0 and {_WHITE:#x}")
        if not 0 <= self.reactivations <= 100:
            raise LocalProtocolError(f"reactivations is {self.reactivations}: it has to be between 0 and 100")
        if self.shutdown not in _ANSWERS:
            raise LocalProtocolError(f"shutdown is {self.shutdown!r}: not one of {', '.join(_ANSWERS)}")
        error_info(self.error)


@dataclass(frozen=True, slots=True)
class Disconnect:
    """The session's beginning up to the licence, then Set Error Info and MCS Disconnect Provider Ultimatum.

    Attributes:
        error: the reason (`ErrorInfo`, or any number); 0 for none.
    """

    error: int = ErrorInfo.ERRINFO_SERVER_DENIED_CONNECTION

    def __post_init__(self) -> None:
        error_info(self.error)


@dataclass(frozen=True, slots=True)
class NoSession:
    """What the client sends after the login is read and not answered."""


SessionMode: TypeAlias = Desktop | Disconnect | NoSession


def _desktop(argument: str) -> Desktop:
    if not argument:
        return Desktop()
    try:
        return Desktop(seconds=float(argument))
    except ValueError:
        raise LocalProtocolError(f"session desktop:{argument}: {argument!r} is not a number of seconds") from None


def _disconnect(argument: str) -> Disconnect:
    return Disconnect(error_info(argument)) if argument else Disconnect()


def _none(argument: str) -> NoSession:
    if argument:
        raise LocalProtocolError(f"session none:{argument}: none takes no argument")
    return NoSession()


MODES: Final[Mapping[str, Callable[[str], SessionMode]]] = {
    "desktop": _desktop,
    "disconnect": _disconnect,
    "none": _none,
}
"""By name; each takes what follows the colon."""


def session_mode(text: str) -> SessionMode:
    """Read a mode: ``desktop``, ``desktop:SECONDS``, ``disconnect``, ``disconnect:ERROR`` or ``none``.

    Raises:
        LocalProtocolError: it is something else.
    """
    name, _, argument = text.partition(":")
    if name not in MODES:
        raise LocalProtocolError(f"session {text!r}: not one of {', '.join(MODES)}")
    return MODES[name](argument)
