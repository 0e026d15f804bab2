"""Whoever asks for it by default, nobody resumes a TLS session with our server ([MS-CSSP] 3.1.5 step 1)."""

from __future__ import annotations

from typing import Literal

import pytest

from credssp.errors import TLSError
from credssp.tls.certificate import process_certificate
from credssp.tls.channel import TLSChannel, TLSSession
from credssp.tls.settings import ClientTLS, ServerTLS, client_context, server_context, sessionless_context


def connect(
    client_tls: ClientTLS, server_tls: ServerTLS, session: TLSSession | None = None
) -> tuple[TLSChannel, TLSChannel]:
    client = TLSChannel(client_context(client_tls), server_side=False, server_hostname="host", session=session)
    server = TLSChannel(
        server_context(server_tls, process_certificate()),
        server_side=True,
        without_sessions=sessionless_context(server_tls),
    )
    for _ in range(4):
        client.handshake()
        server.receive(client.data_to_send())
        server.handshake()
        client.receive(server.data_to_send())
    server.write(b"tickets are read with data")
    client.receive(server.data_to_send())
    assert client.read() == b"tickets are read with data"
    return client, server


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize(
    ("server_tls", "resumed"),
    [(ServerTLS(), False), (ServerTLS(tickets=True), False), (ServerTLS(resumption=True), True)],
    ids=["default", "tickets for nobody", "resumption"],
)
def test_a_session_is_resumed_only_where_the_server_wants_that(
    version: Literal["1.2", "1.3"], server_tls: ServerTLS, resumed: bool
) -> None:
    client_tls = ClientTLS(minimum=version, maximum=version, resumption=True)
    # Both ends of the first connection stay open: OpenSSL forgets the session of one that ends without a goodbye.
    first, first_server = connect(client_tls, server_tls)
    second, second_server = connect(client_tls, server_tls, first.session)
    assert second.session_reused is resumed
    assert second_server.session_reused is resumed
    assert not first_server.session_reused
    assert second.peer_certificate == process_certificate().der


def test_tickets_are_sent_where_they_are_wanted_although_nobody_can_use_them() -> None:
    client_tls = ClientTLS(minimum="1.3", resumption=True)
    with_tickets, _server = connect(client_tls, ServerTLS(tickets=True))
    without, _other = connect(client_tls, ServerTLS())
    assert with_tickets.session is not None
    assert without.session is None


def test_after_a_retry_request_a_resumption_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It can't be undone then, since our first answer is on its way; made up here, since no client of ours does it."""
    server_tls = ServerTLS(tickets=True)
    monkeypatch.setattr(TLSChannel, "_refuse_resumption", lambda channel: None)
    client_tls = ClientTLS(minimum="1.3", resumption=True)
    first, _server = connect(client_tls, server_tls)
    with pytest.raises(TLSError, match="resumed"):
        connect(client_tls, server_tls, first.session)


def test_a_server_does_not_keep_a_session_of_every_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("credssp.tls.settings._LOGINS", 10)
    settings, certificate = ServerTLS(maximum="1.2", ciphers="ECDHE+AESGCM"), process_certificate()
    contexts = [server_context(settings, certificate) for _ in range(25)]
    assert [contexts.index(context) for context in contexts] == [0] * 10 + [10] * 10 + [20] * 5


def test_a_server_that_lets_clients_resume_keeps_its_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("credssp.tls.settings._LOGINS", 2)
    settings = ServerTLS(resumption=True, ciphers="ECDHE+AESGCM")
    assert len({id(server_context(settings, process_certificate())) for _ in range(9)}) == 1
