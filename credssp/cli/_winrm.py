"""WinRM for ``login``."""

from __future__ import annotations

import time
from typing import Any, Final

from credssp.cli._login import LoginOutcome, certificate_of, context_facts
from credssp.config import ClientConfig
from credssp.credentials import RemoteGuardCredentials
from credssp.drivers.agent import with_agent
from credssp.drivers.winrm import WinRMConnection
from credssp.errors import CredSSPError, LocalProtocolError
from credssp.fleet.facts import certificate_facts
from credssp.fleet.target_url import TargetURL
from credssp.testing.soap import identify, read_identity
from credssp.tls.settings import ClientTLS
from credssp.winrm.client import ClientLogin
from credssp.winrm.errors import WinRMError

__all__ = ["log_on"]

_PATH: Final = "/wsman"


def log_on(target: TargetURL, request: ClientConfig) -> LoginOutcome:
    """Log on, ask for the server's identity and close. Raises LocalProtocolError for a request that makes no sense."""
    if request.restricted_admin:
        raise LocalProtocolError("--restricted-admin works with rdp:// only; --no-delegate delegates an empty set")
    if isinstance(request.delegated_credentials, RemoteGuardCredentials):
        raise LocalProtocolError("Remote Credential Guard works with rdp:// only")
    https = target.scheme == "https"
    # Over https it is the certificate of https that somebody has signed; the one inside is always self-made.
    inside = ClientTLS(legacy=request.tls is not None and request.tls.legacy) if https else request.tls
    login = ClientLogin(with_agent(request), target.host, tls=inside)
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
        with connection:
            connection.connect()
            connection.log_on(login)
            facts["http_status"], answer = connection.send(login, identify())
            facts["identity"] = read_identity(answer.data)
    except CredSSPError as failure:
        error = failure
    seconds = time.monotonic() - begin
    if isinstance(error, WinRMError):
        facts |= {"http_status": error.http_status, "leg": error.leg.name.lower()}
    if connection.certificate is not None:
        facts["https"] = {
            "version": connection.tls_version,
            "certificate_check": connection.certificate_check.value,
            **certificate_facts(connection.certificate),
        }
    return LoginOutcome(
        error,
        context_facts(login.context) | {"delegated": login.ready and login.context.delegated, "winrm": facts},
        seconds,
        certificate=certificate_of(login.context),
    )
