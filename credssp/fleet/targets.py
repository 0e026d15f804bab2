"""Targets as people write them: a server, a range of addresses, several ports, a file with one of these per line.

=============================== ============================================================
``srv.example.com``             a server; ``:PORT`` and a scheme as in a URL
``192.0.2.0/24``                every address of a network, its first and last included
``192.0.2.10-192.0.2.20``       every address from the first to the last
``192.0.2.10-20``               the same, with the last number alone
``[2001:db8::10-2001:db8::1f]`` IPv6 in brackets where a port or a path follows
``https://192.0.2.0/24``        WinRM; a path follows after the range: ``http://192.0.2.0/24:5985/wsman``
``192.0.2.0/28:3389,3390-3395`` every port of a list at every address
=============================== ============================================================

Nothing is spelled out before it is its turn: a million addresses take no more memory than one.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from credssp.errors import LocalProtocolError
from credssp.fleet.target_url import DEFAULT_PORTS, TargetURL, parse_target

__all__ = ["MAX_TARGETS", "TargetFile", "TargetRange", "parse_ports", "parse_range", "spell_out"]

MAX_TARGETS: Final = 1 << 24
"""Of one line: a /8 of IPv4. A line that asks for more most likely lacks a digit."""

_MAX_LINE: Final = 4096
"""Characters of a line in a file; host names end at 253."""

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_V6: Final = r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*"
_RANGE: Final = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?"
    rf"(?:\[(?P<boxed>{_V6}(?:/\d+|-{_V6}))\]|\[(?P<host6>{_V6})\](?P<length>/\d+)|"
    rf"(?P<bare>\d+\.\d+\.\d+\.\d+(?:/\d+|-[\d.]+)|{_V6}(?:/\d+|-{_V6})))"
    r"(?::(?P<ports>[0-9,-]+))?(?P<path>/[^\s?#]*)?"
)
_SEVERAL_PORTS: Final = re.compile(
    r"(?P<before>(?:[A-Za-z][A-Za-z0-9+.-]*://)?(?:\[[^\]\s]+\]|[^\s/:@\[\]?#]+)):(?P<ports>\d+(?:[,-]\d+)+)"
    r"(?P<path>/[^\s?#]*)?"
)
_HAS_PORT: Final = re.compile(r"(?:.*//)?(?:\[[^\]]*\]|[^:/\s]+):\d+(?:/.*)?")


@dataclass(frozen=True, slots=True)
class TargetRange:
    """What one line or argument stands for; iteration spells it out, `len` says how many targets it is.

    Attributes:
        first: the target with the first address and the first port.
        ports: every port.
        last: the last address; None for a single host, which may be a name.
    """

    first: TargetURL
    ports: tuple[int, ...]
    last: _Address | None = None

    @property
    def count(self) -> int:
        """How many targets it is."""
        hosts = 1 if self.last is None else int(self.last) - int(ipaddress.ip_address(self.first.host)) + 1
        return hosts * len(self.ports)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[TargetURL]:
        scheme, path = self.first.scheme, self.first.path
        for host in self._hosts():
            for port in self.ports:
                yield TargetURL(scheme, host, port, path)

    def _hosts(self) -> Iterator[str]:
        if self.last is None:
            yield self.first.host
            return
        make = type(self.last)
        for number in range(int(ipaddress.ip_address(self.first.host)), int(self.last) + 1):
            yield str(make(number))


def parse_ports(text: str) -> tuple[int, ...]:
    """Read ``3389``, ``3389,5985`` or ``3389-3399``; returns the ports in ascending order.

    Raises:
        LocalProtocolError: it is not a list of TCP ports.
    """
    found: set[int] = set()
    for part in text.split(","):
        low, dash, high = part.partition("-")
        high = high if dash else low
        if not all(each.isascii() and each.isdecimal() and len(each) <= 5 for each in (low, high)):
            raise LocalProtocolError(f"{text!r} is not a list of ports such as 3389,5985 or 3389-3399")
        if not 0 < int(low) <= int(high) < 65536:
            raise LocalProtocolError(f"{part} is not a TCP port or a range of them: use 1 to 65535")
        found.update(range(int(low), int(high) + 1))
    return tuple(sorted(found))


def parse_range(text: str, *, ports: tuple[int, ...] | None = None) -> TargetRange:
    """Read one target or range.

    Args:
        text: as in the table above.
        ports: of targets that have none of their own; by default the usual port of the scheme.

    Raises:
        LocalProtocolError: it is not a target, or stands for more than `MAX_TARGETS`.
    """
    text = text.strip()
    match = _RANGE.fullmatch(text)
    found = _single(text, ports) if match is None else _range(match, ports)
    if found.count > MAX_TARGETS:
        raise LocalProtocolError(f"{text!r} stands for more than 16 million targets")
    return found


def _single(text: str, ports: tuple[int, ...] | None) -> TargetRange:
    if "/" in text and "//" not in text and "@" not in text:
        raise LocalProtocolError(f"{text!r} is not a range of addresses such as 192.0.2.0/24")
    if several := _SEVERAL_PORTS.fullmatch(text):
        own = parse_ports(several["ports"])
        return TargetRange(parse_target(f"{several['before']}:{own[0]}{several['path'] or ''}"), own)
    target = parse_target(text)
    if ports is None or _HAS_PORT.fullmatch(text):
        return TargetRange(target, (target.port,))
    return TargetRange(dataclasses.replace(target, port=ports[0]), ports)


def _range(match: re.Match[str], ports: tuple[int, ...] | None) -> TargetRange:
    scheme = (match["scheme"] or "rdp").lower()
    if scheme not in DEFAULT_PORTS:
        raise LocalProtocolError(f"scheme {scheme!r} is not supported; use one of {', '.join(sorted(DEFAULT_PORTS))}")
    first, last = _ends(match["boxed"] or match["bare"] or match["host6"] + match["length"])
    own = parse_ports(match["ports"]) if match["ports"] else ports or (DEFAULT_PORTS[scheme],)
    path = match["path"] or ""
    return TargetRange(TargetURL(scheme, str(first), own[0], "" if path == "/" else path), own, last)


def _ends(text: str) -> tuple[_Address, _Address]:
    """Return the first and the last address. Raises LocalProtocolError."""
    try:
        if "/" in text:
            network = ipaddress.ip_network(text, strict=False)
            return network[0], network[-1]
        low, _, high = text.partition("-")
        first = ipaddress.ip_address(low)
        last = ipaddress.ip_address(f"{low.rpartition('.')[0]}.{high}" if high.isdecimal() else high)
    except ValueError:
        raise LocalProtocolError(
            f"{text!r} is not a range of addresses such as 192.0.2.0/24 or 192.0.2.10-192.0.2.20"
        ) from None
    if first.version != last.version or int(first) > int(last):
        raise LocalProtocolError(f"the range {text!r} ends before it begins")
    return first, last


class TargetFile:
    """A file with a target or range per line; ``#`` begins a comment.

    It is read twice, and never held in memory: `check` counts and finds what is wrong, iteration leaves that out.

    Args:
        path: the file. It has to stay as it is until the end of the run.
        ports: of targets that have none of their own.
    """

    def __init__(self, path: Path, *, ports: tuple[int, ...] | None = None) -> None:
        self._path = path
        self._ports = ports

    def check(self, bad: Callable[[int, str], object]) -> Iterator[TargetRange]:
        """Yield every range.

        Args:
            bad: called with number and fault of each line that is not a target, which is left out.

        Raises:
            OSError: the file cannot be read.
        """
        # Latin-1 takes any byte: a line in another encoding is one bad line, and not the end of the list.
        with self._path.open(encoding="latin-1") as stream:
            number = 0
            while line := stream.readline(_MAX_LINE):
                number += 1
                if not line.endswith("\n") and len(line) == _MAX_LINE:
                    while line and not line.endswith("\n"):
                        line = stream.readline(_MAX_LINE)
                    bad(number, f"the line is longer than {_MAX_LINE} characters")
                    continue
                try:
                    text = line.partition("#")[0].encode("latin-1").decode().strip().removeprefix("\ufeff")
                    if text:
                        yield parse_range(text, ports=self._ports)
                except UnicodeDecodeError:
                    bad(number, "the line is not UTF-8 text")
                except LocalProtocolError as error:
                    bad(number, error.message)

    def __iter__(self) -> Iterator[TargetRange]:
        return self.check(lambda *_: None)


def spell_out(ranges: Iterable[TargetRange]) -> Iterator[TargetURL]:
    """Yield every target of all ranges."""
    for each in ranges:
        yield from each
