"""Test doubles: endpoints for the tests of CredSSP clients (`credssp.testing.rdp`, `credssp.testing.winrm`)."""

from credssp.testing.rdp import DEFAULT_ACCOUNTS, Delegation, RDPServer, Refusal
from credssp.testing.rdp_session import Desktop, Disconnect, ErrorInfo, NoSession, SessionReport, SessionState

__all__ = [
    "DEFAULT_ACCOUNTS",
    "Delegation",
    "Desktop",
    "Disconnect",
    "ErrorInfo",
    "NoSession",
    "RDPServer",
    "Refusal",
    "SessionReport",
    "SessionState",
]
