"""The lines of ``credssp serve``, ``credssp gateway`` and ``credssp agent``: events of every kind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import credssp
from credssp import PasswordCredentials, rdp
from credssp.cli._agent_run import _dropped
from credssp.cli._serve_events import _event_line, delegated_facts
from credssp.credentials import RemoteGuardCredentials, SmartCardCredentials
from credssp.drivers.winrm import WinRMConnection
from credssp.rdp import Protocol
from credssp.secret import Secret
from credssp.testing import RDPServer
from credssp.testing.rdp_session import SessionReport
from credssp.winrm import ClientLogin
from tests.cli.test_gateway_processes import Running
from tests.drivers.test_audit import log_on
from tests.gateway import test_gateway as gw
from tests.lsa.agents import fingerprint, server_certificate
from tests.lsa.programs import agent_program
from tests.schemas.checking import OTHER_CREDENTIALS, check

ALICE = PasswordCredentials("alice", "secret", domain="LAB")
GROUP = "S-1-5-21-1-2-3-513"
PATIENCE = 60.0

Event = dict[str, Any]


class Told(list[Event]):
    """What a program tells, as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        super().__init__()
        self._process = process
        self._came = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._came:
                self.append(json.loads(line))
                self._came.notify_all()

    def until(self, name: str, count: int = 1) -> Event:
        """Wait for so many events of a name; returns the last."""

        def found() -> list[Event]:
            return [event for event in self if event["event"] == name]

        with self._came:
            assert self._came.wait_for(lambda: len(found()) >= count, PATIENCE), self
            return found()[-1]

    def end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        finally:
            self._process.kill()
            self._reader.join(PATIENCE)


@contextlib.contextmanager
def serving(*words: str) -> Iterator[tuple[tuple[str, int], Told]]:
    """Run ``credssp serve``; yields its address and what it tells, which is whole once the block has ended."""
    command = [sys.executable, "-m", "credssp", "serve", *words, "--json", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(
        [*command, "--user", "LAB\\alice:secret"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        told = Told(process)
        try:
            host, _, port = told.until("listening")["address"].rpartition(":")
            yield (host, int(port)), told
        finally:
            told.end()


def refused(attempt: Callable[[], object]) -> None:
    with pytest.raises(credssp.CredSSPError):
        attempt()


def dropped() -> Event:
    found: Event = json.loads(_event_line("dropped", {"events": 3}, as_json=True))
    return found


def rdp_events() -> Iterator[Event]:
    card = SmartCardCredentials(
        pin=Secret("0000"), card_name="card", reader_name="reader", container_name="container", csp_name="csp"
    )
    with serving("rdp", "--workers", "2") as (address, told):
        socket.create_connection(address).close()
        rdp.connect(*address, credentials=ALICE, mechanism="negotiate", delegated_credentials=card).close()
        told.until("closed")
        rdp.connect(*address, credentials=ALICE, restricted_admin=True, cookie="alice").close()
        told.until("closed", 2)
        refused(lambda: log_on("rdp", address, "alice", "wrong"))
        told.until("closed", 3)
        with socket.create_connection(address) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
            connection.settimeout(PATIENCE)
            assert connection.recv(1) == b""
        closed = told.until("closed", 4)
    yield from told
    delegated = next(event for event in told if event["event"] == "delegated")
    guard = RemoteGuardCredentials(package_name="Kerberos", buffer=Secret(b"\x0a\0\0\0"))
    yield delegated | delegated_facts(guard, reveal=False)
    yield closed | {"session": SessionReport(error_info=12, ended_by="server").as_json()}
    yield dropped()


def test_serve_rdp() -> None:
    check(serve_rdp=rdp_events())


def test_serve_winrm() -> None:
    pytest.importorskip("uvicorn")
    with serving("winrm", "--allow-group", GROUP) as (address, denied):
        refused(lambda: log_on("winrm", address, "alice", "secret"))
        denied.until("closed")
    with serving("winrm") as (address, told):
        socket.create_connection(address).close()
        with WinRMConnection(*address) as connection:
            connection.log_on(ClientLogin(None, "srv", credentials=ALICE, mechanism="negotiate"))
        told.until("closed")
        refused(lambda: log_on("winrm", address, "alice", "wrong"))
        told.until("closed", 2)
    assert "delegated" in denied.until("refused")
    check(OTHER_CREDENTIALS, serve_winrm=[*denied, *told, dropped()])


def through(folder: Path, scene: gw.Scene, work: Callable[[Any, Running], Coroutine[Any, Any, None]]) -> list[Event]:
    """Run ``credssp gateway run`` in front of a server while something is done with it; returns what it told."""

    async def main() -> list[Event]:
        async with asyncio.timeout(2 * PATIENCE):
            await scene.server.start()
            gateway = await asyncio.to_thread(Running, ["run", str(scene.write())])
            port = int(gateway.listening["address"].rpartition(":")[2])
            try:
                await work(SimpleNamespace(port=port), gateway)
            finally:
                await asyncio.to_thread(gateway.end)
                await scene.server.stop()
            return gateway.told

    return asyncio.run(main())


def test_gateway(tmp_path: Path) -> None:
    async def with_nla(place: Any, gateway: Running) -> None:
        socket.create_connection(("127.0.0.1", place.port)).close()
        session = await rdp.open_connection(gw.HOST, place.port, credentials=gw.ALICE, mechanism="negotiate")
        await gw.session_of(session, requested=Protocol.SSL | Protocol.HYBRID | Protocol.HYBRID_EX)
        await asyncio.to_thread(gateway.until, "closed")
        with pytest.raises(credssp.CredSSPError):
            await gw.nla_client(place, PasswordCredentials("alice", "wrong", domain="LAB"))
        await asyncio.to_thread(gateway.until, "closed")

    async def without(place: Any, gateway: Running) -> None:
        where = await gw.sent_back(place, gw.info_of(), routing_token=b"office")
        await asyncio.to_thread(gateway.until, "closed")
        session = await gw.tls_session(place, cookie=where.username)
        await gw.session_of(session, requested=Protocol.SSL)
        await asyncio.to_thread(gateway.until, "closed")

    (tmp_path / "nla").mkdir()
    (tmp_path / "tls").mkdir()
    workers = f"{gw.NLA}\nworkers = 2"
    scene = gw.Scene(tmp_path / "nla", workers, f'security = "tls"\n{gw.PINNED}', server=gw.Server("tls"))
    told = through(tmp_path, scene, with_nla)
    target = gw.PICKUP + 'tokens = ["office"]'
    told += through(tmp_path, gw.Scene(tmp_path / "tls", 'security = "tls"', target, server=gw.Server("nla")), without)
    check(OTHER_CREDENTIALS, gateway=[*told, dropped()])


def test_agent(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("the agent needs Unix-domain sockets")
    folder = tmp_path / "f"
    folder.mkdir(mode=0o700)
    certificate = server_certificate()
    with (
        RDPServer({("LAB", "alice"): "secret"}, certificate=certificate, hold=0.01) as server,
        agent_program(folder / "s") as agent,
    ):
        agent.add(
            "prod-admin", "-u", "LAB\\alice", "--target", "TERMSRV/127.0.0.1", "--fingerprint",
            fingerprint(certificate), "--lifetime", "1h", secret="secret",
        )  # fmt: skip
        listed = json.loads(agent.call("list", "--json"))
        rdp.connect("127.0.0.1", server.port, credentials=agent.credentials("prod-admin")).close()
        agent.last()
        refused(lambda: rdp.connect("127.0.0.1", server.port, credentials=agent.credentials("other")))
        agent.last(count=2)
        agent.call("remove", "prod-admin")
        agent.last("agent-change", 2)
        told = agent.seen()
    check(agent_list=[listed], agent_run=[*told, _dropped(3)])
