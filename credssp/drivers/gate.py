"""Who may connect, and how often: the books of one service, without input or output.

A stranger costs a descriptor and little memory until the login is over, and there are only so many of them. Once they
are as many as `Limits.half_open`, a new one takes the place of another: of one that has not sent a byte yet, if there
is one, else of the one that got least far among a few that are taken at random. (Dropping the oldest would leave each
the time of so many arrivals and no more, which is less than a login takes when somebody connects 1,200 times a second;
refusing the new one would leave a service to those who connect and wait.) From three quarters on, that happens by
chance, more often the fuller it is, as with OpenSSH's MaxStartups. A source of connections that has more than its share
takes the places of its own.

Clients of a Unix-domain socket have no address, so there is no share of a source, and no source that waits.

Failed logins make the next ones of the same address wait, longer every time, and lock the account for a while
(`credssp.drivers.guard`).

Every process has books of its own: with several workers, the numbers are for each.
"""

from __future__ import annotations

import functools
import ipaddress
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from credssp.config import Limits
from credssp.errors import CredSSPError
from credssp.status import NTStatus

__all__ = ["NO_PLACE", "Gate", "NameKey", "Place", "descriptors", "host_and_port"]

NO_PLACE: Final = "the server has as many connections as it may have"
"""Why a connection is closed that `Gate.enter` does not let in."""

_RESERVE: Final = 24
"""Descriptors for everything else: files, the event loop, a database of accounts."""

_FEW: Final = 64
"""Half-open connections below which none is dropped early."""

_SAMPLE: Final = 8
_REMEMBERED: Final = 4096
"""Addresses and accounts whose failures are remembered; the least recent ones are forgotten."""

_FAILURES: Final = frozenset(
    {NTStatus.STATUS_LOGON_FAILURE, NTStatus.STATUS_WRONG_PASSWORD, NTStatus.STATUS_NO_SUCH_USER}
)

NameKey = tuple[str, str]


def descriptors() -> int | None:
    """Return how many descriptors this process may have, or None where there is no such limit."""
    try:
        import resource
    except ImportError:  # pragma: no cover  # Windows
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def host_and_port(address: object) -> tuple[str, int]:
    """Return the address and port of what ``accept`` returned; an empty one for a socket without."""
    host, port = address[:2] if isinstance(address, tuple) and len(address) >= 2 else ("", 0)
    return str(host), int(port)


class Place:
    """A connection in the books.

    Attributes:
        address: the client's address and port.
        hold: seconds to wait before the client is listened to, after failures from its address.
        drop: ends the connection; called with the reason when its place is needed.
        progress: 0 before the first byte, 1 before TLS is set up, then 2.
        gone: whether it has left.
    """

    __slots__ = ("_index", "_source", "address", "drop", "gone", "half_open", "hold", "progress")

    def __init__(self, address: tuple[str, int], source: _Source, hold: float, drop: Callable[[str], None]) -> None:
        self.address = address
        self.hold = hold
        self.drop = drop
        self.progress = 0
        self.half_open = True
        self.gone = False
        self._source = source
        self._index = -1


class _Source:
    __slots__ = ("half_open", "key", "total")

    def __init__(self, key: str) -> None:
        self.key = key
        self.half_open: dict[Place, None] = {}
        self.total = 0


class _Bag:
    """Places of which one is taken at random, in constant time."""

    def __init__(self) -> None:
        self.items: list[Place] = []

    def add(self, place: Place) -> None:
        place._index = len(self.items)
        self.items.append(place)

    def remove(self, place: Place) -> None:
        last = self.items.pop()
        if last is not place:
            self.items[place._index] = last
            last._index = place._index


class _Failures:
    """Failures by some key, with a delay that doubles with each above what is free."""

    def __init__(self, free: int, longest: float, window: float, clock: Callable[[], float]) -> None:
        self._free = free
        self._longest = longest
        self._window = window
        self._clock = clock
        self._all: OrderedDict[object, tuple[int, float, float]] = OrderedDict()

    def failed(self, key: object) -> None:
        now = self._clock()
        count, last, _ = self._all.pop(key, (0, now, now))
        count = 1 if now - last > self._window else count + 1
        excess = count - self._free
        delay = min(2.0 ** min(excess, 30) / 2, self._longest) if excess > 0 else 0.0
        self._all[key] = count, now, now + delay
        if len(self._all) > _REMEMBERED:
            self._all.popitem(last=False)

    def wait(self, key: object) -> float:
        found = self._all.get(key)
        return 0.0 if found is None else max(0.0, found[2] - self._clock())

    def forget(self, key: object) -> None:
        self._all.pop(key, None)


class Gate:
    """The books of one service; may be used from several threads.

    Attributes:
        limits: the bounds. Connections are kept below the number of descriptors that the process may have.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.limits = limits
        room = descriptors()
        self._connections = limits.connections if room is None else max(4, min(limits.connections, room - _RESERVE))
        self._half_open = limits.half_open
        if room is not None:
            self._half_open = max(1, min(limits.half_open, self._connections * 3 // 4))
        self._early = max(self._half_open * 3 // 4, min(self._half_open, _FEW))
        self._chance = chance
        self._lock = threading.RLock()
        self._sources: dict[str, _Source] = {}
        self._bare, self._moving = _Bag(), _Bag()
        self._total = 0
        self._addresses = _Failures(limits.source_failures, limits.source_delay, limits.failure_window, clock)
        self._accounts = _Failures(limits.account_failures, limits.account_delay, limits.failure_window, clock)

    @property
    def total(self) -> int:
        """Connections, half-open and others."""
        return self._total

    @property
    def half_open(self) -> Sequence[Place]:
        """Connections whose login is not over."""
        with self._lock:
            return (*self._bare.items, *self._moving.items)

    def enter(self, address: object, drop: Callable[[str], None]) -> Place | None:
        """Take a new connection in; another may be dropped for it. Returns None if there is no place.

        Args:
            address: what ``accept`` returned.
            drop: see `Place`.
        """
        address = host_and_port(address)
        key = self.source(address[0])
        why, victim = "", None
        with self._lock:
            source = self._sources.get(key) or _Source(key)
            if key and (
                len(source.half_open) >= self.limits.half_open_per_source
                or source.total >= self.limits.connections_per_source
            ):
                why, victim = "too many connections from one address", self._of(source)
                if victim is None:
                    return None
            elif self._total >= self._connections or self._is_full():
                why, victim = "too many logins at once, and this one had made the least progress", self._any()
                if victim is None:
                    return None
            end = None if victim is None else victim.drop
            if victim is not None:
                self.leave(victim)
            self._sources[key] = source
            place = Place(address, source, self._addresses.wait(key), drop)
            source.half_open[place] = None
            source.total += 1
            self._total += 1
            self._bare.add(place)
        if end is not None:
            end(why)
        return place

    def source(self, host: str) -> str:
        """Return what counts as one source: the address, or its network."""
        return _source(host, self.limits.ipv4_prefix, self.limits.ipv6_prefix)

    def _is_full(self) -> bool:
        count = len(self._bare.items) + len(self._moving.items)
        if count < self._early:
            return False
        return self._chance() * (self._half_open - self._early + 1) < count - self._early + 1

    def _of(self, source: _Source) -> Place | None:
        return min(source.half_open, key=_progress, default=None)

    def _any(self) -> Place | None:
        items = self._bare.items or self._moving.items
        if not items:
            return None
        tries = 1 if self._bare.items else _SAMPLE
        return min((items[int(self._chance() * len(items))] for _ in range(tries)), key=_progress)

    def advance(self, place: Place, progress: int) -> None:
        """Say how far a connection is."""
        with self._lock:
            if place.half_open and not place.gone and not place.progress:
                self._bare.remove(place)
                self._moving.add(place)
            place.progress = progress

    def opened(self, place: Place) -> None:
        """Say that a login is over: the connection is one of the others from now on."""
        with self._lock:
            if place.half_open and not place.gone:
                (self._moving if place.progress else self._bare).remove(place)
                place._source.half_open.pop(place)
                place.half_open = False
                place.drop = _keep  # the connection, and what was delegated on it, is held by its owner alone

    def reopened(self, place: Place, drop: Callable[[str], None]) -> None:
        """Say that a connection has no login any more."""
        with self._lock:
            if not place.half_open and not place.gone:
                place.drop = drop
                place.half_open = True
                place._source.half_open[place] = None
                (self._moving if place.progress else self._bare).add(place)

    def leave(self, place: Place) -> None:
        """Say that a connection is closed, once or again."""
        with self._lock:
            if place.gone:
                return
            self.opened(place)
            place.gone = True
            source = place._source
            source.total -= 1
            self._total -= 1
            if not source.total:
                self._sources.pop(source.key, None)

    def failed(self, host: str, error: CredSSPError, names: Sequence[NameKey] = ()) -> None:
        """Take notice of a login that failed: of a wrong user name or password, from an address, for accounts."""
        if error.ntstatus not in _FAILURES:
            return
        with self._lock:
            if host:
                self._addresses.failed(self.source(host))
            for name in names:
                # While it is locked, failures do not count: somebody who goes on guessing must not keep it locked.
                if not self._accounts.wait(name):
                    self._accounts.failed(name)

    def locked(self, name: NameKey) -> bool:
        """Whether an account is locked because of failures; its domain and user name are in upper case."""
        with self._lock:
            return self._accounts.wait(name) > 0

    def succeeded(self, name: NameKey) -> None:
        """Forget the failures of an account."""
        with self._lock:
            self._accounts.forget(name)


@functools.lru_cache(256)  # a flood comes from few addresses, and this would be a tenth of what it costs
def _source(host: str, ipv4_prefix: int, ipv6_prefix: int) -> str:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return str(ipaddress.ip_network((address, ipv6_prefix), strict=False))
        address = address.ipv4_mapped
    if ipv4_prefix == 32:
        return str(address)
    return str(ipaddress.ip_network((address, ipv4_prefix), strict=False))


def _keep(why: str) -> None:
    """Drop nothing."""


def _progress(place: Place) -> int:
    return place.progress
