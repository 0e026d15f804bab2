"""Lines that never make a server wait."""

from __future__ import annotations

import threading
import time

import pytest

from credssp.cli._serve_lines import LineWriter


class Reader:
    """Takes lines when it is let."""

    def __init__(self, *, open_at_once: bool = False) -> None:
        self.lines: list[str] = []
        self.began = threading.Event()
        self.gate = threading.Event()
        if open_at_once:
            self.gate.set()

    def __call__(self, line: str) -> None:
        self.began.set()
        self.gate.wait(100)
        self.lines.append(line)


def dropped(count: int) -> str:
    return f"{count} dropped\n"


def test_lines_come_in_order() -> None:
    reader = Reader(open_at_once=True)
    writer = LineWriter(dropped, write=reader)
    for number in range(100):
        writer.put(f"{number}\n")
    writer.close()
    assert reader.lines == [f"{number}\n" for number in range(100)]


def test_what_finds_the_queue_full_is_counted_and_told() -> None:
    reader = Reader()
    writer = LineWriter(dropped, write=reader, limit=30)
    for number in range(10):
        writer.put(f"line {number} \n" + " " * 2)  # 10 characters
    assert reader.began.wait(20)
    reader.gate.set()
    writer.close(20)
    assert reader.lines[:3] == ["line 0 \n  ", "line 1 \n  ", "line 2 \n  "]
    assert reader.lines[3:] == ["7 dropped\n"]


def test_a_reader_that_takes_nothing_holds_up_nothing() -> None:
    reader = Reader()
    writer = LineWriter(dropped, write=reader, limit=1000)
    begin = time.monotonic()
    for _ in range(10_000):
        writer.put("x" * 100)
    writer.close(0.01)
    assert time.monotonic() - begin < 50
    assert reader.lines == []
    reader.gate.set()


def test_a_reader_that_is_gone_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    def write(line: str) -> None:
        raise BrokenPipeError

    writer = LineWriter(dropped, write=write)
    for _ in range(3):
        writer.put("x")
    writer.close(20)
    writer.put("x")
    assert capsys.readouterr().err.count("the reader of the events is gone") == 1
