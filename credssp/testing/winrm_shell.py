"""Runs one command in a WinRM shell of another server ([MS-WSMV] 3.1.4): the second hop of a program on the first."""

from __future__ import annotations

import base64
import binascii
import contextlib
import time
import uuid
from typing import Final
from xml.sax.saxutils import escape

from credssp.config import ClientConfig
from credssp.drivers.handshake import DeadlineError
from credssp.drivers.winrm import WinRMConnection
from credssp.errors import CredSSPError, LimitExceededError, RemoteProtocolError
from credssp.testing.answers import CommandOutput
from credssp.testing.soap import ACTION, NS, Envelope, parse_envelope
from credssp.tls.settings import ClientTLS
from credssp.winrm.client import ClientLogin

__all__ = ["run_command"]

_CMD: Final = f"{NS['rsp']}/cmd"
_ANONYMOUS: Final = f"{NS['a']}/role/anonymous"
_TERMINATE: Final = f"{NS['rsp']}/signal/terminate"
_ENDED: Final = f"{NS['rsp']}/CommandState/Done"
_TIMED_OUT: Final = "2150858793"
_INPUT: Final = 64 * 1024
"""Bytes of standard input in a message, which fits the smallest MaxEnvelopeSizekb of Windows, 150."""
_MAX_OUTPUT: Final = 16 * 1024 * 1024


def run_command(
    host: str, port: int, command: str, *, stdin: bytes = b"", config: ClientConfig, https: ClientTLS | None = None
) -> CommandOutput:
    """Log on, run a command in a shell with code page 65001, and close the shell.

    Args:
        host: name or address.
        port: TCP port.
        command: the command line; it may hold secrets.
        stdin: its standard input; it may hold secrets, too.
        config: how to log on, and how long to wait: `Timeouts.login` is for the login and the command together.
        https: how to check the certificate of https; None for http.

    Raises:
        WinRMError: there is no login.
        ConnectError, DeadlineError: no connection, or it took too long.
        RemoteProtocolError: the server answered with a fault, or with what is not WS-Management.
    """
    login = ClientLogin(config, host)
    timeouts = config.timeouts
    with WinRMConnection(host, port, https=https, timeouts=timeouts) as connection:
        connection.connect()
        connection.log_on(login)
        return _Shell(connection, login, time.monotonic() + timeouts.login).run(command, stdin)


class _Shell:
    def __init__(self, connection: WinRMConnection, login: ClientLogin, deadline: float) -> None:
        self._connection = connection
        self._login = login
        self._deadline = deadline
        self._id = ""

    def run(self, command: str, stdin: bytes) -> CommandOutput:
        made = self._ask("Create", "<rsp:Shell><rsp:OutputStreams>stdout stderr</rsp:OutputStreams></rsp:Shell>")
        self._id = _text(made, "rsp:Shell/rsp:ShellId")
        try:
            line = f"<rsp:CommandLine><rsp:Command>{escape(command)}</rsp:Command></rsp:CommandLine>"
            made = self._ask("Command", line, piped=bool(stdin))
            command_id = _text(made, "rsp:CommandResponse/rsp:CommandId")
            self._send(escape(command_id), stdin)
            output = self._receive(escape(command_id))
            signal = f'<rsp:Signal CommandId="{escape(command_id)}"><rsp:Code>{_TERMINATE}</rsp:Code></rsp:Signal>'
            self._ask("Signal", signal)
        finally:
            if not self._connection.closed:
                with contextlib.suppress(CredSSPError):  # the command has ended, and so does the shell some day
                    self._ask("Delete", "")
        return output

    def _send(self, command_id: str, stdin: bytes) -> None:
        for start in range(0, len(stdin), _INPUT):
            piece = base64.b64encode(stdin[start : start + _INPUT]).decode("ascii")
            end = ' End="true"' if start + _INPUT >= len(stdin) else ""
            stream = f'<rsp:Stream Name="stdin" CommandId="{command_id}"{end}>{piece}</rsp:Stream>'
            self._ask("Send", f"<rsp:Send>{stream}</rsp:Send>")

    def _receive(self, command_id: str) -> CommandOutput:
        wanted = f'<rsp:DesiredStream CommandId="{command_id}">stdout stderr</rsp:DesiredStream>'
        found: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        while True:
            if time.monotonic() > self._deadline:
                raise DeadlineError("the command on the next server did not end in time")
            answer = self._ask("Receive", f"<rsp:Receive>{wanted}</rsp:Receive>")
            for stream in answer.body.iterfind("rsp:ReceiveResponse/rsp:Stream", NS):
                name = stream.get("Name", "")
                if name in found:
                    found[name] += _decoded(stream.text or "")
            if sum(map(len, found.values())) > _MAX_OUTPUT:
                raise LimitExceededError(f"the command on the next server printed more than {_MAX_OUTPUT} bytes")
            state = answer.find("rsp:ReceiveResponse/rsp:CommandState")
            if state is not None and state.get("State") == _ENDED:
                code = "".join(answer.texts("rsp:ReceiveResponse/rsp:CommandState/rsp:ExitCode")).strip()
                number = int(code) if code.isascii() and code.isdigit() and len(code) < 11 else 0
                return CommandOutput(bytes(found["stdout"]), bytes(found["stderr"]), number)

    def _ask(self, action: str, body: str, *, piped: bool = False) -> Envelope:
        """Send a request, again where the server had nothing to say within its time; a fault is an error."""
        while True:
            _, answer = self._connection.send(self._login, self._request(action, body, piped=piped))
            envelope = parse_envelope(answer.data)
            fault = envelope.find("s:Fault")
            if fault is None:
                return envelope
            detail = fault.find(".//f:WSManFault", NS)
            code = "" if detail is None else detail.get("Code", "")
            if code != _TIMED_OUT or action != "Receive" or time.monotonic() > self._deadline:
                reason = " ".join("".join(fault.itertext()).split())[:300]
                raise RemoteProtocolError(f"the next server answered {action} with the fault {code or '?'}: {reason}")

    def _request(self, action: str, body: str, *, piped: bool) -> bytes:
        prefixes = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NS.items())
        selector = f'<w:Selector Name="ShellId">{escape(self._id)}</w:Selector>' if self._id else ""
        option = "" if self._id else '<w:Option Name="WINRS_CODEPAGE">65001</w:Option>'
        if piped:
            option = '<w:Option Name="WINRS_CONSOLEMODE_STDIN">FALSE</w:Option>'
        options = f"<w:OptionSet>{option}</w:OptionSet>" if option else ""
        return (
            f"<s:Envelope {prefixes}><s:Header><a:To>{NS['a']}</a:To><a:ReplyTo><a:Address>{_ANONYMOUS}</a:Address>"
            f"</a:ReplyTo><a:Action>{ACTION[action]}</a:Action><a:MessageID>uuid:{uuid.uuid4()}</a:MessageID>"
            f"<w:ResourceURI>{_CMD}</w:ResourceURI><w:MaxEnvelopeSize>153600</w:MaxEnvelopeSize>"
            f"<w:OperationTimeout>PT10S</w:OperationTimeout>{options}<w:SelectorSet>{selector}</w:SelectorSet>"
            f"</s:Header><s:Body>{body}</s:Body></s:Envelope>"
        ).encode()


def _text(answer: Envelope, path: str) -> str:
    found = "".join(answer.texts(path)).strip()
    if not 0 < len(found) <= 64:
        raise RemoteProtocolError(f"the next server answered without {path.rpartition(':')[2]}")
    return found


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise RemoteProtocolError("the next server sent output that is not base64") from None
