"""A mechanism that does what a test says, so that the engine can be tested alone."""

from __future__ import annotations

from credssp.authority import LogonAnswer, LogonQuestion, LogonRefusal
from credssp.errors import AuthenticationError, CredSSPError, RemoteProtocolError
from credssp.identity import Identity
from credssp.mechanism_name import MechanismName, WireForm
from credssp.server_authentication import ServerAuthentication


class ScriptedMechanism:
    """Exchanges the tokens it is given; "protects" data by a visible prefix per direction.

    Args:
        sends: tokens to send, one per step; None for "no token".
        wraps_after: number of steps after which `can_wrap` holds.
        completes_after: number of steps after which `complete` holds; by default the same.
    """

    name: MechanismName = "ntlm"
    wire_form: WireForm = "ntlm"
    session_key = bytes(16)

    def __init__(
        self,
        sends: list[bytes | None],
        *,
        wraps_after: int,
        completes_after: int | None = None,
        server: bool,
        fails_at: int | None = None,
        error: CredSSPError | None = None,
        authentication: ServerAuthentication = ServerAuthentication.NTLM,
    ) -> None:
        self.sends = sends
        self.received: list[bytes | None] = []
        self.finished = False
        self._wraps_after = wraps_after
        self._completes_after = wraps_after if completes_after is None else completes_after
        self._own, self._peer = (b"S:", b"C:") if server else (b"C:", b"S:")
        self._fails_at = fails_at
        self._error = error or AuthenticationError("no")
        self._authentication = authentication
        self.identity = Identity(username="alice", domain="LAB", mechanism="ntlm") if server else None
        self.question: LogonQuestion | None = None

    @property
    def can_wrap(self) -> bool:
        return len(self.received) >= self._wraps_after

    @property
    def complete(self) -> bool:
        return self.finished or len(self.received) >= self._completes_after

    @property
    def server_authentication(self) -> ServerAuthentication:
        return self._authentication if self.can_wrap else ServerAuthentication.NONE

    def step(self, token: bytes | None) -> bytes | None:
        if self._fails_at == len(self.received):
            raise self._error
        self.received.append(token)
        return self.sends[len(self.received) - 1] if len(self.received) <= len(self.sends) else None

    def resume(self, answer: LogonAnswer) -> bytes | None:
        self.question = None
        if isinstance(answer, LogonRefusal):
            raise AuthenticationError("no", ntstatus=answer.ntstatus)
        return None

    def finish(self) -> None:
        self.finished = True

    def wrap(self, data: bytes) -> bytes:
        return self._own + data

    def unwrap(self, data: bytes) -> bytes:
        if not data.startswith(self._peer):
            raise RemoteProtocolError("the signature does not verify")
        return data[len(self._peer) :]


def client_mechanism(**more: object) -> ScriptedMechanism:
    """NTLM's shape: two tokens of the client, one of the server."""
    return ScriptedMechanism([b"negotiate", b"authenticate"], wraps_after=2, server=False, **more)  # type: ignore[arg-type]


def server_mechanism(**more: object) -> ScriptedMechanism:
    """NTLM's shape: one token of the server."""
    return ScriptedMechanism([b"challenge", None], wraps_after=2, server=True, **more)  # type: ignore[arg-type]
