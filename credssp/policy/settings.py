"""Everything that a policy file says, and the error for one that cannot be read."""

from __future__ import annotations

from dataclasses import dataclass, field

from credssp.errors import LocalProtocolError
from credssp.policy.delegation import DelegationPolicy
from credssp.policy.encryption_oracle import EncryptionOracle
from credssp.toml_text import Scalar, Table, dump_toml

__all__ = ["IgnoredValue", "PolicyFileError", "PolicySettings"]


class PolicyFileError(LocalProtocolError):
    """A policy file that cannot be read, or that says something which cannot be meant.

    Attributes:
        source: the name of the file.
        line: where in it, counted from 1; 0 if no line is to blame.
    """

    def __init__(self, message: str, *, source: str, line: int = 0) -> None:
        where = f"{source}, line {line}" if line else source
        super().__init__(f"{where}: {message}")
        self.source = source
        self.line = line


@dataclass(frozen=True, slots=True)
class IgnoredValue:
    """Something in a registry export that has no effect on the policy.

    Attributes:
        key: the registry key.
        name: the name of the value; empty for a whole key.
        line: where it is, counted from 1.
        reason: why it has no effect.
    """

    key: str
    name: str
    line: int
    reason: str

    def __str__(self) -> str:
        value = f", value {self.name!r}" if self.name else ""
        return f"line {self.line}: [{self.key}]{value}: {self.reason}"


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """What a policy file says.

    Attributes:
        delegation: who may be given credentials.
        encryption_oracle: the lowest version to accept; None if the file does not say.
        disable_restricted_admin: for the host: whether it refuses Restricted Admin and Remote Credential Guard
            (``Lsa\\DisableRestrictedAdmin``); None if the file does not say.
        allow_protected_creds: for the host: "Remote host allows delegation of non-exportable credentials"
            (AllowProtectedCreds), which accepts both as well; None if the file does not say.
        ignored: what in the file has no effect; does not count when two are compared.
    """

    delegation: DelegationPolicy = DelegationPolicy()  # noqa: RUF009 - frozen, a constant
    encryption_oracle: EncryptionOracle | None = None
    disable_restricted_admin: bool | None = None
    allow_protected_creds: bool | None = None
    ignored: tuple[IgnoredValue, ...] = field(default=(), compare=False)

    @property
    def host_accepts_restricted_admin(self) -> bool:
        """Whether a host with these settings accepts Restricted Admin and Remote Credential Guard.

        Either setting is enough, and neither means no; that one cannot take back the other is our reading.
        """
        return self.allow_protected_creds is True or self.disable_restricted_admin is False

    def to_toml(self) -> str:
        """Return the settings as a file that `credssp.policy.files.parse_policy` reads back."""
        table: dict[str, Scalar | Table] = {}
        if self.encryption_oracle is not None:
            table["AllowEncryptionOracle"] = int(self.encryption_oracle)
        if self.disable_restricted_admin is not None:
            table["DisableRestrictedAdmin"] = int(self.disable_restricted_admin)
        if self.allow_protected_creds is not None:
            table["AllowProtectedCreds"] = int(self.allow_protected_creds)
        return dump_toml(table | self.delegation.to_table())
