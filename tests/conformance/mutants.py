"""Peers that are wrong in one way each, made from ours: what the catalogue must notice.

A mutant takes our context and changes one method of its engine, the way a careless implementation would have it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from credssp import binding
from credssp.accounts import MemoryAccounts
from credssp.conformance.links import MemoryPeer
from credssp.conformance.memory import TEST_ACCOUNT, MemoryClientTarget, MemoryServerTarget
from credssp.conformance.scripted_server import certificate_of
from credssp.conformance.setup import Setup
from credssp.context import ClientContext, ServerContext
from credssp.credentials import PasswordCredentials
from credssp.engine.client import ClientEngine
from credssp.engine.events import CredentialsReceived, Event
from credssp.engine.server import ServerEngine
from credssp.engine.state import Step
from credssp.errors import CredSSPError
from credssp.policy import DelegationPolicy
from credssp.tls.settings import ServerTLS
from credssp.wire.der import write_explicit, write_octet_string, write_sequence
from credssp.wire.ts_request import TSRequest

TARGET = "TERMSRV/srv.lab.test"


class Peer:
    """A context whose engine is changed when it is there."""

    refusals: Sequence[type[BaseException]] = (CredSSPError,)
    ended = False

    def __init__(self, context: Any, engine_class: type | None, *, speaks_first: bool) -> None:
        self.context = context
        self.speaks_first = speaks_first
        if engine_class is not None:
            start = context._start

            def changed() -> Any:
                if isinstance(context, ServerContext):
                    engine = start()
                    engine.__class__ = engine_class
                    return engine
                # The client's first message leaves with the engine's birth: the class has to be in place before.
                from unittest import mock

                with mock.patch("credssp.context.client.ClientEngine", engine_class):
                    return start()

            context._start = changed

    @property
    def complete(self) -> bool:
        return bool(self.context.complete)

    def start(self) -> bytes:
        return bytes(self.context.step().token) if self.speaks_first else b""

    def step(self, data: bytes) -> bytes:
        return bytes(self.context.step(data).token)

    def eof(self) -> None:
        self.context.receive_eof()


def server(
    engine_class: type | None = None, *, peer: type[Peer] = Peer, tls: ServerTLS | None = None, **options: Any
) -> MemoryServerTarget:
    def make(setup: Setup) -> MemoryPeer:
        arguments: dict[str, Any] = {
            "accounts": MemoryAccounts({(TEST_ACCOUNT.domain, TEST_ACCOUNT.username): TEST_ACCOUNT.password}),
            "certificate": certificate_of(setup.key_type),
            "mechanisms": ("ntlm",),
            "min_version": setup.min_version,
            "tls": tls,
        }
        return peer(ServerContext(**(arguments | options)), engine_class, speaks_first=False)

    return MemoryServerTarget("mutant", make)


def client(engine_class: type | None = None, *, peer: type[Peer] = Peer, **options: Any) -> MemoryClientTarget:
    def make(setup: Setup) -> MemoryPeer:
        arguments: dict[str, Any] = {
            "target_name": TARGET,
            "mechanism": "negotiate" if setup.form == "spnego" else "ntlm",
            "min_version": setup.min_version,
            "policy": DelegationPolicy.deny_all() if setup.deny else None,
        }
        credentials = PasswordCredentials(TEST_ACCOUNT.username, TEST_ACCOUNT.password, domain=TEST_ACCOUNT.domain)
        return peer(ClientContext(credentials, **(arguments | options)), engine_class, speaks_first=True)

    return MemoryClientTarget("mutant", make)


# Servers


class NoVerification(ServerEngine):
    """Takes whatever the client's pubKeyAuth says."""

    def _bind(self, key: bytes, token: bytes | None, events: list[Event]) -> None:
        with contextlib.suppress(CredSSPError):
            self.mechanism.unwrap(key)
        self._advance(Step.CLIENT_KEY_VERIFIED)
        answer = self.mechanism.wrap(binding.server_value(self._effective, self._nonce, self._public_key))
        step = Step.SEND_NEGO_AND_KEY if token else Step.SEND_KEY
        self._send(
            step, TSRequest(self._own_version, nego_tokens=(token,) if token else None, pub_key_auth=answer), events
        )


class FormByNonce(ServerEngine):
    """Chooses the form by whether there is a nonce, and not by the version."""

    @property
    def _effective(self) -> int:
        return 6 if self._nonce else 4

    def _note_nonce(self, nonce: bytes | None) -> None:
        self._nonce = nonce if nonce is not None else self._nonce


class AnyNonce(ServerEngine):
    """Does not look at the size of the nonce."""

    def _note_nonce(self, nonce: bytes | None) -> None:
        self._nonce = nonce if nonce is not None else self._nonce


class AnyVersion(ServerEngine):
    """Takes every version, and lets it change."""

    def _note_version(self, version: int) -> None:
        self.peer_version = None
        with contextlib.suppress(CredSSPError):
            super()._note_version(version)


class Echo(ServerEngine):
    """Answers an error with the client's own message, edited."""

    _last = TSRequest(6)

    def _take(self, message: TSRequest, events: list[Event]) -> None:
        self._last = message
        super()._take(message, events)

    def _failure_message(self, error_code: int) -> bytes:
        last = self._last
        return TSRequest(
            6, nego_tokens=last.nego_tokens, pub_key_auth=last.pub_key_auth, error_code=error_code
        ).encode()


class FiveOctets(ServerEngine):
    """Writes errorCode as a number without a sign."""

    def _failure_message(self, error_code: int) -> bytes:
        number = b"\x02\x05\x00" + error_code.to_bytes(4, "big")
        return write_sequence(write_explicit(0, b"\x02\x01\x06"), write_explicit(4, number))


class Mute(ServerEngine):
    """Says nothing of an error."""

    def _failure_message(self, error_code: int) -> bytes:
        return b""


class SameHash(ServerEngine):
    """Answers with the client's hash."""

    def _bind(self, key: bytes, token: bytes | None, events: list[Event]) -> None:
        real = binding.server_value
        binding.server_value = binding.client_value  # type: ignore[assignment]
        try:
            super()._bind(key, token, events)
        finally:
            binding.server_value = real


class AnyCredentials(ServerEngine):
    """Does not look at what was delegated."""

    def _receive_auth_info(self, auth_info: bytes, events: list[Event]) -> None:
        self._advance(Step.CREDENTIALS_OPENED)
        events.append(CredentialsReceived(PasswordCredentials.empty()))

    def _message(self, data: bytes, events: list[Event]) -> None:
        if self._state.name == "EXPECT_CREDENTIALS":
            self._advance(Step.RECV_AUTH_INFO)
            self._receive_auth_info(b"", events)
            return
        super()._message(data, events)


class Version7(ServerEngine):
    """Says it has a version that does not exist."""

    def _send(self, step: Step, message: TSRequest, events: list[Event]) -> None:
        import dataclasses

        super()._send(step, dataclasses.replace(message, version=7), events)


class Restless(ServerEngine):
    """Says another version in every message."""

    def _send(self, step: Step, message: TSRequest, events: list[Event]) -> None:
        import dataclasses

        version = 6 if message.pub_key_auth is None else 5
        super()._send(step, dataclasses.replace(message, version=version), events)


class Hanging(Peer):
    """Swallows every error, and waits for more."""

    def step(self, data: bytes) -> bytes:
        try:
            return super().step(data)
        except CredSSPError:
            self.context = ServerContext()
            return b""


class Crashing(Peer):
    """Lets an exception of its inner life out."""

    def step(self, data: bytes) -> bytes:
        try:
            return super().step(data)
        except CredSSPError:
            raise IndexError("list index out of range") from None


class Slicing(Peer):
    """Sends a TSRequest in pieces."""

    def __init__(self, context: Any, engine_class: type | None, *, speaks_first: bool) -> None:
        super().__init__(context, engine_class, speaks_first=speaks_first)
        write = context._channel.write

        class Channel:
            def __getattr__(self, name: str) -> Any:
                return getattr(channel, name)

            def write(self, data: bytes) -> None:
                write(data[:10])
                write(data[10:])

        channel = context._channel
        context._channel = Channel()


class LongLengths(Peer):
    """Writes lengths that are not the shortest."""

    def __init__(self, context: Any, engine_class: type | None, *, speaks_first: bool) -> None:
        super().__init__(context, engine_class, speaks_first=speaks_first)
        channel = context._channel

        class Channel:
            def __getattr__(self, name: str) -> Any:
                return getattr(channel, name)

            def write(self, data: bytes) -> None:
                size = 2 if data[1] < 0x80 else 2 + (data[1] & 0x7F)
                channel.write(b"\x30\x83" + (len(data) - size).to_bytes(3, "big") + data[size:])

        context._channel = Channel()


# Clients


class Trusting(ClientEngine):
    """Does not look at the server's pubKeyAuth."""

    def _verify_server(self, received: bytes) -> None:
        pass

    def _decide(self) -> None:
        pass  # the policy would notice that nothing has authenticated the server


class Mirror(ClientEngine):
    """Takes its own octets back."""

    def _verify_server(self, received: bytes) -> None:
        if received != self._own_key_auth:
            super()._verify_server(received)

    def _decide(self) -> None:
        pass


class EitherForm(ClientEngine):
    """Takes the key plus 1 in every version, and its own hash, too."""

    def _verify_server(self, received: bytes) -> None:
        received = self._unwrap(received)
        wanted = [make(v, self._nonce, self._public_key) for v in (2, 6) for make in VALUES]
        assert received in wanted or len(received) == len(self._public_key)


VALUES: tuple[Callable[[int, bytes, bytes], bytes], ...] = (binding.server_value, binding.client_value)


class SameNonce(ClientEngine):
    """Always has the same nonce."""

    def _receive_nego(self, token: bytes, events: list[Event]) -> None:
        self._random = bytes
        super()._receive_nego(token, events)


class Deaf(ClientEngine):
    """Does not look at errorCode."""

    def _message(self, data: bytes, events: list[Event]) -> None:
        import dataclasses

        message = TSRequest.decode(data)
        super()._message(dataclasses.replace(message, error_code=None).encode(), events)


class Hasty(ClientEngine):
    """Sends the credentials together with pubKeyAuth."""

    def _send(self, step: Step, message: TSRequest, events: list[Event]) -> None:
        import dataclasses

        if message.pub_key_auth is not None:
            sealed = self.mechanism.wrap(self._credentials.to_wire().encode())
            message = dataclasses.replace(message, auth_info=sealed)
        super()._send(step, message, events)


class Terminated(ClientEngine):
    """Ends texts in U+0000."""

    def _finish(self, token: bytes | None, key: bytes, events: list[Event]) -> None:
        credentials = self._credentials
        assert isinstance(credentials, PasswordCredentials)
        self._credentials = PasswordCredentials(
            credentials.username + "\0", credentials.password.reveal() + "\0", domain=credentials.domain + "\0"
        )
        super()._finish(token, key, events)


class OldFriend(ClientEngine):
    """Has no lowest version, and lets the server's change."""

    def _note_version(self, version: int) -> None:
        self.peer_version = None
        with contextlib.suppress(CredSSPError):
            super()._note_version(version)


class Alone(ClientEngine):
    """Sends the last token alone."""

    def _send(self, step: Step, message: TSRequest, events: list[Event]) -> None:
        import dataclasses

        if step is Step.SEND_NEGO_AND_KEY:
            token = dataclasses.replace(message, pub_key_auth=None, client_nonce=None)
            from credssp.engine.events import Send

            events.append(Send(token.encode()))
            message = dataclasses.replace(message, nego_tokens=None)
        super()._send(step, message, events)


class ForeignNonce(ClientEngine):
    """Takes the server's nonce for its own."""

    def _note_nonce(self, nonce: bytes | None) -> None:
        self._nonce = nonce or self._nonce


class WholeCertificateKey(ClientEngine):
    """Binds to the BIT STRING with its first octet, as a careless reading of "SubjectPublicKey" has it."""

    def _receive_nego(self, token: bytes, events: list[Event]) -> None:
        key = self._public_key
        self._public_key = b"\0" + key
        super()._receive_nego(token, events)
        self._public_key = key


class SpareTuple(ClientEngine):
    """Sends two sets of credentials."""

    def _finish(self, token: bytes | None, key: bytes, events: list[Event]) -> None:
        real = self.mechanism.wrap
        mechanism: Any = self.mechanism
        mechanism.wrap = lambda data: real(write_sequence(data[4:] if data[1] >= 0x80 else data[2:], _extra()))
        try:
            super()._finish(token, key, events)
        finally:
            del mechanism.wrap


def _extra() -> bytes:
    return write_explicit(2, write_octet_string(b"more"))
