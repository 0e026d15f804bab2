"""What a WinRM double answers to commands: patterns and texts, or functions. No process is ever started.

::

    commands = {"Get-Service*": "Running  WinRM\\r\\n", "=whoami": lambda call: call.delegated_user}
    with WinRMServer(accounts, commands=commands) as server: ...

`credssp.testing.answers_file` reads the same from a TOML file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, TypeAlias

from credssp.credentials import DelegatedCredentials, PasswordCredentials
from credssp.errors import LocalProtocolError
from credssp.identity import Identity
from credssp.testing.ansible import ModuleCall, argument_text, module_fits, module_of
from credssp.testing.command_lines import script_of, without_exit
from credssp.testing.faults import fault_named
from credssp.testing.patterns import Pattern

__all__ = ["Answer", "AnswerFunction", "Answers", "CommandCall", "CommandOutput", "Commands", "answers_of"]

_FIELD: Final = re.compile(r"\{(user|domain|delegated_user|delegated_domain|host|stdin|command|script|module|[0-9])\}")


_KINDS: Final[Mapping[str, Any]] = {"stdout": (bytes, str), "stderr": (bytes, str), "exit_code": int}


@dataclass(frozen=True, slots=True)
class CommandOutput:
    """What a command printed.

    Attributes:
        stdout: standard output; text is encoded in the code page of the shell.
        stderr: standard error, likewise.
        exit_code: 0 for success; up to 0xFFFFFFFF.
        warning: lines in PowerShell's stream of warnings, which has a record of each. Other programs have no such
            stream, nor has PowerShell with a command that is not encoded.
        verbose: likewise, those of Write-Verbose.
        debug: likewise, those of Write-Debug.
        information: likewise, those of Write-Information; in PowerShell remoting only.
        progress: the text of a progress record.

    Raises:
        LocalProtocolError: an exit code that there is not.
        TypeError: a value of another type.
    """

    stdout: bytes | str = field(default=b"", repr=False)
    stderr: bytes | str = field(default=b"", repr=False)
    exit_code: int = 0
    warning: str = field(default="", repr=False)
    verbose: str = field(default="", repr=False)
    debug: str = field(default="", repr=False)
    information: str = field(default="", repr=False)
    progress: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        for each in fields(self):
            value, kinds = getattr(self, each.name), _KINDS.get(each.name, str)
            if not isinstance(value, kinds) or isinstance(value, bool):
                raise TypeError(f"CommandOutput: {each.name} is {type(value).__name__}")
        if not 0 <= self.exit_code <= 0xFFFFFFFF:
            raise LocalProtocolError(f"CommandOutput: exit_code {self.exit_code} is not between 0 and 4294967295")


@dataclass(frozen=True, slots=True)
class CommandCall:
    """A command that a client started.

    Attributes:
        command: the command line: the command and its arguments, with a space between them. It may hold secrets.
        stdin: what the client sent to its standard input. It may hold secrets, too.
        identity: who logged on.
        credentials: what was delegated.
        host: the name of the server.
        codepage: the code page of the shell, such as 65001 for UTF-8.
        directory: the working directory that the client chose; empty for none.
        environment: the variables that the client set.
        script: what PowerShell is to run, decoded if it is encoded; read from `command` where it is not given, and
            empty where another program is started.
        ansible: the Ansible module that is to run, which its wrapper reads from standard input; or None.
    """

    command: str = field(repr=False)
    stdin: str = field(repr=False)
    identity: Identity
    credentials: DelegatedCredentials
    host: str = "localhost"
    codepage: int = 65001
    directory: str = ""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    script: str = field(default="", repr=False)
    ansible: ModuleCall | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.script:
            object.__setattr__(self, "script", script_of(self.command))
        object.__setattr__(self, "ansible", module_of(self.stdin))

    @property
    def user(self) -> str:
        """The name of who logged on, without the domain."""
        return self.identity.username

    @property
    def delegated_user(self) -> str:
        """The user name that was delegated, without the domain; empty where no password was."""
        return self.credentials.username if isinstance(self.credentials, PasswordCredentials) else ""

    @property
    def delegated_domain(self) -> str:
        """The domain that was delegated."""
        return self.credentials.domain if isinstance(self.credentials, PasswordCredentials) else ""

    @property
    def module(self) -> str:
        """The name of the Ansible module that is to run; empty for none."""
        return "" if self.ansible is None else self.ansible.name

    def fill(self, template: str, groups: tuple[str, ...] = ()) -> str:
        """Replace ``{user}`` and the other fields of a template; other braces stay, as JSON has them.

        Args:
            template: the text.
            groups: what ``{1}`` to ``{9}`` are.
        """

        def value(found: re.Match[str]) -> str:
            name = found[1]
            if name.isdigit():
                number = int(name)
                return groups[number - 1] if 0 < number <= len(groups) else found[0]
            return self.identity.domain if name == "domain" else str(getattr(self, name))

        return _FIELD.sub(value, template)


def _filled(value: object, fill: Callable[[str], str]) -> object:
    """Return a result of which all texts are templates with their values in them."""
    if isinstance(value, str):
        return fill(value)
    if isinstance(value, Mapping):
        return {name: _filled(each, fill) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(each, fill) for each in value]
    return value


Result: TypeAlias = CommandOutput | str | bytes
AnswerFunction: TypeAlias = Callable[[CommandCall], Result | Awaitable[Result]]
"""Answers a command: a function, called in a thread, or a coroutine function, which has an event loop there."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: what it fits, and what it says.

    Attributes:
        command: a `Pattern` over the command line or, where PowerShell is started, over its script.
        stdin: a `Pattern` over standard input.
        module: a `Pattern` over the name of the Ansible module, with its collection or without; ``*`` fits a command
            that runs none, too.
        arguments: a `Pattern` for each argument of the module that matters, by its name; values that are not texts are
            compared as JSON. The command of ``win_command`` is ``_raw_params``.
        stdout: standard output, as a template (`CommandCall.fill`), in one piece or in several; the client gets each
            of them in an answer of its own.
        result: in place of `stdout`, an object that is written as JSON, such as the result of an Ansible module; its
            texts are templates.
        stderr: standard error, likewise a template. Where PowerShell runs an encoded command it is written as CLIXML,
            unless it begins with ``#<``; in PowerShell remoting as records.
        warning: lines of PowerShell's stream of warnings, likewise a template; see
            `credssp.testing.answers.CommandOutput` for this and the other streams.
        verbose: those of Write-Verbose.
        debug: those of Write-Debug.
        information: those of Write-Information.
        progress: the text of a progress record.
        exit_code: 0 to 0xFFFFFFFF.
        delay: seconds before each piece of standard output; the command ends with the last of them.
        fault: a fault of WS-Management (`credssp.testing.faults.FAULTS`) in place of all that.
        fault_at: which request has it: ``command`` or ``receive``.
        function: answers in place of `stdout`, `stderr` and `exit_code`, when it is ready.

    Raises:
        LocalProtocolError: a value that makes no sense.
        TypeError: a `result` that JSON does not have.
    """

    command: str = "*"
    stdin: str = "*"
    module: str = "*"
    arguments: Mapping[str, str] = field(default_factory=dict, repr=False)
    stdout: str | tuple[str, ...] = field(default="", repr=False)
    result: Mapping[str, Any] | None = field(default=None, repr=False)
    stderr: str = field(default="", repr=False)
    warning: str = field(default="", repr=False)
    verbose: str = field(default="", repr=False)
    debug: str = field(default="", repr=False)
    information: str = field(default="", repr=False)
    progress: str = field(default="", repr=False)
    exit_code: int = 0
    delay: float = 0.0
    fault: str = ""
    fault_at: str = "command"
    function: AnswerFunction | None = field(default=None, repr=False)
    _patterns: tuple[Pattern, Pattern, Pattern] = field(init=False, repr=False, compare=False)
    _arguments: Mapping[str, Pattern] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_patterns", (Pattern(self.command), Pattern(self.stdin), Pattern(self.module)))
        object.__setattr__(self, "_arguments", {name: Pattern(text) for name, text in self.arguments.items()})
        if self.result is not None and self.stdout:
            raise LocalProtocolError("result: with stdout; one of the two is what the command prints")
        try:
            json.dumps(self.result, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise TypeError(f"result: a value that JSON does not have: {error}") from None
        if not self.pieces:
            raise LocalProtocolError("stdout: an empty list; write an empty text for no output")
        if not 0 <= self.exit_code <= 0xFFFFFFFF:
            raise LocalProtocolError(f"exit_code {self.exit_code}: not between 0 and 4294967295")
        if not 0 <= self.delay < 1e6:
            raise LocalProtocolError(f"delay {self.delay}: not between 0 and 1000000 seconds")
        if self.fault_at not in {"command", "receive"}:
            raise LocalProtocolError(f"fault_at {self.fault_at!r}: not command or receive")
        if self.fault:
            fault_named(self.fault)

    @property
    def pieces(self) -> tuple[str, ...]:
        """Standard output, piece by piece."""
        return (self.stdout,) if isinstance(self.stdout, str) else self.stdout

    @property
    def streams(self) -> dict[str, str]:
        """The other streams of PowerShell, by their names."""
        return {name: getattr(self, name) for name in ("warning", "verbose", "debug", "information", "progress")}

    @property
    def reads_input(self) -> bool:
        """Whether it depends on standard input, so that the command runs when that has ended."""
        _, stdin, module = self._patterns
        texts = (*self.pieces, self.stderr, *self.streams.values(), json.dumps(self.result))
        uses = any(name in text for text in texts for name in ("{stdin}", "{module}"))
        return uses or bool(self._arguments) or not (stdin.fits_all and module.fits_all)

    def output(self, call: CommandCall, groups: tuple[str, ...]) -> tuple[str, ...]:
        """Return standard output, piece by piece, with the values of the templates."""
        if self.result is None:
            return tuple(call.fill(piece, groups) for piece in self.pieces)
        return (json.dumps(_filled(self.result, lambda text: call.fill(text, groups))),)

    def fits(self, call: CommandCall) -> tuple[str, ...] | None:
        """Return the groups of the regular expressions if it fits the call, standard input aside; or else None."""
        command = self._patterns[0]
        texts = [call.command]
        if call.script:
            texts += [call.script.strip(), without_exit(call.script)]
        return next((groups for text in texts if (groups := command.match(text)) is not None), None)

    def fits_input(self, call: CommandCall) -> tuple[str, ...] | None:
        """Return the groups if it fits standard input; or else None."""
        _, stdin, module = self._patterns
        found, named = stdin.match(call.stdin), module_fits(module, call.ansible)
        if found is None or named is None:
            return None
        groups = found + named
        given = {} if call.ansible is None else call.ansible.arguments
        for name, pattern in self._arguments.items():
            more = pattern.match(argument_text(given[name])) if name in given else None
            if more is None:
                return None
            groups += more
        return groups


# Any: mypy takes a dictionary of texts and functions, of which a user has both, for one of objects.
Commands: TypeAlias = Mapping[str, Any] | Iterable[Answer] | AnswerFunction
"""Answers as `answers_of` takes them."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers in their order.

    Attributes:
        answers: the first one that fits is used.
        faults: faults by request (``Create``, ``Command``, ``Send``, ``Receive``, ``Signal``, ``Delete``), in place of
            every answer to it.
    """

    answers: tuple[Answer, ...] = ()
    faults: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = ("Create", "Command", "Send", "Receive", "Signal", "Delete")
        for request, name in self.faults.items():
            if request not in known:
                raise LocalProtocolError(f"a fault of {request!r}: not one of {', '.join(known)}")
            fault_named(name)

    def find(self, call: CommandCall, *, input_ended: bool) -> tuple[Answer, tuple[str, ...]] | Answer | None:
        """Return the answer with its groups; alone, if it has to wait for standard input; None if none fits."""
        for answer in self.answers:
            groups = answer.fits(call)
            if groups is None:
                continue
            if not answer.reads_input:
                return answer, groups
            if not input_ended:
                return answer
            more = answer.fits_input(call)
            if more is not None:
                return answer, groups + more
        return None


def answers_of(commands: Commands | Answers) -> Answers:
    """Make `Answers` of what is easier to write.

    Args:
        commands: a mapping of patterns to texts, `credssp.testing.answers.CommandOutput` or functions; a function
            alone, for all commands; or several `Answer`.

    Raises:
        TypeError: it is something else.
    """
    if isinstance(commands, Answers):
        return commands
    if isinstance(commands, Mapping):
        return Answers(tuple(_answer(pattern, result) for pattern, result in commands.items()))
    if callable(commands):
        return Answers((Answer(function=commands),))
    found: tuple[object, ...] = tuple(commands)
    answers = tuple(each for each in found if isinstance(each, Answer))
    if len(answers) < len(found):
        raise TypeError("commands: a mapping of patterns to answers, a function, or several Answer")
    return Answers(answers)


def _answer(pattern: str, result: Result | AnswerFunction) -> Answer:
    if isinstance(result, str):
        return Answer(pattern, stdout=result)
    if isinstance(result, bytes | CommandOutput):
        return Answer(pattern, function=lambda call: result)  # noqa: ARG005
    if not callable(result):
        raise TypeError(f"commands[{pattern!r}]: a text, bytes, a CommandOutput or a function, not {result!r:.100}")
    return Answer(pattern, function=result)
