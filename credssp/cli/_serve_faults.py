"""What the endpoints of ``credssp serve`` do wrong on purpose, to test a client with."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from credssp.testing.server_faults import ServerFaults
    from credssp.testing.wrong_certificates import CertificateKind

__all__ = ["RDP_LEGS", "WINRM_LEGS", "add_arguments", "faults"]

# As in credssp.testing.server_faults, which the parser does not import; a test compares them.
RDP_LEGS: Final = ("negotiation", "tls", "authentication", "key", "credentials")
WINRM_LEGS: Final = ("offer", "tls", "authentication", "key", "credentials")
_KINDS: Final = ("good", "expired", "weak", "other-name")


def add_arguments(parser: argparse.ArgumentParser, legs: tuple[str, ...]) -> None:
    """Declare them."""
    wrong = parser.add_argument_group("faults to test a client with, one for each property")
    wrong.add_argument(
        "--close-at",
        metavar="LEG",
        type=_leg(legs),
        help=f"close the connection in place of the answer to this leg: {', '.join(legs)}, or its number in login -v",
    )
    wrong.add_argument(
        "--delay", metavar="SECONDS", type=_delay, default=0.0, help="wait before every answer (default: 0)"
    )
    wrong.add_argument("--wrong-key", action="store_true", help="bind pubKeyAuth to another key than that of TLS")
    wrong.add_argument(
        "--certificate",
        choices=_KINDS,
        help="serve a certificate of an authority made now: a good one, or one that a client must refuse",
    )
    wrong.add_argument(
        "--cacert-file", metavar="F", help="write the authority of --certificate to this file, for the client to trust"
    )


def _leg(legs: tuple[str, ...]) -> Callable[[str], str | int]:
    def leg(text: str) -> str | int:
        if text.isdecimal() and int(text):
            return int(text)
        if text not in legs:
            raise argparse.ArgumentTypeError(f"{text!r} is not a leg: use {', '.join(legs)}, or a number from 1")
        return text

    return leg


def _delay(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not math.isfinite(value) or value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value


def faults(arguments: argparse.Namespace) -> ServerFaults | None:
    """Return them, after the authority was written to its file, or None. Raises LocalProtocolError."""
    from credssp.errors import LocalProtocolError

    https = getattr(arguments, "https", False)
    kind: CertificateKind | None = arguments.certificate or ("good" if https else None)
    if arguments.certificate is not None and arguments.cert is not None and not https:
        raise LocalProtocolError("--certificate and --cert exclude each other")
    if arguments.cacert_file is not None and kind is None:
        raise LocalProtocolError("--cacert-file needs --certificate")
    if not (arguments.close_at or arguments.delay or arguments.wrong_key or kind):
        return None
    if arguments.uid is not None:
        raise LocalProtocolError("--uid is for services, and a service has no faults on purpose")
    from credssp.testing.server_faults import ServerFaults

    chosen = ServerFaults(
        close_at=arguments.close_at,
        delay=arguments.delay,
        wrong_key=arguments.wrong_key,
        certificate=kind,
    )
    authority = chosen.authority  # made before there are workers, which must all have the same
    if arguments.cacert_file is not None:
        try:
            Path(arguments.cacert_file).write_bytes(authority)
        except OSError as error:
            raise LocalProtocolError(
                f"--cacert-file {arguments.cacert_file}: it cannot be written: {error.strerror}"
            ) from None
    return chosen
