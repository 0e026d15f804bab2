"""The credential of CREDSSP and TSSSP, and how it is acquired."""

from __future__ import annotations

from typing import Any

from credssp.account import AccountStore
from credssp.sspi import constants as c
from credssp.sspi.errors import refuse
from credssp.sspi.packages.identities import Logon, LogonSessions, from_auth_data
from credssp.sspi.packages.tls_context import TLSPackageCredential
from credssp.sspi.packages.tls_settings import TLSCredential
from credssp.sspi.support import LsaSupport
from credssp.status import SecurityStatus

__all__ = ["CredSSPCredential", "acquire", "default_logon"]

_S = SecurityStatus


class CredSSPCredential(TLSPackageCredential):
    """Both halves of a CREDSSP_CRED.

    Attributes:
        logon: who logs on, of a client.
        accounts: who may log on, of a server; None for the machine's accounts.
    """

    def __init__(
        self, use: int, tls: TLSCredential, logon_id: int, *, logon: Logon, accounts: AccountStore | None
    ) -> None:
        super().__init__(use, tls, logon_id)
        self.logon = logon
        self.accounts = accounts


def default_logon(logon: Logon | None, principal: str | None, use: int, sessions: LogonSessions) -> Logon:
    """Return the logon of pAuthData, or the default one; the principal must fit.

    Raises:
        SSPIError: SEC_E_NO_CREDENTIALS, SEC_E_UNKNOWN_CREDENTIALS.
    """
    if logon is None:
        if use & c.SECPKG_CRED_OUTBOUND and use & c.SECPKG_CRED_AUTOLOGON_RESTRICTED:
            raise refuse(
                "pAuthData",
                "SECPKG_CRED_AUTOLOGON_RESTRICTED: the default credentials are not to be used",
                _S.SEC_E_NO_CREDENTIALS,
            )
        return sessions.find(principal)
    own = logon.user_name.casefold()
    if principal is not None and principal.casefold() not in (own, own.rpartition("\\")[2]):
        raise refuse("pszPrincipal", "not the user of pAuthData", _S.SEC_E_UNKNOWN_CREDENTIALS)
    return logon


def acquire(
    support: LsaSupport, sessions: LogonSessions, principal: str | None, use: int, logon_id: Any, auth_data: Any
) -> CredSSPCredential:
    """SpAcquireCredentialsHandle.

    Raises:
        SSPIError: SEC_E_NOT_OWNER, SEC_E_NO_CREDENTIALS, SEC_E_UNKNOWN_CREDENTIALS, SEC_E_UNSUPPORTED_FUNCTION.
    """
    session = support.check_logon_session(logon_id)
    data = from_auth_data(auth_data)
    logon = default_logon(data.logon, principal, use, sessions)
    return CredSSPCredential(use, TLSCredential(data.schannel, use=use), session, logon=logon, accounts=data.accounts)
