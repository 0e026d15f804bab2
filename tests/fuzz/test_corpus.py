"""The corpus of the coverage-guided fuzzer keeps its promises; `tests.fuzz.coverage_guided` makes it grow."""

from __future__ import annotations

import pytest

from tests.fuzz.coverage_guided import CORPUS, MAX_SIZE
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_is_taken_or_refused_by_name(target: str) -> None:
    files = sorted((CORPUS / target).iterdir())
    assert files, "a target without a corpus begins with nothing"
    for file in files:
        data = file.read_bytes()
        assert len(data) <= MAX_SIZE
        TARGETS[target](data)


def test_every_folder_of_the_corpus_has_a_target() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} == set(TARGETS)
