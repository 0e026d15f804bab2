"""SSPI for Python: the loop, ``with``, defaults of arguments, and statuses that are returned."""

from __future__ import annotations

import asyncio
import copy
import pickle
import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest

import credssp
import credssp.sspi as sspi
from credssp.sspi import SecurityStatus, returning
from tests.sspi.certificates import root, server_leaf
from tests.sspi.pair import ACCOUNTS, ASC, IDENTITY, ISC, TARGET, credential, lsa
from tests.sspi.test_inner_packages import pair_of, refused

S = SecurityStatus
AUTHORITY = lsa()


def exchanges(package: str, identity: Any = IDENTITY, **client: Any) -> tuple[sspi.ClientExchange, sspi.ServerExchange]:
    """Both sides, not yet begun."""
    tls = package == "CREDSSP"
    inbound = sspi.CredsspCred(schannel_cred=sspi.SchannelCred(certificates=(server_leaf(),))) if tls else None
    outbound = sspi.CredsspCred(schannel_cred=sspi.SchannelCred(root_store=root().pem), spnego_cred=identity)
    own = credential(AUTHORITY, outbound if tls else identity, package=package)
    theirs = credential(AUTHORITY, inbound, package=package, use=sspi.SECPKG_CRED_INBOUND)
    return (
        sspi.ClientExchange(own, TARGET, authority=AUTHORITY, **client),
        sspi.ServerExchange(theirs, authority=AUTHORITY),
    )


def talk(client: sspi.ClientExchange, server: sspi.ServerExchange, size: int) -> None:
    """Carry all bytes over in pieces."""
    to_server, to_client = client.start(), server.start()
    for _ in range(1000):
        if not to_server and not to_client:
            return
        if to_server:
            piece, to_server = to_server[:size], to_server[size:]
            to_client += server.receive(piece)
        elif to_client:
            piece, to_client = to_client[:size], to_client[size:]
            to_server += client.receive(piece)


@pytest.mark.parametrize("package", ["NTLM", "Negotiate", "CREDSSP"])
def test_exchange_leads_to_two_contexts(package: str) -> None:
    client, server = exchanges(package)
    talk(client, server, 1 << 20)
    assert client.complete
    assert server.complete
    assert client.attributes & sspi.ISC_RET_CONFIDENTIALITY
    assert server.rest == b""
    assert AUTHORITY.query_context_attributes(server.context, sspi.SECPKG_ATTR_NAMES).user_name == "LAB\\alice"


@pytest.mark.parametrize("size", [1, 7, 1500])
def test_exchange_of_a_stream_takes_pieces_of_any_size(size: int) -> None:
    client, server = exchanges("CREDSSP")
    to_server, to_client = client.start(), b""
    while not (client.complete and server.complete):
        for index in range(0, len(to_server), size):
            to_client += server.receive(to_server[index : index + size])
        to_server = b""
        for index in range(0, len(to_client), size):
            to_server += client.receive(to_client[index : index + size])
        to_client = b""
    assert AUTHORITY.query_context_attributes(server.context, sspi.SECPKG_ATTR_STREAM_SIZES).header == 5


def test_bytes_after_the_exchange_are_kept() -> None:
    client, server = exchanges("CREDSSP")
    to_server = client.start()
    while not client.complete:
        to_server = client.receive(server.receive(to_server))
    assert server.receive(to_server + b"\x17\x03\x03") == b""
    assert server.complete
    assert server.rest == b"\x17\x03\x03"


def test_exchange_that_is_over_takes_nothing() -> None:
    client, server = exchanges("NTLM")
    talk(client, server, 1 << 20)
    for call in (client.start, lambda: client.receive(b"x"), lambda: server.receive(b"x")):
        with pytest.raises(credssp.LocalProtocolError):
            call()


def test_failure_deletes_the_context_and_has_the_token_for_the_peer() -> None:
    client, server = exchanges("CREDSSP", sspi.SecWinntAuthIdentity("alice", "LAB", "wrong"))
    to_server = client.start()
    contexts = len(AUTHORITY._contexts)
    with pytest.raises(sspi.SSPIError) as caught:
        for _ in range(9):
            to_server = client.receive(server.receive(to_server))
    assert caught.value.status is S.SEC_E_LOGON_DENIED
    assert len(AUTHORITY._contexts) < contexts + 1
    assert not server.context.is_valid
    with pytest.raises(sspi.SSPIError) as heard:
        client.receive(caught.value.token)
    assert heard.value.status is S.SEC_E_LOGON_DENIED
    assert not client.context.is_valid


class Pipe:
    """Two queues: what one side sends the other receives; b"" is the end."""

    def __init__(self) -> None:
        self.queues: tuple[queue.Queue[bytes], queue.Queue[bytes]] = (queue.Queue(), queue.Queue())

    def end(self, side: int) -> tuple[Callable[[bytes], None], Callable[[], bytes]]:
        return self.queues[side].put, lambda: self.queues[1 - side].get(timeout=60)


@pytest.mark.parametrize("package", ["NTLM", "Negotiate", "CREDSSP"])
def test_drive_runs_over_any_pair_of_functions(package: str) -> None:
    client, server = exchanges(package)
    pipe = Pipe()
    thread = threading.Thread(target=sspi.drive, args=(server, *pipe.end(1)))
    thread.start()
    with sspi.drive(client, *pipe.end(0)) as done:
        assert done.complete
        thread.join(60)
        assert server.complete
        name = AUTHORITY.query_context_attributes(server.context, sspi.SECPKG_ATTR_NAMES).user_name
        assert name == "LAB\\alice"
    assert not client.context.is_valid
    server.close()


def test_drive_tells_the_peer_of_a_failure_and_raises_it() -> None:
    client, server = exchanges("CREDSSP", sspi.SecWinntAuthIdentity("alice", "LAB", "wrong"))
    pipe = Pipe()
    failures: list[SecurityStatus] = []

    def serve() -> None:
        with pytest.raises(sspi.SSPIError) as caught:
            sspi.drive(server, *pipe.end(1))
        failures.append(caught.value.status)

    thread = threading.Thread(target=serve)
    thread.start()
    with pytest.raises(sspi.SSPIError) as heard:
        sspi.drive(client, *pipe.end(0))
    thread.join(60)
    assert [heard.value.status, *failures] == [S.SEC_E_LOGON_DENIED] * 2


def test_drive_says_that_the_peer_closed_and_deletes_the_context() -> None:
    client, _ = exchanges("NTLM")
    contexts = len(AUTHORITY._contexts)
    sent: list[bytes] = []
    with pytest.raises(credssp.PeerClosedError, match="closed the connection"):
        sspi.drive(client, sent.append, lambda: b"")
    assert len(sent) == 1
    assert len(AUTHORITY._contexts) == contexts


def test_drive_deletes_the_context_where_the_connection_fails() -> None:
    client, _ = exchanges("NTLM")

    def broken(_: bytes) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        sspi.drive(client, broken, lambda: b"")
    assert not client.context.is_valid


def test_drive_async_runs_over_coroutine_functions() -> None:
    async def both() -> tuple[bool, bool]:
        client, server = exchanges("Negotiate")
        up: asyncio.Queue[bytes] = asyncio.Queue()
        down: asyncio.Queue[bytes] = asyncio.Queue()
        done = await asyncio.wait_for(
            asyncio.gather(sspi.drive_async(client, up.put, down.get), sspi.drive_async(server, down.put, up.get)), 60
        )
        return done[0].complete, done[1].complete

    assert asyncio.run(both()) == (True, True)


def test_with_frees_what_a_handle_stands_for() -> None:
    authority = lsa()
    with credential(authority, IDENTITY, package="NTLM") as handle:
        result = authority.initialize_security_context(handle, target_name=TARGET)
        with result.context:
            assert len(authority._contexts) == 1
        assert len(authority._contexts) == 0
    assert refused(authority.query_credentials_attributes, handle, 1).status is S.SEC_E_INVALID_HANDLE
    with sspi.CredHandle() as never_filled, sspi.CtxtHandle():
        assert not never_filled.is_valid
    with credential(authority, IDENTITY, package="NTLM") as freed:
        authority.free_credentials_handle(freed)


def test_with_frees_after_an_exception_too() -> None:
    authority = lsa()
    with pytest.raises(KeyError), credential(authority, IDENTITY, package="NTLM"):
        raise KeyError
    assert len(authority._credentials) == 0


def test_copy_of_a_handle_is_its_numbers() -> None:
    handle = credential(lsa(), IDENTITY, package="NTLM")
    for again in (copy.copy(handle), copy.deepcopy(handle), pickle.loads(pickle.dumps(handle))):  # noqa: S301
        assert again == handle
        with again:
            pass
    assert handle.is_valid


def test_arguments_have_defaults_and_results_hold_what_was_made() -> None:
    authority = lsa()
    acquired = authority.acquire_credentials_handle(package="NTLM", auth_data=IDENTITY)
    assert (acquired.status, acquired.credential.is_valid) == (S.SEC_E_OK, True)
    inbound = authority.acquire_credentials_handle(package="NTLM", credential_use=sspi.SECPKG_CRED_INBOUND)
    mine = authority.initialize_security_context(acquired.credential, target_name=TARGET)
    theirs = authority.accept_security_context(inbound.credential, input=token(mine.token))
    mine = authority.initialize_security_context(context=mine.context, input=token(theirs.token))
    theirs = authority.accept_security_context(context=theirs.context, input=token(mine.token))
    assert (mine.status, theirs.status) == (S.SEC_E_OK, S.SEC_E_OK)
    message = pair_of(16, b"signed")
    assert authority.make_signature(mine.context, 0, message) is S.SEC_E_OK
    assert authority.verify_signature(theirs.context, message) == sspi.DecryptResult(S.SEC_E_OK, 0)
    assert authority.encrypt_message(mine.context, 0, message) is S.SEC_E_OK
    assert authority.decrypt_message(theirs.context, message) == sspi.DecryptResult(S.SEC_E_OK, 0)


def token(data: bytes) -> sspi.SecBufferDesc:
    return sspi.SecBufferDesc([sspi.SecBuffer(sspi.SECBUFFER_TOKEN, data)])


def test_first_call_that_needs_more_returns_a_handle_that_is_still_invalid() -> None:
    authority = lsa()
    inbound = credential(authority, sspi.CredsspCred(), use=sspi.SECPKG_CRED_INBOUND)
    given = sspi.SecBufferDesc([sspi.SecBuffer(sspi.SECBUFFER_TOKEN, b"\x16\x03\x01"), sspi.SecBuffer()])
    result = authority.accept_security_context(inbound, input=given, context_req=ASC)
    assert (result.status, result.context.is_valid, result.token) == (S.SEC_E_INCOMPLETE_MESSAGE, False, b"")


def test_explicit_none_is_still_a_null_pointer() -> None:
    authority = lsa()
    outbound = credential(authority, IDENTITY, package="NTLM")
    error = refused(lambda: authority.initialize_security_context(outbound, new_context=None))
    assert error.parameter == "phNewContext"


def test_returning_functions_return_what_the_others_raise() -> None:
    sspi.configure(accounts=ACCOUNTS)
    try:
        missing = returning.acquire_credentials_handle(package="Digest")
        assert (missing.status, missing.value) == (S.SEC_E_SECPKG_NOT_FOUND, None)
        assert isinstance(missing.error, sspi.SSPIError)
        acquired = returning.acquire_credentials_handle(
            auth_data=sspi.CredsspCred(schannel_cred=sspi.SchannelCred(root_store=root().pem), spnego_cred=IDENTITY)
        )
        assert acquired.status is S.SEC_E_OK
        assert acquired.value is not None
        with acquired.value.credential as handle:
            first = returning.initialize_security_context(handle, target_name=TARGET, context_req=ISC)
            assert (first.status, first.error) == (S.SEC_I_CONTINUE_NEEDED, None)
            assert first.value is not None
            given = sspi.SecBufferDesc([sspi.SecBuffer(sspi.SECBUFFER_TOKEN, b"no TLS"), sspi.SecBuffer()])
            second = returning.initialize_security_context(context=first.value.context, input=given, context_req=ISC)
            assert second.status is S.SEC_E_INVALID_TOKEN
            third = returning.query_context_attributes(first.value.context, sspi.SECPKG_ATTR_NAMES)
            assert third.status is S.SEC_E_INVALID_HANDLE
            assert returning.delete_security_context(first.value.context) == (S.SEC_E_OK, S.SEC_E_OK, None)
    finally:
        sspi.configure()


def test_every_function_has_its_returning_variant() -> None:
    from credssp.sspi import api, auth_identity

    own = {"configure", "local_security_authority", "package_problems"}
    functions = {name for name in auth_identity.__all__ if name.startswith("sspi_")} | set(api.__all__)
    functions -= own
    assert functions - set(returning.__all__) == set()
    for name in functions:
        assert getattr(returning, name).__doc__ == getattr(sspi, name).__doc__
