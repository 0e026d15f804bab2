"""Whatever is in a file: ``credssp dissect`` reports or refuses it in one line, and nothing reaches the terminal raw.

Mutations of the fixtures' captures, messages and manifests. ``HYPOTHESIS_PROFILE=thorough`` runs it for longer.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from credssp.cli import main
from tests.fuzz.test_fuzz_core import mutate

FOLDER = Path(__file__).parent.parent.parent / "fixtures"
CAPTURES = sorted(FOLDER.glob("*/capture.pcapng"))
FIXTURES = sorted(path.parent for path in FOLDER.glob("*/manifest.toml"))
HEAD = b'{"credssp_transcript": 1, "role": "client", "program": "p", "peer": "q"}\n'
FORMS = [[], ["--json"], ["--html"], ["--reveal"], ["--json", "--reveal"], ["--html", "--reveal"]]
PASSWORDS = ["Made-up for this capture 1", "Made-up for this capture 2"]


def survive(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["dissect", *arguments])
    captured = capsys.readouterr()
    assert code in (0, 1)
    assert captured.err.count("\n") <= 1
    assert bool(captured.err) <= (code == 1)
    assert [c for c in captured.out + captured.err if c != "\n" and not c.isprintable()] == []
    assert "--html" not in arguments or not captured.out or captured.out.endswith("</body></html>\n")


def options(source: random.Random) -> list[str]:
    return ["--password", source.choice(PASSWORDS), *source.choice(FORMS)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(capture=st.sampled_from(CAPTURES), source=st.randoms(use_true_random=False), times=st.integers(1, 8))
def test_captures(
    capture: Path, source: random.Random, times: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, log = capture.read_bytes(), (capture.parent / "keys.log").read_bytes()
    for _ in range(times):
        data = mutate(data, source)
    (tmp_path / "capture").write_bytes(data)
    (tmp_path / "log").write_bytes(mutate(log, source) if source.random() < 0.2 else log)
    survive([str(tmp_path / "capture"), "--keylog", str(tmp_path / "log"), *options(source)], capsys)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(folder=st.sampled_from(FIXTURES), source=st.randoms(use_true_random=False))
def test_transcripts(folder: Path, source: random.Random, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = mutate((folder / "messages.jsonl").read_bytes(), source)
    (tmp_path / "transcript").write_bytes(HEAD + data)
    survive([str(tmp_path / "transcript"), *options(source)], capsys)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(folder=st.sampled_from(FIXTURES), source=st.randoms(use_true_random=False))
def test_folders_of_fixtures(
    folder: Path, source: random.Random, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "fixture"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    for path in copy.iterdir():
        if source.random() < 0.6:
            path.write_bytes(mutate(path.read_bytes(), source))
    survive([str(copy), *options(source)], capsys)
