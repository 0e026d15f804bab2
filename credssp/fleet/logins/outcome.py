"""What came of a login: shared by the transports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from credssp.context import ClientContext
from credssp.errors import (
    AuthenticationError,
    BindingError,
    CertificateError,
    CredSSPError,
    LocalProtocolError,
    LocalRestrictionError,
    PolicyError,
    VersionError,
)
from credssp.fleet.facts import certificate_facts, status_facts
from credssp.lsa.opened import AgentRefusedError
from credssp.rdp.client import LoginRefusedError
from credssp.status import NTStatus, SecurityStatus

__all__ = ["LoginOutcome", "certificate_of", "context_facts", "exit_code", "outcome_name", "refused_by", "verdict_on"]

ACCEPTED, REFUSED, USAGE, UNREACHABLE, UNSAFE = range(5)

# Where a login ended before it was the server's turn: no tickets, no Kerberos here.
_LOCAL = {SecurityStatus.SEC_E_NO_CREDENTIALS: USAGE, SecurityStatus.SEC_E_SECPKG_NOT_FOUND: USAGE}

# What a smart card says to a PIN.
_BY_CARD = (NTStatus.STATUS_SMARTCARD_WRONG_PIN, NTStatus.STATUS_SMARTCARD_CARD_BLOCKED)

# What fails one of our own checks: nothing was delegated, or not to be trusted with more.
_OURS = (AgentRefusedError, BindingError, CertificateError, PolicyError, VersionError)


@dataclass(frozen=True, slots=True)
class LoginOutcome:
    """What came of it.

    Attributes:
        error: why there was no login; None if it was accepted.
        facts: what is known about the connection; see `context_facts`.
        seconds: how long it took.
        certificate: the server's certificate inside CredSSP, DER, or None where it did not come so far.
        proof_sent: whether the server may have a proof of the password.
    """

    error: CredSSPError | None
    facts: dict[str, Any]
    seconds: float
    certificate: bytes | None = field(default=None, repr=False)
    proof_sent: bool = False


def refused_by(error: CredSSPError | None) -> str | None:
    """Return who said no to the login: ``server``, ``kdc`` or ``card``; None where the login ended otherwise."""
    if error is None:
        return None
    if error.refused:
        return "server"
    # Over HTTP, the error says which leg failed, and its cause why.
    cause = error.__cause__ or error
    if not isinstance(cause, AuthenticationError):
        return None
    if cause.ntstatus in _BY_CARD:
        return "card"
    return "kdc" if cause.judged else None


def exit_code(error: CredSSPError | None) -> int:
    """Return 0 accepted, 1 refused, 2 usage, 3 no connection or no CredSSP, 4 one of our own checks."""
    if error is None:
        return ACCEPTED
    if refused_by(error) is not None:
        return REFUSED
    cause = error.__cause__ or error
    if isinstance(cause, AuthenticationError):
        return _LOCAL.get(cause.status, UNREACHABLE)
    if isinstance(cause, _OURS) or _is_weak_certificate(cause):
        return UNSAFE
    return USAGE if isinstance(cause, LocalProtocolError) else UNREACHABLE


def verdict_on(error: CredSSPError | None) -> str:
    """Return what came of a login in a few words, for people."""
    if isinstance(error, LoginRefusedError):
        return "refused after the proof"
    names = {"server": "the server", "kdc": "the KDC", "card": "the card"}
    if (by := refused_by(error)) is not None:
        return f"refused by {names[by]}"
    return ("accepted", "refused", "no login", "no login", "stopped by our own check")[exit_code(error)]


_NAMES: Final = ("accepted", "refused", "local", "no_login", "unsafe")
"""By `exit_code`."""


def outcome_name(error: CredSSPError | None) -> str:
    """Return what came of a login in a word.

    ``accepted``; ``refused`` by the server, a KDC or a card; ``local``: something is missing on this machine, such as
    tickets; ``no_login``: no connection, or no CredSSP; ``unsafe``: one of our own checks failed.
    """
    return _NAMES[exit_code(error)]


def _is_weak_certificate(error: BaseException) -> bool:
    """Whether the server's certificate is too weak for OpenSSL's level; these commands have none of their own."""
    return isinstance(error, LocalRestrictionError) and error.restriction.startswith("security level")


def certificate_of(context: ClientContext) -> bytes | None:
    """Return the server's certificate, or None before the TLS handshake was over."""
    return context.server_certificate if context.tls_version else None


def context_facts(context: ClientContext) -> dict[str, Any]:
    """Return what a context knows about its connection; None where it did not come so far."""
    certificate = certificate_of(context)
    return {
        "tls": None
        if certificate is None
        else {
            "version": context.tls_version,
            "cipher": context.tls_cipher,
            "certificate": certificate_facts(certificate),
            "certificate_check": context.certificate_check.value,
        },
        "credssp": None
        if context.peer_version is None
        else {"version": context.version, "peer_version": context.peer_version},
        "mechanism": context.mechanism or None,
        "wire_form": context.wire_form or None,
        "principal": context.client_name or None,
        "skipped": [{"mechanism": skip.name, "status": status_facts(skip.error)} for skip in context.skipped],
        "server_authenticated": context.server_authentication.is_strong,
        "server_authentication": [flag.name.lower() for flag in context.server_authentication if flag.name is not None],
    }
