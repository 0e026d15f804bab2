"""Channels that share queues stay apart: interrupted or ended after any instruction, without memory, in any order."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credssp.errors import CredSSPError, TLSError
from credssp.status import SecurityStatus
from credssp.tls import queues as module
from credssp.tls.channel import TLSChannel
from credssp.tls.pipe import PLAINTEXT, pass_on
from credssp.tls.queues import SharedQueues
from tests.tls.test_channel import pair, shake
from tests.tls.test_queues import is_empty

Pair = tuple[TLSChannel, TLSChannel]


def pairs(count: int, queues: SharedQueues | None) -> list[Pair]:
    with contextlib.nullcontext() if queues is None else queues:
        made = [pair() for _ in range(count)]
    for c, s in made:
        shake(c, s)
    return made


@contextlib.contextmanager
def at_each_instruction(work: Callable[[int], object]) -> Iterator[None]:
    """Call `work` before each instruction of the module, with its number; what it raises is raised there."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        if frame.f_code.co_filename != module.__file__:
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if event == "opcode":
            count += 1
            work(count)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def leave_something(c: TLSChannel, s: TLSChannel) -> Callable[[], bytes]:
    """Have the server's channel keep bytes in both directions between its calls; returns what tells them."""
    s.receive(c.encrypt(b"received"))
    s.write(b"sent")

    def tell() -> bytes:
        return s.read() + c.decrypt(s.data_to_send())

    return tell


def test_a_call_may_interrupt_another_before_any_instruction() -> None:
    """As that of a finalizer."""
    queues = SharedQueues()
    (c, s), (other_c, other_s), (third_c, third_s) = pairs(3, queues)
    interrupted = 0

    def interrupt(count: int) -> None:
        nonlocal interrupted
        interrupted += 1
        assert other_s.decrypt(other_c.encrypt(b"other")) == b"other"
        tell = leave_something(other_c, other_s)
        assert tell() == b"receivedsent"

    tell = leave_something(third_c, third_s)  # waits for its channel all the time
    with at_each_instruction(interrupt):
        for _ in range(3):
            assert leave_something(c, s)() == b"receivedsent"
            assert s.decrypt(c.encrypt(bytes(40_000))) == bytes(40_000)
    if not interrupted and sys.version_info[:2] == (3, 12):
        pytest.skip("Python 3.12 does not trace single instructions from here")
    assert interrupted > 200
    assert tell() == b"receivedsent"
    assert is_empty(queues)


class _Stop(BaseException):
    pass


def test_an_exception_before_any_instruction_does_not_reach_other_channels() -> None:
    """As that of the handler of a signal; the channel that it hits has its bytes or fails, and never others'."""
    queues = SharedQueues()
    ((other_c, other_s),) = pairs(1, queues)
    number = hit = 0
    while True:
        number += 1
        ((c, s),) = pairs(1, queues)
        leave_something(c, s)
        other_tell = leave_something(other_c, other_s)
        stopped = False

        def stop(count: int, wanted: int = number) -> None:
            nonlocal stopped
            if count == wanted:
                stopped = True
                raise _Stop

        with contextlib.suppress(_Stop), at_each_instruction(stop):
            s.write(b" more")
            s.data_to_send()
        assert other_tell() == b"receivedsent"
        try:
            assert s.read() in (b"received", b"")
            c.decrypt(s.encrypt(b"at last"))
        except CredSSPError:
            pass
        assert other_s.decrypt(other_c.encrypt(b"other")) == b"other"
        if not stopped:
            break
        hit += 1
    assert hit > 50


class _Failing:
    """A queue without memory for what may be large, from a call on, for a while."""

    def __init__(self, queue: Any, failing: Iterator[bool]) -> None:
        self._queue, self._failing = queue, failing

    @property
    def pending(self) -> int:
        return int(self._queue.pending)

    def read(self, size: int = -1) -> bytes:
        if size < 0 and next(self._failing):
            raise MemoryError
        return bytes(self._queue.read(size))

    def write(self, data: bytes) -> int:
        if data and next(self._failing):
            raise MemoryError
        return int(self._queue.write(data))


@pytest.mark.parametrize("length", [1, 2, 3, 100])
@pytest.mark.parametrize("nested", [False, True], ids=["", "interrupted"])
def test_without_memory_for_what_is_left_over_a_channel_is_lost_and_others_are_not(length: int, nested: bool) -> None:
    lost = 0
    for start in range(12):
        queues = SharedQueues()
        (c, s), (other_c, other_s) = pairs(2, queues)
        other_tell = leave_something(other_c, other_s)
        tell = leave_something(c, s)
        outgoing, incoming = queues.outgoing, queues.incoming
        failing = iter([False] * start + [True] * length + [False] * 1000)
        queues.incoming = _Failing(incoming, failing)  # type: ignore[assignment]
        queues.outgoing = _Failing(outgoing, failing)  # type: ignore[assignment]
        try:
            if nested:
                with s._lock:
                    c.cipher  # noqa: B018
            else:
                s.cipher  # noqa: B018
        except TLSError as error:
            assert error.status == SecurityStatus.SEC_E_INSUFFICIENT_MEMORY
        queues.incoming, queues.outgoing = incoming, outgoing
        assert not queues.turns
        assert other_tell() == b"receivedsent"
        try:
            assert tell() == b"receivedsent"
        except TLSError as error:
            lost += 1
            assert error.status == SecurityStatus.SEC_E_INSUFFICIENT_MEMORY
            with pytest.raises(TLSError):
                s.encrypt(b"more")
        assert other_s.decrypt(other_c.encrypt(b"other")) == b"other"
    assert lost


OPERATIONS = ["write", "collect", "encrypt", "deliver", "half", "read", "damage", "close", "abort", "pass", "noise"]
_STEP = st.tuples(st.integers(0, 2), st.booleans(), st.sampled_from(OPERATIONS), st.integers(1, 20_000))


class Side:
    """Three connections, and what comes out of them."""

    def __init__(self, queues: SharedQueues | None) -> None:
        self._pairs = pairs(3, queues)
        self._wire: dict[tuple[int, bool], bytes] = {}
        self._plaintext = memoryview(bytearray(PLAINTEXT))

    def step(self, index: int, up: bool, operation: str, size: int) -> object:
        """Return what a user sees: plaintext, sizes and kinds of errors; ciphertext differs each time."""
        source, target = self._pairs[index] if up else self._pairs[index][::-1]
        key = index, up
        wire = self._wire.get(key, b"")
        data = bytes((index * 2 + up,)) * size
        try:
            match operation:
                case "write":
                    source.write(data)
                case "collect":
                    wire += source.data_to_send()
                case "encrypt":
                    wire += source.encrypt(data)
                case "deliver":
                    wire, came = b"", wire
                    return target.decrypt(came), target.peer_closed
                case "half":
                    came, wire = wire[: len(wire) // 2], wire[len(wire) // 2 :]
                    target.receive(came)
                case "read":
                    return target.read(), target.peer_closed
                case "damage":
                    wire = wire[:-1] + bytes((wire[-1] ^ 1,)) if wire else b""
                case "close":
                    wire += source.close()
                case "abort":
                    wire += source.abort()
                case "noise":
                    target.receive(bytes(size % 50))
                case "pass":  # to the next connection
                    wire, came = b"", wire
                    further = self._pairs[(index + 1) % 3][0 if up else 1]
                    sent: list[bytes] = []
                    try:
                        return pass_on(target, further, memoryview(came), self._plaintext, send=sent.append)
                    finally:
                        to = (index + 1) % 3, up
                        self._wire[to] = self._wire.get(to, b"") + b"".join(sent)
        except CredSSPError as error:
            return type(error), str(error)
        finally:
            self._wire[key] = wire
        return len(wire)


@settings(max_examples=40, deadline=None)
@given(st.lists(_STEP, min_size=5, max_size=60))
def test_shared_queues_behave_like_own_ones(steps: list[tuple[int, bool, str, int]]) -> None:
    queues = SharedQueues()
    shared, own = Side(queues), Side(None)
    for step in steps:
        assert shared.step(*step) == own.step(*step)
        assert is_empty(queues)
