"""A login to one server: a `TargetURL` and a configuration in, `LoginOutcome` or plain data out."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from credssp.config import ClientConfig
from credssp.credentials import AgentCredentials, CCacheCredentials, KeytabCredentials, LogonCredentials
from credssp.errors import CredSSPError
from credssp.fleet.facts import status_facts
from credssp.fleet.logins.legs import LegRecorder, LoginLeg
from credssp.fleet.logins.outcome import LoginOutcome, outcome_name, refused_by
from credssp.fleet.logins.turn import Turn
from credssp.fleet.target_url import TargetURL

__all__ = ["TRANSPORTS", "log_on", "login_facts", "no_login", "not_begun", "transport_of", "who"]

TRANSPORTS: Final = {
    "rdp": "credssp.fleet.logins.rdp",
    "http": "credssp.fleet.logins.winrm",
    "https": "credssp.fleet.logins.winrm",
}
"""Modules by URL scheme. A further transport is one more line here and in `credssp.fleet.target_url.DEFAULT_PORTS`, and
one module with such a ``log_on``."""


def transport_of(target: TargetURL) -> ModuleType:
    """Return the module that speaks the target's scheme."""
    return importlib.import_module(TRANSPORTS[target.scheme])


def log_on(
    target: TargetURL,
    config: ClientConfig,
    *,
    turn: Turn | None = None,
    on_leg: Callable[[LoginLeg], object] | None = None,
) -> LoginOutcome:
    """Log on to a server, up to the point where it has shown whether it accepts the login, and close.

    Args:
        target: the server.
        config: who logs on and how.
        turn: waits until the login may be made.
        on_leg: called with everything that goes over the wire, and its time.

    Raises:
        LocalProtocolError: a configuration that makes no sense.
        NotTriedError: of `turn`.
    """
    legs = LegRecorder(on_leg, also=config.observer)
    outcome: LoginOutcome = transport_of(target).log_on(target, config, legs=legs, turn=turn)
    return outcome


def login_facts(target: TargetURL, user: str, outcome: LoginOutcome) -> dict[str, Any]:
    """Return what came of a login as plain data (docs/reference/json.md)."""
    error = outcome.error
    head: dict[str, Any] = {"target": str(target), "user": user, "outcome": outcome_name(error)}
    head |= {"accepted": error is None, "refused_by": refused_by(error), "status": status_facts(error)}
    return head | outcome.facts | {"seconds": round(outcome.seconds, 3)}


def no_login(target: TargetURL, user: str, error: CredSSPError) -> dict[str, Any]:
    """Return the facts of a login that could not even be begun."""
    return login_facts(target, user, LoginOutcome(error, dict(_NOTHING), 0.0))


_NOTHING: Final[dict[str, Any]] = {
    "tls": None,
    "credssp": None,
    "mechanism": None,
    "wire_form": None,
    "principal": None,
    "skipped": [],
    "server_authenticated": False,
    "server_authentication": [],
    "delegated": False,
}


def not_begun(target: TargetURL, user: str, reason: str, *, outcome: str = "not_tried") -> dict[str, Any]:
    """Return the facts of a server that was not logged on to.

    Args:
        target: the server.
        user: who would have logged on.
        reason: why not, a sentence.
        outcome: ``not_tried``, or ``interrupted`` for a login that was under way.
    """
    head = {"target": str(target), "user": user, "outcome": outcome}
    return head | {"accepted": False, "refused_by": None, "status": None, "reason": reason}


def who(credentials: LogonCredentials | None) -> str:
    """Return who logs on, for people."""
    if credentials is None:
        return "tickets of the default cache"
    if isinstance(credentials, AgentCredentials):
        return f"{credentials.name} of the agent"
    if isinstance(credentials, CCacheCredentials):
        return f"{credentials.principal or 'tickets'} of {credentials.ccache}"
    if isinstance(credentials, KeytabCredentials):
        return f"{credentials.principal or 'first entry'} of {credentials.keytab}"
    return f"{credentials.domain}\\{credentials.username}" if credentials.domain else credentials.username
