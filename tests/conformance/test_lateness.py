"""A server that answers everybody late is not said to hang in a rule; one that hangs in a rule alone is."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from credssp.conformance import RdpServerTarget, check_server
from credssp.conformance.memory import TEST_ACCOUNT
from credssp.conformance.rule import Rule, Verdict
from credssp.testing import RDPServer

RULE = "CSSP-TSREQ-03"
ACCOUNTS = {(TEST_ACCOUNT.domain, TEST_ACCOUNT.username): TEST_ACCOUNT.password}


class SlowDoor:
    """Passes on connections to a server; those that come when it is slow wait for some seconds, or for good.

    Args:
        port: of the server.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.delays: list[float] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            delay = 0.0 if not self.delays else self.delays.pop(0) if len(self.delays) > 1 else self.delays[0]
            self._threads.append(threading.Thread(target=self._pass_on, args=(connection, delay), daemon=True))
            self._threads[-1].start()

    def _pass_on(self, connection: socket.socket, delay: float) -> None:
        with connection, socket.create_connection(("127.0.0.1", self._to)) as server:
            if self._over.wait(delay):
                return
            back = threading.Thread(target=_copy, args=(server, connection), daemon=True)
            back.start()
            _copy(connection, server)
            back.join(10)

    def close(self) -> None:
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return


@contextmanager
def slow_server() -> Iterator[SlowDoor]:
    with RDPServer(ACCOUNTS) as server:
        door = SlowDoor(server.port)
        try:
            yield door
        finally:
            door.close()


def judged(door: SlowDoor, delays: list[float]) -> tuple[Verdict, str]:
    """The verdict of a rule from whose beginning on connections wait."""

    def begins(_: Rule, __: int, ___: int) -> None:
        door.delays = delays

    target = RdpServerTarget("127.0.0.1", door.port, TEST_ACCOUNT, timeout=2.0)
    (result,) = check_server(target, rules=[RULE], on_case=begins).results
    return result.verdict, result.outcome.detail


def test_a_server_that_answers_everybody_late_is_not_blamed() -> None:
    with slow_server() as door:
        verdict, detail = judged(door, [3.0])
    assert verdict is Verdict.SKIP
    assert "answers good logins late, too" in detail
    assert "--timeout" in detail


def test_a_server_that_is_silent_in_one_rule_hangs() -> None:
    with slow_server() as door:
        verdict, detail = judged(door, [60.0, 0.0])
    assert verdict is Verdict.HANG
    assert "did not answer the Connection Request" in detail
