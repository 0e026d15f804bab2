"""May these credentials go to this target? The decision that [MS-CSSP] 3.1.1 leaves to the client.

The nine lists (`credssp.policy.lists`) are asked in this order, and the first answer counts:

1. Restriction of delegation: the mode must be one that is left.
2. Nothing of the user's goes over (Restricted Admin, no DELEGATE): allowed, no list is asked.
3. A target that names no server: refused.
4. The Deny list of the source: refused.
5. Remote Credential Guard: allowed if the server was authenticated by Kerberos.
6. Server strongly authenticated: the Allow list of the source decides.
7. Server authenticated by NTLM alone: the Allow...WhenNTLMOnly list decides. In the Allow list only:
   SEC_E_POLICY_NLTM_ONLY (the misspelling is that of the header).
8. Server not authenticated: refused.

Sources: [MS-CSSP] 3.1.1 and note <23>; win32 "CredSSP Group Policy Settings" and "InitializeSecurityContext (CredSSP)";
Policy CSP "ADMX_CredSsp". Our choices, where no source is clear:

* Deny comes first, as its documented purpose (exceptions from an Allow wildcard) asks; there is no "most specific".
* A server authenticated strongly is not looked up in the NTLM-only list, nor fresh credentials in the list of default
  ones.
* Empty credentials are not the user's credentials: steps 2 and 4 to 8 follow the words of the settings ("servers to
  which the user's credentials can be delegated"). Windows may ask its lists for them as well.
* Remote Credential Guard hands over something usable for the session: the Deny list counts, the Allow lists do not.
* Without a target nothing matches, not even ``*``: the caller could not say whom it meant to trust.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, cast

from credssp.errors import LocalProtocolError
from credssp.policy.decision import PolicyDecision
from credssp.policy.lists import (
    LIST_SETTINGS,
    SETTINGS_OF,
    WINDOWS_DEFAULTS,
    DelegationList,
    ListSetting,
    ListState,
    OSDefaultList,
)
from credssp.policy.spn import SPNPattern, target_parts
from credssp.policy.terms import AuthenticationLevel, CredentialSource, DelegationMode, DelegationRestriction
from credssp.server_authentication import ServerAuthentication
from credssp.status import SecurityStatus
from credssp.toml_text import Scalar, Table, dump_toml

__all__ = ["DelegationPolicy"]

_UNSET = DelegationList()
_MAX_DECISIONS: Final = 256
_BEST = ServerAuthentication.CERTIFICATE | ServerAuthentication.KERBEROS
_EMPTY_HANDED = (DelegationMode.RESTRICTED_ADMIN, DelegationMode.NO_DELEGATION)


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegationPolicy:
    """The delegation policy of one client. With no argument: Windows as installed, outside a domain.

    Attributes:
        allow_default_credentials: AllowDefaultCredentials.
        allow_default_credentials_when_ntlm_only: AllowDefCredentialsWhenNTLMOnly.
        allow_fresh_credentials: AllowFreshCredentials.
        allow_fresh_credentials_when_ntlm_only: AllowFreshCredentialsWhenNTLMOnly.
        allow_saved_credentials: AllowSavedCredentials.
        allow_saved_credentials_when_ntlm_only: AllowSavedCredentialsWhenNTLMOnly.
        deny_default_credentials: DenyDefaultCredentials.
        deny_fresh_credentials: DenyFreshCredentials.
        deny_saved_credentials: DenySavedCredentials.
        restriction: RestrictedRemoteAdministration and its type.
        domain_joined: whether this machine is in a domain; chooses between the two lists of an `OSDefaultList`.
        os_defaults: what the operating system lists; a setting that is not among them has nothing. Sorted on
            construction, so that equal policies compare equal.

    Raises:
        LocalProtocolError: if `os_defaults` has a setting twice.
    """

    allow_default_credentials: DelegationList = _UNSET
    allow_default_credentials_when_ntlm_only: DelegationList = _UNSET
    allow_fresh_credentials: DelegationList = _UNSET
    allow_fresh_credentials_when_ntlm_only: DelegationList = _UNSET
    allow_saved_credentials: DelegationList = _UNSET
    allow_saved_credentials_when_ntlm_only: DelegationList = _UNSET
    deny_default_credentials: DelegationList = _UNSET
    deny_fresh_credentials: DelegationList = _UNSET
    deny_saved_credentials: DelegationList = _UNSET
    restriction: DelegationRestriction = DelegationRestriction.NONE
    domain_joined: bool = False
    os_defaults: tuple[OSDefaultList, ...] = WINDOWS_DEFAULTS
    # What `decide` answered: every login asks twice, and a policy is made once.
    _decisions: dict[Any, PolicyDecision] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_name = {default.setting: default for default in self.os_defaults}
        if len(by_name) != len(self.os_defaults):
            raise LocalProtocolError("os_defaults has a setting twice: join the two lists")
        ordered = (by_name[setting.name] for setting in LIST_SETTINGS if setting.name in by_name)
        kept = tuple(default for default in ordered if default.servers or default.domain_servers)
        object.__setattr__(self, "os_defaults", kept)

    @classmethod
    def windows_defaults(cls, *, domain_joined: bool = False) -> DelegationPolicy:
        """Return Windows' policy as installed: fresh and saved credentials, to RDP hosts (``TERMSRV/*``) alone."""
        return cls(domain_joined=domain_joined)

    @classmethod
    def for_target(cls, target: str) -> DelegationPolicy:
        """Return a policy for exactly this target: fresh credentials, server authentication by NTLM is enough.

        For callers that name the target and the credentials in code: there is no user left to ask. Default and saved
        credentials go nowhere.

        Raises:
            LocalProtocolError: if the target is not one name: empty, or with a ``*``.
        """
        if target_parts(target) is None or "*" in target:
            raise LocalProtocolError(f"{target!r} does not name one target: give it in full, such as TERMSRV/host")
        only = DelegationList.enabled(target, concatenate_defaults=False)
        return cls(allow_fresh_credentials=only, allow_fresh_credentials_when_ntlm_only=only, os_defaults=())

    @classmethod
    def deny_all(cls) -> DelegationPolicy:
        """Return a policy under which nothing of the user's goes anywhere, Remote Credential Guard included."""
        every = DelegationList.enabled("*")
        return cls(
            deny_default_credentials=every, deny_fresh_credentials=every, deny_saved_credentials=every, os_defaults=()
        )

    def list_of(self, setting: ListSetting) -> DelegationList:
        """Return what this policy says about one of the nine settings."""
        return cast(DelegationList, getattr(self, setting.attribute))

    def defaults_of(self, setting: ListSetting) -> tuple[SPNPattern, ...]:
        """Return what the operating system lists for a setting, on a machine in a domain or outside, as this one is."""
        for default in self.os_defaults:
            if default.setting == setting.name:
                return default.domain_servers if self.domain_joined else default.servers
        return ()

    def effective(self, setting: ListSetting) -> tuple[SPNPattern, ...]:
        """Return the patterns in force for a setting."""
        return self.list_of(setting).effective(self.defaults_of(setting))

    def match(self, setting: ListSetting, target: str | None) -> SPNPattern | None:
        """Return the first pattern in force for a setting that means the target, or None."""
        name = target_parts(target)
        if name is None:
            return None
        for pattern in self.effective(setting):
            if pattern.means(name):
                return pattern
        return None

    def decide(
        self,
        target: str | None,
        *,
        source: CredentialSource,
        server: ServerAuthentication,
        mode: DelegationMode = DelegationMode.PLAIN,
        smart_card_logon: bool = False,
    ) -> PolicyDecision:
        """Decide whether to hand credentials to a target.

        Args:
            target: the service principal name, such as ``TERMSRV/host.example.com``.
            source: where the credentials come from.
            server: what proved the server's identity.
            mode: what is handed over.
            smart_card_logon: whether the user signed on with a smart card. Default and saved credentials cannot be
                delegated then, whatever the lists say ("Smart Card Group Policy and Registry Settings").
        """
        question = target, source, server, mode, smart_card_logon
        decision = self._decisions.get(question)
        if decision is None:
            decision = self._decide(*question)
            if len(self._decisions) < _MAX_DECISIONS:
                self._decisions[question] = decision
        return decision

    def _decide(
        self,
        target: str | None,
        source: CredentialSource,
        server: ServerAuthentication,
        mode: DelegationMode,
        smart_card_logon: bool,
    ) -> PolicyDecision:
        if mode is not DelegationMode.NO_DELEGATION and mode not in self.restriction.modes:
            return _mode_not_left(self.restriction, mode)
        if mode in _EMPTY_HANDED:
            return PolicyDecision.allow(f"nothing of the user's is handed over (mode {mode.value})")
        if target_parts(target) is None:
            return PolicyDecision.refuse(
                f"the target {target!r} names no server, and delegation is decided by its name: "
                "give the service principal name, such as TERMSRV/host or WSMAN/host"
            )
        deny = SETTINGS_OF[source].deny
        if pattern := self.match(deny, target):
            return PolicyDecision.refuse(
                f"{deny.name} lists {pattern}, which means {target!r}: take it out, or connect without delegation",
                setting=deny.name,
                pattern=pattern.text,
            )
        if mode is DelegationMode.REMOTE_GUARD:
            return _remote_guard(server)
        if smart_card_logon and source is not CredentialSource.FRESH:
            return PolicyDecision.refuse(
                f"after a sign-on with a smart card {source.value} credentials cannot be delegated: use fresh ones",
                setting=SETTINGS_OF[source].allow.name,
            )
        return self._plain(target, source, AuthenticationLevel.of(server))

    def decide_before_connecting(
        self,
        target: str | None,
        *,
        source: CredentialSource,
        mode: DelegationMode = DelegationMode.PLAIN,
        smart_card_logon: bool = False,
    ) -> PolicyDecision:
        """Decide with the best authentication that the server may still show: a refusal is final, a permission is not.

        Saves a connection that is bound to fail. `decide` must be asked again right before the credentials go.
        """
        strong = self.decide(target, source=source, server=_BEST, mode=mode, smart_card_logon=smart_card_logon)
        if strong.allowed:
            return strong
        ntlm = self.decide(
            target, source=source, server=ServerAuthentication.NTLM, mode=mode, smart_card_logon=smart_card_logon
        )
        return ntlm if ntlm.allowed else strong

    def _plain(self, target: str | None, source: CredentialSource, level: AuthenticationLevel) -> PolicyDecision:
        settings = SETTINGS_OF[source]
        if level is AuthenticationLevel.NONE:
            return PolicyDecision.refuse(
                f"the server at {target!r} was not authenticated at all, and no setting allows delegation to such a "
                "server: use NTLM, Kerberos or a certificate that you trust",
            )
        ntlm_only = level is AuthenticationLevel.NTLM_ONLY
        asked = settings.allow_when_ntlm_only if ntlm_only else settings.allow
        pattern = self.match(asked, target)
        if pattern:
            return PolicyDecision.allow(
                f"{asked.name} {self._origin(asked, pattern)} {pattern}, which means {target!r}",
                setting=asked.name,
                pattern=pattern.text,
            )
        if ntlm_only and (by_allow := self.match(settings.allow, target)):
            return PolicyDecision.refuse(
                f"the server at {target!r} was authenticated by NTLM alone. {settings.allow.name} lists it "
                f"({by_allow}), {asked.name} does not: use Kerberos or a certificate that you trust, or add the "
                f'target to {asked.name} ("{asked.title}")',
                setting=asked.name,
                status=SecurityStatus.SEC_E_POLICY_NLTM_ONLY,
            )
        state = "is disabled" if self.list_of(asked).state is ListState.DISABLED else f"does not list {target!r}"
        return PolicyDecision.refuse(
            f'{asked.name} ("{asked.title}") {state}: enable it and add the target, '
            f"if this server may hold the user's {source.value} credentials",
            setting=asked.name,
        )

    def _origin(self, setting: ListSetting, pattern: SPNPattern) -> str:
        configured = self.list_of(setting)
        listed = configured.state is ListState.ENABLED and pattern in configured.servers
        return "lists" if listed else "lists, by the default of the operating system,"

    def to_table(self) -> dict[str, Scalar | Table]:
        """Return the settings as a table with the names of the registry; what has its default is left out."""
        table: dict[str, Scalar | Table] = {"domain_joined": self.domain_joined}
        if self.restriction is not DelegationRestriction.NONE:
            table["RestrictedRemoteAdministration"] = 1
            table["RestrictedRemoteAdministrationType"] = int(self.restriction)
        for setting in LIST_SETTINGS:
            entry = self.list_of(setting)
            if entry != _UNSET:
                table[setting.name] = {
                    "state": entry.state.value,
                    "servers": [pattern.text for pattern in entry.servers],
                    "concatenate_defaults": entry.concatenate_defaults,
                }
        if self.os_defaults != WINDOWS_DEFAULTS:
            table["PolicyDefaults"] = self._os_defaults_table()
        return table

    def _os_defaults_table(self) -> Table:
        here = {default.setting: default for default in self.os_defaults}
        windows = {default.setting: default for default in WINDOWS_DEFAULTS}
        table: Table = {}
        for setting in LIST_SETTINGS:
            nothing = OSDefaultList(setting.name, (), ())
            default = here.get(setting.name, nothing)
            if default != windows.get(setting.name, nothing):
                table[setting.default_name] = [pattern.text for pattern in default.servers]
                table[setting.default_name + "Domain"] = [pattern.text for pattern in default.domain_servers]
        return table

    def to_toml(self) -> str:
        """Return the policy as a file that `credssp.policy.files.parse_policy` reads back."""
        return dump_toml(self.to_table())


def _mode_not_left(restriction: DelegationRestriction, mode: DelegationMode) -> PolicyDecision:
    left = " or ".join(allowed.value for allowed in restriction.modes)
    return PolicyDecision.refuse(
        f'RestrictedRemoteAdministration is set to "{restriction.title}", which forbids the mode {mode.value}: '
        f"connect in the mode {left}",
        setting="RestrictedRemoteAdministration",
    )


def _remote_guard(server: ServerAuthentication) -> PolicyDecision:
    """Remote Credential Guard works with Kerberos only, without falling back to NTLM ("Remote Credential Guard")."""
    if server & ServerAuthentication.KERBEROS:
        return PolicyDecision.allow("the server was authenticated by Kerberos, as Remote Credential Guard requires")
    by_ntlm = bool(server & ServerAuthentication.NTLM)
    return PolicyDecision.refuse(
        "Remote Credential Guard requires that Kerberos authenticate the server: "
        "connect by the host name that Kerberos knows, or in another mode",
        status=SecurityStatus.SEC_E_POLICY_NLTM_ONLY if by_ntlm else SecurityStatus.SEC_E_DELEGATION_POLICY,
    )
