"""Asks a logon authority in threads of its own, for a while and no longer.

A domain controller that does not answer keeps the thread that asks it for longer than any client waits, and so does a
frozen winbindd. Those threads are few, and no login but those of that domain needs them: a question that finds all of
them at work waits in a line, and a line that is full, or an answer that does not come in time, is
STATUS_NO_LOGON_SERVERS (`credssp.authority.NO_LOGON_SERVERS`).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, Final

from credssp.authority import NO_LOGON_SERVERS, LogonAnswer, LogonAuthority, LogonQuestion, ask
from credssp.config import Limits

if TYPE_CHECKING:
    from credssp.ntlm.challenge import NTLMTarget

__all__ = ["BoundedAuthority"]

_IDLE: Final = 30.0
"""Seconds after which a thread without work ends; the next one is started in 0.1 ms."""


class BoundedAuthority:
    """An authority whose `verify` returns in time; a `credssp.authority.LogonAuthority` itself.

    The RDP and WinRM servers make one of the authority that they are given. Programs that use contexts or
    `credssp.sspi` can do the same. Threads: any number may ask.

    Args:
        authority: who is asked.
        limits: `answers`, `waiting_answers` and `answer_deadline` count here.
    """

    def __init__(self, authority: LogonAuthority, limits: Limits | None = None) -> None:
        self._authority = authority
        self._limits = limits or Limits()
        self._changed = threading.Condition()
        self._line: deque[tuple[LogonQuestion, Future[LogonAnswer]]] = deque()
        self._threads = 0
        self._running = 0

    @property
    def target(self) -> NTLMTarget:
        """The names of the authority."""
        return self._authority.target

    def verify(self, question: LogonQuestion) -> LogonAnswer:
        """Ask and wait."""
        future = self._submit(question)
        try:
            return future.result(self._limits.answer_deadline)
        except FutureTimeoutError:
            return self._late(future)

    async def verify_async(self, question: LogonQuestion) -> LogonAnswer:
        """Ask, and let other tasks run meanwhile."""
        future = self._submit(question)
        try:
            async with asyncio.timeout(self._limits.answer_deadline):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            return self._late(future)

    @staticmethod
    def _late(future: Future[LogonAnswer]) -> LogonAnswer:
        future.cancel()  # one that waits in the line is not asked any more
        return NO_LOGON_SERVERS

    def _submit(self, question: LogonQuestion) -> Future[LogonAnswer]:
        future: Future[LogonAnswer] = Future()
        with self._changed:
            if self._threads < min(self._limits.answers, self._asked + 1):
                # Daemons: the interpreter must not wait for a domain controller at its end.
                with contextlib.suppress(RuntimeError):  # no more threads to be had
                    threading.Thread(target=self._run, name="credssp authority", daemon=True).start()
                    self._threads += 1
            room = self._limits.answers + self._limits.waiting_answers
            if self._asked >= room:  # those who waited too long for a thread are gone
                self._line = deque(entry for entry in self._line if not entry[1].cancelled())
            if self._asked < room and self._threads:
                self._line.append((question, future))
                self._changed.notify()
            else:
                future.set_result(NO_LOGON_SERVERS)
        return future

    @property
    def _asked(self) -> int:
        return self._running + len(self._line)

    def _run(self) -> None:
        while True:
            with self._changed:
                end = time.monotonic() + _IDLE
                while not self._line:
                    left = end - time.monotonic()
                    if left <= 0:
                        self._threads -= 1
                        return
                    self._changed.wait(left)
                question, future = self._line.popleft()
                self._running += 1
            if future.set_running_or_notify_cancel():
                future.set_result(ask(self._authority, question))
            del question, future  # the answer has a key in it
            with self._changed:
                self._running -= 1

    def __repr__(self) -> str:
        return f"BoundedAuthority({self._authority!r})"
