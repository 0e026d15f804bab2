"""What a shell offers its user: help, completion, manual pages, and a word about what was misspelt."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from credssp.cli import COMMANDS, main
from credssp.cli.completion import SHELLS
from tests.peers import require_program

PROGRAM = [sys.executable, "-m", "credssp"]


def printed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    try:
        code = main(arguments)
    except SystemExit as ended:
        code = int(ended.code or 0)
    return code, *capsys.readouterr()


def test_alone_it_prints_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = printed([], capsys)
    assert (code, out) == (2, "")
    assert all(re.search(rf"^ +{name}\s", err, re.MULTILINE) for name in COMMANDS)


@pytest.mark.parametrize("words", [[], ["login"], ["gateway", "run"], ["agent", "add"]])
def test_help_is_that_of_the_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    asked = printed(["help", *words], capsys)
    assert asked == printed([*words, "--help"], capsys)
    assert asked[0] == 0
    assert asked[1].startswith(" ".join(["usage: credssp", *words]))


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["lgoin"], "login"),
        (["help", "prob"], "probe"),
        (["gateway", "rnu"], "run"),
        (["serve", "winmr"], "winrm"),
        (["status", "0", "--jsn"], "--json"),
        (["login", "rdp://127.0.0.1", "--pasword-file=x"], "--password-file"),
        (["conformance", "vectors", "f", "--junti", "x"], "--junit"),
    ],
)
def test_what_was_meant_is_suggested(arguments: list[str], meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = printed(arguments, capsys)
    assert (code, out) == (2, "")
    assert err.rstrip().endswith(f"; did you mean {meant}?")


@pytest.mark.parametrize("arguments", [["zzzz"], ["status", "0", "--zzzz"], ["status", "0", "-z"], ["status"]])
def test_nothing_is_suggested_where_nothing_is_close(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = printed(arguments, capsys)
    assert code == 2
    assert "did you mean" not in err


def completed(shell_script: Path, words: list[str]) -> set[str]:
    """Return what bash offers for the last word."""
    line = " ".join(words)
    script = (
        f'source "{shell_script}"\n'
        f"COMP_WORDS=({' '.join(repr(word) for word in words)}); COMP_CWORD={len(words) - 1}\n"
        f'COMP_LINE="{line}"; COMP_POINT={len(line)}\n'
        'function=$(complete -p credssp | sed -E "s/.*-F ([^ ]+).*/\\1/")\n'
        f'"$function" credssp "{words[-1]}" "{words[-2]}"\n'
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=shell_script.parent,
    )
    return set(done.stdout.split())


@pytest.fixture(scope="module")
def bash_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    folder = tmp_path_factory.mktemp("completion")
    done = subprocess.run([*PROGRAM, "completion", "bash"], capture_output=True, text=True, timeout=60, check=True)
    (folder / "credssp").write_text(done.stdout)
    (folder / "secret.txt").touch()
    return folder / "credssp"


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["credssp", "lo"], {"login"}),
        (["credssp", "p"], {"probe", "policy"}),
        (["credssp", "gateway", "e"], {"explain"}),
        (["credssp", "login", "--password-"], {"--password-command", "--password-file"}),
        (["credssp", "login", "--mechanism", "k"], {"kerberos"}),
        (["credssp", "login", "--password-file", "secr"], {"secret.txt"}),
        (["credssp", "login", "--file", "secr"], {"secret.txt"}),
        (["credssp", "report", "secr"], {"secret.txt"}),
        (["credssp", "login", "--keep"], {"--keep-going"}),
        (["credssp", "help", "lo"], {"login"}),
        (["credssp", "schema", "serve-r"], {"serve-rdp"}),
        (["credssp", "conformance", "ru"], {"rule"}),
    ],
)
def test_bash_completes(words: list[str], offered: set[str], bash_script: Path) -> None:
    assert completed(bash_script, words) == offered


@pytest.mark.interop
@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_reads_its_script(shell: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, err = printed(["completion", shell], capsys)
    assert (code, err) == (0, "")
    assert all(name in out for name in COMMANDS)
    script = tmp_path / "script"
    script.write_text(out)
    subprocess.run([require_program(shell), "-n", str(script)], capture_output=True, timeout=60, check=True)


@pytest.mark.interop
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("credssp lo", {"login"}),
        ("credssp p", {"probe", "policy"}),
        ("credssp login --password-", {"--password-command", "--password-file"}),
        ("credssp login --mechanism k", {"kerberos"}),
        ("credssp help lo", {"login"}),
        ("credssp schema lo", {"login"}),
    ],
)
def test_fish_completes(line: str, offered: set[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "credssp.fish").write_text(printed(["completion", "fish"], capsys)[1])
    script = "source $argv[1]; complete -C $argv[2]"
    command = [require_program("fish"), "--no-config", "-c", script, str(tmp_path / "credssp.fish"), line]
    environment = os.environ | {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environment)
    assert {each.partition("\t")[0] for each in done.stdout.splitlines()} == offered


@pytest.mark.parametrize(("library", "command"), [("shtab", ["completion", "bash"]), ("argparse_manpage", ["help"])])
def test_without_the_library_it_says_what_to_install(
    library: str,
    command: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    for name in [each for each in sys.modules if each.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    more = ["--man", str(tmp_path)] if command == ["help"] else []
    code, out, err = printed([*command, *more], capsys)
    assert (code, out) == (1, "")
    assert "pip install 'credssp[shell]'" in err


def test_manual_pages_are_those_of_the_parsers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(["help", "--man", str(tmp_path / "man1")], capsys) == (0, "", "")
    pages = {path.name: path.read_text() for path in (tmp_path / "man1").iterdir()}
    assert set(pages) == {"credssp.1", *(f"credssp-{name}.1" for name in COMMANDS)}
    for name, text in pages.items():
        title, _, named = text.splitlines()[:3]
        word = name.removesuffix(".1").replace("-", r"\-")
        assert title.startswith(f'.TH "{word.upper()}" "1" "" "credssp ')
        assert named.startswith(rf"{word} \- ")
    assert r"\-\-password\-file" in pages["credssp-login.1"]
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    for name in pages:
        command = ["groff", "-man", "-ww", "-z", "-Tutf8", str(tmp_path / "man1" / name)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert not done.stderr, done.stderr


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    code, _, err = printed(["help", "--man", str(tmp_path / "file")], capsys)
    assert code == 1
    assert f"--man {tmp_path / 'file'}" in err


STYLE = re.compile(rb"\x1b\[[0-9;]*m")
FACTS = "from credssp.cli._output import print_facts; print_facts('Title', {'name': 'value'})"


def on_a_terminal(code: str, **variables: str) -> bytes:
    """Return what a Python program prints on a terminal."""
    ours, theirs = os.openpty()
    try:
        environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs, env=environment | variables
        )
        os.close(theirs)
        found = b""
        while select.select([ours], [], [], 60)[0]:
            try:
                data = os.read(ours, 65536)
            except OSError:  # Linux says so at the end
                break
            if not data:
                break
            found += data
        process.wait(60)
    finally:
        os.close(ours)
    return found


def test_a_terminal_has_styles_and_a_dumb_one_has_not() -> None:
    assert STYLE.search(on_a_terminal(FACTS, TERM="xterm-256color"))
    plain = on_a_terminal(FACTS, TERM="dumb")
    assert b"Title" in plain
    assert b"\x1b" not in plain


def test_no_color_leaves_no_colours() -> None:
    printed = on_a_terminal(FACTS, TERM="xterm-256color", NO_COLOR="1")
    assert b"Title" in printed
    # 30 to 49 and above 90 are colours; bold and dim are none (no-color.org).
    assert not [each for each in re.findall(rb"\d+", b" ".join(STYLE.findall(printed))) if int(each) >= 30]
