"""Channels that share a pair of queues: nothing of one reaches another, whatever is left over or interrupts."""

from __future__ import annotations

import random
import threading

import pytest

from credssp.errors import TLSError
from credssp.tls.channel import TLSChannel
from credssp.tls.queues import SharedQueues, current_queues
from tests.tls.test_channel import pair, shake


def shared(count: int) -> tuple[SharedQueues, list[tuple[TLSChannel, TLSChannel]]]:
    queues = SharedQueues()
    with queues:
        pairs = [pair() for _ in range(count)]
    for c, s in pairs:
        shake(c, s)
    return queues, pairs


def is_empty(queues: SharedQueues) -> bool:
    return not (queues.incoming.pending or queues.outgoing.pending or queues.turns or queues.owner)


def test_channels_share_what_the_innermost_owner_gives_to_this_thread() -> None:
    found: list[object] = []
    outer, inner = SharedQueues(), SharedQueues()
    with outer:
        assert current_queues() is outer
        with inner:
            assert current_queues() is inner
        assert current_queues() is outer
        thread = threading.Thread(target=lambda: found.append(current_queues()))
        thread.start()
        thread.join()
    assert current_queues() is None
    assert found == [None]


def test_handshakes_that_take_turns_do_not_mix() -> None:
    queues = SharedQueues()
    with queues:
        pairs = [pair() for _ in range(5)]
    for _ in range(4):
        for c, s in pairs:
            c.handshake()
            s.receive(c.data_to_send())
        for _, s in pairs:
            s.handshake()
        for c, s in pairs:
            c.receive(s.data_to_send())
    assert all(c.handshake_complete and s.handshake_complete for c, s in pairs)
    assert is_empty(queues)


def test_data_after_the_last_message_of_a_handshake_waits_for_its_channel() -> None:
    queues = SharedQueues()
    with queues:
        (c, s), (other_c, other_s) = pair(), pair()
    c.handshake()
    s.receive(c.data_to_send())
    s.handshake()
    c.receive(s.data_to_send())
    c.handshake()
    s.receive(c.data_to_send() + c.encrypt(b"early"))
    s.handshake()
    shake(other_c, other_s)
    assert other_s.decrypt(other_c.encrypt(b"other")) == b"other"
    assert s.read() == b"early"
    assert is_empty(queues)


def test_what_was_not_collected_stays_with_its_channel() -> None:
    queues, ((c, s), (other_c, other_s)) = shared(2)
    c.write(b"first ")
    assert other_s.decrypt(other_c.encrypt(b"other")) == b"other"
    c.write(b"second")
    assert is_empty(queues)
    assert s.decrypt(c.data_to_send()) == b"first second"


@pytest.mark.parametrize("seed", range(3))
def test_any_order_of_calls_and_any_split(seed: int) -> None:
    chance = random.Random(seed)
    queues, pairs = shared(4)
    directions = [each for c, s in pairs for each in ((c, s), (s, c))]
    wire = [b""] * len(directions)
    sent, received = [b""] * len(directions), [b""] * len(directions)
    for _ in range(600):
        index = chance.randrange(len(directions))
        source, target = directions[index]
        if chance.random() < 0.5:
            data = chance.randbytes(chance.choice((1, 100, 20_000, 140_000)))
            wire[index] += source.encrypt(data)
            sent[index] += data
        else:
            size = chance.randrange(len(wire[index]) + 1)
            received[index] += target.decrypt(wire[index][:size])
            wire[index] = wire[index][size:]
        assert is_empty(queues)
    for index, (_, target) in enumerate(directions):
        received[index] += target.decrypt(wire[index])
    assert received == sent


def test_a_call_in_the_middle_of_another_changes_neither() -> None:
    """As from a finalizer or the handler of a signal."""
    queues, ((c, s), (other_c, other_s)) = shared(2)
    records = c.encrypt(b"received")
    with s._lock:
        s._incoming.write(records)
        s._tls.write(b"sent")
        assert other_s.decrypt(other_c.encrypt(bytes(50_000))) == bytes(50_000)
        assert s.encrypt(b" and more") != b""  # the same channel again goes on with what there is
    assert s.read() == b"received"
    assert is_empty(queues)


def test_a_broken_channel_leaves_the_others_alone() -> None:
    queues, ((_, s), (other_c, other_s)) = shared(2)
    with pytest.raises(TLSError):
        s.decrypt(b"\x17\x03\x03\x00\x20" + bytes(32) + bytes(100_000))
    assert is_empty(queues)
    assert other_s.decrypt(other_c.encrypt(b"other")) == b"other"


def test_threads_take_turns() -> None:
    queues, pairs = shared(4)
    failed: list[BaseException] = []

    def work(c: TLSChannel, s: TLSChannel, data: bytes) -> None:
        try:
            for _ in range(60):
                assert s.decrypt(c.encrypt(data)) == data
        except BaseException as error:  # noqa: BLE001  # told by the test
            failed.append(error)

    threads = [
        threading.Thread(target=work, args=(c, s, bytes([number]) * 30_000)) for number, (c, s) in enumerate(pairs)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert is_empty(queues)
