"""What is left of a login when it is over."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import random
import threading

import pytest

import credssp
from credssp.errors import CredSSPError, LocalProtocolError
from credssp.rdp import connect, open_connection, serve, start_server
from tests.threads.stress import ACCOUNTS, ALICE


def _received() -> int:
    return sum(
        isinstance(found, credssp.PasswordCredentials) and found is not ALICE and bool(found.password)
        for found in gc.get_objects()
    )


def test_delegated_credentials_go_with_their_connection_and_not_with_the_garbage_collector() -> None:
    async def main() -> int:
        async with await start_server(None, "127.0.0.1", 0, accounts=ACCOUNTS) as server:
            before = _received()
            for _ in range(5):
                await asyncio.to_thread(lambda: connect(*server.address, credentials=ALICE, mechanism="ntlm").close())
            await asyncio.sleep(0.1)
            return _received() - before

    gc.collect()
    gc.disable()
    try:
        assert asyncio.run(main()) == 0
    finally:
        gc.enable()


def test_a_server_forgets_what_was_delegated_when_the_handler_ends() -> None:
    endpoints = []
    with serve(lambda session: endpoints.append(session.endpoint), "127.0.0.1", 0, accounts=ACCOUNTS) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with connect(*server.address, credentials=ALICE, mechanism="ntlm") as session:
            session.recv()
    context = endpoints[0].context
    assert context is not None
    assert context.complete
    assert context.delegated_credentials is None
    assert context.identity is not None
    assert context.identity.account is None
    with pytest.raises(LocalProtocolError, match="forgotten"):
        context.login  # noqa: B018  # it raises


def test_a_cancelled_login_leaves_nothing_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with await start_server(None, "127.0.0.1", 0, accounts=ACCOUNTS) as server:
            for _ in range(200):
                login = asyncio.ensure_future(open_connection(*server.address, credentials=ALICE, mechanism="ntlm"))
                await asyncio.sleep(random.random() * 0.002)
                login.cancel()
                with contextlib.suppress(asyncio.CancelledError, CredSSPError):
                    (await login).close()
            await asyncio.sleep(0.1)
            gc.collect()

    with caplog.at_level(logging.ERROR):
        asyncio.run(main())
    assert [record.getMessage() for record in caplog.records] == []
