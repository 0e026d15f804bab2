"""The gateway with Kerberos in front: the password that comes with a ticket logs the user on at the server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from credssp import PasswordCredentials, rdp
from credssp.drivers.rdp_service import Delegated
from credssp.gateway.events import Connected
from credssp.rdp import Protocol
from tests.gateway.test_gateway import PINNED, Scene, Server, run, session_of
from tests.interop import freerdp, x11
from tests.kdc import REALM, Realm
from tests.peers import require_module, require_program

pytestmark = pytest.mark.interop

PASSWORD = freerdp.PASSWORD
SERVICES = ("TERMSRV/localhost", "HOST/localhost")
ALL = Protocol.SSL | Protocol.HYBRID | Protocol.HYBRID_EX


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Realm]:
    require_module("gssapi", extra="kerberos")
    require_module("krb5", extra="kerberos")
    with Realm(tmp_path_factory.mktemp("realm")) as running:
        running.add("alice", password=PASSWORD)
        for service in SERVICES:
            running.add(service)
        yield running


@pytest.fixture
def scene(realm: Realm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    for name, value in realm.environment.items():
        monkeypatch.setenv(name, value)
    keytab = realm.keytab("server.keytab", *SERVICES)
    keytab.chmod(0o600)
    return Scene(tmp_path, f'keytab = "{keytab}"', f'security = "tls"\n{PINNED}', server=Server("tls"))


def test_the_delegated_password_of_a_kerberos_user_reaches_the_server(scene: Scene) -> None:
    async def work(scene: Scene) -> None:
        alice = PasswordCredentials("alice", PASSWORD, domain=REALM)
        session = await rdp.open_connection("localhost", scene.port, credentials=alice, mechanism="kerberos")
        await session_of(session, requested=ALL)

    run(work, scene)
    info = scene.server.info
    assert info is not None
    assert (info.domain, info.username, info.password.reveal()) == (REALM, "alice", PASSWORD)
    assert scene.of(Delegated)[0].identity.mechanism == "kerberos"


@pytest.mark.parametrize("security", ["nla", "ext"])
def test_freerdp_with_kerberos_is_logged_on_at_the_server(scene: Scene, realm: Realm, security: str) -> None:
    async def work(scene: Scene) -> None:
        command = [require_program("xfreerdp3"), "+auth-only", f"/v:localhost:{scene.port}", "/u:alice", f"/d:{REALM}"]
        command += [f"/p:{PASSWORD}", "/cert:ignore", f"/sec:{security}", "/auth-pkg-list:kerberos,!ntlm"]
        own = {"LC_ALL": "C.UTF-8", "HOME": str(realm.folder)}
        await asyncio.to_thread(x11.run, command, environment=realm.environment | own)
        connected = await scene.until(Connected)
        assert (connected.user, connected.certificate) == (f"{REALM}\\alice", "pinned")
        assert scene.of(Delegated)[0].identity.mechanism == "kerberos"

    run(work, scene)
