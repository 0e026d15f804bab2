"""The credential of CREDSSP and TSSSP, and what they tell alike of their contexts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

from credssp.credentials import DelegatedCredentials, PasswordCredentials
from credssp.identity import Identity
from credssp.policy import DelegationPolicy
from credssp.sspi import constants as c
from credssp.sspi.packages.identities import from_auth_data
from credssp.sspi.packages.lsa_mode import LogonPackage, LsaContext
from credssp.sspi.packages.tls_context import TLSPackageCredential
from credssp.sspi.packages.tls_settings import TLSCredential

__all__ = ["WINDOWS_POLICY", "CredSSPCredential", "CredSSPLogon", "full_name", "usable"]

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
            logon=self.sessions.choose(data.logon, principal, use),
            accounts=data.accounts,
            tls=TLSCredential(data.schannel, use=use),
            logon_id=logon_id,
        )


def usable(received: DelegatedCredentials | None, *, wanted: bool) -> DelegatedCredentials | None:
    """Return what the client delegated, if it is something, and if ASC_REQ_DELEGATE asked for it."""
    if not wanted or (isinstance(received, PasswordCredentials) and received.is_empty):
        return None
    return received


def full_name(identity: Identity) -> str:
    """Return ``DOMAIN\\user`` of who logged on."""
    return f"{identity.domain}\\{identity.username}" if identity.domain else identity.username
