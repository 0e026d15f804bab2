"""A login that a person has to confirm: everything but a yes in time is a no."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from credssp.errors import LocalProtocolError
from credssp.lsa.caller import Caller
from credssp.lsa.confirmation import Askpass, Question

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the agent needs Unix-domain sockets")

QUESTION = Question("prod-admin", "LAB\\alice", "TERMSRV/srv.lab.test", Caller(0, 4711, "/usr/bin/python3"))


def program(folder: Path, text: str) -> str:
    file = folder / "askpass"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o700)
    return str(file)


@pytest.mark.parametrize(
    ("text", "yes"),
    [
        ("exit 0", True),
        ("echo yes", True),
        ("echo YES", True),
        ("echo no", False),
        ("echo yesterday", False),
        ("exit 1", False),
        ("echo yes; exit 1", False),
        ("kill -9 $$", False),
        ("head -c 100000 /dev/zero", False),
    ],
)
def test_answers(tmp_path: Path, text: str, yes: bool) -> None:
    assert Askpass(program(tmp_path, text), os.environ)(QUESTION) is yes


def test_the_program_learns_what_it_is_about_and_that_two_buttons_are_enough(tmp_path: Path) -> None:
    asked = Askpass(program(tmp_path, f'printf "%s" "$1|$SSH_ASKPASS_PROMPT" > {tmp_path}/asked'), os.environ)
    assert asked(QUESTION)
    text, _, hint = (tmp_path / "asked").read_text().partition("|")
    assert hint == "confirm"
    for part in ("/usr/bin/python3", "4711", "TERMSRV/srv.lab.test", "LAB\\alice", "prod-admin", "root"):
        assert part in text


def test_what_a_program_chose_cannot_disguise_the_question() -> None:
    target = 'TERMSRV/good.lab.test"?\n\u202eevil\x1b[2J'
    text = str(Question("c", "u", target, Caller(12345678, 1, "/opt/\u2028x")))
    assert text.isprintable()
    assert text.count('"') == 4, "the quotes around target and user only"
    assert "12345678" in text


def test_a_program_that_cannot_be_run_says_no(tmp_path: Path) -> None:
    assert not Askpass(str(tmp_path / "none"), os.environ)(QUESTION)


def test_no_answer_in_time_is_a_no_and_ends_the_program_and_what_it_started(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "alive")
    reader = os.open(tmp_path / "alive", os.O_RDONLY | os.O_NONBLOCK)
    try:
        asked = Askpass(program(tmp_path, f"exec 3>{tmp_path}/alive; sleep 600 & sleep 600"), os.environ, deadline=2.0)
        assert not asked(QUESTION)
        os.set_blocking(reader, True)
        assert os.read(reader, 1) == b"", "the pipe ends with the last process that holds it"
    finally:
        os.close(reader)


def test_one_question_at_a_time(tmp_path: Path) -> None:
    log = tmp_path / "log"
    asked = Askpass(program(tmp_path, f"echo start >> {log}; echo end >> {log}"), os.environ)
    threads = [threading.Thread(target=asked, args=(QUESTION,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert log.read_text().split() == ["start", "end"] * 5


def test_questions_that_wait_too_long_for_their_turn_are_answered_with_no(tmp_path: Path) -> None:
    asked = Askpass(program(tmp_path, "sleep 600"), os.environ, deadline=1.0)
    answers: list[bool] = []
    threads = [threading.Thread(target=lambda: answers.append(asked(QUESTION))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == [False] * 3


def test_our_own_variable_comes_before_that_of_ssh() -> None:
    assert Askpass.from_environment({"SSH_ASKPASS": "/ssh", "CREDSSP_ASKPASS": "/ours"}).program == "/ours"
    assert Askpass.from_environment({"SSH_ASKPASS": "/ssh", "CREDSSP_ASKPASS": ""}).program == "/ssh"
    with pytest.raises(LocalProtocolError, match="set CREDSSP_ASKPASS or SSH_ASKPASS"):
        Askpass.from_environment({})


def test_a_flood_of_questions_is_answered_with_no(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    asked = Askpass(program(tmp_path, f"read line < {tmp_path}/go"), os.environ)
    waiting = [threading.Thread(target=asked, args=(QUESTION,)) for _ in range(8)]
    for thread in waiting:
        thread.start()
    writer = os.open(tmp_path / "go", os.O_RDWR)  # so that no reader finds an end
    try:
        while asked._places._value:
            pass
        assert not asked(QUESTION)
    finally:
        for thread in waiting:
            os.write(writer, b"\n")
            thread.join(0)
        for thread in waiting:
            thread.join(60)
        os.close(writer)
