"""``credssp agent run``, and ``credssp agent -- COMMAND``: the process that holds the credentials.

With a command, this process becomes the command once a second one, the agent, listens: signals, exit code and job
control are the command's own, and nothing of the agent was ever in its memory. The agent watches the command by a
descriptor of its process (pidfd_open(2)) and ends with it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from credssp.errors import CredSSPError, LocalProtocolError

if TYPE_CHECKING:
    import asyncio

    from credssp.lsa.audit import Sink
    from credssp.lsa.settings import AgentSettings
    from credssp.lsa.socket import BoundSocket
    from credssp.lsa.store import CredentialStore

__all__ = ["serve", "serve_command"]

_NOT_FOUND: Final = 127  # as a shell reports a command that is not there, or cannot be run
_NOT_RUN: Final = 126
_DESCRIPTORS: Final = 8192
"""Open files: more than as many programs as are served at a time (`credssp.lsa.service.AgentLimits`) need."""

_LOOK: Final = 1.0
"""Seconds between two looks at the command, where the system has no descriptors of processes."""


def serve(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM. Raises CredSSPError."""
    import asyncio

    from credssp.lsa.socket import from_systemd

    _harden()
    settings = _settings(arguments)
    passed = from_systemd()
    with contextlib.ExitStack() as stack:
        store = _store(settings, stack)
        bound = _bind(arguments, settings) if passed is None else passed
        stack.callback(bound.close)
        sink, reopen = stack.enter_context(_sink(arguments.audit or settings.audit or "stdout"))
        agent = _Agent(arguments, settings, store, sink, reopen)
        asyncio.run(agent.run(bound, None))
    _leave()
    return 0


def _leave() -> None:
    """End this process although a thread waits for a KDC: nothing that it would return is of use any more."""
    if any(not thread.daemon and thread is not threading.main_thread() for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _harden() -> None:
    from credssp.lsa.hardening import harden, more_descriptors

    more_descriptors(_DESCRIPTORS)
    found = harden()
    if found.problem:
        print(f"credssp agent: {found.problem}", file=sys.stderr)


def _settings(arguments: argparse.Namespace) -> AgentSettings:
    from credssp.lsa.settings import AgentSettings, read_settings

    return AgentSettings() if arguments.config is None else read_settings(arguments.config)


def _store(settings: AgentSettings, stack: contextlib.ExitStack) -> CredentialStore:
    """Return the store with what the configuration has; questions end with the stack. Raises LocalProtocolError."""
    from credssp.lsa.confirmation import Askpass
    from credssp.lsa.store import CredentialStore

    confirm: Askpass | None = None
    try:
        confirm = Askpass.from_environment()
        stack.callback(confirm.close)
    except LocalProtocolError:
        if any(each.confirm for each in settings.credentials):
            raise
    store = CredentialStore(confirm=confirm)
    store.configure(settings.credentials)
    return store


def _bind(arguments: argparse.Namespace, settings: AgentSettings) -> BoundSocket:
    from credssp.lsa.address import default_socket
    from credssp.lsa.socket import bind

    path = arguments.socket or settings.socket or default_socket()
    if not path:
        raise LocalProtocolError("there is no place for the socket, because XDG_RUNTIME_DIR is not set: give --socket")
    return bind(Path(path), audience="others" if settings.other_users else "owner")


@contextlib.contextmanager
def _sink(where: str) -> Iterator[tuple[Sink, Callable[[], None]]]:
    """Open what takes the events; also return what opens it again. Raises LocalProtocolError."""
    from credssp.cli._serve_lines import queued_lines, write_line
    from credssp.lsa.audit import FileSink, JournalSink, line_of

    def nothing() -> None:
        """There is nothing to open again."""

    if where == "stdout":
        with queued_lines(lambda count: line_of(_dropped(count))):
            yield (lambda event: write_line(line_of(event))), nothing
        return
    if where == "stderr":
        yield (lambda event: print(line_of(event), end="", file=sys.stderr, flush=True)), nothing
        return
    try:
        opened: Any = JournalSink() if where == "journal" else FileSink(where)
    except OSError as error:
        raise LocalProtocolError(f"events cannot go to {where}: {error.strerror}") from None
    with contextlib.closing(opened):
        yield opened, getattr(opened, "reopen", nothing)


def _dropped(count: int) -> dict[str, Any]:
    from credssp.drivers.audit import AuditEvent

    return AuditEvent(event="dropped").as_json() | {"events": count}


def _listening(bound: BoundSocket) -> dict[str, Any]:
    from credssp.drivers.audit import AuditEvent

    return AuditEvent(event="listening", address=os.fspath(bound.path)).as_json() | {"protocol": "agent"}


class _Agent:
    """What lives as long as the process: its signals and its configuration."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        settings: AgentSettings,
        store: CredentialStore,
        sink: Sink,
        reopen: Callable[[], None],
    ) -> None:
        self._arguments = arguments
        self._settings = settings
        self._store = store
        self._sink = sink
        self._reopen = reopen

    async def run(self, bound: BoundSocket, watched: _Watched | None) -> None:
        """Serve until SIGTERM or SIGINT, or the end of a command."""
        import asyncio

        from credssp.lsa.process import AgentProcess

        stop = asyncio.Event()
        process = AgentProcess(self._store, audit=self._sink)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload, process.changed)
        if watched is not None:
            watched.tell(loop, stop.set)
        self._sink(_listening(bound))  # who waits for it may send signals now
        await process.run(bound.socket, stop)

    def _reload(self, changed: Callable[[], None]) -> None:
        """Read the configuration again; where it cannot be used, what was read before stays."""
        self._reopen()
        if self._arguments.config is None:
            return
        try:
            fresh = _settings(self._arguments)
            if fresh.other_users and not self._settings.other_users:
                raise LocalProtocolError("other users can only be let in by a restart: the socket is private")
            self._store.configure(fresh.credentials)
        except CredSSPError as error:
            print(f"credssp agent: {error.message}; what was read before stays in use", file=sys.stderr)
            return
        self._settings = fresh
        changed()


class _Watched:
    """A process whose end is waited for; made before the agent is forked off, so that its number is right."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._descriptor = -1
        with contextlib.suppress(AttributeError, OSError):
            self._descriptor = os.pidfd_open(self._pid)

    def tell(self, loop: asyncio.AbstractEventLoop, ended: Callable[[], None]) -> None:
        """Call `ended` once it has ended."""
        if self._descriptor >= 0:
            loop.add_reader(self._descriptor, ended)
        else:
            self._look(loop, ended)

    def _look(self, loop: asyncio.AbstractEventLoop, ended: Callable[[], None]) -> None:
        try:
            os.kill(self._pid, 0)
        except OSError:
            ended()
        else:
            loop.call_later(_LOOK, self._look, loop, ended)


def serve_command(arguments: argparse.Namespace) -> int:
    """Start an agent, and become the command. Returns where that fails; raises LocalProtocolError."""
    from credssp.lsa.address import VARIABLE

    words = arguments.words[1:] if arguments.words[:1] == ["--"] else arguments.words
    if not words:
        raise LocalProtocolError("there is no command: credssp agent -- COMMAND")
    folder = _private_folder()
    path = folder / "agent.sock"
    watched = _Watched()
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.setsid()  # away from the terminal, whose keys are for the command
        if os.fork():  # nor is it a child that the command would not know
            os._exit(0)
        _be_agent(arguments, path, watched, writing)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    if said != b"\0":
        shutil.rmtree(folder, ignore_errors=True)
        print(f"credssp agent: {said.decode(errors='replace') or 'the agent ended at once'}", file=sys.stderr)
        return 2
    try:
        os.execvpe(words[0], words, {**os.environ, VARIABLE: os.fspath(path)})  # noqa: S606  # the user's own command
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        print(f"credssp agent: {words[0]} cannot be run: {why}", file=sys.stderr)
        return _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_RUN


def _private_folder() -> Path:
    """Make a folder for one socket. Raises LocalProtocolError."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    try:
        place = runtime if runtime.startswith("/") and os.access(runtime, os.W_OK) else None
        return Path(tempfile.mkdtemp(prefix="credssp-agent-", dir=place))
    except OSError as error:
        raise LocalProtocolError(f"there is no place for the agent's socket: {error.strerror}") from None


def _be_agent(arguments: argparse.Namespace, path: Path, watched: _Watched, writing: int) -> NoReturn:
    """Serve until the command ends, and end this process."""
    import asyncio

    code = 0
    try:
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, path.parent, ignore_errors=True)
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.dup2(nowhere, 0)
            os.dup2(nowhere, 1)
            _harden()
            settings = _settings(arguments)
            store = _store(settings, stack)
            from credssp.lsa.socket import bind

            bound = bind(path)
            stack.callback(bound.close)
            sink, reopen = stack.enter_context(_sink(_place(arguments, settings)))
            agent = _Agent(arguments, settings, store, sink, reopen)
            os.write(writing, b"\0")
            os.close(writing)
            writing = -1
            asyncio.run(agent.run(bound, watched))
    except BaseException as error:  # noqa: BLE001  # this process ends here, whatever it was
        code = 1
        text = error.message if isinstance(error, CredSSPError) else f"the agent failed: {type(error).__name__}"
        if writing >= 0:
            os.write(writing, text.encode())
        else:
            print(f"credssp agent: {text}", file=sys.stderr)
    finally:
        os._exit(code)


def _place(arguments: argparse.Namespace, settings: AgentSettings) -> str:
    """Return where the events go; standard output is the command's."""
    from credssp.lsa.audit import JOURNAL

    where = arguments.audit or settings.audit
    if where is not None and where != "stdout":
        return where
    return "journal" if Path(JOURNAL).exists() else "stderr"
