"""The agent as a process: it accepts programs, ends lifetimes, and reads its configuration again.

What a program asks for is done in `credssp.lsa.service`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Final

from credssp.errors import CredSSPError
from credssp.lsa.audit import Sink, change_event, event_of
from credssp.lsa.caller import Caller
from credssp.lsa.management import manage
from credssp.lsa.messages import AgentMessage
from credssp.lsa.peer import caller_of
from credssp.lsa.record import LoginRecord
from credssp.lsa.service import AgentLimits, AgentService
from credssp.lsa.store import CredentialStore

__all__ = ["AgentProcess"]

logger = logging.getLogger("credssp.agent")

_PAUSE: Final = 0.5
"""Seconds without accepting, when the process has no descriptors left."""

_LONGEST: Final = 3600.0
"""Seconds that a lifetime is waited for at once: the clock of the loop may not count time asleep."""


class AgentProcess:
    """An agent on one listening socket. Threads: that of the event loop only."""

    def __init__(self, store: CredentialStore, *, audit: Sink, limits: AgentLimits | None = None) -> None:
        """Prepare.

        Args:
            store: the credentials.
            audit: is told of every login, and of changes.
            limits: what programs may cost; None for the defaults.
        """
        self._store = store
        self._sink = audit
        self._service = AgentService(store, audit=self._tell, manage=self._manage, limits=limits)
        self._changed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, listener: socket.socket, stop: asyncio.Event) -> None:
        """Serve until `stop` is set; then all connections end, and every secret is let go of.

        Args:
            listener: listens already; it is not closed here.
            stop: says when.
        """
        self._loop = asyncio.get_running_loop()
        listener.setblocking(False)  # as asyncio demands
        helpers = [asyncio.create_task(self._accept(listener)), asyncio.create_task(self._expire())]
        waiting = asyncio.create_task(stop.wait())
        try:
            # A helper ends by a bug only; then the agent ends with its error.
            await asyncio.wait([waiting, *helpers], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (waiting, *helpers):
                task.cancel()
            ended = await asyncio.gather(*helpers, return_exceptions=True)
            await self._service.close()
            self._store.clear()
        for problem in ended:
            if isinstance(problem, Exception):
                raise problem

    def changed(self) -> None:
        """Look at the lifetimes again: credentials were added."""
        self._changed.set()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:  # no descriptors, or the program is gone again
                logger.warning("accept failed: %s", error.strerror)
                await asyncio.sleep(_PAUSE)
                continue
            try:
                caller = caller_of(connection)
            except CredSSPError as error:
                logger.warning("a connection was refused: %s", error.message)
                connection.close()
                continue
            task = asyncio.create_task(self._service.serve(connection, caller))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _expire(self) -> None:
        while True:
            self._changed.clear()
            left = self._store.expire()
            try:
                async with asyncio.timeout(_LONGEST if left is None else min(max(left, 0.01), _LONGEST)):
                    await self._changed.wait()
            except TimeoutError:
                pass

    def _tell(self, record: LoginRecord) -> None:
        self._sink(event_of(record, user=self._store.user_of(record.credential)))

    def _manage(self, request: AgentMessage, caller: Caller) -> AgentMessage:
        """Do what the owner asks; called in a thread."""
        try:
            answer = manage(self._store, request, caller)
        except CredSSPError as error:
            self._tell_change(request, caller, error)
            raise
        self._tell_change(request, caller, None)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._changed.set)
        return answer

    def _tell_change(self, request: AgentMessage, caller: Caller, error: CredSSPError | None) -> None:
        event = change_event(request, caller, error)
        if event is not None:
            self._sink(event)
