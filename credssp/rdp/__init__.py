"""RDP's network level authentication: TLS and CredSSP after a clear-text negotiation ([MS-RDPBCGR] 5.4).

`NLAClient` and `NLAServer` are bytes in, bytes out. `connect`, `serve`, `open_connection` and `start_server` do the
same over sockets; they live in `credssp.drivers.rdp`, above this package, and are only named here (docs/adr/0005).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

from credssp.rdp.client import DEFAULT_PROTOCOLS, LoginRefusedError, NLAClient, late_refusal
from credssp.rdp.early_user_authorization import AuthorizationDeniedError, EarlyUserAuthorization
from credssp.rdp.events import Approach, AuthorizationRequired, Completed, Event, Negotiated, RDPState
from credssp.rdp.negotiation import (
    CREDSSP_PROTOCOLS,
    CorrelationInfo,
    FailureCode,
    NegotiationError,
    NegotiationFailure,
    NegotiationRequest,
    NegotiationResponse,
    Protocol,
    RequestFlags,
    ResponseFlags,
    choose_protocol,
    protocol_names,
)
from credssp.rdp.server import NLAServer
from credssp.rdp.x224 import ConnectionConfirm, ConnectionRequest

if TYPE_CHECKING:
    from credssp.drivers.rdp import connect, open_connection, serve, start_server

__all__ = [
    "CREDSSP_PROTOCOLS",
    "DEFAULT_PROTOCOLS",
    "Approach",
    "AuthorizationDeniedError",
    "AuthorizationRequired",
    "Completed",
    "ConnectionConfirm",
    "ConnectionRequest",
    "CorrelationInfo",
    "EarlyUserAuthorization",
    "Event",
    "FailureCode",
    "LoginRefusedError",
    "NLAClient",
    "NLAServer",
    "Negotiated",
    "NegotiationError",
    "NegotiationFailure",
    "NegotiationRequest",
    "NegotiationResponse",
    "Protocol",
    "RDPState",
    "RequestFlags",
    "ResponseFlags",
    "choose_protocol",
    "connect",
    "late_refusal",
    "open_connection",
    "protocol_names",
    "serve",
    "start_server",
]

_DRIVER: Final = "credssp.drivers.rdp"
_DRIVEN: Final = frozenset({"connect", "open_connection", "serve", "start_server"})


def __getattr__(name: str) -> object:
    """Find the four names that do input and output where they live; nothing of it is loaded before."""
    if name not in _DRIVEN:
        raise AttributeError(f"module 'credssp.rdp' has no attribute {name!r}")
    return getattr(importlib.import_module(_DRIVER), name)
