"""What a service does about failed logins: an account that is locked is not judged.

Whether it is locked is decided before its password, and looks to the client like a wrong password.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from credssp.account import Account, AccountStore, upper_case
from credssp.authority import NO_LOGON_SERVERS, LogonAnswer, LogonAuthority, LogonQuestion, LogonRefusal
from credssp.config import Limits, ServerConfig
from credssp.drivers.answers import BoundedAuthority
from credssp.drivers.gate import Gate, NameKey
from credssp.errors import AuthenticationError, CredSSPError
from credssp.identity import Identity
from credssp.status import NTStatus

if TYPE_CHECKING:
    from credssp.ntlm.challenge import NTLMTarget

__all__ = ["Guard", "GuardedAccounts", "GuardedAuthority"]

_log = logging.getLogger("credssp.drivers")

_REMEMBERED: Final = 4096
"""Names of which it is remembered what they meant; the least recent ones are forgotten."""

_LOCKED: Final = LogonRefusal(NTStatus.STATUS_ACCOUNT_LOCKED_OUT)


class Guard:
    """What a service does about failures: accounts that are locked are not asked about.

    Attributes:
        accounts: the accounts of the service with that rule, or None.
        authority: its authority, the same, with bounds; or None.
    """

    def __init__(self, config: ServerConfig, gate: Gate) -> None:
        self._gate = gate
        self.accounts: GuardedAccounts | None = None
        self.authority: GuardedAuthority | None = None
        if config.accounts is not None:
            self.accounts = GuardedAccounts(config.accounts, gate, config.lockout)
        if config.authority is not None:
            self.authority = GuardedAuthority(config.authority, config.limits, gate, config.lockout)

    def ask(self, question: LogonQuestion) -> LogonAnswer:
        """Ask the authority and wait."""
        return NO_LOGON_SERVERS if self.authority is None else self.authority.verify(question)

    async def ask_async(self, question: LogonQuestion) -> LogonAnswer:
        """Ask the authority, and let other tasks run meanwhile."""
        return NO_LOGON_SERVERS if self.authority is None else await self.authority.verify_async(question)

    def guarded(self, config: ServerConfig) -> ServerConfig:
        """Return a configuration for logins, with accounts and authority of here."""
        return replace(config, accounts=self.accounts, authority=self.authority)

    def failed(self, host: str, error: CredSSPError) -> bool:
        """Take notice of a login that failed; returns whether the account was locked when it was judged."""
        claim = error.claim
        names, locked = list[NameKey](), isinstance(error, AuthenticationError) and error.locked
        if claim is not None:
            for each in (self.accounts, self.authority):
                meant, was_locked = ((), False) if each is None else each.meant(claim.domain, claim.username)
                names += meant
                locked = locked or was_locked
        self._gate.failed(host, error, () if locked else names)
        return locked

    def succeeded(self, identity: Identity) -> None:
        """Take notice of a login of an account."""
        if identity.account is not None:
            self._gate.succeeded(_key(identity.account.domain, identity.account.username))
        elif identity.mechanism == "ntlm":
            self._gate.succeeded(_key(identity.sent_domain, identity.sent_username))


class GuardedAuthority:
    """An authority that is not asked about names that are locked, and otherwise in time (`BoundedAuthority`).

    Names are those that the client sent: the domain has a lockout of its own, which this keeps a guesser from setting
    off.
    """

    def __init__(
        self, authority: LogonAuthority, limits: Limits, gate: Gate, lockout: Callable[[str, str], bool] | None
    ) -> None:
        self._bounded = BoundedAuthority(authority, limits)
        self._gate = gate
        self._lockout = lockout

    @property
    def target(self) -> NTLMTarget:
        """The names of the authority."""
        return self._bounded.target

    def verify(self, question: LogonQuestion) -> LogonAnswer:
        """Ask and wait."""
        return _LOCKED if self._is_locked(question) else self._bounded.verify(question)

    async def verify_async(self, question: LogonQuestion) -> LogonAnswer:
        """Ask, and let other tasks run meanwhile."""
        return _LOCKED if self._is_locked(question) else await self._bounded.verify_async(question)

    def _is_locked(self, question: LogonQuestion) -> bool:
        domain, username = question.domain, question.username
        if self._gate.locked(_key(domain, username)):
            return True
        try:
            return self._lockout is not None and self._lockout(domain, username)
        except Exception as error:  # noqa: BLE001  # the application's code may raise anything
            _log.error("the lockout function raised %s; the login is refused", type(error).__name__)
            return True

    def meant(self, domain: str, username: str) -> tuple[Sequence[NameKey], bool]:
        """Return the accounts that names mean; and that it was not locked, of which the answer has told."""
        return (_key(domain, username),), False


class GuardedAccounts:
    """An account store whose accounts are not found while they are locked.

    They are looked up all the same, so that the time does not tell; and what the client is told, and what is computed
    until then, is what there is for a user who does not exist.
    """

    def __init__(self, store: AccountStore, gate: Gate, lockout: Callable[[str, str], bool] | None = None) -> None:
        self._store = store
        self._admission = gate
        self._lockout = lockout
        self._meant: OrderedDict[NameKey, tuple[Sequence[NameKey], bool]] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, domain: str, username: str) -> Sequence[Account]:
        """Return the accounts that may log on now."""
        found = tuple(self._store.find(domain, username))
        names = [_key(account.domain, account.username) for account in found]
        free = tuple(
            account
            for account, name in zip(found, names, strict=True)
            if not self._admission.locked(name)
            and not (self._lockout is not None and self._lockout(account.domain, account.username))
        )
        with self._lock:
            self._meant[domain, username] = tuple(names), len(free) < len(found)
            if len(self._meant) > _REMEMBERED:
                self._meant.popitem(last=False)
        return free

    def meant(self, domain: str, username: str) -> tuple[Sequence[NameKey], bool]:
        """Return the accounts that were found for names when they were last looked up, and whether one was locked."""
        return self._meant.get((domain, username), ((), False))

    def __repr__(self) -> str:
        return f"GuardedAccounts({self._store!r})"


def _key(domain: str, username: str) -> NameKey:
    return upper_case(domain), upper_case(username)
