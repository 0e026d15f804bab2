"""The session cache with its five conditions, and re-authentication."""

from __future__ import annotations

from typing import Any

import pytest

import credssp
import credssp.sspi as sspi
from credssp.sspi import SecurityStatus, SSPIError
from credssp.sspi.packages.session_cache import SessionCache
from tests.sspi.pair import (
    ASC,
    CONTINUE,
    IDENTITY,
    INCOMPLETE,
    ISC,
    OK,
    TARGET,
    Pair,
    Side,
    client_credential,
    credential,
    lsa,
    make,
    server_credential,
)

S = SecurityStatus
HOUR = 3_600_000
versions = pytest.mark.parametrize(
    "protocols", [sspi.SP_PROT_TLS1_2_CLIENT, sspi.SP_PROT_TLS1_3_CLIENT], ids=["1.2", "1.3"]
)


class World:
    """One client credential and one server credential, connected again and again."""

    def __init__(self, protocols: int = 0, *, client: int = HOUR, server: int = HOUR) -> None:
        self.lsa = lsa()
        self.client = client_credential(self.lsa, session_lifespan=client, enabled_protocols=protocols)
        self.server = server_credential(self.lsa, session_lifespan=server)

    def connect(self, target: str = TARGET, client: sspi.CredHandle | None = None) -> Pair:
        return Pair(
            Side(self.lsa, client or self.client, ISC, target=target), Side(self.lsa, self.server, ASC, client=False)
        ).run()

    def resumed(self, **changes: Any) -> bool:
        both = self.connect(**changes)
        inner = self.lsa._contexts.get(both.client.context, "").context.inner
        # Whether resumed or not, both sides have verified that they see the same key.
        assert inner.mechanism == "ntlm"
        assert both.server.decrypt(both.client.encrypt(b"data")) == b"data"
        resumed: bool = inner.tls_resumed
        return resumed


@versions
def test_second_connection_resumes_where_both_ask_for_it(protocols: int) -> None:
    world = World(protocols)
    assert [world.resumed() for _ in range(3)] == [False, True, True]


@versions
def test_resumption_is_off_unless_asked_for(protocols: int) -> None:
    for off in (World(protocols, client=0), World(protocols, server=0), World(protocols, client=0, server=0)):
        assert [off.resumed() for _ in range(2)] == [False, False]


@versions
def test_binding_is_verified_on_a_resumed_connection(protocols: int) -> None:
    """A man in the middle of a resumed session: a server that binds to another key than the session's."""
    world = World(protocols)
    world.connect()
    both = Pair(Side(world.lsa, world.client, ISC), Side(world.lsa, world.server, ASC, client=False))
    token = both.client.leg()
    reply = both.server.leg(token)
    engine = world.lsa._contexts.get(both.server.context, "").context.inner
    (engine._prepared or engine._engine)._public_key = b"another key"
    with pytest.raises(SSPIError) as caught:
        while True:
            reply = both.server.leg(both.client.leg(reply))
    assert caught.value.status is S.SEC_E_MESSAGE_ALTERED


def test_condition_target() -> None:
    world = World()
    world.connect()
    assert not world.resumed(target="TERMSRV/other.lab.test")
    assert world.resumed(target=TARGET.upper())


def test_condition_expiry() -> None:
    now = [1000.0]
    cache = SessionCache(60, clock=lambda: now[0])
    assert cached(cache)
    now[0] += 60
    assert cache.get("t", logon_id=1, credential=1) is None
    assert len(cache) == 0


def test_condition_expiry_of_the_session_itself() -> None:
    cache = SessionCache(1e9, clock=lambda: 1000.0)
    cache.put("t", Session(expires=999), logon_id=1, credential=1)
    assert cache.get("t", logon_id=1, credential=1) is None


def test_condition_process() -> None:
    process = [1]
    cache = SessionCache(60, process=lambda: process[0])
    cache.put("t", Session(), logon_id=1, credential=1)
    process[0] = 2
    assert cache.get("t", logon_id=1, credential=1) is None
    process[0] = 1
    assert cache.get("t", logon_id=1, credential=1) is not None


def test_condition_logon_session() -> None:
    cache = SessionCache(60)
    cache.put("t", Session(), logon_id=1, credential=1)
    assert cache.get("t", logon_id=2, credential=1) is None
    assert cache.get("t", logon_id=1, credential=1) is not None


def test_condition_credential_handle() -> None:
    cache = SessionCache(60)
    cache.put("t", Session(), logon_id=1, credential=1)
    assert cache.get("t", logon_id=1, credential=2) is None
    world = World()
    world.connect()
    other = client_credential(world.lsa, session_lifespan=HOUR)
    assert not world.resumed(client=other)


def test_cache_is_bounded_and_goes_with_its_credential() -> None:
    cache = SessionCache(60)
    for number in range(300):
        cache.put(str(number), Session(), logon_id=1, credential=1)
    assert len(cache) == 256
    assert cache.get("0", logon_id=1, credential=1) is None
    cache.clear()
    assert len(cache) == 0
    SessionCache(0).put("t", Session(), logon_id=1, credential=1)
    cache.put("t", None, logon_id=1, credential=1)
    assert len(cache) == 0


class Session:
    def __init__(self, expires: float = 1e18) -> None:
        self.expires = expires


def cached(cache: SessionCache) -> bool:
    cache.put("t", Session(), logon_id=1, credential=1)  # type: ignore[arg-type]
    found = cache.get("t", logon_id=1, credential=1) is not None
    cache.put("t", Session(), logon_id=1, credential=1)  # type: ignore[arg-type]
    return found


def test_credential_of_another_logon_session_is_a_credential_of_its_own() -> None:
    authority = lsa()
    session = authority.support.create_logon_session()
    assert credential(authority, sspi.CredsspCred(spnego_cred=IDENTITY), logon_id=session).is_valid
    authority.support.delete_logon_session(session)
    for bad in (session, 5, "x"):
        with pytest.raises(SSPIError) as caught:
            credential(authority, sspi.CredsspCred(), logon_id=bad)  # type: ignore[arg-type]
        assert caught.value.status is S.SEC_E_NOT_OWNER


# Re-authentication


def test_calling_again_after_completion_authenticates_again_on_the_same_context() -> None:
    both = make().run()
    before = sspi.CtxtHandle(both.client.context.lower, both.client.context.upper)
    assert not both.client.attributes & sspi.ISC_RET_REAUTHENTICATION
    assert both.server.decrypt(both.client.encrypt(b"before")) == b"before"
    token = both.client.leg()
    assert both.client.status is CONTINUE
    assert both.client.attributes & sspi.ISC_RET_REAUTHENTICATION
    both.run(token)
    assert both.client.context == before
    assert both.client.attributes & sspi.ISC_RET_REAUTHENTICATION
    assert both.server.query(sspi.SECPKG_ATTR_NAMES).user_name == "LAB\\alice"
    assert both.server.query(sspi.SECPKG_ATTR_CREDS).auth_buffer_len
    assert both.server.decrypt(both.client.encrypt(b"after")) == b"after"
    both.run(both.client.leg())  # and a third time


def test_reauthentication_is_a_whole_exchange_that_can_fail() -> None:
    accounts = credssp.MemoryAccounts({("LAB", "alice"): "correct horse"})
    authority = lsa(accounts=accounts)
    both = make(authority=authority).run()
    accounts._index = credssp.MemoryAccounts({("LAB", "alice"): "changed"})._index
    token = both.client.leg()
    with pytest.raises(SSPIError) as caught:
        both.run(token)
    assert caught.value.status is S.SEC_E_LOGON_DENIED
    with pytest.raises(SSPIError) as caught:
        both.server.query(sspi.SECPKG_ATTR_NAMES)
    assert caught.value.status is S.SEC_E_INVALID_HANDLE


def test_messages_wait_while_a_context_authenticates_again() -> None:
    both = make().run()
    record = both.server.encrypt(b"x")
    both.client.leg()
    for call in (lambda: both.client.decrypt(record), lambda: both.client.query(sspi.SECPKG_ATTR_NAMES)):
        with pytest.raises(SSPIError) as caught:
            call()
        assert caught.value.status is S.SEC_E_INVALID_HANDLE


def test_client_begins_reauthentication_without_a_token_and_server_with_one() -> None:
    both = make().run()
    with pytest.raises(SSPIError, match="without a TOKEN") as caught:
        both.client.leg(b"\x17\x03\x03\x00\x01\x00")
    assert caught.value.parameter == "pInput"
    both.client.rest = b""
    both.server.leg(b"\x17\x03")
    assert both.server.status is INCOMPLETE
    both.server.rest = b""
    # Neither call changed anything.
    assert both.server.decrypt(both.client.encrypt(b"data")) == b"data"


def test_no_reauthentication_after_shutdown() -> None:
    both = make().run()
    token = sspi.SecBufferDesc([sspi.SecBuffer(sspi.SECBUFFER_TOKEN, (1).to_bytes(4, "little"))])
    both.client.authority.apply_control_token(both.client.context, token)
    assert both.client.leg()
    assert both.client.status is OK
    with pytest.raises(SSPIError, match="shut down") as caught:
        both.client.leg()
    assert caught.value.parameter == "phContext"
