"""A login over RDP, up to the point where the server has shown whether it accepts it."""

from __future__ import annotations

import contextlib
import socket
import time
from dataclasses import replace
from typing import Any

from credssp.config import ClientConfig
from credssp.drivers import blocking
from credssp.drivers.agent import with_agent
from credssp.drivers.handshake import ConnectError, Timeouts
from credssp.drivers.proxies import reach
from credssp.errors import CredSSPError
from credssp.fleet.logins.legs import LegRecorder, SeenNLAClient
from credssp.fleet.logins.outcome import LoginOutcome, certificate_of, context_facts
from credssp.fleet.logins.turn import Turn
from credssp.fleet.target_url import TargetURL
from credssp.rdp.client import LoginRefusedError, NLAClient
from credssp.rdp.mcs import USER_REQUESTED, connect_initial
from credssp.rdp.negotiation import protocol_names

__all__ = ["log_on"]

_SETTLE = 0.3
"""Seconds in which a server that refuses what was delegated closes, or says so; one that accepts is silent."""
_ANSWER = 5.0
"""Seconds for the answer to MCS Connect Initial. FreeRDP answers within a millisecond; a server that asks PAM about the
delegated password refuses after two seconds."""
_REACTION = 0.2
"""Seconds after MCS Connect Initial in which a close is about the session, and not about the credentials."""


def log_on(target: TargetURL, request: ClientConfig, *, legs: LegRecorder, turn: Turn | None = None) -> LoginOutcome:
    """Log on and close. Raises LocalProtocolError for a request that makes no sense, NotTriedError of `turn`."""
    client = SeenNLAClient(legs, host=target.host, config=with_agent(replace(request, observer=legs.observe)))
    begin = time.monotonic()
    error: CredSSPError | None = None
    answer = None
    try:
        if turn is not None:
            turn(lambda: _reach(client, target, request.timeouts).close())
            begin = time.monotonic()
        answer = _log_on(client, target, request.timeouts, legs)
    except CredSSPError as failure:
        error = failure
    seconds = time.monotonic() - begin
    legs.flush()
    return LoginOutcome(
        error,
        _facts(client, request, answer),
        seconds,
        certificate=certificate_of(client.context),
        proof_sent=client.proof_sent,
    )


def _reach(client: NLAClient, target: TargetURL, timeouts: Timeouts) -> socket.socket:
    return reach(target.host, target.port, timeouts=timeouts, proxy=client.config.proxy)


def _log_on(client: NLAClient, target: TargetURL, timeouts: Timeouts, legs: LegRecorder) -> str:
    begin = time.monotonic()
    legs.begin()
    connection = _reach(client, target, timeouts)
    legs.connected("connected")
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
