"""The credential of CREDSSP and TSSSP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

from credssp.policy import DelegationPolicy
from credssp.sspi import constants as c
from credssp.sspi.packages.identities import from_auth_data
from credssp.sspi.packages.lsa_mode import LogonPackage, LsaContext
from credssp.sspi.packages.tls_context import TLSPackageCredential
from credssp.sspi.packages.tls_settings import TLSCredential

__all__ = ["WINDOWS_POLICY", "CredSSPCredential", "CredSSPLogon"]

WINDOWS_POLICY: Final = DelegationPolicy.windows_defaults()

X = TypeVar("X", bound=LsaContext)


@dataclass(slots=True, eq=False, repr=False, kw_only=True)
class CredSSPCredential(TLSPackageCredential):
    """Both halves of a CREDSSP_CRED."""

    @property
    def user_name(self) -> str:
        """Whom it stands for; empty for a server's."""
        return self.logon.user_name if self.use & c.SECPKG_CRED_OUTBOUND else ""


class CredSSPLogon(LogonPackage[CredSSPCredential, X]):
    """A package whose pAuthData is a CREDSSP_CRED."""

    def make_credential(self, principal: str | None, use: int, logon_id: int, auth_data: object) -> CredSSPCredential:
        """Return both halves."""
        data = from_auth_data(auth_data)
        return CredSSPCredential(
            use=use & c.SECPKG_CRED_BOTH,
            logon=self.sessions.choose(data.logon, principal, use=use, logon_id=logon_id),
            accounts=data.accounts,
            tls=TLSCredential(data.schannel, use=use),
            logon_id=logon_id,
        )
