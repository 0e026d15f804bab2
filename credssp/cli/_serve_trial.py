"""``credssp serve --exec``: run a client against the endpoint, judge what it delegated, and end with 0 or 1."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from credssp.cli._arguments import seconds

if TYPE_CHECKING:
    import socket

    from credssp.conformance.program import Program

__all__ = ["Trial", "add_arguments", "write_port"]

_SETTLE: Final = 3.0
"""Seconds that an outcome may come later than the end of the client, and the client end later than the outcome."""
_TICK: Final = 0.05
_ANY_STATUS: Final = "any"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    trial = parser.add_argument_group("test one client, then exit with 0 if it did what was expected, or with 1")
    trial.add_argument(
        "--exec", metavar="CMD", help="run this client; {host}, {port} and {url} are filled in, no shell"
    )
    trial.add_argument("--once", action="store_true", help="end after the first login or refusal of a client")
    trial.add_argument("--expect-user", metavar="DOMAIN\\NAME", help="the user whose credentials have to be delegated")
    trial.add_argument(
        "--expect-refused",
        metavar="STATUS",
        help="that the login is refused: an NTSTATUS by number or name, or any for whatever is not a login",
    )
    trial.add_argument("--expect-exit", type=int, metavar="N", help="the exit code of the client of --exec")
    trial.add_argument(
        "--patience", type=seconds, default=60.0, metavar="S", help="how long all that may take (default: 60)"
    )
    trial.add_argument("--port-file", metavar="F", help="write the port to this file once the endpoint listens")


@dataclass(slots=True)
class Trial:
    """What is expected of a client, and what it did.

    Attributes:
        words: the command line of the client; empty if it is started elsewhere.
        user: the domain and the name that are to be delegated, or None.
        status: the NTSTATUS of the refusal, 0 for any, or None where a login is expected.
        exit_code: that of the client, or None.
        patience: seconds for all of it.
        outcomes: the events ``delegated`` and ``refused`` so far.
    """

    words: tuple[str, ...]
    user: tuple[str, str] | None
    status: int | None
    exit_code: int | None
    patience: float
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    _closed: set[str] = field(default_factory=set)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _ended: int | None = None
    _said: str = ""
    _over: bool = False
    _interrupted: bool = False
    _thread: threading.Thread | None = None

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Trial | None:
        """Return it, or None where the endpoint serves until it is stopped. Raises LocalProtocolError."""
        from credssp.errors import LocalProtocolError

        wanted = (arguments.expect_user, arguments.expect_refused, arguments.expect_exit)
        if arguments.exec is None and not arguments.once:
            if any(each is not None for each in wanted):
                raise LocalProtocolError("--expect-user, --expect-refused and --expect-exit need --exec or --once")
            return None
        if arguments.expect_user is not None and arguments.expect_refused is not None:
            raise LocalProtocolError("--expect-user and --expect-refused exclude each other")
        if arguments.expect_exit is not None and arguments.exec is None:
            raise LocalProtocolError("--expect-exit needs --exec")
        if getattr(arguments, "workers", 1) > 1 or arguments.uid is not None:
            raise LocalProtocolError("--exec and --once do not go with --workers and --uid")
        words = () if arguments.exec is None else _words(arguments.exec)
        user = None if arguments.expect_user is None else _user(arguments.expect_user)
        status = _status(arguments.expect_refused)
        return cls(words, user, status, arguments.expect_exit, arguments.patience)

    def note(self, event: str, facts: dict[str, Any]) -> None:
        """Take notice of an event of the endpoint."""
        if event in {"delegated", "refused"}:
            with self._changed:
                self.outcomes.append({**facts, "event": event})
                self._changed.notify_all()
        elif event == "closed":
            with self._changed:
                self._closed.add(facts.get("id", ""))
                self._changed.notify_all()

    def begin(self, listener: socket.socket, scheme: str, path: str, stop: Callable[[], object]) -> None:
        """Run the client in a thread, and stop the endpoint when it is over.

        Args:
            listener: where the endpoint listens.
            scheme: of the URL, such as ``rdp``.
            path: of the URL.
            stop: stops the endpoint; called in another thread.
        """
        from credssp.drivers.listening import bound_to

        host, port = bound_to(listener)
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # where it can be reached
        shown = f"[{host}]" if ":" in host else host
        places = {"{host}": host, "{port}": str(port), "{url}": f"{scheme}://{shown}:{port}{path}"}
        self._thread = threading.Thread(target=self._conduct, args=(places, stop), name="credssp trial", daemon=True)
        self._thread.start()

    def _conduct(self, places: dict[str, str], stop: Callable[[], object]) -> None:
        program = None
        end = time.monotonic() + self.patience
        try:
            if self.words:
                program = self._start(places)
            if program is not None or not self.words:
                self._wait(program, end)
        finally:
            if program is not None:
                # A session goes on after the login, and the exit code is wanted.
                left = _SETTLE if self.exit_code is None else max(_SETTLE, end - time.monotonic())
                self._wait_for_end(program, time.monotonic() + left)
                self._ended, self._said = program.status, program.last_line()
                program.stop()
            self._over = True
            stop()

    def _start(self, places: dict[str, str]) -> Program | None:
        from credssp.conformance.program import Program

        words = list(self.words)
        for place, value in places.items():
            words = [word.replace(place, value) for word in words]
        try:
            return Program(words)
        except OSError as error:
            self._said = f"{words[0]} cannot be started: {error.strerror}"
            return None

    def _wait_for_end(self, program: Program, end: float) -> None:
        with self._changed:
            while not self._interrupted and program.status is None and (left := end - time.monotonic()) > 0:
                self._changed.wait(min(left, _TICK))

    def _wait(self, program: Program | None, end: float) -> None:
        with self._changed:
            while not self._interrupted and (left := end - time.monotonic()) > 0:
                if program is None and self.outcomes:
                    # Its last request may still be under way.
                    self._changed.wait_for(lambda: self.outcomes[0].get("id") in self._closed, min(left, _SETTLE))
                    return
                # A client whose exit code counts has work to do after its login.
                if self.exit_code is None and self._decided():
                    return
                if program is not None and program.status is not None:
                    self._changed.wait_for(lambda: self.outcomes, _SETTLE)
                    return
                self._changed.wait(min(left, _TICK))

    def _decided(self) -> bool:
        """Whether what is expected has happened."""
        wanted = "delegated" if self.status is None else "refused"
        return any(each["event"] == wanted and not self._wrong(each) for each in self.outcomes)

    def _wrong(self, outcome: dict[str, Any]) -> str:
        """Say what is wrong about an outcome; empty for nothing."""
        if outcome["event"] == "refused":
            if self.status is None:
                return f"expected a login, and {_refusal(outcome)}"
            if self.status and self.status not in (_number(outcome["ntstatus"]), outcome["status"]["code"]):
                from credssp.status import describe

                return f"expected {describe(self.status).name}, and {_refusal(outcome)}"
            return ""
        if self.status is not None:
            return f"expected a refusal, and {_who(outcome)} logged on"
        if self.user is not None and not self._is_user(outcome["delegated"]):
            return f"expected {_join(*self.user)}, and {_delegated(outcome)}"
        return ""

    def _is_user(self, delegated: dict[str, Any]) -> bool:
        assert self.user is not None  # noqa: S101  # for type checkers
        domain, name = self.user
        same = delegated["user"].casefold() == name.casefold()
        return same and (not domain or delegated["domain"].casefold() == domain.casefold())

    def verdict(self) -> tuple[bool, str]:
        """Return whether the client passed, and one sentence about it."""
        if self._thread is not None:
            # Where the endpoint was stopped from outside, by SIGTERM or Ctrl-C, the client still runs.
            with self._changed:
                self._interrupted = not self._over
                self._changed.notify_all()
            self._thread.join(4 * _SETTLE)
        right = [each for each in self.outcomes if not self._wrong(each)]
        wrong = [each for each in self.outcomes if self._wrong(each)]
        # A client that was refused may try again; one that logged on although it was to be refused has done so.
        failed = [each for each in wrong if each["event"] == "delegated"] if right else wrong
        if failed:
            return False, self._wrong(failed[-1]) + (f"; {self._ending()}" if self.words else "")
        if not right:
            return False, self._nothing()
        if self.exit_code is not None and self._ended != self.exit_code:
            return False, f"expected exit code {self.exit_code}, and {self._ending()}"
        said = _refusal(right[-1]) if self.status is not None else _delegated(right[-1])
        return True, f"{said}, and {self._ending()}" if self.words else said

    def _nothing(self) -> str:
        when = "before the endpoint was stopped" if self._interrupted else f"within {self.patience:g} s"
        if not self.words:
            return f"no client logged on {when}"
        if self._ended is not None:
            return f"no client logged on: {self._ending()}"
        if "cannot be started" in self._said:
            return self._said
        return f"no client logged on {when}, and {self._ending()}"

    def _ending(self) -> str:
        words = "the client was stopped" if self._ended is None else f"the client ended with exit code {self._ended}"
        return f"{words}: {self._said}" if self._said else words

    def report(self) -> int:
        """Print the sentence to standard error, and return the exit code of the endpoint."""
        passed, text = self.verdict()
        print(f"credssp serve: {'passed' if passed else 'FAILED'}: {text}", file=sys.stderr)
        return 0 if passed else 1


def write_port(path: str | None, *listeners: socket.socket) -> None:
    """Write the port of listeners to a file that is there whole or not at all.

    Raises:
        LocalProtocolError: it cannot be written; the listeners are closed.
    """
    from pathlib import Path

    from credssp.drivers.listening import bound_to
    from credssp.errors import LocalProtocolError

    if path is None:
        return
    file = Path(path)
    part = file.with_name(f"{file.name}.part")
    try:
        part.write_text(f"{bound_to(listeners[0])[1]}\n")
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        for listener in listeners:
            listener.close()
        raise LocalProtocolError(f"--port-file {path}: it cannot be written: {error.strerror}") from None


def _words(command: str) -> tuple[str, ...]:
    import shlex

    from credssp.errors import LocalProtocolError

    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise LocalProtocolError(f"--exec: {command!r} cannot be split into words: {error}") from None
    if not words:
        raise LocalProtocolError("--exec: the command is empty")
    return words


def _user(text: str) -> tuple[str, str]:
    from credssp.errors import LocalProtocolError

    domain, _, name = text.rpartition("\\")
    if not name:  # such as that of a variable which is not set
        raise LocalProtocolError(f"--expect-user {text!r}: a name is missing; write DOMAIN\\NAME or NAME")
    return domain, name


def _status(text: str | None) -> int | None:
    from credssp.errors import LocalProtocolError
    from credssp.status import lookup

    if text is None:
        return None
    if text.lower() == _ANY_STATUS:
        return 0
    found = lookup(text)
    if found is None:
        raise LocalProtocolError(f"--expect-refused {text}: there is no such status; write its name, number or any")
    return found.code


def _number(text: str | None) -> int | None:
    return None if text is None else int(text, 16)


def _join(domain: str, name: str) -> str:
    return f"{domain}\\{name}" if domain else name


def _who(facts: dict[str, Any]) -> str:
    return _join(facts["domain"], facts["user"]) or "a client"


def _delegated(facts: dict[str, Any]) -> str:
    what = facts["delegated"]
    if what["type"] == "empty":
        return f"{_who(facts)} logged on and delegated nothing"
    name = _join(what["domain"], what["user"])
    return f"{name} was delegated" if name else f"{_who(facts)} delegated {what['type']}"


def _refusal(facts: dict[str, Any]) -> str:
    why = {"password": "wrong password: ", "name": "there is no such account: "}.get(facts["wrong"], "")
    status = facts["status"]
    if not facts["user"]:
        return f"the connection of a client ended before it logged on: {status['text']} [{status['name']}]"
    return f"{_who(facts)} was refused: {why}{status['text']} [{status['name']}]"
