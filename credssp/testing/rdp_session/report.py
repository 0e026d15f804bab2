"""What a test endpoint saw of a session."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Literal

from credssp.rdp.error_info import describe_error_info

__all__ = ["SessionReport", "SessionState"]


class SessionState(enum.Enum):
    """How far a session is, named for what is awaited; the value says it in words."""

    EXPECT_CONNECT_INITIAL = "expect MCS Connect Initial"
    EXPECT_CLIENT_INFO = "expect the Client Info PDU"
    EXPECT_CONFIRM_ACTIVE = "expect the Confirm Active PDU"
    EXPECT_FONT_LIST = "expect the Font List PDU"
    ACTIVE = "active"
    ENDED = "ended"


@dataclass(slots=True)
class SessionReport:
    """A session after a login, without secrets. It changes while the session runs.

    Attributes:
        state: how far the session came, before it ended.
        activations: how often it became active.
        ended_by: who ended it: ``client``, ``server``; empty while it runs, or where there was none.
        error_info: the reason that the server gave, or None. A client that does not say that it reads reasons
            (SUPPORT_ERRINFO_PDU) gets none.
        fault: what the client sent that has no place in a session; empty for nothing. It is not answered any more.
        client_name: the name of the client's machine; empty before Connect Initial.
        client_build: the client's build number.
        desktop: width and height in pixels.
        color_depth: bits per pixel of the session.
        channels: names of the static virtual channels that the client asked for.
        username: the user name in Client Info; empty before.
        domain: the domain there.
        sent_password: whether the client sent a password in Client Info, although CredSSP had delegated it.
    """

    state: SessionState = SessionState.EXPECT_CONNECT_INITIAL
    activations: int = 0
    ended_by: Literal["", "client", "server"] = ""
    error_info: int | None = None
    fault: str = ""
    client_name: str = ""
    client_build: int = 0
    desktop: tuple[int, int] = (0, 0)
    color_depth: int = 0
    channels: tuple[str, ...] = ()
    username: str = ""
    domain: str = ""
    sent_password: bool = False

    def as_json(self) -> dict[str, object]:
        """Return it for an event of ``credssp serve``."""
        return {
            "state": self.state.name.lower(),
            "activations": self.activations,
            "ended_by": self.ended_by,
            "error_info": None if self.error_info is None else describe_error_info(self.error_info).as_json(),
            "fault": self.fault,
            "client": self.client_name,
            "build": self.client_build,
            "desktop": list(self.desktop),
            "depth": self.color_depth,
            "channels": list(self.channels),
            "sent_password": self.sent_password,
        }
