"""Several processes behind one port."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time

import pytest

from credssp.drivers.handshake import ConnectError
from credssp.drivers.workers import bind, run_workers


def test_sockets_share_an_address() -> None:
    sockets = bind("127.0.0.1", 0, 3)
    assert len({sock.getsockname() for sock in sockets}) == 1
    for sock in sockets:
        sock.close()


def test_an_address_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(ConnectError, match="cannot listen"):
        bind("127.0.0.1", listener.getsockname()[1], 2)


@pytest.mark.parametrize(("fails", "code"), [(False, 0), (True, 1)])
def test_the_exit_code_tells_whether_a_worker_failed(fails: bool, code: int) -> None:
    def work(sock: socket.socket, number: int) -> None:
        if fails and number == 1:
            os._exit(3)
        if fails:
            time.sleep(20)  # until the other's failure ends this one

    begin = time.monotonic()
    assert run_workers(bind("127.0.0.1", 0, 2), work) == code
    assert time.monotonic() - begin < 10


def test_sigterm_is_passed_on() -> None:
    def work(sock: socket.socket, number: int) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))
        while True:
            signal.pause()

    before = signal.getsignal(signal.SIGTERM)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM))
    sockets = bind("127.0.0.1", 0, 2)
    timer.start()
    assert run_workers(sockets, work) == 0
    timer.join()
    assert signal.getsignal(signal.SIGTERM) is before
