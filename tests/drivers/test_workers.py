"""Several processes behind one port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

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
def test_the_exit_code_tells_whether_workers_died_for_good(
    fails: bool, code: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("credssp.drivers.workers._FIRST_PAUSE", 0.01)

    def work(sock: socket.socket, number: int) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # coverage has a handler that does not end the process
        if fails and number == 1:
            os._exit(3)
        if fails:
            time.sleep(100)  # until the other's failure ends this one

    begin = time.monotonic()
    assert run_workers(bind("127.0.0.1", 0, 2), work) == code
    assert time.monotonic() - begin < 50
    assert ("the service ends" in caplog.text) is fails


def test_a_worker_that_dies_is_replaced_and_its_connections_wait(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    died = tmp_path / "died"

    def work(sock: socket.socket, number: int) -> None:
        if not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        with sock.accept()[0] as connection:
            connection.sendall(b"served")

    sockets = bind("127.0.0.1", 0, 1)
    with socket.create_connection(sockets[0].getsockname(), timeout=30) as client:
        assert run_workers(sockets, work) == 0
        assert client.recv(10) == b"served"
    assert "worker 1 died of signal 9; it is replaced in 0.1 s" in caplog.text


def test_workers_end_with_their_parent() -> None:
    program = """
import os, sys, time
from credssp.drivers.workers import bind, run_workers

def work(sock, number):
    os.write(1, f"{os.getpid()}\\n".encode())  # as one piece, beside what the other writes
    time.sleep(60)

run_workers(bind("127.0.0.1", 0, 2), work)
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    workers = [int(parent.stdout.readline()) for _ in range(2)]
    parent.kill()
    # The pipe ends when the last of them has ended.
    assert parent.stdout.read() == ""
    parent.wait()
    parent.stdout.close()
    end = time.monotonic() + 60
    while any(_runs(pid) for pid in workers):
        assert time.monotonic() < end
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGKILL, 1)])
def test_a_worker_that_sigterm_ends_before_it_waits_for_it_has_not_failed(number: signal.Signals, code: int) -> None:
    """The end may come while a worker is still on its way to its own handler."""

    def work(sock: socket.socket, worker: int) -> None:
        handler = signal.SIG_DFL if number == signal.SIGTERM else lambda *_: os.kill(os.getpid(), number)
        signal.signal(signal.SIGTERM, handler)
        os.kill(os.getppid(), signal.SIGTERM)
        time.sleep(100)

    assert run_workers(bind("127.0.0.1", 0, 1), work) == code


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
