"""A login over WinRM, and the question who the server is, encrypted."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Final

from credssp.config import ClientConfig, Timeouts
from credssp.credentials import RemoteGuardCredentials
from credssp.drivers.agent import with_agent
from credssp.drivers.winrm import WinRMConnection
from credssp.errors import CredSSPError, LocalProtocolError
from credssp.fleet.facts import certificate_facts
from credssp.fleet.logins.legs import LegRecorder, SeenClientLogin
from credssp.fleet.logins.outcome import LoginOutcome, certificate_of, context_facts
from credssp.fleet.logins.turn import Turn
from credssp.fleet.target_url import TargetURL
from credssp.testing.soap import identify, read_identity
from credssp.tls.settings import ClientTLS
from credssp.winrm.errors import WinRMError

__all__ = ["log_on"]

_PATH: Final = "/wsman"


def log_on(target: TargetURL, request: ClientConfig, *, legs: LegRecorder, turn: Turn | None = None) -> LoginOutcome:
    """Log on, ask for the server's identity and close.

    Raises:
        LocalProtocolError: a request that makes no sense.
        NotTriedError: of `turn`.
    """
    if request.restricted_admin:
        raise LocalProtocolError("--restricted-admin works with rdp:// only; --no-delegate delegates an empty set")
    if isinstance(request.delegated_credentials, RemoteGuardCredentials):
        raise LocalProtocolError("Remote Credential Guard works with rdp:// only")
    https = target.scheme == "https"
    # Over https it is the certificate of https that somebody has signed; the one inside is always self-made.
    inside = ClientTLS(legacy=request.tls is not None and request.tls.legacy) if https else request.tls
    config = with_agent(replace(request, observer=legs.observe))
    login = SeenClientLogin(legs, config, target.host, tls=inside)
    connection = WinRMConnection(
        target.host,
        target.port,
        path=target.path or _PATH,
        https=request.tls if https else None,
        timeouts=request.timeouts,
        proxy=request.proxy,
    )
    facts: dict[str, Any] = {"http_status": None, "leg": None, "https": None, "identity": None}
    begin = time.monotonic()
    error: CredSSPError | None = None
    try:
        if turn is not None:
            turn(lambda: _look(connection, request.timeouts))
            begin = time.monotonic()
        legs.begin()
        with connection:
            connection.connect()
            legs.connected(f"connected, https with {connection.tls_version}" if https else "connected")
            connection.log_on(login)
            facts["http_status"], answer = connection.send(login, identify())
            facts["identity"] = read_identity(answer.data)
    except CredSSPError as failure:
        error = failure
    seconds = time.monotonic() - begin
    legs.flush()
    if isinstance(error, WinRMError):
        facts |= {"http_status": error.http_status, "leg": error.leg.name.lower()}
    if connection.certificate is not None:
        facts["https"] = {
            "version": connection.tls_version,
            "certificate_check": connection.certificate_check.value,
            "certificate": certificate_facts(connection.certificate),
        }
    return LoginOutcome(
        error,
        context_facts(login.context) | {"delegated": login.ready and login.context.delegated, "winrm": facts},
        seconds,
        certificate=certificate_of(login.context),
        proof_sent=login.proof_sent,
    )


def _look(connection: WinRMConnection, timeouts: Timeouts) -> None:
    """Connect and close. Raises CredSSPError."""
    with connection.deadline(timeouts.login):
        connection.connect()
    connection.close()
