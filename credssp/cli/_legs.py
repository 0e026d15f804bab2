"""``-v``: every message as it goes over the wire, a line for each on standard error."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from credssp.fleet.logins.legs import LoginLeg

__all__ = ["add_argument", "leg_printer", "show_probe_legs"]

PROBE = "credssp.probe"
"""Name of the logger to which the drivers tell the legs of a probe."""


def add_argument(parser: Any) -> None:
    """Declare the option."""
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="show every leg on standard error, without secrets"
    )


def leg_printer() -> Callable[..., None]:
    """Return a function that prints a leg of a login, and in front of it the target where there are several."""
    from credssp.cli._output import printable

    arrows = {"client": "client -> server", "server": "client <- server", "": ""}

    def show(leg: LoginLeg, target: str = "") -> None:
        size = "" if leg.size is None else f"{leg.size} bytes"
        number = "-" if leg.number is None else str(leg.number)
        status = f"  [{leg.status}]" if leg.status else ""
        line = f"leg {number:>2}  {arrows[leg.sender]:<16}  {size:>11}  {leg.seconds * 1000:>9.3f} ms"
        line = f"{line}  {'; '.join(leg.content)}{status}"
        _print_line(printable(f"{target}  {line}" if target else line))

    return show


def _print_line(line: str) -> None:
    """Print it if that is possible: what is told here is told in the middle of a login, which goes on."""
    with contextlib.suppress(OSError):  # a pipe without a reader, a full disk
        print(line, file=sys.stderr, flush=True)


def show_probe_legs() -> None:
    """Let the lines of the drivers reach standard error."""
    from credssp.cli._output import printable

    class Shown(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            _print_line(printable(record.getMessage()))

    logger = logging.getLogger(PROBE)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.handlers = [Shown()]
