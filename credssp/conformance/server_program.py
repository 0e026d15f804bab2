"""Servers that are programs: started by the suite, and started again when they end (``--server-exec``)."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Final

from credssp.conformance.program import Program, command_words
from credssp.errors import LocalProtocolError

__all__ = ["ServerProgram"]

_TICK: Final = 0.05
_DYING: Final = 0.15
"""Seconds that a program whose connection has ended gets to end as well: writing a core file takes time."""


class ServerProgram:
    """A server that the suite owns.

    Args:
        command: its command line; ``{host}`` and ``{port}`` are replaced. May hold a password, so it is in no repr.
        host: where it listens.
        port: its TCP port.
        environment: its environment; None for ours.
        start_timeout: seconds in which it is to listen.
        hidden: what is not to be shown, such as a password.
    """

    def __init__(
        self,
        command: str,
        host: str,
        port: int,
        *,
        environment: Mapping[str, str] | None = None,
        start_timeout: float = 20.0,
        hidden: str = "",
    ) -> None:
        words = command_words(command, "the server's command line")
        self._words = [word.replace("{host}", host).replace("{port}", str(port)) for word in words]
        self._address = host, port
        self._environment = environment
        self._start_timeout = start_timeout
        self._hidden = hidden
        self._program: Program | None = None

    def __enter__(self) -> ServerProgram:
        """Start it. Raises LocalProtocolError where that does not work."""
        problem = self.start()
        if problem:
            self.stop()
            raise LocalProtocolError(problem)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()

    def start(self) -> str:
        """Start it and wait until it listens; returns why that did not work, or an empty string."""
        self.stop()
        if self._listens():
            return f"something listens on {self._address[0]}:{self._address[1]} already"
        try:
            environment = dict(os.environ) if self._environment is None else self._environment
            self._program = Program(self._words, environment=environment, hidden=(self._hidden,))
        except OSError as error:
            return f"{self._words[0]} cannot be started: {error.strerror}"
        end = time.monotonic() + self._start_timeout
        while not self._listens():
            if self._program.status is not None:
                said = self._program.last_line()
                return f"the server {_ending(self._program.status)} before it listened{f': {said}' if said else ''}"
            if time.monotonic() > end:
                return f"the server did not listen within {self._start_timeout:g} s"
            time.sleep(_TICK)
        return ""

    def _listens(self) -> bool:
        try:
            socket.create_connection(self._address, timeout=1).close()
        except OSError:
            return False
        return True

    def died(self) -> str:
        """Return how it ended, or an empty string while it runs."""
        if self._program is None:
            return "the server was not started"
        self._program.wait(_DYING)
        status = self._program.status
        return "" if status is None else f"the server {_ending(status)}"

    def stop(self) -> None:
        """Stop it and its children."""
        if self._program is not None:
            self._program.stop()
            self._program = None


def _ending(status: int) -> str:
    from signal import Signals

    if status >= 0:
        return f"ended with exit code {status}"
    try:
        return f"ended by {Signals(-status).name}"
    except ValueError:
        return f"ended by signal {-status}"
