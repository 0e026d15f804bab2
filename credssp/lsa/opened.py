"""A credential that the store has opened for one login, and how it refuses to."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from credssp.credentials import DelegatedCredentials, LogonCredentials
from credssp.errors import CredSSPError
from credssp.mechanism_name import MechanismName
from credssp.next_step import NextStep
from credssp.policy import DelegationPolicy, PolicySettings
from credssp.status import SecurityStatus

__all__ = ["AgentRefusedError", "CertificateRule", "DelegateRule", "OpenedCredential", "Reason"]

DelegateRule: TypeAlias = Literal["password", "smartcard", "remote-guard", "nothing"]
"""What the server of a login is given."""


class Reason(enum.Enum):
    """Why the agent refuses; the value is its name in messages and in the audit."""

    UNKNOWN = "unknown"
    """No credential has this name, or the caller's user may not use it: one answer for both."""
    TARGET = "target"
    """The credential is not for this target."""
    MECHANISM = "mechanism"
    """The credential is not for this mechanism."""
    EXPIRED = "expired"
    """The credential's lifetime is over."""
    DECLINED = "declined"
    """The person who was asked did not say yes."""
    LOCKED = "locked"
    """The agent is locked."""
    SOURCE = "source"
    """The file, keyring, keytab or card that holds the secret cannot be read."""
    CERTIFICATE = "certificate"
    """NTLM, and the server's certificate is not one that the credential trusts."""
    HANDLE = "handle"
    """No context of this connection has this number."""
    REPLAY = "replay"
    """A token that was given to the context before, or one for a context that is over."""
    LIMIT = "limit"
    """More connections, contexts or bytes than the agent holds."""


STATUS_OF: Final = {
    Reason.UNKNOWN: SecurityStatus.SEC_E_NO_CREDENTIALS,
    Reason.TARGET: SecurityStatus.SEC_E_TARGET_UNKNOWN,
    Reason.MECHANISM: SecurityStatus.SEC_E_SECPKG_NOT_FOUND,
    Reason.EXPIRED: SecurityStatus.SEC_E_CONTEXT_EXPIRED,
    Reason.DECLINED: SecurityStatus.SEC_E_NOT_OWNER,
    Reason.LOCKED: SecurityStatus.SEC_E_INCOMPLETE_CREDENTIALS,
    Reason.SOURCE: SecurityStatus.SEC_E_UNKNOWN_CREDENTIALS,
    Reason.CERTIFICATE: SecurityStatus.SEC_E_UNTRUSTED_ROOT,
    Reason.HANDLE: SecurityStatus.SEC_E_INVALID_HANDLE,
    Reason.REPLAY: SecurityStatus.SEC_E_OUT_OF_SEQUENCE,
    Reason.LIMIT: SecurityStatus.SEC_E_INSUFFICIENT_MEMORY,
}
"""The status of each."""

_ADVICE_OF: Final = {
    Reason.UNKNOWN: NextStep.AGENT_UNKNOWN,
    Reason.TARGET: NextStep.AGENT_TARGET,
    Reason.MECHANISM: NextStep.AGENT_MECHANISM,
    Reason.EXPIRED: NextStep.AGENT_EXPIRED,
    Reason.DECLINED: NextStep.AGENT_DECLINED,
    Reason.LOCKED: NextStep.AGENT_LOCKED,
    Reason.SOURCE: NextStep.AGENT_SOURCE,
    Reason.CERTIFICATE: NextStep.AGENT_CERTIFICATE,
    Reason.HANDLE: NextStep.AGENT_MISUSED,
    Reason.REPLAY: NextStep.AGENT_MISUSED,
    Reason.LIMIT: NextStep.AGENT_LIMIT,
}
"""What to do about each."""


class AgentRefusedError(CredSSPError):
    """The agent does not log on: its own rules say no. The server learned nothing of it.

    Attributes:
        reason: which rule.
    """

    def __init__(self, reason: Reason, message: str, *, status: SecurityStatus | None = None) -> None:
        """Make one.

        Args:
            reason: which rule; decides the status.
            message: the rule in words, without a secret.
            status: another status, where one says more.
        """
        super().__init__(message, status=STATUS_OF[reason] if status is None else status, advice=_ADVICE_OF[reason])
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRule:
    """Which certificate a server must have before NTLM sends it a response.

    Attributes:
        fingerprint: SHA-256 of the certificate (DER), 64 hexadecimal digits; None to judge its chain.
        roots: authorities (DER) that the chain must lead to; None for those of the system. Not used with `fingerprint`.
    """

    fingerprint: str | None = None
    roots: tuple[bytes, ...] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedCredential:
    """A credential, open for one login.

    Attributes:
        name: its name in the agent.
        credentials: what logs on; it never leaves the agent's process.
        mechanisms: what it may log on with, best first: ``kerberos``, ``ntlm`` or both.
        certificate: which certificate NTLM demands; None for a credential without NTLM.
        delegate: what the server is given.
        delegated_credentials: what is given in place of what logs on, where `delegate` is not ``nothing``; None for
            what logs on.
        policy: which servers are given anything; None for the target of the login.
        allow_empty_password: an empty password is meant.
    """

    name: str
    credentials: LogonCredentials
    mechanisms: tuple[MechanismName, ...]
    certificate: CertificateRule | None = None
    delegate: DelegateRule = "password"
    delegated_credentials: DelegatedCredentials | None = None
    policy: DelegationPolicy | PolicySettings | None = None
    allow_empty_password: bool = False
