"""The delegation policy of a CredSSP client, and the lowest version each role accepts.

Start with `DelegationPolicy`: `DelegationPolicy.for_target` for a program that names its target, `load_policy` for what
an administrator wrote down. `PolicyDecision` says what was decided and why.
"""

from __future__ import annotations

from credssp.policy.decision import PolicyDecision, require_server_authentication
from credssp.policy.delegation import DelegationPolicy
from credssp.policy.encryption_oracle import DEFAULT_ENCRYPTION_ORACLE, EncryptionOracle
from credssp.policy.explain import ConsultedList, Explanation, check, explain
from credssp.policy.files import load_policy, parse_policy
from credssp.policy.lists import (
    LIST_SETTINGS,
    WINDOWS_DEFAULTS,
    DelegationList,
    ListSetting,
    ListState,
    OSDefaultList,
)
from credssp.policy.settings import IgnoredValue, PolicyFileError, PolicySettings
from credssp.policy.spn import SPNPattern
from credssp.policy.terms import AuthenticationLevel, CredentialSource, DelegationMode, DelegationRestriction

__all__ = [
    "DEFAULT_ENCRYPTION_ORACLE",
    "LIST_SETTINGS",
    "WINDOWS_DEFAULTS",
    "AuthenticationLevel",
    "ConsultedList",
    "CredentialSource",
    "DelegationList",
    "DelegationMode",
    "DelegationPolicy",
    "DelegationRestriction",
    "EncryptionOracle",
    "Explanation",
    "IgnoredValue",
    "ListSetting",
    "ListState",
    "OSDefaultList",
    "PolicyDecision",
    "PolicyFileError",
    "PolicySettings",
    "SPNPattern",
    "check",
    "explain",
    "load_policy",
    "parse_policy",
    "require_server_authentication",
]
