"""Peers that are wrong in one way each: what the catalogue must notice.

Most are scripts of a scripted peer (`tests.conformance.scripted`): a careful peer, but for a check that is left out or
a message that is another. The rest are our own contexts, set up or wrapped in another way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from credssp import binding
from credssp.accounts import MemoryAccounts
from credssp.conformance import mutate
from credssp.conformance.links import MemoryPeer
from credssp.conformance.memory import TARGET_NAME, TEST_ACCOUNT, MemoryClientTarget, MemoryServerTarget
from credssp.conformance.scripted_client import ScriptedClient
from credssp.conformance.scripted_server import ScriptedServer, certificate_of
from credssp.conformance.setup import Setup
from credssp.context import ClientContext, ServerContext
from credssp.errors import CredSSPError
from credssp.policy import DelegationPolicy
from credssp.secret import Secret
from credssp.tls.settings import ServerTLS
from credssp.wire.der import write_explicit, write_octet_string, write_sequence
from credssp.wire.ts_credentials import TSCredentials, TSPasswordCreds
from credssp.wire.ts_request import TSRequest
from tests.conformance import scripted
from tests.conformance.peers import ContextPeer

ACCOUNTS = MemoryAccounts({(TEST_ACCOUNT.domain, TEST_ACCOUNT.username): TEST_ACCOUNT.password})
CREDENTIALS = TEST_ACCOUNT.credentials
Make = Callable[[], Any]


# Our own contexts


class Hanging(ContextPeer):
    """Swallows every error, and waits for more."""

    def step(self, data: bytes) -> bytes:
        try:
            return super().step(data)
        except CredSSPError:
            self.context = ServerContext()
            return b""


class Crashing(ContextPeer):
    """Lets an exception of its inner life out."""

    def step(self, data: bytes) -> bytes:
        try:
            return super().step(data)
        except CredSSPError:
            raise IndexError("list index out of range") from None


def server(
    *, peer: type[ContextPeer] = ContextPeer, tls: ServerTLS | None = None, **options: Any
) -> MemoryServerTarget:
    def make(setup: Setup) -> MemoryPeer:
        arguments: dict[str, Any] = {
            "accounts": ACCOUNTS,
            "certificate": certificate_of(setup.key_type),
            "mechanisms": ("ntlm",),
            "min_version": setup.min_version,
            "tls": tls,
        }
        return peer(ServerContext(**(arguments | options)))

    return MemoryServerTarget("mutant", make)


def client(*, peer: type[ContextPeer] = ContextPeer, **options: Any) -> MemoryClientTarget:
    def make(setup: Setup) -> MemoryPeer:
        arguments: dict[str, Any] = {
            "target_name": TARGET_NAME,
            "mechanism": "negotiate" if setup.form == "spnego" else "ntlm",
            "min_version": setup.min_version,
            "policy": DelegationPolicy.deny_all() if setup.deny else None,
        }
        return peer(ClientContext(CREDENTIALS, **(arguments | options)))

    return MemoryClientTarget("mutant", make)


# What scripts are made of


def echo(message: TSRequest, _: int, status: int) -> bytes:
    """A refusal made by editing the client's message."""
    return TSRequest(6, nego_tokens=message.nego_tokens, pub_key_auth=message.pub_key_auth, error_code=status).encode()


def five_octets(_: TSRequest, __: int, status: int) -> bytes:
    """ErrorCode as a number without a sign."""
    return mutate.raw_error_code(TSRequest(6), b"\0" + status.to_bytes(4, "big"))


def mute(_: TSRequest, __: int, ___: int) -> bytes:
    """A close without a word."""
    return b""


def sliced(_: object, message: TSRequest) -> tuple[bytes, ...]:
    """A message in two TLS writes."""
    data = message.encode()
    return data[:10], data[10:]


def long_length(_: object, message: TSRequest) -> bytes:
    """A message whose outer length is not the shortest."""
    return mutate.long_outer_length(message, 3)


def no_verification() -> MemoryServerTarget:
    """A server that takes any pubKeyAuth."""
    return scripted.server("key")


def client_hash(peer: ScriptedServer) -> bytes:
    return binding.client_value(peer.effective, peer.nonce, peer.public_key)


def own_octets(peer: ScriptedClient, message: TSRequest) -> bool:
    return message.pub_key_auth == peer.own_key_auth


def either_form(peer: ScriptedClient, _: TSRequest) -> bool:
    values = (binding.server_value, binding.client_value)
    wanted = [value(version, peer.nonce, peer.public_key) for version in (2, 6) for value in values]
    return peer.server_key in wanted or len(peer.server_key or b"") == len(peer.public_key)


def over_zeros(peer: ScriptedClient, _: TSRequest) -> bool:
    return peer.server_key == binding.server_value(peer.effective, bytes(32), peer.public_key)


def over_the_servers_nonce(peer: ScriptedClient, message: TSRequest) -> bool:
    return peer.server_key == binding.server_value(6, message.client_nonce or b"", peer.public_key)


def with_credentials(peer: ScriptedClient, message: TSRequest) -> TSRequest:
    return mutate.replaced(message, auth_info=peer.wrap(CREDENTIALS.to_wire().encode()))


def other_key(peer: ScriptedClient) -> bytes:
    """The BIT STRING with its first byte, as a careless reading of "SubjectPublicKey" has it."""
    return binding.client_value(peer.effective, peer.nonce, b"\0" + peer.public_key)


def terminated() -> bytes:
    """Texts that end in U+0000."""
    return TSCredentials(TSPasswordCreds("LAB\0", "alice\0", Secret("secret\0"))).encode()


def two_sets() -> bytes:
    """TSCredentials with a third member."""
    data = CREDENTIALS.to_wire().encode()
    body = data[2 + (data[1] & 0x7F if data[1] & 0x80 else 0) :]
    return write_sequence(body, write_explicit(2, write_octet_string(b"more")))


SERVERS: list[tuple[str, Make, str]] = [
    ("takes any pubKeyAuth", no_verification, "PKA24-02 PKA24-10 PKA56-04 PKA56-17 PKA56-22 PKA56-23"),
    (
        "no nonce, old form",
        lambda: scripted.server("nonce", form=lambda peer: 6 if peer.nonce else 4),
        "PKA24-09 PKA24-10 PKA56-10",
    ),
    ("any size of nonce", lambda: scripted.server("nonce"), "PKA56-11"),
    ("any version", lambda: scripted.server("lowest version", "version changes"), "VER-09 VER-11 VER-13"),
    ("echoes in errors", lambda: scripted.server(refusal=echo), "ERR-04 ERR-16"),
    ("errorCode without a sign", lambda: scripted.server(refusal=five_octets), "ERR-05"),
    ("no errorCode", lambda: scripted.server(refusal=mute), "ERR-01 ERR-02"),
    (
        "answers with the client's hash",
        lambda: scripted.server(key_value=client_hash),
        "PKA56-03 PKA24-03 VER-03 VER-05 PKA56-13",
    ),
    (
        "takes any authInfo",
        lambda: scripted.server("credentials", "version changes"),
        "CRED-07 CRED-08 CRED-09 VER-13",
    ),
    ("version 7", lambda: scripted.server(version=7), "VER-01"),
    ("a version that changes", lambda: scripted.server(key_version=5), "VER-02"),
    (
        "waits after errors",
        lambda: server(peer=Hanging),
        "TSREQ-03 TSREQ-13 TSREQ-16 TSREQ-21 TSREQ-24 PKA56-04 ERR-17 TLS-06 CRED-07 ERR-03",
    ),
    (
        "crashes after errors",
        lambda: server(peer=Crashing),
        "TSREQ-03 TSREQ-13 TSREQ-16 TSREQ-21 PKA56-09 CRED-07 ERR-01 SPNEGO-03",
    ),
    ("messages in pieces", lambda: scripted.server(challenge=sliced, key=sliced), "TSREQ-18"),
    ("long lengths", lambda: scripted.server(challenge=long_length, key=long_length), "TSREQ-01"),
    ("resumes sessions", lambda: server(tls=ServerTLS(resumption=True)), "TLS-02"),
    ("TLS 1.2 only", lambda: server(tls=ServerTLS(maximum="1.2")), "TLS-03"),
    ("up to version 4", lambda: server(max_version=4), "VER-15"),
]

CLIENTS: list[tuple[str, Make, str]] = [
    (
        "does not verify the server",
        lambda: scripted.client("key"),
        "CRED-01 PKA24-04 PKA24-05 PKA24-06 PKA56-05 PKA56-06 PKA56-07 PKA56-08 PKA56-16 TLS-07",
    ),
    ("takes its own bytes back", lambda: scripted.client(accepts=own_octets), "PKA56-07"),
    ("takes either form", lambda: scripted.client(accepts=either_form), "PKA24-04 PKA24-05 PKA56-06 PKA56-16"),
    (
        "the same nonce",
        lambda: scripted.client(
            nonce=bytes(32), key_value=lambda peer: peer.client_value(nonce=bytes(32)), accepts=over_zeros
        ),
        "PKA56-01",
    ),
    (
        "deaf to errorCode",
        lambda: scripted.client(heard=lambda message: mutate.replaced(message, error_code=None)),
        "ERR-08",
    ),
    ("credentials with pubKeyAuth", lambda: scripted.client(key=with_credentials), "CRED-02 CRED-04"),
    ("texts with U+0000", lambda: scripted.client(credentials=terminated()), "CRED-03"),
    ("no lowest version", lambda: scripted.client("lowest version", "version changes"), "VER-10 VER-11 VER-14"),
    ("the last token alone", lambda: scripted.client(separate_key=True), "SPNEGO-09"),
    ("the server's nonce", lambda: scripted.client(accepts=over_the_servers_nonce), "PKA56-14"),
    ("binds to something else", lambda: scripted.client(key_value=other_key), "PKA24-01 PKA56-02 VER-03 VER-07"),
    ("more than one set of credentials", lambda: scripted.client(credentials=two_sets()), "CRED-19"),
    ("no policy", lambda: client(policy=None, delegate=True), "CRED-06"),
    ("crashes", lambda: client(peer=Crashing), "TSREQ-03 PKA56-05 ERR-06"),
    ("messages in pieces", lambda: scripted.client(first=sliced, key=sliced, auth=sliced), "TSREQ-18"),
    ("long lengths", lambda: scripted.client(first=long_length, key=long_length, auth=long_length), "TSREQ-01"),
]
