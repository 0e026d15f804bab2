"""``-v``: every message as it goes over the wire, a line for each on standard error."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from credssp.engine.events import Direction, Observer
    from credssp.wire.ts_request import TSRequest

__all__ = ["add_argument", "observing", "show_probe_legs"]

PROBE = "credssp.probe"
"""Name of the logger to which the drivers tell the legs of a probe."""


def add_argument(parser: Any) -> None:
    """Declare the option."""
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="show every leg on standard error, without secrets"
    )


def observing(observer: Observer | None) -> Observer:
    """Return an observer that prints the TSRequests of a login, and tells another one too."""
    from credssp.cli._output import printable
    from credssp.dissect.views import fields_of

    count = 0

    def see(direction: Direction, message: TSRequest, data: bytes) -> None:
        nonlocal count
        count += 1
        arrow = "client ->" if direction.value == "sent" else "<- server"
        fields = "; ".join(fields_of(message)) or "nothing but the version"
        line = f"leg {count}  {arrow}  TSRequest, {len(data)} bytes, version {message.version}: {fields}"
        print(printable(line), file=sys.stderr, flush=True)
        if observer is not None:
            observer(direction, message, data)

    return see


def show_probe_legs() -> None:
    """Let the lines of the drivers reach standard error."""
    from credssp.cli._output import printable

    class Shown(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            print(printable(record.getMessage()), file=sys.stderr, flush=True)

    logger = logging.getLogger(PROBE)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.handlers = [Shown()]
