"""An account and the protocol of a store of them: what the acceptor asks for and `credssp.accounts` provides.

It is below both, since they may not import one another.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from credssp.errors import LocalProtocolError
from credssp.secret import Secret, private_methods
from credssp.sid import is_sid

__all__ = ["Account", "AccountStore", "upper_case"]


def upper_case(name: str) -> str:
    """Return a name in upper case as Windows makes it: to compare names, and for NTOWFv2 ([MS-NLMP] 3.3.2).

    Windows maps one UTF-16 unit to one unit, and only between letters that are a pair: ``ß``, ``ŉ``, ``ǰ``, ``ﬁ``,
    ``ΐ``, ``ı``, ``ſ`` and ``µ`` stay as they are. The one exception is the final sigma: ``νικος`` and ``νικοσ`` are
    the same name.
    """
    return name.upper() if name.isascii() else "".join(map(_upper_letter, name))


@functools.lru_cache(maxsize=1024)
def _upper_letter(letter: str) -> str:
    if letter == "ς":
        return "Σ"
    if letter > "\uffff":
        return letter  # two UTF-16 units
    upper = letter.upper()
    if len(upper) != 1:
        upper = letter.title()  # ᾳ is ΑΙ in full, and ᾼ one to one
    # Georgian letters have capitals, but never at the start of a word, and Windows does not know them.
    pair = len(upper) == 1 and upper.lower() == letter and letter.title() != letter
    return upper if pair else letter


@private_methods("__init__")
@dataclass(frozen=True, slots=True, init=False)
class Account:
    """One account that may log on with NTLM.

    Attributes:
        domain: its domain in the spelling to report, empty for an account of this server itself.
        username: its name in the spelling to report.
        nt_hash: MD4 of the UTF-16LE password, 16 bytes; see `credssp.nt_hash.nt_hash`. A plain `bytes` is boxed.
        status: an NTSTATUS to refuse the login with although the password is right (locked, disabled, expired, ...),
            or None. It is told only to a client that has proved to know the password.
        sid: its SID, for `credssp.Identity`; empty for none.
        groups: the SIDs of its groups.

    Raises:
        LocalProtocolError: a hash of another size, or something that is not a SID.
    """

    domain: str
    username: str
    nt_hash: Secret[bytes]
    status: int | None
    sid: str
    groups: tuple[str, ...]

    def __init__(
        self,
        domain: str,
        username: str,
        nt_hash: Secret[bytes] | bytes,
        status: int | None = None,
        *,
        sid: str = "",
        groups: Iterable[str] = (),
    ) -> None:
        box = Secret(nt_hash)
        if not isinstance(box.reveal(), bytes) or len(box.reveal()) != 16:
            raise LocalProtocolError("an NT hash is 16 bytes")
        object.__setattr__(self, "domain", domain)
        object.__setattr__(self, "username", username)
        object.__setattr__(self, "nt_hash", box)
        object.__setattr__(self, "status", status)
        groups = tuple(sorted({groups} if isinstance(groups, str) else set(groups)))
        if not all(map(is_sid, (*groups, *((sid,) if sid else ())))):
            raise LocalProtocolError("sid and groups of an account are SIDs such as S-1-5-21-1-2-3-1104")
        object.__setattr__(self, "sid", sid)
        object.__setattr__(self, "groups", groups)


class AccountStore(Protocol):
    """Where the acceptor looks accounts up."""

    def find(self, domain: str, username: str) -> Sequence[Account]:
        """Return the accounts that these names may mean, best first; empty where there is none.

        Args:
            domain: as the client sent it; may be empty.
            username: as the client sent it; may be a UPN (``user@dom``), then the domain is empty.
        """
