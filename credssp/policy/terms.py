"""The words of the delegation policy: where credentials come from, how they travel, how well the server is known.

Sources: [MS-CSSP] 3.1.1 with note <23>; win32 "CredSSP Group Policy Settings"; Policy CSP "ADMX_CredSsp" and
"CredentialsDelegation"; "Remote Credential Guard" of the Windows documentation.
"""

from __future__ import annotations

import enum

from credssp.credentials import CredentialSource
from credssp.server_authentication import ServerAuthentication

__all__ = ["AuthenticationLevel", "CredentialSource", "DelegationMode", "DelegationRestriction"]


class AuthenticationLevel(enum.Enum):
    """How well the server is known: what the policy makes of `ServerAuthentication`."""

    STRONG = "strong"
    """By a trusted certificate or by Kerberos."""
    NTLM_ONLY = "ntlm-only"
    """By NTLM and nothing else."""
    NONE = "none"
    """Not at all."""

    @classmethod
    def of(cls, server: ServerAuthentication) -> AuthenticationLevel:
        """Return the level that these flags reach; a certificate makes NTLM strong."""
        return _LEVELS[server]


class DelegationMode(enum.Enum):
    """What is handed to the server after the authentication."""

    __hash__ = object.__hash__  # Enum's own is a function in Python

    PLAIN = "plain"
    """The user's credentials (TSPasswordCreds, TSSmartCardCreds)."""
    RESTRICTED_ADMIN = "restricted-admin"
    """Empty credentials, in Restricted Admin mode: the server continues with its own machine account."""
    REMOTE_GUARD = "remote-guard"
    """TSRemoteGuardCreds: the server sends its requests for tickets back to the client. Needs Kerberos."""
    NO_DELEGATION = "none"
    """Empty credentials because ISC_REQ_DELEGATE was not given."""


class DelegationRestriction(enum.IntEnum):
    """RestrictedRemoteAdministration and its type: which modes are left (Policy CSP RestrictedRemoteAdministration).

    The numbers are those of RestrictedRemoteAdministrationType; 0 stands for the policy being off. `NO_DELEGATION`
    is not delegation at all and stays allowed under each of them (our choice).
    """

    NONE = 0
    """Every mode is allowed."""
    REQUIRE_RESTRICTED_ADMIN = 1
    """Restricted Admin only."""
    REQUIRE_REMOTE_GUARD = 2
    """Remote Credential Guard only."""
    RESTRICT_DELEGATION = 3
    """Remote Credential Guard, or else Restricted Admin; never the credentials themselves."""

    @property
    def modes(self) -> tuple[DelegationMode, ...]:
        """The modes of delegation that are allowed, the preferred one first."""
        return _MODES[self]

    @property
    def title(self) -> str:
        """The name that the policy editor shows."""
        return _TITLES[self]


def _level(server: ServerAuthentication) -> AuthenticationLevel:
    if server.is_strong:
        return AuthenticationLevel.STRONG
    return AuthenticationLevel.NTLM_ONLY if server & ServerAuthentication.NTLM else AuthenticationLevel.NONE


# A look-up, since arithmetic with enum flags costs as much as matching a pattern.
_LEVELS = {flags: _level(flags) for flags in map(ServerAuthentication, range(8))}

_MODES = {
    DelegationRestriction.NONE: (DelegationMode.PLAIN, DelegationMode.REMOTE_GUARD, DelegationMode.RESTRICTED_ADMIN),
    DelegationRestriction.REQUIRE_RESTRICTED_ADMIN: (DelegationMode.RESTRICTED_ADMIN,),
    DelegationRestriction.REQUIRE_REMOTE_GUARD: (DelegationMode.REMOTE_GUARD,),
    DelegationRestriction.RESTRICT_DELEGATION: (DelegationMode.REMOTE_GUARD, DelegationMode.RESTRICTED_ADMIN),
}

_TITLES = {
    DelegationRestriction.NONE: "Not restricted",
    DelegationRestriction.REQUIRE_RESTRICTED_ADMIN: "Require Restricted Admin",
    DelegationRestriction.REQUIRE_REMOTE_GUARD: "Require Remote Credential Guard",
    DelegationRestriction.RESTRICT_DELEGATION: "Restrict Credential Delegation",
}
