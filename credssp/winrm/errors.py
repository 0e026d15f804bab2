"""What goes wrong over HTTP: which leg it was, what HTTP said, and what to try.

Everything here is a `credssp.CredSSPError`. What failed below HTTP (the errorCode of a server, a TLS alert, a binding
that does not match) is the `__cause__`, and its SECURITY_STATUS and NTSTATUS are repeated on the outer error.
"""

from __future__ import annotations

import enum
from typing import Final

from credssp.errors import CredSSPError, TLSAlertError
from credssp.next_step import NextStep
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
        advice = self.default_advice if advice is None else advice
        if advice is not None and advice not in message:
            message = f"{message if message.endswith(('.', '?')) else f'{message}.'} {advice}"
        super().__init__(f"{where}: {message}", status=status, ntstatus=ntstatus, section=section, advice=advice)
        self.leg = leg
        self.http_status = http_status
        self.alert = alert


class NotOfferedError(WinRMError):
    """The server does not offer CredSSP."""

    default_status = SecurityStatus.SEC_E_SECPKG_NOT_FOUND
    default_advice = NextStep.WINRM_NOT_OFFERED


class HTTPStatusError(WinRMError):
    """An HTTP response that says neither yes nor no to the login: a proxy, a wrong URL, a server in trouble."""

    default_status = SecurityStatus.SEC_E_TARGET_UNKNOWN
    default_advice = NextStep.HTTP_OTHER

    @classmethod
    def of(cls, status: int, message: str, *, leg: Leg) -> HTTPStatusError:
        """Return the error for a status, with what to do about it."""
        known = _HTTP | _HTTP_OFFER if leg is Leg.OFFER else _HTTP
        return cls(message, leg=leg, http_status=status, advice=known.get(status))


class LoginError(WinRMError):
    """The login failed; `__cause__` says why, where the server or TLS did."""

    @classmethod
    def because(cls, error: CredSSPError, *, leg: Leg, http_status: int | None) -> LoginError:
        """Wrap what failed below HTTP, with its numbers and a next step."""
        result = cls(
            error.message,
            leg=leg,
            http_status=http_status,
            status=error.status,
            ntstatus=error.ntstatus,
            section=error.section,
            alert=error.alert if isinstance(error, TLSAlertError) else "",
            advice=error.advice,
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
        way = f"; the requests go through the proxy {proxy}" if proxy else ""
        result = cls(
            f"the server answered as if there were no legs before{seen}; a login counts for one TCP connection{way}",
            leg=error.leg,
            http_status=error.http_status,
            status=error.status,
            alert=error.alert,
            advice=NextStep.WINRM_ONE_CONNECTION,
        )
        result.__cause__ = cause
        return result


class DelegationRefusedError(LoginError):
    """The server knows who we are and has its key proved, but did not take the login with these credentials."""

    refused = True


_HTTP: Final = {
    **dict.fromkeys((301, 302, 303, 307, 308), NextStep.HTTP_MOVED),
    400: NextStep.HTTP_400,
    403: NextStep.HTTP_403,
    404: NextStep.HTTP_404,
    405: NextStep.HTTP_404,
    407: NextStep.HTTP_407,
    413: NextStep.HTTP_413,
    431: NextStep.HTTP_431,
    502: NextStep.HTTP_502,
    503: NextStep.HTTP_503,
    504: NextStep.HTTP_502,
}
"""The next step by the HTTP statuses that users meet; `NextStep.HTTP_OTHER` for the others."""

_HTTP_OFFER: Final = {
    **dict.fromkeys((413, 431), NextStep.HTTP_OTHER),
    403: NextStep.HTTP_403_EARLY,
    500: NextStep.HTTP_500,
}
"""Those of the first request, which has no body, no token and names no user."""
