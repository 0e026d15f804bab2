"""The nine lists of servers that may, or may not, be given the user's credentials.

Sources: Policy CSP "ADMX_CredSsp" (names, "not configured" and "disabled"), CredSsp.admx (ConcatenateDefaults), and
public administration scripts for the lists of the operating system under ``Lsa\\Credssp\\PolicyDefaults``.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from credssp.errors import LocalProtocolError
from credssp.policy.spn import SPNPattern
from credssp.policy.terms import CredentialSource

__all__ = [
    "LIST_SETTINGS",
    "SETTINGS_OF",
    "WINDOWS_DEFAULTS",
    "DelegationList",
    "ListSetting",
    "ListState",
    "OSDefaultList",
    "SourceSettings",
]


class ListState(enum.Enum):
    """Whether an administrator touched the setting."""

    UNSET = "unset"
    """Not configured: what the operating system lists is in force."""
    ENABLED = "enabled"
    """The listed servers are in force, and what the operating system lists if the two are joined."""
    DISABLED = "disabled"
    """No server is in the list, whatever is written in it."""


@dataclass(frozen=True, slots=True)
class DelegationList:
    """What one of the nine settings says.

    Attributes:
        state: enabled, disabled or not configured.
        servers: the patterns listed; in force only if enabled.
        concatenate_defaults: whether an enabled list is added to that of the operating system, as the policy editor
            proposes, or replaces it.
    """

    state: ListState = ListState.UNSET
    servers: tuple[SPNPattern, ...] = ()
    concatenate_defaults: bool = True

    @classmethod
    def enabled(cls, *servers: str, concatenate_defaults: bool = True) -> DelegationList:
        """Return an enabled list of these patterns.

        Raises:
            LocalProtocolError: if one of them is not a pattern.
        """
        return cls(ListState.ENABLED, tuple(SPNPattern(server) for server in servers), concatenate_defaults)

    @classmethod
    def disabled(cls) -> DelegationList:
        """Return a disabled list."""
        return cls(ListState.DISABLED)

    def effective(self, defaults: Iterable[SPNPattern]) -> tuple[SPNPattern, ...]:
        """Return the patterns in force, given those that the operating system lists."""
        if self.state is ListState.DISABLED:
            return ()
        if self.state is ListState.UNSET:
            return tuple(defaults)
        return (*self.servers, *defaults) if self.concatenate_defaults else self.servers


@dataclass(frozen=True, slots=True)
class ListSetting:
    """The names of one of the nine settings.

    Attributes:
        name: of the policy value and its subkey.
        attribute: of the field of `DelegationPolicy`.
        concatenate: of the registry value that joins it with the list of the operating system.
        default_name: of the list of the operating system. Differs from `name` in one case: the policy is
            AllowDefCredentialsWhenNTLMOnly, the list is AllowDefaultCredentialsWhenNTLMOnly.
        title: what the policy editor shows.
    """

    name: str
    attribute: str
    concatenate: str
    default_name: str
    title: str


_ALLOW_DEFAULT = ListSetting(
    "AllowDefaultCredentials",
    "allow_default_credentials",
    "ConcatenateDefaults_AllowDefault",
    "AllowDefaultCredentials",
    "Allow delegating default credentials",
)
_ALLOW_DEFAULT_NTLM = ListSetting(
    "AllowDefCredentialsWhenNTLMOnly",
    "allow_default_credentials_when_ntlm_only",
    "ConcatenateDefaults_AllowDefNTLMOnly",
    "AllowDefaultCredentialsWhenNTLMOnly",
    "Allow delegating default credentials with NTLM-only server authentication",
)
_ALLOW_FRESH = ListSetting(
    "AllowFreshCredentials",
    "allow_fresh_credentials",
    "ConcatenateDefaults_AllowFresh",
    "AllowFreshCredentials",
    "Allow delegating fresh credentials",
)
_ALLOW_FRESH_NTLM = ListSetting(
    "AllowFreshCredentialsWhenNTLMOnly",
    "allow_fresh_credentials_when_ntlm_only",
    "ConcatenateDefaults_AllowFreshNTLMOnly",
    "AllowFreshCredentialsWhenNTLMOnly",
    "Allow delegating fresh credentials with NTLM-only server authentication",
)
_ALLOW_SAVED = ListSetting(
    "AllowSavedCredentials",
    "allow_saved_credentials",
    "ConcatenateDefaults_AllowSaved",
    "AllowSavedCredentials",
    "Allow delegating saved credentials",
)
_ALLOW_SAVED_NTLM = ListSetting(
    "AllowSavedCredentialsWhenNTLMOnly",
    "allow_saved_credentials_when_ntlm_only",
    "ConcatenateDefaults_AllowSavedNTLMOnly",
    "AllowSavedCredentialsWhenNTLMOnly",
    "Allow delegating saved credentials with NTLM-only server authentication",
)
_DENY_DEFAULT = ListSetting(
    "DenyDefaultCredentials",
    "deny_default_credentials",
    "ConcatenateDefaults_DenyDefault",
    "DenyDefaultCredentials",
    "Deny delegating default credentials",
)
_DENY_FRESH = ListSetting(
    "DenyFreshCredentials",
    "deny_fresh_credentials",
    "ConcatenateDefaults_DenyFresh",  # by analogy: the names of the other two are confirmed, this one is not
    "DenyFreshCredentials",
    "Deny delegating fresh credentials",
)
_DENY_SAVED = ListSetting(
    "DenySavedCredentials",
    "deny_saved_credentials",
    "ConcatenateDefaults_DenySaved",
    "DenySavedCredentials",
    "Deny delegating saved credentials",
)

LIST_SETTINGS: Final = (
    _ALLOW_DEFAULT,
    _ALLOW_DEFAULT_NTLM,
    _ALLOW_FRESH,
    _ALLOW_FRESH_NTLM,
    _ALLOW_SAVED,
    _ALLOW_SAVED_NTLM,
    _DENY_DEFAULT,
    _DENY_FRESH,
    _DENY_SAVED,
)
"""All nine, in the order of the documentation."""


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """The three settings that decide about one source of credentials.

    Attributes:
        deny: asked first, whatever the authentication of the server.
        allow: asked if the server was authenticated by a certificate or Kerberos.
        allow_when_ntlm_only: asked if it was authenticated by NTLM alone.
    """

    deny: ListSetting
    allow: ListSetting
    allow_when_ntlm_only: ListSetting


SETTINGS_OF: Final = {
    CredentialSource.DEFAULT: SourceSettings(_DENY_DEFAULT, _ALLOW_DEFAULT, _ALLOW_DEFAULT_NTLM),
    CredentialSource.FRESH: SourceSettings(_DENY_FRESH, _ALLOW_FRESH, _ALLOW_FRESH_NTLM),
    CredentialSource.SAVED: SourceSettings(_DENY_SAVED, _ALLOW_SAVED, _ALLOW_SAVED_NTLM),
}


@dataclass(frozen=True, slots=True)
class OSDefaultList:
    """What the operating system lists for one setting (``Lsa\\Credssp\\PolicyDefaults``).

    Attributes:
        setting: the name of the policy it belongs to, such as ``AllowFreshCredentials``.
        servers: in force on a machine outside a domain.
        domain_servers: in force on a machine in a domain (the list with ``Domain`` at the end of its name). That it
            replaces the other one there is our reading: scripts for such machines edit this list alone.

    Raises:
        LocalProtocolError: if there is no setting of that name.
    """

    setting: str
    servers: tuple[SPNPattern, ...]
    domain_servers: tuple[SPNPattern, ...]

    def __post_init__(self) -> None:
        if self.setting not in _NAMES:
            raise LocalProtocolError(f"{self.setting!r} is not one of the nine lists: {', '.join(_NAMES)}")


_NAMES = tuple(setting.name for setting in LIST_SETTINGS)
_ANY_RDP_HOST = (SPNPattern("TERMSRV/*"),)

WINDOWS_DEFAULTS: Final = (
    OSDefaultList("AllowFreshCredentials", _ANY_RDP_HOST, _ANY_RDP_HOST),
    OSDefaultList("AllowFreshCredentialsWhenNTLMOnly", _ANY_RDP_HOST, _ANY_RDP_HOST),
    OSDefaultList("AllowSavedCredentials", _ANY_RDP_HOST, _ANY_RDP_HOST),
    # "If the client is not domain-joined": the documented exception, written as the two lists.
    OSDefaultList("AllowSavedCredentialsWhenNTLMOnly", _ANY_RDP_HOST, ()),
)
"""The lists of Windows as the documentation gives them: TERMSRV/* for fresh and for saved credentials."""
