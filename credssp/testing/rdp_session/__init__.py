"""RDP sessions after the login, for test endpoints: the modes, and the state machine that serves them, without I/O.

`credssp.testing.rdp_sessions` runs it over a session's stream.
"""

from credssp.rdp.error_info import ErrorInfo
from credssp.testing.rdp_session.machine import SessionMachine
from credssp.testing.rdp_session.modes import Desktop, Disconnect, NoSession, SessionMode, session_mode
from credssp.testing.rdp_session.report import SessionReport, SessionState

__all__ = [
    "Desktop",
    "Disconnect",
    "ErrorInfo",
    "NoSession",
    "SessionMachine",
    "SessionMode",
    "SessionReport",
    "SessionState",
    "session_mode",
]
