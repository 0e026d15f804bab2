"""What the two ends of network level authentication tell their owners, and what they await."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeAlias

from credssp.credentials import DelegatedCredentials
from credssp.engine.events import AnswerRequired
from credssp.identity import Identity
from credssp.rdp.early_user_authorization import EarlyUserAuthorization
from credssp.rdp.negotiation import Protocol, ResponseFlags
from credssp.rdp.x224 import ConnectionRequest

__all__ = ["AnswerRequired", "Approach", "AuthorizationRequired", "Completed", "Event", "Negotiated", "RDPState"]


class Approach(enum.Enum):
    """How a connection begins ([MS-RDPBCGR] 5.4.2)."""

    NEGOTIATED = "negotiated"
    """X.224 in clear text, then TLS and CredSSP: what everybody does on port 3389 (5.4.2.1)."""
    DIRECT = "direct"
    """TLS and CredSSP from the first byte, X.224 inside TLS (5.4.2.2)."""


class RDPState(enum.Enum):
    """What is awaited."""

    START = "start"
    EXPECT_X224 = "expect the X.224 Connection Request or Confirm"
    EXPECT_CREDSSP = "expect TLS or CredSSP"
    AWAIT_ANSWER = "await the answer of the logon authority"
    DECIDE_AUTHORIZATION = "decide whether the user may log on"
    EXPECT_AUTHORIZATION = "expect the Early User Authorization Result"
    EXPECT_X224_INSIDE = "expect the X.224 Connection Request or Confirm inside TLS"
    COMPLETE = "complete"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Negotiated:
    """It is known which protocol the connection uses.

    Attributes:
        selected: HYBRID or HYBRID_EX.
        approach: how the connection began.
        flags: RDP_NEG_RSP.flags; none yet in the direct approach.
        request: the client's Connection Request, on a server in the negotiated approach; else None.
    """

    selected: Protocol
    approach: Approach
    flags: ResponseFlags = ResponseFlags.NONE
    request: ConnectionRequest | None = None


@dataclass(frozen=True, slots=True)
class AuthorizationRequired:
    """Server: CredSSP is over; now `NLAServer.authorize` must say whether the user may log on.

    Attributes:
        identity: who logged on.
        credentials: what the client delegated.
    """

    identity: Identity
    credentials: DelegatedCredentials


@dataclass(frozen=True, slots=True)
class Completed:
    """The login is over and went well; the stream belongs to the application.

    Attributes:
        authorization: AUTHZ_SUCCESS with HYBRID_EX; None with HYBRID, where the session tells later.
    """

    authorization: EarlyUserAuthorization | None


Event: TypeAlias = Negotiated | AnswerRequired | AuthorizationRequired | Completed
