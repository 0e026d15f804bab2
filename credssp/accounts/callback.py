"""Accounts that the application looks up itself."""

from __future__ import annotations

import inspect
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, NoReturn, TypeAlias

from credssp.account import Account
from credssp.accounts.memory import PasswordOrHash, hash_of
from credssp.errors import LocalProtocolError
from credssp.nt_hash import md4
from credssp.secret import Secret, private_methods

__all__ = ["Answer", "CallbackAccounts"]

Answer: TypeAlias = PasswordOrHash | Account | Sequence[Account] | None
"""What a callback may return: a password, an NT hash, one account or several, or None for an unknown user."""

_log = logging.getLogger("credssp.accounts")

_COMPLAINT_PAUSE: Final = 60.0
"""Seconds until the failures of a callback are logged once more. A line for each would also take time, and tell."""

_NO_HASH: Final = Secret(bytes(16))  # goes into an account that is thrown away
_LONGEST: Final = 256
"""Characters of a password on Windows."""


class _Answered(Exception):
    """The function did not raise."""


def _raise_too() -> NoReturn:
    """Raise as a function that fails does: that takes a microsecond, which would tell failures from answers."""
    raise _Answered


@private_methods("find")
class CallbackAccounts:
    """Asks a function for every login. Threads: any number may look accounts up at once, and so call the function.

    Every answer costs the same: as many blocks of MD4 as the longest password that the function has answered with, and
    the same steps around them, also where it knows no such user, answers with an account, or raises.

    Args:
        lookup: called with the domain and the user name as the client sent them, in its spelling; the function decides
            what they mean (`credssp.accounts` says how the other stores do). It is called before the client has proved
            anything, must not block for long, and should take as long for a user who does not exist as for others.

    What it raises makes the login fail like one of an unknown user; the type of the exception is logged and nothing
    else of it, at most once a minute.
    """

    def __init__(self, lookup: Callable[[str, str], Answer]) -> None:
        self._lookup = lookup
        self._stand_in = ""
        self._failures = 0
        self._complain_at = 0.0
        self._lock = threading.Lock()

    def find(self, domain: str, username: str) -> Sequence[Account]:
        """Return what the callback knows about these names.

        Raises:
            LocalProtocolError: the callback returned something else than `Answer`.
        """
        answer: object = None  # what it says it returns is not what it may return
        try:
            answer = self._lookup(domain, username)
            _raise_too()
        except Exception as error:  # noqa: BLE001  # the application's code may raise anything
            self._note(error)
        plain: object = answer.reveal() if isinstance(answer, Secret) else answer
        hashed = self._hash(plain if isinstance(plain, str) else None)
        given = hash_of(plain if isinstance(plain, bytes) else _NO_HASH)
        made = Account(domain, username, given if isinstance(plain, bytes) else hashed)
        if isinstance(plain, str | bytes):
            return (made,)
        if answer is None:
            return ()
        if isinstance(answer, Account):
            return (answer,)
        if inspect.iscoroutine(answer):
            answer.close()
            raise LocalProtocolError("the account callback is a coroutine function; it must be a plain one")
        if isinstance(answer, Sequence) and all(isinstance(account, Account) for account in answer):
            return tuple(answer)
        raise LocalProtocolError(f"the account callback returned a {type(answer).__name__}")

    def _hash(self, password: str | None) -> Secret[bytes]:
        """Return the hash of a password, or of its stand-in, at the cost of the longest one seen."""
        if password is None:
            if not self._stand_in:  # this function answers with hashes or accounts, which cost nothing
                return _NO_HASH
            password = self._stand_in
        length, longest = len(password), len(self._stand_in)
        if length > longest:
            self._stand_in = "x" * min(length, _LONGEST)
        elif missing := (longest * 2 + 72 >> 6) - (length * 2 + 72 >> 6):
            md4(bytes(missing * 64 - 9))
        return hash_of(password)

    def _note(self, error: Exception) -> None:
        now = time.monotonic()
        failed = not isinstance(error, _Answered)
        self._failures += failed
        if now < self._complain_at or not failed:
            return
        with self._lock:
            count, self._failures = self._failures, 0
            self._complain_at = now + _COMPLAINT_PAUSE
        times = "" if count == 1 else f" ({count} times)"
        _log.error("the account callback raised %s%s; the login is refused", type(error).__name__, times)

    def __repr__(self) -> str:
        return "CallbackAccounts()"
