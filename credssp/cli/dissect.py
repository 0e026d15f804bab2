"""``credssp dissect FILE``: a capture, a transcript or a fixture, taken apart."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from credssp.exchange.opening import LogonSecrets

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = (
        "Options that give a secret can be repeated; every value is tried. A password on the command line can be seen "
        "by other users of the machine. Exit codes: 0 a CredSSP conversation was found, 1 none was, or a file cannot "
        "be read, 2 wrong usage."
    )
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="pcap or pcapng, a transcript, the folder of a fixture, or - for standard input; or several files",
    )
    tls = parser.add_argument_group("to decrypt TLS")
    tls.add_argument(
        "--keylog",
        metavar="LOG",
        action="append",
        default=[],
        help="key log (SSLKEYLOGFILE); pcapng may hold one",
    )
    tls.add_argument("--rsa-key", metavar="PEM", help="the server's RSA key, for TLS 1.2 with RSA key exchange")
    ntlm = parser.add_argument_group("to verify and decrypt NTLM: MIC, pubKeyAuth, authInfo")
    ntlm.add_argument("--password", metavar="PW", action="append", default=[], help="the password of the account")
    ntlm.add_argument("--hash", metavar="HEX", action="append", default=[], help="its NT hash, 32 hexadecimal digits")
    ntlm.add_argument(
        "--session-key", metavar="HEX", action="append", default=[], help="ExportedSessionKey, 32 hexadecimal digits"
    )
    kerberos = parser.add_argument_group("to verify and decrypt Kerberos: ticket, AP-REQ, AP-REP, pubKeyAuth, authInfo")
    kerberos.add_argument(
        "--keytab", metavar="F", action="append", default=[], help="keytab with the key of the service (the server's)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object; for several files, one per line")
    parser.add_argument(
        "--html",
        metavar="FILE",
        nargs="?",
        const="",
        help="write one self-contained page with a sequence diagram; without FILE, print it instead of text",
    )
    parser.add_argument("-o", "--output", metavar="PATH", help="write to this file instead of standard output")
    parser.add_argument(
        "--dask",
        metavar="SCHEDULER",
        help="let the workers of a Dask cluster read the files, and the files of keys: tcp://HOST:PORT (extra dask)",
    )
    parser.add_argument("--reveal", action="store_true", help="show passwords, PINs, buffers, keys and NTLM proofs")


def run(arguments: argparse.Namespace) -> int:
    """Take the files apart and show what is in them."""
    from credssp.cli._output import printable
    from credssp.cli._results import check_writable
    from credssp.dissect.errors import CaptureError
    from credssp.errors import LocalProtocolError

    try:
        logon = _logon_secrets(arguments)
        if fault := _html_fault(arguments) or _many_fault(arguments):
            raise LocalProtocolError(fault)
        check_writable(arguments.output, arguments.html or None, read=arguments.files)
    except ValueError as error:
        print(f"credssp dissect: {error}", file=sys.stderr)
        return 2
    except LocalProtocolError as error:
        print(f"credssp dissect: {printable(error.message)}", file=sys.stderr)
        return 2
    try:
        if len(arguments.files) > 1 or arguments.dask is not None:
            from credssp.cli._dissect_many import dissect_many

            return dissect_many(arguments, logon, _show, _write)
        return _dissect_one(arguments, logon)
    except CaptureError as error:
        # Its text says it all; the number of a SECURITY_STATUS would be no help with a file.
        print(f"credssp dissect: {printable(error.message)}", file=sys.stderr)
        return 1


def _dissect_one(arguments: argparse.Namespace, logon: LogonSecrets) -> int:
    from credssp.dissect.dissector import examine
    from credssp.fleet.captures import KeyFiles

    keys = KeyFiles.of(arguments)
    logon = dataclasses.replace(logon, service_keys=keys.service_keys())
    file = sys.stdin.buffer if arguments.files == ["-"] else Path(arguments.files[0])
    report = examine(file, tls=keys.tls_secrets(), logon=logon, reveal=arguments.reveal)
    if arguments.output is None:
        _show(report, arguments)
    else:
        _write(Path(arguments.output), lambda: _show(report, arguments))
    if arguments.html:
        _write(Path(arguments.html), lambda: _show_page(report))
    return 0 if report["conversations"] else 1


def _show(report: dict[str, Any], arguments: argparse.Namespace) -> None:
    if arguments.json:
        _show_json(report)
    elif arguments.html == "":
        _show_page(report)
    else:
        from credssp.cli._dissect_text import print_report

        print_report(report)


def _many_fault(arguments: argparse.Namespace) -> str:
    """Return what cannot be done with several files, or by other machines, or an empty string."""
    if "-" in arguments.files and (len(arguments.files) > 1 or arguments.dask is not None):
        return "- is for one capture alone, on this machine"
    if arguments.dask is None:
        return ""
    if arguments.password or arguments.hash or arguments.session_key:
        return "passwords, hashes and session keys are not sent to a cluster: use --keylog and --keytab, or omit --dask"
    return ""


def _show_page(report: dict[str, Any]) -> None:
    from credssp.dissect.html import page_parts

    for part in page_parts(report):
        print(part)


def _html_fault(arguments: argparse.Namespace) -> str:
    """Return what is wrong with ``--html``, or an empty string."""
    if arguments.html == "" and arguments.json:
        return "--html without FILE and --json exclude each other"
    # `--html x.pcap y.pcap` would write over a capture.
    try:
        with Path(arguments.html or "").open("rb") as existing:
            begin = existing.read(512).lstrip().lower()
    except OSError:
        return ""  # there is none, or writing will say what is wrong
    if begin and not begin.startswith((b"<!doctype html", b"<html")):
        return f"--html {arguments.html}: this file is not a page; give another name, or remove it"
    return ""


def _show_json(report: dict[str, Any]) -> None:
    """Print the object; the conversations one by one, since a file may have thousands."""
    from credssp.cli._output import print_json

    if not report["conversations"]:
        print_json(report | {"conversations": []})
        return
    mark = '"conversations": []'  # a quotation mark inside a string would have a backslash
    before, _, after = json.dumps(report | {"conversations": []}, indent=2).partition(mark)
    print(before + mark[:-1])
    for number, tree in enumerate(report["conversations"]):
        lines = json.dumps(tree, indent=2).replace("\n", "\n    ")
        print(("    " if number == 0 else ",\n    ") + lines, end="")
    print("\n  ]" + after)


def _write(path: Path, show: Callable[[], object]) -> None:
    from credssp.dissect.errors import CaptureError

    try:
        with path.open("w", encoding="utf-8") as file, contextlib.redirect_stdout(file):
            show()
    except OSError as error:
        raise CaptureError(f"{path} cannot be written: {error.strerror}") from None


def _logon_secrets(arguments: argparse.Namespace) -> LogonSecrets:
    from credssp.exchange.opening import LogonSecrets
    from credssp.secret import Secret

    return LogonSecrets(
        tuple(Secret(password) for password in arguments.password),
        tuple(Secret(_key(text, "--hash")) for text in arguments.hash),
        tuple(Secret(_key(text, "--session-key")) for text in arguments.session_key),
    )


def _key(text: str, option: str) -> bytes:
    """Return 16 bytes. A hash may come as ``LM:NT``, as most tools print it."""
    digits = text.rpartition(":")[2] if option == "--hash" else text
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        key = b""
    if len(key) != 16:
        raise ValueError(f"{option} takes 32 hexadecimal digits")
    return key
