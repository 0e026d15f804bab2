"""RDP for the commands: `log_on` for ``login``, `probe` for ``probe``."""

from __future__ import annotations

import contextlib
import hashlib
import time
from typing import Any

from credssp.cli._login import LoginOutcome, certificate_of, context_facts, key_type, status_facts
from credssp.cli._probe_run import ProbeRequest
from credssp.cli._targets import TargetURL
from credssp.config import ClientConfig
from credssp.context.probing import ProbeReport
from credssp.drivers import blocking
from credssp.drivers.agent import with_agent
from credssp.drivers.handshake import ConnectError, Timeouts
from credssp.drivers.proxies import reach
from credssp.drivers.rdp_probe import probe as probe_server
from credssp.errors import CredSSPError
from credssp.rdp.client import LoginRefusedError, NLAClient
from credssp.rdp.mcs import USER_REQUESTED, connect_initial
from credssp.rdp.negotiation import protocol_names

__all__ = ["certificate_facts", "log_on", "probe", "probe_facts"]

_SETTLE = 0.3
"""Seconds in which a server that refuses what was delegated closes, or says so; one that accepts is silent."""
_ANSWER = 5.0
"""Seconds for the answer to MCS Connect Initial. FreeRDP answers within a millisecond; a server that asks PAM about the
delegated password refuses after two seconds."""
_REACTION = 0.2
"""Seconds after MCS Connect Initial in which a close is about the session, and not about the credentials."""


def log_on(target: TargetURL, request: ClientConfig) -> LoginOutcome:
    """Log on and close. Raises LocalProtocolError for a request that makes no sense."""
    client = NLAClient(host=target.host, config=with_agent(request))
    begin = time.monotonic()
    error: CredSSPError | None = None
    answer = None
    try:
        answer = _log_on(client, target, request.timeouts)
    except CredSSPError as failure:
        error = failure
    seconds = time.monotonic() - begin
    return LoginOutcome(error, _facts(client, request, answer), seconds, certificate=certificate_of(client.context))


def _log_on(client: NLAClient, target: TargetURL, timeouts: Timeouts) -> str:
    begin = time.monotonic()
    connection = reach(target.host, target.port, timeouts=timeouts, proxy=client.config.proxy)
    left = timeouts.login - (time.monotonic() - begin)
    with connection:
        if left <= 0:
            raise ConnectError(f"no connection within {timeouts.login:g} s")
        session = blocking.log_on(connection, client, timeouts=Timeouts(leg=left, login=left))
        answer = "authorization"
        if client.accepted is None:
            left = timeouts.login - (time.monotonic() - begin)
            answer = _wait(session, min(_SETTLE, left)) or _ask(session, min(_ANSWER, left - _SETTLE))
        session.close()
    return answer


def _wait(session: blocking.Session[NLAClient], seconds: float) -> str | None:
    """Read until it is known whether the server accepted the login. Raises CredSSPError: it did not."""
    end = time.monotonic() + seconds
    try:
        while session.endpoint.accepted is None and (left := end - time.monotonic()) > 0:
            session.settimeout(left)
            session.recv()
    except OSError:  # the time is over, or the network failed, which is not a refusal
        return None
    return "session" if session.endpoint.accepted else None


def _ask(session: blocking.Session[NLAClient], seconds: float) -> str:
    """Begin the RDP session: its answer shows that the login was accepted, and with HYBRID nothing else does.

    Raises:
        CredSSPError: it was not accepted.
    """
    client = session.endpoint
    begin = time.monotonic()
    with contextlib.suppress(OSError):  # what the server said before it went is still to be read
        session.sendall(connect_initial(client.selected_protocol, name=client.config.workstation))
    try:
        answer = _wait(session, seconds)
    except LoginRefusedError:
        if time.monotonic() - begin > _REACTION:
            raise
        return "closed"
    if answer is not None:
        with contextlib.suppress(OSError):
            session.sendall(USER_REQUESTED)
    return answer or "none"


def _facts(client: NLAClient, request: ClientConfig, answer: str | None) -> dict[str, Any]:
    authorization = client.authorization
    negotiated = client.negotiated
    return context_facts(client.context) | {
        "delegated": client.delegated,
        "early_user_authorization": None if authorization is None else authorization.name,
        "rdp": {
            "selected_protocol": None if negotiated is None else protocol_names(negotiated.selected),
            "approach": None if negotiated is None else negotiated.approach.value,
            "restricted_admin": request.restricted_admin,
            "answer": answer,
        },
    }


async def probe(target: TargetURL, request: ProbeRequest) -> dict[str, Any]:
    """Return what the server offers, as facts to print; fails only where there is a bug."""
    report = await probe_server(target.host, target.port, timeouts=request.timeouts, **request.way.options(target))
    return probe_facts(target, report)


def probe_facts(target: TargetURL, report: ProbeReport) -> dict[str, Any]:
    """Return a report as facts to print."""
    credssp = None
    if report.credssp_version is not None:
        credssp = {
            "version": report.credssp_version,
            "mechanisms": report.mechanisms,
            "error": report.credssp_error,
        }
    return {
        "target": str(target),
        "answered": bool(report.protocols),
        "error": None if report.error is None else status_facts(report.error),
        "protocols": report.protocols,
        "tls": report.tls,
        "tls_error": report.tls_error,
        "certificate": None if report.certificate is None else certificate_facts(report.certificate),
        "credssp": credssp,
        "credssp_error": report.credssp_error,
        "ntlm": report.ntlm or None,
        "seconds": round(report.seconds, 3),
    }


def certificate_facts(certificate: bytes) -> dict[str, Any]:
    """Return what is to be said about a certificate in DER."""
    from cryptography import x509

    from credssp.tls.parsing import UnreadableCertificateError, reading

    facts: dict[str, Any] = dict.fromkeys(("subject", "issuer", "not_before", "not_after"))
    facts |= {"sha256": hashlib.sha256(certificate).hexdigest(), "key_type": key_type(certificate)}
    try:
        with reading():
            parsed = x509.load_der_x509_certificate(certificate)
            facts["subject"] = parsed.subject.rfc4514_string()
            facts["issuer"] = parsed.issuer.rfc4514_string()
            facts["not_before"] = parsed.not_valid_before_utc.isoformat()
            facts["not_after"] = parsed.not_valid_after_utc.isoformat()
    except UnreadableCertificateError:
        pass  # certificates in the wild have names and dates that no standard knows
    return facts
