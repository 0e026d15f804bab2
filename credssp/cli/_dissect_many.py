"""``credssp dissect`` with several files, or with the workers of a cluster."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from credssp.cli._output import printable
from credssp.cli._progress import ProgressLine
from credssp.dissect.errors import CaptureError
from credssp.errors import LocalProtocolError
from credssp.exchange.opening import LogonSecrets
from credssp.fleet.captures import KeyFiles, Tree, dissect_files, merged
from credssp.fleet.dask_cluster import dask_executor

__all__ = ["dissect_many"]

Show = Callable[[Tree, argparse.Namespace], None]
Write = Callable[[Path, Callable[[], object]], None]


def dissect_many(arguments: argparse.Namespace, logon: LogonSecrets, show: Show, write: Write) -> int:
    """Show every file, as they are done.

    Raises:
        CaptureError: a file of keys cannot be read, or an output not be written.
    """
    page = arguments.html is not None
    reports: list[Tree] = []
    found = unreadable = 0
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(_output(arguments.output)) if arguments.output else None
        try:
            executor, ahead = stack.enter_context(dask_executor(arguments.dask)) if arguments.dask else (None, 1)
        except LocalProtocolError as error:
            print(f"credssp dissect: {error.message}", file=sys.stderr)
            return 2
        progress = stack.enter_context(ProgressLine(len(arguments.files)))
        results = dissect_files(
            arguments.files,
            executor=executor,
            keys=KeyFiles.of(arguments),
            logon=None if executor is not None else logon,
            reveal=arguments.reveal,
            ahead=ahead,
        )
        for path, report in results:
            with progress.hidden(), contextlib.redirect_stdout(out or sys.stdout):
                if isinstance(report, CaptureError):
                    unreadable += 1
                    print(f"credssp dissect: {printable(_named(path, report.message))}", file=sys.stderr)
                else:
                    found += len(report["conversations"])
                    if page:
                        reports.append(report)
                    if arguments.html != "":
                        print(json.dumps(report)) if arguments.json else show(report, arguments)
            progress.advance()
        if arguments.html == "":
            with contextlib.redirect_stdout(out or sys.stdout):
                show(merged(reports), arguments)
    if arguments.html:
        whole = argparse.Namespace(json=False, html="")
        write(Path(arguments.html), lambda: show(merged(reports), whole))
    return 0 if found and not unreadable else 1


def _named(path: str, text: str) -> str:
    return text if path in text else f"{path}: {text}"


@contextlib.contextmanager
def _output(name: str) -> Iterator[IO[str]]:
    try:
        with Path(name).open("w", encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise CaptureError(f"{name} cannot be written: {error.strerror}") from None
