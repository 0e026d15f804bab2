"""What goes wrong over HTTP: which leg it was, what HTTP said, and what to try.

Everything here is a `credssp.CredSSPError`. What failed below HTTP (the errorCode of a server, a TLS alert, a binding
that does not match) is the `__cause__`, and its SECURITY_STATUS and NTSTATUS are repeated on the outer error.
"""

from __future__ import annotations

import enum
from typing import Final

from credssp.errors import CredSSPError, TLSAlertError
from credssp.status import SecurityStatus

__all__ = [
    "DelegationRefusedError",
    "HTTPStatusError",
    "Leg",
    "LoginError",
    "NotOfferedError",
    "WinRMError",
]


class Leg(enum.Enum):
    """Where in an exchange something happened; the value says it in a sentence."""

    OFFER = "the first request (which asks for an offer of CredSSP)"
    TLS = "the TLS handshake"
    AUTHENTICATION = "the authentication (negoTokens)"
    KEY = "the end of the authentication and the check of the server's key (negoTokens and pubKeyAuth)"
    CREDENTIALS = "the delegation of the credentials (authInfo)"
    MESSAGE = "the message after the login"


class WinRMError(CredSSPError):
    """The root of what is raised about WinRM.

    Attributes:
        leg: what was under way.
        http_status: the status of the HTTP response, or None where there was none.
        alert: name of the TLS alert that the peer sent, or an empty string.
    """

    default_status = SecurityStatus.SEC_E_LOGON_DENIED

    def __init__(
        self,
        message: str,
        *,
        leg: Leg,
        http_status: int | None = None,
        status: SecurityStatus | None = None,
        ntstatus: int | None = None,
        section: str | None = None,
        alert: str = "",
        advice: str | None = None,
    ) -> None:
        where = f"{leg.value} failed" if http_status is None else f"{leg.value} failed with HTTP {http_status}"
        super().__init__(f"{where}: {message}", status=status, ntstatus=ntstatus, section=section, advice=advice)
        self.leg = leg
        self.http_status = http_status
        self.alert = alert


class NotOfferedError(WinRMError):
    """The server does not offer CredSSP."""

    default_status = SecurityStatus.SEC_E_SECPKG_NOT_FOUND


class HTTPStatusError(WinRMError):
    """An HTTP response that says neither yes nor no to the login: a proxy, a wrong URL, a server in trouble."""

    default_status = SecurityStatus.SEC_E_TARGET_UNKNOWN


class LoginError(WinRMError):
    """The login failed; `__cause__` says why, where the server or TLS did."""

    @classmethod
    def because(cls, error: CredSSPError, *, leg: Leg, http_status: int | None) -> LoginError:
        """Wrap what failed below HTTP, with its numbers and a next step."""
        advice = error.advice
        message = error.message if advice in error.message else f"{error.message}. {advice}"
        result = cls(
            message,
            leg=leg,
            http_status=http_status,
            status=error.status,
            ntstatus=error.ntstatus,
            section=error.section,
            alert=error.alert if isinstance(error, TLSAlertError) else "",
            advice=advice,
        )
        result.refused, result.mechanism = result.refused or error.refused, error.mechanism
        result.__cause__ = error
        return result

    @classmethod
    def of_lost_connection(cls, error: LoginError, *, proxy: str) -> LoginError:
        """Say of a leg that came to a server without the legs before that a login counts for one connection.

        Args:
            error: what the answer looks like, such as a TLS handshake that failed.
            proxy: address of the proxy that requests go through; empty where none is known of.
        """
        cause = error.__cause__
        seen = f" ({cause.message})" if isinstance(cause, CredSSPError) else ""
        advice = (
            f"The requests go through the proxy {proxy}, which" if proxy else "A proxy or load balancer in between"
        ) + (" must keep one connection to the server for each client (keep-alive). A tunnel (CONNECT) does that.")
        result = cls(
            f"the server answered as if there were no legs before{seen}; a login counts for one TCP connection. "
            f"{advice}",
            leg=error.leg,
            http_status=error.http_status,
            status=error.status,
            alert=error.alert,
            advice=advice,
        )
        result.__cause__ = cause
        return result


class DelegationRefusedError(LoginError):
    """The server knows who we are and has its key proved, but did not take the login with these credentials."""

    refused = True


_MOVED: Final = (
    "The server redirects the request to another URL, or a proxy does (to a login page, say); a login counts for one "
    "connection and does not follow: use the URL that the answer names in Location."
)

STATUS_ADVICE: Final = {
    **dict.fromkeys((301, 302, 303, 307, 308), _MOVED),
    400: "The server did not understand the request: it may not speak CredSSP at this URL, or lost its state.",
    403: "The account may not use this service: see the server's authorisation (winrm configSDDL, RootSDDL).",
    404: "There is no WS-Management at this URL; the path is usually /wsman.",
    405: "There is no WS-Management at this URL; the path is usually /wsman.",
    407: "A proxy asks for credentials of its own: configure them for the proxy, or go around it.",
    413: "The message is larger than the server takes (MaxEnvelopeSizekb).",
    431: "The token does not fit into the headers that the server takes: a Kerberos ticket with many groups "
    "(MaxFieldLength and MaxRequestBytes of http.sys), or a proxy in between.",
    502: "A proxy or load balancer could not reach the server; it must also keep one connection for each client.",
    503: "The server or the proxy in front of it is not ready; try again later.",
}
"""What to try about the HTTP statuses that users meet."""
