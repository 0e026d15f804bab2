"""What the docstrings promise about threads."""

from __future__ import annotations

import threading

import pytest

import credssp
from credssp.errors import LocalProtocolError
from credssp.rdp import connect, serve
from tests.threads.process import stress
from tests.threads.stress import ACCOUNTS, ALICE


@pytest.mark.parametrize(
    "case",
    [
        ("accounts",),
        ("context", "1.2"),
        ("context", "1.3"),
        ("exchange",),
        ("sessions",),
        ("requests",),
        ("requests", "6", "1"),
        ("requests", "6", "1", "block"),
        ("requests", "6", "2", "block"),
        ("httpx",),
        ("httpx_async",),
    ],
    ids="-".join,
)
def test_threads_that_share_an_object_get_right_answers_only(case: tuple[str, ...]) -> None:
    if case[0].startswith(("requests", "httpx")):
        pytest.importorskip(case[0].partition("_")[0])
        pytest.importorskip("uvicorn")
    result = stress(case[0], 1.5, *case[1:])
    assert result.wrong == {}
    assert result.right > 0


def test_a_second_thread_that_moves_an_exchange_on_is_refused_by_name() -> None:
    entered, leave = threading.Event(), threading.Event()

    class Slow:
        def find(self, domain: str, username: str) -> tuple[credssp.Account, ...]:
            entered.set()
            leave.wait(10)
            return tuple(ACCOUNTS.find(domain, username))

    client = credssp.ClientContext(ALICE, target_name="TERMSRV/x", mechanism="ntlm")
    server = credssp.ServerContext(accounts=Slow())
    token, tokens = client.step().token, []
    while server.version is None:
        token = client.step(server.step(token).token).token
    thread = threading.Thread(target=lambda: tokens.append(server.step(token).token))
    thread.start()
    assert entered.wait(10)
    for call in (server.step, server.restart, server.receive_eof):
        with pytest.raises(LocalProtocolError, match=r"another thread is .* this ServerContext"):
            call()
    leave.set()
    thread.join()
    client.step(tokens[0])
    assert client.complete


def test_closing_a_session_wakes_the_thread_that_reads_it() -> None:
    with serve(lambda session: session.recv(), "127.0.0.1", 0, accounts=ACCOUNTS) as server:  # type: ignore[arg-type,return-value]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        session = connect(*server.address, credentials=ALICE, mechanism="ntlm")
        ended: list[object] = []

        def read() -> None:
            try:
                ended.append(session.recv())
            except OSError as error:
                ended.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        session.close()
        reader.join(10)
        assert not reader.is_alive()
