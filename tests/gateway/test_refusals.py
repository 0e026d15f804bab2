"""What a gateway refuses: each with its event, the right error for the client, and nothing told to the server."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from credssp import PasswordCredentials, RemoteGuardCredentials, SmartCardCredentials, generate_certificate, rdp
from credssp.config import Timeouts
from credssp.drivers.audit import reason_of
from credssp.drivers.handshake import DeadlineError
from credssp.drivers.rdp_service import Delegated, Refused
from credssp.errors import CertificateError, CredSSPError, PeerClosedError, PeerRefusedError
from credssp.gateway import back
from credssp.gateway.events import Connected, Ended, SessionStarted
from credssp.gateway.rules import NotRelayedError
from credssp.gateway.settings import read_settings
from credssp.rdp import AuthorizationDeniedError, Protocol
from credssp.rdp.client import LoginRefusedError
from credssp.rdp.session_pdus import data_frame
from credssp.secret import Secret
from credssp.status import NTStatus
from tests.gateway.test_gateway import (
    ALICE,
    HOST,
    NLA,
    PICKUP,
    PINNED,
    Scene,
    Server,
    as_selected,
    info_of,
    nla_client,
    run,
    sent_back,
    tls_client,
    tls_session,
)
from tests.rdp import session as pdus

WRONG_PIN = f'fingerprint = "{"00" * 32}"\n'
HYBRID = Protocol.HYBRID | Protocol.SSL


async def denied(scene: Scene, **options: Any) -> CredSSPError:
    """Log on with NLA, and return the error of the client: with HYBRID it comes after the login, in its session."""
    with pytest.raises(CredSSPError) as told:
        session = await nla_client(scene, **options)
        try:
            assert options["protocols"] is HYBRID
            await session.read()
        finally:
            session.abort()
    return told.value


async def refusal(scene: Scene, **options: Any) -> CredSSPError:
    """Log on with NLA, be denied access, and return what the event says."""
    told = await denied(scene, **options)
    if options.get("protocols") is HYBRID:  # which has no message for it
        assert isinstance(told, LoginRefusedError)
    else:
        assert told.ntstatus == NTStatus.STATUS_ACCESS_DENIED
    found: CredSSPError = (await scene.until(Refused)).error
    assert not scene.of(Connected)
    assert scene.gateway is not None
    assert scene.gateway._sessions == {}
    return found


@pytest.mark.parametrize("protocols", [None, HYBRID], ids=["HYBRID_EX", "HYBRID"])
@pytest.mark.parametrize(
    ("security", "target", "text"),
    [
        ("nla", WRONG_PIN, "certificate is not the pinned one"),
        ("tls", WRONG_PIN + 'security = "tls"', "certificate is not the pinned one"),
        ("nla", 'cacert = "other.pem"\nserver_name = "localhost"', "certificate"),
        ("tls", 'cacert = "gw.pem"\nserver_name = "wrong.test"\nsecurity = "tls"', "certificate"),
    ],
    ids=["pin nla", "pin tls", "authority", "name"],
)
def test_a_wrong_certificate_gets_no_password(
    tmp_path: Path, security: str, target: str, text: str, protocols: Protocol | None
) -> None:
    async def work(scene: Scene) -> None:
        found = await refusal(scene, protocols=protocols)
        assert text in found.message
        assert isinstance(found, CertificateError) or "certificate" in found.message

    other = generate_certificate()
    (tmp_path / "other.pem").write_bytes(other.chain)
    scene = Scene(tmp_path, NLA, target, server=Server(security))
    run(work, scene)
    assert scene.server.logged_on == []
    assert scene.server.info is None


def test_a_password_that_was_picked_up_goes_to_no_wrong_server(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        where = await sent_back(scene, info_of())
        session = await tls_session(scene, cookie=where.username)
        assert await session.read() == b""
        session.close()
        assert "not the pinned one" in str((await scene.until(Refused)).error)
        assert scene.gateway is not None
        assert len(scene.gateway.tickets) == 0

    scene = Scene(tmp_path, 'security = "tls"', PICKUP.replace(PINNED, WRONG_PIN), server=Server("nla"))
    run(work, scene)
    assert scene.server.logged_on == []


@pytest.mark.parametrize("protocols", [None, HYBRID], ids=["HYBRID_EX", "HYBRID"])
def test_a_server_that_is_down_denies_access(tmp_path: Path, protocols: Protocol | None) -> None:
    async def work(scene: Scene) -> None:
        await scene.server.stop()
        assert "no connection to" in (await refusal(scene, protocols=protocols)).message

    run(work, Scene(tmp_path, NLA, PINNED, server=Server("nla")))


MODES = [
    pytest.param({"restricted_admin": True}, "Restricted Admin mode", id="restricted admin"),
    pytest.param(
        {"delegated_credentials": RemoteGuardCredentials(package_name="Kerberos", buffer=Secret(b"ticket"))},
        "Remote Credential Guard",
        id="remote guard",
    ),
]


@pytest.mark.parametrize("target", ["", 'as = { user = "svc", domain = "LAB", password_file = "secret" }'])
@pytest.mark.parametrize(("options", "mode"), MODES)
def test_modes_that_cannot_be_relayed_are_refused_by_name(
    tmp_path: Path, options: dict[str, Any], mode: str, target: str
) -> None:
    async def work(scene: Scene) -> None:
        # The answer lacks the flag of the mode, so that a client knows by itself.
        with pytest.raises(CredSSPError, match=mode):
            await nla_client(scene, **options)
        found = (await scene.until(Refused)).error
        assert found.message == f"the client wants {mode}, which cannot be relayed"
        assert reason_of(found) == "not_authorized"
        assert not scene.of(Delegated)

    scene = Scene(tmp_path, NLA, PINNED + target, server=Server("nla"))
    run(work, scene)
    assert scene.server.logged_on == []


@pytest.mark.parametrize(("options", "mode"), MODES)  # the latter goes on to where it notices that there is no Kerberos
def test_so_is_a_client_that_goes_on_all_the_same(
    tmp_path: Path, options: dict[str, Any], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(scene: Scene) -> None:
        monkeypatch.setattr("credssp.rdp.client._ECHOES", {})
        with pytest.raises(CredSSPError):
            await nla_client(scene, **options)
        assert mode in (await scene.until(Refused)).error.message
        assert not scene.of(Connected)

    run(work, Scene(tmp_path, NLA, PINNED, server=Server("nla")))


def test_a_smart_card_cannot_be_passed_on(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        card = SmartCardCredentials(pin=Secret("123456"), user_hint="alice", domain_hint="LAB")
        found = await refusal(scene, delegated_credentials=card)
        assert isinstance(found, NotRelayedError)
        assert "a smart card cannot be passed on" in found.message
        assert "123456" not in str(found)

    run(work, Scene(tmp_path, NLA, PINNED, server=Server("nla")))


@pytest.mark.parametrize(
    ("security", "target"), [("tls", ""), ("rdp", ""), ("nla", 'security = "tls"\n'), ("nla", 'security = "rdp"\n')]
)
def test_there_is_no_fallback_to_another_protocol(tmp_path: Path, security: str, target: str) -> None:
    async def work(scene: Scene) -> None:
        found = await refusal(scene)
        assert reason_of(found) == "target"

    pin = "" if "rdp" in target else PINNED
    scene = Scene(tmp_path, NLA, target + pin, server=Server(security))
    run(work, scene)
    assert scene.server.info is None
    assert scene.server.logged_on == []


async def delay(scene: Scene, count: int) -> float:
    """Return the seconds that the next connection of this client has to wait, after so many refusals."""
    assert scene.gateway is not None
    gate = scene.gateway.settings.gate
    async with asyncio.timeout(20):
        while len(scene.of(Refused)) < count:
            await asyncio.sleep(0.01)
    return gate._addresses.wait(gate.source(HOST))


ONE_FAILURE = "[limits]\nsource_failures = 1\nsource_delay = 60\n"  # the second one counts


def test_a_user_whom_the_server_refuses_is_refused_and_counted(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        guess = PasswordCredentials("alice", "not this one", domain="LAB")
        for _ in range(2):
            found = await refusal(scene, delegated_credentials=guess)
        assert found.ntstatus == NTStatus.STATUS_LOGON_FAILURE
        assert reason_of(found) == "logon_failure"
        assert await delay(scene, 2) > 0

    target = PINNED + 'mechanism = "ntlm"\n'
    run(work, Scene(tmp_path, NLA, target, server=Server("nla"), limits=ONE_FAILURE))


@pytest.mark.parametrize("front", ["nla", "tls"])
def test_a_wrong_password_of_the_gateway_is_not_the_fault_of_its_client(tmp_path: Path, front: str) -> None:
    async def work(scene: Scene) -> None:
        for _ in range(2):
            if front == "nla":
                await refusal(scene)
                continue
            session = await tls_client(scene)
            assert await session.read() == b""
            session.close()
        found = (await scene.until(Refused)).error
        assert reason_of(found) == "target"
        assert found.ntstatus is None
        assert found.message.startswith("the target office: ")
        assert isinstance(found.__cause__, CredSSPError)
        assert found.__cause__.ntstatus == NTStatus.STATUS_LOGON_FAILURE
        assert await delay(scene, 2) == 0

    mapped = 'mechanism = "ntlm"\nas = { user = "svc", domain = "LAB", password_file = "wrong" }\n'
    (tmp_path / "wrong").write_text("not this one\n")
    listen = NLA if front == "nla" else 'security = "tls"\n'
    run(work, Scene(tmp_path, listen, PINNED + mapped, server=Server("nla"), limits=ONE_FAILURE))


class _Deaf:
    """A server that takes connections and says nothing, or does not even take them."""

    def __init__(self, *, accepts: bool) -> None:
        self.listener = socket.create_server((HOST, 0), backlog=64 if accepts else 0)
        self.port = self.listener.getsockname()[1]
        # On Linux a queue of 0 has room for one.
        self._fill = [] if accepts else [socket.socket() for _ in range(3)]
        for each in self._fill:
            each.setblocking(False)  # as socket has it
            each.connect_ex((HOST, self.port))

    def close(self) -> None:
        for each in (self.listener, *self._fill):
            each.close()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other queues of connections")
@pytest.mark.parametrize("front", ["nla", "tls"])
@pytest.mark.parametrize("accepts", [True, False], ids=["silent", "does not accept"])
def test_a_server_that_says_nothing_is_given_up(
    tmp_path: Path, accepts: bool, front: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(back, "TIMEOUTS", Timeouts(connect=0.5, leg=0.5, login=1.0))
    back._plain.cache_clear()

    async def work(scene: Scene) -> None:
        deaf = _Deaf(accepts=accepts)
        file = tmp_path / "gateway.toml"
        file.write_text(file.read_text().replace(str(scene.server.port), str(deaf.port)))
        assert scene.gateway is not None
        await scene.gateway.reload(read_settings(file))
        try:
            if front == "nla":
                with pytest.raises(AuthorizationDeniedError):
                    await nla_client(scene)
            else:
                session = await tls_client(scene)
                assert await session.read() == b""
                session.close()
                await scene.until(Ended)
            error = (await scene.until(Refused)).error
            assert reason_of(error) == "target"
            assert isinstance(error.__cause__, DeadlineError) or "within 0.5 s" in error.message
        finally:
            deaf.close()

    mapped = 'as = { user = "svc", domain = "LAB", password_file = "secret" }\n'
    listen = NLA if front == "nla" else 'security = "tls"'
    run(work, Scene(tmp_path, listen, PINNED + mapped, server=Server("nla")))
    back._plain.cache_clear()


@pytest.mark.parametrize("front", ["nla", "tls"])
@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (b"GET / HTTP/1.1\r\n", "expected a TPKT frame"),
        (pdus.connect_initial() + pdus.fast_path(b"input"), "expected a TPKT frame"),
        (pdus.connect_initial() + pdus.connect_initial(), "DomainMCSPDU"),
        (pdus.connect_initial() + data_frame(bytes.fromhex("64000603ec70") + b"\x80\x04\0\0\0\0"), "SEND_DATA_REQUEST"),
        (pdus.connect_initial() + b"\x03\x00\xff\xff", "a TPKT frame of 65535 bytes"),
        (pdus.connect_initial() + pdus.client_info(sizes=(65000, 0, 0, 0, 0)), "Client Info"),
    ],
    ids=["http", "input", "twice", "channel", "size", "info"],
)
def test_what_does_not_belong_before_client_info_ends_the_session(
    tmp_path: Path, sent: bytes, text: str, front: str
) -> None:
    async def work(scene: Scene) -> None:
        session = await (nla_client(scene) if front == "nla" else tls_client(scene))
        session.write(as_selected(session, sent))
        while await session.read():
            pass
        ended = await scene.until(Ended)
        assert ended.by == "client"
        assert ended.why
        assert text in ended.why or text == "Client Info"
        assert not scene.of(SessionStarted)
        session.close()
        await session.wait_closed()

    mapped = PINNED + 'mechanism = "ntlm"\nas = { user = "svc", domain = "LAB", password_file = "secret" }\n'
    listen = NLA if front == "nla" else 'security = "tls"'
    scene = Scene(tmp_path, listen, mapped, server=Server("nla"))
    run(work, scene)
    assert scene.server.info is None


@pytest.mark.parametrize("listen", [NLA, 'security = "tls"'], ids=["nla", "tls"])
def test_a_client_that_says_nothing_is_given_up(tmp_path: Path, listen: str) -> None:
    async def work(scene: Scene) -> None:
        reader, writer = await asyncio.open_connection(HOST, scene.port)
        writer.write(b"\x03")
        assert await reader.read() == b""
        writer.close()
        assert isinstance((await scene.until(Refused)).error, DeadlineError)

    mapped = PINNED + 'as = { user = "svc", domain = "LAB", password_file = "secret" }\n'
    run(work, Scene(tmp_path, listen, mapped, server=Server("nla"), limits="[limits]\nleg = 0.3\n"))


def test_the_total_time_of_a_session_is_bounded(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        session = await nla_client(scene)
        session.write(as_selected(session))
        await scene.until(SessionStarted)
        await session.readexactly(len(pdus.connect_response()) + len(pdus.fast_path(b"desktop")))

        async def talk() -> None:
            while True:
                session.write(b"x")
                await asyncio.sleep(0.02)

        talking = asyncio.create_task(talk())
        while await session.read():
            pass
        talking.cancel()
        assert (await scene.until(Ended)).why == "total"
        session.close()
        await session.wait_closed()

    run(work, Scene(tmp_path, NLA, PINNED + 'mechanism = "ntlm"', server=Server("nla"), limits="[limits]\ntotal = 3.0"))


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ("max_legs = 1", "more than 1 messages"),
        ("max_message_size = 60", "60"),
        ("half_open = 1", ""),
        ("connections_per_source = 1", ""),
        ("half_open_per_source = 1", ""),
    ],
)
def test_limits_of_the_login_hold_in_front(tmp_path: Path, limits: str, text: str) -> None:
    async def work(scene: Scene) -> None:
        if text:
            with pytest.raises(CredSSPError):
                await nla_client(scene)
            assert text in (await scene.until(Refused)).error.message
            return
        assert scene.gateway is not None
        reader, writer = await asyncio.open_connection(HOST, scene.port)
        writer.write(b"\x03")
        async with asyncio.timeout(10):
            while not scene.gateway.half_open or not scene.gateway.half_open[0].progress:
                await asyncio.sleep(0.01)
        session = await nla_client(scene)  # which takes the place of the one that has not got so far
        assert await reader.read() == b""
        assert reason_of((await scene.until(Refused)).error) == "limit"
        writer.close()
        session.close()
        await session.wait_closed()

    run(
        work,
        Scene(tmp_path, NLA, PINNED + 'mechanism = "ntlm"', server=Server("nla"), limits=f"[limits]\n{limits}\n"),
    )


def test_guesses_lock_an_account_for_a_while(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        for _ in range(3):
            with pytest.raises(PeerRefusedError):
                await nla_client(scene, PasswordCredentials("alice", "wrong", domain="LAB"))
        with pytest.raises(PeerRefusedError) as told:
            await nla_client(scene, ALICE)
        assert told.value.ntstatus == NTStatus.STATUS_LOGON_FAILURE
        assert [each.locked for each in scene.of(Refused)] == [False, False, False, True]

    limits = "[limits]\naccount_failures = 2\naccount_delay = 60\n"
    run(work, Scene(tmp_path, NLA, PINNED, server=Server("nla"), limits=limits))


def test_a_client_that_floods_before_it_is_let_in_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(scene: Scene) -> None:
        release = asyncio.Event()

        async def connect(*arguments: Any) -> Any:
            await release.wait()
            raise PeerClosedError("the server is away")

        monkeypatch.setattr(back, "connect", connect)
        flooded = asyncio.create_task(flood(scene))
        refused = (await scene.until(Refused)).error
        assert "bytes" in refused.message or reason_of(refused) in ("limit", "protocol")
        release.set()
        await flooded

    async def flood(scene: Scene) -> None:
        with pytest.raises((CredSSPError, OSError)):
            session = await rdp.open_connection(HOST, scene.port, credentials=ALICE, mechanism="ntlm", protocols=HYBRID)
            try:
                for _ in range(100):
                    session.write(bytes(65536))
                    await session.drain()
                await session.read()
            finally:
                session.abort()
                await session.wait_closed()

    limits = "[limits]\nmax_early_data = 1024\ndeadline = 3\n"
    run(work, Scene(tmp_path, NLA, PINNED, server=Server("nla"), limits=limits))
