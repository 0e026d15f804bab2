"""What a policy answers, and the check for mutual authentication.

Sources: win32 "InitializeSecurityContext (CredSSP)" for the statuses and for ISC_REQ_MUTUAL_AUTH.
"""

from __future__ import annotations

from dataclasses import dataclass

from credssp.errors import PolicyError
from credssp.next_step import NextStep
from credssp.policy.terms import AuthenticationLevel
from credssp.server_authentication import ServerAuthentication
from credssp.status import SecurityStatus

__all__ = ["PolicyDecision", "require_server_authentication"]


@dataclass(frozen=True, slots=True)
class PolicyDecision:
    """Whether something is allowed, and why. True in a condition if it is.

    Attributes:
        allowed: whether to go on.
        status: SEC_E_OK, or what InitializeSecurityContext returns instead.
        reason: plain words that the user can act on.
        setting: the setting that decided, such as ``AllowFreshCredentialsWhenNTLMOnly``; None if none did.
        pattern: the entry of that setting that matched the target; None if none did.
    """

    allowed: bool
    status: SecurityStatus
    reason: str
    setting: str | None = None
    pattern: str | None = None

    def __bool__(self) -> bool:
        return self.allowed

    @classmethod
    def allow(cls, reason: str, *, setting: str | None = None, pattern: str | None = None) -> PolicyDecision:
        """Return a decision to go on."""
        return cls(True, SecurityStatus.SEC_E_OK, reason, setting, pattern)

    @classmethod
    def refuse(
        cls,
        reason: str,
        *,
        setting: str | None = None,
        pattern: str | None = None,
        status: SecurityStatus = SecurityStatus.SEC_E_DELEGATION_POLICY,
    ) -> PolicyDecision:
        """Return a decision to stop."""
        return cls(False, status, reason, setting, pattern)

    def error(self, target: str | None) -> PolicyError:
        """Return the error for a refusal, with its status, reason and setting."""
        advice = NextStep.POLICY if self.status is SecurityStatus.SEC_E_DELEGATION_POLICY else NextStep.POLICY_NTLM_ONLY
        return PolicyError(self.reason, status=self.status, spn=target, setting=self.setting, advice=advice)

    def raise_if_refused(self, target: str | None) -> None:
        """Do nothing if allowed. Raises PolicyError (`error`)."""
        if not self.allowed:
            raise self.error(target)


def require_server_authentication(server: ServerAuthentication) -> PolicyDecision:
    """Decide whether the server is known well enough for ISC_REQ_MUTUAL_AUTH.

    A certificate that was checked, or Kerberos. NTLM does not count: it proves that the server can reach somebody
    who knows the account, not which server it is. The documentation of the flag says at one place that server
    authentication is not required with CredSSP, and at another (SEC_E_MUTUAL_AUTH_FAILED) that the call fails where
    "server authentication failed" and the flag was given. We follow the second; that NTLM does not count is our choice.
    """
    level = AuthenticationLevel.of(server)
    if level is AuthenticationLevel.STRONG:
        return PolicyDecision.allow(
            "the server was authenticated by its certificate or by Kerberos", setting="ISC_REQ_MUTUAL_AUTH"
        )
    how = "by NTLM alone" if level is AuthenticationLevel.NTLM_ONLY else "by nothing"
    return PolicyDecision.refuse(
        f"mutual authentication was asked for, and the server was authenticated {how}: "
        "use a certificate that you trust, or Kerberos",
        setting="ISC_REQ_MUTUAL_AUTH",
        status=SecurityStatus.SEC_E_MUTUAL_AUTH_FAILED,
    )
