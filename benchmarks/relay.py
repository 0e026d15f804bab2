"""The gateway's relay beside others: a TLS relay of asyncio's own, socat and stunnel where they are installed.

Every relay runs in a process of its own, with TLS on both sides, between the same client and the same servers; CPU time
is the relay's alone. The gateway is a whole one: it reads the beginning of each session, and its clients and servers
have RDP's negotiation before TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import credssp
from benchmarks.login import DOMAIN, PASSWORD, USER
from benchmarks.rdp import HOST, Server, serve_rdp
from credssp.gateway.service import Gateway
from credssp.gateway.settings import read_settings
from credssp.rdp.client_info import is_client_info
from credssp.rdp.mcs import connect_initial
from credssp.rdp.negotiation import NegotiationRequest, NegotiationResponse, Protocol, ResponseFlags
from credssp.rdp.session_pdus import FrameBuffer, data_frame
from credssp.rdp.session_start import connect_response
from credssp.rdp.x224 import ConnectionConfirm, ConnectionRequest
from credssp.tls.certificate import process_certificate
from credssp.tls.settings import ServerTLS, client_context, server_context

__all__ = ["Relayed", "endurance", "measure", "measure_login"]

MIB = 1 << 20
CHUNK = 256 * 1024
_WARM = 30
"""Sessions that fill caches and the allocator's holes."""
_MOVED = 256 * 1024
"""Bytes that a session moved before it is idle: a first screen."""
_FRAME, _PERIOD = 32 * 1024, 0.2
"""Bytes that a session asks for, and seconds from one to the next. 200 sessions make 31 MiB per second of it."""
NAMES = ("credssp gateway", "asyncio", "socat", "stunnel")

_CONFIRM = ConnectionConfirm(NegotiationResponse(Protocol.SSL, ResponseFlags.NONE)).encode()
_REQUEST = ConnectionRequest(negotiation=NegotiationRequest(Protocol.SSL)).encode()
_RESPONSE = connect_response(Protocol.SSL, channels=0)
_INFO = struct.pack("<HHII5H", 0x40, 0, 0x409, 0x10, 0, 0, 0, 0, 0) + bytes(10)
_BEGIN = (
    connect_initial(Protocol.SSL)
    + data_frame(bytes.fromhex("0401000100"))
    + data_frame(b"\x28")
    + data_frame(bytes.fromhex("64000103eb70") + (0x8000 | len(_INFO)).to_bytes(2, "big") + _INFO)
)

_GRAPHICS = b"\0" + (0x8000 | 16000).to_bytes(2, "big") + bytes(16000 - 3)
"""A fast-path frame, such as those that desktops are drawn with: the gateway counts frames."""

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Relayed:
    """Figures of one relay.

    Attributes:
        cpu: CPU seconds per GiB of each round, one session.
        rate: MiB per second, one session; the best round.
        many: CPU seconds per GiB of each round, all sessions at once.
        rate_of_many: MiB per second of all sessions together; the best round.
        memory: KiB of resident memory per session that moved data and is idle.
        paced: the part of the answers that were in time, all sessions at once.
    """

    cpu: list[float]
    rate: float
    many: list[float]
    rate_of_many: float
    memory: float
    paced: float


# The servers, which send as many bytes as they are asked for


async def _give(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    chunk, at = _GRAPHICS * (CHUNK // len(_GRAPHICS) + 2), 0
    with contextlib.suppress(asyncio.IncompleteReadError, OSError):
        while True:
            left = int.from_bytes(await reader.readexactly(8), "big")
            while left:
                size = min(left, CHUNK)
                writer.write(chunk[at : at + size])
                await writer.drain()
                left -= size
                at = (at + size) % len(_GRAPHICS)
    writer.close()


async def _serve_tls(sock: socket.socket) -> None:
    context = server_context(ServerTLS(), process_certificate())
    async with await asyncio.start_server(_give, sock=sock, ssl=context, backlog=1024):
        await asyncio.Event().wait()


async def _serve_desktop(sock: socket.socket) -> None:
    context = server_context(ServerTLS(), process_certificate())

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            await reader.readexactly(len(_REQUEST))
            writer.write(_CONFIRM)
            await writer.start_tls(context)
            frames = FrameBuffer()
            while True:
                head = await reader.readexactly(4)
                frames.feed(head + await reader.readexactly(int.from_bytes(head[2:], "big") - 4))
                frame = frames.next_frame()
                if frame is not None and is_client_info(frame):
                    break
            writer.write(_RESPONSE)
            await _give(reader, writer)

    async with await asyncio.start_server(handle, sock=sock, backlog=1024):
        await asyncio.Event().wait()


# The relays


async def _serve_gateway(sock: socket.socket, *, port: int, nla: bool = False) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = _configuration(Path(folder), port, nla=nla)
        gateway = Gateway(read_settings(file))
        await gateway.start(None, 0, sock=sock)
        await gateway.serve_forever()


def _configuration(folder: Path, port: int, *, nla: bool) -> Path:
    mine = process_certificate()
    listen = 'users_file = "accounts"' if nla else 'security = "tls"'
    texts = {
        "accounts": f"{DOMAIN}:{USER}:{PASSWORD}\n",
        "gateway.pem": (mine.chain + mine.private_key.reveal()).decode(),
        "gateway.toml": f'[listen]\naddress = "{HOST}:0"\ncertificate = "gateway.pem"\n{listen}\n'
        "[limits]\nconnections_per_source = 1000\nhalf_open_per_source = 1000\nhalf_open = 1000\n"
        f'[[target]]\nname = "server"\naddress = "{HOST}:{port}"\nsecurity = "tls"\n'
        f'fingerprint = "{hashlib.sha256(mine.der).hexdigest()}"\n',
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    return folder / "gateway.toml"


async def _serve_asyncio(sock: socket.socket, *, port: int) -> None:
    """A relay of asyncio's own streams, as one would write it."""
    front, back = server_context(ServerTLS(), process_certificate()), client_context(credssp.ClientTLS())

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other, onward = await asyncio.open_connection(HOST, port, ssl=back, server_hostname="localhost")
        await asyncio.gather(pump(reader, onward), pump(other, writer))

    async with await asyncio.start_server(handle, sock=sock, ssl=front, backlog=1024):
        await asyncio.Event().wait()


class _Program:
    """A relay that is a program; its children count."""

    def __init__(self, command: list[str], port: int) -> None:
        self.port = port
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
                return
            time.sleep(0.05)
        raise RuntimeError(f"{command[0]} does not listen")

    @property
    def pids(self) -> list[int]:
        """Process ids of it and its children."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        return [self._process.pid, *map(int, children.split())]

    def cpu(self) -> float:
        """CPU seconds of all threads and children that there are. In nanoseconds: ``stat`` counts in ticks of 10 ms."""
        total = 0
        for pid in self.pids:
            for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                with contextlib.suppress(OSError):
                    total += int(thread.read_text().split()[0])
        return total / 1e9

    def stop(self) -> None:
        for pid in reversed(self.pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()


@contextlib.contextmanager
def _program(name: str, port: int) -> Iterator[_Program]:
    mine = process_certificate()
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        free = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        pem = Path(folder, "relay.pem")
        pem.write_bytes(mine.chain + mine.private_key.reveal())
        pem.chmod(0o600)
        if name == "socat":
            listen = f"OPENSSL-LISTEN:{free},bind={HOST},reuseaddr,fork,cert={pem},verify=0"
            command = ["socat", listen, f"OPENSSL:{HOST}:{port},verify=0"]
        else:  # two hops: it has TLS on one side only
            middle = free + 1
            file = Path(folder, "stunnel.conf")
            file.write_text(
                f"foreground = yes\npid =\n[front]\naccept = {HOST}:{free}\nconnect = {HOST}:{middle}\ncert = {pem}\n"
                f"[back]\nclient = yes\naccept = {HOST}:{middle}\nconnect = {HOST}:{port}\n"
            )
            command = ["stunnel", str(file)]
        running = _Program(command, free)
        try:
            yield running
        finally:
            running.stop()


@contextlib.contextmanager
def _running(relay: Server) -> Iterator[Server]:
    try:
        yield relay
    finally:
        relay.stop()


# The client


async def _open_tls(port: int) -> Stream:
    context = client_context(credssp.ClientTLS())
    return await asyncio.open_connection(HOST, port, ssl=context, server_hostname="localhost", limit=MIB)


async def _open_desktop(port: int) -> Stream:
    reader, writer = await asyncio.open_connection(HOST, port, limit=MIB)
    writer.write(_REQUEST)
    await reader.readexactly(len(_CONFIRM))
    await writer.start_tls(client_context(credssp.ClientTLS()), server_hostname="localhost")
    writer.write(_BEGIN)
    await reader.readexactly(len(_RESPONSE))
    return reader, writer


async def _get(stream: Stream, size: int) -> None:
    reader, writer = stream
    writer.write(size.to_bytes(8, "big"))
    while size:
        data = await reader.read(MIB)
        if not data:
            raise RuntimeError("the relay closed the connection")
        size -= len(data)


def _resident(pids: list[int]) -> int:
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1])
    return total


class _Case:
    """One relay, its idle sessions, and what its rounds took."""

    def __init__(self, name: str, relay: Server | _Program) -> None:
        self.relay = relay
        self.found = Relayed([], 0.0, [], 0.0, 0.0, 0.0)
        self._open = _open_desktop if name == NAMES[0] else _open_tls
        self._streams: list[Stream] = []
        self._warm: list[Stream] = []

    async def open(self, sessions: int) -> None:
        """Open sessions, let each move something, and see what they cost when they are idle."""
        held = 0
        for count in (_WARM, sessions):
            held = _resident(self.relay.pids)
            for _ in range(count):
                stream = await self._open(self.relay.port)
                await _get(stream, _MOVED)
                self._streams.append(stream)
        self._warm, self._streams = self._streams[:_WARM], self._streams[_WARM:]
        self.found.memory = (_resident(self.relay.pids) - held) / sessions

    async def round(self, mebibytes: int) -> None:
        """Send so much through one session, and through all of them at once."""
        cpu, rate = await self._cost(self._streams[:1], mebibytes)
        self.found.cpu.append(cpu)
        self.found.rate = max(self.found.rate, rate)
        cpu, rate = await self._cost(self._streams, mebibytes)
        self.found.many.append(cpu)
        self.found.rate_of_many = max(self.found.rate_of_many, rate)

    async def _cost(self, streams: list[Stream], mebibytes: int) -> tuple[float, float]:
        each = mebibytes * MIB // len(streams)
        before, since = self.relay.cpu(), time.perf_counter()
        await asyncio.gather(*(_get(stream, each) for stream in streams))
        cpu, seconds = self.relay.cpu() - before, time.perf_counter() - since
        return cpu / (each * len(streams)) * (1 << 30), mebibytes / seconds

    async def pace(self, seconds: float) -> None:
        """Let every session ask for frames; an answer is in time before the next is due."""
        times = round(seconds / _PERIOD)
        begin = time.perf_counter()
        each = [
            _ask(stream, begin + _PERIOD * number / len(self._streams), times)
            for number, stream in enumerate(self._streams)
        ]
        in_time = sum(await asyncio.gather(*each))
        self.found.paced = max(self.found.paced, in_time / times / len(each))

    def close(self) -> None:
        for _, writer in self._warm + self._streams:
            writer.close()


async def _ask(stream: Stream, begin: float, times: int) -> int:
    """Ask for frames from `begin` on; returns how many were in time."""
    in_time = 0
    for number in range(times):
        due = begin + number * _PERIOD
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        await _get(stream, _FRAME)
        in_time += time.perf_counter() < due + _PERIOD
    return in_time


async def _take_turns(cases: dict[str, _Case], *, mebibytes: int, rounds: int, sessions: int, pace: float) -> None:
    for case in cases.values():
        await case.open(sessions)
    for _ in range(rounds):
        for case in cases.values():
            await case.round(mebibytes)
    for _ in range(2):
        for case in cases.values():
            await case.pace(pace)
    for case in cases.values():
        case.close()


def measure(*, mebibytes: int, rounds: int, sessions: int, pace: float) -> tuple[dict[str, Relayed], list[str]]:
    """Let the relays take turns.

    Args:
        mebibytes: what one round moves.
        rounds: of each relay.
        sessions: at once.
        pace: seconds for which all sessions ask for frames; twice, and the better time counts.

    Returns:
        What was found for each, and the names of those that are not installed.
    """
    with contextlib.ExitStack() as stack:
        plain = stack.enter_context(_running(Server(_serve_tls)))
        desktop = stack.enter_context(_running(Server(_serve_desktop)))
        gateway = Server(functools.partial(_serve_gateway, port=desktop.port))
        relays: dict[str, Server | _Program] = {
            "credssp gateway": stack.enter_context(_running(gateway)),
            "asyncio": stack.enter_context(_running(Server(functools.partial(_serve_asyncio, port=plain.port)))),
        }
        missing = [name for name in NAMES[2:] if shutil.which(name) is None]
        for name in NAMES[2:]:
            if name not in missing:
                relays[name] = stack.enter_context(_program(name, plain.port))
        cases = {name: _Case(name, relay) for name, relay in relays.items()}
        asyncio.run(_take_turns(cases, mebibytes=mebibytes, rounds=rounds, sessions=sessions, pace=pace))
    return {name: case.found for name, case in cases.items()}, missing


def measure_login(*, rounds: int) -> list[tuple[float, float]]:
    """Return pairs: seconds of a login with NLA at a server, and of one through a gateway to a server with TLS."""
    from credssp import rdp

    credentials = credssp.PasswordCredentials(USER, PASSWORD, domain=DOMAIN)
    found = []
    with _running(Server(_serve_desktop)) as desktop:
        through = Server(functools.partial(_serve_gateway, port=desktop.port, nla=True))
        with _running(Server(serve_rdp)) as direct, _running(through):
            for _ in range(rounds):
                pair = []
                for server in (direct, through):
                    begin = time.perf_counter()
                    session = rdp.connect(HOST, server.port, credentials=credentials, mechanism="ntlm")
                    pair.append(time.perf_counter() - begin)
                    session.close()
                found.append((pair[0], pair[1]))
    return found


def endurance() -> Callable[[int], None]:
    """Return what relays a session through a gateway, both in this process, and begins at once with the next."""
    import threading

    from credssp import rdp

    loop = asyncio.new_event_loop()
    sockets = [socket.create_server((HOST, 0)) for _ in range(2)]
    sockets[0].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as in `benchmarks.rdp.Server`
    desktop, gateway = (sock.getsockname()[1] for sock in sockets)
    work = _serve_desktop(sockets[0]), _serve_gateway(sockets[1], port=desktop, nla=True)
    tasks = [loop.create_task(each) for each in work]
    threading.Thread(target=loop.run_forever, daemon=True).start()
    right = credssp.PasswordCredentials(USER, PASSWORD, domain=DOMAIN)

    def session(_: int) -> None:
        if any(task.done() for task in tasks):
            raise RuntimeError("the gateway or the server ended")
        with rdp.connect(HOST, gateway, credentials=right, mechanism="ntlm") as stream:
            stream.sendall(_BEGIN + (1024).to_bytes(8, "big"))
            stream.recv_exactly(len(_RESPONSE) + 1024)

    return session
