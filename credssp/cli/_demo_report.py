"""What ``credssp demo`` prints; the JSON form is described in docs/reference/cli.md."""

from __future__ import annotations

from typing import Any, Final

from credssp.cli._demo_run import DemoOutcome, key_name
from credssp.cli._output import MASK, print_facts, print_json, print_table
from credssp.credentials import PasswordCredentials
from credssp.server_authentication import ServerAuthentication
from credssp.status import SecurityStatus

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
            f"OK: the server received exactly the credentials that the client sent, in {outcome.milliseconds:.0f} ms; "
            "application data went both ways, and both sides closed."
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
    received = outcome.server.delegated_credentials
    if not isinstance(received, PasswordCredentials):
        return {"credentials": "none"}
    data = _delegated(received, reveal=reveal)
    return {
        "type": data["type"],
        "domain": data["domain"],
        "user name": data["username"],
        "password": data["password"] if reveal else f"{data['password']} (--reveal shows it)",
    }


def _delegated(received: PasswordCredentials, *, reveal: bool) -> dict[str, str]:
    return {
        "type": "TSPasswordCreds",
        "domain": received.domain,
        "username": received.username,
        "password": received.password.reveal() if reveal else MASK,
    }


def _status_data(status: SecurityStatus) -> dict[str, Any]:
    return {"code": int(status), "hex": f"0x{status:08X}", "name": status.name}


def _as_data(outcome: DemoOutcome, warnings: list[str], *, reveal: bool) -> dict[str, Any]:
    client, transcript, decision = outcome.client, outcome.transcript, outcome.decision
    received = outcome.server.delegated_credentials
    identity = outcome.server.identity
    return {
        "ok": outcome.ok,
        "warnings": warnings,
        "milliseconds": round(outcome.milliseconds, 1),
        "legs": [
            {
                "number": leg.number,
                "direction": "client-to-server" if leg.sender == "client" else "server-to-client",
                "octets": leg.size,
                "content": list(leg.content),
                "status": _status_data(leg.status),
            }
            for leg in outcome.legs
        ],
        "negotiated": {
            "tls_version": client.tls_version,
            "tls_cipher": client.tls_cipher,
            "server_key": outcome.key,
            "certificate_check": client.certificate_check.value,
            "credssp_version": client.version,
            "mechanism": client.mechanism,
            "server_authentication": _authentication(client.server_authentication),
            "policy": {"allowed": decision.allowed, "setting": decision.setting, "reason": decision.reason},
        },
        "status": {
            "client": _status_data(transcript.client_status),
            "server": _status_data(transcript.server_status),
        },
        "identity": None if identity is None else {"domain": identity.domain, "username": identity.username},
        "delegated": _delegated(received, reveal=reveal) if isinstance(received, PasswordCredentials) else None,
        "credentials_match": outcome.credentials_match,
        "application_data_matches": outcome.data_matches,
        "closed": transcript.closed,
        "failures": [str(error) for error in transcript.failures],
    }
