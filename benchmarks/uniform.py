"""How far refusals differ in CPU: what a stranger could learn about an account from the time of an answer.

Only judging AUTHENTICATE can differ, so that alone is timed, on the server's side of an NTLM login in one process. The
kinds take turns in an order that changes, and the medians are compared: a mean would be that of the disturbances.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable

from credssp.account import Account
from credssp.accounts import CallbackAccounts, nt_hash
from credssp.accounts.callback import Answer
from credssp.credentials import PasswordCredentials
from credssp.errors import AuthenticationError
from credssp.ntlm.acceptor import NTLMAcceptor
from credssp.ntlm.challenge import NTLMTarget
from credssp.ntlm.initiator import NTLMInitiator
from credssp.status import NTStatus
from credssp.target import Target

__all__ = ["measure", "spread"]

PASSWORD, OTHER = "correct horse", "wrong battery"
_SERVICE = Target.parse("TERMSRV/srv")
_TARGET = NTLMTarget("SRV", "LAB", "srv.lab.test", "lab.test", "lab.test", is_domain=True)


def _raise() -> Answer:
    raise RuntimeError("the database is down")


def _accounts() -> dict[str, tuple[Callable[[], Answer], str]]:
    """By kind: what the callback does, all in constant time, and the password that the client gives."""
    own, empty = nt_hash(PASSWORD), nt_hash("")
    locked = Account("LAB", "alice", own, NTStatus.STATUS_ACCOUNT_LOCKED_OUT)
    disabled = Account("LAB", "alice", own, NTStatus.STATUS_ACCOUNT_DISABLED)
    no_password = Account("LAB", "alice", empty)
    plain = Account("LAB", "alice", own)
    return {
        "unknown user": (lambda: None, OTHER),
        "wrong password": (lambda: PASSWORD, OTHER),
        "wrong password, by hash": (lambda: own, OTHER),
        "wrong password, by account": (lambda: plain, OTHER),
        "locked, right password": (lambda: locked, PASSWORD),
        "locked, wrong password": (lambda: locked, OTHER),
        "disabled, wrong password": (lambda: disabled, OTHER),
        "callback raised": (_raise, OTHER),
        "empty, right password": (lambda: no_password, ""),
        "empty, wrong password": (lambda: no_password, OTHER),
        "unknown user, empty password": (lambda: None, ""),
    }


def measure(logins: int) -> dict[str, float]:
    """Return the median of the server's CPU for each kind of refusal, in microseconds.

    Args:
        logins: of each kind.
    """
    kinds = _accounts()
    answer: list[Callable[[], Answer]] = [lambda: PASSWORD]
    # One store for all kinds, as one service has one.
    store = CallbackAccounts(lambda _domain, _user: answer[0]())
    store.find("LAB", "alice")
    times: dict[str, list[int]] = {kind: [] for kind in kinds}
    order = list(kinds)
    shuffle = random.Random(1).shuffle  # noqa: S311
    gc.disable()
    try:
        for number in range(logins + 20):  # the first ones warm up
            shuffle(order)
            for kind in order:
                answer[0], password = kinds[kind]
                acceptor = NTLMAcceptor(store, target=_TARGET)
                client = NTLMInitiator(PasswordCredentials("alice", password, domain="LAB"), _SERVICE)
                token = client.step(acceptor.step(client.step(None)))
                began = time.thread_time_ns()
                try:
                    acceptor.step(token)
                except AuthenticationError:
                    times[kind].append(time.thread_time_ns() - began)
                else:
                    raise AssertionError(f"{kind}: the login was accepted")
            if number % 50 == 0:
                gc.collect()
    finally:
        gc.enable()
    return {kind: statistics.median(taken[20:]) / 1000 for kind, taken in times.items()}


def spread(medians: dict[str, float]) -> float:
    """Return the largest difference between two kinds."""
    return max(medians.values()) - min(medians.values())
