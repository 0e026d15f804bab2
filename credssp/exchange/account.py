"""The account of a login whose secrets are known."""

from __future__ import annotations

from dataclasses import dataclass, field

from credssp.credentials import PasswordCredentials
from credssp.secret import Secret

__all__ = ["LogonAccount"]


@dataclass(frozen=True, slots=True, init=False)
class LogonAccount:
    """An account with its password: that of a fixture, or one that a peer under test knows.

    Attributes:
        username: its name.
        password: its password.
        domain: its domain, or empty.
    """

    username: str
    password: Secret[str] = field(hash=False)
    domain: str

    def __init__(self, username: str, password: str | Secret[str], domain: str = "") -> None:
        object.__setattr__(self, "username", username)
        object.__setattr__(self, "password", Secret(password))
        object.__setattr__(self, "domain", domain)

    @property
    def credentials(self) -> PasswordCredentials:
        """What a client logs on with."""
        return PasswordCredentials(self.username, self.password, domain=self.domain)
