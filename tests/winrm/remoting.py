"""A client of PowerShell remoting without a network: requests for `WSManResponder`, in pypsrp's messages."""

from __future__ import annotations

import base64
import re
import uuid
from typing import Any

from pypsrp.complex_objects import ApartmentState, Command, HostInfo, Pipeline, PSThreadOptions, RemoteStreamOptions
from pypsrp.messages import CreatePipeline, EndOfPipelineInput, InitRunspacePool, PipelineInput, SessionCapability
from pypsrp.powershell import Fragmenter
from pypsrp.serializer import Serializer

from tests.winrm.test_wsman import Caller

RESOURCE = "http://schemas.microsoft.com/powershell/Microsoft.PowerShell"
POOL = "11111111-2222-3333-4444-555555555555"
PIPELINE = "AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE"


def capability(version: str = "2.3") -> Any:
    return SessionCapability(version, "2.0", "1.1.0.1")


def initialise(minimum: int = 1, maximum: int = 1) -> Any:
    threads, apartment = PSThreadOptions(value=0), ApartmentState(value=2)
    return InitRunspacePool(minimum, maximum, threads, apartment, HostInfo(host=None), None)


def create(script: str = "whoami", *, no_input: bool = True) -> Any:
    pipeline = Pipeline(cmds=[Command(cmd=script, is_script=True)], is_nested=False)
    options = RemoteStreamOptions(value=15)
    return CreatePipeline(no_input, ApartmentState(value=2), options, False, HostInfo(host=None), pipeline, False)


class Remoting:
    """A pool of one user, and its messages."""

    def __init__(self, caller: Caller, pool: str = POOL) -> None:
        self.caller = caller
        self.pool = pool
        self.fragmenter = Fragmenter(32_000, Serializer())
        self.options: dict[str, Any] = {"resource": RESOURCE, "shell": pool}

    def fragments(self, *messages: Any, pipeline: str | None = None, pool: str | None = None) -> list[bytes]:
        return [each for one in messages for each in self.fragmenter.fragment(one, pool or self.pool, pipeline)]

    def creation(self, data: bytes, pool: str | None = None) -> str:
        text = base64.b64encode(data).decode()
        return (
            f'<rsp:Shell ShellId="{pool or self.pool}"><creationXml xmlns="http://schemas.microsoft.com/powershell">'
            f"{text}</creationXml></rsp:Shell>"
        )

    def open(self) -> Remoting:
        data = b"".join(self.fragments(capability(), initialise()))
        self.caller.ask("Create", self.creation(data), resource=RESOURCE)
        assert [type(each.data).__name__ for each in self.receive()] == [
            "SessionCapability", "ApplicationPrivateData", "RunspacePoolStateMessage"
        ]  # fmt: skip
        return self

    def command(self, *fragments: bytes, pipeline: str = PIPELINE) -> str:
        text = base64.b64encode(b"".join(fragments)).decode()
        return (
            f'<rsp:CommandLine CommandId="{pipeline}"><rsp:Command/><rsp:Arguments>{text}</rsp:Arguments>'
            "</rsp:CommandLine>"
        )

    def stream(self, *fragments: bytes, pipeline: str = "", name: str = "stdin") -> str:
        text = base64.b64encode(b"".join(fragments)).decode()
        command = f' CommandId="{pipeline}"' if pipeline else ""
        return f'<rsp:Send><rsp:Stream Name="{name}"{command}>{text}</rsp:Stream></rsp:Send>'

    def start(self, message: Any, pipeline: str = PIPELINE) -> None:
        body = self.command(*self.fragments(message, pipeline=pipeline), pipeline=pipeline)
        self.caller.ask("Command", body, **self.options)

    def send(self, *messages: Any, pipeline: str = "") -> None:
        fragments = self.fragments(*messages, pipeline=pipeline or None)
        self.caller.ask("Send", self.stream(*fragments, pipeline=pipeline), **self.options)

    def input(self, *objects: Any, pipeline: str = PIPELINE) -> None:
        self.send(*(PipelineInput(data=each) for each in objects), EndOfPipelineInput(), pipeline=pipeline)

    def receive_text(self, pipeline: str = "", size: int = 0) -> str:
        command = f' CommandId="{pipeline}"' if pipeline else ""
        body = f"<rsp:Receive><rsp:DesiredStream{command}>stdout</rsp:DesiredStream></rsp:Receive>"
        return self.caller.ask("Receive", body, size=size, **self.options)

    def receive(self, pipeline: str = "", size: int = 0) -> list[Any]:
        """The messages of the next answer."""
        return self.messages(self.receive_text(pipeline, size))

    def messages(self, text: str) -> list[Any]:
        data = b"".join(map(base64.b64decode, re.findall("<rsp:Stream [^>]*>([^<]+)<", text)))
        found: list[Any] = self.fragmenter.defragment(data)
        return found

    def run(self, script: str, pipeline: str = "") -> list[Any]:
        """What the messages of a script hold, by and by."""
        pipeline = pipeline or str(uuid.uuid4()).upper()
        self.start(create(script), pipeline)
        return [each.data for each in self.receive(pipeline)]
