"""The lines of ``credssp serve``: one for each event, with the same members in front (docs/reference/events.md)."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from credssp.cli._serve_lines import queued_lines, write_line

if TYPE_CHECKING:
    from credssp.credentials import DelegatedCredentials
    from credssp.errors import CredSSPError
    from credssp.identity import Identity

__all__ = [
    "SilentClients",
    "credential_facts",
    "delegated_facts",
    "emit",
    "exchange_facts",
    "identity_facts",
    "queued_events",
    "status_facts",
]


def emit(event: str, facts: dict[str, Any], *, as_json: bool) -> None:
    """Print an event in one write; inside `queued_events` never waiting for whatever reads them."""
    write_line(_event_line(event, facts, as_json=as_json))


def queued_events(*, as_json: bool) -> AbstractContextManager[None]:
    """While the block runs, events go through a bounded queue; ``dropped`` tells how many found it full."""
    return queued_lines(lambda count: _event_line("dropped", {"events": count}, as_json=as_json))


def _event_line(event: str, facts: dict[str, Any], *, as_json: bool) -> str:
    from credssp.drivers.audit import AuditEvent

    # All events have the same members in front, in the same order.
    facts = AuditEvent(event=event).as_json() | facts
    if as_json:
        return json.dumps(facts) + "\n"
    from credssp.cli._output import printable

    shown = {name: value for name, value in facts.items() if value != "" and name not in ("event", "time", "id")}
    return printable(f"{event:<10} " + "  ".join(f"{name}={_short(value)}" for name, value in shown.items())) + "\n"


def _short(value: object) -> str:
    if isinstance(value, dict):
        return str(value.get("name", "")) or json.dumps(value)
    return str(value)


def status_facts(error: CredSSPError, *, locked: bool) -> dict[str, Any]:
    """Return the status of a refusal, its NTSTATUS where it has one, and what was wrong for its owner."""
    from credssp.drivers.audit import wrong_of

    ntstatus = None if error.ntstatus is None else f"0x{error.ntstatus:08X}"
    return {"ntstatus": ntstatus, "status": error.as_status(), "wrong": wrong_of(error, locked=locked)}


def exchange_facts(
    version: int | None = None, peer_version: int | None = None, tls: str = "", cipher: str = ""
) -> dict[str, Any]:
    """Return the versions of CredSSP and its TLS, as far as they were negotiated."""
    return {"version": version, "peer_version": peer_version, "tls": tls or None, "cipher": cipher or None}


def identity_facts(who: Identity) -> dict[str, Any]:
    """Return who logged on, for which server, and what was verified beside the proof."""
    return {
        "logon": _logon(who),
        "target_name": who.target_name,
        "ntlm_mic": who.ntlm_mic,
        "mech_list_mic": who.mech_list_mic,
    }


class SilentClients:
    """Tells of connections that ended before their first byte, as numbers and once a second at most.

    A line for each would let strangers fill a disk.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._reasons: Counter[str] = Counter()
        self._told = float("-inf")

    def note(self, error: CredSSPError) -> None:
        """Take notice of the refusal of such a connection."""
        import time

        from credssp.drivers.audit import reason_of

        self._reasons[reason_of(error)] += 1
        if time.monotonic() - self._told >= 1.0:
            self.tell()
            self._told = time.monotonic()

    def tell(self) -> None:
        """Print what was not told yet."""
        if self._reasons:
            facts = {"connections": self._reasons.total(), "reasons": dict(self._reasons)}
            emit("silent", facts, as_json=self._as_json)
            self._reasons.clear()


def delegated_facts(credentials: DelegatedCredentials, *, reveal: bool) -> dict[str, Any]:
    """Return what was delegated as `delegated`, and its type and secret beside it as in release 0.1.0."""
    facts = credential_facts(credentials, reveal=reveal)
    return {"type": facts["type"], "secret": facts["secret"], "delegated": facts}


def credential_facts(credentials: DelegatedCredentials, *, reveal: bool) -> dict[str, Any]:
    """Return type, domain, user and secret of what was delegated, the secret masked unless told otherwise.

    Of a smart card also the names of card, reader, container and CSP; of Remote Credential Guard the packages.
    """
    from credssp.cli._output import MASK
    from credssp.credentials import PasswordCredentials, SmartCardCredentials

    more: dict[str, Any] = {}
    if isinstance(credentials, PasswordCredentials):
        kind = "empty" if credentials.is_empty else "password"
        user, domain, secret = credentials.username, credentials.domain, credentials.password.reveal()
    elif isinstance(credentials, SmartCardCredentials):
        kind, user, domain = "smartcard", credentials.user_hint or "", credentials.domain_hint or ""
        secret = credentials.pin.reveal()
        more = {
            "card": credentials.card_name,
            "reader": credentials.reader_name,
            "container": credentials.container_name,
            "csp": credentials.csp_name,
            "key_spec": credentials.key_spec,
        }
    else:
        kind, user, domain = "remote_guard", "", ""
        secret = credentials.buffer.reveal().hex()
        more = {"packages": [credentials.package_name, *(name for name, _ in credentials.supplemental)]}
    return {"type": kind, "domain": domain, "user": user, "secret": secret if reveal or not secret else MASK} | more


def _logon(who: Identity) -> dict[str, Any]:
    """Return who logged on, as which name, and who says so."""
    return {
        "domain": who.domain,
        "user": who.username,
        "mechanism": who.mechanism,
        "authority": who.authority,
        "sid": who.sid,
        "groups": list(who.groups),
        "sent_domain": who.sent_domain,
        "sent_user": who.sent_username,
    }
