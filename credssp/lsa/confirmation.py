"""Asks a person about a login, through the program that OpenSSH asks with.

The program is named by CREDSSP_ASKPASS or SSH_ASKPASS. It gets the question as its argument, and SSH_ASKPASS_PROMPT is
``confirm`` (ssh(1)), so that it shows two buttons and no field. It says yes by exit code 0 with an empty answer or
``yes``; everything else is a no: another answer, another exit code, no answer in time, a program that cannot be run.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from credssp.errors import LocalProtocolError
from credssp.lsa.caller import Caller

__all__ = ["DEADLINE", "Askpass", "Confirm", "Question"]

ASKPASS: Final = ("CREDSSP_ASKPASS", "SSH_ASKPASS")
"""Variables that name the program; the first that is set counts."""

DEADLINE: Final = 60.0
"""Seconds that a person has, and so a program that waits for a login; no longer than servers keep connections open."""

_MAX_ANSWER: Final = 16

_WAITING: Final = 8
"""Questions at one time: each holds one of the agent's threads, which the logins of other programs need."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a person is asked.

    Attributes:
        credential: name of the credential.
        user: who would log on.
        target: SPN of the server.
        caller: the program that asks for it.
    """

    credential: str
    user: str
    target: str
    caller: Caller

    def __str__(self) -> str:
        """The question in words. What programs chose is quoted, with nothing invisible in it."""
        program = _visible(self.caller.executable) or "a program"
        return (
            f"Allow {program} (process {self.caller.pid}, user {_user_name(self.caller.uid)}) to log on to "
            f'"{_visible(self.target)}" as "{_visible(self.user)}" (credential {_visible(self.credential)})?'
        )


Confirm: TypeAlias = Callable[[Question], bool]
"""Returns whether a person said yes; blocks until then."""


def _visible(text: str) -> str:
    """Return the text with everything that is invisible as a backslash escape, and without the quotes around it."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape", "surrogatepass").decode()
        for each in text.replace('"', "'")
    )


def _user_name(uid: int) -> str:
    try:
        import pwd

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return str(uid)


@dataclass(frozen=True, slots=True)
class Askpass:
    """Asks by a program, one question at a time; a few may wait, and more are answered with no. Threads: may be shared.

    Attributes:
        program: the program.
        environ: its environment.
        deadline: seconds for one question, the wait for earlier ones included.
    """

    program: str
    environ: Mapping[str, str] = field(repr=False)
    deadline: float = DEADLINE
    _places: threading.BoundedSemaphore = field(
        default_factory=lambda: threading.BoundedSemaphore(_WAITING), init=False, repr=False, compare=False
    )
    _turn: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list, init=False, repr=False, compare=False)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None, *, deadline: float = DEADLINE) -> Askpass:
        """Return one for the program that the environment names.

        Raises:
            LocalProtocolError: it names none.
        """
        variables = dict(os.environ if environ is None else environ)
        program = next((variables[name] for name in ASKPASS if variables.get(name)), None)
        if program is None:
            raise LocalProtocolError(f"no program asks for confirmation: set {' or '.join(ASKPASS)}")
        return cls(program, variables, deadline)

    def __call__(self, question: Question) -> bool:
        """Ask. Returns False for every answer but a yes, and for none."""
        ends = time.monotonic() + self.deadline
        if not self._places.acquire(blocking=False):
            return False
        try:
            if not self._turn.acquire(timeout=self.deadline):
                return False
            try:
                return self._ask(str(question), ends)
            finally:
                self._turn.release()
        finally:
            self._places.release()

    def close(self) -> None:
        """End the question that is being asked: the agent ends, and its answer would be of no use."""
        for process in list(self._running):
            _kill(process)

    def _ask(self, text: str, ends: float) -> bool:
        try:
            process = subprocess.Popen(  # noqa: S603  # the program of the agent's owner
                [self.program, text],
                env={**self.environ, "SSH_ASKPASS_PROMPT": "confirm"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # so that what it has started ends with it
            )
        except (OSError, ValueError):
            return False
        self._running.append(process)
        try:
            with process:
                try:
                    answer, _ = process.communicate(timeout=max(0.0, ends - time.monotonic()))
                except subprocess.TimeoutExpired:
                    _kill(process)
                    return False
        finally:
            self._running.remove(process)
        said = answer[:_MAX_ANSWER].strip().lower()
        return process.returncode == 0 and said in (b"", b"yes")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a program and what it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
