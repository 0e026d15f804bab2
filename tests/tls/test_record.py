"""Where TLS records end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credssp.tls.record import RecordTracker


def record(size: int) -> bytes:
    return b"\x17\x03\x03" + size.to_bytes(2, "big") + bytes(size)


def test_between_records_nothing_is_missing() -> None:
    tracker = RecordTracker()
    assert tracker.missing == 0
    tracker.feed(record(7) + record(0) + record(300))
    assert tracker.missing == 0


@pytest.mark.parametrize(("got", "missing"), [(1, 4), (4, 1), (5, 100), (6, 99), (104, 1), (105, 0), (106, 4)])
def test_missing(got: int, missing: int) -> None:
    tracker = RecordTracker()
    tracker.feed((record(100) * 2)[:got])
    assert tracker.missing == missing


@given(st.lists(st.integers(0, 400), max_size=6), st.data())
def test_any_split_comes_to_the_same(sizes: list[int], data: st.DataObject) -> None:
    stream = b"".join(record(size) for size in sizes)
    cut = data.draw(st.integers(0, len(stream)))
    whole, split = RecordTracker(), RecordTracker()
    whole.feed(stream[:cut])
    position = 0
    while position < cut:
        step = data.draw(st.integers(1, 97))
        split.feed(stream[position : min(position + step, cut)])
        position += step
    assert whole.missing == split.missing
    split.feed(stream[cut:])
    assert split.missing == 0
