"""The agent's audit: one event for every login, in the form of all events (docs/reference/events.md), without secrets.

`event_of` makes the event of a login, a `Sink` takes it. The journal gets the
members as fields of its own as well (systemd.journal-fields(7)), so that ``journalctl CREDSSP_CREDENTIAL=prod-admin``
finds the logins of one credential.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from credssp.drivers.audit import AuditEvent
from credssp.drivers.audit import Reason as Word
from credssp.errors import CredSSPError
from credssp.lsa.caller import Caller
from credssp.lsa.messages import AgentMessage
from credssp.lsa.opened import AgentRefusedError, Reason
from credssp.lsa.record import LoginRecord
from credssp.status import SecurityStatus, describe

__all__ = ["Event", "FileSink", "JournalSink", "Sink", "change_event", "event_of", "line_of"]

logger = logging.getLogger("credssp.agent")

Event: TypeAlias = Mapping[str, Any]

Sink: TypeAlias = Callable[[Event], None]
"""Takes an event; does not raise."""

JOURNAL: Final = "/run/systemd/journal/socket"

_REASONS: Final[dict[str, Word]] = {
    "AuthenticationError": "logon_failure",
    "PeerRefusedError": "logon_failure",
    "BindingError": "key_mismatch",
    "VersionError": "version",
    "PolicyError": "policy",
    "DeadlineError": "timeout",
    "PeerClosedError": "closed",
    "LimitExceededError": "limit",
    "CertificateError": "tls",
    "TLSError": "tls",
    "TLSAlertError": "tls",
    "LocalProtocolError": "internal",
}
_ACTIONS: Final = {
    "AddCredential": "add",
    "RemoveCredential": "remove",
    "ListCredentials": "list",
    "LockAgent": "lock",
    "UnlockAgent": "unlock",
}
_LIMITS: Final = (Reason.LIMIT.value,)
_MISUSE: Final = (Reason.HANDLE.value, Reason.REPLAY.value)


def event_of(record: LoginRecord, *, user: str = "") -> Event:
    """Return the event of a login.

    Args:
        record: what the agent knows of it.
        user: who the credential logs on, ``DOMAIN\\user``; empty where it is not known.
    """
    domain, _, name = user.rpartition("\\")
    head = AuditEvent(
        event="agent-login",
        outcome="success" if record.outcome == "success" else "failure",
        reason=_word(record),
        user=name,
        domain=domain,
        mechanism=record.mechanism,
    )
    return head.as_json() | {
        "uid": record.caller.uid,
        "pid": record.caller.pid,
        "executable": record.caller.executable,
        "credential": record.credential,
        "target": record.target,
        "package": record.package,
        "end": record.outcome,
        "rule": record.reason,
        "status": describe(int(record.status)).to_dict(),
        "delegated": record.delegated,
        "proof_sent": record.proof_sent,
        "seconds": round(record.seconds, 3),
    }


def _word(record: LoginRecord) -> Word:
    """Return why it did not succeed, in a word that all servers use."""
    if record.outcome == "success":
        return ""
    if record.outcome == "abandoned":
        return "closed"
    if record.outcome == "refused":
        return "limit" if record.reason in _LIMITS else "protocol" if record.reason in _MISUSE else "policy"
    if record.status == SecurityStatus.SEC_E_LOGON_DENIED:
        return "logon_failure"
    return _REASONS.get(record.reason, "protocol")


def change_event(request: AgentMessage, caller: Caller, error: CredSSPError | None) -> Event | None:
    """Return the event of a change that a program asked for, or None: a list changes nothing.

    Args:
        request: what it asked for (`credssp.lsa.management`).
        caller: the program.
        error: why it was not done; None where it was.
    """
    action = _ACTIONS.get(type(request).__name__, "unknown")
    if action == "list" and error is None:
        return None
    head = AuditEvent(
        event="agent-change",
        outcome="success" if error is None else "failure",
        reason="" if error is None else "policy" if isinstance(error, AgentRefusedError) else "protocol",
    )
    return head.as_json() | {
        "uid": caller.uid,
        "pid": caller.pid,
        "executable": caller.executable,
        "credential": _named(request),
        "action": action,
        "rule": error.reason.value if isinstance(error, AgentRefusedError) else "",
    }


def _named(request: AgentMessage) -> str:
    """Return the name of the credential that a request is about."""
    name = getattr(request, "name", "")
    if not name and hasattr(request, "settings"):
        try:
            name = json.loads(request.settings).get("name", "")
        except (ValueError, AttributeError, RecursionError):
            name = ""
    return name if isinstance(name, str) else ""


def line_of(event: Event) -> str:
    """Return an event as one line of JSON, with its end; what programs chose is escaped."""
    return json.dumps(event) + "\n"


class FileSink:
    """Appends events to a file, which it makes with mode 0600. Threads: may be shared.

    Where the disk is full, logins continue; the log says so once.
    """

    def __init__(self, path: str) -> None:
        """Open the file.

        Raises:
            OSError: it cannot be opened.
        """
        self._path = path
        self._guard = threading.Lock()
        self._failed = False
        self._file = self._open()

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
        return os.open(self._path, flags, 0o600)

    def __call__(self, event: Event) -> None:
        """Write a line in one piece."""
        with self._guard:
            try:
                os.write(self._file, line_of(event).encode())
            except OSError as error:
                self._tell(error)
            else:
                self._failed = False

    def reopen(self) -> None:
        """Open the file again, after it was moved away (logrotate). If that fails, the old one stays in use."""
        with self._guard:
            try:
                fresh = self._open()
            except OSError as error:
                self._tell(error)
                return
            os.close(self._file)
            self._file = fresh

    def close(self) -> None:
        """Close the file."""
        with self._guard:
            os.close(self._file)

    def _tell(self, error: OSError) -> None:
        if not self._failed:
            logger.error("events cannot be written to %s: %s", self._path, error.strerror)
        self._failed = True


class JournalSink:
    """Sends events to the journal of systemd by its own protocol. Threads: may be shared."""

    def __init__(self, address: str = JOURNAL) -> None:
        """Connect.

        Raises:
            OSError: there is no journal.
        """
        self._failed = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.connect(address)
            self._socket.setblocking(False)
        except OSError:
            self._socket.close()
            raise

    def __call__(self, event: Event) -> None:
        """Send one; the journal is not waited for."""
        try:
            self._socket.send(_fields(event).encode())
        except OSError as error:
            if not self._failed:
                logger.error("the journal takes no events: %s", error.strerror)
            self._failed = True
        else:
            self._failed = False

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def _fields(event: Event) -> str:
    """Return the datagram: a line for each field, so no value may hold a line feed, which JSON does not."""
    priority = 6 if event.get("outcome") != "failure" else 4  # LOG_INFO, LOG_WARNING
    fields = {
        "MESSAGE": line_of(event).rstrip("\n"),
        "PRIORITY": str(priority),
        "SYSLOG_IDENTIFIER": "credssp-agent",
    }
    for name in ("event", "outcome", "reason", "uid", "pid", "executable", "credential", "target", "rule"):
        value = event.get(name, "")
        text = value if isinstance(value, str) else json.dumps(value)
        if text and text.isprintable():
            fields[f"CREDSSP_{name.upper()}"] = text
    return "".join(f"{name}={value}\n" for name, value in fields.items())
