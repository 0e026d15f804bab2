"""What the context does for WinRM: a policy target of its own, and one token for each leg."""

from __future__ import annotations

from typing import Literal

import pytest

from credssp import ClientContext, MemoryAccounts, PasswordCredentials, PolicyError, ServerContext
from credssp.policy import DelegationPolicy
from credssp.tls.settings import ClientTLS, ServerTLS

ACCOUNTS = MemoryAccounts({("LAB", "alice"): "secret"})
ALICE = PasswordCredentials("alice", "secret", domain="LAB")


def log_on(client: ClientContext) -> list[bytes]:
    """Return the client's tokens; each is answered by exactly one of the server."""
    server = ServerContext(accounts=ACCOUNTS, tls=ServerTLS(resumption=True))
    sent = [client.step().token]
    while not client.complete:
        sent.append(client.step(server.step(sent[-1]).token).token)
    server.step(sent[-1])
    assert server.delegated_credentials == ALICE
    return sent


@pytest.mark.parametrize(("tls", "legs"), [("1.2", 5), ("1.3", 5)])
def test_handshake_and_messages_travel_in_tokens_of_their_own(tls: Literal["1.2", "1.3"], legs: int) -> None:
    settings = ClientTLS(minimum=tls, maximum=tls)
    assert len(log_on(ClientContext(ALICE, target_name="HTTP/srv", carrier="tokens", tls=settings))) == legs


def test_on_a_stream_the_first_message_follows_the_handshake_at_once() -> None:
    settings = ClientTLS(minimum="1.3")
    assert len(log_on(ClientContext(ALICE, target_name="TERMSRV/srv", tls=settings))) == 4


def test_policy_is_asked_about_the_policy_target() -> None:
    policy = DelegationPolicy.for_target("WSMAN/srv")
    log_on(ClientContext(ALICE, target_name="HTTP/srv", policy_target="WSMAN/srv", policy=policy))


def test_policy_target_is_the_target_name_by_default() -> None:
    with pytest.raises(PolicyError) as caught:
        log_on(ClientContext(ALICE, target_name="HTTP/srv", policy=DelegationPolicy.for_target("WSMAN/srv")))
    assert caught.value.spn == "HTTP/srv"


def test_default_policy_covers_the_policy_target() -> None:
    log_on(ClientContext(ALICE, target_name="HTTP/srv", policy_target="WSMAN/srv"))
