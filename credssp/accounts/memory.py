"""Accounts held in memory, found in constant time."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from credssp.account import Account, upper_case
from credssp.errors import LocalProtocolError
from credssp.nt_hash import nt_hash
from credssp.secret import Secret, private_methods

__all__ = ["AccountIndex", "Entry", "MemoryAccounts", "PasswordOrHash", "hash_of"]

PasswordOrHash: TypeAlias = str | bytes | Secret[str] | Secret[bytes]
"""A `str` is a password, `bytes` are an NT hash of 16 bytes; either may be in a `Secret`."""


def hash_of(value: PasswordOrHash) -> Secret[bytes]:
    """Return the NT hash of a password, or the hash itself. Raises LocalProtocolError for anything else."""
    plain = value.reveal() if isinstance(value, Secret) else value
    if isinstance(plain, str):
        return Secret(nt_hash(plain))
    if isinstance(plain, bytes) and len(plain) == 16:
        return Secret(plain)
    raise LocalProtocolError("an account needs a password (str) or an NT hash (16 bytes)")


class Entry:
    """An account whose password may still have to be hashed."""

    __slots__ = ("_account", "_password", "domain", "username")

    def __init__(self, domain: str, username: str, value: PasswordOrHash | Account) -> None:
        self.domain = domain
        self.username = username
        self._account: Account | None = None
        self._password = Secret("")
        if isinstance(value, Account):
            self._account = value
        elif isinstance(plain := value.reveal() if isinstance(value, Secret) else value, str):
            self._password = Secret(plain)
        else:
            self._account = Account(domain, username, hash_of(value))

    @property
    def waiting(self) -> bool:
        """Whether the password is not hashed yet."""
        return self._account is None

    def account(self) -> Account:
        """Return the account; hashes the password the first time and forgets it."""
        account = self._account
        if account is None:
            account = self._account = Account(self.domain, self.username, hash_of(self._password))
            self._password = Secret("")
        return account


class AccountIndex:
    """Finds entries by the rules of `credssp.accounts`, at a cost that does not grow with their number.

    Passwords are hashed when they are needed (10,000 of them would add 0.15 s to every start). So that a first login
    takes no longer for a user who exists than for one who does not, **every** lookup hashes one waiting password: that
    of the user asked for, or else the next in the line.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._by_name: dict[tuple[str, str], list[Entry]] = {}
        self._by_user: dict[str, list[Entry]] = {}
        self._lock = threading.Lock()  # for passwords that are hashed: the blocking server looks up in threads
        self._line: list[Entry] = []
        for entry in entries:
            user = upper_case(entry.username)
            self._by_name.setdefault((upper_case(entry.domain), user), []).append(entry)
            self._by_user.setdefault(user, []).append(entry)
            if entry.waiting:
                self._line.append(entry)

    def find(self, domain: str, username: str) -> Sequence[Account]:
        """Return the accounts that these names may mean, best first."""
        entries = self._match(upper_case(domain), upper_case(username))
        with self._lock:
            if not any(entry.waiting for entry in entries):
                self._hash_one()
            return tuple([entry.account() for entry in entries])

    def _match(self, domain: str, user: str) -> list[Entry]:
        exact = self._by_name.get((domain, user))
        if exact and domain:
            return exact
        if domain:
            return self._by_name.get(("", user), [])
        if user in self._by_user:
            # No domain: those stored without one first, then the others.
            return sorted(self._by_user[user], key=lambda entry: entry.domain != "")
        name, at, realm = user.rpartition("@")
        if at:
            return self._by_name.get((realm, name)) or self._by_name.get(("", name), [])
        return []

    def _hash_one(self) -> None:
        while self._line:
            entry = self._line.pop()
            if entry.waiting:
                entry.account()
                return

    def __len__(self) -> int:
        return sum(len(entries) for entries in self._by_name.values())


@private_methods("__init__")
class MemoryAccounts:
    """Accounts given when the server starts. Threads: any number may look accounts up at once.

    Args:
        accounts: a mapping of (domain, user name) to a password (`str`), an NT hash (`bytes`, 16 bytes), either of
            them in a `Secret`, an `Account`, or a sequence of accounts; or simply an iterable of `Account`.

    Example::

        MemoryAccounts({("LAB", "alice"): "secret", ("", "bob"): bytes.fromhex("a4f49c406510bdcab6824ee7c30fd852")})
    """

    def __init__(
        self,
        accounts: Mapping[tuple[str, str], PasswordOrHash | Account | Sequence[Account]] | Iterable[Account],
    ) -> None:
        self._index = AccountIndex(_entries(accounts))

    def find(self, domain: str, username: str) -> Sequence[Account]:
        """Return the accounts that these names may mean, best first (`credssp.accounts`)."""
        return self._index.find(domain, username)

    def __len__(self) -> int:
        return len(self._index)

    def __repr__(self) -> str:
        return f"MemoryAccounts({len(self)} accounts)"


def _entries(
    accounts: Mapping[tuple[str, str], PasswordOrHash | Account | Sequence[Account]] | Iterable[Account],
) -> Iterable[Entry]:
    if not isinstance(accounts, Mapping):
        for account in accounts:
            if not isinstance(account, Account):
                raise LocalProtocolError(f"accounts takes a mapping or Account objects, not a {type(account).__name__}")
            yield Entry(account.domain, account.username, account)
        return
    for name, value in accounts.items():
        if not (isinstance(name, tuple) and len(name) == 2):
            raise LocalProtocolError("accounts: a key is a tuple (domain, user name), as ('LAB', 'alice')")
        domain, username = name
        if isinstance(value, str | bytes | Secret | Account):
            yield Entry(domain, username, value)
        else:
            for account in value:
                yield Entry(domain, username, account)
