"""The commands that README and manual show: the program takes each of them, and those that can run here do."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from credssp.cli import _load, _parser, main
from tests.docs.pages import DOCS, blocks

README = DOCS.parent / "README.md"
PAGES = [README, *sorted(DOCS.glob("*/*.md"))]


def commands(page: Path) -> list[list[str]]:
    """Return the arguments of every ``credssp`` in the shell blocks of a page."""
    found = []
    for block in blocks(page.read_text(encoding="utf-8"), "sh", "console"):
        for line in block.text.replace("\\\n", " ").splitlines():
            if not line.removeprefix("$ ").startswith("credssp "):
                continue
            words = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars="|<>")
            words.whitespace_split = True
            command = [*words, "|"]
            end = next(number for number, word in enumerate(command) if word in ("|", "<", ">"))
            found.append(command[1:end])
    return found


def test_there_are_commands() -> None:
    assert sum(bool(commands(page)) for page in PAGES) >= 8


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.name)
def test_program_takes_every_command(page: Path) -> None:
    for command in commands(page):
        module = _load(command[0])
        words = module.rewritten(command) if command[0] == "agent" else command
        _parser(command[0]).parse_args(words)


def test_console_shows_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = blocks((DOCS / "reference" / "cli.md").read_text(encoding="utf-8"), "console")
    command, output = block.text.split("\n", 1)
    assert main(shlex.split(command)[2:]) == 0
    assert capsys.readouterr().out == output


@contextlib.contextmanager
def serving(command: list[str]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Run ``credssp serve`` as it is shown, on another port; its address, and the events once it has ended."""
    listen = command.index("--listen") + 1
    arguments = [*command[:listen], "127.0.0.1:0", *command[listen + 1 :]]
    process = subprocess.Popen(
        [sys.executable, "-m", "credssp", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    events: list[dict[str, Any]] = []
    try:
        events.append(json.loads(process.stdout.readline()))
        yield events[0]["address"], events
    finally:
        process.terminate()
        rest, _ = process.communicate(timeout=30)
    events += map(json.loads, rest.splitlines())
    assert process.returncode == 0


def serve_command(page: Path) -> tuple[list[str], str, str]:
    """Return the ``serve`` of a page, and the user and password that it lets in."""
    (command,) = (command for command in commands(page) if command[0] == "serve")
    user, _, password = command[command.index("--user") + 1].partition(":")
    return command, user, password


def test_rdp_commands_of_the_readme(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    command, _, password = serve_command(README)
    shown = command[command.index("--listen") + 1]
    monkeypatch.setenv("CREDSSP_PASSWORD", password)
    others = [each for each in commands(README) if any(shown in word for word in each) and each != command]
    assert [each[0] for each in others] == ["login", "probe"]
    with serving(command) as (address, events):
        for each in others:
            assert main([word.replace(shown, address) for word in each]) == 0
    assert capsys.readouterr().out.startswith("accepted: rdp://127.0.0.1:")
    assert "delegated" in {event["event"] for event in events}


def test_events_are_those_of_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    page = DOCS / "how-to" / "rdp-test-a-client.md"
    command, user, password = serve_command(page)
    monkeypatch.setenv("CREDSSP_PASSWORD", password)
    with serving(command) as (address, events):
        assert main(["login", f"rdp://{address}", "-u", user]) == 0
    (block,) = blocks(page.read_text(encoding="utf-8"), "text")
    shown = block.text.splitlines()
    assert [re.findall(r'"event": "(\w+)"', line)[0] for line in shown] == [event["event"] for event in events]
    for line, event in zip(shown, events, strict=True):
        inside = event.get("session") or {}
        assert set(re.findall(r'"(\w+)":', line)) <= set(event) | set(inside)


def test_winrm_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    command, user, password = serve_command(DOCS / "how-to" / "winrm-server.md")
    monkeypatch.setenv("CREDSSP_PASSWORD", password)
    with serving(command) as (address, events):
        assert main(["login", f"http://{address}", "-u", user]) == 0
    assert [event["event"] for event in events] == ["listening", "delegated", "closed"]


def test_winrm_service_over_https_is_started_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it but that it stays."""
    import credssp
    from credssp.drivers import winrm_serving as module
    from credssp.drivers.winrm_asgi import WinRMApplication, WinRMResponse

    page = (DOCS / "how-to" / "winrm-server.md").read_text(encoding="utf-8")
    (block,) = blocks(page, "py")
    monkeypatch.chdir(tmp_path)
    certificate = credssp.generate_certificate("p256")
    Path("cert.pem").write_bytes(certificate.chain + certificate.private_key.reveal())
    started: list[tuple[str, int]] = []
    monkeypatch.setattr(module, "listen", lambda host, port: (host, port))
    monkeypatch.setattr(module, "serve", lambda server, listener: started.append(listener))
    app = WinRMApplication(lambda request: WinRMResponse(b""), accounts=credssp.MemoryAccounts({}))
    exec(compile(block.text, "winrm-server.md", "exec"), {"app": app})  # noqa: S102
    assert started == [("0.0.0.0", 5986)]  # noqa: S104
