"""``python -m tests.threads.stress NAME SECONDS``: one object, many threads, for so many seconds.

Prints a line of JSON: how many answers were right, and what went wrong, by text. The tests run each case for a second
or two; ``python -m benchmarks soak`` runs them for a minute.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import faulthandler
import itertools
import json
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import credssp
from credssp.config import Limits
from credssp.drivers.blocking import Session
from credssp.errors import CredSSPError
from credssp.tls.settings import ClientTLS

ALICE = credssp.PasswordCredentials("alice", "secret", domain="LAB")
ACCOUNTS = credssp.MemoryAccounts({("LAB", "alice"): "secret"})


@dataclass
class Result:
    """What a case came to.

    Attributes:
        right: answers, sessions or messages that were right.
        wrong: what went wrong, and how often.
    """

    right: int = 0
    wrong: dict[str, int] = field(default_factory=dict)

    @classmethod
    def parse(cls, line: str) -> Result:
        return cls(**json.loads(line))


class Count:
    """A `Result` that many threads add to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.result = Result()
        self._wrong: collections.Counter[str] = collections.Counter()

    def note(self, right: bool | str) -> None:
        with self._lock:
            if right is True:
                self.result.right += 1
            else:
                self._wrong[str(right)] += 1

    def call(self, work: Callable[[], bool | str]) -> None:
        try:
            self.note(work())
        except Exception as error:  # noqa: BLE001  # whatever it is, it is what the case is about
            self.note(f"{type(error).__name__}: {error}"[:300])

    def total(self) -> Result:
        self.result.wrong = dict(self._wrong)
        return self.result


def run(works: Iterable[Callable[[], None]]) -> None:
    """Run each in a thread of its own, to the end."""
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def repeat(count: Count, seconds: float, work: Callable[[], bool | str]) -> Callable[[], None]:
    """Return what does something again and again until the time is over."""
    end = time.monotonic() + seconds

    def loop() -> None:
        while time.monotonic() < end:
            count.call(work)

    return loop


# Cases


def accounts(seconds: float) -> Result:
    """First logins of many users, whose passwords are hashed while others look up."""
    count, end = Count(), time.monotonic() + seconds
    while time.monotonic() < end:
        store = credssp.MemoryAccounts({("LAB", f"u{i}"): f"p{i}" for i in range(100)})

        def all_of_them(store: credssp.MemoryAccounts = store) -> None:
            for i in range(100):
                count.call(lambda i=i: len(store.find("LAB", f"u{i}")) == 1)

        run([all_of_them] * 6)
    return count.total()


def context(seconds: float, version: str = "1.3") -> Result:
    """One context: `wrap` in two threads, `unwrap` in another, of a stream that is cut anywhere."""
    count, end = Count(), time.monotonic() + seconds
    tls = ClientTLS(minimum=version, maximum=version)  # type: ignore[arg-type]
    while time.monotonic() < end:
        _both_ways(count, *pair(tls=tls))
    return count.total()


def _both_ways(count: Count, client: credssp.ClientContext, server: credssp.ServerContext) -> None:
    stream = b"".join(server.wrap(bytes(16000)) for _ in range(30))
    sending, sent, got = threading.Lock(), bytearray(), bytearray()

    def encrypt() -> bool:
        for _ in range(60):
            with sending:
                sent.extend(client.wrap(bytes(4000)))
        return True

    def decrypt() -> bool:
        for start in range(0, len(stream), 700):
            got.extend(client.unwrap(stream[start : start + 700]))
        return got == bytes(30 * 16000)

    run([lambda: count.call(encrypt)] * 2 + [lambda: count.call(decrypt)])
    count.call(lambda: server.unwrap(sent) == bytes(2 * 60 * 4000) or "the peer got other octets")


def exchange(seconds: float) -> Result:
    """`step` of one context in two threads: one of them goes on, the other is refused or finds the context failed."""
    count, end = Count(), time.monotonic() + seconds
    while time.monotonic() < end:
        server = credssp.ServerContext(accounts=ACCOUNTS)
        hello = credssp.ClientContext(ALICE, target_name="TERMSRV/x", mechanism="ntlm").step().token

        def step(server: credssp.ServerContext = server, hello: bytes = hello) -> bool | str:
            with contextlib.suppress(CredSSPError):
                server.step(hello)
            return True

        run([lambda: count.call(step)] * 3)
    return count.total()


def pair(**options: Any) -> tuple[credssp.ClientContext, credssp.ServerContext]:
    """Return two contexts that are logged on."""
    client = credssp.ClientContext(ALICE, target_name="TERMSRV/x", mechanism="ntlm", **options)
    server = credssp.ServerContext(accounts=ACCOUNTS)
    token = client.step().token
    while not client.complete:
        token = client.step(server.step(token).token).token
    server.step(token)
    return client, server


def sessions(seconds: float, many: str = "4") -> Result:
    """Blocking sessions of RDP, full duplex on both ends: 16 KiB blocks both ways, numbered."""
    from credssp.rdp import connect, serve

    count, end = Count(), time.monotonic() + seconds
    size = 16000

    def duplex(session: Session[Any]) -> bool | str:
        failed: list[str] = []

        def read() -> None:
            try:
                for number in range(50):
                    if session.recv_exactly(size) != number.to_bytes(4, "big") * (size // 4):
                        failed.append("other octets")
            except Exception as error:  # noqa: BLE001  # as in Count.call
                failed.append(f"{type(error).__name__}: {error}")

        reader = threading.Thread(target=read)
        reader.start()
        try:
            for number in range(50):
                session.sendall(number.to_bytes(4, "big") * (size // 4))
        finally:
            reader.join()
        return failed[0] if failed else True

    def serve_one(session: Session[Any]) -> None:
        while duplex(session) is True and session.recv(1) == b"+":
            pass

    limits = dataclasses.replace(Limits(), half_open=256)
    with serve(serve_one, "127.0.0.1", 0, accounts=ACCOUNTS, limits=limits) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def client() -> None:
            def one() -> bool | str:
                with connect(*server.address, credentials=ALICE, mechanism="ntlm") as session:
                    while (verdict := duplex(session)) is True and time.monotonic() < end:
                        count.note(True)
                        session.sendall(b"+")
                    return verdict

            while time.monotonic() < end:
                count.call(one)

        run([client] * int(many))
    return count.total()


def requests(seconds: float, many: str = "6", pool: str = "10", block: str = "") -> Result:
    """One `HTTPCredSSPAuth` and one session of requests."""
    import requests as library

    from credssp.drivers.winrm_requests import HTTPCredSSPAuth

    count = Count()
    with _echo() as url, library.Session() as session:
        session.auth = HTTPCredSSPAuth("LAB\\alice", "secret", mechanism="ntlm")
        session.mount("http://", library.adapters.HTTPAdapter(pool_maxsize=int(pool), pool_block=bool(block)))
        _posts(count, seconds, int(many), lambda body: session.post(url, data=body, timeout=60).content)
    return count.total()


def httpx(seconds: float, many: str = "6") -> Result:
    """One `CredSSPAuth` in one client of httpx."""
    import httpx as library

    from credssp.drivers.winrm_httpx import CredSSPAuth

    count = Count()
    with _echo() as url, library.Client(auth=CredSSPAuth(ALICE, mechanism="ntlm"), timeout=60) as client:
        _posts(count, seconds, int(many), lambda body: client.post(url, content=body).content)
    return count.total()


def httpx_async(seconds: float, many: str = "3") -> Result:
    """One `CredSSPAuth` in event loops of several threads, with three tasks each, and in a synchronous client."""
    import asyncio

    import httpx as library

    from credssp.drivers.winrm_httpx import CredSSPAuth

    count, end = Count(), time.monotonic() + seconds
    auth = CredSSPAuth(ALICE, mechanism="ntlm")

    async def loop(number: int, url: str) -> None:
        async with library.AsyncClient(auth=auth, timeout=60) as client:

            async def post(task: int) -> None:
                while time.monotonic() < end:
                    body = f"{number}-{task}".encode() * 5000
                    try:
                        count.note((await client.post(url, content=body)).content == body or "another answer")
                    except Exception as error:  # noqa: BLE001  # as in Count.call
                        count.note(f"{type(error).__name__}: {error}"[:300])

            await asyncio.gather(*(post(task) for task in range(3)))

    with _echo() as url, library.Client(auth=auth, timeout=60) as client:
        loops = [lambda number=number: asyncio.run(loop(number, url)) for number in range(int(many))]
        run([*loops, lambda: _posts(count, seconds, 2, lambda body: client.post(url, content=body).content)])
    return count.total()


@contextlib.contextmanager
def _echo() -> Iterator[str]:
    """Yield the URL of a server that answers with what it was sent."""
    from credssp.drivers.winrm_asgi import WinRMApplication, WinRMResponse
    from credssp.drivers.winrm_serving import serving

    with serving(WinRMApplication(lambda request: WinRMResponse(request.data), accounts=ACCOUNTS)) as port:
        yield f"http://127.0.0.1:{port}/wsman"


def _posts(count: Count, seconds: float, many: int, post: Callable[[bytes], bytes]) -> None:
    numbers = itertools.count()

    def one() -> bool | str:
        body = f"<{next(numbers)}>".encode() * 20000
        return post(body) == body or "another answer"

    run([repeat(count, seconds, one)] * many)


CASES: dict[str, Callable[..., Result]] = {
    case.__name__: case for case in (accounts, context, exchange, sessions, requests, httpx, httpx_async)
}


def main(name: str, seconds: str, *arguments: str) -> None:
    faulthandler.enable()
    sys.setswitchinterval(1e-5)
    print(json.dumps(dataclasses.asdict(CASES[name](float(seconds), *arguments))))


if __name__ == "__main__":
    main(*sys.argv[1:])
