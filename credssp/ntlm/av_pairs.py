"""AV_PAIR lists: the target information of CHALLENGE and of the NTLMv2 response ([MS-NLMP] 2.2.2.1)."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from credssp._quick_init import quick_init
from credssp.errors import DecodeError, LimitExceededError

__all__ = [
    "AV_CHANNEL_BINDINGS",
    "AV_DNS_COMPUTER_NAME",
    "AV_DNS_DOMAIN_NAME",
    "AV_DNS_TREE_NAME",
    "AV_EOL",
    "AV_FLAGS",
    "AV_FLAG_MIC_PRESENT",
    "AV_FLAG_UNTRUSTED_SPN",
    "AV_NB_COMPUTER_NAME",
    "AV_NB_DOMAIN_NAME",
    "AV_SINGLE_HOST",
    "AV_TARGET_NAME",
    "AV_TIMESTAMP",
    "MAX_AV_PAIRS",
    "AvPairs",
    "encode_av_pair",
    "encode_av_pairs",
    "filetime",
    "filetime_text",
]

AV_EOL: Final = 0
AV_NB_COMPUTER_NAME: Final = 1
AV_NB_DOMAIN_NAME: Final = 2
AV_DNS_COMPUTER_NAME: Final = 3
AV_DNS_DOMAIN_NAME: Final = 4
AV_DNS_TREE_NAME: Final = 5
AV_FLAGS: Final = 6
AV_TIMESTAMP: Final = 7
AV_SINGLE_HOST: Final = 8
AV_TARGET_NAME: Final = 9
AV_CHANNEL_BINDINGS: Final = 10

AV_FLAG_MIC_PRESENT: Final = 0x2
AV_FLAG_UNTRUSTED_SPN: Final = 0x4

MAX_AV_PAIRS: Final = 32
"""More pairs than this are refused; eleven ids exist."""

_NAMES: Final = {
    AV_EOL: "MsvAvEOL",
    AV_NB_COMPUTER_NAME: "MsvAvNbComputerName",
    AV_NB_DOMAIN_NAME: "MsvAvNbDomainName",
    AV_DNS_COMPUTER_NAME: "MsvAvDnsComputerName",
    AV_DNS_DOMAIN_NAME: "MsvAvDnsDomainName",
    AV_DNS_TREE_NAME: "MsvAvDnsTreeName",
    AV_FLAGS: "MsvAvFlags",
    AV_TIMESTAMP: "MsvAvTimestamp",
    AV_SINGLE_HOST: "MsvAvSingleHost",
    AV_TARGET_NAME: "MsvAvTargetName",
    AV_CHANNEL_BINDINGS: "MsvAvChannelBindings",
}
_TEXT_IDS: Final = frozenset({1, 2, 3, 4, 5, AV_TARGET_NAME})
_SIZES: Final = {AV_FLAGS: 4, AV_TIMESTAMP: 8, AV_CHANNEL_BINDINGS: 16}
_SECTION: Final = "[MS-NLMP] 2.2.2.1"
_HEADER: Final = struct.Struct("<HH")
_EOL: Final = bytes(4)


def encode_av_pair(av_id: int, value: bytes) -> bytes:
    """Return one AV_PAIR."""
    return _HEADER.pack(av_id, len(value)) + value


def encode_av_pairs(pairs: Iterable[tuple[int, bytes]]) -> bytes:
    """Return a list of AV_PAIRs with the MsvAvEOL that ends it."""
    pack = _HEADER.pack
    return b"".join([pack(av_id, len(value)) + value for av_id, value in pairs]) + _EOL


def filetime(nanoseconds: int) -> int:
    """Return the FILETIME (100 ns since 1601, UTC) of a time as `time.time_ns` tells it."""
    return nanoseconds // 100 + 116_444_736_000_000_000


def filetime_text(filetime: int) -> str:
    """Return a FILETIME (100 ns since 1601, UTC) in ISO form, or as a number where no calendar has it."""
    try:
        moment = datetime(1601, 1, 1, tzinfo=UTC) + timedelta(microseconds=filetime // 10)
    except OverflowError:
        return f"FILETIME {filetime}"
    return moment.isoformat()


@quick_init
@dataclass(frozen=True, slots=True)
class AvPairs:
    """A list of AV_PAIRs as it was received.

    Attributes:
        pairs: (id, value) in their order, without the MsvAvEOL.
        terminated: whether a MsvAvEOL was there; what follows it is ignored (FreeRDP 2 and 3 pad there).
    """

    pairs: tuple[tuple[int, bytes], ...]
    terminated: bool

    @classmethod
    def decode(cls, data: bytes, *, field: str, offset: int = 0, start: int = 0) -> AvPairs:
        """Read the list that begins at `start` of `data`.

        Args:
            data: holds the list, up to its end.
            field: what to call it in errors.
            offset: where `data` is in its message, for errors.
            start: where in `data` the list begins.

        Raises:
            DecodeError: a pair goes beyond the end, or has a length its id cannot have.
            LimitExceededError: more than `MAX_AV_PAIRS`.
        """
        pairs: list[tuple[int, bytes]] = []
        position, end = start, len(data)
        while position + 4 <= end:
            av_id, size = _HEADER.unpack_from(data, position)
            value_at = position + 4
            if av_id == AV_EOL:
                if size:
                    raise DecodeError(
                        f"MsvAvEOL with length {size}", field=field, offset=offset + position, section=_SECTION
                    )
                return cls(tuple(pairs), True)
            position = value_at + size
            if position > end:
                raise DecodeError(
                    f"AV_PAIR {av_id} of {size} bytes goes beyond the end",
                    field=field,
                    offset=offset + value_at - 4,
                    section=_SECTION,
                )
            if (size & 1) if av_id in _TEXT_IDS else (_SIZES.get(av_id, size) != size):
                raise DecodeError(
                    f"AV_PAIR {av_id} cannot have a length of {size}",
                    field=field,
                    offset=offset + value_at - 4,
                    section=_SECTION,
                )
            if len(pairs) == MAX_AV_PAIRS:
                raise LimitExceededError(f"{field}: more than {MAX_AV_PAIRS} AV_PAIRs", section=_SECTION)
            pairs.append((av_id, data[value_at:position]))
        return cls(tuple(pairs), False)

    def get(self, av_id: int) -> bytes | None:
        """Return the value of the first pair with this id, or None."""
        for found, value in self.pairs:
            if found == av_id:
                return value
        return None

    @property
    def flags(self) -> int:
        """MsvAvFlags, 0 where absent."""
        return int.from_bytes(self.get(AV_FLAGS) or b"", "little")

    @property
    def timestamp(self) -> int | None:
        """MsvAvTimestamp as FILETIME, or None."""
        value = self.get(AV_TIMESTAMP)
        return None if value is None else int.from_bytes(value, "little")

    @property
    def target_name(self) -> str | None:
        """MsvAvTargetName (the SPN), or None."""
        value = self.get(AV_TARGET_NAME)
        return None if value is None else value.decode("utf-16-le", "replace")

    def described(self) -> tuple[tuple[str, str], ...]:
        """Return (name, value) of every pair as text for people."""
        return tuple((_NAMES.get(av_id, f"AV_PAIR {av_id}"), _text(av_id, value)) for av_id, value in self.pairs)


def _text(av_id: int, value: bytes) -> str:
    if av_id in _TEXT_IDS:
        return value.decode("utf-16-le", "replace")
    if av_id == AV_FLAGS:
        return f"0x{int.from_bytes(value, 'little'):08X}"
    if av_id == AV_TIMESTAMP:
        return filetime_text(int.from_bytes(value, "little"))
    return value.hex()
