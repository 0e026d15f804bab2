"""Runspace pools and pipelines of the WinRM double, without a network."""

from __future__ import annotations

import base64
import re
import struct
import sys
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given
from hypothesis import strategies as st
from pypsrp.complex_objects import HostMethodIdentifier
from pypsrp.messages import (
    EndOfPipelineInput,
    GetAvailableRunspaces,
    GetCommandMetadata,
    PipelineHostResponse,
    PipelineInput,
    PublicKey,
    ResetRunspaceState,
    RunspacePoolHostResponse,
    SetMaxRunspaces,
    SetMinRunspaces,
)

from credssp.testing import answering
from credssp.testing.answers import Answer, CommandOutput
from credssp.testing.wsman import WSManResponder
from tests.winrm.remoting import PIPELINE, POOL, RESOURCE, Remoting, capability, create, initialise
from tests.winrm.test_wsman import BOB, Caller, envelope

OTHER = "99999999-2222-3333-4444-555555555555"
INVALID = 2150858817
NO_SHELL = 2150858843
NOT_SUPPORTED = 2150858752
COMPLETED, STOPPED, FAILED = 4, 3, 5
ANSWERS = [
    Answer("cat", stdout="{stdin}"),
    Answer("long", stdout="x" * 100_000),
    Answer("pieces", stdout=("one", "two"), delay=5.0),
    Answer("endless", stdout=("x" * 100_000, "later"), delay=5.0),
    Answer("broken", stderr="no", exit_code=1),
    Answer("exit", exit_code=0xC000013A),
]


@pytest.fixture
def now() -> list[float]:
    return [100.0]


@pytest.fixture
def responder(now: list[float]) -> WSManResponder:
    return WSManResponder(hostname="srv", commands=ANSWERS, clock=lambda: now[0])


@pytest.fixture
def remoting(responder: WSManResponder) -> Remoting:
    return Remoting(Caller(responder))


@pytest.fixture
def pool(remoting: Remoting) -> Remoting:
    return remoting.open()


def names(messages: list[Any]) -> list[str]:
    return [type(each.data).__name__ for each in messages]


# The pool


def test_create_says_what_it_made(remoting: Remoting) -> None:
    body = remoting.creation(b"".join(remoting.fragments(capability(), initialise())))
    text = remoting.caller.ask("Create", body, resource=RESOURCE)
    assert f'<w:Selector Name="ShellId">{POOL}</w:Selector>' in text
    assert f"<w:ResourceURI>{RESOURCE}</w:ResourceURI>" in text
    assert "<rsp:InputStreams>stdin pr</rsp:InputStreams><rsp:OutputStreams>stdout</rsp:OutputStreams>" in text
    assert f"<rsp:ResourceUri>{RESOURCE}</rsp:ResourceUri>" in remoting.caller.ask(
        "Get", resource="http://schemas.microsoft.com/wbem/wsman/1/windows/shell", shell=POOL
    )


def test_pool_opens_when_the_last_of_its_messages_came(remoting: Remoting) -> None:
    first, second = remoting.fragments(capability(), initialise())
    remoting.caller.ask("Create", remoting.creation(first), resource=RESOURCE)
    assert names(remoting.receive()) == ["SessionCapability"]
    assert (
        remoting.caller.fault("Command", remoting.command(*remoting.fragments(create())), **remoting.options) == INVALID
    )
    remoting.caller.ask("Send", remoting.stream(second), **remoting.options)
    assert names(remoting.receive()) == ["ApplicationPrivateData", "RunspacePoolStateMessage"]


@pytest.mark.parametrize(
    "messages",
    [
        [initialise()],
        [capability("1.0"), initialise()],
        [capability("2"), initialise()],
        [capability("2." + "9" * 300), initialise()],
        [capability(), capability()],
        [capability(), initialise(), initialise()],
        [capability(), initialise(0, 1)],
        [capability(), initialise(2, 1)],
        [capability(), initialise(1, 2**31 - 1)],
        [capability(), GetAvailableRunspaces(ci=1)],
        [capability(), initialise(), create()],
        [capability(), initialise(), EndOfPipelineInput()],
    ],
)
def test_pools_that_cannot_be_opened_get_a_fault(remoting: Remoting, messages: list[Any]) -> None:
    data = b"".join(remoting.fragments(*messages))
    assert remoting.caller.fault("Create", remoting.creation(data), resource=RESOURCE) == INVALID
    assert len(remoting.caller.responder) == 0


@pytest.mark.parametrize("pool_id", ["", "x", "{" * 100, "11111111-2222-3333-4444-55555555555&quot;"])
def test_ids_that_are_none_get_a_fault(remoting: Remoting, pool_id: str) -> None:
    body = f'<rsp:Shell ShellId="{pool_id}"/>'
    assert remoting.caller.fault("Create", body, resource=RESOURCE) == INVALID
    assert remoting.caller.fault("Create", "", resource=RESOURCE) == INVALID


def test_an_id_is_used_once_by_all_users(responder: WSManResponder, pool: Remoting) -> None:
    bob = Remoting(Caller(responder, BOB))
    body = bob.creation(b"".join(bob.fragments(capability(), initialise())), POOL.lower())
    assert bob.caller.fault("Create", body, resource=RESOURCE) == INVALID
    assert (
        bob.caller.fault("Command", bob.command(*bob.fragments(create(), pipeline=PIPELINE)), **bob.options)
        == 2150858843
    )


def test_messages_of_another_pool_are_refused(pool: Remoting) -> None:
    stranger = pool.fragments(GetAvailableRunspaces(ci=1), pool=OTHER)
    assert pool.caller.fault("Send", pool.stream(*stranger), **pool.options) == INVALID


def test_calls_of_the_pool_are_answered(pool: Remoting) -> None:
    pool.send(
        GetAvailableRunspaces(ci=1),
        SetMaxRunspaces(max_runspaces=4, ci=2),
        SetMinRunspaces(min_runspaces=3, ci=3),
        SetMaxRunspaces(max_runspaces=2, ci=4),
        SetMinRunspaces(min_runspaces=5, ci=5),
        SetMaxRunspaces(max_runspaces=2**31 - 1, ci=6),
        ResetRunspaceState(ci=7),
    )
    pool.start(create("pieces"))
    pool.send(GetAvailableRunspaces(ci=8), ResetRunspaceState(ci=9))
    answers = {each.data.ci: each.data.response for each in pool.receive()}
    assert answers == {1: 1, 2: True, 3: True, 4: False, 5: False, 6: False, 7: True, 8: 3, 9: False}


def test_answers_of_the_client_s_host_are_read(pool: Remoting) -> None:
    method = HostMethodIdentifier(value=1)
    answer = pool.fragments(RunspacePoolHostResponse(ci=1, mi=method))
    pool.caller.ask("Send", pool.stream(*answer, name="pr"), **pool.options)
    pool.start(create("cat", no_input=False))
    answer = pool.fragments(PipelineHostResponse(ci=1, mi=method), pipeline=PIPELINE)
    pool.caller.ask("Send", pool.stream(*answer, pipeline=PIPELINE, name="pr"), **pool.options)
    pool.input("x")
    assert names(pool.receive(PIPELINE)) == ["PipelineOutput", "PipelineState"]


def test_streams_are_stdin_and_pr(pool: Remoting) -> None:
    data = pool.fragments(GetAvailableRunspaces(ci=1))
    assert pool.caller.fault("Send", pool.stream(*data, name="stdout"), **pool.options) == INVALID


def test_a_delete_ends_a_receive_of_the_pool(pool: Remoting) -> None:
    stream = pool.caller.responder._shells[POOL].find("")
    pool.caller.ask("Delete", **pool.options)
    assert stream is not None
    assert stream.gone


@pytest.mark.parametrize("action", ["Disconnect", "Reconnect", "Connect"])
def test_what_a_pool_does_not_do_gets_a_fault(pool: Remoting, action: str) -> None:
    uri = f"http://schemas.microsoft.com/wbem/wsman/1/windows/shell/{action}"
    assert pool.caller.fault(uri, **pool.options) == NOT_SUPPORTED


def test_without_pypsrp_the_fault_names_the_package(
    remoting: Remoting, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in tuple(sys.modules):
        if name.startswith("credssp.testing.psrp"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pypsrp", None)
    status, text = remoting.caller.send(envelope("Create", remoting.creation(OPENING), resource=RESOURCE))
    assert status == 500
    assert "pip install 'credssp[psrp]'" in text
    assert "pip install 'credssp[psrp]'" in caplog.text


# Pipelines


def test_output_comes_in_fragments_of_the_size_asked_for(pool: Remoting) -> None:
    pool.start(create("long"))
    sizes, text, messages = [], "", []
    while "CommandState/Done" not in text:
        text = pool.receive_text(PIPELINE, size=8192)
        sizes.append(len(text))
        messages += pool.messages(text)
    assert max(sizes) <= 8192
    assert len(sizes) > 10
    assert messages[0].data.data == "x" * 100_000
    assert messages[-1].data.state == COMPLETED


def test_messages_are_there_when_their_time_has_come(pool: Remoting, now: list[float]) -> None:
    pool.start(create("pieces"))
    now[0] += 5
    assert [each.data.data for each in pool.receive(PIPELINE)] == ["one"]
    now[0] += 5
    assert names(pool.receive(PIPELINE)) == ["PipelineOutput", "PipelineState"]


def test_ending_with_an_exit_code_calls_the_host(pool: Remoting) -> None:
    call, state = pool.run("exit")
    assert (call.mi.value, call.mp, state.state) == (6, [0xC000013A - 2**32], COMPLETED)
    (state,) = pool.run("broken")
    assert state.state == FAILED
    assert str(state.error_record) == "no"


def test_a_script_with_stop_fails_with_its_first_error(pool: Remoting) -> None:
    (state,) = pool.run("$ErrorActionPreference = 'Stop'\nGet-Nothing")
    assert state.state == FAILED
    error, state = pool.run("Get-Nothing; $x = 'Stop'")
    assert error.fq_error == "CommandNotFoundException"
    assert state.state == COMPLETED


def test_a_script_of_several_fragments_runs_when_it_is_whole(pool: Remoting) -> None:
    fragments = pool.fragments(create("cat # " + "x" * 100_000, no_input=False), pipeline=PIPELINE)
    assert len(fragments) > 3
    pool.caller.ask("Command", pool.command(fragments[0]), **pool.options)
    for each in fragments[1:]:
        pool.caller.ask("Send", pool.stream(each, pipeline=PIPELINE), **pool.options)
    pool.input("x")
    assert pool.receive(PIPELINE)[-1].data.state == COMPLETED


def test_input_after_its_end_is_dropped(pool: Remoting) -> None:
    pool.start(create("cat", no_input=False))
    pool.input("a", "b")
    pool.send(PipelineInput(data="late"), EndOfPipelineInput(), pipeline=PIPELINE)
    assert [each.data.data for each in pool.receive(PIPELINE)[:-1]] == ["a", "b"]


def test_metadata_of_commands_fail(pool: Remoting) -> None:
    pool.start(GetCommandMetadata(["*"], 1, None, None))
    (state,) = pool.receive(PIPELINE)
    assert state.data.state == FAILED
    assert "metadata" in str(state.data.error_record)


@pytest.mark.parametrize(
    ("messages", "pipeline"),
    [
        ([create(), create()], PIPELINE),
        ([create(), GetCommandMetadata(["*"], 1, None, None)], PIPELINE),
        ([PipelineInput(data="x")], PIPELINE),
        ([EndOfPipelineInput()], PIPELINE),
        ([capability()], PIPELINE),
        ([create()], OTHER),
    ],
)
def test_messages_out_of_turn_are_refused(pool: Remoting, messages: list[Any], pipeline: str) -> None:
    body = pool.command(*pool.fragments(*messages, pipeline=pipeline))
    assert pool.caller.fault("Command", body, **pool.options) == INVALID
    # The pool is as it was.
    assert pool.run("whoami")[-1].state == COMPLETED


@pytest.mark.parametrize("pipeline", ["1", "x" * 65, "&lt;"])
def test_command_ids_that_are_no_guids_are_refused(pool: Remoting, pipeline: str) -> None:
    body = pool.command(*pool.fragments(create(), pipeline=PIPELINE), pipeline=pipeline)
    assert pool.caller.fault("Command", body, **pool.options) == INVALID


@pytest.mark.parametrize(
    "xml", ["", "<Obj/>", '<Obj RefId="0"><MS><Obj N="PowerShell" RefId="1"/></MS></Obj>', "<S/>", "<"]
)
def test_pipelines_without_commands_are_refused(pool: Remoting, xml: str) -> None:
    message = pool.fragments(create(), pipeline=PIPELINE)[0][21:61] + xml.encode()
    fragment = struct.pack(">QQBI", 1, 0, 3, len(message)) + message
    assert pool.caller.fault("Command", pool.command(fragment), **pool.options) == INVALID


@pytest.mark.parametrize("code", ["powershell/signal/crtl_c", "powershell/signal/ctrl_c"])
def test_a_pipeline_is_stopped_and_what_began_to_come_comes_to_its_end(
    pool: Remoting, now: list[float], code: str
) -> None:
    pool.start(create("endless"))
    now[0] += 5
    first = pool.receive_text(PIPELINE, size=8192)
    signal = f'<rsp:Signal CommandId="{PIPELINE}"><rsp:Code>{code}</rsp:Code></rsp:Signal>'
    pool.caller.ask("Signal", signal, **pool.options)
    pool.caller.ask("Signal", signal, **pool.options)
    assert pool.messages(first) == []
    output, state = pool.receive(PIPELINE)
    assert (len(output.data.data), state.data.state) == (100_000, STOPPED)
    assert str(state.data.error_record) == "The pipeline has been stopped."


def test_pipelines_have_a_quota(remoting: Remoting) -> None:
    pool = remoting.open()
    for number in range(16):
        pool.start(create("pieces"), f"AAAAAAAA-BBBB-CCCC-DDDD-{number:012}")
    body = pool.command(*pool.fragments(create(), pipeline=PIPELINE))
    assert pool.caller.fault("Command", body, **pool.options) == 2150859174


def test_input_that_is_kept_is_bounded(now: list[float]) -> None:
    responder = WSManResponder(commands=ANSWERS, max_output=50_000, clock=lambda: now[0])
    pool = Remoting(Caller(responder)).open()
    pool.start(create("cat", no_input=False))
    for _ in range(3):
        pool.send(PipelineInput(data="x" * 20_000), pipeline=PIPELINE)
    assert pool.caller.fault(
        "Receive", f'<rsp:Receive><rsp:DesiredStream CommandId="{PIPELINE}"/></rsp:Receive>', **pool.options
    )
    unfinished = pool.fragments(create("x" * 100_000), pipeline=OTHER)[:2]
    pool.caller.ask("Command", pool.command(*unfinished, pipeline=OTHER), **pool.options)
    pool.caller.ask("Send", pool.stream(*pool.fragments(GetAvailableRunspaces(ci=1))), **pool.options)
    assert names(pool.receive()) == ["RunspaceAvailability"]


def test_messages_to_the_pool_are_shorter_than_those_to_pipelines(pool: Remoting) -> None:
    for number in range(9):
        flags = 1 if number == 0 else 0
        fragment = struct.pack(">QQBI", 50, number, flags, 30_000) + bytes(30_000)
        body = pool.stream(fragment)
        if number < 8:
            pool.caller.ask("Send", body, **pool.options)
        else:
            assert pool.caller.fault("Send", body, **pool.options) == INVALID


# What strangers send

OPENING = b"".join(Remoting(None).fragments(capability(), initialise()))
SCRIPT = b"".join(Remoting(None).fragments(create(), pipeline=PIPELINE))


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Some bytes changed, removed or doubled; or others altogether."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(changed)))
        changed[at : at + draw(st.integers(0, 5))] = draw(st.binary(max_size=5))
    return bytes(changed)


@given(damaged(OPENING))
def test_no_opening_makes_anything_leave(data: bytes) -> None:
    remoting = Remoting(Caller(WSManResponder()))
    status, text = remoting.caller.send(envelope("Create", remoting.creation(data), resource=RESOURCE))
    assert status in {200, 500}
    assert "Traceback" not in text


@given(damaged(SCRIPT))
def test_no_pipeline_makes_anything_leave(data: bytes) -> None:
    remoting = Remoting(Caller(WSManResponder())).open()
    for action, body in (("Command", remoting.command(data)), ("Send", remoting.stream(data))):
        status, _ = remoting.caller.send(envelope(action, body, **remoting.options))
        assert status in {200, 500}


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_no_script_makes_anything_leave_or_an_answer_that_cannot_be_read(script: str) -> None:
    remoting = Remoting(
        Caller(WSManResponder(commands={"*0*": "{script}", "*1*": CommandOutput(stderr=script)}))
    ).open()
    body = remoting.command(*remoting.fragments(create(script), pipeline=PIPELINE))
    status, _ = remoting.caller.send(envelope("Command", body, **remoting.options))
    assert status in {200, 500}
    if status == 200:
        assert names(remoting.receive(PIPELINE))[-1] == "PipelineState"


@given(st.text(max_size=20))
def test_no_text_in_place_of_base64_makes_anything_leave(text: str) -> None:
    escaped = re.sub("[^ -~]", "", text).replace("&", "&amp;").replace("<", "&lt;")
    remoting = Remoting(Caller(WSManResponder())).open()
    body = remoting.stream().replace("></rsp:Stream>", f">{escaped}</rsp:Stream>")
    status, _ = remoting.caller.send(envelope("Send", body, **remoting.options))
    assert status in {200, 500}


def test_the_xml_of_messages_is_not_in_faults(pool: Remoting) -> None:
    secret = b"<S>hunter2</S"
    message = pool.fragments(create(), pipeline=PIPELINE)[0][21:61] + secret
    fragment = struct.pack(">QQBI", 1, 0, 3, len(message)) + message
    _, text = pool.caller.send(envelope("Command", pool.command(fragment), **pool.options))
    assert "hunter2" not in text
    assert base64.b64encode(secret).decode() not in text


# Keys for secure strings, and what is kept


def public_key(bits: int = 2048, exponent: int = 65537) -> tuple[rsa.RSAPrivateKey, bytes]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    modulus = key.public_key().public_numbers().n
    header = bytes.fromhex("0602000000a40000") + b"RSA1" + struct.pack("<II", bits, exponent)
    return key, header + modulus.to_bytes(bits // 8, "little")


def test_a_client_gets_a_key_for_secure_strings(pool: Remoting) -> None:
    key, blob = public_key()
    pool.send(PublicKey(public_key=base64.b64encode(blob).decode()))
    (answer,) = pool.receive()
    made = base64.b64decode(answer.data.session_key)
    assert made[:12].hex() == "010200001066000000a40000"
    assert len(key.decrypt(made[:11:-1], padding.PKCS1v15())) == 32


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"x" * 276,
        public_key()[1][:-1],
        public_key()[1] + b"x",
        public_key(1024)[1],
        public_key(exponent=2)[1],
        public_key(exponent=0)[1],
        public_key()[1][:20] + bytes(256),
        public_key()[1] * 100,
    ],
    ids=range(9),
)
def test_public_keys_that_are_none_are_refused(pool: Remoting, blob: bytes) -> None:
    body = pool.stream(*pool.fragments(PublicKey(public_key=base64.b64encode(blob).decode())))
    assert pool.caller.fault("Send", body, **pool.options) == INVALID


def test_answers_of_a_pool_that_nobody_asks_for_are_bounded(pool: Remoting) -> None:
    for _ in range(10):
        pool.send(*(GetAvailableRunspaces(ci=1) for _ in range(100)))
    body = pool.stream(*pool.fragments(GetAvailableRunspaces(ci=1)))
    assert pool.caller.fault("Send", body, **pool.options) == 2150859174
    pool.receive()
    pool.caller.ask("Send", body, **pool.options)


def test_the_pool_itself_has_no_state_of_a_command(pool: Remoting) -> None:
    pool.send(GetAvailableRunspaces(ci=1))
    assert "CommandState" not in pool.receive_text()


def test_long_calls_are_not_all_remembered(pool: Remoting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "_REMEMBERED_CHARACTERS", 1000)
    for script in ("whoami", "hostname", "#" + "x" * 400, "#" + "y" * 2000):
        pool.run(script)
    assert [call.script[:2] for call in pool.caller.responder.calls] == ["#y"]
    pool.run("whoami")
    assert [call.script for call in pool.caller.responder.calls] == ["whoami"]
