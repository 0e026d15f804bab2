"""The agent's side of the boundary: a task for each connection, and the contexts that are open on it.

Everything is bounded: connections in all and of one user, contexts of one connection, the size of a message, the time
that one may take once it has begun, and the time of a whole login. A connection on which nothing is open may stay as
long as there is room. What may wait (the store, a KDC) runs in threads, so that no program waits for another one's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import secrets
import socket
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias, TypeVar

from credssp.drivers.gate import descriptors
from credssp.errors import CredSSPError, DecodeError, LimitExceededError, LocalProtocolError, PolicyError
from credssp.lsa.caller import Caller
from credssp.lsa.faults import failed
from credssp.lsa.framing import HEADER, frame, size_of
from credssp.lsa.inner_login import INNER_PACKAGES, InnerLogin
from credssp.lsa.login import AgentLogin
from credssp.lsa.messages import (
    MAX_SIZE,
    VERSION,
    AgentMessage,
    Bind,
    Close,
    Done,
    Hello,
    Open,
    Progress,
    Token,
    Welcome,
    decode,
)
from credssp.lsa.opened import AgentRefusedError, OpenedCredential, Reason
from credssp.lsa.record import LoginRecord, Outcome
from credssp.secret import forget_locals
from credssp.status import SecurityStatus

__all__ = ["AgentLimits", "AgentService", "CredentialOpener", "Manager"]

logger = logging.getLogger("credssp.lsa")

T = TypeVar("T")

Manager: TypeAlias = Callable[[AgentMessage, Caller], AgentMessage]
"""Answers a message that is not about a login. Raises CredSSPError."""

_ENDED: Final = 256
"""Numbers of contexts that are over, to tell them from numbers that never were."""

_LOOK: Final = 1.0
"""Seconds between two looks at the times of all connections, at most."""

_RESERVED: Final = 256
"""Descriptors that are not for connections: KDCs, keytabs, caches, and programs that ask; a few for each thread."""

_READ_LIMIT: Final = 16 * 1024
"""Bytes that asyncio reads ahead from one connection: twice this."""


class CredentialOpener(Protocol):
    """What the service needs of a store (`credssp.lsa.store.CredentialStore`)."""

    def open(self, name: str, *, caller: Caller, target: str, mechanism: str) -> OpenedCredential:
        """Open a credential for one login; may wait for a person. Raises AgentRefusedError; called in a thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLimits:
    """What programs may cost the agent. Times are in seconds.

    Attributes:
        connections: in all, or as many as the process may have descriptors for. One more closes one on which nothing is
            open, the longest idle first, of the user who has most: no user can keep others out by connecting often.
        connections_per_uid: of one user; one more closes one of this user.
        contexts: logins under way on one connection.
        message: time for the rest of a message that has begun, and for the program to take an answer.
        greeting: time until the first message.
        login: time of a whole login; one may wait for a person, a KDC and a slow server.
        threads: steps that run at one time; others wait for their turn.

    Raises:
        LocalProtocolError: one of them is not positive.
    """

    connections: int = 4096
    connections_per_uid: int = 2048
    contexts: int = 64
    message: float = 10.0
    greeting: float = 10.0
    login: float = 120.0
    threads: int = 32

    def __post_init__(self) -> None:
        for name in ("connections", "connections_per_uid", "contexts", "message", "greeting", "login", "threads"):
            if not getattr(self, name) > 0:
                raise LocalProtocolError(f"{name} is a positive number")


class AgentService:
    """Serves the connections that a listener hands in.

    Threads: that of the event loop only.

    Attributes:
        limits: what programs may cost.
    """

    def __init__(
        self,
        store: CredentialOpener,
        *,
        audit: Callable[[LoginRecord], None],
        manage: Manager | None = None,
        limits: AgentLimits | None = None,
    ) -> None:
        """Prepare.

        Args:
            store: opens credentials; called in threads, several at a time.
            audit: is told of every login when it is over, and of every one that was refused.
            manage: answers every other message, such as those of `credssp.lsa.management`; called in a thread. None for
                an agent that is not managed.
            limits: None for the defaults.
        """
        self.limits = AgentLimits() if limits is None else limits
        self._store = store
        self._audit = audit
        self._manage = manage
        self._pool = ThreadPoolExecutor(self.limits.threads, thread_name_prefix="credssp-agent")
        self._connections: dict[_Connection, asyncio.Task[None]] = {}
        self._coming: list[_Coming] = []
        self._room = _room(self.limits.connections)
        self._by_uid: Counter[int] = Counter()  # places that are taken, those of connections to come included
        self._watchdog: asyncio.Task[None] | None = None

    @property
    def connections(self) -> int:
        """How many programs are connected."""
        return len(self._connections)

    async def serve(self, sock: socket.socket, caller: Caller) -> None:
        """Serve one program until it goes away; what it has open ends with it.

        Args:
            sock: its connection, accepted; closed at the end.
            caller: who it is, by the kernel.
        """
        coming = self._admit(caller.uid)
        if coming is None:
            logger.warning("a connection of user %d was refused: there are too many", caller.uid)
            sock.close()
            return
        try:
            reader, writer = await asyncio.open_unix_connection(sock=sock, limit=_READ_LIMIT)
        except BaseException as error:
            self._arrived(coming)
            if not coming.dropped:
                self._leave(caller.uid)
            sock.close()
            if isinstance(error, OSError):
                return
            raise
        self._arrived(coming)
        if coming.dropped:
            writer.close()
            return
        connection = _Connection(self, reader, writer, caller)
        task = asyncio.current_task()
        if task is None:  # pragma: no cover  # a coroutine runs in one
            raise LocalProtocolError("serve() runs in a task")
        self._connections[connection] = task
        if self._watchdog is None:
            self._watchdog = asyncio.create_task(self._watch())
        try:
            await connection.run()
        finally:
            del self._connections[connection]
            if not connection.dropped:
                self._leave(caller.uid)
            connection.end()

    async def _watch(self) -> None:
        limits = self.limits
        pause = min(limits.message, limits.greeting, limits.login, 4 * _LOOK) / 4
        while True:
            await asyncio.sleep(pause)
            now = time.monotonic()
            for connection in list(self._connections):
                connection.check(now)

    def _admit(self, uid: int) -> _Coming | None:
        """Take a place for one more of a user, or return None; another connection may lose its own."""
        crowded = None
        if self._by_uid[uid] >= self.limits.connections_per_uid:
            crowded = uid
        elif self._by_uid.total() >= self._room:
            most = max(self._by_uid.values())
            users = [each for each, count in self._by_uid.items() if count == most]
            crowded = uid if uid in users else users[0]
        if crowded is not None and not self._make_room(crowded):
            return None
        coming = _Coming(uid)
        self._coming.append(coming)  # before anything is waited for: many connect at once
        self._by_uid[uid] += 1
        return coming

    def _arrived(self, coming: _Coming) -> None:
        self._coming.remove(coming)

    def _make_room(self, uid: int) -> bool:
        """Close a connection of a user on which nothing is open; returns whether there was one."""
        idle = [each for each in self._connections if each.caller.uid == uid and each.idle and not each.dropped]
        if idle:
            min(idle, key=lambda each: each.since).drop()
        else:
            coming = next((each for each in self._coming if each.uid == uid and not each.dropped), None)
            if coming is None:
                return False
            coming.dropped = True
        self._leave(uid)
        return True

    def _leave(self, uid: int) -> None:
        self._by_uid[uid] -= 1
        if not self._by_uid[uid]:
            del self._by_uid[uid]

    async def close(self) -> None:
        """End all connections."""
        tasks = list(self._connections.values())
        if self._watchdog is not None:
            tasks.append(self._watchdog)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def run_in_thread(self, function: Callable[[], T]) -> T:
        """Run what may wait."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)

    def open(self, request: Open, caller: Caller) -> OpenedCredential:
        """Ask the store."""
        return self._store.open(request.credential, caller=caller, target=request.target, mechanism=request.mechanism)

    def manage(self, request: AgentMessage, caller: Caller) -> AgentMessage:
        """Let somebody else answer. Raises CredSSPError."""
        if self._manage is None:
            raise DecodeError(f"{type(request).__name__} is not for the agent, or not now", field="AgentMessage")
        return self._manage(request, caller)

    def tell(self, record: LoginRecord) -> None:
        """Tell the audit; what fails there ends no login."""
        try:
            self._audit(record)
        except Exception as error:  # noqa: BLE001  # a full disk, say
            logger.error("the audit failed: %s", type(error).__name__)


@dataclass(slots=True, eq=False)
class _Coming:
    """A connection that is being set up.

    Attributes:
        uid: its user.
        dropped: whether it had to make room for another one.
    """

    uid: int
    dropped: bool = False


class _Connection:
    """One program.

    Attributes:
        caller: who it is.
        since: when it said something last.
        dropped: whether it had to make room for another one, and has no place any more.
    """

    def __init__(
        self, service: AgentService, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, caller: Caller
    ) -> None:
        self.caller = caller
        self.since = time.monotonic()
        self.dropped = False
        self._service = service
        self._reader = reader
        self._writer = writer
        self._busy = False
        self._buffer = bytearray()
        self._due = self.since + service.limits.greeting
        self._welcome = b""
        self._logins: dict[int, AgentLogin] = {}
        self._over: deque[int] = deque(maxlen=_ENDED)

    @property
    def idle(self) -> bool:
        """Whether nothing is open on it."""
        return not self._logins and not self._busy

    def drop(self) -> None:
        """Close it to make room; its task sees an end."""
        self.dropped = True
        self._abort()

    def _abort(self) -> None:
        self._writer.transport.abort()

    async def run(self) -> None:
        """Serve until the program goes away."""
        try:
            hello = await self._next()
            if not isinstance(hello, Hello):
                raise DecodeError("the first message is not Hello", field="AgentMessage")
            if not hello.version:
                raise DecodeError("version 0 does not exist", field="Hello.version")
            self._welcome = frame(Welcome(min(hello.version, VERSION), MAX_SIZE).encode())
            while True:
                if self._welcome and self._missing:
                    # Programs send their first request with the greeting: both are answered with one write then.
                    await self._flush(b"")
                message = await self._next()
                self._busy = True
                answer = await self._answer(message)
                self._busy = False
                await self._write(answer)
        except (DecodeError, LimitExceededError) as error:
            with contextlib.suppress(OSError):
                await self._write(failed(error))
        except (OSError, EOFError):
            pass  # it went away, or was dropped

    def check(self, now: float) -> None:
        """Close the connection if its time is over, and end the logins whose time is over.

        One look now and then at all connections costs less than a timer for each message.

        Args:
            now: by `time.monotonic`.
        """
        if now >= self._due:
            self._abort()
            return
        for number, login in list(self._logins.items()):
            if now >= login.started + self._service.limits.login:
                self._finish(number, login, "abandoned", SecurityStatus.SEC_E_CONTEXT_EXPIRED, "deadline")

    @property
    def _missing(self) -> int:
        """Bytes that the next message still lacks. Raises LimitExceededError."""
        held = len(self._buffer)
        if held < HEADER:
            return HEADER - held
        return max(HEADER + size_of(bytes(self._buffer[:HEADER])) - held, 0)

    async def _next(self) -> AgentMessage:
        """Wait for the next message. Raises EOFError where the program goes away."""
        begun = False
        while self._missing:
            if self._buffer and not begun:
                begun = True
                self._due = min(self._due, time.monotonic() + self._service.limits.message)
            data = await self._reader.read(_READ_LIMIT)
            if not data:
                raise EOFError
            self._buffer += data
        self._due = math.inf
        self.since = time.monotonic()
        end = HEADER + size_of(bytes(self._buffer[:HEADER]))
        message = bytes(self._buffer[HEADER:end])
        del self._buffer[:end]
        return decode(message)

    async def _write(self, message: AgentMessage) -> None:
        await self._flush(frame(message.encode()))

    async def _flush(self, data: bytes) -> None:
        welcome, self._welcome = self._welcome, b""
        self._writer.write(welcome + data)
        self._due = time.monotonic() + self._service.limits.message
        await self._writer.drain()
        self._due = math.inf

    async def _answer(self, message: AgentMessage) -> AgentMessage:
        if isinstance(message, Open):
            return await self._begin(message)
        if isinstance(message, Token):
            token = message
            return self._step(token.context, lambda login: login.receive(token.context, token.leg, token.data))
        if isinstance(message, Bind):
            chain = message.chain
            return self._step(message.context, lambda login: _bound(login, chain))
        if isinstance(message, Close):
            try:
                login = self._find(message.context)
            except AgentRefusedError as error:
                return self._misused(error)
            self._finish(message.context, login, "abandoned", SecurityStatus.SEC_E_UNFINISHED_CONTEXT_DELETED, "closed")
            return Done()
        try:
            return await self._service.run_in_thread(lambda: self._service.manage(message, self.caller))
        except DecodeError:
            raise
        except Exception as error:  # noqa: BLE001  # as in `_begin`
            return failed(_known(error))

    async def _begin(self, request: Open) -> AgentMessage:
        began = time.monotonic()
        login: AgentLogin | None = None
        try:
            if len(self._logins) >= self._service.limits.contexts:
                raise AgentRefusedError(Reason.LIMIT, "too many logins are under way on one connection")
            number = secrets.randbits(63) + 1

            def start() -> Progress:
                nonlocal login
                opened = self._service.open(request, self.caller)
                login = (InnerLogin if request.package in INNER_PACKAGES else AgentLogin)(request, opened)
                return login.begin(number)

            step = await self._service.run_in_thread(start)
        except Exception as error:  # noqa: BLE001  # a bug, or a library's: it ends this login, and no other
            known = _known(error)
            self._record(request.credential, request.target, request.package, login, began, *_outcome(known))
            return failed(known)
        except BaseException:
            self._record(request.credential, request.target, request.package, login, began, *_GONE)
            raise
        if login is not None:
            self._logins[number] = login
        return step

    def _step(self, number: int, work: Callable[[AgentLogin], AgentMessage]) -> AgentMessage:
        """Let a login that has begun go on; an error ends it.

        Not in a thread: tickets are there since the first message, and nothing else is waited for.
        """
        try:
            login = self._find(number)
        except AgentRefusedError as error:
            return self._misused(error)
        try:
            answer = work(login)
        except Exception as error:  # noqa: BLE001  # as in `_begin`
            known = _known(error)
            self._finish(number, login, *_outcome(known))
            return failed(known, context=number)
        if login.complete:
            self._finish(number, login, "success", SecurityStatus.SEC_E_OK, "")
        return answer

    def _find(self, number: int) -> AgentLogin:
        login = self._logins.get(number)
        if login is not None:
            return login
        if number in self._over:
            raise AgentRefusedError(Reason.REPLAY, "this context is over")
        raise AgentRefusedError(Reason.HANDLE, "no context of this connection has this number")

    def _misused(self, error: AgentRefusedError) -> AgentMessage:
        """Refuse a number that no context has, or has any more; no honest program sends one, so the audit is told."""
        self._record("", "", "", None, time.monotonic(), *_outcome(error))
        return failed(error)

    def _finish(self, number: int, login: AgentLogin, outcome: Outcome, status: int, reason: str) -> None:
        if self._logins.pop(number, None) is not None:
            self._over.append(number)
            self._record(login.credential, login.target, login.package, login, login.started, outcome, status, reason)

    def _record(
        self,
        credential: str,
        target: str,
        package: str,
        login: AgentLogin | None,
        began: float,
        outcome: Outcome,
        status: int,
        reason: str,
    ) -> None:
        self._service.tell(
            LoginRecord(
                caller=self.caller,
                credential=credential,
                target=target,
                package=package,
                mechanism="" if login is None else login.mechanism,
                outcome=outcome,
                status=status,
                reason=reason,
                delegated=login is not None and login.delegated,
                proof_sent=login is not None and login.proof_sent,
                seconds=time.monotonic() - began,
            )
        )

    def end(self) -> None:
        """End what is open, and the connection."""
        for number, login in list(self._logins.items()):
            self._finish(number, login, *_GONE)
        self._writer.close()


_GONE: Final[tuple[Outcome, int, str]] = ("abandoned", SecurityStatus.SEC_E_UNFINISHED_CONTEXT_DELETED, "disconnected")


def _room(connections: int) -> int:
    """Return how many connections there is room for: without descriptors no other program could connect."""
    held = descriptors()
    return connections if held is None else min(connections, max(held - _RESERVED, held // 2, 1))


def _bound(login: AgentLogin, chain: tuple[bytes, ...]) -> AgentMessage:
    login.bind(chain)
    return Done()


def _known(error: Exception) -> CredSSPError:
    """Return an error that may cross: another library's may hold what it was given."""
    forget_locals(error)
    if isinstance(error, CredSSPError):
        return error
    logger.error("a login failed within the agent: %s", type(error).__name__)
    return CredSSPError(f"the login failed within the agent: {type(error).__name__}")


def _outcome(error: CredSSPError) -> tuple[Outcome, int, str]:
    if isinstance(error, AgentRefusedError):
        return "refused", error.status, error.reason.value
    return ("refused" if isinstance(error, PolicyError) else "failed"), error.status, type(error).__name__
