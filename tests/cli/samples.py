"""Messages to decode: those of one real exchange per mechanism, and one TSCredentials of each kind."""

from __future__ import annotations

import functools

from credssp import ClientContext, MemoryAccounts, PasswordCredentials, ServerContext, generate_certificate
from credssp.engine.events import Direction
from credssp.mechanism_name import MechanismChoice
from credssp.wire.ts_request import TSRequest

PASSWORD = "correct horse"
CERTIFICATE = generate_certificate("p256", common_name="tests")


@functools.cache
def exchange(mechanism: MechanismChoice) -> tuple[bytes, ...]:
    """Return the TSRequests of a login, in order."""
    messages: list[bytes] = []

    def observe(direction: Direction, message: TSRequest, data: bytes) -> None:
        if direction is Direction.SENT:
            messages.append(data)

    client = ClientContext(
        PasswordCredentials("alice", PASSWORD, domain="LAB"),
        target_name="TERMSRV/srv.lab.test",
        mechanism=mechanism,
        observer=observe,
    )
    server = ServerContext(
        accounts=MemoryAccounts({("LAB", "alice"): PASSWORD}), certificate=CERTIFICATE, observer=observe
    )
    token = client.step().token
    while not server.complete:
        token = client.step(server.step(token).token).token
    return tuple(messages)
