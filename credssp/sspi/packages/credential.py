"""The credential of CREDSSP and TSSSP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

from credssp.credentials import AgentCredentials
from credssp.policy import DelegationPolicy, PolicySettings
from credssp.sspi import constants as c
from credssp.sspi.packages.agents import logon_of_agent
from credssp.sspi.packages.identities import Logon, from_auth_data
from credssp.sspi.packages.lsa_mode import LogonPackage, LsaContext
from credssp.sspi.packages.tls_context import TLSPackageCredential
from credssp.sspi.packages.tls_settings import TLSCredential
from credssp.sspi.support import Machine

__all__ = ["WINDOWS_POLICY", "CredSSPCredential", "CredSSPLogon", "policy_for"]

WINDOWS_POLICY: Final = DelegationPolicy.windows_defaults()


def policy_for(machine: Machine, logon: Logon) -> DelegationPolicy | PolicySettings | None:
    """Return the policy of a client: the machine's or Windows' defaults; None for an agent's, which has its own."""
    policy = machine.policy or machine.client.policy
    if policy is None and not isinstance(logon.credentials, AgentCredentials):
        return WINDOWS_POLICY
    return policy


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
            logon=self.sessions.choose(
                data.logon,
                principal,
                use=use,
                logon_id=logon_id,
                agent=logon_of_agent(self.support.machine, principal),
            ),
            accounts=data.accounts,
            tls=TLSCredential(data.schannel, use=use),
            logon_id=logon_id,
        )
