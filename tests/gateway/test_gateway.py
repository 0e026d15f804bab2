"""Whole connections through a gateway, between the library's own clients and small servers."""

from __future__ import annotations

import asyncio
import gc
import hashlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

import credssp
from credssp import ClientConfig, PasswordCredentials, rdp
from credssp.drivers import aio
from credssp.drivers.handshake import Timeouts
from credssp.drivers.rdp import log_on
from credssp.drivers.rdp_service import Refused
from credssp.errors import CredSSPError, PeerClosedError
from credssp.gateway.events import Connected, Ended, PickedUp, SessionStarted
from credssp.gateway.service import Gateway
from credssp.gateway.settings import read_settings
from credssp.gateway.tickets import TicketError
from credssp.rdp import AuthorizationDeniedError, Protocol
from credssp.rdp.client_info import ClientInfo
from credssp.rdp.front import ConnectionRequested, FrontServer
from credssp.rdp.redirection import ServerRedirection, is_redirection
from credssp.rdp.session_pdus import ConnectInitial, ConnectResponse, FrameBuffer
from credssp.rdp.transport import TransportClient
from credssp.status import NTStatus
from credssp.tls.certificate import process_certificate
from tests.rdp import session as pdus

HOST = "127.0.0.1"
TIMEOUTS = Timeouts(connect=5, leg=5, login=10)
ALICE = PasswordCredentials("alice", "gateway password", domain="LAB")
PIN = hashlib.sha256(process_certificate().der).hexdigest()


class Server:
    """A server that reads a client's frames and answers with a Connect Response.

    Attributes:
        initial: what came last as Connect Initial.
        info: what came last as Client Info.
        logged_on: who logged on by NLA.
    """

    def __init__(
        self, security: str, *, response: bytes | None = None, desktop: bytes = pdus.fast_path(b"desktop")
    ) -> None:
        self._security = security
        self._desktop = desktop
        self._response = pdus.connect_response() if response is None else response
        self._closers: list[Callable[[], Any]] = []
        self.port = 0
        self.initial: ConnectInitial | None = None
        self.info: ClientInfo | None = None
        self.logged_on: list[str] = []

    async def start(self) -> None:
        if self._security == "nla":
            server = await rdp.start_server(
                self._talk, HOST, 0, accounts=credssp.MemoryAccounts({("LAB", "alice"): "gateway password",
                ("LAB", "svc"): "service password"}), mechanisms=["ntlm"], certificate=process_certificate(),
            )  # fmt: skip
            self.port = server.address[1]
            self._closers.append(server.close)
            return
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(lambda: _Plain(self._serve), HOST, 0)
        self.port = listener.sockets[0].getsockname()[1]
        self._closers.append(listener.close)

    async def stop(self) -> None:
        for close in self._closers:
            result = close()
            if asyncio.iscoroutine(result):
                await result

    async def _serve(self, session: aio.AsyncSession[Any]) -> None:
        try:
            await self._talk(session)
        finally:
            session.close()

    def response_to(self, session: aio.AsyncSession[Any]) -> bytes:
        """Return the Connect Response, with the protocols that the client requested."""
        return self._response.replace(pdus.sc_core(), pdus.sc_core(requested=int(requested_of(session))))

    async def _talk(self, session: aio.AsyncSession[Any]) -> None:
        context = getattr(session.endpoint, "context", None)
        if context is not None:
            self.logged_on.append(context.identity.username)
        frames, begun, named = FrameBuffer(), False, False
        while not named:
            data = await session.read()
            if not data:
                return
            frames.feed(data)
            while (frame := frames.next_frame()) is not None:
                if not begun:
                    begun, self.initial = True, ConnectInitial.decode(frame)
                    session.write(self.response_to(session))
                elif len(frame) > 20:
                    named, self.info = True, ClientInfo.decode(frame)
                    session.write(self._desktop)
        while data := await session.read():
            session.write(pdus.fast_path(data.upper()))
        session.close()


class _Plain(aio.LoginProtocol[FrontServer]):
    def __init__(self, talk: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        def finished(session: Any) -> None:
            self.task = asyncio.ensure_future(talk(session))

        super().__init__(
            FrontServer(config=credssp.ServerConfig(certificate=process_certificate())), timeouts=TIMEOUTS,
            finished=finished, failed=lambda error: None, on_events=self._take,
        )  # fmt: skip

    def _take(self, events: Any) -> None:
        for event in events:
            if isinstance(event, ConnectionRequested):
                self.endpoint.select(event.requested & (Protocol.SSL | Protocol.RDP))


class Scene:
    """A server and a gateway in front of it."""

    def __init__(self, folder: Path, listen: str, target: str, *, server: Server, limits: str = "") -> None:
        self.folder = folder
        self.server = server
        self.events: list[Any] = []
        self._listen, self._target, self._limits = listen, target, limits
        self.gateway: Gateway | None = None

    def write(self) -> Path:
        """Write the configuration and its files; the server has started."""
        (self.folder / "accounts").write_text("LAB:alice:gateway password\n")
        (self.folder / "secret").write_text("service password\n")
        pem = self.folder / "gw.pem"
        pem.write_bytes(process_certificate().chain + process_certificate().private_key.reveal())
        file = self.folder / "gateway.toml"
        file.write_text(
            f'[listen]\naddress = "{HOST}:0"\ncertificate = "gw.pem"\n{self._listen}\n{self._limits}\n[[target]]\n'
            f'name = "office"\naddress = "{HOST}:{self.server.port}"\n{self._target}\n'
        )
        for path in self.folder.iterdir():
            path.chmod(0o600)
        return file

    async def __aenter__(self) -> Scene:
        await self.server.start()
        file = self.write()
        try:
            self.gateway = Gateway(read_settings(file), on_event=lambda client, event: self.events.append(event))
        except BaseException:
            await self.server.stop()
            raise
        await self.gateway.start(HOST, 0, sock=None)
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self.gateway is not None
        await self.gateway.close()
        await self.server.stop()

    @property
    def port(self) -> int:
        assert self.gateway is not None
        return self.gateway.address[1]

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, kind: type[Any]) -> Any:
        async with asyncio.timeout(60):
            while not self.of(kind):
                await asyncio.sleep(0.01)
        return self.of(kind)[0]


UP = pdus.connect_initial() + pdus.ERECT_DOMAIN + pdus.ATTACH_USER + pdus.client_info(("LAB", "x", "typed", "", ""))


def as_selected(session: Any, data: bytes = UP) -> bytes:
    """Return what a client sends; see `pdus.as_selected`."""
    return pdus.as_selected(session, data)


def requested_of(session: Any) -> Protocol:
    """Return what the client of a server's session requested."""
    endpoint = session.endpoint
    found: Protocol = (
        endpoint.requested.requested if isinstance(endpoint, FrontServer) else (endpoint.request.negotiation.protocols)
    )
    return found


async def session_of(session: aio.AsyncSession[Any], *, requested: int) -> None:
    """Begin a session and talk through it."""
    session.write(as_selected(session))
    response = await session.readexactly(len(pdus.connect_response()))
    assert ConnectResponse.decode(response).requested_protocols == requested
    assert await session.readexactly(9) == pdus.fast_path(b"desktop")
    session.write(b"hello")
    assert await session.readexactly(7) == pdus.fast_path(b"HELLO")
    session.close()
    await session.wait_closed()


def run(work: Callable[[Scene], Coroutine[Any, Any, Any]], scene: Scene) -> Any:
    async def main() -> Any:
        async with asyncio.timeout(30), scene:
            return await work(scene)

    return asyncio.run(main())


async def nla_client(scene: Scene, credentials: PasswordCredentials = ALICE, **options: Any) -> Any:
    return await rdp.open_connection(HOST, scene.port, credentials=credentials, mechanism="ntlm", **options)


async def tls_client(scene: Scene, protocol: Protocol = Protocol.SSL) -> Any:
    client = TransportClient(host=HOST, protocol=protocol, config=ClientConfig())
    return await log_on(client, HOST, scene.port, timeouts=TIMEOUTS, in_thread=False)


NLA = 'users_file = "accounts"'
PINNED = f'fingerprint = "{PIN}"\n'


@pytest.mark.parametrize("security", ["tls", "rdp"])
def test_nla_in_front_logs_the_user_on_behind(tmp_path: Path, security: str) -> None:
    async def work(scene: Scene) -> None:
        session = await nla_client(scene)
        await session_of(session, requested=Protocol.SSL | Protocol.HYBRID | Protocol.HYBRID_EX)
        ended = await scene.until(Ended)
        assert (ended.target, ended.by, ended.why) == ("office", "client", "")
        assert ended.sent > len(UP)
        assert scene.gateway is not None
        assert scene.gateway._sessions == {}

    pin = PINNED if security == "tls" else ""
    scene = Scene(tmp_path, NLA, f'security = "{security}"\n{pin}deny_channels = ["cliprdr"]', server=Server(security))
    run(work, scene)
    info, initial = scene.server.info, scene.server.initial
    assert info is not None
    assert initial is not None
    assert (info.domain, info.username, info.password.reveal()) == ("LAB", "alice", "gateway password")
    assert initial.selected_protocol == (Protocol.SSL if security == "tls" else Protocol.RDP)
    assert initial.channels == ("rdpdr", "denied1")
    (connected,) = scene.of(Connected)
    assert (connected.target, connected.user) == ("office", "LAB\\alice")
    assert connected.certificate == ("pinned" if security == "tls" else "")
    (started,) = scene.of(SessionStarted)
    assert (started.client, started.channels) == ("LAPTOP", ("rdpdr", "cliprdr"))


@pytest.mark.parametrize(
    ("target", "user"),
    [("", "alice"), ('as = { user = "svc", domain = "LAB", password_file = "secret" }', "svc")],
    ids=["delegated", "mapped"],
)
def test_a_bastion_logs_on_with_delegated_or_mapped_credentials(tmp_path: Path, target: str, user: str) -> None:
    async def work(scene: Scene) -> None:
        session = await nla_client(scene)
        await session_of(session, requested=Protocol.SSL | Protocol.HYBRID | Protocol.HYBRID_EX)

    scene = Scene(tmp_path, NLA, f'mechanism = "ntlm"\n{PINNED}{target}', server=Server("nla"))
    run(work, scene)
    assert scene.server.logged_on == [user]
    info = scene.server.info
    assert info is not None
    assert (info.username, info.password.reveal()) == (user, "")  # the password for the gateway goes nowhere


@pytest.mark.parametrize("security", ["nla", "tls"])
def test_the_gateway_writes_no_keys_of_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, security: str) -> None:
    async def work(scene: Scene) -> None:
        session = await nla_client(scene, tls=credssp.ClientTLS(key_log=False))
        await session_of(session, requested=Protocol.SSL | Protocol.HYBRID | Protocol.HYBRID_EX)

    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys.log"))
    mechanism = 'mechanism = "ntlm"\n' if security == "nla" else ""
    run(work, Scene(tmp_path, NLA, f'security = "{security}"\n{mechanism}{PINNED}', server=Server(security)))
    assert not (tmp_path / "keys.log").exists()


def test_tls_in_front_of_a_server_with_nla(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        await session_of(await tls_client(scene), requested=Protocol.SSL)

    mapped = 'mechanism = "ntlm"\nas = { user = "svc", domain = "LAB", password_file = "secret" }\n'
    scene = Scene(tmp_path, 'security = "tls"', mapped + PINNED, server=Server("nla"))
    run(work, scene)
    assert scene.server.logged_on == ["svc"]


def test_without_nla_in_front_a_server_that_is_down_is_a_refusal(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        await scene.server.stop()
        session = await tls_client(scene)
        assert await session.read() == b""
        assert "no connection to" in str((await scene.until(Refused)).error)
        await scene.until(Ended)
        assert [type(event).__name__ for event in scene.events] == ["Negotiated", "Refused", "Ended"]
        session.close()
        await session.wait_closed()

    mapped = 'as = { user = "svc", domain = "LAB", password_file = "secret" }\n'
    run(work, Scene(tmp_path, 'security = "tls"', mapped + PINNED, server=Server("nla")))


def test_one_port_for_both_kinds_of_clients(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        session = await nla_client(scene)
        await session_of(session, requested=Protocol.SSL | Protocol.HYBRID | Protocol.HYBRID_EX)

    listen = 'security = "nla+tls"\nusers_file = "accounts"'
    scene = Scene(tmp_path, listen, f'security = "tls"\n{PINNED}credentials = "none"', server=Server("tls"))
    run(work, scene)
    info = scene.server.info
    assert info is not None
    assert (info.username, info.password.reveal()) == ("", "")


@pytest.mark.parametrize(
    ("target", "status", "text"),
    [
        (PINNED + 'users = ["LAB\\\\bob"]', NTStatus.STATUS_ACCESS_DENIED, "no target is meant for this user"),
        (PINNED + 'tokens = ["other"]', NTStatus.STATUS_ACCESS_DENIED, "no target is meant for this user"),
        (f'fingerprint = "{"00" * 32}"', None, "certificate is not the pinned one"),
    ],
    ids=["user", "token", "pin"],
)
def test_a_refusal_behind_is_one_in_front(tmp_path: Path, target: str, status: NTStatus | None, text: str) -> None:
    async def work(scene: Scene) -> None:
        with pytest.raises(AuthorizationDeniedError):
            await nla_client(scene)
        refused = await scene.until(Refused)
        assert text in str(refused.error)
        if status is not None:
            assert refused.error.ntstatus == status

    run(work, Scene(tmp_path, NLA, f'mechanism = "ntlm"\n{target}', server=Server("nla")))


def test_a_server_that_is_down_is_a_refusal(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        await scene.server.stop()
        await asyncio.sleep(0)
        with pytest.raises(AuthorizationDeniedError):
            await nla_client(scene)
        assert "no connection to" in str((await scene.until(Refused)).error)

    run(work, Scene(tmp_path, NLA, PINNED, server=Server("nla")))


def test_a_wrong_password_never_reaches_the_server(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        with pytest.raises(CredSSPError) as refused:
            await nla_client(scene, PasswordCredentials("LAB\\alice", "wrong"))
        assert refused.value.ntstatus == NTStatus.STATUS_LOGON_FAILURE
        assert not scene.of(Connected)

    run(work, Scene(tmp_path, NLA, PINNED, server=Server("nla")))


def test_another_users_name_is_not_delegated(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        with pytest.raises(AuthorizationDeniedError):
            await nla_client(scene, delegated_credentials=PasswordCredentials("svc", "service password", domain="LAB"))
        assert "another user was delegated" in str((await scene.until(Refused)).error)

    run(work, Scene(tmp_path, NLA, PINNED + 'mechanism = "ntlm"', server=Server("nla")))


def test_another_user_may_be_delegated_where_the_rule_says_so(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        session = await nla_client(
            scene, delegated_credentials=PasswordCredentials("svc", "service password", domain="LAB")
        )
        await session_of(session, requested=Protocol.SSL | Protocol.HYBRID | Protocol.HYBRID_EX)

    scene = Scene(tmp_path, NLA, PINNED + 'mechanism = "ntlm"\nother_user = true', server=Server("nla"))
    run(work, scene)
    assert scene.server.logged_on == ["svc"]


def test_nothing_delegated_cannot_be_passed_on(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        with pytest.raises(AuthorizationDeniedError):
            await nla_client(scene, delegate=False)
        assert "delegated nothing" in str((await scene.until(Refused)).error)

    run(work, Scene(tmp_path, NLA, PINNED, server=Server("nla")))


def test_restricted_admin_is_refused_by_name(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        with pytest.raises(CredSSPError):
            await nla_client(scene, restricted_admin=True)
        assert "Restricted Admin mode" in str((await scene.until(Refused)).error)

    run(work, Scene(tmp_path, NLA, PINNED, server=Server("nla")))


def test_standard_security_behind_ends_the_session_with_the_reason(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        session = await nla_client(scene)
        session.write(as_selected(session))
        assert await session.read() == b""
        assert "standard RDP security" in (await scene.until(Ended)).why
        session.close()
        await session.wait_closed()

    response = pdus.connect_response(pdus.sc_core() + pdus.sc_security(2, 3))
    run(work, Scene(tmp_path, NLA, 'security = "rdp"', server=Server("rdp", response=response)))


@pytest.mark.parametrize("credentials", ["", 'as = { user = "svc", domain = "LAB", password_file = "secret" }'])
def test_a_redirection_by_the_server_ends_the_session_unseen(tmp_path: Path, credentials: str) -> None:
    async def work(scene: Scene) -> None:
        session = await nla_client(scene)
        session.write(as_selected(session, pdus.connect_initial()))
        await session.readexactly(len(pdus.connect_response()))
        session.write(UP[len(pdus.connect_initial()) :])
        received = b""
        while data := await session.read():
            received += data
        assert b"1\x009\x002\x00" not in received  # the address, in UTF-16
        ended = await scene.until(Ended)
        assert ended.by == "server"
        assert "the server redirects the client to '192.0.2.5', past the relay" in ended.why
        session.close()
        await session.wait_closed()

    elsewhere = ServerRedirection(target="192.0.2.5", username="alice").encode(initiator=1002, channel=1003)
    server = Server("nla", desktop=pdus.fast_path(b"desktop") + elsewhere)
    run(work, Scene(tmp_path, NLA, PINNED + f'mechanism = "ntlm"\n{credentials}', server=server))


def test_clients_from_elsewhere_are_refused(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        with pytest.raises(PeerClosedError):
            await nla_client(scene)
        assert "allow_from" in str((await scene.until(Refused)).error)

    run(work, Scene(tmp_path, NLA + '\nallow_from = ["192.0.2.0/24"]', PINNED, server=Server("nla")))


def test_a_user_has_so_many_sessions_and_no_more(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        first = await nla_client(scene)
        with pytest.raises(AuthorizationDeniedError):
            await nla_client(scene)
        assert "sessions already" in str((await scene.until(Refused)).error)
        first.close()
        await scene.until(Ended)
        third = await nla_client(scene)
        for session in (first, third):
            session.close()
            await session.wait_closed()

    scene = Scene(
        tmp_path, NLA, PINNED + 'mechanism = "ntlm"', server=Server("nla"), limits="[limits]\nsessions_per_user = 1"
    )
    run(work, scene)


def test_an_idle_session_ends(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        session = await nla_client(scene)
        assert await session.read() == b""
        assert (await scene.until(Ended)).why == "idle"
        session.close()
        await session.wait_closed()

    scene = Scene(tmp_path, NLA, PINNED + 'mechanism = "ntlm"', server=Server("nla"), limits="[limits]\nidle = 0.1")
    run(work, scene)


def test_sigterm_lets_sessions_end_and_accepts_nobody(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        assert scene.gateway is not None
        session = await nla_client(scene)
        port = scene.port
        draining = asyncio.create_task(scene.gateway.drain(5))
        await asyncio.sleep(0.05)
        with pytest.raises(OSError, match="refused|Connect call failed"):
            await asyncio.open_connection(HOST, port)
        session.close()
        await draining
        assert scene.of(Ended)

    run(work, Scene(tmp_path, NLA, PINNED + 'mechanism = "ntlm"', server=Server("nla")))


def test_targets_are_replaced_for_new_connections(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        assert scene.gateway is not None
        file = tmp_path / "gateway.toml"
        file.write_text(file.read_text() + 'users = ["LAB\\\\bob"]\n')
        await scene.gateway.reload(read_settings(file))
        with pytest.raises(AuthorizationDeniedError):
            await nla_client(scene)
        file.write_text(file.read_text().replace('"accounts"', '"others"'))
        with pytest.raises(credssp.LocalProtocolError, match="with a restart only"):
            await scene.gateway.reload(read_settings(file))

    run(work, Scene(tmp_path, NLA, PINNED + 'mechanism = "ntlm"', server=Server("nla")))


# Pickup: user and password of a client without NLA

PICKUP = PINNED + 'mechanism = "ntlm"\ncredentials = "client-info"\n'


def info_of(password: str = "gateway password") -> bytes:
    return pdus.client_info(("LAB", "alice", password, "", ""))


async def tls_session(scene: Scene, **options: Any) -> Any:
    client = TransportClient(host=HOST, protocol=Protocol.SSL, config=ClientConfig(**options))
    return await log_on(client, HOST, scene.port, timeouts=TIMEOUTS, in_thread=False)


async def sent_back(scene: Scene, info: bytes, **options: Any) -> ServerRedirection:
    """Name a user and be sent back."""
    session = await tls_session(scene, **options)
    session.write(as_selected(session, pdus.connect_initial() + pdus.ERECT_DOMAIN + pdus.ATTACH_USER + info))
    frames = FrameBuffer()
    while True:
        data = await session.read()
        assert data, "the gateway closed the connection"
        frames.feed(data)
        while (frame := frames.next_frame()) is not None:
            if is_redirection(frame):
                session.close()
                await session.wait_closed()
                return ServerRedirection.decode(frame)


@pytest.mark.parametrize("way", ["routing token", "cookie"])
def test_a_clients_own_password_reaches_a_server_with_nla(tmp_path: Path, way: str) -> None:
    async def work(scene: Scene) -> None:
        assert scene.gateway is not None
        where = await sent_back(scene, info_of(), routing_token=b"office")
        assert (where.target, where.domain) == (HOST, "")
        assert where.username is not None
        assert where.load_balance_info == f"Cookie: msts={where.username}\r\n".encode()
        options: Any = {"cookie": where.username}
        if way == "routing token":
            options = {"routing_token": where.load_balance_info.rstrip()}
        await session_of(await tls_session(scene, **options), requested=Protocol.SSL)
        assert len(scene.gateway.tickets) == 0
        while len(scene.of(Ended)) < 2:
            await asyncio.sleep(0.01)

    scene = Scene(tmp_path, 'security = "tls"', PICKUP + 'tokens = ["office"]', server=Server("nla"))
    run(work, scene)
    assert scene.server.logged_on == ["alice"]
    info = scene.server.info
    assert info is not None
    assert (info.username, info.password.reveal()) == ("alice", "")
    assert scene.of(PickedUp) == [PickedUp("office", "LAB\\alice")]
    (connected,) = scene.of(Connected)
    assert connected.user == "LAB\\alice"
    assert connected.came_from
    first, second = scene.of(Ended)
    assert (first.by, first.why) == ("relay", "redirected")
    assert second.by == "client"
    assert not scene.of(Refused)


def test_a_spent_ticket_is_refused(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        where = await sent_back(scene, info_of("wrong"))
        session = await tls_session(scene, cookie=where.username)
        session.write(as_selected(session))
        assert await session.read() == b""
        session.close()
        refused = await scene.until(Refused)
        assert refused.error.ntstatus == NTStatus.STATUS_LOGON_FAILURE
        with pytest.raises(PeerClosedError):
            await tls_session(scene, cookie=where.username)
        assert isinstance(scene.of(Refused)[1].error, TicketError)

    run(work, Scene(tmp_path, 'security = "tls"', PICKUP, server=Server("nla")))


def test_a_ticket_that_was_not_given_is_refused(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        with pytest.raises(PeerClosedError):
            await tls_session(scene, routing_token=b"Cookie: msts=pickup." + b"0" * 32)
        assert isinstance((await scene.until(Refused)).error, TicketError)
        assert not scene.of(Connected)

    run(work, Scene(tmp_path, 'security = "tls"', PICKUP, server=Server("nla")))


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (pdus.connect_initial() + pdus.ATTACH_USER + info_of(""), "named no user or no password"),
        (
            pdus.connect_initial() + pdus.ATTACH_USER + pdus.client_info(flags=0x4013B),
            "PIN of a smart card",
        ),
        (b"GET / HTTP/1.1\r\n", "expected a TPKT frame"),
        (pdus.connect_initial() + pdus.client_info(), "before it attached"),
        (b"", "Client Info PDU"),
    ],
    ids=["password", "card", "http", "order", "silence"],
)
def test_who_does_not_name_a_user_is_refused(tmp_path: Path, sent: bytes, text: str) -> None:
    async def work(scene: Scene) -> None:
        session = await tls_client(scene)
        if sent:
            session.write(sent)
        while await session.read():
            pass
        session.close()
        assert text in str((await scene.until(Refused)).error)
        assert not scene.of(Connected)

    limits = "[limits]\nleg = 0.3"
    run(work, Scene(tmp_path, 'security = "tls"', PICKUP, server=Server("nla"), limits=limits))


@pytest.mark.parametrize("front", ["tls", "nla"])
def test_a_client_that_begins_no_session_is_disconnected(tmp_path: Path, front: str) -> None:
    async def work(scene: Scene) -> None:
        session = await (tls_client(scene) if front == "tls" else nla_client(scene))
        assert await session.read() == b""
        session.close()
        assert "did not begin its session within 0.5 s" in (await scene.until(Ended)).why

    mapped = PINNED + 'mechanism = "ntlm"\nas = { user = "svc", domain = "LAB", password_file = "secret" }\n'
    listen = 'security = "tls"' if front == "tls" else NLA
    run(work, Scene(tmp_path, listen, mapped, server=Server("nla"), limits="[limits]\ndeadline = 0.5\nleg = 0.4"))


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc/self/fd")
@pytest.mark.parametrize("front", ["tls", "nla", "pickup"])
def test_sessions_leave_no_credential_descriptor_or_count(tmp_path: Path, front: str) -> None:
    def alive() -> int:
        """Credentials in memory, without help of the garbage collector."""
        return sum(isinstance(each, PasswordCredentials) for each in gc.get_objects())

    async def one(scene: Scene, number: int) -> None:
        scene.server.initial = scene.server.info = None
        options: dict[str, Any] = {}
        if front == "pickup":
            options["cookie"] = (await sent_back(scene, info_of())).username
        session = await (nla_client(scene) if front == "nla" else tls_session(scene, **options))
        session.write(as_selected(session))
        await session.readexactly(len(pdus.connect_response()))
        session.close()
        await session.wait_closed()
        ended = number * 2 if front == "pickup" else number
        while len(scene.of(Ended)) < ended:
            await asyncio.sleep(0.01)
        scene.events[:] = [each for each in scene.events if isinstance(each, Ended)]

    async def work(scene: Scene) -> None:
        for number in range(1, 4):
            await one(scene, number)
        gc.collect()
        gc.disable()
        try:
            before = alive(), _descriptors()
            for number in range(4, 12):
                await one(scene, number)
            assert (alive(), _descriptors()) == before
        finally:
            gc.enable()
        assert scene.gateway is not None
        assert (scene.gateway._sessions, len(scene.gateway.tickets), scene.gateway._tasks) == ({}, 0, set())

    mapped = PINNED + 'mechanism = "ntlm"\nas = { user = "svc", domain = "LAB", password_file = "secret" }\n'
    target = {"tls": mapped, "nla": PINNED + 'mechanism = "ntlm"\n', "pickup": PICKUP}[front]
    run(work, Scene(tmp_path, NLA if front == "nla" else 'security = "tls"', target, server=Server("nla")))


@pytest.mark.parametrize("mechanism", ["ntlm", "negotiate"])
def test_a_session_holds_no_credentials(tmp_path: Path, mechanism: str) -> None:
    bob = PasswordCredentials("alice", "gateway password", domain="LAB")

    def passwords() -> int:
        found = [each for each in gc.get_objects() if isinstance(each, PasswordCredentials) and not each.is_empty]
        return sum(each is not bob for each in found)

    async def work(scene: Scene) -> None:
        before = passwords()
        session = await nla_client(scene, bob)
        session.write(as_selected(session))
        await session.readexactly(len(pdus.connect_response()))
        await scene.until(SessionStarted)
        scene.events.clear()
        scene.server.info = None
        assert passwords() - before == 1  # what the server behind the gateway was delegated
        session.close()
        await session.wait_closed()

    run(work, Scene(tmp_path, NLA, PINNED + f'mechanism = "{mechanism}"\n', server=Server("nla")))
