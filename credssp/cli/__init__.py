"""The command ``credssp``. Each sub-command is one module here, with `configure` and `run`, listed in `COMMANDS`.

Nothing else is imported before it is known which sub-command was asked for: ``credssp --help`` may take three times as
long as ``python -c pass`` and no more (tests/cli/test_startup.py). So this module needs argparse and the names below;
even `typing` (2 ms) and the `shutil` that argparse takes to measure the terminal (2 ms) are left out.

A sub-command returns its exit code: 0 for yes, 1 for no or a failure, 2 for a call that makes no sense.
"""

from __future__ import annotations

import errno
import os
import sys

from credssp.__about__ import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from types import ModuleType
    from typing import NoReturn

    from credssp.errors import CredSSPError

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "login": "try a login, up to the authorization result",
    "probe": "find out what servers offer, without credentials",
    "report": "render saved probes, and show what changed between two",
    "serve": "run a test endpoint that tells what was delegated",
    "gateway": "relay RDP with NLA on the side that has none",
    "agent": "log on for programs that never see the secret",
    "demo": "log on to an embedded server over loopback and show every leg",
    "status": "explain a SECURITY_STATUS or NTSTATUS",
    "decode": "take a TSRequest, TSCredentials, SPNEGO or NTLM token apart",
    "dissect": "open captures and transcripts, verify and judge them",
    "doctor": "find what is wrong with a server, the way there, this machine",
    "conformance": "judge servers, clients and captures by the rules",
    "policy": "ask the delegation policy whether credentials may go there",
    "schema": "print the JSON Schema of what a command prints with --json",
    "help": "show the arguments of a command, or write manual pages",
    "completion": "print what lets a shell complete commands and options",
}
"""Name of every sub-command, which is also the name of its module, and one line for the help."""

# As a shell reports a process that ended by SIGINT or SIGPIPE.
_INTERRUPTED = 130
_PIPE_CLOSED = 141

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_EPILOG = "Exit codes: 0 yes, 1 no or failed, 2 wrong usage. Documentation: docs/reference/cli.md"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: the arguments without the program's name; by default those of the process.

    Raises:
        SystemExit: for ``--help``, ``--version`` and wrong usage.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    _open_what_is_closed()
    _tolerate_any_character()
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()  # a pipe that was closed shows here at the latest
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        _throw_output_away()
        return _PIPE_CLOSED
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise  # a bug
        _throw_output_away()
        print(f"credssp: the output cannot be written: {error.strerror}", file=sys.stderr)
        return 1


def _throw_output_away() -> None:
    """Let standard output lead nowhere: the interpreter flushes once more when it ends, and would complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: list[str]) -> int:
    if not arguments:
        _parser().print_help(sys.stderr)
        raise SystemExit(2)
    # No option in front of the sub-command takes a value, so that its name is the first word.
    name = next((word for word in arguments if not word.startswith("-")), "")
    module = _load(name) if name in COMMANDS else None
    if name == "agent" and module is not None:
        arguments = module.rewritten(arguments)
    parsed = _parser(name).parse_args(arguments)
    if module is None:  # pragma: no cover  # parse_args has complained about the name
        return 2
    from credssp.errors import CredSSPError

    try:
        return int(module.run(parsed))
    except CredSSPError as error:
        print(f"credssp {name}: {_one_line(error)}", file=sys.stderr)
        return 1


def _load(name: str) -> ModuleType:
    import importlib

    return importlib.import_module(f"credssp.cli.{name}")


def _parser(*names: str) -> argparse.ArgumentParser:
    """Return the parser; only the sub-commands that are named know their arguments."""
    import argparse

    width = _width()

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> NoReturn:
            from credssp.cli._spelling import with_suggestion

            super().error(with_suggestion(self, message))

    def formatter(prog: str) -> argparse.HelpFormatter:
        return argparse.RawDescriptionHelpFormatter(prog, width=width)

    parser = Parser(
        prog="credssp",
        description="CredSSP ([MS-CSSP]): client, server and tools for RDP (NLA) and WinRM.",
        epilog=_EPILOG,
        formatter_class=formatter,
    )
    parser.add_argument("--version", action="version", version=f"credssp {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, title="commands")
    for command, summary in COMMANDS.items():
        own = commands.add_parser(
            command, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", formatter_class=formatter
        )
        if command in names:
            _load(command).configure(own)
    return parser


def _width() -> int:
    """Return how wide the help may be: the terminal, but no wider than is good to read."""
    try:
        columns = int(os.environ.get("COLUMNS", "")) or 80
    except ValueError:
        try:
            columns = os.get_terminal_size(1).columns
        except OSError:
            columns = 80
    return max(40, min(columns, 100) - 2)


def _open_what_is_closed() -> None:
    """Give a process that was started without standard streams (``>&-``) some that lead nowhere.

    Python has None for those, and prints what was for standard error to standard output. Opened in this order they
    also get their own numbers, which the next socket would have.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123


def _tolerate_any_character() -> None:
    """Names on the wire are Unicode; a terminal that cannot show one gets its escape instead of a traceback."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _one_line(error: CredSSPError) -> str:
    """Return what happened, with number and name, and what to do about it."""
    from credssp.errors import LocalProtocolError

    # What was wrong with the arguments says itself what to do; the number is for programs.
    text = error.message if isinstance(error, LocalProtocolError) else str(error)
    advice = "" if isinstance(error, LocalProtocolError) or error.advice in text else error.advice
    return " ".join(f"{text} {advice}".split())
