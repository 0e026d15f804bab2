"""``credssp decode``: a message from a capture or a log, taken apart."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Final

from credssp.cli._pasted import Pasted, read_pasted

__all__ = ["configure", "run"]

_MAX_INPUT: Final = 1 << 22
"""Bytes read from standard input; the largest TSRequest accepted has 64 KiB, in hexadecimal a few times that."""

_PLAIN: Final = ("hexadecimal", "base64", "binary", "HTTP header")
"""Forms that need no remark: the others are recognised by their looks, and the remark says as what."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = (
        "The type of the message is detected from its content; how a dump or literal was read is said on standard "
        "error. Secrets are masked unless --reveal is given."
    )
    parser.add_argument(
        "data",
        metavar="DATA",
        nargs="?",
        default="-",
        help="the message in hexadecimal or base64, as a dump (xxd, hexdump -C, Wireshark, tcpdump -X, FreeRDP's log) "
        "or as a C or Python literal; without it, or with -, standard input, which may also be binary",
    )
    parser.add_argument("--reveal", action="store_true", help="show passwords, PINs, buffers and NTLM proofs")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Decode and show."""
    try:
        pasted = _read_standard_input() if arguments.data == "-" else read_pasted(arguments.data)
    except ValueError as error:
        print(f"credssp decode: {error}", file=sys.stderr)
        _hint_at_file(arguments.data)
        return 2
    if pasted.form not in _PLAIN:
        print(f"credssp decode: read as {pasted.form}, {len(pasted.data)} bytes", file=sys.stderr)

    from credssp.cli._output import print_json, printable
    from credssp.cli._tree import render
    from credssp.dissect.views import Views
    from credssp.errors import RemoteProtocolError

    try:
        tree = Views(reveal=arguments.reveal).any_message(pasted.data)
    except RemoteProtocolError as error:
        print(printable(f"credssp decode: {error}"), file=sys.stderr)
        _hint_at_file(arguments.data)
        return 1
    if arguments.json:
        print_json(tree)
    else:
        print("\n".join(render(tree)))
    return 0


def _hint_at_file(text: str) -> None:
    """A name in place of the message: paths may even be base64."""
    from credssp.cli._output import printable

    try:
        is_file = os.path.isfile(text)  # noqa: PTH113
    except ValueError:
        return
    if is_file:
        name = printable(text)
        print(f"  {name} is the name of a file; to decode its content: credssp decode < FILE", file=sys.stderr)
    elif text.startswith(("/", "./", "../", "~")):
        print(f"  {printable(text[:200])} looks like a path, and no such file can be read", file=sys.stderr)


def _read_standard_input() -> Pasted:
    if sys.stdin.isatty():
        print("credssp decode: reading hexadecimal or base64; end with Ctrl-D", file=sys.stderr)
    data = sys.stdin.buffer.read(_MAX_INPUT + 1)
    if len(data) > _MAX_INPUT:
        raise ValueError(f"more than {_MAX_INPUT} bytes: this is not a single message")
    # Every binary message has a byte beyond ASCII or a NUL in its first dozen; its text forms have neither.
    if data.isascii() and b"\0" not in data:
        return read_pasted(data.decode("ascii"))
    try:
        # Dumps may show bytes as characters beyond ASCII; PowerShell writes UTF-16, and editors put a mark in front.
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return read_pasted(data.decode("utf-16"))
        if b"\0" not in data:
            return read_pasted(data.decode("utf-8-sig"))
    except ValueError:
        pass
    return Pasted(data, "binary")
