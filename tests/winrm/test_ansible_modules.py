"""Ansible's modules in the WinRM double: which one is called is read from what Ansible sends, in each of its forms."""

from __future__ import annotations

import json
from typing import Any

import pytest

from credssp.errors import LocalProtocolError
from credssp.testing.ansible import ModuleCall, module_of
from credssp.testing.answers import Answer, CommandCall
from credssp.testing.answers_file import parse_answers
from tests.winrm.test_answers import caller, send
from tests.winrm.test_command_lines import encoded
from tests.winrm.test_wsman import ALICE, DELEGATED, Caller

BOOTSTRAP = '$parts = ($input | Out-String).Split(@("`0`0`0`0"), 2)'
PING: dict[str, Any] = {"data": "pong", "_ansible_module_name": "ansible.windows.win_ping", "_ansible_version": "x"}


def before_2_19(arguments: dict[str, Any]) -> str:
    """Return the script of a wrapper and the payload, as up to ansible-core 2.18."""
    payload = {"module_entry": "JA==", "module_args": arguments, "actions": ["module_powershell_wrapper"]}
    return f'begin {{ "_ansible_module_name" }}\n\n\0\0\0\0{json.dumps(payload)}'


def since_2_19(arguments: dict[str, Any]) -> str:
    """Return the manifest of a wrapper and that of the module."""
    variables = [{"Name": "complex_args", "Value": arguments, "Scope": "Global"}]
    payload = {"scripts": {"x.ps1": {"script": "JA=="}}, "actions": [{"name": "x", "params": {"Variables": variables}}]}
    return f'{{"name": "exec_wrapper", "script": "...", "params": {{}}}}\n\0\0\0\0\n{json.dumps(payload)}'


def with_input(arguments: dict[str, Any]) -> str:
    """Return a manifest that input for the module follows."""
    return f"{since_2_19(arguments)}\n\0\0\0\0\nmore\n"


FORMS = [before_2_19, since_2_19, with_input]


def run(user: Caller, stdin: str) -> dict[str, Any]:
    shell = user.create()
    command = user.command(shell, "powershell", "-EncodedCommand", encoded(BOOTSTRAP))
    send(user, shell, command, stdin[:50].encode(), end=False)
    send(user, shell, command, stdin[50:].encode())
    out, error, _ = user.receive(shell, command)
    assert error == b""
    result: dict[str, Any] = json.loads(out)
    return result


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("line", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_name_and_arguments_of_a_module_are_found_in_every_form(form: Any, line: str) -> None:
    found = module_of(form(PING).replace("\n", line))
    assert found == ModuleCall("ansible.windows.win_ping", {"data": "pong"})
    assert found.short_name == "win_ping"
    assert "pong" not in repr(found)


@pytest.mark.parametrize(
    "stdin",
    [
        "_ansible_module_name",
        "[" * 100_000 + "_ansible_module_name",
        '{"_ansible_module_name": 1}',
        '\0\0\0\0{"_ansible_module_name": "x"',
        '["_ansible_module_name"]',
    ],
)
def test_what_is_no_payload_of_ansible_names_no_module(stdin: str) -> None:
    call = CommandCall("x", stdin, ALICE, DELEGATED)
    assert (call.ansible, call.module) == (None, "")


@pytest.mark.parametrize(
    "pattern", ["win_ping", "ansible.windows.win_ping", "*win_ping", "=WIN_PING", "/^win_(ping)$/"]
)
@pytest.mark.parametrize("form", FORMS)
def test_an_answer_fits_a_module_with_its_collection_or_without(form: Any, pattern: str) -> None:
    user = caller([Answer(module="win_shell", result={}), Answer(module=pattern, result={"ping": "{module}"})])
    assert run(user, form(PING)) == {"ping": "ansible.windows.win_ping"}


def test_an_answer_fits_by_the_arguments_of_the_module() -> None:
    user = caller(
        [
            Answer(module="win_service", arguments={"name": "Spooler", "missing": "*"}, result={"number": 1}),
            Answer(module="win_service", arguments={"name": "Other"}, result={"number": 2}),
            Answer(
                module="win_service",
                arguments={"name": "spool*", "force": "true", "paths": '/"(.*)", /', "count": "8"},
                result={"number": 3, "first": "{1}"},
            ),
        ]
    )
    arguments = {"name": "Spooler", "force": True, "paths": ["a", "b"], "count": 8}
    assert run(user, since_2_19({"_ansible_module_name": "x.y.win_service", **arguments})) == {
        "number": 3,
        "first": "a",
    }
    (call,) = user.responder.calls
    assert call.ansible is not None
    assert call.ansible.arguments == arguments


def test_arguments_fit_modules_alone() -> None:
    user = caller([Answer("sort", arguments={"name": "*"}, stdout="module"), Answer("sort", stdout="other")])
    shell = user.create()
    command = user.command(shell, "sort")
    send(user, shell, command, b"{}")
    assert user.receive(shell, command)[0] == b"other"


def test_texts_of_a_result_are_templates_and_stay_json() -> None:
    user = caller([Answer(module="*", result={"who": ["{domain}\\{user}", {"n": 1, "t": True}], "none": "{x}"})])
    assert run(user, since_2_19(PING)) == {"who": ["LAB\\alice", {"n": 1, "t": True}], "none": "{x}"}


def test_a_result_may_answer_any_command() -> None:
    assert json.loads(caller([Answer("Get-Service*", result={"Name": "WinRM"})]).run("Get-Service x")[0]) == {
        "Name": "WinRM"
    }


@pytest.mark.parametrize("form", FORMS)
def test_without_answers_ping_and_facts_are_known(form: Any) -> None:
    user = caller()
    assert run(user, form({"_ansible_module_name": "win_ping"})) == {"changed": False, "ping": "pong"}
    assert run(user, form({**PING, "data": "here"}))["ping"] == "here"
    facts = run(user, form({"_ansible_module_name": "ansible.legacy.setup"}))["ansible_facts"]
    assert (facts["ansible_os_family"], facts["ansible_hostname"]) == ("Windows", "srv")
    assert facts["ansible_user_id"] == "svc"


@pytest.mark.parametrize("form", FORMS)
def test_a_module_without_an_answer_fails_and_is_named_without_its_arguments(form: Any) -> None:
    result = run(caller(), form({"_ansible_module_name": "ansible.windows.win_user", "password": "hunter2"}))
    assert result["failed"]
    assert "no answer for the module ansible.windows.win_user; write one with module = 'win_user'" in result["msg"]
    assert "hunter2" not in str(result)


def test_a_bootstrap_without_a_module_is_what_powershell_says_of_an_unknown_command() -> None:
    user = caller()
    shell = user.create()
    command = user.command(shell, "powershell", "-EncodedCommand", encoded(BOOTSTRAP))
    send(user, shell, command, b"{}")
    out, error, code = user.receive(shell, command)
    assert (out, code) == (b"", 1)
    assert error.startswith(b"#< CLIXML")


def test_scripts_that_are_encoded_twice_are_read() -> None:
    inner = f"PowerShell -NoProfile -EncodedCommand {encoded('Get-Date')}"
    call = CommandCall(f"PowerShell -NoProfile -EncodedCommand {encoded(inner)}", "", ALICE, DELEGATED)
    assert call.script == "Get-Date"


def test_powershell_runs_the_commands_that_the_shell_knows() -> None:
    user = caller()

    def run_script(script: str) -> tuple[bytes, bytes, int | None]:
        output: tuple[bytes, bytes, int | None] = user.run("powershell", "-EncodedCommand", encoded(script))
        return output

    assert run_script("hostname") == (b"srv\r\n", b"", 0)
    assert run_script("whoami.exe") == (b"LAB\\svc\r\n", b"", 0)
    assert run_script("echo a b")[0] == b"a\r\nb\r\n"  # an alias of Write-Output
    assert run_script("hostname | sort")[2] == 1


def test_answers_to_modules_are_read_from_a_file() -> None:
    (answer,) = parse_answers(
        b'[[answer]]\nmodule = "win_ping"\narguments = { data = "x" }\nresult.ping = "x"\n'
    ).answers
    assert (answer.arguments, answer.result) == ({"data": "x"}, {"ping": "x"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("result = 'x'", "result: not a table"),
        ("arguments = { force = true }", "arguments: a pattern that is not a text"),
        ("arguments = { force = '/(/' }", "not a regular expression"),
        ("result = { at = 2026-01-01 }", "result: a value that JSON does not have"),
        ("result = { size = nan }", "result: a value that JSON does not have"),
        ("result = {}\nstdout = 'x'", "result: with stdout"),
    ],
)
def test_a_file_with_nonsense_about_modules_is_refused(text: str, words: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        parse_answers(f"[[answer]]\n{text}\n".encode())
    assert words in caught.value.message


def test_a_result_that_json_does_not_have_is_refused() -> None:
    with pytest.raises(TypeError, match="result"):
        Answer(result={"x": object()})


# Files


def put_file(action: str, data: str) -> str:
    manifest = json.dumps({"scripts": {}, "actions": [{"name": action, "params": {"Path": "C:\\\\x"}}]})
    return f'{{"name": "exec_wrapper"}}\n\0\0\0\0\n{manifest}\n\0\0\0\0\n{data}'


TAKES_FILE = (
    "$fd = [System.IO.File]::Create($p); [SHA1CryptoServiceProvider]; [System.Convert]::FromBase64String($input)"
)
PIECES = "aGU=\r\nbGxv\r\n"
HELLO = {"sha1": "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"}  # of "hello"


@pytest.mark.parametrize("action", ["winrm_put_file.ps1", "psrp_put_file.ps1"])
def test_the_checksum_of_a_file_is_told_since_2_19(action: str) -> None:
    assert run(caller(), put_file(action, PIECES)) == HELLO


def test_the_checksum_of_a_file_is_told_before_2_19() -> None:
    user = caller()
    shell = user.create()
    command = user.command(shell, "powershell", "-EncodedCommand", encoded(TAKES_FILE))
    send(user, shell, command, PIECES[:6].encode(), end=False)
    send(user, shell, command, PIECES[6:].encode())
    assert json.loads(user.receive(shell, command)[0]) == HELLO


@pytest.mark.parametrize(
    "stdin", [put_file("winrm_put_file.ps1", "%"), put_file("other.ps1", PIECES), '\0\0\0\0"actions"']
)
def test_what_is_no_file_of_ansible_is_an_unknown_command(stdin: str) -> None:
    user = caller()
    shell = user.create()
    command = user.command(shell, "powershell", "-EncodedCommand", encoded(BOOTSTRAP))
    send(user, shell, command, stdin.encode())
    assert user.receive(shell, command)[2] == 1


@pytest.mark.parametrize(
    ("script", "output"),
    [
        (
            "$tmp = New-Item -Type Directory -Path $tmp_path -Name 'ansible-tmp-1.2-3'",
            b"C:\\Windows\\Temp\\ansible-tmp-1.2-3\r\n",
        ),
        ("Set-StrictMode -Version Latest\nRemove-Item 'C:\\Windows\\Temp\\ansible-tmp-1.2-3' -Force -Recurse;", b""),
    ],
)
def test_folders_for_files_are_names(script: str, output: bytes) -> None:
    assert caller().run("powershell", "-EncodedCommand", encoded(script)) == (output, b"", 0)


def test_win_copy_always_copies() -> None:
    arguments = {"_ansible_module_name": "win_copy", "dest": "C:\\x", "files": [{"src": "x", "dest": "x"}]}
    assert run(caller(), since_2_19({**arguments, "_copy_mode": "query"})) == {
        "changed": True,
        "files": [{"src": "x", "dest": "x"}],
        "directories": [],
        "symlinks": [],
    }
    done = run(caller(), since_2_19({**arguments, "_copy_mode": "single"}))
    assert (done["changed"], done["dest"]) == (True, "C:\\x")
