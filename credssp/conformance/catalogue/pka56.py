"""PKA56: the binding of versions 5 and 6: hashes over a nonce and the key ([MS-CSSP] 3.1.5 steps 3 to 5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from credssp import binding
from credssp.conformance import mutate
from credssp.conformance.catalogue._base import (
    BOTH,
    CATALOGUE,
    CLIENT,
    HASHED,
    MUST,
    ROBUSTNESS,
    SECURITY,
    SERVER,
    Try,
    in_versions,
    logins,
    serves,
    with_client_hashes,
    with_hashes,
)
from credssp.conformance.client_run import ClientRun
from credssp.conformance.observation import Observation
from credssp.conformance.rule import Outcome, Skipped, failed, passed
from credssp.conformance.run import ServerRun
from credssp.conformance.scripted_client import ScriptedClient
from credssp.conformance.scripted_server import ScriptedServer
from credssp.protocol_version import LOWEST_VERSION, has_hashed_binding
from credssp.wire.ts_request import TSRequest

SHORT: Final = (0, 8, 15, 16)
"""Bytes of a pubKeyAuth that is shorter than a signature, or only one."""

# fmt: off
CATALOGUE.declare(
    ("CSSP-PKA56-01", "a fresh nonce of 32 bytes", SECURITY, CLIENT, "2.2.1 clientNonce; 3.1.5 step 3",
     "two good logins", "32 bytes beside pubKeyAuth, and other ones the second time"),
    ("CSSP-PKA56-02", "the client's hash", MUST, CLIENT, "3.1.5 step 3", "a good login in versions 5 and 6",
     "SHA-256 over the client magic with its NUL, nonce and key"),
    ("CSSP-PKA56-03", "the server's hash", MUST, SERVER, "3.1.5 step 4", "a good login in versions 5 and 6",
     "SHA-256 over the server magic with its NUL, nonce and key"),
    ("CSSP-PKA56-04", "a wrong hash of the client", SECURITY, SERVER, "3.1.5 step 4",
     "versions 6 and 5; a hash over another nonce", "refused; no pubKeyAuth of the server"),
    ("CSSP-PKA56-05", "a wrong hash of the server", SECURITY, CLIENT, "3.1.5 step 5",
     "versions 6 and 5; one bit of the hash flipped", "no authInfo"),
    ("CSSP-PKA56-06", "the client's own hash comes back", SECURITY, CLIENT, "3.1.5 step 5",
     "the client's hash, encrypted with the server's keys", "no authInfo"),
    ("CSSP-PKA56-07", "the client's own pubKeyAuth comes back", SECURITY, CLIENT, "3.1.5 step 5",
     "the client's encrypted bytes, reflected", "no authInfo"),
    ("CSSP-PKA56-08", "a signature that does not verify", SECURITY, BOTH, "2.2.1 pubKeyAuth; [MS-NLMP] 3.4.2, 3.4.4",
     "one bit of the signature of pubKeyAuth flipped", "refused; the client sends no authInfo"),
    ("CSSP-PKA56-09", "a pubKeyAuth that is too short", ROBUSTNESS, BOTH, "2.2.1 pubKeyAuth",
     "pubKeyAuth of 0, 8, 15 and 16 bytes", "refused; no crash"),
    ("CSSP-PKA56-10", "version 6 without a nonce", SECURITY, SERVER, "3.1.5 step 4; 2.2.1 clientNonce",
     "no clientNonce; with a hash, then with the key as in version 4", "refused: no way back to the old form"),
    ("CSSP-PKA56-11", "a nonce of the wrong size", MUST, SERVER, "2.2.1 clientNonce",
     "clientNonce of 0, 16 and 33 bytes, the hash over it", "refused: it is 32 bytes"),
    ("CSSP-PKA56-12", "a nonce that changes", ROBUSTNESS, SERVER, "2.2.1 clientNonce",
     "another clientNonce in the first message than beside pubKeyAuth", "the later one counts, or it is refused"),
    ("CSSP-PKA56-13", "a nonce beside pubKeyAuth only", MUST, SERVER, "3.1.5 step 3",
     "clientNonce in the message with pubKeyAuth and in no other", "taken: that is where step 3 puts it"),
    ("CSSP-PKA56-21", "a nonce in every message", ROBUSTNESS, SERVER, "2.2.1 clientNonce",
     "the same clientNonce from the first message on, as FreeRDP sends it", "taken"),
    ("CSSP-PKA56-14", "a nonce of the server", SECURITY, CLIENT, "3.1.5 step 5",
     "the server sends another nonce and hashes over that", "no authInfo: the client's own nonce counts"),
    ("CSSP-PKA56-15", "the nonce comes back", ROBUSTNESS, CLIENT, "2.2.1 clientNonce",
     "the server repeats the client's nonce", "completes"),
    ("CSSP-PKA56-16", "the key plus 1 in version 6", SECURITY, CLIENT, "3.1.5 step 5",
     "a server of version 6 that answers as in version 4", "no authInfo"),
    ("CSSP-PKA56-17", "the key in version 6", SECURITY, SERVER, "3.1.5 step 4",
     "a client of version 6 that sends the key as in version 4, with a nonce", "refused"),
    ("CSSP-PKA56-18", "an answer without pubKeyAuth", SECURITY, CLIENT, "3.1.5 step 5",
     "a TSRequest with nothing but a version", "no authInfo"),
    ("CSSP-PKA56-19", "the client's token beside the server's pubKeyAuth", ROBUSTNESS, CLIENT, "3.1.5 step 4",
     "a right pubKeyAuth with the client's own last token beside it, as FreeRDP 2 answers", "tolerated"),
    ("CSSP-PKA56-20", "what the server's answer carries", MUST, SERVER, "3.1.5 step 4", "a good login",
     "pubKeyAuth alone; SPNEGO's last token may ride along"),
    ("CSSP-PKA56-22", "a client that saw another key", SECURITY, SERVER, "3.1.5 step 4; 5.1",
     "versions 6 and 5; the right nonce, the hash over another key (a man in the middle)", "refused"),
    ("CSSP-PKA56-23", "the server's hash from the client", SECURITY, SERVER, "3.1.5 step 4",
     "pubKeyAuth with the server's magic", "refused: the two directions must differ"),
    ("CSSP-PKA56-24", "a sequence number that is not due", MUST, BOTH, "[MS-NLMP] 3.4.4",
     "pubKeyAuth with the sequence number in its signature one too high", "refused; the client sends no authInfo"),
)
# fmt: on


def _is_new(seen: Observation) -> bytes:
    effective = seen.login.version
    if effective is None or not has_hashed_binding(effective):
        raise Skipped("no exchange of versions 5 and 6")
    if not seen.login.public_key:
        raise Skipped("the server's key is not known")
    return seen.login.nonce or b""


@CATALOGUE.client("CSSP-PKA56-01")
def _fresh_nonce(run: ClientRun) -> Outcome:
    nonces = []
    for _ in range(2):
        served = run.serve()
        if served.key_message is None or not has_hashed_binding(served.effective):
            raise Skipped("the client does not speak versions 5 or 6")
        if len(served.nonce) != binding.NONCE_SIZE:
            return failed(f"{len(served.nonce)} bytes")
        nonces.append(served.nonce)
    if nonces[0] == nonces[1]:
        return failed("the same nonce twice")
    return passed()


@CATALOGUE.observe("CSSP-PKA56-02")
def _client_hash(seen: Observation) -> Outcome:
    nonce = _is_new(seen)
    value = seen.plain.client_key
    if value is None:
        raise Skipped("no pubKeyAuth that opens")
    return (
        passed() if value == binding.client_value(HASHED[0], nonce, seen.login.public_key) else failed("another value")
    )


@CATALOGUE.observe("CSSP-PKA56-03")
def _server_hash(seen: Observation) -> Outcome:
    nonce = _is_new(seen)
    value = seen.plain.server_key
    if value is None:
        raise Skipped("no pubKeyAuth of the server that opens")
    return (
        passed() if value == binding.server_value(HASHED[0], nonce, seen.login.public_key) else failed("another value")
    )


def _flip(data: bytes) -> bytes:
    return data[:6] + bytes((data[6] ^ 1,)) + data[7:]


@CATALOGUE.observe("CSSP-PKA56-20")
def _answer_fields(seen: Observation) -> Outcome:
    with_key = [request for request in seen.requests if request.pub_key_auth is not None]
    if not with_key:
        raise Skipped("no pubKeyAuth of the server")
    request = with_key[0]
    if request.auth_info is not None:
        return failed("authInfo beside the server's pubKeyAuth")
    if request.nego_tokens is not None and not seen.login.is_spnego:
        return failed("negoTokens beside pubKeyAuth, which step 4 leaves out")
    return passed("with SPNEGO's last token" if request.nego_tokens else "")


def _next_number(data: bytes) -> bytes:
    number = int.from_bytes(data[12:16], "little") + 1
    return data[:12] + number.to_bytes(4, "little") + data[16:]


OTHER_NONCE: Final = bytes(range(32))
WITHOUT_NONCE: Final[dict[str, Callable[[ScriptedClient], bytes]]] = {
    "a hash": lambda client: client.client_value(),
    "a hash over an empty nonce": lambda client: client.client_value(nonce=b""),
    "a hash over 32 zero bytes": lambda client: client.client_value(nonce=bytes(32)),
    "the key": lambda client: client.public_key,
}


def _flipped_hash(served: ScriptedServer) -> bytes:
    value = served.server_value()
    return value[:-1] + bytes((value[-1] ^ 1,))


def _reflected(served: ScriptedServer, _: bytes) -> bytes:
    return (served.key_message.pub_key_auth if served.key_message else None) or b""


def _with_nonce(client: ScriptedClient, message: TSRequest) -> TSRequest:
    return mutate.replaced(message, client_nonce=client.nonce)


def _with_token(served: ScriptedServer, message: TSRequest) -> TSRequest:
    token = message.nego_tokens or (served.key_message.nego_tokens if served.key_message else None)
    return mutate.replaced(message, nego_tokens=token)


def _hash_over(nonce: bytes) -> Callable[[ScriptedClient], bytes]:
    return lambda client: client.client_value(nonce=nonce)


logins(
    ServerRun.key_refused,
    ("CSSP-PKA56-04", *in_versions(HASHED, "a hash over another nonce", key_value=_hash_over(bytes(32)))),
    (
        "CSSP-PKA56-10",
        *(
            each
            for what, value in WITHOUT_NONCE.items()
            for each in in_versions(HASHED, f"{what} without clientNonce", key_value=value, nonce=None)
        ),
    ),
    (
        "CSSP-PKA56-11",
        *(
            Try(f"a nonce of {size} bytes", nonce=bytes(range(size)), key_value=_hash_over(bytes(range(size))))
            for size in (0, 16, 33)
        ),
    ),
    ("CSSP-PKA56-17", *in_versions(HASHED, "the key", key_value=lambda a: a.public_key)),
    (
        "CSSP-PKA56-22",
        *in_versions(
            HASHED, "a hash over another key", key_value=lambda client: client.client_value(key=client.public_key[::-1])
        ),
    ),
    (
        "CSSP-PKA56-23",
        *in_versions(
            HASHED,
            "the server's own hash",
            key_value=lambda client: binding.server_value(HASHED[0], client.nonce, client.public_key),
        ),
    ),
    before=with_hashes,
)
logins(
    ServerRun.key_refused,
    ("CSSP-PKA56-08", Try("a wrong signature", key_octets=_flip)),
    (
        "CSSP-PKA56-09",
        *(Try(f"pubKeyAuth of {size} bytes", key_octets=lambda data, n=size: data[:n]) for size in SHORT),
    ),
    ("CSSP-PKA56-24", Try("a wrong sequence number", key_octets=_next_number)),
)
logins(
    ServerRun.either,
    ("CSSP-PKA56-12", Try("a nonce that changes", first_nonce=OTHER_NONCE)),
    before=with_hashes,
)
logins(
    ServerRun.taken,
    ("CSSP-PKA56-13", Try("a nonce beside pubKeyAuth only")),
    ("CSSP-PKA56-21", Try("a nonce in every message", first=_with_nonce, auth=_with_nonce)),
    before=with_hashes,
)
serves(
    ClientRun.stopped,
    ("CSSP-PKA56-05", *in_versions(HASHED, "a wrong hash", key_value=_flipped_hash)),
    ("CSSP-PKA56-06", *in_versions(HASHED, "the client's hash", key_value=lambda served: served.client_key or b"")),
    (
        "CSSP-PKA56-14",
        Try(
            "a hash over the server's nonce",
            key_value=lambda served: binding.server_value(HASHED[0], OTHER_NONCE, served.public_key),
            key=lambda _, message: mutate.replaced(message, client_nonce=OTHER_NONCE),
        ),
    ),
    (
        "CSSP-PKA56-16",
        *in_versions(HASHED, "the key plus 1", key_value=lambda served: served.server_value(LOWEST_VERSION)),
    ),
    before=with_client_hashes,
)
serves(
    ClientRun.stopped,
    ("CSSP-PKA56-07", *in_versions(HASHED, "its own pubKeyAuth", key_octets=_reflected)),
    ("CSSP-PKA56-08", *in_versions(HASHED, "a wrong signature", key_octets=lambda _, data: _flip(data))),
    (
        "CSSP-PKA56-09",
        *(Try(f"pubKeyAuth of {size} bytes", key_octets=lambda _, data, n=size: data[:n]) for size in SHORT),
    ),
    (
        "CSSP-PKA56-18",
        *in_versions(HASHED, "an answer without pubKeyAuth", key=lambda _, message: TSRequest(message.version)),
    ),
    ("CSSP-PKA56-24", *in_versions(HASHED, "a wrong sequence number", key_octets=lambda _, data: _next_number(data))),
)
serves(
    ClientRun.completed,
    (
        "CSSP-PKA56-15",
        Try("a repeated nonce", key=lambda served, message: mutate.replaced(message, client_nonce=served.nonce)),
    ),
    ("CSSP-PKA56-19", Try("a token beside pubKeyAuth", key=_with_token)),
)
