"""``credssp decode``: a message from a capture or a log, taken apart."""

from __future__ import annotations

import argparse
import base64
import os
import re
import sys
from typing import Final

__all__ = ["configure", "parse_octets", "run"]

_MAX_INPUT: Final = 1 << 22
"""Bytes read from standard input; the largest TSRequest accepted has 64 KiB, in hexadecimal a few times that."""

# As in a log of HTTP: "Authorization: Negotiate TlRM...", or only what follows the colon.
_HEADER: Final = re.compile(
    r"\s*(?:(?:(?:Proxy-)?Authorization|(?:WWW|Proxy)-Authenticate)\s*:)?\s*(?:CredSSP|Negotiate|NTLM|Kerberos)\s+",
    re.IGNORECASE,
)

_HEX_NOISE: Final = re.compile(r"0x|\\x|[\s:,]", re.IGNORECASE)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = "The type of the message is detected from its content. Secrets are masked unless --reveal is given."
    parser.add_argument(
        "data",
        metavar="DATA",
        nargs="?",
        default="-",
        help="the message in hexadecimal or base64; without it, or with -, standard input, which may also be binary",
    )
    parser.add_argument("--reveal", action="store_true", help="show passwords, PINs, buffers and NTLM proofs")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Decode and show."""
    try:
        data = _read_standard_input() if arguments.data == "-" else parse_octets(arguments.data)
    except ValueError as error:
        print(f"credssp decode: {error}", file=sys.stderr)
        return 2

    from credssp.cli._output import print_json, printable
    from credssp.cli._tree import render
    from credssp.dissect.views import Views
    from credssp.errors import RemoteProtocolError

    try:
        tree = Views(reveal=arguments.reveal).any_message(data)
    except RemoteProtocolError as error:
        print(printable(f"credssp decode: {error}"), file=sys.stderr)
        if os.path.isfile(arguments.data):  # noqa: PTH113
            print("  That is the name of a file; to decode its content: credssp decode < FILE", file=sys.stderr)
        return 1
    if arguments.json:
        print_json(tree)
    else:
        print("\n".join(render(tree)))
    return 0


def parse_octets(text: str) -> bytes:
    """Return the bytes that a text represents: hexadecimal with or without 0x, colons and blanks, else base64.

    Of an HTTP header for authentication, what follows the scheme is read.

    Raises:
        ValueError: it is neither.
    """
    if header := _HEADER.match(text):
        text = text[header.end() :]
    digits = _HEX_NOISE.sub("", text)
    if not digits:
        raise ValueError("there is nothing to decode")
    if re.fullmatch("[0-9A-Fa-f]+", digits):
        if len(digits) % 2:
            raise ValueError(f"{len(digits)} hexadecimal digits: a byte has two, so one is missing or one is too many")
        return bytes.fromhex(digits)
    letters = "".join(text.split()).translate(str.maketrans("-_", "+/")).rstrip("=")
    try:
        return base64.b64decode(letters + "=" * (-len(letters) % 4), validate=True)
    except ValueError:  # binascii.Error, or letters outside ASCII
        raise ValueError("the data is neither hexadecimal nor base64") from None


def _read_standard_input() -> bytes:
    if sys.stdin.isatty():
        print("credssp decode: reading hexadecimal or base64; end with Ctrl-D", file=sys.stderr)
    data = sys.stdin.buffer.read(_MAX_INPUT + 1)
    if len(data) > _MAX_INPUT:
        raise ValueError(f"more than {_MAX_INPUT} bytes: this is not a single message")
    # Every binary message has a byte beyond ASCII or a NUL in its first dozen; its text forms have neither.
    if data.isascii() and b"\0" not in data:
        return parse_octets(data.decode("ascii"))
    return data
