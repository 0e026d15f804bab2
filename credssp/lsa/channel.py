"""A program's connection to the agent: one message out, one message back."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import Final

from credssp.errors import CredSSPError, DecodeError, LimitExceededError
from credssp.lsa.framing import HEADER, frame, size_of
from credssp.lsa.messages import VERSION, AgentMessage, Hello, Welcome, decode
from credssp.lsa.peer import caller_of
from credssp.next_step import NextStep
from credssp.status import SecurityStatus

__all__ = ["AgentChannel", "AgentError"]

_READ_SIZE: Final = 65536
_QUEUE: Final = 0.005
"""Seconds between two attempts to get into the queue of a busy agent."""


class AgentError(CredSSPError):
    """There is no agent, it went away in the middle of a login, or it does not answer."""

    default_status = SecurityStatus.SEC_E_INTERNAL_ERROR
    default_advice = NextStep.AGENT


class AgentChannel:
    """A connection to the agent.

    Threads: one at a time.

    Attributes:
        path: path of the agent's socket.
    """

    def __init__(self, path: str, *, timeout: float) -> None:
        """Connect.

        Args:
            path: path of the agent's socket; empty where none is known.
            timeout: seconds for each answer. The agent may have to ask a KDC, or a person.

        Raises:
            AgentError: no agent listens there.
        """
        self.path = path
        self._timeout = timeout
        self._greeted = False
        self._buffer = bytearray()
        if not path:
            raise AgentError("no agent is known: CREDSSP_AGENT_SOCK is not set, and there is no XDG_RUNTIME_DIR")
        if not hasattr(socket, "AF_UNIX"):
            raise AgentError("this system has no Unix-domain sockets, over which the agent is reached")
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._connect(time.monotonic() + timeout)
        except (OSError, ValueError) as error:
            self._socket.close()
            why = getattr(error, "strerror", None) or type(error).__name__
            raise AgentError(f"no agent answers at {path}: {why}") from None

    def _connect(self, end: float) -> None:
        self._socket.setblocking(False)  # as socket has it
        while True:
            try:
                self._socket.connect(self.path)
                return
            except BlockingIOError:  # the queue of a listening Unix-domain socket is full; no event tells of its end
                if time.monotonic() >= end:
                    raise
                time.sleep(_QUEUE)

    def check_owner(self) -> None:
        """Make sure that the agent is one of this user's, before it is sent a secret.

        Where systemd listens for it, the agent appears as root's.

        Raises:
            AgentError: it is another user's, who set up a socket in place of the agent's.
            LocalProtocolError: the system does not tell whose it is.
        """
        uid = caller_of(self._socket).uid
        if uid not in (os.geteuid(), 0):
            self.close()
            raise AgentError(f"the agent at {self.path} is one of user {uid}, not of yours: it was sent nothing")

    def call(self, message: AgentMessage) -> AgentMessage:
        """Send a message and return the answer; the first brings the greeting along.

        Raises:
            AgentError: the agent went away, is too slow, or says what cannot be understood. The connection is closed.
            LocalProtocolError: a value is too long for a message.
        """
        data = frame(message.encode())
        end = time.monotonic() + self._timeout
        try:
            if not self._greeted:
                data = frame(Hello().encode()) + data
            self._socket.settimeout(self._timeout)
            self._socket.sendall(data)
            if not self._greeted:
                self._welcome(self._read(end))
            return self._read(end)
        except TimeoutError:
            error = AgentError(f"the agent at {self.path} did not answer within {self._timeout:g} s")
        except OSError:
            error = self._gone()
        except (DecodeError, LimitExceededError) as unreadable:
            error = AgentError(f"the agent at {self.path} sent what cannot be read: {unreadable.message}")
        except AgentError as gone:
            error = gone
        self.close()
        raise error.with_traceback(None) from None

    def _gone(self) -> AgentError:
        return AgentError(f"the agent at {self.path} ended the connection in the middle of a login")

    def _welcome(self, answer: AgentMessage) -> None:
        if not isinstance(answer, Welcome):
            raise DecodeError("an answer to Hello that is not Welcome", field="AgentMessage")
        if not 1 <= answer.version <= VERSION:
            raise DecodeError(f"version {answer.version} of the messages, which was not offered", field="Welcome")
        self._greeted = True

    def _read(self, end: float) -> AgentMessage:
        header = self._take(HEADER, end)
        return decode(self._take(size_of(header), end))

    def _take(self, size: int, end: float) -> bytes:
        while len(self._buffer) < size:
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            data = self._socket.recv(_READ_SIZE)
            if not data:
                raise self._gone()
            self._buffer += data
        found = bytes(self._buffer[:size])
        del self._buffer[:size]
        return found

    def close(self) -> None:
        """Close the connection; the agent ends what is open on it."""
        self._socket.close()

    def __del__(self) -> None:
        # A context that was given up lets go of it, too: the agent waits for its deadline otherwise.
        with contextlib.suppress(AttributeError):  # it never connected
            self._socket.close()
