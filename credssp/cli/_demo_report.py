"""What ``credssp demo`` prints; the JSON form is described in docs/reference/cli.md."""

from __future__ import annotations

from typing import Any, Final

from credssp.cli._demo_run import DemoOutcome, key_name
from credssp.cli._output import print_facts, print_json, print_table
from credssp.cli._serve_events import credential_facts
from credssp.fleet.logins.outcome import context_facts
from credssp.server_authentication import ServerAuthentication
from credssp.status import SecurityStatus, describe

__all__ = ["print_report"]

_ARROWS: Final = {"client": "client -> server", "server": "client <- server"}


def print_report(outcome: DemoOutcome, warnings: list[str], *, reveal: bool, as_json: bool) -> None:
    """Print everything about the login."""
    if as_json:
        print_json(_as_data(outcome, warnings, reveal=reveal))
        return
    print_table(
        ("leg", "direction", "bytes", "status", "content"),
        [
            (str(leg.number), _ARROWS[leg.sender], str(leg.size), _status(leg.status), "; ".join(leg.content))
            for leg in outcome.legs
        ],
        right=("leg", "bytes"),
    )
    print()
    print_facts("Negotiated", _negotiated(outcome))
    print()
    print_facts("Received by the server", _received(outcome, reveal=reveal))
    print()
    print(_verdict(outcome))


def _verdict(outcome: DemoOutcome) -> str:
    if outcome.ok:
        return (
            "OK: the server received exactly the credentials that the client sent, in "
            f"{outcome.seconds * 1000:.0f} ms; application data went both ways, and both sides closed."
        )
    if outcome.transcript.failures:
        return "FAILED: the login did not complete."
    if not outcome.credentials_match:
        return "FAILED: the server received other credentials than the client sent."
    return "FAILED: application data or the TLS close did not arrive after the login."


def _status(status: SecurityStatus) -> str:
    return f"{status.name} 0x{status:08X}"


def _authentication(value: ServerAuthentication) -> list[str]:
    return [member.name.lower() for member in ServerAuthentication if member in value and member.name]


def _negotiated(outcome: DemoOutcome) -> dict[str, str]:
    client, decision = outcome.client, outcome.decision
    return {
        "TLS": f"{client.tls_version}, {client.tls_cipher}",
        "server key": f"{key_name(outcome.key)} (certificate {client.certificate_check.value})",
        "CredSSP version": str(client.version),
        "mechanism": client.mechanism,
        "server authentication": ", ".join(_authentication(client.server_authentication)) or "none",
        "delegation policy": f"{'allowed' if decision.allowed else 'refused'} by {decision.setting}: {decision.reason}",
        "client status": _status(outcome.transcript.client_status),
        "server status": _status(outcome.transcript.server_status),
    }


def _received(outcome: DemoOutcome, *, reveal: bool) -> dict[str, str]:
    data = _delegated(outcome, reveal=reveal)
    if data is None:
        return {"credentials": "none"}
    return {
        "type": data["type"],
        "domain": data["domain"],
        "user name": data["user"],
        "password": data["secret"] if reveal else f"{data['secret']} (--reveal shows it)",
    }


def _delegated(outcome: DemoOutcome, *, reveal: bool) -> dict[str, Any] | None:
    received = outcome.server.delegated_credentials
    return None if received is None else credential_facts(received, reveal=reveal)


def _as_data(outcome: DemoOutcome, warnings: list[str], *, reveal: bool) -> dict[str, Any]:
    transcript, decision, identity = outcome.transcript, outcome.decision, outcome.server.identity
    return {
        "ok": outcome.ok,
        "warnings": warnings,
        "seconds": round(outcome.seconds, 4),
        "legs": [
            {
                "number": leg.number,
                "sender": leg.sender,
                "octets": leg.size,
                "content": list(leg.content),
                "status": describe(leg.status).to_dict(),
            }
            for leg in outcome.legs
        ],
        **context_facts(outcome.client),
        "policy": {"allowed": decision.allowed, "setting": decision.setting, "reason": decision.reason},
        "client_status": describe(transcript.client_status).to_dict(),
        "server_status": describe(transcript.server_status).to_dict(),
        "identity": None if identity is None else {"domain": identity.domain, "user": identity.username},
        "delegated": _delegated(outcome, reveal=reveal),
        "credentials_match": outcome.credentials_match,
        "application_data_matches": outcome.data_matches,
        "closed": transcript.closed,
        "failures": [str(error) for error in transcript.failures],
    }
