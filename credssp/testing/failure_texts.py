"""What the assertions of the test servers say: who logged on, and why a client was not let in."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from credssp.credentials import DelegatedCredentials, PasswordCredentials
from credssp.drivers.handshake import DeadlineError
from credssp.errors import CredSSPError, PeerClosedError, TLSAlertError, TLSError, VersionError, Wrong
from credssp.identity import Identity

__all__ = ["RefusedClient", "account_name", "login_text", "refusals_text"]


class RefusedClient(Protocol):
    """What is known of a client that was not let in."""

    @property
    def error(self) -> CredSSPError | None:
        """Why."""

    @property
    def wrong(self) -> Wrong:
        """Which of name, password and state of the account was wrong, where that is known."""

    @property
    def silent(self) -> bool:
        """Whether it sent nothing."""


_WRONG: Final[Mapping[Wrong, str]] = {
    "": "",
    "name": "there is no such account: ",
    "password": "wrong password: ",
    "account": "the state of the account does not let it log on: ",
}

_DISTRUST: Final[Mapping[str, str]] = {
    "unknown_ca": "a client did not trust the certificate: it does not know who issued it",
    "bad_certificate": "a client did not trust the certificate",
    "unsupported_certificate": "a client does not take this kind of certificate",
    "certificate_revoked": "a client did not trust the certificate: it was revoked",
    "certificate_expired": "a client did not trust the certificate: it has expired, or is not valid yet",
    "certificate_unknown": "a client did not trust the certificate",
    "bad_certificate_status_response": "a client did not trust the certificate: its OCSP response is wrong",
    "protocol_version": "a client does not speak the TLS versions of the server",
    "handshake_failure": "a client and the server have no cipher suite in common",
    "insufficient_security": "a client wants stronger cipher suites than those of the server",
}
"""RFC 8446 6.2."""

_NO_TLS: Final[Mapping[str, str]] = {
    "HTTP_REQUEST": "a client spoke http, and the server https",
    "UNSUPPORTED_PROTOCOL": "a client does not speak the TLS versions of the server",
    "NO_SHARED_CIPHER": "a client and the server have no cipher suite in common",
}
"""By OpenSSL's names."""


def account_name(domain: str, username: str) -> str:
    """Return both as one writes them."""
    return f"{domain}\\{username}" if domain else username


def login_text(identity: Identity | None, credentials: DelegatedCredentials | None) -> str:
    """Return who was delegated, or who logged on and what was delegated in place of a name and password."""
    if isinstance(credentials, PasswordCredentials) and not credentials.is_empty:
        return account_name(credentials.domain, credentials.username)
    what = "an empty set" if isinstance(credentials, PasswordCredentials) else type(credentials).__name__
    who = "a user" if identity is None else account_name(identity.domain, identity.username)
    return f"{who}, who delegated {what}"


def refusals_text(refusals: Iterable[RefusedClient]) -> str:
    """Say all about refusals, which a server must not tell its clients and a test has to know; each text once."""
    counted = collections.Counter(map(_explain, refusals))
    return "; ".join(text if count == 1 else f"{text} ({count} times)" for text, count in counted.items())


def _explain(refusal: RefusedClient) -> str:
    error = refusal.error
    if refusal.silent:
        return "a client connected and sent nothing"
    claim = None if error is None else error.claim
    if claim is None:
        return _without_claim(error)
    return f"{account_name(claim.domain, claim.username)} was refused: {_WRONG[refusal.wrong]}{error}"


def _without_claim(error: CredSSPError | None) -> str:
    cause = _cause(error)
    if isinstance(cause, TLSAlertError) and cause.alert in _DISTRUST:
        return f"{_DISTRUST[cause.alert]} (TLS alert {cause.alert}): {error}"
    if isinstance(cause, TLSError) and cause.reason in _NO_TLS:
        return f"{_NO_TLS[cause.reason]}: {error}"
    if isinstance(cause, TLSError):
        return f"TLS with a client failed: {error}"
    if isinstance(cause, VersionError):
        return f"the version of a client was refused: {error}"
    if isinstance(cause, DeadlineError):
        return f"a client was too slow: {error}"
    if isinstance(cause, PeerClosedError):
        return f"a client went away: {error}"
    return f"a client was refused: {error}"


def _cause(error: BaseException | None) -> BaseException | None:
    """Return the error that a driver wrapped, if it is one of those that have a text of their own."""
    kinds = TLSError, VersionError, DeadlineError, PeerClosedError
    found = error
    while found is not None and not isinstance(found, kinds):
        found = found.__cause__
    return found or error
