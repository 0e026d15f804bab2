"""Answers of the WinRM double: which one is used and when, what clients get, and faults."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from credssp import PasswordCredentials
from credssp.errors import LocalProtocolError
from credssp.testing.answers import Answer, Answers, CommandCall, CommandOutput, answers_of
from credssp.testing.answers_file import parse_answers, read_answers
from credssp.testing.faults import FAULTS, fault_named
from credssp.testing.soap import ACTION, parse_envelope
from credssp.testing.winrm import WinRMServer
from credssp.testing.wsman import CMD, WSManResponder
from credssp.winrm import WinRMRequest, WinRMResponse
from tests.docs.pages import DOCS, blocks
from tests.winrm.test_command_lines import encoded
from tests.winrm.test_wsman import BOB, PREFIXES, Caller, receive

TIMED_OUT, ABORTED = 2150858793, 995


def caller(commands: Any = (), **options: Any) -> Caller:
    return Caller(WSManResponder(hostname="srv", commands=commands, **options))


def envelope(
    action: str, body: str, shell: str = "", header: str = "", timeout: str = "PT30S", **options: str
) -> bytes:
    chosen = "".join(f'<w:Option Name="{name}">{value}</w:Option>' for name, value in options.items())
    selectors = f'<w:SelectorSet><w:Selector Name="ShellId">{shell}</w:Selector></w:SelectorSet>' if shell else ""
    return (
        f"<s:Envelope {PREFIXES}><s:Header><a:Action>{ACTION[action]}</a:Action><a:MessageID>uuid:1</a:MessageID>"
        f"<w:ResourceURI>{CMD}</w:ResourceURI>{selectors}<w:OptionSet>{chosen}</w:OptionSet>"
        f"<w:OperationTimeout>{timeout}</w:OperationTimeout></s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def asked(user: Caller, data: bytes) -> str:
    status, text = user.send(data)
    assert status == 200, text
    return text


def faulted(user: Caller, data: bytes) -> int:
    status, text = user.send(data)
    assert status == 500, text
    return int(re.findall('WSManFault Code="([0-9]+)"', text)[0])


def shell_with(user: Caller, body: str = "<rsp:Shell/>", **options: str) -> str:
    return str(re.findall("<rsp:ShellId>(.*?)<", asked(user, envelope("Create", body, **options)))[0])


def send(user: Caller, shell: str, command: str, data: bytes, *, end: bool = True) -> None:
    ending = ' End="true"' if end else ""
    stream = f'<rsp:Stream Name="stdin" CommandId="{command}"{ending}>{base64.b64encode(data).decode()}</rsp:Stream>'
    asked(user, envelope("Send", f"<rsp:Send>{stream}</rsp:Send>", shell))


def signal(user: Caller, shell: str, command: str, name: str) -> None:
    code = f"http://schemas.microsoft.com/wbem/wsman/1/windows/shell/signal/{name}"
    asked(
        user, envelope("Signal", f'<rsp:Signal CommandId="{command}"><rsp:Code>{code}</rsp:Code></rsp:Signal>', shell)
    )


# Which answer


def test_the_first_answer_that_fits_is_used() -> None:
    user = caller({"get-*": "first", "=get-item": "second", "whoami": "mine"})
    assert user.run("Get-Item") == (b"first", b"", 0)
    assert user.run("whoami") == (b"mine", b"", 0)  # before the shell's own
    assert user.run("hostname") == (b"srv\r\n", b"", 0)


def test_commands_are_matched_with_their_arguments() -> None:
    user = caller({"=sc query WinRM": "RUNNING"})
    assert user.run("sc", "query", "WinRM")[0] == b"RUNNING"
    assert user.run("sc query", "WinRM")[0] == b"RUNNING"
    assert user.run("sc")[2] == 1


def test_encoded_scripts_are_matched_by_their_text_and_errors_are_clixml() -> None:
    answer = Answer("get-service *", stdout="Running", stderr="no\r\n", progress="Preparing", exit_code=3)
    out, error, code = caller([answer]).run("powershell", "-enc", encoded("Get-Service WinRM"))
    assert (out, code) == (b"Running", 3)
    assert error.startswith(b"#< CLIXML\r\n<Objs ")
    assert b'<S S="Error">no_x000D__x000A_</S>' in error
    assert b"<AV>Preparing</AV>" in error


def test_errors_of_other_programs_are_text() -> None:
    assert caller([Answer(stderr="no\r\n")]).run("x")[1] == b"no\r\n"


def test_unknown_scripts_have_the_error_of_powershell() -> None:
    out, error, code = caller().run("powershell", "-enc", encoded("Get-Nothing"))
    assert (out, code) == (b"", 1)
    assert b"#< CLIXML" in error
    assert b"CommandNotFoundException" in error
    plain = caller().run("powershell", "Get-Nothing")[1]
    assert plain.startswith(b"Get-Nothing : The term 'Get-Nothing' is not recognized")


def test_templates_name_the_user_the_delegated_user_the_host_and_groups() -> None:
    text = '{"user": "{user}", "d": "{domain}", "as": "{delegated_domain}/{delegated_user}", "h": "{host}", "{1}": {9}}'
    out, _, _ = caller([Answer("/^say (.*)$/", stdout=text)]).run("say", "hello")
    assert out == b'{"user": "alice", "d": "LAB", "as": "LAB/svc", "h": "srv", "hello": {9}}'


def test_templates_have_no_delegated_user_where_none_was_delegated() -> None:
    responder = WSManResponder(commands={"*": "<{delegated_user}>"})
    assert Caller(responder, credentials=PasswordCredentials.empty()).run("x")[0] == b"<>"


# Input


def test_an_answer_by_input_waits_for_its_end() -> None:
    user = caller([Answer("sort", stdin="*b*", stdout="got {stdin}"), Answer("sort", stdout="other")])
    shell = user.create()
    command = user.command(shell, "sort")
    send(user, shell, command, b"a", end=False)
    assert faulted(user, envelope("Receive", receive(command), shell, timeout="PT0.05S")) == TIMED_OUT
    send(user, shell, command, b"b")
    assert user.receive(shell, command) == (b"got ab", b"", 0)


def test_without_input_an_answer_by_input_fits_the_empty_one() -> None:
    assert caller([Answer(stdin="*b*", stdout="b"), Answer(stdin="=", stdout="none")]).run("sort")[0] == b"none"


def test_a_client_that_announces_input_is_waited_for() -> None:
    user = caller([Answer(stdin="x", stdout="x"), Answer(stdout="none")])
    shell = shell_with(user)
    line = "<rsp:CommandLine><rsp:Command>sort</rsp:Command></rsp:CommandLine>"
    text = asked(user, envelope("Command", line, shell, WINRS_CONSOLEMODE_STDIN="FALSE"))
    command = re.findall("<rsp:CommandId>(.*?)<", text)[0]
    assert faulted(user, envelope("Receive", receive(command), shell, timeout="PT0.05S")) == TIMED_OUT
    send(user, shell, command, b"x")
    assert user.receive(shell, command)[0] == b"x"


# Functions


def test_a_function_answers_with_text_bytes_or_all_of_it() -> None:
    user = caller(
        {
            "text": lambda call: f"{call.command} by {call.user} as {call.delegated_user}",
            "bytes": lambda call: b"\xff",
            "all": lambda call: CommandOutput(b"out", "error", 7),
            "fixed": CommandOutput("out", exit_code=8),
        }
    )
    assert user.run("text")[0] == b"text by alice as svc"
    assert user.run("bytes")[0] == b"\xff"
    assert user.run("all") == (b"out", b"error", 7)
    assert user.run("fixed") == (b"out", b"", 8)


def test_a_coroutine_function_answers_too() -> None:
    async def answer(call: CommandCall) -> str:
        await asyncio.sleep(0)
        return call.stdin.upper()

    user = caller(answer)
    shell = user.create()
    command = user.command(shell, "sort")
    send(user, shell, command, b"abc")
    assert user.receive(shell, command)[0] == b"ABC"


def test_a_function_that_fails_is_a_fault_and_in_the_log_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    def answer(call: CommandCall) -> str:
        raise ValueError("hunter2")

    user = caller(answer)
    shell = user.create()
    assert user.fault("Receive", receive(user.command(shell, "x")), shell=shell) == 1359
    assert "the function for the command '*' failed" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_function_may_choose_a_fault() -> None:
    def answer(call: CommandCall) -> str:
        raise fault_named("access-denied")

    user = caller(answer)
    shell = user.create()
    assert user.fault("Receive", receive(user.command(shell, "x")), shell=shell) == 5


def test_a_function_that_returns_something_else_is_a_fault() -> None:
    user = caller(lambda call: 5)
    shell = user.create()
    assert user.fault("Receive", receive(user.command(shell, "x")), shell=shell) == 1359


def test_a_function_that_takes_long_holds_up_no_other_command() -> None:
    release = threading.Event()
    user = caller({"slow": lambda call: "slow" if release.wait(60) else "never"})
    shell = user.create()
    slow = user.command(shell, "slow")
    assert faulted(user, envelope("Receive", receive(slow), shell, timeout="PT0.05S")) == TIMED_OUT
    assert user.receive(shell, user.command(shell, "hostname"))[0] == b"srv\r\n"
    release.set()
    assert user.receive(shell, slow)[0] == b"slow"


# Time


def test_output_comes_in_pieces_and_each_after_its_delay() -> None:
    now = [100.0]
    user = caller([Answer(stdout=("one", "two"), stderr="end", delay=5, exit_code=4)], clock=lambda: now[0])
    shell = user.create()
    command = user.command(shell, "x")
    waiting = envelope("Receive", receive(command), shell, timeout="PT0S")
    assert faulted(user, waiting) == TIMED_OUT
    now[0] += 5
    assert user.receive(shell, command) == (b"one", b"", None)
    assert faulted(user, waiting) == TIMED_OUT
    now[0] += 5
    assert user.receive(shell, command) == (b"two", b"end", 4)


def test_the_time_out_has_the_words_and_the_code_of_windows() -> None:
    user = caller([Answer(delay=1000)])
    shell = user.create()
    status, text = user.send(envelope("Receive", receive(user.command(shell, "x")), shell, timeout="PT0.01S"))
    assert status == 500
    assert "<s:Value>s:Receiver</s:Value><s:Subcode><s:Value>w:TimedOut</s:Value>" in text
    assert "cannot complete the operation within the time specified in OperationTimeout" in text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT20S", 20),
        ("PT0.5S", 0.5),
        ("PT1M", 60),
        ("P1DT2H3M4S", 93784),
        ("", None),
        ("PT", None),
        ("20", None),
        ("P", None),
    ],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert parse_envelope(envelope("Receive", "", timeout=text)).timeout == seconds


def waiting_receive(user: Caller, shell: str, command: str, meanwhile: Any) -> WinRMResponse:
    """Let a Receive wait while something else comes, in one event loop."""

    async def main() -> WinRMResponse:
        request = WinRMRequest(user.identity, user.credentials, envelope("Receive", receive(command), shell))
        task = asyncio.ensure_future(user.responder.respond(request))
        await asyncio.sleep(0)
        assert not task.done()
        await asyncio.to_thread(meanwhile)
        async with asyncio.timeout(60):
            return await task

    return asyncio.run(main())


def test_a_receive_that_waits_gets_what_input_brings() -> None:
    user = caller({"sort": lambda call: call.stdin})
    shell = user.create()
    command = user.command(shell, "sort")
    send(user, shell, command, b"a", end=False)
    response = waiting_receive(user, shell, command, lambda: send(user, shell, command, b"b"))
    assert base64.b64encode(b"ab") in response.data


@pytest.mark.parametrize("how", ["terminate", "delete"])
def test_a_receive_that_waits_is_aborted_with_its_command(how: str) -> None:
    user = caller([Answer(delay=1000)])
    shell = user.create()
    command = user.command(shell, "x")

    def end() -> None:
        if how == "delete":
            user.ask("Delete", shell=shell)
        else:
            signal(user, shell, command, "terminate")

    response = waiting_receive(user, shell, command, end)
    assert response.status == 500
    assert f'Code="{ABORTED}"'.encode() in response.data


def test_ctrl_c_ends_a_command_that_runs_with_its_exit_code() -> None:
    user = caller([Answer(stdout="late", delay=1000)])
    shell = user.create()
    command = user.command(shell, "x")
    response = waiting_receive(user, shell, command, lambda: signal(user, shell, command, "ctrl_c"))
    assert b"<rsp:ExitCode>3221225786<" in response.data


def test_ctrl_c_leaves_a_command_alone_that_has_ended() -> None:
    user = caller()
    shell = user.create()
    command = user.command(shell, "hostname")
    signal(user, shell, command, "ctrl_c")
    assert user.receive(shell, command) == (b"srv\r\n", b"", 0)


# Shells


@pytest.mark.parametrize(
    ("codepage", "octets"), [("437", b"\x81?"), ("65001", "ü€".encode()), ("1252", b"\xfc\x80"), ("", "ü€".encode())]
)
def test_output_and_input_are_in_the_code_page_of_the_shell(codepage: str, octets: bytes) -> None:
    user = caller({"say": "ü€", "sort": lambda call: call.stdin})
    shell = shell_with(user, **({"WINRS_CODEPAGE": codepage} if codepage else {}))
    assert user.receive(shell, user.command(shell, "say"))[0] == octets
    command = user.command(shell, "sort")
    send(user, shell, command, octets)
    assert user.receive(shell, command)[0] == octets


def test_an_unknown_code_page_is_refused() -> None:
    assert faulted(caller(), envelope("Create", "<rsp:Shell/>", WINRS_CODEPAGE="9")) == 2150858817
    with pytest.raises(LocalProtocolError, match="codepage 9"):
        WSManResponder(codepage=9)


def test_functions_see_directory_and_environment() -> None:
    user = caller(lambda call: f"{call.directory} {dict(call.environment)} {call.codepage}")
    body = (
        '<rsp:Shell><rsp:WorkingDirectory>C:\\x</rsp:WorkingDirectory><rsp:Environment><rsp:Variable Name="A">1'
        "</rsp:Variable></rsp:Environment></rsp:Shell>"
    )
    shell = shell_with(user, body, WINRS_CODEPAGE="437")
    assert user.receive(shell, user.command(shell, "x"))[0] == b"C:\\x {'A': '1'} 437"


def test_several_commands_run_in_one_shell_at_a_time() -> None:
    user = caller({"slow": lambda call: call.stdin})
    shell = user.create()
    commands = [user.command(shell, "slow") for _ in range(3)]
    for number, command in reversed(list(enumerate(commands))):
        send(user, shell, command, b"%d" % number)
    assert [user.receive(shell, command)[0] for command in commands] == [b"0", b"1", b"2"]


def test_commands_that_all_run_have_a_quota() -> None:
    user = caller([Answer("wait", delay=1000)], max_commands=2)
    shell = user.create()
    user.command(shell, "wait")
    body = "<rsp:CommandLine><rsp:Command>wait</rsp:Command></rsp:CommandLine>"
    user.command(shell, "hostname")
    user.command(shell, "wait")  # in place of the one that has ended
    assert user.fault("Command", body, shell=shell) == FAULTS["operations-quota"][1]


def test_shells_of_a_user_have_a_quota() -> None:
    responder = WSManResponder(max_shells_per_user=1)
    Caller(responder).create()
    assert Caller(responder).fault("Create", "<rsp:Shell/>") == FAULTS["shells-quota"][1]
    Caller(responder, BOB).create()


def test_messages_have_the_size_that_get_names() -> None:
    user = caller({"big": "x" * 9000}, max_envelope_kb=8)
    assert "MaxEnvelopeSizekb>8<" in user.ask("Get", resource="http://schemas.microsoft.com/wbem/wsman/1/config")
    shell = user.create()
    command = user.command(shell, "big")
    sizes = []
    while True:
        text = user.ask("Receive", receive(command), shell=shell)
        sizes.append(len(text))
        if "/Done" in text:
            break
    assert max(sizes) <= 8 * 1024
    assert len(sizes) == 2
    assert user.fault("Create", f"<rsp:Shell>{' ' * 9000}</rsp:Shell>") == FAULTS["request-size"][1]


def test_input_counts_among_what_is_kept() -> None:
    user = caller([Answer(stdin="x")], max_output=100)
    shell = user.create()
    command = user.command(shell, "sort")
    send(user, shell, command, b"y" * 101, end=False)
    assert user.fault("Receive", receive(command), shell=shell) == 2150858817


# Faults


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("at", ["command", "receive"])
def test_faults_by_name(name: str, at: str) -> None:
    user = caller([Answer(fault=name, fault_at=at)])
    shell = user.create()
    body = "<rsp:CommandLine><rsp:Command>x</rsp:Command></rsp:CommandLine>"
    if at == "command":
        assert user.fault("Command", body, shell=shell) == FAULTS[name][1]
    else:
        assert user.fault("Receive", receive(user.command(shell, "x")), shell=shell) == FAULTS[name][1]


def test_faults_by_request() -> None:
    user = caller(Answers(faults={"Create": "users-quota"}))
    assert user.fault("Create", "<rsp:Shell/>") == FAULTS["users-quota"][1]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Answer(fault="none"), "fault 'none': not one of access-denied"),
        (lambda: Answer(fault_at="x"), "fault_at 'x'"),
        (lambda: Answer(exit_code=-1), "exit_code -1"),
        (lambda: Answer(delay=-1), "delay -1"),
        (lambda: Answer(stdout=()), "stdout: an empty list"),
        (lambda: Answers(faults={"Open": "aborted"}), "a fault of 'Open'"),
        (lambda: Answers(faults={"Create": "x"}), "fault 'x'"),
        (lambda: WinRMServer({}, commands={}, handler=lambda request: WinRMResponse(b"")), "exclude each other"),
    ],
)
def test_settings_that_make_no_sense_are_named(make: Any, words: str) -> None:
    with pytest.raises(LocalProtocolError, match=re.escape(words)):
        make()


@pytest.mark.parametrize("commands", [{"x": 5}, [5], "x"])
def test_commands_of_no_known_form_are_a_type_error(commands: Any) -> None:
    with pytest.raises(TypeError, match="commands"):
        answers_of(commands)


def test_what_was_answered_is_remembered_and_in_no_repr() -> None:
    user = caller()
    user.run("echo", "hunter2")
    (call,) = user.responder.calls
    assert call.command == "echo hunter2"
    assert "hunter2" not in repr(call)


# Files

FILE = """
[[answer]]
command = "Get-Service*"
stdout = "Running  WinRM  for {user} as {delegated_user}\\r\\n"

[[answer]]
command = "/^dir (.*)$/"
stdin = "*"
stdout = ["one", "two {1}"]
stderr = "e"
exit_code = 2
delay = 1

[faults]
Delete = "access-denied"
"""


def test_a_file_has_answers_and_faults(tmp_path: Path) -> None:
    (tmp_path / "answers.toml").write_text(FILE)
    answers = read_answers(tmp_path / "answers.toml")
    first, second = answers.answers
    assert first.stdout == "Running  WinRM  for {user} as {delegated_user}\r\n"
    assert (second.stdout, second.stderr, second.exit_code, second.delay) == (("one", "two {1}"), "e", 2, 1)
    assert answers.faults == {"Delete": "access-denied"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[answer]]\nkommand = 'x'", "answer 1: kommand: not a key of an answer; they are command, stdin"),
        ("[[answer]]\nfunction = 'x'", "answer 1: function: not a key"),
        ("[[answer]]\n[[answer]]\nexit_code = 'x'", "answer 2: exit_code: not a number"),
        ("[[answer]]\nexit_code = true", "exit_code: not a number"),
        ("[[answer]]\nstdout = 5", "stdout: not a text"),
        ("[[answer]]\nstdout = [5]", "stdout: not a text"),
        ("[[answer]]\ncommand = '/(/'", "not a regular expression"),
        ("[answer]\ncommand = 'x'", "answer: not a list of tables; write [[answer]]"),
        ("[fault]", "fault: not a key of answers"),
        ("faults = 5", "faults: not a table"),
        ("[faults]\nCreate = 5", "faults: not a table"),
        ("[faults]\nCreate = 'x'", "fault 'x': not one of"),
        ("=", "not TOML"),
        ("\udcff", "not TOML"),
    ],
)
def test_files_that_make_no_sense_are_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "answers.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(LocalProtocolError) as caught:
        read_answers(path)
    assert caught.value.message.startswith(f"{path}: ")
    assert words in caught.value.message


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalProtocolError, match="none.toml: it cannot be read: No such file"):
        read_answers(tmp_path / "none.toml")


def test_an_empty_file_has_no_answers() -> None:
    assert parse_answers(b"") == Answers()


def test_the_file_of_the_manual_is_read() -> None:
    (block,) = blocks((DOCS / "how-to" / "winrm-test-a-client.md").read_text(encoding="utf-8"), "toml")
    answers = parse_answers(block.text.encode())
    assert [answer.command for answer in answers.answers] == ["Get-Service*", "*", "*"]
    assert answers.faults == {"Signal": "aborted"}


def test_the_manual_has_every_key_and_every_fault() -> None:
    text = (DOCS / "how-to" / "winrm-test-a-client.md").read_text(encoding="utf-8")
    for name in (*FAULTS, *(each.name for each in dataclasses.fields(Answer) if each.init)):
        assert f"`{name}`" in text


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"stdout": 5}, TypeError),
        ({"warning": b"x"}, TypeError),
        ({"stderr": None}, TypeError),
        ({"exit_code": "1"}, TypeError),
        ({"exit_code": True}, TypeError),
        ({"exit_code": -1}, LocalProtocolError),
        ({"exit_code": 1 << 32}, LocalProtocolError),
    ],
)
def test_output_that_makes_no_sense_is_refused_by_name(values: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(values))):
        CommandOutput(**values)


def test_what_an_answer_prints_does_not_show_in_its_repr() -> None:
    names = ("stdout", "stderr", "warning", "verbose", "debug", "information", "progress")
    texts: dict[str, Any] = dict.fromkeys(names, "printed")
    assert "printed" not in repr(Answer(**texts))
