"""Accounts from a file, read when the server starts, and again after each change where that is asked for.

Formats, one account per line; empty lines and lines that start with ``#`` are skipped; UTF-8:

``smbpasswd``
    ``alice:1000:LMHASH:NTHASH:[U          ]:LCT-5F000000:`` as Samba writes it (smbpasswd(5)). The second field is a
    number, and there is no domain. The flags D and L make the account disabled and locked out, W, S and I are
    machine and trust accounts, N and hashes of ``X`` or ``NO PASSWORD`` are accounts that cannot log on. The flag X
    (password does not expire) means nothing here. Without flags (``alice:1001:LMHASH:NTHASH:::``) this is what
    password dumpers print.
``sam``
    ``alice:LABDOM::NTHASH:::`` as FreeRDP's ``winpr-hash -f sam`` writes it; the domain may be empty.
``simple``
    ``LABDOM:alice:password``; the domain may be empty, the password may hold colons.

Unless a format is given, each line is read as ``smbpasswd`` if its second field is a number and its fourth looks like a
hash, as ``sam`` if its third is empty or looks like a hash and its fourth does too, else as ``simple``.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from os import PathLike
from typing import Final, Literal

from credssp.account import Account
from credssp.accounts.memory import AccountIndex, Entry
from credssp.errors import LocalProtocolError
from credssp.private_file import check_private_file
from credssp.secret import private_methods
from credssp.status import NTStatus
from credssp.watched_file import WatchedFile

__all__ = ["FileAccounts", "FileFormat"]

FileFormat = Literal["smbpasswd", "sam", "simple"]

_HASH: Final = re.compile(r"[0-9A-Fa-f]{32}")
# smbpasswd(5): instead of a hash, 32 X (account disabled) or NO PASSWORD and 21 X (no password at all).
_NO_HASH: Final = re.compile(r"X{32}|NO PASSWORDX{21}")
_FLAGS: Final = re.compile(r"\[([A-Z ]*)\]")

# The order matters where an account has several: what is wrong for good comes first.
_STATUS_OF_FLAG: Final = (
    ("W", NTStatus.STATUS_NOLOGON_WORKSTATION_TRUST_ACCOUNT),
    ("S", NTStatus.STATUS_NOLOGON_SERVER_TRUST_ACCOUNT),
    ("I", NTStatus.STATUS_NOLOGON_INTERDOMAIN_TRUST_ACCOUNT),
    ("D", NTStatus.STATUS_ACCOUNT_DISABLED),
    ("L", NTStatus.STATUS_ACCOUNT_LOCKED_OUT),
)


@private_methods("__init__")
class FileAccounts:
    """Accounts from a file in one of the formats of `credssp.accounts.file`.

    Args:
        path: the file.
        format: the format of all lines, or None to tell it line by line.
        watch: read it again within a second of a change; where it makes no sense then, the accounts stay as they were.

    Raises:
        LocalProtocolError: the file cannot be read, or a line makes no sense; the text names the line's number, and
            nothing of what is in it.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        format: FileFormat | None = None,  # noqa: A002
        *,
        watch: bool = False,
    ) -> None:
        def load(data: bytes) -> AccountIndex:
            check_private_file("account file", path)
            return AccountIndex(_read(data, format))

        name = os.fspath(path)
        try:
            self._file = WatchedFile(path, load=load, interval=1.0 if watch else math.inf, what="account file")
        except OSError as error:
            raise LocalProtocolError(f"the account file {name} cannot be read: {error.strerror}") from error
        except LocalProtocolError as error:
            problem = error
        else:
            return
        # Outside the except clause, as below.
        named = problem.message if name in problem.message else f"account file {name}, {problem.message}"
        raise LocalProtocolError(named, advice=problem.advice)

    def find(self, domain: str, username: str) -> Sequence[Account]:
        """Return the accounts that these names may mean, best first (`credssp.accounts`)."""
        return self._file.current().find(domain, username)

    def __len__(self) -> int:
        return len(self._file.current())

    def __repr__(self) -> str:
        return f"FileAccounts({len(self)} accounts)"


def _read(data: bytes, file_format: FileFormat | None) -> Iterator[Entry]:
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            line = raw.removesuffix(b"\r").decode("utf-8")
        except UnicodeDecodeError:
            problem: str | None = "not UTF-8"
        else:
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            problem, entry = _read_line(line, file_format)
            if entry is not None:
                yield entry
        if problem is not None:
            # Outside the except clause: a UnicodeDecodeError carries the line with it.
            raise LocalProtocolError(f"line {number}: {problem}")


def _read_line(line: str, file_format: FileFormat | None) -> tuple[str | None, Entry | None]:
    """Return (what is wrong, the account); both None for an account that cannot be logged on to."""
    fields = line.split(":")
    match file_format or _format_of(fields):
        case "smbpasswd":
            return _read_hash_line(fields, domain="")
        case "sam":
            return _read_hash_line(fields, domain=fields[1] if len(fields) > 1 else "")
        case _:
            parts = line.split(":", 2)
            if len(parts) != 3:
                return "fewer than three fields, expected DOMAIN:user:password or a line with hashes", None
            domain, username, password = parts
            if not username or not password:
                return "no user name or no password", None
            return None, Entry(domain, username, password)


def _format_of(fields: list[str]) -> FileFormat:
    if len(fields) < 4 or not _looks_like_hash(fields[3]):
        return "simple"
    if fields[1].isdecimal():
        return "smbpasswd"
    return "sam" if not fields[2] or _looks_like_hash(fields[2]) else "simple"


def _looks_like_hash(text: str) -> bool:
    return bool(_HASH.fullmatch(text) or _NO_HASH.fullmatch(text))


def _read_hash_line(fields: list[str], *, domain: str) -> tuple[str | None, Entry | None]:
    if len(fields) < 4:
        return "fewer than four fields", None
    username, nt_hash = fields[0], fields[3]
    if not username:
        return "no user name", None
    if not _looks_like_hash(nt_hash):
        return "the fourth field is not an NT hash of 32 hexadecimal digits", None
    found = _FLAGS.fullmatch(fields[4]) if len(fields) > 4 and fields[4] else None
    if found is None and len(fields) > 4 and fields[4].startswith("["):
        return "the account flags are not letters in brackets", None
    flags = found.group(1) if found else ""
    if "N" in flags or not _HASH.fullmatch(nt_hash):
        return None, None
    status = next((status for flag, status in _STATUS_OF_FLAG if flag in flags), None)
    return None, Entry(domain, username, Account(domain, username, bytes.fromhex(nt_hash), status))
