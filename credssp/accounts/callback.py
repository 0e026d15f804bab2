"""Accounts that the application looks up itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TypeAlias

from credssp.account import Account
from credssp.accounts.memory import PasswordOrHash, hash_of
from credssp.errors import LocalProtocolError
from credssp.nt_hash import nt_hash
from credssp.secret import Secret

__all__ = ["Answer", "CallbackAccounts"]

Answer: TypeAlias = PasswordOrHash | Account | Sequence[Account] | None
"""What a callback may return: a password, an NT hash, one account or several, or None for an unknown user."""


class CallbackAccounts:
    """Asks a function for every login.

    Args:
        lookup: called with the domain and the user name as the client sent them, in its spelling; the function decides
            what they mean (`credssp.accounts` says how the other stores do). It is called before the client has proved
            anything, must not block for long, and should take as long for a user who does not exist as for others.

    What it raises makes the login fail like one of an unknown user; the acceptor logs the type of the exception and
    nothing else of it.
    """

    def __init__(self, lookup: Callable[[str, str], Answer]) -> None:
        self._lookup = lookup
        self._passwords = False

    def find(self, domain: str, username: str) -> Sequence[Account]:
        """Return what the callback knows about these names.

        Raises:
            LocalProtocolError: the callback returned something else than `Answer`.
        """
        answer: object = self._lookup(domain, username)  # what it says it returns is not what it may return
        if isinstance(answer, str) or (isinstance(answer, Secret) and isinstance(answer.reveal(), str)):
            self._passwords = True
        elif self._passwords:
            # A callback that answers with passwords costs one MD4 for a user who exists; have one for the others too.
            nt_hash(username[:16])
        if answer is None:
            return ()
        if isinstance(answer, str | bytes | Secret):
            return (Account(domain, username, hash_of(answer)),)
        if isinstance(answer, Account):
            return (answer,)
        if inspect.iscoroutine(answer):
            answer.close()
            raise LocalProtocolError("the account callback is a coroutine function; it must be a plain one")
        if isinstance(answer, Sequence) and all(isinstance(account, Account) for account in answer):
            return tuple(answer)
        raise LocalProtocolError(f"the account callback returned a {type(answer).__name__}")

    def __repr__(self) -> str:
        return "CallbackAccounts()"
