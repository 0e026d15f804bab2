"""``credssp status CODE``: what a number or name means, where it usually comes from, what to do about it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from credssp.status import StatusInfo, all_statuses, lookup
from credssp.status_search import Meaning, find, search

__all__ = ["configure", "run"]

_MAX_SHOWN = 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = (
        "For example: credssp status 0xC000006D; credssp status 1326; credssp status ERRCONNECT_LOGON_FAILURE; credssp "
        "status password expired. In front of a number such as -0x7FF6FCF4 write --."
    )
    parser.add_argument(
        "code",
        metavar="CODE",
        nargs="+",
        help="a number in any form (NTSTATUS, SECURITY_STATUS, Win32, WinRM, mstsc, FreeRDP), a name, a line with such "
        "numbers and names in it, or words to search for",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Explain all that it can mean, or show what has these words, or say what may have been meant."""
    text = " ".join(arguments.code)
    matches = find(text)
    # An unknown number has a general explanation, as from `lookup`.
    info = None if matches else lookup(text)
    hits = () if matches or info else search(text)
    near = [] if matches or hits else _near(text, info)
    if arguments.json:
        _print_json(matches, info, hits, near)
    elif matches:
        for number, each in enumerate(matches):
            _explain(each, first=number == 0)
    elif info is not None:
        _explain(Meaning("", info.code, info.name, info.meaning, info.cause, info.advice), first=True)
    elif hits:
        _list(hits)
    if matches or hits:
        return 0
    _hint(text, near)
    return 2


def _print_json(
    matches: Sequence[Meaning], info: StatusInfo | None, hits: Sequence[Meaning], near: Sequence[StatusInfo]
) -> None:
    from credssp.cli._output import print_json

    first: Meaning | StatusInfo | None = matches[0] if matches else info
    print_json(
        {
            "known": bool(matches),
            "status": _data(first) if first else None,
            "matches": [_data(each) | {"kind": each.kind} for each in matches],
            "found": [_data(each) | {"kind": each.kind} for each in hits],
            "near": [_data(each) for each in near],
        }
    )


def _data(info: StatusInfo | Meaning) -> dict[str, object]:
    return {
        "code": info.code,
        "hex": f"0x{info.code:08X}",
        "name": info.name,
        "text": info.meaning,
        "advice": info.advice,
        "cause": info.cause,
    }


def _explain(each: Meaning, *, first: bool) -> None:
    from credssp.cli._output import print_facts

    if not first:
        print()
    code = each.code
    signed = f", {code - (1 << 32)}" if code >> 31 else ""
    kind = {"kind": each.kind} if each.kind else {}
    facts = {**kind, "number": f"0x{code:08X}, {code}{signed}"}
    print_facts(each.summary, facts | {"meaning": each.meaning, "cause": each.cause, "advice": each.advice})


def _list(hits: Sequence[Meaning]) -> None:
    from credssp.cli._output import print_table

    rows = [(each.name, each.number, each.kind, each.meaning) for each in hits[:_MAX_SHOWN]]
    print_table(("name", "number", "kind", "meaning"), rows)
    if len(hits) > _MAX_SHOWN:
        print(f"{len(hits) - _MAX_SHOWN} more; give another word")


def _near(text: str, info: StatusInfo | None) -> list[StatusInfo]:
    """Return the statuses that may have been meant, the likeliest first."""
    import difflib

    wanted = f"{info.code:08X}" if info else text.strip().upper()
    by_text: dict[str, StatusInfo] = {}
    for each in all_statuses():
        if info is not None:
            by_text[f"{each.code:08X}"] = each
            continue
        by_text[each.name] = each
        by_text.setdefault(each.name.split("_", 1)[-1].removeprefix("E_").removeprefix("I_"), each)
    found = [by_text[name] for name in difflib.get_close_matches(wanted[:64], by_text, n=8, cutoff=0.7)]
    return list(dict.fromkeys(found))[:5]


def _hint(text: str, near: list[StatusInfo]) -> None:
    from credssp.cli._output import printable

    print(f"credssp status: {printable(text)!r} is not a known status", file=sys.stderr)
    for number, info in enumerate(near):
        print(f"  {'          or' if number else 'Did you mean'} {info.summary}?", file=sys.stderr)
    if not near:
        print(
            "  Give a number (0xC000006D, C000006D, 3221225581, -1073741715), a name (SEC_E_LOGON_DENIED, "
            "logon_failure) or a word of the meaning; [MS-ERREF] lists all numbers of Windows.",
            file=sys.stderr,
        )
