"""Application data: wrap and unwrap against the best bare loop over `ssl.MemoryBIO`."""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Callable

import credssp
from benchmarks.login import DOMAIN, HOST, PASSWORD, TARGET, USER
from credssp.tls.certificate import process_certificate
from credssp.tls.settings import ServerTLS, client_context, server_context

MIB = 1 << 20


class BarePair:
    """A bare TLS connection over memory, with the fastest loops we found."""

    def __init__(self) -> None:
        self.c_in, self.c_out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.s_in, self.s_out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client_context(credssp.ClientTLS()).wrap_bio(self.c_in, self.c_out, server_hostname=HOST)
        self.server = server_context(ServerTLS(), process_certificate()).wrap_bio(
            self.s_in, self.s_out, server_side=True
        )
        for _ in range(4):
            for side in (self.client, self.server):
                with contextlib.suppress(ssl.SSLWantReadError):
                    side.do_handshake()
                self.s_in.write(self.c_out.read())
                self.c_in.write(self.s_out.read())

    def wrap(self, data: bytes, piece: int) -> bytes:
        out = []
        view = memoryview(data)
        for start in range(0, len(data), piece):
            self.client.write(view[start : start + piece])
            out.append(self.c_out.read())
        return b"".join(out)

    def unwrap(self, data: bytes, piece: int) -> bytes:
        out = []
        view = memoryview(data)
        for start in range(0, len(data), piece):
            self.s_in.write(view[start : start + piece])
            _read_all(self.server, self.s_in, out)
        return b"".join(out)


def completed_pair() -> tuple[credssp.ClientContext, credssp.ServerContext]:
    """Return a client and a server after a login."""
    client = credssp.ClientContext(
        credssp.PasswordCredentials(USER, PASSWORD, domain=DOMAIN), target_name=TARGET, mechanism="ntlm"
    )
    server = credssp.ServerContext(accounts=credssp.MemoryAccounts({(DOMAIN, USER): PASSWORD}))
    token = b""
    while not server.complete:
        token = server.step(client.step(token).token).token
    return client, server


def _best(cases: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    best = dict.fromkeys(cases, float("inf"))
    for _ in range(rounds):
        for name, case in cases.items():
            begin = time.perf_counter()
            case()
            best[name] = min(best[name], time.perf_counter() - begin)
    return best


def measure(*, rounds: int = 7) -> dict[str, float]:
    """Return ratios: throughput of ours over the best bare loop, growth, and the cost of a small round trip."""
    bare = BarePair()
    client, server = completed_pair()
    data = bytes(16 * MIB)
    cases: dict[str, Callable[[], None]] = {"ours": lambda: _check(server.unwrap(client.wrap(data)), data)}
    for piece in (16384, 65536, 131072, 262144, len(data) * 2):
        cases[f"bare {piece}"] = lambda piece=piece: _check(bare.unwrap(bare.wrap(data, piece), piece), data)
    bulk = _best(cases, rounds)
    best_bare = min(seconds for name, seconds in bulk.items() if name != "ours")

    small, large = bytes(4 * MIB), bytes(64 * MIB)
    growth = _best(
        {
            "small": lambda: _check(server.unwrap(client.wrap(small)), small),
            "large": lambda: _check(server.unwrap(client.wrap(large)), large),
        },
        max(3, rounds // 2),
    )
    kib = bytes(1024)
    times = 400

    def ours_small() -> None:
        for _ in range(times):
            client.unwrap(server.wrap(server.unwrap(client.wrap(kib))))

    def bare_small() -> None:
        for _ in range(times):
            bare.client.write(kib)
            bare.s_in.write(bare.c_out.read())
            bare.server.write(_drain(bare.server, bare.s_in))
            bare.c_in.write(bare.s_out.read())
            _drain(bare.client, bare.c_in)

    trip = _best({"ours": ours_small, "bare": bare_small}, rounds * 4)
    return {
        "throughput_16MiB": best_bare / bulk["ours"],
        "growth_4_to_64MiB_per_octet": growth["large"] / growth["small"] / 16,
        "round_trip_1KiB": trip["ours"] / trip["bare"],
    }


def _read_all(side: ssl.SSLObject, incoming: ssl.MemoryBIO, out: list[bytes]) -> None:
    """Read what there is. Asking first beats reading until SSLWantReadError, by 1 us in each call."""
    while incoming.pending or side.pending():
        try:
            out.append(side.read(16384))
        except ssl.SSLWantReadError:  # a part of a record is left over
            return


def _drain(side: ssl.SSLObject, incoming: ssl.MemoryBIO) -> bytes:
    out: list[bytes] = []
    _read_all(side, incoming, out)
    return b"".join(out)


def _check(found: bytes, wanted: bytes) -> None:
    if len(found) != len(wanted):
        raise AssertionError("octets were lost")
