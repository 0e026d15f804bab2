"""What a logon authority's answer means for a login ([MS-APDS] 3.1.5.2; [MS-NRPC] 3.5.4.5.1)."""

from __future__ import annotations

from typing import Final

from credssp.account import upper_case
from credssp.authority import LogonRefusal, LogonVerdict
from credssp.errors import AuthenticationError, Wrong
from credssp.ntlm.proof import logon_failure
from credssp.status import NTStatus, SecurityStatus, describe, security_status_from_ntstatus

__all__ = ["check_verdict", "refusal", "what_was_wrong"]

_SECTION: Final = "[MS-APDS] 3.1.5.2"

_WRONG: Final = frozenset(
    {
        NTStatus.STATUS_LOGON_FAILURE,
        NTStatus.STATUS_WRONG_PASSWORD,
        NTStatus.STATUS_NO_SUCH_USER,
        NTStatus.STATUS_NO_SUCH_DOMAIN,
        NTStatus.STATUS_INVALID_ACCOUNT_NAME,
        NTStatus.STATUS_ILL_FORMED_PASSWORD,
    }
)
_OF_THE_ACCOUNT: Final = frozenset(
    {
        NTStatus.STATUS_ACCOUNT_RESTRICTION,
        NTStatus.STATUS_INVALID_LOGON_HOURS,
        NTStatus.STATUS_INVALID_WORKSTATION,
        NTStatus.STATUS_PASSWORD_EXPIRED,
        NTStatus.STATUS_ACCOUNT_DISABLED,
        NTStatus.STATUS_ACCOUNT_EXPIRED,
        NTStatus.STATUS_PASSWORD_MUST_CHANGE,
        NTStatus.STATUS_LOGON_NOT_GRANTED,
        NTStatus.STATUS_LOGON_TYPE_NOT_GRANTED,
        NTStatus.STATUS_SMARTCARD_LOGON_REQUIRED,
        NTStatus.STATUS_AUTHENTICATION_FIREWALL_FAILED,
        NTStatus.STATUS_NTLM_BLOCKED,
        NTStatus.STATUS_NOLOGON_INTERDOMAIN_TRUST_ACCOUNT,
        NTStatus.STATUS_NOLOGON_WORKSTATION_TRUST_ACCOUNT,
        NTStatus.STATUS_NOLOGON_SERVER_TRUST_ACCOUNT,
    }
)
"""What a domain controller says after a right password."""


def refusal(answer: LogonRefusal, *, reveal_lockout: bool = False) -> AuthenticationError:
    """Return the error for a refusal.

    A lockout is the one status that a domain controller tells without a right password: told to the client, it would
    tell names that exist from others.
    """
    status = answer.ntstatus
    if status in _WRONG:
        return logon_failure()
    if status == NTStatus.STATUS_ACCOUNT_LOCKED_OUT and not reveal_lockout:
        error = logon_failure()
        error.locked = True
        return error
    if status in _OF_THE_ACCOUNT or status == NTStatus.STATUS_ACCOUNT_LOCKED_OUT:
        return AuthenticationError(
            f"the domain refuses the account: {describe(status).meaning}",
            status=security_status_from_ntstatus(status),
            ntstatus=status,
            section=_SECTION,
        )
    why = "" if status == NTStatus.STATUS_NO_LOGON_SERVERS else f": {describe(status).summary}"
    return AuthenticationError(
        f"the domain could not be asked whether the password is right{why}",
        status=SecurityStatus.SEC_E_NO_AUTHENTICATING_AUTHORITY,
        ntstatus=NTStatus.STATUS_NO_LOGON_SERVERS,
        section=_SECTION,
    )


def what_was_wrong(answer: LogonRefusal) -> Wrong:
    """Return what an authority's refusal says to the server's owner about name, password and account."""
    status = answer.ntstatus
    if status == NTStatus.STATUS_ACCOUNT_LOCKED_OUT or status in _OF_THE_ACCOUNT:
        return "account"
    if status in (NTStatus.STATUS_NO_SUCH_USER, NTStatus.STATUS_NO_SUCH_DOMAIN, NTStatus.STATUS_INVALID_ACCOUNT_NAME):
        return "name"
    # STATUS_LOGON_FAILURE leaves it open.
    return "password" if status == NTStatus.STATUS_WRONG_PASSWORD else ""


def check_verdict(username: str, verdict: LogonVerdict) -> None:
    """Check that a verdict is about the user that was asked about: answers must not change places.

    A name without a domain may be found in any domain, and a UPN may be that of any name. The key of the session is
    what proves it in the end: that of another user opens no message of the client.

    Args:
        username: as the client sent it.
        verdict: the answer.

    Raises:
        AuthenticationError: it is about another user.
    """
    asked, found = upper_case(username), upper_case(verdict.username)
    name, at, _ = asked.rpartition("@")
    if found in (asked, name) or (at and upper_case(verdict.upn) == asked):
        return
    raise AuthenticationError(
        "the logon authority answered for another user than the one it was asked about",
        status=SecurityStatus.SEC_E_NO_AUTHENTICATING_AUTHORITY,
        ntstatus=NTStatus.STATUS_LOGON_FAILURE,
        section=_SECTION,
    )
