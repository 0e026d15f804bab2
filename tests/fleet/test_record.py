"""Results on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from credssp.errors import LocalProtocolError
from credssp.fleet.record import Record, TargetSet
from tests.fleet.samples import FLEET, HEALTHY


def test_what_was_added_is_read_as_often_as_needed(tmp_path: Path) -> None:
    for path in (None, tmp_path / "run.jsonl"):
        with Record(path) as record:
            for facts in FLEET:
                record.add(facts)
            assert list(record) == list(record) == FLEET
            record.add(HEALTHY)
            assert len(list(record)) == 5


def test_a_record_that_was_cut_off_is_taken_up_without_its_last_line(tmp_path: Path) -> None:
    whole = "".join(json.dumps(facts) + "\n" for facts in FLEET)
    path = tmp_path / "run.jsonl"
    lines = whole.encode().splitlines(keepends=True)
    for cut in range(len(whole) - len(lines[-1]), len(whole) + 1):
        path.write_bytes(whole.encode()[:cut])
        kept = 4 if cut >= len(whole) - 1 else 3
        with Record(path) as record:
            assert len(record.done) == kept
            assert (FLEET[-1]["target"] in record.done) == (kept == 4)
            assert "rdp://other:1" not in record.done
            record.add(HEALTHY)
        assert [json.loads(line) for line in path.read_text().splitlines()] == [*FLEET[:kept], HEALTHY]


@pytest.mark.parametrize(
    "text", ["target\n", "[]\n", '{"target": 1}\n', '{"a": 1}\n', "[" * 100_000 + "\n", "\xff\n", "noise"]
)
def test_another_kind_of_file_is_refused_and_stays_as_it_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text(json.dumps(HEALTHY) + "\n" + text)
    before = path.read_bytes()
    with pytest.raises(LocalProtocolError, match="line 2: not an object as"):
        Record(path)
    assert path.read_bytes() == before


def test_a_set_of_targets_takes_eight_bytes_for_each() -> None:
    targets = TargetSet(f"rdp://host{number}:3389" for number in range(10_000))
    assert len(targets) == 10_000
    assert targets._sums.itemsize == 8
    assert all(f"rdp://host{number}:3389" in targets for number in range(0, 10_000, 97))
    assert "rdp://host10000:3389" not in targets
    assert "rdp://\ud800" not in targets
