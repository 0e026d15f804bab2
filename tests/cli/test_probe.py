"""``credssp probe`` with many targets."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from credssp.cli import main
from credssp.testing import RDPServer


@pytest.fixture(scope="module")
def server() -> Iterator[RDPServer]:
    with RDPServer({("LAB", "alice"): "correct horse"}) as running:
        yield running


def test_bad_lines_are_named_and_the_rest_is_probed(
    server: RDPServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "list"
    path.write_text(f"127.0.0.1:{server.port}\nnot a target\n127.0.0.2-3:{server.port}\n" + "a\x1b b\n" * 30)
    assert main(["probe", "--json", "--file", str(path)]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3
    assert f"{path}, line 2: 'not a target' is not a target" in err
    assert f"{path}, line 4: 'a\\x1b b' is not a target" in err
    assert "11 more lines are not targets" in err
    assert "\x1b" not in err
    assert "3 targets in " in err
    assert ": 1 answered, 1 with CredSSP" in err


def test_the_usual_form_is_a_table(server: RDPServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", "127.0.0.1-3", "--port", str(server.port)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["target", "CredSSP", "NLA", "TLS"]
    assert lines[2].split()[:5] == [f"rdp://127.0.0.1:{server.port}", "6", "required", "1.2", "1.3"]
    assert lines[-1] == "2 did not answer: no connection: Connection refused"
    assert main(["probe", "--text", "127.0.0.2-3", "--port", str(server.port)]) == 3
    assert capsys.readouterr().out.count("Connection refused") == 2


def test_csv_and_junit(server: RDPServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    junit = tmp_path / "j.xml"
    targets = ["127.0.0.1-2", "--port", str(server.port)]
    assert main(["probe", "--csv", "--junit", str(junit), *targets]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["credssp_version"] for row in rows} == {"6", ""}
    suite = ElementTree.parse(junit).getroot()  # noqa: S314
    assert suite.get("tests") == "2"
    assert main(["probe", *targets, "--junit", "/"]) == 2
    assert "/ cannot be written" in capsys.readouterr().err


def test_many_targets_need_a_yes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert main(["probe", "127.0.0.0/19", "--port", "1"]) == 2
    out, err = capsys.readouterr()
    assert err == "credssp probe: 8,192 targets are more than 4,096: give --yes if that is meant\n"
    assert out == ""


def asked(answer: bytes, *arguments: str) -> tuple[int, bytes]:
    """Run the program in a terminal, and type an answer to its question."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "credssp", "probe", *arguments])  # noqa: S606
    seen = b""
    typed = False
    try:
        while True:
            try:
                data = os.read(terminal, 65536)
            except OSError:  # EIO: the program has ended
                break
            if not data:
                break
            seen += data
            if not typed and b"[y/N] " in seen:
                os.write(terminal, answer)
                typed = True
    finally:
        os.close(terminal)
        _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), seen


def test_the_question_on_a_terminal_and_the_bar_that_is_erased() -> None:
    # A rate that ends the test if a "no" is not taken for one.
    code, seen = asked(b"n\n", "127.0.0.0/19", "--port", "1", "--rate", "1")
    assert code == 2
    assert b"Probe 8,192 targets? [y/N] " in seen
    code, seen = asked(b"y\n", "127.0.0.0/19", "--port", "1", "--concurrency", "200")
    assert code == 3
    assert b"] 8,192/8,192 " in seen
    assert seen.rstrip().endswith(b": 0 answered, 0 with CredSSP"), seen[-500:]
    last_bar = seen.rindex(b"8,192/8,192 ")
    assert b"\r\x1b[K" in seen[last_bar:]


def test_what_is_in_the_record_is_not_asked_again(
    server: RDPServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.jsonl"
    here = ["--port", str(server.port), "--resume", str(path)]
    assert main(["probe", "--json", "127.0.0.1-2", *here]) == 0
    first = capsys.readouterr().out
    assert sorted(path.read_text().splitlines()) == sorted(first.splitlines())
    with path.open("a") as stream:
        stream.write('{"target": "rdp://127.0.0.9')
    assert main(["probe", "--json", "127.0.0.1-4", *here]) == 0
    out, err = capsys.readouterr()
    assert {json.loads(line)["target"] for line in out.splitlines()} == {
        f"rdp://127.0.0.{number}:{server.port}" for number in (3, 4)
    }
    assert "4 targets in " in err
    assert ": 1 answered, 1 with CredSSP" in err
    assert err.endswith("; 2 are from an earlier run\n")
    assert len(path.read_text().splitlines()) == 4
    assert main(["probe", "--csv", "127.0.0.1-4", *here]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5
    assert main(["probe", "127.0.0.1", "--resume", __file__]) == 2
    assert "line 1: not an object" in capsys.readouterr().err


def test_an_interrupt_leaves_what_was_found_out(server: RDPServer, tmp_path: Path) -> None:
    record, junit = tmp_path / "run.jsonl", tmp_path / "j.xml"
    command = [sys.executable, "-m", "credssp", "probe", "127.0.0.0/20", "--port", str(server.port), "--rate", "30"]
    command += ["--resume", str(record), "--junit", str(junit), "--csv"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            end = time.monotonic() + 30
            while not (record.exists() and record.read_text().count("\n") > 5):
                assert time.monotonic() < end, "nothing was recorded"
                assert running.poll() is None, running.communicate()
                time.sleep(0.05)
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=30)
        finally:
            running.kill()
    assert running.returncode == 130, err
    assert "Traceback" not in err
    lines = record.read_text().splitlines()
    assert 5 < len(lines) < 4096
    assert f"{len(lines)} targets in " in err
    assert len(list(csv.reader(io.StringIO(out)))) == len(lines) + 1
    suite = ElementTree.parse(junit).getroot()  # noqa: S314
    assert suite.get("tests") == str(len(lines))


@pytest.mark.parametrize(
    "words", [["--rate", "0"], ["--rate", "nan"], ["--port", "0"], ["--port", "x"], ["--port", "9-1"]]
)
def test_numbers_that_make_no_sense(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", "127.0.0.1", *words]) == 2
    assert "credssp probe: " in capsys.readouterr().err


def test_targets_from_standard_input(server: RDPServer) -> None:
    command = [sys.executable, "-m", "credssp", "probe", "--json", "--file", "-"]
    text = f"127.0.0.1:{server.port}\n\n# that was all\n"
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["credssp"]["version"] == 6


def test_ranges_of_winrm_servers(capsys: pytest.CaptureFixture[str]) -> None:
    from credssp.testing.winrm import WinRMServer

    with WinRMServer({("LAB", "alice"): "x"}) as winrm:
        assert main(["probe", "--json", f"http://127.0.0.1-3:{winrm.port}/wsman"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(found) == 3
    assert [each["target"] for each in found if each["credssp"]] == [f"http://127.0.0.1:{winrm.port}/wsman"]
