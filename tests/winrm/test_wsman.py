"""The small WS-Management responder."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credssp import PasswordCredentials
from credssp.credentials import SmartCardCredentials
from credssp.errors import RemoteProtocolError
from credssp.identity import Identity
from credssp.testing.soap import ACTION, NS, identify, parse_envelope, read_identity
from credssp.testing.wsman import CMD, WSManResponder
from credssp.winrm import WinRMRequest

PREFIXES = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NS.items())
ALICE = Identity(username="alice", domain="LAB", mechanism="ntlm")
BOB = Identity(username="bob", domain="LAB", mechanism="ntlm")
DELEGATED = PasswordCredentials("svc", "secret", domain="LAB")


def envelope(
    action: str, body: str = "", *, shell: str = "", resource: str = CMD, size: int = 0, message_id: str = "uuid:1"
) -> bytes:
    selectors = f'<w:SelectorSet><w:Selector Name="ShellId">{shell}</w:Selector></w:SelectorSet>' if shell else ""
    limit = f"<w:MaxEnvelopeSize>{size}</w:MaxEnvelopeSize>" if size else ""
    return (
        f"<s:Envelope {PREFIXES}><s:Header><a:Action>{ACTION.get(action, action)}</a:Action>"
        f"<a:MessageID>{message_id}</a:MessageID><w:ResourceURI>{resource}</w:ResourceURI>{selectors}{limit}</s:Header>"
        f"<s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


class Caller:
    """One user of a responder."""

    def __init__(self, responder: WSManResponder, identity: Identity = ALICE, credentials: Any = DELEGATED) -> None:
        self.responder = responder
        self.identity = identity
        self.credentials = credentials

    def send(self, data: bytes) -> tuple[int, str]:
        response = self.responder(WinRMRequest(self.identity, self.credentials, data, client=("192.0.2.1", 1)))
        return response.status, response.data.decode()

    def ask(self, action: str, body: str = "", **options: Any) -> str:
        status, text = self.send(envelope(action, body, **options))
        assert status == 200, text
        return text

    def fault(self, action: str, body: str = "", **options: Any) -> int:
        status, text = self.send(envelope(action, body, **options))
        assert status == 500
        return int(re.findall('WSManFault Code="([0-9]+)"', text)[0])

    def create(self) -> str:
        return str(re.findall("<rsp:ShellId>(.*?)<", self.ask("Create", "<rsp:Shell/>"))[0])

    def command(self, shell: str, command: str, *arguments: str) -> str:
        words = "".join(f"<rsp:Arguments>{argument}</rsp:Arguments>" for argument in arguments)
        body = f"<rsp:CommandLine><rsp:Command>{command}</rsp:Command>{words}</rsp:CommandLine>"
        return str(re.findall("<rsp:CommandId>(.*?)<", self.ask("Command", body, shell=shell))[0])

    def receive(self, shell: str, command: str, **options: Any) -> tuple[bytes, bytes, int | None]:
        text = self.ask("Receive", receive(command), shell=shell, **options)
        out = b"".join(map(base64.b64decode, re.findall('Name="stdout"[^>]*>([^<]+)<', text)))
        error = b"".join(map(base64.b64decode, re.findall('Name="stderr"[^>]*>([^<]+)<', text)))
        code = re.findall("<rsp:ExitCode>([0-9]+)<", text)
        return out, error, int(code[0]) if code else None

    def run(self, command: str, *arguments: str) -> tuple[bytes, bytes, int | None]:
        shell = self.create()
        return self.receive(shell, self.command(shell, command, *arguments))


def receive(command: str) -> str:
    return f'<rsp:Receive><rsp:DesiredStream CommandId="{command}">stdout stderr</rsp:DesiredStream></rsp:Receive>'


@pytest.fixture
def responder() -> WSManResponder:
    return WSManResponder(hostname="srv")


@pytest.fixture
def alice(responder: WSManResponder) -> Caller:
    return Caller(responder)


def test_identify_needs_no_header(alice: Caller) -> None:
    status, text = alice.send(identify())
    assert status == 200
    identity = read_identity(text.encode())
    assert identity is not None
    assert identity["vendor"] == "credssp for Python"


def test_what_is_no_identity_is_none() -> None:
    assert read_identity(b"no XML") is None
    assert read_identity(identify()) is None


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("hostname",), (b"srv\r\n", b"", 0)),
        (("HOSTNAME.EXE",), (b"srv\r\n", b"", 0)),
        (('"hostname"',), (b"srv\r\n", b"", 0)),
        (("whoami",), (b"LAB\\svc\r\n", b"", 0)),
        (("echo",), (b"\r\n", b"", 0)),
        (("echo one", "two", "th&amp;ree"), (b"one two th&ree\r\n", b"", 0)),
    ],
)
def test_commands(alice: Caller, command: tuple[str, ...], expected: tuple[bytes, bytes, int]) -> None:
    assert alice.run(*command) == expected


def test_unknown_command_fails_with_the_words_of_cmd_exe(alice: Caller) -> None:
    out, error, code = alice.run("cmd", "/c", "calc")
    assert (out, code) == (b"", 1)
    assert error == (
        b"'calc' is not recognized as an internal or external command,\r\noperable program or batch file.\r\n"
    )


@pytest.mark.parametrize("credentials", [PasswordCredentials.empty(), SmartCardCredentials(pin="1234")])  # type: ignore[arg-type]
def test_whoami_shows_only_what_was_delegated(responder: WSManResponder, credentials: Any) -> None:
    assert Caller(responder, credentials=credentials).run("whoami") == (b"", b"no password was delegated\r\n", 1)


def test_local_account_has_no_domain(responder: WSManResponder) -> None:
    assert Caller(responder, credentials=PasswordCredentials("bob", "x")).run("whoami")[0] == b"bob\r\n"


def test_long_output_comes_in_envelopes_of_the_size_asked_for(alice: Caller) -> None:
    shell = alice.create()
    command = alice.command(shell, "echo", "x" * 50_000)
    pieces = []
    while True:
        out, _, code = alice.receive(shell, command, size=20_000)
        pieces.append(out)
        if code is not None:
            break
    assert b"".join(pieces) == b"x" * 50_000 + b"\r\n"
    assert len(pieces) > 3
    assert max(map(len, pieces)) < 15_000


def test_answers_relate_to_their_request(alice: Caller) -> None:
    assert "<a:RelatesTo>uuid:&lt;7&gt;</a:RelatesTo>" in alice.ask(
        "Create", "<rsp:Shell/>", message_id="uuid:&lt;7&gt;"
    )


def test_shell_describes_itself_to_its_owner(alice: Caller, responder: WSManResponder) -> None:
    shell = alice.create()
    text = alice.ask("Get", shell=shell)
    assert "<rsp:Owner>LAB\\alice</rsp:Owner>" in text
    assert "<rsp:ClientIP>192.0.2.1</rsp:ClientIP>" in text
    assert Caller(responder, BOB).fault("Get", shell=shell) == 2150858843


@pytest.mark.parametrize("action", ["Command", "Receive", "Send", "Signal", "Delete"])
def test_shell_of_another_user_is_not_there(alice: Caller, responder: WSManResponder, action: str) -> None:
    shell = alice.create()
    assert Caller(responder, BOB).fault(action, shell=shell) == 2150858843
    assert len(responder) == 1


def test_shell_that_was_deleted_is_gone(alice: Caller, responder: WSManResponder) -> None:
    shell = alice.create()
    alice.ask("Delete", shell=shell)
    assert len(responder) == 0
    assert alice.fault("Delete", shell=shell) == 2150858843


def test_signal_terminate_forgets_the_command(alice: Caller) -> None:
    shell = alice.create()
    command = alice.command(shell, "hostname")
    ctrl_c = f'<rsp:Signal CommandId="{command}"><rsp:Code>x/signal/ctrl_c</rsp:Code></rsp:Signal>'
    alice.ask("Signal", ctrl_c, shell=shell)
    assert alice.receive(shell, command)[0] == b"srv\r\n"
    alice.ask("Signal", ctrl_c.replace("ctrl_c", "Terminate"), shell=shell)
    assert alice.fault("Receive", receive(command), shell=shell) == 2150858817
    assert alice.fault("Signal", shell=shell) == 2150858817


def test_input_is_taken_and_ignored(alice: Caller) -> None:
    shell = alice.create()
    alice.ask("Send", '<rsp:Send><rsp:Stream Name="stdin">eA==</rsp:Stream></rsp:Send>', shell=shell)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<rsp:CommandLine/>",
        "<rsp:CommandLine><rsp:Command>  </rsp:Command></rsp:CommandLine>",
        f'<rsp:CommandLine CommandId="{"x" * 65}"><rsp:Command>echo</rsp:Command></rsp:CommandLine>',
    ],
)
def test_command_lines_that_are_none_get_a_fault(alice: Caller, body: str) -> None:
    assert alice.fault("Command", body, shell=alice.create()) == 2150858817


def test_command_id_of_the_client_is_used_once(alice: Caller) -> None:
    shell = alice.create()
    body = '<rsp:CommandLine CommandId="&lt;1&gt;"><rsp:Command>hostname</rsp:Command></rsp:CommandLine>'
    assert "<rsp:CommandId>&lt;1&gt;</rsp:CommandId>" in alice.ask("Command", body, shell=shell)
    assert alice.fault("Command", body, shell=shell) == 2150858817
    assert alice.receive(shell, "&lt;1&gt;")[0] == b"srv\r\n"


@pytest.mark.parametrize(
    ("action", "options"),
    [
        ("Create", {"resource": "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/other"}),
        ("Get", {"resource": "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/cimv2/*"}),
        ("http://example.test/Pull", {}),
        ("", {}),
    ],
)
def test_other_resources_and_actions_get_a_fault(alice: Caller, action: str, options: dict[str, str]) -> None:
    assert alice.fault(action, **options) == 2150858752


def test_config_tells_the_envelope_size(alice: Caller) -> None:
    text = alice.ask("Get", resource="http://schemas.microsoft.com/wbem/wsman/1/config")
    assert "<cfg:MaxEnvelopeSizekb>500<" in text


def test_shells_are_bounded_and_idle_ones_go() -> None:
    now = [0.0]
    responder = WSManResponder(max_shells=2, idle_timeout=10, clock=lambda: now[0])
    alice = Caller(responder)
    first, second = alice.create(), alice.create()
    assert alice.fault("Create", "<rsp:Shell/>") == 2150859173
    now[0] = 8
    alice.ask("Get", shell=second)
    now[0] = 11
    assert alice.fault("Get", shell=first) == 2150858843
    alice.create()
    assert len(responder) == 2
    assert alice.fault("Get", shell=first) == 2150858843
    alice.ask("Get", shell=second)


def test_commands_of_a_shell_are_bounded() -> None:
    alice = Caller(WSManResponder(max_commands=2))
    shell = alice.create()
    commands = [alice.command(shell, "hostname") for _ in range(3)]
    assert alice.fault("Receive", receive(commands[0]), shell=shell) == 2150858817
    assert alice.receive(shell, commands[2])[2] == 0


def test_output_is_bounded_in_all_and_the_user_who_keeps_the_most_loses_the_oldest() -> None:
    responder = WSManResponder(max_output=100_000)
    bob, alice = Caller(responder, BOB), Caller(responder)
    small = bob.create()
    kept = bob.command(small, "echo", "x" * 10_000)
    shells = [alice.create() for _ in range(20)]
    commands = [alice.command(shell, "echo", "x" * 9_000) for shell in shells]
    assert alice.fault("Receive", receive(commands[0]), shell=shells[0]) == 2150858817
    assert alice.receive(shells[-1], commands[-1])[2] == 0
    assert bob.receive(small, kept)[2] == 0
    alice.command(shells[0], "echo", "x" * 200_000)  # more than all may have: not kept at all
    assert sum(shell.size for shell in responder._shells.values()) <= 100_000


# Messages that are none


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no XML",
        b"<s:Envelope/>",
        b"<Envelope/>",
        f"<s:Envelope {PREFIXES}/>".encode(),
        b'<?xml version="1.0" encoding="no-such"?><a/>',
        "<\u00e4/>".encode("latin-1"),
        b"\xff\xfe<",
        envelope("Create", message_id="x" * 3000),
    ],
)
def test_what_is_no_envelope_gets_a_fault(alice: Caller, data: bytes) -> None:
    status, text = alice.send(data)
    assert status == 500
    assert 'Code="2150858817"' in text


def test_document_types_are_refused_before_their_entities_cost_anything() -> None:
    bomb = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(12)
    )
    with pytest.raises(RemoteProtocolError, match="document type"):
        parse_envelope(f"{bomb}]><a>&m;</a>".encode())
    with pytest.raises(RemoteProtocolError, match="document type"):
        parse_envelope(b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>')


def test_utf_16_is_read(alice: Caller) -> None:
    text = envelope("Create", "<rsp:Shell/>").decode()
    assert alice.send(f'<?xml version="1.0" encoding="UTF-16"?>{text}'.encode("utf-16"))[0] == 200
    assert alice.send(f'\ufeff<?xml version="1.0"?>{text}'.encode("utf-16-be"))[0] == 200


@pytest.mark.filterwarnings("error")
def test_no_codec_of_python_is_tried_out_because_a_peer_names_it(alice: Caller) -> None:
    """``unicode_escape`` warns of the bytes that expat tries it out with."""
    text = envelope("Create", "<rsp:Shell/>").decode()
    assert alice.send(f'<?xml version="1.0" encoding="unicode_escape"?>{text}'.encode())[0] == 200


@pytest.mark.parametrize("size", ["\u00b2", "\u0664\u0665", "-1", "1e3", "9" * 10, ""])
def test_an_envelope_size_that_is_no_number_is_none(size: str) -> None:
    """``"\u00b2".isdigit()`` is true, and ``int("\u00b2")`` is a ValueError."""
    header = f"<s:Header><w:MaxEnvelopeSize>{size}</w:MaxEnvelopeSize></s:Header>"
    assert parse_envelope(f"<s:Envelope {PREFIXES}>{header}<s:Body/></s:Envelope>".encode()).max_size is None


@given(st.binary(max_size=200), st.integers(0, 2000))
def test_noise_gets_an_answer(noise: bytes, position: int) -> None:
    message = envelope("Command", "<rsp:CommandLine><rsp:Command>echo</rsp:Command></rsp:CommandLine>")
    position %= len(message)
    status, _ = Caller(WSManResponder()).send(message[:position] + noise + message[position + len(noise) :])
    assert status in (200, 500)
