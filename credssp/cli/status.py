"""``credssp status CODE``: what a status means, where it usually comes from, what to do about it."""

from __future__ import annotations

import argparse
import sys

from credssp.status import StatusInfo, all_statuses, lookup

__all__ = ["configure", "run"]

_WIN32_BASE = 0x80070000


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = "For example: credssp status 0xC000006D; credssp status LOGON_DENIED; credssp status -1073741715"
    parser.add_argument("code", metavar="CODE", help="a number (hexadecimal, decimal, negative) or a name")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Explain the status, or say what it could have been."""
    info = lookup(arguments.code)
    known = info is not None and not info.name.startswith("0x")
    near = [] if known else _near(arguments.code, info)
    if arguments.json:
        from credssp.cli._output import print_json

        print_json({"known": known, "status": _data(info) if info else None, "near": [_data(each) for each in near]})
    elif info is not None:
        _explain(info)
    if not known:
        _hint(arguments.code, near)
    return 0 if known else 2


def _data(info: StatusInfo) -> dict[str, object]:
    return {
        "code": info.code,
        "hex": f"0x{info.code:08X}",
        "name": info.name,
        "meaning": info.meaning,
        "cause": info.cause,
        "advice": info.advice,
    }


def _explain(info: StatusInfo) -> None:
    from credssp.cli._output import print_facts

    code = info.code
    signed = f", {code - (1 << 32)}" if code >> 31 else ""
    facts = {"number": f"0x{code:08X}, {code}{signed}"}
    print_facts(info.summary, facts | {"meaning": info.meaning, "cause": info.cause, "advice": info.advice})


def _near(text: str, info: StatusInfo | None) -> list[StatusInfo]:
    """Return the statuses that may have been meant, the likeliest first."""
    import difflib

    if info is not None and info.code < 0x10000:
        win32 = lookup(hex(_WIN32_BASE | info.code))
        if win32 is not None and not win32.name.startswith("0x"):
            return [win32]  # 1326 is what FormatMessage and net.exe say
    wanted = f"{info.code:08X}" if info else text.strip().upper()
    by_text: dict[str, StatusInfo] = {}
    for each in all_statuses():
        if info is not None:
            by_text[f"{each.code:08X}"] = each
            continue
        by_text[each.name] = each
        by_text.setdefault(each.name.split("_", 1)[-1].removeprefix("E_").removeprefix("I_"), each)
    found = [by_text[name] for name in by_text if info is None and len(wanted) > 2 and wanted in name]
    found += [by_text[name] for name in difflib.get_close_matches(wanted, by_text, n=8, cutoff=0.7)]
    return list(dict.fromkeys(found))[:5]


def _hint(text: str, near: list[StatusInfo]) -> None:
    from credssp.cli._output import printable

    print(f"credssp status: {printable(text)!r} is not a known status", file=sys.stderr)
    for number, info in enumerate(near):
        print(f"  {'          or' if number else 'Did you mean'} {info.summary}?", file=sys.stderr)
    if not near:
        print(
            "  Give a number (0xC000006D, C000006D, 3221225581, -1073741715) or a name (SEC_E_LOGON_DENIED, "
            "logon_failure); [MS-ERREF] lists them all.",
            file=sys.stderr,
        )
