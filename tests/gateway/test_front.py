"""What is in front: users of a domain and their groups, Unix-domain sockets."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

import credssp
from credssp import PasswordCredentials, rdp
from credssp.drivers.rdp_service import Delegated, Refused
from credssp.drivers.unix_socket import listening_on
from credssp.gateway.events import Connected, Ended
from credssp.gateway.service import Gateway
from credssp.gateway.settings import read_settings
from credssp.rdp import AuthorizationDeniedError, Protocol
from credssp.status import NTStatus
from tests.authorities import GROUPS, Authority
from tests.gateway.test_gateway import NLA, PINNED, Scene, Server, as_selected, nla_client, run, session_of

ALL = Protocol.SSL | Protocol.HYBRID | Protocol.HYBRID_EX
DOMAIN_USER = PasswordCredentials("alice", "gateway password", domain="LAB")


class Domain(Authority):
    """An authority that knows names of groups."""

    def group_sid(self, name: str) -> str:
        if name.casefold() != "lab\\rdp users":
            raise credssp.LocalProtocolError(f"winbindd does not find the group {name!r}")
        return GROUPS[1]


@pytest.fixture
def domain(monkeypatch: pytest.MonkeyPatch) -> Domain:
    made = Domain({"alice": "gateway password", "bob": "bob's"})
    monkeypatch.setattr("credssp.gateway.service.WinbindAuthority", lambda: made)
    return made


def members(group: str = "LAB\\\\RDP Users") -> str:
    return PINNED + f'mechanism = "ntlm"\nusers = ["group:{group}"]\n'


def test_a_member_of_a_group_is_relayed_and_others_are_refused(tmp_path: Path, domain: Domain) -> None:
    async def work(scene: Scene) -> None:
        session = await nla_client(scene, DOMAIN_USER)
        await session_of(session, requested=ALL)
        (login,) = scene.of(Delegated)
        assert (login.identity.authority, login.identity.groups) == ("domain", tuple(sorted(GROUPS)))
        await scene.until(Ended)
        domain.edit = lambda answer: credssp.authority.LogonVerdict(
            domain="LAB", username="bob", session_base_key=answer.session_base_key, groups=GROUPS[:1]
        )
        with pytest.raises(AuthorizationDeniedError):
            await nla_client(scene, PasswordCredentials("bob", "bob's", domain="LAB"))
        assert "no target is meant for this user" in str((await scene.until(Refused)).error)

    run(work, Scene(tmp_path, "winbind = true", members(), server=Server("nla")))


def test_a_wrong_password_of_a_domain_user_is_refused(tmp_path: Path, domain: Domain) -> None:
    async def work(scene: Scene) -> None:
        with pytest.raises(credssp.PeerRefusedError) as refused:
            await nla_client(scene, PasswordCredentials("alice", "wrong", domain="LAB"))
        assert refused.value.ntstatus == NTStatus.STATUS_LOGON_FAILURE
        assert domain.asked
        assert not scene.of(Connected)

    run(work, Scene(tmp_path, "winbind = true", members(), server=Server("nla")))


def test_accounts_of_the_gateway_are_in_no_group_of_the_domain(tmp_path: Path, domain: Domain) -> None:
    domain.edit = lambda answer: credssp.authority.LogonRefusal(NTStatus.STATUS_NO_SUCH_USER, authoritative=False)

    async def work(scene: Scene) -> None:
        with pytest.raises(AuthorizationDeniedError):
            await nla_client(scene, DOMAIN_USER)
        assert "no target is meant for this user" in str((await scene.until(Refused)).error)

    run(work, Scene(tmp_path, f"winbind = true\n{NLA}", members(), server=Server("nla")))


def test_a_group_that_the_domain_does_not_know_is_refused_at_the_start(tmp_path: Path, domain: Domain) -> None:
    async def work(scene: Scene) -> None:
        raise AssertionError("it started")

    with pytest.raises(credssp.LocalProtocolError, match="target office: users: winbindd does not find the group"):
        run(work, Scene(tmp_path, "winbind = true", members("LAB\\\\Others"), server=Server("nla")))


def test_after_such_a_reload_the_old_rules_stay(tmp_path: Path, domain: Domain) -> None:
    async def work(scene: Scene) -> None:
        assert scene.gateway is not None
        file = tmp_path / "gateway.toml"
        text = file.read_text()
        file.write_text(text.replace("RDP Users", "Others"))
        with pytest.raises(credssp.LocalProtocolError, match="winbindd does not find the group"):
            await scene.gateway.reload(read_settings(file))
        session = await nla_client(scene, DOMAIN_USER)
        await session_of(session, requested=ALL)
        file.write_text(text.replace("LAB\\\\RDP Users", GROUPS[0] + "0"))
        await scene.gateway.reload(read_settings(file))
        with pytest.raises(AuthorizationDeniedError):
            await nla_client(scene, DOMAIN_USER)

    run(work, Scene(tmp_path, "winbind = true", members(), server=Server("nla")))


# Unix-domain sockets


def test_clients_of_a_unix_socket_have_no_address_and_are_served(tmp_path: Path) -> None:
    path = str(tmp_path / "s")

    async def connect(**options: Any) -> Any:
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)  # as socket has it
        await asyncio.get_running_loop().sock_connect(sock, path)
        return await rdp.open_connection("gateway", 3389, mechanism="ntlm", sock=sock, **options)

    async def work(scene: Scene) -> None:
        events: list[Any] = []
        addresses: set[Any] = set()

        def on_event(client: Any, event: Any) -> None:
            events.append(event)
            addresses.add(client.address)

        gateway = Gateway(read_settings(tmp_path / "gateway.toml"), on_event=on_event)
        with listening_on(path, mode=0o600) as listener:
            await gateway.start(None, 0, sock=listener)
            for _ in range(3):  # more wrong passwords than a source may have: nobody else waits for that
                with pytest.raises(credssp.PeerRefusedError):
                    await connect(credentials=PasswordCredentials("nosuch", "wrong", domain="LAB"))
            session = await connect(credentials=DOMAIN_USER)
            session.write(as_selected(session))
            await session.readexactly(100)
            assert [place.hold for place in gateway.half_open] == []
            session.close()
            await session.wait_closed()
            await gateway.close()
        assert addresses == {("", 0)}
        assert any(isinstance(event, Connected) for event in events)

    limits = "[limits]\nsource_failures = 1\nsource_delay = 60\nconnections_per_source = 1\n"
    listen = f"{NLA}\n"
    run(work, Scene(tmp_path, listen, PINNED + 'mechanism = "ntlm"', server=Server("nla"), limits=limits))
