"""Clients that are programs: started anew for every login, watched, and stopped by their own process id.

A program can say how its login went, as a library says it by exceptions (feature ``report``): exit status 0 after a
good login alone, `EX_SOFTWARE` where it broke down in a way that its author did not intend, any other after a login
that failed, with the reason as the last line on standard error.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import shlex
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from credssp.conformance.http import SocketRequests
from credssp.conformance.links import SocketLink
from credssp.conformance.lookups import name_server_of
from credssp.conformance.rule import Skipped
from credssp.errors import LocalProtocolError
from credssp.memory_file import anonymous_file

__all__ = [
    "EX_SOFTWARE",
    "Program",
    "ProgramError",
    "ProgramLink",
    "ProgramRequests",
    "command_words",
    "stop_programs",
    "without_proxies",
]

EX_SOFTWARE: Final = 70
"""Internal software error, in the numbers of sysexits.h."""

_CRASHES: Final = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL)
_TICK: Final = 0.05
_ERRORS_SIZE: Final = 8192
"""Bytes of standard error that are read, from its end."""
_LINE_SIZE: Final = 300
_HIDDEN: Final = "********"
_LOOKUP: Final = 60.0
"""Seconds that a program may wait for name servers; resolvers give up after 5 s for each of a few."""
_MAX_CONNECTIONS: Final = 16
"""Of one program before its login begins: a port scan and a few probes."""


def command_words(command: str, name: str = "the command line") -> list[str]:
    """Take a command line apart, as a POSIX shell does.

    Args:
        command: the line.
        name: what it is, for the error.

    Raises:
        LocalProtocolError: a quote is open, or there is no word.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise LocalProtocolError(f"{name} cannot be read: {error}") from None
    if not words:
        raise LocalProtocolError(f"{name} is empty")
    return words


_started: set[Program] = set()


def stop_programs() -> None:
    """Stop all that still run: an interrupt may come between the start of a program and the link that owns it."""
    for program in tuple(_started):
        program.stop()


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back until the block is over: Popen forgets the child of a start that is interrupted."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in handlers.items():
        if handler is not None:  # one that Python did not set could not be put back
            signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is not None:
                signal.signal(number, handler)
        for late in came:
            signal.raise_signal(late)


class ProgramError(Exception):
    """What a program says went wrong: the last line of its standard error, or its exit status."""


class Program:
    """A program that was started for one login."""

    def __init__(
        self,
        words: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        reports: bool = False,
        hidden: Sequence[str] = (),
    ) -> None:
        """Start it.

        Args:
            words: its command line.
            environment: its environment; None for ours.
            reports: whether its exit status and standard error say how the login went.
            hidden: what differs from run to run or is not to be shown, such as a port and a password.

        Raises:
            OSError: it cannot be started.
        """
        self._hidden = hidden
        self._reports = reports
        self._stopped = False
        # Open as long as the program lives, and no pipe: nobody reads it before the end.
        self._errors = anonymous_file()
        try:
            with _undisturbed():
                self._process = subprocess.Popen(  # noqa: S603  # the user's own command line
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=self._errors,
                    env=dict(environment) if environment is not None else None,
                    start_new_session=True,
                )
                _started.add(self)
        except OSError:
            self._errors.close()
            raise

    @property
    def status(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs, and where it ended because it was stopped."""
        code = self._process.poll()
        return None if self._stopped else code

    @property
    def crash(self) -> str:
        """How it broke down, or an empty string."""
        code = self.status
        if code is not None and -code in _CRASHES:
            return f"the program ended by {signal.Signals(-code).name}"
        if code == EX_SOFTWARE and self._reports:
            return self.last_line() or f"the program ended with {EX_SOFTWARE}"
        return ""

    @property
    def report(self) -> ProgramError | None:
        """The error that it told, or None; it must be a program that does."""
        code = self.status
        if not code or not self._reports:
            return None
        return ProgramError(self.last_line() or f"exit status {code}")

    @property
    def name_server(self) -> str:
        """The name server that it waits for, or an empty string."""
        return "" if self._stopped else name_server_of(self._process.pid)

    @property
    def succeeded(self) -> bool:
        """Whether it has ended and told that the login went well; it must be a program that tells."""
        return self._reports and self.status == 0

    def wait(self, patience: float) -> None:
        """Wait for its end."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)

    def stop(self) -> None:
        """Stop it and its children, which are in its session, be it still there or not."""
        for number, patience in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 5.0)):
            self._stopped = self._stopped or self._process.poll() is None
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)
            self.wait(patience)
            if self.gone:
                break
        self._errors.close()
        _started.discard(self)

    @property
    def gone(self) -> bool:
        """Whether it has ended, and its children with it."""
        return self._process.poll() is not None and not self._group_is_left()

    def _group_is_left(self) -> bool:
        try:
            os.killpg(self._process.pid, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def last_line(self) -> str:
        """Return the last thing that it said on standard error, without what is hidden; empty once it was stopped."""
        if self._errors.closed:
            return ""
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - _ERRORS_SIZE))
        lines = self._errors.read().decode("utf-8", "replace").split("\n")
        text = next((line.strip() for line in reversed(lines) if line.strip()), "")
        for value in filter(None, self._hidden):
            text = text.replace(value, _HIDDEN)
        # Python's reprs: the same error must be the same text in every run.
        text = re.sub(r"\bat 0x[0-9a-f]+", f"at {_HIDDEN}", text)
        return "".join(c if c.isprintable() else " " for c in text)[-_LINE_SIZE:]


class ProgramLink:
    """A link to a program.

    A program may knock before it comes in: port scanners do, and some HTTP clients ask without a token on a connection
    of its own. Until the login has begun, a new connection takes the place of the one before.
    """

    def __init__(self, listener: socket.socket, program: Program, *, start: float, patience: float) -> None:
        """Wait for the program's connection.

        Args:
            listener: where it is to connect; closed when its login begins.
            program: the program.
            start: seconds in which it is to connect.
            patience: seconds in which it is to end when its connection has ended.

        Raises:
            Skipped: it does not connect.
        """
        self._listener: socket.socket | None = listener
        self._program = program
        self._patience = patience
        self._count = 1
        self._over = False
        connection = None
        try:
            connection = self._accept(listener, start)
            if connection is None:
                raise Skipped(self._no_connection(start))
        finally:  # an interrupt as well: nothing of ours may stay behind
            if connection is None:
                self.stop_listening()
                program.stop()
        self._link = SocketLink(connection)

    def _no_connection(self, start: float) -> str:
        code, said = self._program.status, self._program.last_line()
        reason = f"the program did not connect within {start:g} s"
        if code is not None:
            reason = f"the program ended with exit code {code} before it connected"
        return f"{reason}: {said}" if said else reason

    @property
    def crash(self) -> str:
        """How the program broke down; gives one whose connection has ended the time to end as well, once."""
        if self._over:
            self._over = False
            self._program.wait(self._patience)
        return self._program.crash

    @property
    def report(self) -> BaseException | None:
        """What the program told; waits for its end."""
        self._program.wait(self._patience)
        return self._program.report

    @property
    def succeeded(self) -> bool:
        """Whether the program told that the login went well; waits for its end."""
        self._program.wait(self._patience)
        return self._program.succeeded

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self._link.send(data)

    def receive(self, timeout: float) -> bytes | None:
        """Return what came. Time in which the program looks up a name does not count.

        Raises:
            Skipped: it does so for too long.
        """
        data = self._link.receive(timeout)
        end = time.monotonic() + _LOOKUP
        while data is None and timeout > 0 and (server := self._program.name_server):
            if time.monotonic() > end:
                raise Skipped(f"the program was looking up a name at {server} for more than {_LOOKUP:g} s")
            data = self._link.receive(_TICK)
            if data is None and not self._program.name_server:
                data = self._link.receive(timeout)
        self._over = self._over or data == b""
        return data

    def settle(self, timeout: float) -> bool:
        """Wait until there is something to receive; returns whether another connection took the place meanwhile."""
        end = time.monotonic() + timeout
        before = self._count
        ended = False
        while self._listener is not None and (left := end - time.monotonic()) > 0:
            connection = self._link.socket
            if not ended and select.select([connection], [], [], 0)[0]:
                if _has_data(connection):
                    break
                ended = True
            waited_for = [self._listener] if ended else [self._listener, connection]
            if self._listener in select.select(waited_for, [], [], min(left, _TICK))[0]:
                self._link.close()
                self._link = SocketLink(self._listener.accept()[0])
                self._count += 1
                ended = False
                if self._count >= _MAX_CONNECTIONS:
                    self.stop_listening()
            elif ended and self._program.status is not None:
                break
        return self._count != before

    def _accept(self, listener: socket.socket, timeout: float) -> socket.socket | None:
        end = time.monotonic() + timeout
        last = end + _LOOKUP
        while (now := time.monotonic()) < min(end, last):
            if select.select([listener], [], [], _TICK)[0]:
                return listener.accept()[0]
            if end - now < 2 * _TICK and self._program.name_server:
                end = now + timeout  # the time of a name server does not count
            # One that ends well may have left children that connect; with nobody left there is nothing to wait for.
            if self._program.status or self._program.gone:
                return None
        return None

    def stop_listening(self) -> None:
        """The login has begun: it belongs to this connection."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def close(self) -> None:
        """Close the connection and stop the program."""
        self.stop_listening()
        self._link.close()
        self._program.stop()


def _has_data(connection: socket.socket) -> bool:
    """Whether bytes wait on a connection that select calls readable, rather than its end."""
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except OSError:
        return False


class ProgramRequests(SocketRequests):
    """Requests of a program."""

    def __init__(self, link: ProgramLink) -> None:
        super().__init__(link)
        self._program_link = link

    def _read(self, timeout: float) -> bytes | None:
        if self._program_link.settle(timeout):
            self._await_request()
        return super()._read(timeout)

    def _begun(self) -> None:
        self._program_link.stop_listening()


def without_proxies(environment: Mapping[str, str] | None) -> dict[str, str]:
    """Return this environment, or ours, without HTTP proxies: the suite's endpoint is on loopback."""
    kept = {
        name: value
        for name, value in (os.environ if environment is None else environment).items()
        if not name.lower().endswith("_proxy")
    }
    return kept | {"NO_PROXY": "*", "no_proxy": "*"}
