"""What programs may cost the agent: idle connections, half messages, many logins, and ends on either side."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from credssp import rdp
from credssp.errors import LocalProtocolError
from credssp.lsa.caller import Caller
from credssp.lsa.channel import AgentChannel, AgentError
from credssp.lsa.faults import raised
from credssp.lsa.framing import frame
from credssp.lsa.messages import MAX_SIZE, Close, Done, Failed, Hello, Open, Progress, Token, Welcome, decode
from credssp.lsa.opened import AgentRefusedError, CertificateRule, OpenedCredential, Reason
from credssp.lsa.service import AgentLimits
from credssp.status import SecurityStatus
from credssp.testing.rdp import RDPServer
from tests.lsa.agents import (
    ACCOUNTS,
    RunningAgent,
    Store,
    fingerprint,
    opened,
    running_agent,
    server_certificate,
)

CERTIFICATE = server_certificate()
CREDENTIAL = opened(certificate=CertificateRule(fingerprint=fingerprint(CERTIFICATE)))
REQUEST = Open(credential="lab", target="TERMSRV/127.0.0.1", chain=(CERTIFICATE.der,))


@pytest.fixture(scope="module")
def server() -> Iterator[RDPServer]:
    with RDPServer(accounts=ACCOUNTS, certificate=CERTIFICATE, hold=0.01) as running:
        yield running


def log_on(server: RDPServer, agent: RunningAgent) -> None:
    rdp.connect(server.host, server.port, credentials=agent.credentials(), mechanism="ntlm").close()


def wait_for(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)  # the agent's loop tells nobody


def raw(agent: RunningAgent, data: bytes = b"") -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(60)
    connection.connect(agent.path)
    with contextlib.suppress(ConnectionError):  # the agent was faster with its refusal
        connection.sendall(data)
    return connection


def ended(connection: socket.socket) -> bool:
    """Read to the end, which is a reset where something was not read."""
    with contextlib.suppress(ConnectionError):
        while connection.recv(4096):
            pass
    return True


def read(connection: socket.socket) -> Any:
    header = connection.recv(4, socket.MSG_WAITALL)
    return decode(connection.recv(int.from_bytes(header, "big"), socket.MSG_WAITALL)) if header else None


def test_a_thousand_idle_connections_are_held_and_logins_go_on(server: RDPServer) -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(1000, (soft - 200) // 2)  # both ends are in this process
    with running_agent(CREDENTIAL) as agent, contextlib.ExitStack() as stack:
        idle = [stack.enter_context(raw(agent, frame(Hello().encode()))) for _ in range(count)]
        assert all(isinstance(read(each), Welcome) for each in idle)
        assert agent.connections() == count
        log_on(server, agent)
        assert agent.last().outcome == "success"
        assert agent.connections() >= count
    assert count >= 300


def test_one_connection_more_than_there_may_be_closes_the_longest_idle(server: RDPServer) -> None:
    with running_agent(CREDENTIAL, limits=AgentLimits(connections=3)) as agent, contextlib.ExitStack() as stack:
        idle = [stack.enter_context(raw(agent, frame(Hello().encode()))) for _ in range(3)]
        for each in idle:
            read(each)
        log_on(server, agent)
        assert ended(idle[0])


def test_a_connection_with_a_login_under_way_is_not_closed_for_another() -> None:
    with running_agent(CREDENTIAL, limits=AgentLimits(connections=1)) as agent:
        channel = AgentChannel(agent.path, timeout=60)
        step = channel.call(REQUEST)
        assert isinstance(step, Progress)
        with raw(agent, frame(Hello().encode())) as refused:
            assert ended(refused)
        assert isinstance(channel.call(Close(step.context)), Done)
        channel.close()


@pytest.mark.parametrize("data", [b"\0", b"\0\0\0\5\1", frame(Hello().encode()) + b"\0\0\1"])
def test_half_a_message_ends_the_connection_after_its_time(data: bytes, server: RDPServer) -> None:
    with running_agent(CREDENTIAL, limits=AgentLimits(message=1.5, greeting=3)) as agent:
        with raw(agent, data) as half:
            log_on(server, agent)
            assert ended(half)
        wait_for(lambda: not agent.connections(), "the agent forgets it")


def test_a_program_that_says_nothing_is_closed_after_its_time() -> None:
    with running_agent(CREDENTIAL, limits=AgentLimits(greeting=0.2)) as agent, raw(agent) as silent:
        assert ended(silent)


@pytest.mark.parametrize(
    "data",
    [
        (MAX_SIZE + 1).to_bytes(4, "big"),
        b"\0\0\0\0",
        frame(b"\xff"),
        frame(Token(1, 1, b"").encode()),
        frame(Hello(0).encode()),
        frame(Hello().encode()) + frame(Hello().encode()),
        frame(Hello().encode()) + frame(REQUEST.encode()[:-1]),
        frame(Hello().encode()) + frame(Done().encode()),
    ],
)
def test_a_message_that_is_none_is_answered_and_ends_the_connection(data: bytes) -> None:
    with running_agent(CREDENTIAL) as agent, raw(agent, data) as babbler:
        answer = read(babbler)
        if isinstance(answer, Welcome):
            answer = read(babbler)
        assert isinstance(answer, Failed)
        assert ended(babbler)


def test_a_newer_program_is_told_the_version_of_the_agent() -> None:
    with running_agent(CREDENTIAL) as agent, raw(agent, frame(Hello(9).encode())) as newer:
        assert read(newer) == Welcome()


def test_logins_of_one_connection_are_bounded() -> None:
    with running_agent(CREDENTIAL, limits=AgentLimits(contexts=2)) as agent:
        channel = AgentChannel(agent.path, timeout=60)
        assert all(isinstance(channel.call(REQUEST), Progress) for _ in range(2))
        answer = channel.call(REQUEST)
        assert isinstance(answer, Failed)
        error = raised(answer)
        assert isinstance(error, AgentRefusedError)
        assert error.reason is Reason.LIMIT
        assert error.status == SecurityStatus.SEC_E_INSUFFICIENT_MEMORY
        channel.close()


def test_a_login_that_is_not_finished_ends_after_its_time_and_the_connection_stays() -> None:
    with running_agent(CREDENTIAL, limits=AgentLimits(login=0.2)) as agent:
        channel = AgentChannel(agent.path, timeout=60)
        step = channel.call(REQUEST)
        assert isinstance(step, Progress)
        assert agent.last().reason == "deadline"
        answer = channel.call(Token(step.context, 1, b"0\0"))
        assert isinstance(answer, Failed)
        assert raised(answer).status == SecurityStatus.SEC_E_OUT_OF_SEQUENCE
        assert isinstance(channel.call(REQUEST), Progress)
        channel.close()


def test_fifty_programs_log_on_at_once(server: RDPServer) -> None:
    with running_agent(CREDENTIAL) as agent, ThreadPoolExecutor(50) as pool:
        list(pool.map(lambda _: log_on(server, agent), range(100)))
        agent.last(100)
        assert [each.outcome for each in agent.records] == ["success"] * 100
        wait_for(lambda: not agent.connections(), "all connections are gone")


def test_a_store_that_waits_keeps_no_other_program_waiting(server: RDPServer) -> None:
    asked, answer = threading.Event(), threading.Event()

    class Waiting(Store):
        def open(self, name: str, *, caller: Caller, target: str, mechanism: str) -> OpenedCredential:
            if name == "slow":
                asked.set()
                answer.wait(60)
            return super().open("lab", caller=caller, target=target, mechanism=mechanism)

    with running_agent(store=Waiting(CREDENTIAL)) as agent, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(lambda: rdp.connect(server.host, server.port, credentials=agent.credentials("slow")).close())
        assert asked.wait(60)
        log_on(server, agent)
        assert not slow.done()
        answer.set()
        slow.result(60)


def test_a_bug_in_the_store_ends_one_login_without_its_text(server: RDPServer) -> None:
    class Broken(Store):
        def open(self, name: str, *, caller: Caller, target: str, mechanism: str) -> OpenedCredential:
            if name == "lab":
                return super().open(name, caller=caller, target=target, mechanism=mechanism)
            raise RuntimeError("the password is hunter2")

    with running_agent(store=Broken(CREDENTIAL)) as agent:
        channel = AgentChannel(agent.path, timeout=60)
        answer = channel.call(Open(credential="x", target="TERMSRV/x", chain=(CERTIFICATE.der,)))
        assert isinstance(answer, Failed)
        assert b"hunter2" not in answer.encode()
        assert answer.status == SecurityStatus.SEC_E_INTERNAL_ERROR
        channel.close()
        log_on(server, agent)


def test_an_audit_that_fails_ends_no_login(server: RDPServer, caplog: pytest.LogCaptureFixture) -> None:
    with running_agent(CREDENTIAL) as agent:

        def broken(record: object) -> None:
            raise OSError("the disk is full")

        assert agent.service is not None
        agent.service._audit = broken
        log_on(server, agent)
    assert "the audit failed: OSError" in caplog.text


_PROGRAM = """
import sys, credssp
from credssp.lsa.channel import AgentChannel
from credssp.lsa.messages import Open
channel = AgentChannel(sys.argv[1], timeout=60)
print(channel.call(Open(credential="lab", target="TERMSRV/127.0.0.1", chain=(bytes.fromhex(sys.argv[2]),))).context)
sys.stdout.flush()
sys.stdin.read()
"""


def test_a_program_that_is_killed_leaves_nothing_behind() -> None:
    with running_agent(CREDENTIAL) as agent:
        command = [sys.executable, "-c", _PROGRAM, agent.path, CERTIFICATE.der.hex()]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
            assert program.stdout is not None
            assert int(program.stdout.readline())
            os.kill(program.pid, signal.SIGKILL)
            record = agent.last()
        assert record.outcome == "abandoned"
        assert record.caller.pid == program.pid
        wait_for(lambda: not agent.connections(), "the agent forgets it")


def test_an_agent_that_is_killed_ends_logins_with_the_cause(server: RDPServer) -> None:
    """Between two legs, and while a program waits: the connection ends, and so does the login."""
    with running_agent(CREDENTIAL) as agent:

        def end_the_agent(direction: Any, message: Any, data: bytes) -> None:
            service = agent.service
            assert service is not None
            for connection in list(service._connections):
                connection._writer.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

        with pytest.raises(AgentError, match="ended the connection in the middle of a login") as caught:
            rdp.connect(server.host, server.port, credentials=agent.credentials(), observer=end_the_agent)
    assert caught.value.status == SecurityStatus.SEC_E_INTERNAL_ERROR


def test_limits_that_make_no_sense_are_named() -> None:
    with pytest.raises(LocalProtocolError, match="contexts"):
        AgentLimits(contexts=0)
